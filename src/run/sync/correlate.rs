//! How well each offset fits: the multiple correlation of a mouth's look with the
//! loudness at that offset (M. Slaney and M. Covell, FaceSync, 2000).
//!
//! For each offset the best weights of the look's parts follow from sums alone, so
//! nothing is kept of the frames.

use super::loudness::SLOT;
use super::mouth::LOOKS;
use crate::media::{FPS, FRAME_PERIOD};

/// Slots of loudness for each picture.
pub(super) const SLOTS_PER_FRAME: i64 = (FRAME_PERIOD.as_millis() / SLOT.as_millis()) as i64;
/// Slots of the largest offset that is tried, either way: 1.5 s. What lies beyond
/// [`SEARCHED`] only shows how well a wrong one fits.
pub(super) const REACH: i64 = 150;
/// Slots of the largest offset that is found, either way: 1 s.
const SEARCHED: usize = 100;
/// Slots around the best offset that belong to it: a syllable lasts so long.
const PEAK: usize = 25;
/// Slots to each side of the best offset that say where between the slots it is.
const TOP: usize = 4;
/// Offsets.
const LAGS: usize = 2 * REACH as usize + 1;
/// Parts that the video is dealt out to, by turns.
const PARTS: usize = 8;
/// Frames that a part gets in its turn: 2 s, over which speech has forgotten itself.
const TURN: usize = 2 * FPS as usize;
/// What of the mean variance is added to each: parts that hardly differ from
/// another one then weigh little.
const RIDGE: f64 = 1e-3;
/// Share of the loudness that chance may explain: what fits no better than that
/// isn't trusted, however much worse all else fits.
const CHANCE: f64 = 0.1;
/// Time over which means are taken that looks and loudness are compared with.
/// What changes more slowly is light, or the sentence and not the sound.
const SETTLES_S: f64 = 0.4;

/// The offset that fits best.
#[derive(Clone, Copy, Debug)]
pub(super) struct Best {
    /// How much later the loudness is, in milliseconds.
    pub(super) lag_ms: f64,
    /// The standard error, by leaving out each part in turn (the jackknife).
    pub(super) error_ms: f64,
    /// How far it stands out above all offsets that aren't near: 0 to 1.
    pub(super) confidence: f64,
    /// The correlation there.
    pub(super) correlation: f64,
}

/// Sums over frames.
#[derive(Clone)]
struct Sums {
    frames: f64,
    looks: [f64; LOOKS],
    squares: [[f64; LOOKS]; LOOKS],
    loud: Box<[Loud; LAGS]>,
}

/// Sums of one offset.
#[derive(Clone, Copy)]
struct Loud {
    sum: f64,
    square: f64,
    products: [f64; LOOKS],
}

impl Sums {
    fn new() -> Self {
        let none = Loud {
            sum: 0.0,
            square: 0.0,
            products: [0.0; LOOKS],
        };
        Self {
            frames: 0.0,
            looks: [0.0; LOOKS],
            squares: [[0.0; LOOKS]; LOOKS],
            loud: Box::new([none; LAGS]),
        }
    }

    /// Adds `other`, `sign` times.
    fn add(&mut self, other: &Self, sign: f64) {
        self.frames += sign * other.frames;
        for n in 0..LOOKS {
            self.looks[n] += sign * other.looks[n];
            for m in 0..LOOKS {
                self.squares[n][m] += sign * other.squares[n][m];
            }
        }
        for (mine, other) in self.loud.iter_mut().zip(other.loud.iter()) {
            mine.sum += sign * other.sum;
            mine.square += sign * other.square;
            for n in 0..LOOKS {
                mine.products[n] += sign * other.products[n];
            }
        }
    }

    /// The squared multiple correlation at every offset.
    fn fits(&self) -> Vec<f64> {
        let frames = self.frames.max(1.0);
        let mean = self.looks.map(|sum| sum / frames);
        let mut matrix = [[0.0; LOOKS]; LOOKS];
        for n in 0..LOOKS {
            for m in 0..LOOKS {
                matrix[n][m] = self.squares[n][m] / frames - mean[n] * mean[m];
            }
        }
        let ridge = RIDGE * (0..LOOKS).map(|n| matrix[n][n]).sum::<f64>() / LOOKS as f64;
        (0..LOOKS).for_each(|n| matrix[n][n] += ridge + f64::MIN_POSITIVE);
        let lower = cholesky(&matrix);
        let fit = |loud: &Loud| {
            let middle = loud.sum / frames;
            let variance = loud.square / frames - middle * middle;
            if variance <= f64::EPSILON {
                return 0.0;
            }
            let shared = std::array::from_fn(|n| loud.products[n] / frames - mean[n] * middle);
            (explained(&lower, &shared) / variance).clamp(0.0, 1.0)
        };
        self.loud.iter().map(fit).collect()
    }
}

/// Looks and loudness, as they come.
pub(super) struct Correlation {
    parts: Vec<Sums>,
    frames: usize,
    looks: [Mean; LOOKS],
    loud: LoudMeans,
    row: [f64; LAGS],
}

impl Correlation {
    pub(super) fn new() -> Self {
        Self {
            parts: vec![Sums::new(); PARTS],
            frames: 0,
            looks: [Mean::default(); LOOKS],
            loud: LoudMeans::default(),
            row: [0.0; LAGS],
        }
    }

    /// A frame in which no mouth shows.
    pub(super) fn skip(&mut self) {
        self.frames += 1;
        // Where it shows again is another look.
        self.looks = [Mean::default(); LOOKS];
    }

    /// Adds a frame. `loudness` says how loud it is at an offset of so many slots.
    pub(super) fn add(&mut self, looks: &[f64; LOOKS], loudness: impl Fn(i64) -> f64) {
        let part = &mut self.parts[self.frames / TURN % PARTS];
        self.frames += 1;
        let mut look = [0.0; LOOKS];
        let mut fresh = false;
        for (n, mean) in self.looks.iter_mut().enumerate() {
            fresh |= mean.0.is_none();
            look[n] = mean.leave(looks[n], 1.0 / f64::from(FPS));
        }
        self.loud.around(&loudness, &mut self.row);
        if fresh {
            return;
        }
        part.frames += 1.0;
        for n in 0..LOOKS {
            part.looks[n] += look[n];
            for m in 0..LOOKS {
                part.squares[n][m] += look[n] * look[m];
            }
        }
        for (loud, value) in part.loud.iter_mut().zip(self.row) {
            loud.sum += value;
            loud.square += value * value;
            for (product, seen) in loud.products.iter_mut().zip(look) {
                *product += seen * value;
            }
        }
    }

    /// The offset that fits best.
    pub(super) fn best(&self) -> Best {
        let mut all = Sums::new();
        self.parts.iter().for_each(|part| all.add(part, 1.0));
        let fits = all.fits();
        let at = highest(&fits, REACH as usize, SEARCHED);
        let elsewhere = (0..LAGS).filter(|n| n.abs_diff(at) > PEAK);
        let second = elsewhere.map(|n| fits[n]).fold(0.0, f64::max);
        let without: Vec<f64> = self
            .parts
            .iter()
            .filter(|part| part.frames > 0.0)
            .map(|part| {
                let mut rest = all.clone();
                rest.add(part, -1.0);
                let fits = rest.fits();
                between(&fits, highest(&fits, at, PEAK))
            })
            .collect();
        let count = without.len().max(1) as f64;
        let mean = without.iter().sum::<f64>() / count;
        let scatter: f64 = without.iter().map(|x| (x - mean).powi(2)).sum();
        let slot_ms = SLOT.as_millis() as f64;
        Best {
            lag_ms: (between(&fits, at) - REACH as f64) * slot_ms,
            error_ms: (scatter * (count - 1.0) / count).sqrt() * slot_ms,
            confidence: ((fits[at] - second) / (fits[at] + CHANCE)).max(0.0),
            correlation: fits[at].sqrt(),
        }
    }
}

/// The highest of `fits` that is within `reach` of `middle`.
fn highest(fits: &[f64], middle: usize, reach: usize) -> usize {
    let near = middle.saturating_sub(reach)..=(middle + reach).min(fits.len() - 1);
    near.max_by(|a, b| fits[*a].total_cmp(&fits[*b]))
        .unwrap_or(middle)
}

/// The top of the parabola that lies best through the fits around `at`: a few of
/// them, since each errs a little.
fn between(fits: &[f64], at: usize) -> f64 {
    let from = at.saturating_sub(TOP);
    let Some(top) = fits.get(from..=at + TOP).filter(|top| top.len() > 2 * TOP) else {
        return at as f64;
    };
    let steps = (0..top.len()).map(|n| n as f64 - TOP as f64);
    let count = top.len() as f64;
    let squares = steps.clone().map(|x| x * x).sum::<f64>();
    let (mut slope, mut bend, mut spread) = (0.0, 0.0, 0.0);
    for (x, y) in steps.zip(top) {
        let square = x * x - squares / count;
        slope += x * y / squares;
        bend += square * y;
        spread += square * square;
    }
    if bend >= 0.0 {
        return at as f64;
    }
    at as f64 + (-slope * spread / (2.0 * bend)).clamp(-(TOP as f64), TOP as f64)
}

/// A running mean that is taken off.
#[derive(Clone, Copy, Default)]
struct Mean(Option<f64>);

impl Mean {
    /// What of `value` the mean leaves; then it moves on by `seconds`.
    fn leave(&mut self, value: f64, seconds: f64) -> f64 {
        let mean = self.0.get_or_insert(value);
        let share = 1.0 - (-seconds / SETTLES_S).exp();
        *mean += share * (value - *mean);
        value - *mean
    }
}

/// The loudness around a frame without its own running mean.
#[derive(Default)]
struct LoudMeans {
    /// The mean before the first slot of a frame's reach.
    before: Mean,
}

impl LoudMeans {
    fn around(&mut self, loudness: &impl Fn(i64) -> f64, row: &mut [f64; LAGS]) {
        let slot = SLOT.as_secs_f64();
        let mut mean = self.before;
        for (n, value) in row.iter_mut().enumerate() {
            *value = mean.leave(loudness(n as i64 - REACH), slot);
            if n as i64 + 1 == SLOTS_PER_FRAME {
                // Where the next frame's reach begins.
                self.before = mean;
            }
        }
    }
}

/// The lower triangle whose square is `matrix`.
fn cholesky(matrix: &[[f64; LOOKS]; LOOKS]) -> [[f64; LOOKS]; LOOKS] {
    let mut lower = [[0.0; LOOKS]; LOOKS];
    for n in 0..LOOKS {
        for m in 0..=n {
            let sum: f64 = (0..m).map(|k| lower[n][k] * lower[m][k]).sum();
            lower[n][m] = if n == m {
                (matrix[n][n] - sum).max(f64::MIN_POSITIVE).sqrt()
            } else {
                (matrix[n][m] - sum) / lower[m][m]
            };
        }
    }
    lower
}

/// `sharedᵀ · matrix⁻¹ · shared`.
fn explained(lower: &[[f64; LOOKS]; LOOKS], shared: &[f64; LOOKS]) -> f64 {
    let mut solved = [0.0; LOOKS];
    for n in 0..LOOKS {
        let sum: f64 = (0..n).map(|k| lower[n][k] * solved[k]).sum();
        solved[n] = (shared[n] - sum) / lower[n][n];
    }
    solved.iter().map(|x| x * x).sum()
}

#[cfg(test)]
mod tests;
