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
use crate::media::AudioChunk;

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
mod tests {
    use super::*;
    use std::f32::consts::TAU;
    use std::io::Write;
    use std::process::Command;

    use crate::media::SOUND_SAMPLES;

    /// A WAV file of a 440 Hz sine, 16 bits, that claims `claimed` bytes of sound.
    fn wav(rate: u32, channels: u16, frames: u32, claimed: Option<u32>) -> Vec<u8> {
        let bytes = frames * u32::from(channels) * 2;
        let claimed = claimed.unwrap_or(bytes);
        let mut wav = Vec::new();
        wav.extend_from_slice(b"RIFF");
        wav.extend_from_slice(&claimed.saturating_add(36).to_le_bytes());
        wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0");
        wav.extend_from_slice(&channels.to_le_bytes());
        wav.extend_from_slice(&rate.to_le_bytes());
        wav.extend_from_slice(&rate.wrapping_mul(u32::from(channels) * 2).to_le_bytes());
        wav.extend_from_slice(&(channels * 2).to_le_bytes());
        wav.extend_from_slice(b"\x10\0data");
        wav.extend_from_slice(&claimed.to_le_bytes());
        for n in 0..frames {
            let value = (TAU * 440.0 * n as f32 / rate as f32).sin() * 16_000.0;
            for _ in 0..channels {
                wav.extend_from_slice(&(value as i16).to_le_bytes());
            }
        }
        wav
    }

    fn on_disk(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(bytes).expect("room on the disk");
        file
    }

    fn open(bytes: &[u8]) -> Result<SoundFile, Error> {
        SoundFile::from_file(on_disk(bytes), None)
    }

    fn play(file: &mut SoundFile) -> Result<Vec<AudioChunk>, Error> {
        let mut chunk = AudioChunk::SILENCE;
        let mut chunks = Vec::new();
        while file.next(&mut chunk)? {
            chunks.push(chunk);
        }
        assert!(!file.next(&mut chunk)?, "an end is an end");
        Ok(chunks)
    }

    fn refusal(bytes: &[u8]) -> String {
        open(bytes).err().expect("this must be refused").to_string()
    }

    /// The frequency in `chunks`, by its rising edges, leaving out the ends.
    fn hz(chunks: &[AudioChunk]) -> f64 {
        let sound: Vec<f32> = chunks[3..chunks.len() - 3]
            .iter()
            .flat_map(|c| c.sound)
            .collect();
        let edges = sound
            .windows(2)
            .filter(|w| w[0] < 0.0 && w[1] >= 0.0)
            .count();
        edges as f64 * 48_000.0 / sound.len() as f64
    }

    /// `seconds` of a sine as ffmpeg writes it with `arguments`; `None` where
    /// this machine has no ffmpeg.
    fn by_ffmpeg(seconds: &str, arguments: &[&str], suffix: &str) -> Option<Vec<u8>> {
        let out = tempfile::Builder::new()
            .suffix(suffix)
            .tempfile()
            .expect("a file");
        let sine = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
        let done = Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-f", "lavfi", "-i", &sine])
            .args(arguments)
            .arg(out.path())
            .status();
        match done {
            Ok(status) => assert!(status.success(), "ffmpeg {arguments:?}"),
            Err(_) => {
                eprintln!("skipped: no ffmpeg here");
                return None;
            }
        }
        Some(std::fs::read(out.path()).expect("ffmpeg wrote it"))
    }

    #[test]
    fn a_wav_file_of_any_rate_plays_whole() {
        for (rate, channels) in [(8_000, 1), (22_050, 2), (44_100, 6), (192_000, 1)] {
            let mut file = open(&wav(rate, channels, rate * 2, None)).expect("a sound file");
            assert_eq!(file.duration(), Some(Duration::from_secs(2)));
            let chunks = play(&mut file).expect("sound");
            assert_eq!(chunks.len(), 50, "{rate} Hz");
            assert!((hz(&chunks) - 440.0).abs() < 2.0, "{} Hz", hz(&chunks));
        }
    }

    #[test]
    fn every_common_format_plays() {
        let formats: [(&[&str], &str); 14] = [
            (&["-c:a", "pcm_s24le"], ".wav"),
            (&["-c:a", "pcm_f32le", "-ac", "2"], ".wav"),
            (&["-c:a", "pcm_u8", "-ar", "8000"], ".wav"),
            (&["-c:a", "flac", "-ar", "44100"], ".flac"),
            (&["-c:a", "libmp3lame", "-ar", "22050"], ".mp3"),
            (&["-c:a", "libmp3lame", "-write_xing", "0"], ".mp3"),
            (&["-c:a", "libvorbis", "-ac", "2"], ".ogg"),
            (&["-c:a", "libopus"], ".ogg"),
            (&["-c:a", "libopus", "-ac", "2"], ".webm"),
            (&["-c:a", "libopus", "-live", "1"], ".webm"),
            (&["-c:a", "aac", "-ar", "44100"], ".m4a"),
            (
                &["-c:a", "aac", "-movflags", "faststart", "-ac", "2"],
                ".m4a",
            ),
            (&["-c:a", "alac"], ".m4a"),
            (&["-c:a", "pcm_s16be"], ".aiff"),
        ];
        for (arguments, suffix) in formats {
            let Some(bytes) = by_ffmpeg("3", arguments, suffix) else {
                return;
            };
            let mut file = open(&bytes).unwrap_or_else(|e| panic!("{arguments:?}: {e}"));
            let claimed = file.duration();
            let measured = file.measure().expect("it can be read");
            let chunks = play(&mut file).expect("sound");
            let heard = Duration::from_millis(40) * chunks.len() as u32;
            eprintln!("{suffix} {arguments:?}: {claimed:?} {measured:?} {heard:?}");
            for length in [measured, heard] {
                let off = length.as_secs_f64() - 3.0;
                assert!(off.abs() < 0.1, "{arguments:?}: {length:?}");
            }
            assert!(
                (hz(&chunks) - 440.0).abs() < 3.0,
                "{arguments:?}: {}",
                hz(&chunks)
            );
        }
    }

    #[test]
    fn a_file_whose_header_lies_is_measured_by_what_is_there() {
        for claimed in [u32::MAX, 400_000_000, 0] {
            let bytes = wav(16_000, 1, 32_000, Some(claimed));
            let Ok(mut file) = open(&bytes) else {
                assert_eq!(claimed, 0, "only a file that says it is empty is refused");
                continue;
            };
            let duration = file.measure().expect("measured").as_secs_f64();
            assert!((duration - 2.0).abs() < 0.05, "{claimed}: {duration}");
            assert_eq!(play(&mut file).expect("sound").len(), 50);
        }
    }

    #[test]
    fn a_loop_has_no_gap() {
        // 441 periods in a second: the sine goes on over the seam.
        let mut file = open(&wav(44_100, 1, 44_100 + 11_025, None))
            .expect("sound")
            .looped();
        let mut chunk = AudioChunk::SILENCE;
        let mut sound = Vec::new();
        for _ in 0..250 {
            assert!(file.next(&mut chunk).expect("sound"), "a loop never ends");
            sound.extend_from_slice(&chunk.sound);
        }
        assert_eq!(sound.len(), 250 * SOUND_SAMPLES);
        // 1.25 s hold 550 periods, so a gap would show as a step or as silence.
        let step = sound
            .windows(2)
            .map(|w| (w[1] - w[0]).abs())
            .fold(0.0, f32::max);
        assert!(step < 0.03, "{step}");
    }

    #[test]
    fn what_is_no_sound_is_refused_in_a_sentence() {
        assert_eq!(refusal(b""), "the sound file is empty");
        let text = "Hello, this is text and no sound at all.\n".repeat(1_000);
        assert!(refusal(text.as_bytes()).contains("send WAV"));
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02".to_vec();
        png.resize(5_000, 7);
        assert!(refusal(&png).contains("send WAV"));
        for (rate, channels) in [(0, 1), (3, 1), (4_000_000_000, 1), (48_000, 0)] {
            let refusal = refusal(&wav(rate, channels, 1_000, Some(2_000)));
            assert!(!refusal.is_empty(), "{rate} × {channels}: {refusal}");
        }
        assert!(refusal(&wav(48_000, 1, 0, None)).contains("damaged"));
        let missing = SoundFile::open(Path::new("no/such/file.wav"))
            .err()
            .expect("missing");
        assert_eq!(
            missing.to_string(),
            "cannot open the sound file no/such/file.wav"
        );
        assert!(SoundFile::open(Path::new(".")).is_err());
    }

    #[test]
    fn a_video_without_sound_is_refused() {
        let arguments = [
            "-f",
            "lavfi",
            "-i",
            "color=size=64x64:duration=1",
            "-an",
            "-map",
            "1:v",
        ];
        if let Some(bytes) = by_ffmpeg("1", &arguments, ".mp4") {
            assert_eq!(refusal(&bytes), "the file has no sound track");
        }
    }

    #[test]
    fn a_truncated_file_plays_what_is_there() {
        let mut files = vec![wav(16_000, 1, 48_000, None)];
        for (codec, suffix) in [
            ("flac", ".flac"),
            ("libmp3lame", ".mp3"),
            ("libvorbis", ".ogg"),
            ("libopus", ".ogg"),
            ("aac", ".m4a"),
        ] {
            files.extend(by_ffmpeg("3", &["-c:a", codec], suffix));
        }
        for (n, bytes) in files.iter().enumerate() {
            let mut played = Vec::new();
            for sevenths in 0..=7 {
                let cut = &bytes[..bytes.len() * sevenths / 7];
                let chunks = open(cut).and_then(|mut file| {
                    let _measured = file.measure();
                    play(&mut file)
                });
                played.push(chunks.map_or(0, |chunks| chunks.len()));
            }
            assert!(played.is_sorted(), "file {n}: {played:?}");
            assert!(played[7] >= 74, "file {n}: {played:?}");
            // A page of Ogg holds a second; an M4A that is cut off has lost
            // its table of contents.
            assert!(n == 5 || played[6] >= 25, "file {n}: {played:?}");
        }
    }

    #[test]
    fn damage_costs_the_damaged_part_and_random_bytes_cost_nothing() {
        let mut state = 1_u64;
        let mut random = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        for (codec, suffix) in [
            ("libmp3lame", ".mp3"),
            ("libvorbis", ".ogg"),
            ("aac", ".m4a"),
        ] {
            let Some(mut bytes) = by_ffmpeg("3", &["-c:a", codec], suffix) else {
                break;
            };
            let late = bytes.len() * 3 / 4;
            bytes[late..late + 100].fill_with(&mut random);
            let chunks = open(&bytes).and_then(|mut file| play(&mut file));
            let played = chunks.map_or(0, |chunks| chunks.len());
            assert!(played >= 25, "{codec}: {played}");
        }
        for start in [
            &b""[..],
            b"RIFF\xff\xff\xff\x7fWAVEfmt ",
            b"OggS\0\x02",
            b"fLaC\0",
            b"ID3\x04",
        ] {
            for _ in 0..20 {
                let mut bytes = start.to_vec();
                bytes.resize_with(20_000, &mut random);
                // Whatever it does, it ends, and says so in a sentence.
                if let Err(error) = open(&bytes).and_then(|mut file| play(&mut file)) {
                    assert!(!error.to_string().is_empty());
                }
            }
        }
    }
}
