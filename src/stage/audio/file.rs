//! A sound file as a stream of chunks: WAV, FLAC, MP3, Ogg (Vorbis, Opus),
//! WebM, M4A, AIFF, CAF.
//!
//! Only the packet that is being decoded is in memory, whatever the length.
//! A file that opens has sound: its first packet is decoded by then.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::decode::{Spec, Stream};
use super::door::{self, Door};
use crate::media::{AudioChunk, FPS};

/// Why a file can't be spoken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path leads nowhere, or not for us.
    #[error("cannot open the sound file {path}")]
    Open {
        /// The path as given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk, not the file, is in trouble.
    #[error("cannot read the sound file")]
    Read(#[source] io::Error),
    /// No bytes at all.
    #[error("the sound file is empty")]
    Empty,
    /// No format that we know.
    #[error("this is not a sound file; send WAV, FLAC, MP3, Ogg, WebM or M4A")]
    Format,
    /// A video without sound, for instance.
    #[error("the file has no sound track")]
    NoSound,
    /// A known container with an unknown codec.
    #[error("the file's sound is coded in a way that can't be decoded here; convert it to WAV")]
    Codec,
    /// Nothing, or nothing more, can be decoded.
    #[error("the file is damaged: it holds no sound that can be decoded")]
    Damaged,
    /// A rate or a number of channels that makes no sense.
    #[error(transparent)]
    Door(#[from] door::Error),
}

/// An open sound file.
pub struct SoundFile {
    file: File,
    hint: Option<String>,
    stream: Stream,
    looped: bool,
    duration: Option<Duration>,
    /// The packet that is going through the door.
    packet: Vec<f32>,
    used: usize,
    spec: Spec,
    /// Made when it is first needed: a file that waits is small.
    door: Option<Door>,
    /// Whether the door was told that nothing more comes at this rate.
    ended: bool,
    /// Whether the file has nothing more.
    done: bool,
}

impl SoundFile {
    /// Opens the file at `path`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::Open {
            path: path.to_owned(),
            source,
        })?;
        let hint = path.extension().and_then(|extension| extension.to_str());
        Self::from_file(file, hint)
    }

    /// Reads `file` from its beginning. `hint` may be its name, its extension
    /// or its media type; what the bytes say counts more.
    pub fn from_file(file: File, hint: Option<&str>) -> Result<Self, Error> {
        let bytes = file.metadata().map_err(Error::Read)?.len();
        let mut stream = Stream::open(&file, hint)?;
        let duration = stream.claimed(bytes);
        let mut packet = Vec::new();
        let spec = stream.decode(&mut packet)?.ok_or(Error::Damaged)?;
        door::check(spec.rate, spec.channels)?;
        Ok(Self {
            file,
            hint: hint.map(str::to_owned),
            stream,
            looped: false,
            duration,
            packet,
            used: 0,
            spec,
            door: None,
            ended: false,
            done: false,
        })
    }

    /// Makes the file begin again without a gap whenever it ends.
    pub fn looped(mut self) -> Self {
        self.looped = true;
        self
    }

    /// Samples a second that it begins with, of each channel.
    pub fn rate(&self) -> u32 {
        self.spec.rate
    }

    /// How long the file is, where its header says so believably.
    pub fn duration(&self) -> Option<Duration> {
        self.duration
    }

    /// How long the file is, read to its end if nothing else helps. To be asked
    /// before the first chunk is: the file begins anew.
    pub fn measure(&mut self) -> Result<Duration, Error> {
        if let Some(duration) = self.duration {
            return Ok(duration);
        }
        let mut duration = Stream::open(&self.file, self.hint.as_deref())?.measure()?;
        if duration.is_zero() {
            duration = self.decoded()?;
        }
        self.duration = Some(duration);
        self.restart()?;
        Ok(duration)
    }

    /// Begins anew. May be tried again after any error.
    pub fn rewind(&mut self) -> Result<(), Error> {
        self.restart()?;
        if let Some(door) = &mut self.door {
            door.reset();
        }
        self.ended = false;
        self.done = false;
        Ok(())
    }

    /// Passes over the first `chunks` chunks. To be asked before the first one is.
    ///
    /// All of it is decoded, since a codec that is set down in the middle is off
    /// by what it then doesn't know, and some formats tell places only roughly;
    /// it costs a hundredth of the sound's time at most.
    pub fn skip(&mut self, chunks: u64) -> Result<(), Error> {
        let start = self.spec;
        let whole = start.rate.is_multiple_of(FPS);
        let mut frames = chunks * u64::from(start.rate / FPS);
        while frames > 0 && !self.done && whole && self.spec == start {
            let there = (self.packet.len() - self.used) / start.channels;
            let passed = there.min(usize::try_from(frames).unwrap_or(there));
            self.used += passed * start.channels;
            frames -= passed as u64;
            if frames > 0 {
                self.decode()?;
            }
        }
        if whole && self.spec == start {
            return Ok(());
        }
        // Chunks then don't begin with a sample of the file, and have to be made.
        self.rewind()?;
        let mut chunk = AudioChunk::SILENCE;
        for _ in 0..chunks {
            if !self.next(&mut chunk)? {
                break;
            }
        }
        Ok(())
    }

    /// Closes the decoder. The file itself can be opened again.
    pub fn into_file(self) -> File {
        self.file
    }

    /// Fills `chunk` with the next 40 ms; `false` at the end.
    pub fn next(&mut self, chunk: &mut AudioChunk) -> Result<bool, Error> {
        loop {
            let door = match &mut self.door {
                Some(door) => door,
                None => self
                    .door
                    .insert(Door::new(self.spec.rate, self.spec.channels)?),
            };
            if door.take(chunk) {
                return Ok(true);
            }
            let fits = (door.rate(), door.channels()) == (self.spec.rate, self.spec.channels);
            if self.ended {
                if self.done {
                    return Ok(false);
                }
                // The rate changed midway: all of the old rate is out.
                self.door = None;
                self.ended = false;
            } else if !fits || self.done {
                door.end();
                self.ended = true;
            } else if self.packet.len() - self.used >= self.spec.channels {
                self.used += door.write(&self.packet[self.used..], None);
            } else {
                self.decode()?;
            }
        }
    }

    fn decode(&mut self) -> Result<(), Error> {
        self.used = 0;
        match self.stream.decode(&mut self.packet)? {
            Some(spec) => self.spec = spec,
            None if self.looped => self.restart()?,
            None => self.done = true,
        }
        Ok(())
    }

    /// The length of the samples themselves, from the beginning to the end.
    fn decoded(&mut self) -> Result<Duration, Error> {
        self.restart()?;
        let mut spec = Some(self.spec);
        let mut length = Duration::ZERO;
        while let Some(Spec { rate, channels }) = spec {
            let frames = self.packet.len() / channels.max(1);
            length += Duration::from_secs_f64(frames as f64 / f64::from(rate.max(1)));
            spec = self.stream.decode(&mut self.packet)?;
        }
        Ok(length)
    }

    /// Reads from the beginning again; what is in the door stays there.
    fn restart(&mut self) -> Result<(), Error> {
        self.stream = Stream::open(&self.file, self.hint.as_deref())?;
        self.used = 0;
        self.spec = self
            .stream
            .decode(&mut self.packet)?
            .ok_or(Error::Damaged)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
