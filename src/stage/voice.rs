//! Whether somebody speaks: the mouth rests in silence and in noise.
//!
//! A small neural network scores each chunk of sound; a gate with hysteresis
//! makes talk of the scores, and [`Ease`] makes a mouth's weight of the talk,
//! so that it neither flutters nor jumps.

use earshot::Detector;
use serde::{Deserialize, Serialize};

use crate::bounds::{OutOfBounds, within};
use crate::media::{FRAME_PERIOD, SPEECH_SAMPLES};

/// When sound counts as voice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Score from 0 to 1 above which talk begins. Steady noise at -30 dBFS stays
    /// below it; voices passed it 60 ms after their first tone, 120 at most.
    pub open: f32,
    /// Score below which talk may end.
    pub close: f32,
    /// Chunks in a row above `open` that begin talk.
    pub open_chunks: u32,
    /// How long the score must stay below `close` before talk ends, in
    /// milliseconds: longer than the closed lips of a `p` or a short breath,
    /// and than a model's look-ahead, by which the gate is early.
    pub hold_ms: u32,
    /// Level in dB of full scale below which nothing is voice.
    pub floor_db: f32,
    /// Decibels by which a voice stands out from the quietest moment of the
    /// last three seconds.
    pub margin_db: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            open: 0.7,
            close: 0.4,
            open_chunks: 1,
            hold_ms: 320,
            floor_db: -70.0,
            margin_db: 6.0,
        }
    }
}

impl Config {
    /// Refuses values with which the mouth would never move, or never rest.
    ///
    /// # Errors
    ///
    /// A sentence that names the key and its bounds.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        within("voice.open", self.open, 0.0..=1.0)?;
        within("voice.close", self.close, 0.0..=self.open)
            .map_err(|e| e.not_above("voice.open"))?;
        within("voice.open_chunks", self.open_chunks, 1..=25)?;
        within("voice.hold_ms", self.hold_ms, 0..=5_000)?;
        within("voice.floor_db", self.floor_db, SILENCE_DB..=0.0)?;
        within("voice.margin_db", self.margin_db, 0.0..=40.0)
    }
}

/// Samples that the network hears at a time: 16 ms.
const FRAME: usize = 256;
/// Chunks among which the quietest is the noise floor: 3 s. Running speech
/// falls silent for a moment more often than that, a fan never does.
const FLOOR_CHUNKS: usize = 75;
/// Share of a sample in the running mean of what lies below 200 Hz. The level
/// down there wanders from chunk to chunk, however steady it is to the ear.
const RUMBLE: f32 = std::f32::consts::TAU * 200.0 / 16_000.0;
/// The level of digital silence, in dB of full scale.
const SILENCE_DB: f32 = -120.0;

/// Voice activity of one stream.
pub struct Voice {
    detector: Box<Detector>,
    /// Samples that don't fill a frame of the network yet.
    rest: [f32; FRAME],
    rest_len: usize,
    rumble: f32,
    levels: Levels,
    gate: Gate,
    floor_db: f32,
    margin_db: f32,
}

impl Voice {
    /// A stream that begins in silence.
    pub fn new(config: &Config) -> Self {
        Self {
            detector: Box::default(),
            rest: [0.0; FRAME],
            rest_len: 0,
            rumble: 0.0,
            levels: Levels::new(),
            gate: Gate::new(config),
            floor_db: config.floor_db,
            margin_db: config.margin_db,
        }
    }

    /// Hears the next chunk. Returns whether somebody speaks.
    pub fn hear(&mut self, speech: &[f32; SPEECH_SAMPLES]) -> bool {
        let score = self.score(speech);
        self.gate.hear(score)
    }

    /// Whether somebody spoke in the last chunk.
    pub fn open(&self) -> bool {
        self.gate.open
    }

    /// Forgets what was heard, when other sound takes its place.
    pub fn reset(&mut self) {
        self.detector.reset();
        self.rest_len = 0;
        self.rumble = 0.0;
        self.levels = Levels::new();
        self.gate.reset();
    }

    /// The chunk's score from 0 to 1: the highest of its frames, or 0 for what
    /// is too quiet to be a voice here.
    fn score(&mut self, speech: &[f32; SPEECH_SAMPLES]) -> f32 {
        // The network wants full scale at most, and real numbers.
        let speech = speech.map(|sample| {
            if sample.is_nan() {
                0.0
            } else {
                sample.clamp(-1.0, 1.0)
            }
        });
        let mut score = 0.0_f32;
        for sample in speech {
            self.rest[self.rest_len] = sample;
            self.rest_len += 1;
            if self.rest_len == FRAME {
                score = score.max(self.detector.predict_f32(&self.rest));
                self.rest_len = 0;
            }
        }
        // The network takes loud steady noise for a voice (a fan at -20 dBFS
        // scores 0.7, pink noise at -10 dBFS 0.85). A voice rises and falls by
        // far more than that noise does.
        let level = level_db(speech.into_iter());
        let above_rumble = level_db(speech.into_iter().map(|sample| {
            self.rumble += RUMBLE * (sample - self.rumble);
            sample - self.rumble
        }));
        let floor = self.levels.add(above_rumble);
        if level < self.floor_db || above_rumble < floor + self.margin_db {
            0.0
        } else {
            score
        }
    }
}

/// The levels of the last [`FLOOR_CHUNKS`] chunks.
struct Levels {
    db: [f32; FLOOR_CHUNKS],
    next: usize,
}

impl Levels {
    /// Silence came before, so that a voice which comes first is heard.
    fn new() -> Self {
        Self {
            db: [SILENCE_DB; FLOOR_CHUNKS],
            next: 0,
        }
    }

    /// Notes a chunk's level and returns the lowest one.
    fn add(&mut self, db: f32) -> f32 {
        self.db[self.next] = db;
        self.next = (self.next + 1) % FLOOR_CHUNKS;
        self.db.iter().copied().fold(f32::INFINITY, f32::min)
    }
}

fn level_db(samples: impl Iterator<Item = f32>) -> f32 {
    let power = samples.map(|sample| sample * sample).sum::<f32>() / SPEECH_SAMPLES as f32;
    (10.0 * power.log10()).max(SILENCE_DB)
}

/// A score that a voice soon reaches, and a burst of noise does not: those
/// measured ended at 0.73. Loud steady noise reaches it, and is told by its level.
const SURE: f32 = 0.8;
/// Chunks below `open` that end talk which was never sure: noise that sets in
/// suddenly scores like the beginning of a voice, but doesn't go on like one.
const UNSURE_CHUNKS: u32 = 2;

/// Talk, made of scores: begins at once, and ends only after a while.
#[derive(Debug)]
struct Gate {
    open: bool,
    /// Whether this talk was a voice without doubt at least once.
    sure: bool,
    above: f32,
    below: f32,
    open_chunks: u32,
    hold_chunks: u32,
    /// Chunks in a row that spoke for a change.
    run: u32,
}

impl Gate {
    fn new(config: &Config) -> Self {
        Self {
            open: false,
            sure: false,
            above: config.open,
            below: config.close.min(config.open),
            open_chunks: config.open_chunks.max(1),
            hold_chunks: config
                .hold_ms
                .div_ceil(FRAME_PERIOD.as_millis() as u32)
                .max(1),
            run: 0,
        }
    }

    /// Hears the score of one chunk. Returns whether somebody speaks.
    fn hear(&mut self, score: f32) -> bool {
        let (for_a_change, enough) = match (self.open, self.sure) {
            (false, _) => (score > self.above, self.open_chunks),
            (true, false) => (score < self.above, UNSURE_CHUNKS.min(self.hold_chunks)),
            (true, true) => (score < self.below, self.hold_chunks),
        };
        self.run = if for_a_change { self.run + 1 } else { 0 };
        if self.run == enough {
            self.open = !self.open;
            self.sure = false;
            self.run = 0;
        }
        self.sure |= self.open && score >= SURE.max(self.above);
        self.open
    }

    fn reset(&mut self) {
        self.open = false;
        self.sure = false;
        self.run = 0;
    }
}

/// Frames in which a mouth comes alive.
pub const ATTACK: u32 = 5;
/// Frames in which a mouth settles.
pub const RELEASE: u32 = 10;

/// How much of the talking mouth shows, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ease {
    /// Way from rest to talk. The weight is a function of it alone, so turning
    /// back midway is no jump.
    way: f32,
}

impl Ease {
    /// A mouth at rest.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves by one frame, towards talk or towards rest, and returns the weight.
    pub fn step(&mut self, talking: bool) -> f32 {
        self.way += if talking {
            1.0 / ATTACK as f32
        } else {
            -1.0 / RELEASE as f32
        };
        // Where steps add up to almost 1 or 0, it is meant to be there.
        const NEAR: f32 = 1e-4;
        if self.way < NEAR {
            self.way = 0.0;
        } else if self.way > 1.0 - NEAR {
            self.way = 1.0;
        }
        self.weight()
    }

    /// The weight of the talking mouth: 0 is the avatar's own, 1 the model's.
    pub fn weight(&self) -> f32 {
        self.way * self.way * (3.0 - 2.0 * self.way)
    }
}

#[cfg(test)]
mod tests {
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
}
