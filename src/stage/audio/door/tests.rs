use super::*;
use std::f64::consts::TAU;
use std::time::Duration;

const ALL_RATES: [u32; 10] = [
    8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 47_999, 48_000, 96_000, 192_000,
];

/// Both rates of everything that comes out for `input`.
fn through(rate: u32, channels: usize, input: &[f32], step: usize) -> (Vec<f32>, Vec<f32>) {
    let mut door = Door::new(rate, channels).expect("a sensible source");
    let (mut sound, mut speech) = (Vec::new(), Vec::new());
    let mut collect = |chunk: &AudioChunk| {
        sound.extend_from_slice(&chunk.sound);
        speech.extend_from_slice(&chunk.speech);
    };
    for part in input.chunks(step * channels) {
        door.push(part, None, &mut collect);
    }
    door.finish(&mut collect);
    (sound, speech)
}

fn sine(rate: u32, hz: f64, seconds: f64, channels: usize) -> Vec<f32> {
    let frames = (f64::from(rate) * seconds) as usize;
    let value = |n: usize| (0.5 * (TAU * hz * n as f64 / f64::from(rate)).sin()) as f32;
    (0..frames)
        .flat_map(|n| std::iter::repeat_n(value(n), channels))
        .collect()
}

/// The largest difference from the sine that went in, away from the ends.
fn error(out: &[f32], rate: u32, hz: f64, seconds: f64) -> f32 {
    let edge = rate as usize / 50;
    let wanted = sine(rate, hz, seconds, 1);
    let pairs = out.iter().zip(&wanted).skip(edge);
    pairs
        .take(wanted.len() - 2 * edge)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn a_sine_of_any_rate_comes_out_with_its_phase_and_loudness() {
    for rate in ALL_RATES {
        for channels in [1, 2, 6] {
            let input = sine(rate, 1_000.0, 0.3, channels);
            let (sound, speech) = through(rate, channels, &input, 333);
            // 0.5 × 2π × 1000 Hz × 1.2 µs: far less than half a sample.
            for (out, to) in [(&sound, SOUND_RATE), (&speech, SPEECH_RATE)] {
                let error = error(out, to, 1_000.0, 0.3);
                assert!(
                    error < 0.004,
                    "{rate} Hz × {channels} -> {to}: off by {error}"
                );
            }
        }
    }
}

#[test]
fn an_impulse_stays_where_it_was() {
    for rate in ALL_RATES {
        let mut input = vec![0.0; rate as usize / 5];
        input[rate as usize / 10] = 1.0;
        let (sound, speech) = through(rate, 1, &input, 100);
        for (out, to) in [(sound, SOUND_RATE), (speech, SPEECH_RATE)] {
            let loudest = |a: &usize, b: &usize| out[*a].abs().total_cmp(&out[*b].abs());
            let at = (0..out.len()).max_by(loudest).expect("sound");
            let put = (rate / 10) as usize as f64 / f64::from(rate);
            let late = (at as f64 / f64::from(to) - put).abs();
            // The peak falls between two samples of the output.
            assert!(late <= 0.51 / f64::from(to), "{rate} -> {to}: {late} s");
        }
    }
}

#[test]
fn what_the_lower_rate_cannot_hold_does_not_fold_back() {
    let loudness = |out: &[f32]| {
        let inner = &out[out.len() / 4..out.len() * 3 / 4];
        (inner.iter().map(|s| s * s).sum::<f32>() / inner.len() as f32).sqrt()
    };
    for (rate, hz) in [(44_100, 9_000.0), (48_000, 12_000.0), (96_000, 21_000.0)] {
        let (_, speech) = through(rate, 1, &sine(rate, hz, 0.4, 1), 480);
        let db = 20.0 * (loudness(&speech) / 0.3535).log10();
        assert!(db < -65.0, "{hz} Hz at {rate}: {db} dB");
    }
    let (sound, speech) = through(192_000, 1, &sine(192_000, 30_000.0, 0.4, 1), 480);
    assert!(loudness(&sound) < 2e-4 && loudness(&speech) < 2e-4);
}

#[test]
fn speech_keeps_its_band() {
    for rate in [22_050, 44_100, 48_000, 192_000] {
        let (_, speech) = through(rate, 1, &sine(rate, 7_000.0, 0.3, 1), 480);
        let error = error(&speech, SPEECH_RATE, 7_000.0, 0.3);
        // 0.5 × 2π × 7000 Hz × 0.9 µs.
        assert!(error < 0.02, "7 kHz at {rate} Hz: off by {error}");
    }
}

#[test]
fn the_size_of_a_push_changes_nothing() {
    for (rate, channels) in [(8_000, 1), (44_100, 2), (48_000, 6), (192_000, 1)] {
        let input = sine(rate, 300.0, 0.25, channels);
        let whole = through(rate, channels, &input, input.len());
        assert_eq!(whole.0.len(), 7 * SOUND_SAMPLES, "250 ms are begun chunks");
        for step in [1, 7, 160, 441, 4_096] {
            assert!(
                through(rate, channels, &input, step) == whole,
                "{rate}: {step}"
            );
        }
    }
}

#[test]
fn channels_are_mixed_and_bad_samples_are_harmless() {
    let input: Vec<f32> = [1.0, 0.0, f32::NAN, 5.0, f32::INFINITY, -1.0].repeat(48_000 / 25);
    let (sound, _) = through(48_000, 2, &input, 50);
    assert_eq!(sound[..3], [0.5, 0.5, -0.5]);
    let (sound, speech) = through(44_100, 1, &input, 50);
    assert!(sound.iter().chain(&speech).all(|s| s.abs() <= 1.0));
}

#[test]
fn a_chunk_is_accepted_when_its_first_sample_comes() {
    let start = Instant::now();
    let mut door = Door::new(44_100, 1).expect("a sensible source");
    let mut heard = Vec::new();
    for n in 0..20 {
        let at = start + Duration::from_millis(10 * n);
        door.push(&[0.0; 441], Some(at), |chunk| heard.push(chunk.accepted));
    }
    door.finish(|chunk| heard.push(chunk.accepted));
    let ms = |ms| Some(start + Duration::from_millis(ms));
    assert_eq!(heard, [ms(0), ms(40), ms(80), ms(120), ms(160)]);
}

#[test]
fn a_finished_door_is_as_new() {
    let mut door = Door::new(22_050, 1).expect("a sensible source");
    let input = sine(22_050, 500.0, 0.1, 1);
    let mut once = || {
        let mut out = Vec::new();
        door.push(&input, None, |chunk| out.push(*chunk));
        door.finish(|chunk| out.push(*chunk));
        out
    };
    let first = once();
    assert_eq!(first.len(), 3);
    assert!(once() == first);
    door.finish(|_| panic!("nothing came in"));
}

#[test]
fn absurd_sources_are_refused_in_a_sentence() {
    for (rate, channels) in [
        (0, 1),
        (7_999, 1),
        (4_000_000, 2),
        (48_000, 0),
        (48_000, 33),
    ] {
        let error = Door::new(rate, channels)
            .err()
            .expect("refused")
            .to_string();
        assert!(error.contains("convert it to"), "{error}");
    }
}
