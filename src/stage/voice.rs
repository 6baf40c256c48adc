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
mod tests;
