//! From sound to what the model hears, and to whether anybody speaks.

use std::collections::VecDeque;
use std::time::Duration;

use super::{NOBODY, Speaker};
use crate::media::{AudioChunk, FRAME_PERIOD, SPEECH_SAMPLES};
use crate::model::Manifest;
use crate::stage::mel::Ear;
use crate::stage::voice::{self, Ease, Voice};

/// One stream as it is heard.
pub(super) struct Hearing {
    pub depth: usize,
    pub line: VecDeque<Heard>,
    /// Chunks that were played since the ear began to hear.
    pub played: u64,
    pub ear: Ear,
    voice: Voice,
    pub ease: Ease,
}

impl Hearing {
    pub fn new(model: &Manifest, voice: &voice::Config) -> Self {
        let depth = depth(model);
        Self {
            depth,
            line: VecDeque::with_capacity(depth + 1),
            played: 0,
            ear: Ear::new(model),
            voice: Voice::new(voice),
            ease: Ease::default(),
        }
    }

    /// Hears for another model, which begins with what waits. If it hears further
    /// the sound will wait longer; if not, what came in between isn't heard.
    pub fn take_over(&mut self, model: &Manifest) {
        self.depth = depth(model);
        self.ear = Ear::new(model);
        self.played = 0;
        for heard in &self.line {
            self.ear.push(&heard.chunk.speech);
        }
    }

    pub fn hear(&mut self, chunk: &AudioChunk, speaker: Speaker) {
        self.ear.push(&chunk.speech);
        self.line.push_back(Heard {
            chunk: *chunk,
            speaker,
            // What stands in for late sound says nothing about the voice.
            voiced: speaker != NOBODY && self.voice.hear(&chunk.speech),
        });
    }

    pub fn forget(&mut self) {
        self.ear.rewind(self.played * SPEECH_SAMPLES as u64);
        self.voice.reset();
        self.line.clear();
    }

    /// Lets the silence go that stands in for late sound, at the line's end.
    pub fn forget_silence(&mut self) {
        while self.line.back().is_some_and(|last| last.speaker == NOBODY) {
            self.line.pop_back();
        }
        let heard = self.played + self.line.len() as u64;
        self.ear.rewind(heard * SPEECH_SAMPLES as u64);
    }

    /// Whether the mouth shall move: already before the voice comes, as far as
    /// the line reaches.
    pub fn talk(&self) -> bool {
        self.line.iter().any(|heard| heard.voiced)
    }

    /// The chunk that has waited longest, and which one it is of the ear's stream.
    pub fn play(&mut self) -> (Heard, u64) {
        let heard = self.line.pop_front().expect("the line is full");
        self.played += 1;
        (heard, self.played - 1)
    }
}

/// Chunks that wait, so that `model` hears far enough ahead.
fn depth(model: &Manifest) -> usize {
    // The chunk of the frame itself is 40 ms of the future already.
    let ahead = Duration::from_secs_f64(model.look_ahead_ms / 1e3).saturating_sub(FRAME_PERIOD);
    ahead.as_micros().div_ceil(FRAME_PERIOD.as_micros()) as usize
}

/// One chunk on its way to its frame.
pub(super) struct Heard {
    pub chunk: AudioChunk,
    pub speaker: Speaker,
    voiced: bool,
}
