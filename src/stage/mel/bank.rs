//! The Slaney mel filter bank: which bins of a spectrum make a band.

use crate::media::{MEL_BANDS, SPEECH_RATE};

/// Edges of the lowest and the highest band in hertz, as Wav2Lip sets them.
const RANGE_HZ: (f64, f64) = (55.0, 7_600.0);
/// Below this frequency Slaney's scale is linear, above it logarithmic.
const BEND_HZ: f64 = 1_000.0;
/// Hertz a mel below the bend.
const LINEAR_HZ: f64 = 200.0 / 3.0;
/// Growth of the frequency over 27 mels above the bend.
const GROWTH: f64 = 6.4;

/// Triangles over the bins of a spectrum, each of unit area (Slaney's norm).
/// A triangle covers few bins, so only those are kept.
#[derive(Debug)]
pub(super) struct Bank {
    bands: Vec<Band>,
}

#[derive(Debug)]
struct Band {
    first_bin: usize,
    weights: Vec<f64>,
}

impl Bank {
    /// The bank for the spectra of `window` samples.
    pub(super) fn new(window: usize) -> Self {
        let hz_a_bin = f64::from(SPEECH_RATE) / window as f64;
        let (low, high) = (to_mel(RANGE_HZ.0), to_mel(RANGE_HZ.1));
        let edge = |n: usize| to_hz(low + (high - low) * n as f64 / (MEL_BANDS + 1) as f64);
        let bands = (0..MEL_BANDS)
            .map(|n| {
                let (left, peak, right) = (edge(n), edge(n + 1), edge(n + 2));
                let first_bin = (left / hz_a_bin) as usize + 1;
                let weights = (first_bin..=window / 2)
                    .map(|bin| bin as f64 * hz_a_bin)
                    .take_while(|hz| *hz < right)
                    .map(|hz| {
                        let up = (hz - left) / (peak - left);
                        let down = (right - hz) / (right - peak);
                        up.min(down) * 2.0 / (right - left)
                    })
                    .collect();
                Band { first_bin, weights }
            })
            .collect();
        Self { bands }
    }

    /// The strength of each band in the spectrum of `magnitudes`.
    pub(super) fn apply(&self, magnitudes: &[f64]) -> impl Iterator<Item = f64> {
        self.bands.iter().map(|band| {
            band.weights
                .iter()
                .zip(&magnitudes[band.first_bin..])
                .map(|(weight, magnitude)| weight * magnitude)
                .sum()
        })
    }
}

fn to_mel(hz: f64) -> f64 {
    if hz < BEND_HZ {
        hz / LINEAR_HZ
    } else {
        BEND_HZ / LINEAR_HZ + 27.0 * (hz / BEND_HZ).ln() / GROWTH.ln()
    }
}

fn to_hz(mel: f64) -> f64 {
    let bend = BEND_HZ / LINEAR_HZ;
    if mel < bend {
        mel * LINEAR_HZ
    } else {
        BEND_HZ * GROWTH.powf((mel - bend) / 27.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_bends_at_a_thousand_hertz_and_turns_back() {
        assert!((to_mel(500.0) - 7.5).abs() < 1e-12);
        assert!((to_mel(6_400.0) - 42.0).abs() < 1e-12);
        for hz in [55.0, 999.0, 1_000.0, 7_600.0] {
            assert!((to_hz(to_mel(hz)) - hz).abs() < 1e-9);
        }
    }

    #[test]
    fn every_band_hears_something() {
        let bank = Bank::new(800);
        assert!(bank.apply(&[1.0; 401]).all(|strength| strength > 0.0));
    }
}
