//! Kaldi's filter bank, as WeNet hears it.
//!
//! A column is the logarithm of 80 bands of power of 400 samples, every 160: the
//! mean is taken out, pre-emphasis 0.97, Povey's window, 512 bins, triangles of
//! equal width on the mel scale from 20 Hz to 8 kHz. These are the defaults of
//! Kaldi's `compute-fbank-feats` (and of `torchaudio.compliance.kaldi.fbank`),
//! without dither, on samples of 16 bits. Ultralight-Digital-Human lays 320 ms
//! of silence before the sound and takes 67 columns for every 50 ms; its
//! `inference.py` says so. Each column is computed once.

use std::sync::Arc;
use std::time::Duration;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use super::{REWIND, slot};
use crate::media::SPEECH_RATE;

/// Bands of a column.
const BANDS: usize = 80;
/// Columns of a window.
const WINDOW: usize = 67;
/// From one window to the next.
pub(super) const STEP: Duration = Duration::from_millis(50);
/// Columns from one window to the next.
const STEP_COLUMNS: u64 = 5;
/// Samples under a column, and from one to the next.
const SAMPLES: u64 = 400;
const HOP: u64 = 160;
/// Samples of silence before the sound.
const LEAD: u64 = 32 * HOP;
/// From the start of a window's step to the end of what it hears, in samples.
pub(super) const AHEAD: u64 = (WINDOW as u64 - 1) * HOP + SAMPLES - LEAD;

const BINS: usize = 512;
const LOW_HZ: f64 = 20.0;
const HIGH_HZ: f64 = SPEECH_RATE as f64 / 2.0;
const PRE_EMPHASIS: f64 = 0.97;
/// The least power of a band: single precision's step at 1.
const LEAST: f64 = f32::EPSILON as f64;

/// Samples kept: those of the rewind, and those under a column that ends there.
const HISTORY: usize = REWIND as usize + 2 * SAMPLES as usize;
/// Columns kept: a window, a window of features behind it, and the rewind.
const COLUMNS: usize = 512;

type Column = [f32; BANDS];

/// The filter bank of one stream.
pub(super) struct Fbank {
    /// The last [`HISTORY`] samples as 16 bits have them.
    history: Box<[f32]>,
    samples: u64,
    oldest_sample: u64,
    ring: Box<[Column]>,
    columns: u64,
    oldest_column: u64,
    analysis: Analysis,
}

impl Fbank {
    pub(super) fn new() -> Self {
        Self {
            history: vec![0.0; HISTORY].into_boxed_slice(),
            samples: 0,
            oldest_sample: 0,
            ring: vec![[0.0; BANDS]; COLUMNS].into_boxed_slice(),
            columns: 0,
            oldest_column: 0,
            analysis: Analysis::new(),
        }
    }

    pub(super) fn push(&mut self, speech: &[f32]) {
        // In steps of a hop, so that no sample goes before its columns are made.
        for step in speech.chunks(HOP as usize) {
            for sample in step {
                // Cut, not rounded, as numpy's astype(int16) does.
                let bits = (f64::from(sample.clamp(-1.0, 1.0)) * 32_767.0).trunc();
                self.history[slot(self.samples, HISTORY)] = bits as f32;
                self.samples += 1;
            }
            let oldest = self.samples.saturating_sub(HISTORY as u64);
            self.oldest_sample = self.oldest_sample.max(oldest);
            while self.columns < complete(self.samples) {
                self.add_column();
            }
        }
    }

    pub(super) fn rewind(&mut self, sample: u64) {
        self.samples = self.samples.min(sample);
        self.columns = self.columns.min(complete(self.samples));
        assert!(
            (self.columns * HOP).saturating_sub(LEAD) >= self.oldest_sample,
            "nobody hears more than a second ahead"
        );
    }

    /// Window `n`: that of the step which begins 50·n ms after the stream.
    pub(super) fn window(&self, n: u64, window: &mut [f32]) -> bool {
        let (columns, rest) = window.as_chunks_mut::<BANDS>();
        assert!(columns.len() == WINDOW && rest.is_empty(), "a window");
        let first = n * STEP_COLUMNS;
        if first + WINDOW as u64 > self.columns || first < self.oldest_column {
            return false;
        }
        for (k, column) in (first..).zip(columns) {
            *column = self.ring[slot(k, COLUMNS)];
        }
        true
    }

    fn add_column(&mut self) {
        let start = self.columns * HOP;
        let history = &self.history;
        let sample = |n: usize| {
            let n = (start + n as u64).checked_sub(LEAD);
            n.map_or(0.0, |n| f64::from(history[slot(n, HISTORY)]))
        };
        let column = &mut self.ring[slot(self.columns, COLUMNS)];
        self.analysis.column(sample, column);
        self.columns += 1;
        let oldest = self.columns.saturating_sub(COLUMNS as u64);
        self.oldest_column = self.oldest_column.max(oldest);
    }
}

/// Columns that are complete after `samples`.
fn complete(samples: u64) -> u64 {
    (samples + LEAD - SAMPLES) / HOP + 1
}

/// One column at a time.
struct Analysis {
    window: Vec<f64>,
    /// For each band its first bin and the weights of those from there on.
    bands: Vec<(usize, Vec<f64>)>,
    fft: Arc<dyn RealToComplex<f64>>,
    samples: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
}

impl Analysis {
    fn new() -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(BINS);
        let turn = std::f64::consts::TAU / (SAMPLES - 1) as f64;
        Self {
            window: (0..SAMPLES)
                .map(|n| (0.5 - 0.5 * (turn * n as f64).cos()).powf(0.85))
                .collect(),
            bands: bands(),
            samples: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            fft,
        }
    }

    fn column(&mut self, sample: impl Fn(usize) -> f64, column: &mut Column) {
        let (sound, padding) = self.samples.split_at_mut(SAMPLES as usize);
        padding.fill(0.0);
        for (n, value) in sound.iter_mut().enumerate() {
            *value = sample(n);
        }
        let mean = sound.iter().sum::<f64>() / SAMPLES as f64;
        // The first sample stands for the one before it.
        let mut before = sound[0] - mean;
        for (value, weight) in sound.iter_mut().zip(&self.window) {
            let now = *value - mean;
            *value = (now - PRE_EMPHASIS * before) * weight;
            before = now;
        }
        self.fft
            .process_with_scratch(&mut self.samples, &mut self.spectrum, &mut self.scratch)
            .expect("the buffers were made by the transform");
        for (cell, (first, weights)) in column.iter_mut().zip(&self.bands) {
            let bins = self.spectrum[*first..].iter().zip(weights);
            let power: f64 = bins.map(|(bin, weight)| bin.norm_sqr() * weight).sum();
            *cell = power.max(LEAST).ln() as f32;
        }
    }
}

fn to_mel(hz: f64) -> f64 {
    1_127.0 * (1.0 + hz / 700.0).ln()
}

fn bands() -> Vec<(usize, Vec<f64>)> {
    let (low, high) = (to_mel(LOW_HZ), to_mel(HIGH_HZ));
    let width = (high - low) / (BANDS + 1) as f64;
    let mel = |bin: usize| to_mel(bin as f64 * f64::from(SPEECH_RATE) / BINS as f64);
    (0..BANDS)
        .map(|band| {
            let left = low + band as f64 * width;
            let weight = |bin| {
                let up = (mel(bin) - left) / width;
                up.min(2.0 - up).max(0.0)
            };
            // The bin at half the rate belongs to no band.
            let mut bins = (0..BINS / 2).skip_while(|bin| weight(*bin) <= 0.0);
            let first = bins.next().unwrap_or(0);
            let weights = (first..BINS / 2).map(weight);
            (first, weights.take_while(|weight| *weight > 0.0).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(samples: std::ops::Range<u64>, hz: f64) -> Vec<f32> {
        let turn = std::f64::consts::TAU * hz / f64::from(SPEECH_RATE);
        samples
            .map(|n| (0.5 * (turn * n as f64).sin()) as f32)
            .collect()
    }

    fn window(fbank: &Fbank, n: u64) -> Vec<f32> {
        let mut window = vec![0.0; WINDOW * BANDS];
        assert!(fbank.window(n, &mut window), "window {n} is there");
        window
    }

    #[test]
    fn silence_is_the_least_power_everywhere() {
        let mut fbank = Fbank::new();
        fbank.push(&[0.0; 16_000]);
        let least = (LEAST as f32).ln();
        assert!(window(&fbank, 3).iter().all(|cell| *cell == least));
    }

    #[test]
    fn a_tone_is_loudest_in_its_band() {
        let mut fbank = Fbank::new();
        fbank.push(&tone(0..16_000, 1_000.0));
        let window = window(&fbank, 7);
        let column = &window[40 * BANDS..41 * BANDS];
        let loudest = (0..BANDS).max_by(|a, b| column[*a].total_cmp(&column[*b]));
        let width = (to_mel(HIGH_HZ) - to_mel(LOW_HZ)) / 81.0;
        let band = (to_mel(1_000.0) - to_mel(LOW_HZ)) / width - 1.0;
        assert!((loudest.expect("bands") as f64 - band).abs() <= 0.5);
    }

    #[test]
    fn a_window_is_complete_365_ms_after_its_step() {
        let mut fbank = Fbank::new();
        let mut window = vec![0.0; WINDOW * BANDS];
        fbank.push(&tone(0..5_839, 200.0));
        assert!(!fbank.window(0, &mut window));
        fbank.push(&tone(5_839..5_840, 200.0));
        assert!(fbank.window(0, &mut window));
        assert!(!fbank.window(1, &mut window));
        assert_eq!(AHEAD, 5_840);
    }

    #[test]
    fn how_the_sound_is_cut_and_what_was_rewound_change_nothing() {
        let sound = tone(0..40_000, 431.0);
        let mut straight = Fbank::new();
        straight.push(&sound);
        let mut cut = Fbank::new();
        for part in sound[..30_000].chunks(37) {
            cut.push(part);
        }
        cut.push(&[0.3; 12_000]);
        cut.rewind(30_000);
        cut.push(&sound[30_000..]);
        assert_eq!(cut.columns, straight.columns);
        for n in [25, 30, 38] {
            assert_eq!(window(&cut, n), window(&straight, n));
        }
    }
}
