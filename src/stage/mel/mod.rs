//! Speech to what a model hears: mel for the Wav2Lip family, and by [`Ear`] what
//! the front ends of others hear.
//!
//! Column `k` is centred at sample `200·k` and complete once the 400 samples
//! after it are there. Each column is computed once, as soon as it is complete;
//! a window only copies. Sound that was heard ahead of its time and is then
//! replaced is taken back with [`Mel::rewind`].

mod bank; // Slaney's filter bank
mod ear; // a model's windows, whatever its family
mod fbank; // Kaldi's filter bank
mod wave; // the sound itself

use std::sync::Arc;
use std::time::Duration;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use self::bank::Bank;
pub use self::ear::{Ear, hears_ahead};
use crate::media::{MEL_BANDS, MEL_STEPS, MelWindow, SPEECH_RATE, SPEECH_SAMPLES};

/// Samples under one column.
const WINDOW: usize = 800;
/// Samples from a column's centre to its end.
const HALF: u64 = WINDOW as u64 / 2;
/// Samples from one column to the next.
const HOP: u64 = 200;
/// Columns a second.
const COLUMNS_A_SECOND: f64 = SPEECH_RATE as f64 / HOP as f64;
/// Share of the last sample that pre-emphasis takes away.
const PRE_EMPHASIS: f64 = 0.97;
/// The cell of digital silence, and the lowest there is.
const SILENCE: f32 = -4.0;

/// Samples that [`Mel::rewind`] can take back: a second, more than a model's
/// look-ahead of sound can be replaced at once.
pub const REWIND: u64 = 16_000;
/// Samples kept: those of the rewind, and those under a column that ends there.
const HISTORY: usize = REWIND as usize + WINDOW + HOP as usize;
/// Columns kept: 2.4 s, a window after the longest rewind and as much to spare.
const COLUMNS: usize = 192;

type Column = [f32; MEL_BANDS];

/// The mel spectrogram of one stream.
pub struct Mel {
    /// The last [`HISTORY`] samples, sample `n` at `n % HISTORY`.
    history: Box<[f32]>,
    samples: u64,
    oldest_sample: u64,
    /// The last [`COLUMNS`] columns, column `k` at `k % COLUMNS`.
    ring: Box<[Column]>,
    columns: u64,
    oldest_column: u64,
    analysis: Analysis,
}

impl Default for Mel {
    fn default() -> Self {
        Self::new()
    }
}

impl Mel {
    /// A stream that has not begun.
    pub fn new() -> Self {
        Self {
            history: vec![0.0; HISTORY].into_boxed_slice(),
            samples: 0,
            oldest_sample: 0,
            ring: vec![[SILENCE; MEL_BANDS]; COLUMNS].into_boxed_slice(),
            columns: 0,
            oldest_column: 0,
            analysis: Analysis::new(),
        }
    }

    /// Hears the next samples, at [`SPEECH_RATE`], as many as there are.
    pub fn push(&mut self, speech: &[f32]) {
        // Columns that `finish` made up hear the real sound instead.
        self.columns = self.columns.min(complete(self.samples));
        // In steps of a hop, so that no sample goes before its columns are made.
        for step in speech.chunks(HOP as usize) {
            for sample in step {
                self.history[slot(self.samples, HISTORY)] = *sample;
                self.samples += 1;
            }
            self.oldest_sample = self
                .oldest_sample
                .max(self.samples.saturating_sub(HISTORY as u64));
            while self.columns < complete(self.samples) {
                self.add_column(None);
            }
        }
    }

    /// Samples heard.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Columns that are complete, and the number of the next one.
    pub fn columns(&self) -> i64 {
        self.columns as i64
    }

    /// Copies the columns from `first_column` on into `window`. Columns before
    /// the stream's start are digital silence. Returns false, and leaves
    /// `window` as it was, when one of them is not complete or no longer kept.
    #[must_use = "a window that was not filled must not be shown to a model"]
    pub fn window(&self, first_column: i64, window: &mut MelWindow) -> bool {
        let oldest = self.oldest_column as i64;
        if first_column + MEL_STEPS as i64 > self.columns() || (first_column < oldest && oldest > 0)
        {
            return false;
        }
        for step in 0..MEL_STEPS {
            let column = match u64::try_from(first_column + step as i64) {
                Ok(k) => &self.ring[k as usize % COLUMNS],
                Err(_) => &[SILENCE; MEL_BANDS],
            };
            for (row, cell) in window.iter_mut().zip(column) {
                row[step] = *cell;
            }
        }
        true
    }

    /// Forgets every sample from `sample` on, counted from the stream's start.
    ///
    /// # Panics
    ///
    /// If that is more than [`REWIND`] before the latest sample ever heard.
    pub fn rewind(&mut self, sample: u64) {
        self.samples = self.samples.min(sample);
        self.columns = self.columns.min(complete(self.samples));
        assert!(
            (self.columns * HOP).saturating_sub(HALF) >= self.oldest_sample,
            "nobody hears more than a second ahead"
        );
    }

    /// Completes the columns up to the last sample, as if the sound were
    /// mirrored there: the end of a file as librosa sees it.
    pub fn finish(&mut self) {
        while self.samples > 0 && self.columns * HOP <= self.samples {
            self.add_column(Some(self.samples - 1));
        }
    }

    /// Computes the next column, of a sound that ends with the sample `last`.
    fn add_column(&mut self, last: Option<u64>) {
        let start = (self.columns * HOP) as i64 - HALF as i64;
        let history = &self.history;
        let sample = |n: u64| f64::from(history[slot(n, HISTORY)]);
        self.analysis.column(
            |n| {
                let n = mirrored(start + n as i64, last);
                let before = n.checked_sub(1).map_or(0.0, sample);
                sample(n) - PRE_EMPHASIS * before
            },
            &mut self.ring[self.columns as usize % COLUMNS],
        );
        self.columns += 1;
        self.oldest_column = self
            .oldest_column
            .max(self.columns.saturating_sub(COLUMNS as u64));
    }
}

/// Where number `n` lies in a ring of `kept`.
fn slot(n: u64, kept: usize) -> usize {
    (n % kept as u64) as usize
}

/// Columns that are complete after `samples`.
fn complete(samples: u64) -> u64 {
    samples.checked_sub(HALF).map_or(0, |after| after / HOP + 1)
}

/// The sample that stands for `n`, mirrored at sample 0 and at `last`.
fn mirrored(n: i64, last: Option<u64>) -> u64 {
    let n = n.unsigned_abs();
    match last {
        None => n,
        Some(0) => 0,
        Some(last) => {
            let n = n % (2 * last);
            n.min(2 * last - n)
        }
    }
}

/// One column at a time: window, spectrum, bands, decibels.
struct Analysis {
    hann: Vec<f64>,
    bank: Bank,
    fft: Arc<dyn RealToComplex<f64>>,
    samples: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    magnitudes: Vec<f64>,
    scratch: Vec<Complex<f64>>,
}

impl Analysis {
    fn new() -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(WINDOW);
        let turn = std::f64::consts::TAU / WINDOW as f64;
        Self {
            hann: (0..WINDOW)
                .map(|n| 0.5 - 0.5 * (turn * n as f64).cos())
                .collect(),
            bank: Bank::new(WINDOW),
            samples: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            magnitudes: vec![0.0; fft.complex_len()],
            scratch: fft.make_scratch_vec(),
            fft,
        }
    }

    /// Computes the column over the samples that `emphasised` yields.
    fn column(&mut self, emphasised: impl Fn(usize) -> f64, column: &mut Column) {
        // The window's first weight is zero, so the sample under it, which a
        // stream's first column doesn't have yet, is not looked at.
        self.samples[0] = 0.0;
        for (n, (sample, hann)) in self.samples.iter_mut().zip(&self.hann).enumerate().skip(1) {
            *sample = emphasised(n) * hann;
        }
        self.fft
            .process_with_scratch(&mut self.samples, &mut self.spectrum, &mut self.scratch)
            .expect("the buffers were made by the transform");
        for (magnitude, bin) in self.magnitudes.iter_mut().zip(&self.spectrum) {
            *magnitude = bin.norm_sqr().sqrt();
        }
        for (cell, strength) in column.iter_mut().zip(self.bank.apply(&self.magnitudes)) {
            let db = 20.0 * strength.max(1e-5).log10() - 20.0;
            *cell = (8.0 * (db + 100.0) / 100.0 - 4.0).clamp(-4.0, 4.0) as f32;
        }
    }
}

/// The first column of the window that belongs to video frame `frame`, for a
/// model whose window starts `offset_ms` after the frame.
pub fn first_column(frame: u64, offset_ms: f64) -> i64 {
    // Five frames are 16 columns exactly; only the rest is rounded, so an hour
    // is as exact as the first second.
    let rest_ms = (frame % PHASES) as f64 * FRAME_MS + offset_ms;
    let whole = frame / PHASES * COLUMNS_A_PHASE;
    whole as i64 + (rest_ms * COLUMNS_A_SECOND / 1_000.0).floor() as i64
}

/// How far after a frame's start its window hears at most, for a model whose
/// window starts `offset_ms` after the frame.
pub fn look_ahead(offset_ms: f64) -> Duration {
    let last_column = |frame| first_column(frame, offset_ms) + MEL_STEPS as i64 - 1;
    let latest = (0..PHASES)
        .map(|frame| {
            let heard = last_column(frame) * HOP as i64 + HALF as i64;
            heard - (frame as usize * SPEECH_SAMPLES) as i64
        })
        .max()
        .map_or(0, |samples| samples.max(0).unsigned_abs());
    Duration::from_secs(latest) / SPEECH_RATE
}

/// Frames after which columns and frames start together again.
const PHASES: u64 = 5;
/// Columns of that many frames.
const COLUMNS_A_PHASE: u64 = PHASES * SPEECH_SAMPLES as u64 / HOP;
/// Milliseconds of a frame.
const FRAME_MS: f64 = SPEECH_SAMPLES as f64 * 1_000.0 / SPEECH_RATE as f64;

#[cfg(test)]
mod tests;
