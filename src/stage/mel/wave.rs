//! The sound itself, as HuBERT hears it: a window around a few frames, made
//! zero in mean and one in variance.
//!
//! HuBERT's convolutions make a step of features of 400 samples, every 320
//! (Hsu et al., "HuBERT", 2021): two a video frame, the last of which ends
//! [`TAIL`] samples after it. Trained features were made of whole recordings; a
//! stream gives it some sound before and after, which the caller leaves away.
//! Sample `n` of the stream is sample `n` here, and before the stream is silence.

use super::{REWIND, slot};
use crate::media::SPEECH_SAMPLES;
use crate::model::Audio;

/// Samples that a frame's last step of features hears after the frame.
pub(super) const TAIL: usize = 80;
/// Keeps silence silent: what HuBERT's own preprocessing adds to the variance.
const FLOOR: f64 = 1e-7;

/// The last samples of one stream.
pub(super) struct Wave {
    history: Box<[f32]>,
    samples: u64,
    oldest: u64,
    left: u64,
    new: u64,
    length: usize,
}

impl Wave {
    pub(super) fn new(audio: Audio) -> Self {
        let (left, right) = (audio.left_ms * 16, audio.right_ms * 16);
        let new = audio.frames * SPEECH_SAMPLES;
        let length = left + new + TAIL + right;
        // A model that comes late asks for all frames of its window at once.
        let kept = length + REWIND as usize + (audio.window + 2 * audio.frames) * SPEECH_SAMPLES;
        Self {
            history: vec![0.0; kept].into_boxed_slice(),
            samples: 0,
            oldest: 0,
            left: left as u64,
            new: new as u64,
            length,
        }
    }

    pub(super) fn push(&mut self, speech: &[f32]) {
        let kept = self.history.len();
        for sample in speech {
            self.history[slot(self.samples, kept)] = *sample;
            self.samples += 1;
        }
        self.oldest = self.oldest.max(self.samples.saturating_sub(kept as u64));
    }

    pub(super) fn rewind(&mut self, sample: u64) {
        self.samples = self.samples.min(sample);
        assert!(
            self.samples >= self.oldest,
            "nobody hears more than a second ahead"
        );
    }

    /// Window `n`: the sound of frames `n * frames` and those with it.
    pub(super) fn window(&self, n: u64, window: &mut [f32]) -> bool {
        assert_eq!(window.len(), self.length, "a window of this model");
        let length = self.length as u64;
        let end = n * self.new + length - self.left;
        // Before the stream's start lies silence.
        let silent = self.left.saturating_sub(n * self.new);
        let start = end - (length - silent);
        if end > self.samples || start < self.oldest {
            return false;
        }
        let (silence, heard) = window.split_at_mut(silent as usize);
        silence.fill(0.0);
        for (n, sample) in (start..end).zip(heard) {
            *sample = self.history[slot(n, self.history.len())];
        }
        normalise(window);
        true
    }
}

/// Makes `samples` zero in mean and one in variance.
fn normalise(samples: &mut [f32]) {
    let count = samples.len() as f64;
    let mean = samples.iter().map(|s| f64::from(*s)).sum::<f64>() / count;
    let spread = |sample: &f32| (f64::from(*sample) - mean).powi(2);
    let variance = samples.iter().map(spread).sum::<f64>() / count;
    let scale = 1.0 / (variance + FLOOR).sqrt();
    for sample in samples {
        *sample = ((f64::from(*sample) - mean) * scale) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIO: Audio = Audio {
        window: 8,
        left_ms: 100,
        right_ms: 40,
        frames: 2,
    };
    const LENGTH: usize = 1_600 + 1_280 + 80 + 640;

    fn ramp(samples: std::ops::Range<u64>) -> Vec<f32> {
        samples.map(|n| (n % 7_919) as f32 / 7_919.0).collect()
    }

    fn expected(start: i64, samples: u64) -> Vec<f32> {
        let sound = ramp(0..samples);
        let at = |n: i64| usize::try_from(n).map_or(0.0, |n| sound[n]);
        let mut window: Vec<f32> = (start..start + LENGTH as i64).map(at).collect();
        normalise(&mut window);
        window
    }

    #[test]
    fn a_window_is_the_sound_around_its_frames() {
        let mut wave = Wave::new(AUDIO);
        let mut window = [0.0; LENGTH];
        wave.push(&ramp(0..1_999));
        assert!(!wave.window(0, &mut window), "one sample lacks");
        wave.push(&ramp(1_999..60_000));
        for n in [30_u64, 45] {
            assert!(wave.window(n, &mut window));
            assert_eq!(window[..], expected(n as i64 * 1_280 - 1_600, 60_000));
        }
        assert!(!wave.window(46, &mut window), "it ends after the sound");
        assert!(!wave.window(2, &mut window), "it is not kept any more");
    }

    #[test]
    fn before_the_stream_is_silence_and_silence_stays_silent() {
        let mut wave = Wave::new(AUDIO);
        let mut window = [1.0; LENGTH];
        wave.push(&ramp(0..4_000));
        for (n, start) in [(0, -1_600), (1, -320)] {
            assert!(wave.window(n, &mut window));
            assert_eq!(window[..], expected(start, 4_000));
        }
        let mut wave = Wave::new(AUDIO);
        wave.push(&[0.0; 4_000]);
        assert!(wave.window(0, &mut window));
        assert_eq!(window, [0.0; LENGTH]);
    }

    #[test]
    fn what_was_rewound_was_never_heard() {
        let mut wave = Wave::new(AUDIO);
        let mut window = [0.0; LENGTH];
        wave.push(&ramp(0..20_000));
        wave.push(&[0.5; 16_000]);
        wave.rewind(20_000);
        wave.push(&ramp(20_000..30_000));
        assert!(wave.window(15, &mut window));
        assert_eq!(window[..], expected(15 * 1_280 - 1_600, 30_000));
    }
}
