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
        (20_000, 4_000),
        (20_123, 20_122),
        (17_000, 1_000),
        (15_999, 0),
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
