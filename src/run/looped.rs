//! A sound file that plays for ever: what the avatar says when nobody tells
//! it anything.

use std::path::Path;
use std::thread;

use crossbeam_channel::{Receiver, bounded};

use crate::media::AudioChunk;
use crate::stage::audio::file::{self, SoundFile};

/// Chunks decoded ahead: 400 ms, which outlasts a slow disk, and 100 kB.
const AHEAD: usize = 10;

/// A file that plays for ever, without a gap. Dropping it ends its thread.
pub struct Looped {
    chunks: Receiver<AudioChunk>,
}

impl Looped {
    /// Begins to play the file at `path`.
    pub fn start(path: &Path) -> Result<Self, file::Error> {
        let mut file = Box::new(SoundFile::open(path)?.looped());
        let (sender, chunks) = bounded(AHEAD);
        let decode = move || {
            let mut chunk = AudioChunk::SILENCE;
            loop {
                match file.next(&mut chunk) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => {
                        tracing::warn!("the looped sound file ends here: {error}");
                        return;
                    }
                }
                if sender.send(chunk).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("loop".into())
            .spawn(decode)
            .map_err(file::Error::Read)?;
        Ok(Self { chunks })
    }

    /// The next 40 ms. Never waits: `None` is silence, for now or, after an
    /// error that was logged, for good.
    pub fn try_next(&mut self) -> Option<AudioChunk> {
        self.chunks.try_recv().ok()
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
}
