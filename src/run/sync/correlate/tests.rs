use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// Syllables: a loudness that rises and falls a few times a second, by chance.
fn syllables(slots: usize, seed: u64) -> Vec<f64> {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut loud = vec![0.0; slots];
    let mut at = 0;
    while at + 40 < slots {
        let length = chance.random_range(10..30);
        let height = chance.random_range(0.2..1.0);
        for n in 0..length {
            loud[at + n] = height * (std::f64::consts::PI * n as f64 / length as f64).sin();
        }
        at += length + chance.random_range(0..20);
    }
    loud
}

/// A mouth of which some parts darken and some brighten with `loud`, `late_ms`
/// before it is heard, and all of them a little by themselves.
fn fit(loud: &[f64], heard: &[f64], late_ms: f64, noise: f64) -> Best {
    let mut chance = StdRng::seed_from_u64(7);
    let mut fit = Correlation::new();
    let at = |loud: &[f64], slot: f64| {
        let whole = slot.floor();
        let value = |n: f64| {
            let n = if n < 0.0 { usize::MAX } else { n as usize };
            loud.get(n).copied().unwrap_or(0.0)
        };
        value(whole) + (value(whole + 1.0) - value(whole)) * (slot - whole)
    };
    for n in 0..loud.len() as i64 / SLOTS_PER_FRAME {
        let open = at(loud, (n * SLOTS_PER_FRAME) as f64);
        let looks = std::array::from_fn(|part| {
            let weight = [0.0, -30.0, 12.0][part % 3];
            100.0 + weight * open + noise * chance.random_range(-1.0..1.0)
        });
        fit.add(&looks, |lag| {
            at(heard, (n * SLOTS_PER_FRAME + lag) as f64 - late_ms / 10.0)
        });
    }
    fit.best()
}

#[test]
fn known_offsets_are_found_between_the_frames() {
    let loud = syllables(3_000, 1);
    for late_ms in [-733.0, -120.0, -17.0, 0.0, 3.0, 40.0, 150.0, 911.0] {
        let best = fit(&loud, &loud, late_ms, 5.0);
        assert!(
            (best.lag_ms - late_ms).abs() < 4.0,
            "{} ms for {late_ms}",
            best.lag_ms
        );
        assert!(best.error_ms < 10.0, "{best:?}");
        assert!(best.confidence > 0.5, "{best:?}");
    }
}

#[test]
fn a_voice_that_is_anothers_fits_nowhere() {
    for seed in 2..12 {
        let best = fit(&syllables(3_000, 1), &syllables(3_000, seed), 0.0, 5.0);
        assert!(best.confidence < 0.2 || best.error_ms > 40.0, "{best:?}");
    }
}

#[test]
fn a_mouth_that_rests_fits_nowhere() {
    let best = fit(&vec![0.0; 3_000], &syllables(3_000, 1), 0.0, 5.0);
    assert!(best.confidence < 0.2, "{best:?}");
    let still = fit(&vec![0.0; 3_000], &syllables(3_000, 1), 0.0, 0.0);
    assert!(still.confidence < 0.2, "{still:?}");
}

#[test]
fn light_that_changes_slowly_is_not_the_voice() {
    let loud = syllables(3_000, 1);
    let mut fit = Correlation::new();
    for n in 0..750 {
        let day = f64::from(n) / 10.0;
        let open = loud[n as usize * 4];
        fit.add(
            &std::array::from_fn(|part| day + part as f64 * open),
            |lag| {
                let slot = i64::from(n) * SLOTS_PER_FRAME + lag - 10;
                usize::try_from(slot)
                    .ok()
                    .and_then(|n| loud.get(n))
                    .copied()
                    .unwrap_or(0.0)
            },
        );
    }
    assert!((fit.best().lag_ms - 100.0).abs() < 4.0);
}
