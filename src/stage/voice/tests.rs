use super::*;

/// Chunks of the sound `at(sample)`.
fn hear(voice: &mut Voice, chunks: usize, mut at: impl FnMut(usize) -> f32) -> usize {
    (0..chunks)
        .filter(|chunk| {
            let speech = std::array::from_fn(|n| at(chunk * SPEECH_SAMPLES + n));
            voice.hear(&speech)
        })
        .count()
}

/// White noise of about `rms`, the same every time.
fn white(rms: f32) -> impl FnMut(usize) -> f32 {
    let mut state = 1_u32;
    move |_| {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..12).map(|_| next()).sum::<f32>() * rms
    }
}

/// White noise without its high tones.
fn dull(rms: f32, keep: f32) -> impl FnMut(usize) -> f32 {
    let (mut noise, mut low) = (white(rms / (keep / (2.0 - keep)).sqrt()), 0.0);
    move |n| {
        low += keep * (noise(n) - low);
        low
    }
}

fn hum(rms: f32) -> impl FnMut(usize) -> f32 {
    move |n| {
        let turns = 50.0 * n as f32 / 16_000.0;
        let tone = |k: f32| (turns * k * std::f32::consts::TAU).sin() / k;
        rms * (tone(1.0) + tone(3.0) + tone(5.0))
    }
}

/// Ten seconds of chunks.
const TEN_SECONDS: usize = 250;

#[test]
fn the_mouth_rests_in_silence_and_in_steady_noise() {
    type Sound = Box<dyn FnMut(usize) -> f32>;
    let sounds: [(&str, Sound); 6] = [
        ("silence", Box::new(|_| 0.0)),
        ("white noise", Box::new(white(0.03))),
        ("faint white noise", Box::new(white(0.001))),
        ("brownish noise", Box::new(dull(0.03, 0.05))),
        ("dull noise", Box::new(dull(0.03, 0.3))),
        ("hum", Box::new(hum(0.03))),
    ];
    for (name, sound) in sounds {
        let mut voice = Voice::new(&Config::default());
        let talking = hear(&mut voice, TEN_SECONDS, sound);
        assert!(talking <= TEN_SECONDS / 100, "{name}: {talking} chunks");
    }
}

#[test]
fn a_roaring_fan_is_no_voice_after_three_seconds() {
    let mut voice = Voice::new(&Config::default());
    let mut fan = dull(0.3, 0.3);
    hear(&mut voice, FLOOR_CHUNKS + 10, &mut fan);
    assert_eq!(hear(&mut voice, TEN_SECONDS, &mut fan), 0);
}

#[test]
fn samples_that_are_no_numbers_are_silence() {
    let mut voice = Voice::new(&Config::default());
    assert_eq!(hear(&mut voice, 25, |_| f32::NAN), 0);
    hear(&mut voice, 25, |n| {
        [f32::INFINITY, f32::NEG_INFINITY][n % 2]
    });
    hear(&mut voice, 25, |_| 0.0);
    assert!(!voice.open() && voice.rumble.is_finite());
}

#[test]
fn values_with_which_no_mouth_would_move_are_refused() {
    Config::default().check().expect("the defaults are fine");
    let wrong = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        config.check().expect_err("it can't work").to_string()
    };
    for (change, key) in [
        ((|c| c.open = 5.0) as fn(&mut Config), "voice.open is 5;"),
        (|c| c.open = f32::NAN, "voice.open is NaN;"),
        (|c| c.close = 0.8, "voice.close is 0.8;"),
        (|c| c.open_chunks = 0, "voice.open_chunks is 0;"),
        (|c| c.hold_ms = 5_001, "voice.hold_ms is 5001;"),
        (|c| c.floor_db = 1.0, "voice.floor_db is 1;"),
        (|c| c.margin_db = f32::INFINITY, "voice.margin_db is inf;"),
    ] {
        let sentence = wrong(change);
        assert!(sentence.starts_with(key), "{sentence}");
    }
    assert!(wrong(|c| c.open = 0.3).contains("0.3 (as voice.open is)"));
}

/// What the gate makes of `scores`, as a row of `#` (talk) and `.`.
fn gate(config: &Config, scores: &[f32]) -> String {
    let mut gate = Gate::new(config);
    let talk = scores.iter().map(|score| gate.hear(*score));
    talk.map(|open| if open { '#' } else { '.' }).collect()
}

#[test]
fn talk_begins_at_once_and_ends_after_the_hold() {
    let config = Config {
        hold_ms: 120,
        ..Config::default()
    };
    let scores = [0.1, 0.9, 0.5, 0.1, 0.1, 0.5, 0.1, 0.1, 0.1, 0.6];
    assert_eq!(gate(&config, &scores), ".#######..");
    let config = Config {
        open_chunks: 2,
        ..config
    };
    let scores = [0.9, 0.1, 0.9, 0.9, 0.1, 0.1, 0.1];
    assert_eq!(gate(&config, &scores), "...###.");
}

#[test]
fn talk_that_was_never_sure_ends_soon() {
    let scores = [0.75, 0.6, 0.75, 0.6, 0.6, 0.6];
    assert_eq!(gate(&Config::default(), &scores), "####..");
    let scores = [0.75, 0.85, 0.6, 0.6, 0.6, 0.6];
    assert_eq!(gate(&Config::default(), &scores), "######");
}

#[test]
fn a_mouth_comes_alive_in_5_frames_and_settles_in_10() {
    let mut ease = Ease::new();
    assert_eq!(ease.weight(), 0.0);
    let rise: Vec<f32> = (0..ATTACK).map(|_| ease.step(true)).collect();
    assert!(rise.is_sorted() && rise[ATTACK as usize - 2] < 1.0);
    assert_eq!((ease.weight(), ease.step(true)), (1.0, 1.0));
    let fall: Vec<f32> = (0..RELEASE).map(|_| ease.step(false)).collect();
    assert!(fall.is_sorted_by(|a, b| a > b) && fall[RELEASE as usize - 2] > 0.0);
    assert_eq!((ease.weight(), ease.step(false)), (0.0, 0.0));
}

#[test]
fn a_mouth_that_turns_back_midway_does_not_jump() {
    // The steepest part of the way up, taken in one frame.
    let most = 1.5 / ATTACK as f32;
    let mut ease = Ease::new();
    let mut before = 0.0;
    for talking in [3, 2, 6, 1, 1, 7, 4, 20]
        .into_iter()
        .enumerate()
        .flat_map(|(n, frames)| std::iter::repeat_n(n % 2 == 0, frames))
    {
        let weight = ease.step(talking);
        assert!((weight - before).abs() <= most, "{before} to {weight}");
        before = weight;
    }
    assert_eq!(before, 0.0);
}
