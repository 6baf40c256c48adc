//! What a model hears, whatever its family: numbered windows of mel, of Kaldi's
//! filter bank, or of the sound itself.

use std::time::Duration;

use super::fbank::{self, Fbank};
use super::wave::Wave;
use super::{Mel, first_column};
use crate::media::{FRAME_PERIOD, MEL_BANDS, MEL_STEPS, SPEECH_RATE, SPEECH_SAMPLES};
use crate::model::{Family, Manifest};

/// Hears one stream for one model.
pub struct Ear(Kind);

enum Kind {
    /// Wav2Lip: a window a frame.
    Mel { mel: Mel, offset_ms: f64 },
    /// HuBERT: a window for every few frames.
    Wave(Wave),
    /// WeNet: a window every 50 ms.
    Fbank(Fbank),
}

impl Ear {
    /// The ear of `model`, for a stream that has not begun.
    pub fn new(model: &Manifest) -> Self {
        Self(match model.family {
            Family::Wav2lip => Kind::Mel {
                mel: Mel::new(),
                offset_ms: model.mel_offset_ms,
            },
            Family::UltralightHubert | Family::Feathertalk => Kind::Wave(Wave::new(model.audio())),
            Family::UltralightWenet => Kind::Fbank(Fbank::new()),
        })
    }

    /// Hears the next samples, at [`SPEECH_RATE`].
    pub fn push(&mut self, speech: &[f32]) {
        match &mut self.0 {
            Kind::Mel { mel, .. } => mel.push(speech),
            Kind::Wave(wave) => wave.push(speech),
            Kind::Fbank(fbank) => fbank.push(speech),
        }
    }

    /// Forgets every sample from `sample` on, counted from the stream's start.
    ///
    /// # Panics
    ///
    /// If that is more than [`super::REWIND`] before the latest sample ever heard.
    pub fn rewind(&mut self, sample: u64) {
        match &mut self.0 {
            Kind::Mel { mel, .. } => mel.rewind(sample),
            Kind::Wave(wave) => wave.rewind(sample),
            Kind::Fbank(fbank) => fbank.rewind(sample),
        }
    }

    /// Copies window `n` into `window`. Returns false, and leaves `window` as it
    /// was, when not all of it was heard, or not all is kept.
    ///
    /// # Panics
    ///
    /// If `window` has another length than such a window.
    #[must_use = "a window that was not filled must not be shown to a model"]
    pub fn window(&self, n: u64, window: &mut [f32]) -> bool {
        match &self.0 {
            Kind::Mel { mel, offset_ms } => {
                let (rows, rest) = window.as_chunks_mut::<MEL_STEPS>();
                assert!(rest.is_empty(), "whole rows");
                let rows: &mut [_; MEL_BANDS] = rows.try_into().expect("a row a band");
                mel.window(first_column(n, *offset_ms), rows)
            }
            Kind::Wave(wave) => wave.window(n, window),
            Kind::Fbank(fbank) => fbank.window(n, window),
        }
    }
}

/// How far after a frame's start `model` hears at most.
pub fn hears_ahead(model: &Manifest) -> Duration {
    let audio = model.audio();
    let after = (audio.window / 2) as u32;
    match model.family {
        Family::Wav2lip => super::look_ahead(model.mel_offset_ms),
        // The last frame of the window, those that run with it, and what HuBERT
        // hears after them.
        Family::UltralightHubert | Family::Feathertalk => {
            let tail = Duration::from_secs((super::wave::TAIL + audio.right_ms * 16) as u64);
            (after + audio.frames as u32 - 1) * FRAME_PERIOD + tail / SPEECH_RATE
        }
        // A frame is shown at the start of its step or later.
        Family::UltralightWenet => {
            (after - 1) * fbank::STEP + Duration::from_secs(fbank::AHEAD) / SPEECH_RATE
        }
    }
}

const _: () = assert!(SPEECH_RATE == 16_000 && SPEECH_SAMPLES == 640);
