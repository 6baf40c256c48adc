//! A sound file that plays for ever: what the avatar says when nobody tells
//! it anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::media::AudioChunk;
use crate::stage::audio::file::{self, SoundFile};

/// Chunks decoded ahead: 400 ms, which outlasts a slow disk, and 100 kB.
const AHEAD: usize = 10;

/// A file that plays for ever, without a gap. Dropping it ends its thread.
pub struct Looped {
    chunks: Receiver<(u64, AudioChunk)>,
    /// Grows with every rewind: what is older is not heard.
    generation: Arc<AtomicU64>,
}

impl Looped {
    /// Begins to play the file at `path`.
    pub fn start(path: &Path) -> Result<Self, file::Error> {
        let file = SoundFile::open(path)?.looped();
        let (sender, chunks) = bounded(AHEAD);
        let generation = Arc::new(AtomicU64::new(0));
        let (path, current) = (path.to_owned(), Arc::clone(&generation));
        thread::Builder::new()
            .name("loop".into())
            .spawn(move || {
                if let Err(error) = decode(Box::new(file), path, &current, &sender) {
                    tracing::warn!("the looped sound file ends here: {error}");
                }
            })
            .map_err(file::Error::Read)?;
        Ok(Self { chunks, generation })
    }

    /// The next 40 ms. Never waits: `None` is silence, for now or, after an
    /// error that was logged, for good.
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
    }
}

/// Decodes for ever, until nobody listens.
fn decode(
    mut file: Box<SoundFile>,
    path: PathBuf,
    current: &AtomicU64,
    sender: &Sender<(u64, AudioChunk)>,
) -> Result<(), file::Error> {
    let mut generation = 0;
    let mut chunk = AudioChunk::SILENCE;
    loop {
        if generation != current.load(Relaxed) {
            generation = current.load(Relaxed);
            *file = SoundFile::open(&path)?.looped();
        }
        if !file.next(&mut chunk)? || sender.send((generation, chunk)).is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_refused_at_the_start() {
        let error = Looped::start(Path::new("no/welcome.wav"))
            .err()
            .expect("missing");
        assert!(error.to_string().contains("no/welcome.wav"));
    }

    #[test]
    fn a_short_file_goes_on_and_on() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        // 100 ms of a ramp at 48 kHz, 16 bits, one channel.
        let mut wav = b"RIFF\xa4\x25\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        wav.extend_from_slice(b"\x80\xbb\0\0\0\x77\x01\0\x02\0\x10\0data\x80\x25\0\0");
        wav.extend((0..4_800_i16).flat_map(i16::to_le_bytes));
        std::io::Write::write_all(&mut file, &wav).expect("room");
        let mut looped = Looped::start(file.path()).expect("a sound file");
        let mut heard = Vec::new();
        while heard.len() < 20 * crate::media::SOUND_SAMPLES {
            match looped.try_next() {
                Some(chunk) => heard.extend_from_slice(&chunk.sound),
                None => thread::yield_now(),
            }
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
        let mut next = move |rewind: bool| {
            if rewind {
                looped.rewind();
            }
            loop {
                match looped.try_next() {
                    Some(chunk) => return chunk,
                    None => thread::yield_now(),
                }
            }
        };
        let first: Vec<_> = (0..30).map(|_| next(false)).collect();
        let again: Vec<_> = (0..30).map(|n| next(n == 0)).collect();
        assert!(first == again);
    }
}
