//! Speech to mel: what a Wav2Lip-type model hears.
//!
//! Column `k` is centred at sample `200·k` and complete once the 400 samples
//! after it are there. Each column is computed once, as soon as it is complete;
//! a window only copies. Sound that was heard ahead of its time and is then
//! replaced is taken back with [`Mel::rewind`].

mod bank;

use std::sync::Arc;
use std::time::Duration;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use self::bank::Bank;
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

/// Samples that [`Mel::rewind`] can take back: 500 ms, more than a model's
/// look-ahead of sound can be replaced at once.
pub const REWIND: u64 = 8_000;
/// Samples kept: those of the rewind, and those under a column that ends there.
const HISTORY: usize = REWIND as usize + WINDOW + HOP as usize;
/// Columns kept: 1.6 s, a window after the longest rewind and as much to spare.
const COLUMNS: usize = 128;

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
                self.history[slot(self.samples)] = *sample;
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
            "nobody hears more than half a second ahead"
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
        let sample = |n: u64| f64::from(history[slot(n)]);
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

/// Where sample `n` lies in the history.
fn slot(n: u64) -> usize {
    (n % HISTORY as u64) as usize
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
            *magnitude = bin.norm();
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
mod tests {
    use super::*;

    /// Noise, the same every time: sample `n` of stream `seed`.
    fn noise(seed: u64, n: u64) -> f32 {
        let mut x = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (seed << 32);
        x ^= x >> 29;
        x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (x >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn stream(seed: u64, samples: std::ops::Range<u64>) -> Vec<f32> {
        samples.map(|n| noise(seed, n)).collect()
    }

    fn window(mel: &Mel, first: i64) -> MelWindow {
        let mut window = [[0.0; MEL_STEPS]; MEL_BANDS];
        assert!(mel.window(first, &mut window), "window {first} is there");
        window
    }

    #[test]
    fn silence_is_the_lowest_cell_everywhere() {
        let mut mel = Mel::new();
        mel.push(&[0.0; 16_000]);
        assert_eq!(window(&mel, 40), [[SILENCE; MEL_STEPS]; MEL_BANDS]);
    }

    #[test]
    fn a_column_is_complete_400_samples_after_its_centre() {
        let mut mel = Mel::new();
        mel.push(&[0.1; 399]);
        assert_eq!(mel.columns(), 0);
        mel.push(&[0.1; 1]);
        assert_eq!(mel.columns(), 1);
        mel.push(&[0.1; 199]);
        assert_eq!(mel.columns(), 1);
        mel.push(&[0.1; 1]);
        assert_eq!(mel.columns(), 2);
    }

    #[test]
    fn how_the_sound_is_cut_changes_nothing() {
        let sound = stream(1, 0..12_000);
        let mut whole = Mel::new();
        whole.push(&sound);
        let mut cut = Mel::new();
        let mut left = &sound[..];
        for n in (1..).map(|n| n * 37 % 911) {
            let (now, later) = left.split_at(n.min(left.len()));
            cut.push(now);
            left = later;
            if left.is_empty() {
                break;
            }
        }
        assert_eq!(cut.columns(), whole.columns());
        assert_eq!(window(&cut, 40), window(&whole, 40));
    }

    #[test]
    fn columns_before_the_start_are_silence() {
        let mut mel = Mel::new();
        mel.push(&stream(1, 0..8_000));
        let early = window(&mel, -3);
        let first = window(&mel, 0);
        for (early, first) in early.iter().zip(&first) {
            assert_eq!(early[..3], [SILENCE; 3]);
            assert_eq!(early[3..], first[..MEL_STEPS - 3]);
        }
    }

    #[test]
    fn a_window_that_is_not_there_yet_or_no_more_is_refused() {
        let mut mel = Mel::new();
        let mut window = [[7.0; MEL_STEPS]; MEL_BANDS];
        assert!(!mel.window(-3, &mut window), "nothing was heard");
        assert!(
            mel.window(-(MEL_STEPS as i64), &mut window),
            "before the start"
        );
        mel.push(&[0.0; 64_000]);
        let next = mel.columns();
        let before = window;
        assert!(!mel.window(next - MEL_STEPS as i64 + 1, &mut window));
        assert!(!mel.window(next - COLUMNS as i64 - 1, &mut window));
        assert!(!mel.window(-2, &mut window));
        assert_eq!(window, before);
        assert!(mel.window(next - COLUMNS as i64, &mut window));
        assert!(mel.window(next - MEL_STEPS as i64, &mut window));
    }

    #[test]
    fn what_was_rewound_was_never_heard() {
        for (heard, back_to) in [
            (20_000, 12_000),
            (20_123, 20_122),
            (9_000, 1_000),
            (7_999, 0),
        ] {
            let mut mel = Mel::new();
            mel.push(&stream(1, 0..heard));
            mel.rewind(back_to);
            assert_eq!(mel.samples(), back_to);
            let other = stream(2, back_to..back_to + 9_000);
            mel.push(&other);

            let mut straight = Mel::new();
            straight.push(&stream(1, 0..back_to));
            straight.push(&other);
            assert_eq!(mel.columns(), straight.columns());
            let last = mel.columns() - MEL_STEPS as i64;
            for first in [last - 40, last - 20, last] {
                assert_eq!(window(&mel, first), window(&straight, first));
            }
        }
    }

    #[test]
    fn a_rewind_into_the_future_forgets_nothing() {
        let mut mel = Mel::new();
        mel.push(&[0.1; 1_000]);
        mel.rewind(5_000);
        assert_eq!((mel.samples(), mel.columns()), (1_000, 4));
    }

    #[test]
    fn sound_after_the_finish_replaces_what_was_made_up() {
        let sound = stream(3, 0..6_000);
        let mut mel = Mel::new();
        mel.push(&sound[..3_100]);
        mel.finish();
        assert_eq!(mel.columns(), 16);
        mel.push(&sound[3_100..]);
        let mut straight = Mel::new();
        straight.push(&sound);
        assert_eq!(window(&mel, 6), window(&straight, 6));
    }

    #[test]
    fn a_sound_shorter_than_a_column_has_an_end_too() {
        for samples in [1, 2, 150, 401] {
            let mut mel = Mel::new();
            mel.push(&stream(4, 0..samples));
            mel.finish();
            assert_eq!(mel.columns(), 1 + (samples / 200) as i64);
        }
    }

    #[test]
    fn an_hour_of_frames_starts_on_the_exact_column() {
        for frame in 0..90_000 {
            let exact = frame * 16;
            assert_eq!(first_column(frame, 0.0), (exact / 5) as i64);
            let earlier = exact as i64 - 16;
            assert_eq!(first_column(frame, -40.0), earlier.div_euclid(5));
            let later = exact as i64 + 5;
            assert_eq!(first_column(frame, 12.5), later.div_euclid(5));
        }
    }

    #[test]
    fn the_look_ahead_is_that_of_the_worst_phase() {
        // The last of 16 columns is centred 187.5 ms after the first and hears
        // 25 ms more; in phase 0 nothing is rounded away.
        assert_eq!(look_ahead(0.0), Duration::from_micros(212_500));
        assert_eq!(look_ahead(-40.0), Duration::from_micros(172_500));
        assert_eq!(look_ahead(-500.0), Duration::ZERO);
        for offset_ms in [-80.0, -40.0, -3.0, 0.0, 20.0] {
            let heard = look_ahead(offset_ms).as_secs_f64() * 16_000.0;
            for frame in 0..1_000 {
                let last = first_column(frame, offset_ms) + 15;
                let needs = last * 200 + 400;
                assert!(needs as f64 <= frame as f64 * 640.0 + heard + 1e-6);
            }
        }
    }
}
