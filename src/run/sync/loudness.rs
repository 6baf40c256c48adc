//! How loud a file's sound is, a hundred times a second, with what is needed of
//! it kept and no more.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use super::correlate::REACH;
use crate::media::{AudioChunk, FRAME_PERIOD, SPEECH_RATE, SPEECH_SAMPLES};
use crate::stage::audio::file::{Error, SoundFile};
use crate::stage::voice::{self, Voice};

/// Time that one value stands for.
pub(super) const SLOT: Duration = Duration::from_millis(10);
/// Samples of one slot.
const SAMPLES: usize = SPEECH_RATE as usize / 100;
/// Slots kept: as far back as an offset reaches, as far ahead, and a chunk.
const KEPT: usize = 2 * REACH as usize + 1 + SPEECH_SAMPLES / SAMPLES;

/// The loudness of a file, read as it is wanted.
pub(super) struct Loudness {
    file: SoundFile,
    chunk: Box<AudioChunk>,
    voice: Voice,
    kept: VecDeque<f64>,
    /// The slot after the last one kept.
    next: i64,
    ended: bool,
    chunks: u32,
    voiced: u32,
}

impl Loudness {
    pub(super) fn open(path: &Path, voice: &voice::Config) -> Result<Self, Error> {
        Ok(Self {
            file: SoundFile::open(path)?,
            chunk: Box::new(AudioChunk::SILENCE),
            voice: Voice::new(voice),
            kept: VecDeque::with_capacity(KEPT),
            next: 0,
            ended: false,
            chunks: 0,
            voiced: 0,
        })
    }

    /// Reads on until slot `last` is known, or the file ends.
    pub(super) fn read_to(&mut self, last: i64) -> Result<(), Error> {
        while !self.ended && self.next <= last {
            if !self.file.next(&mut self.chunk)? {
                self.ended = true;
                break;
            }
            self.chunks += 1;
            self.voiced += u32::from(self.voice.hear(&self.chunk.speech));
            for slot in self.chunk.speech.chunks_exact(SAMPLES) {
                let power: f32 = slot.iter().map(|sample| sample * sample).sum();
                if self.kept.len() == KEPT {
                    self.kept.pop_front();
                }
                // About as loud as it is to the ear: loudness is a power law, and
                // a logarithm would make most of breath and noise.
                let loudness = f64::from(power / SAMPLES as f32).powf(0.25);
                self.kept.push_back(loudness);
                self.next += 1;
            }
        }
        Ok(())
    }

    /// The loudness of slot `n`; nothing is heard before the sound and after it.
    pub(super) fn at(&self, n: i64) -> f64 {
        let first = self.next - self.kept.len() as i64;
        usize::try_from(n - first)
            .ok()
            .and_then(|n| self.kept.get(n))
            .copied()
            .unwrap_or(0.0)
    }

    /// How much was read.
    pub(super) fn heard(&self) -> Duration {
        FRAME_PERIOD * self.chunks
    }

    /// How much of it somebody spoke in.
    pub(super) fn speech(&self) -> Duration {
        FRAME_PERIOD * self.voiced
    }
}
