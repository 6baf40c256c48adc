//! A sound file that plays for ever: what the avatar says when nobody tells
//! it anything.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::media::AudioChunk;
use crate::stage::audio::file::{self, SoundFile};

/// Chunks decoded ahead: 400 ms, which outlasts a slow disk, and 100 kB.
const AHEAD: usize = 10;
/// How long it is silent after an error before it begins anew: too few
/// descriptors, a disk that is away for a moment.
const RETRY: Duration = Duration::from_secs(5);

/// A file that plays for ever, without a gap. Dropping it ends its thread.
pub struct Looped {
    chunks: Receiver<(u64, AudioChunk)>,
    /// Wakes the thread while it waits after an error. Its end ends the thread.
    wake: Sender<()>,
    /// Grows with every rewind: what is older is not heard.
    generation: Arc<AtomicU64>,
}

impl Looped {
    /// Begins to play the file at `path`.
    pub fn start(path: &Path) -> Result<Self, file::Error> {
        let file = SoundFile::open(path)?.looped();
        let (sender, chunks) = bounded(AHEAD);
        let (wake, woken) = bounded(0);
        let generation = Arc::new(AtomicU64::new(0));
        let decoder = Decoder {
            file: Box::new(file),
            current: Arc::clone(&generation),
            generation: 0,
            sender,
            woken,
        };
        thread::Builder::new()
            .name("loop".into())
            .spawn(move || decoder.run())
            .map_err(file::Error::Read)?;
        Ok(Self {
            chunks,
            wake,
            generation,
        })
    }

    /// The next 40 ms. Never waits: `None` is silence, for a moment or, after
    /// an error, until it is overcome.
    pub fn try_next(&mut self) -> Option<AudioChunk> {
        loop {
            let (generation, chunk) = self.chunks.try_recv().ok()?;
            if generation == self.generation.load(Relaxed) {
                return Some(chunk);
            }
        }
    }

    /// Begins anew.
    pub fn rewind(&mut self) {
        self.generation.fetch_add(1, Relaxed);
        // The decoder waits for room: it shall see that this is over.
        while self.chunks.try_recv().is_ok() {}
        // If it waits after an error, the time has come to try again.
        let _busy = self.wake.try_send(());
    }

    /// Whether it has decoded as far ahead as it does.
    #[cfg(test)]
    pub(super) fn full(&self) -> bool {
        self.chunks.is_full()
    }
}

/// What decodes, on a thread of its own.
struct Decoder {
    file: Box<SoundFile>,
    /// What is wanted, and what is decoded.
    current: Arc<AtomicU64>,
    generation: u64,
    sender: Sender<(u64, AudioChunk)>,
    /// Disconnected once nobody listens.
    woken: Receiver<()>,
}

impl Decoder {
    /// Decodes until nobody listens. Trouble is logged when it begins.
    fn run(mut self) {
        let mut chunk = AudioChunk::SILENCE;
        let mut troubled = false;
        loop {
            match self.next(&mut chunk, troubled) {
                Ok(()) => {
                    troubled = false;
                    if self.sender.send((self.generation, chunk)).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    if !troubled {
                        tracing::warn!("the looped sound file is silent for now: {error}");
                    }
                    troubled = true;
                    let waited = self.woken.recv_timeout(RETRY);
                    if waited == Err(RecvTimeoutError::Disconnected) {
                        return;
                    }
                }
            }
        }
    }

    fn next(&mut self, chunk: &mut AudioChunk, anew: bool) -> Result<(), file::Error> {
        let current = self.current.load(Relaxed);
        if anew || self.generation != current {
            // Only once it is done: what failed is tried again.
            self.file.rewind()?;
            self.generation = current;
        }
        match self.file.next(chunk)? {
            true => Ok(()),
            false => Err(file::Error::Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    #[test]
    fn a_missing_file_is_refused_at_the_start() {
        let error = Looped::start(Path::new("no/welcome.wav"))
            .err()
            .expect("missing");
        assert!(error.to_string().contains("no/welcome.wav"));
    }

    /// 100 ms of a ramp at 48 kHz, 16 bits, one channel.
    fn ramp() -> Vec<u8> {
        let mut wav = b"RIFF\xa4\x25\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        wav.extend_from_slice(b"\x80\xbb\0\0\0\x77\x01\0\x02\0\x10\0data\x80\x25\0\0");
        wav.extend((0..4_800_i16).flat_map(i16::to_le_bytes));
        wav
    }

    fn next(looped: &mut Looped) -> AudioChunk {
        loop {
            match looped.try_next() {
                Some(chunk) => return chunk,
                None => thread::yield_now(),
            }
        }
    }

    #[test]
    fn a_short_file_goes_on_and_on() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&ramp()).expect("room");
        let mut looped = Looped::start(file.path()).expect("a sound file");
        let mut heard = Vec::new();
        while heard.len() < 20 * crate::media::SOUND_SAMPLES {
            heard.extend_from_slice(&next(&mut looped).sound);
        }
        let ramp = |n: usize| (n % 4_800) as f32 / 32_768.0;
        assert!(
            heard
                .iter()
                .enumerate()
                .all(|(n, sample)| *sample == ramp(n))
        );
    }

    #[test]
    fn rewound_it_begins_anew() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/speech/welcome.flac");
        let mut looped = Looped::start(&path).expect("the welcome speech");
        let first: Vec<_> = (0..30).map(|_| next(&mut looped)).collect();
        looped.rewind();
        let again: Vec<_> = (0..30).map(|_| next(&mut looped)).collect();
        assert!(first == again);
    }

    #[test]
    fn trouble_is_silence_until_it_is_overcome() {
        for rewound in [false, true] {
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            file.write_all(&ramp()).expect("room");
            let mut looped = Looped::start(file.path()).expect("a sound file");
            let first = next(&mut looped);
            file.as_file().set_len(0).expect("it is ours");
            if rewound {
                looped.rewind();
            }
            // Only who waits can be woken.
            while looped.wake.try_send(()).is_err() {
                looped.try_next();
                thread::yield_now();
            }
            while looped.try_next().is_some() {}
            file.rewind().expect("a file");
            file.write_all(&ramp()).expect("room");
            let again = loop {
                if let Some(chunk) = looped.try_next() {
                    break chunk;
                }
                let _busy = looped.wake.try_send(());
                thread::yield_now();
            };
            assert!(again == first, "it begins anew");
        }
    }
}
