//! What is said next: pushed speech before the source, the source before silence.
//!
//! Speech brings its future with it: when it begins, what waited of the source
//! is let go and the line is filled from the speech at once, so that the mouth
//! moves with the next frame. Live sound has no future to read, so its line
//! begins with silence, and that is its delay.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::media::{AudioChunk, FRAME_PERIOD};
use crate::pool::Frame;
use crate::run::looped::Looped;
use crate::run::renderer::{Renderer, SOURCE, Speaker};
use crate::run::speech::{Speech, Spoken, Voice};
use crate::stage::audio::file;

/// How long a file that loops is quiet after an interrupt.
const HUSH: Duration = Duration::from_secs(3);

/// What an interrupt cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Interrupted {
    /// Whether anything was being said, or waited to be.
    pub interrupted: bool,
    /// Milliseconds of the utterance that were played.
    pub played_ms: u64,
}

/// 40 ms of the show.
pub struct Played {
    /// The sound.
    pub chunk: AudioChunk,
    /// Whether the mouth moves, or pushed speech plays.
    pub talking: bool,
    /// The picture, when somebody watches.
    pub frame: Option<Frame>,
}

/// Feeds the renderer, one frame at a time.
pub struct Script {
    renderer: Renderer,
    speech: Speech,
    voice: Voice,
    looped: Option<Looped>,
    hush: Duration,
    /// Chunks of pushed speech in the renderer's line.
    waiting: usize,
    /// Who spoke last of those that were pushed, and how much of it was played.
    speaker: Speaker,
    played: Duration,
}

impl Script {
    /// A script that plays `file` in a loop when nothing is pushed.
    ///
    /// # Errors
    ///
    /// When `file` is no sound.
    pub fn new(
        renderer: Renderer,
        speech: Speech,
        voice: Voice,
        file: Option<&Path>,
    ) -> Result<Self, file::Error> {
        Ok(Self {
            renderer,
            speech,
            voice,
            looped: file.map(Looped::start).transpose()?,
            hush: Duration::ZERO,
            waiting: 0,
            speaker: SOURCE,
            played: Duration::ZERO,
        })
    }

    /// Plays one frame for the moment `pts`. `live` is the chunk of live sound
    /// that came with it, if one did.
    pub fn play(
        &mut self,
        now: Instant,
        pts: Duration,
        live: Option<&AudioChunk>,
        watched: bool,
    ) -> Played {
        self.fill(live);
        let played = self
            .renderer
            .play(now, pts, watched)
            .expect("the line was filled");
        let pushed = played.speaker != SOURCE;
        if pushed {
            self.waiting -= 1;
            if self.speaker != played.speaker {
                self.speaker = played.speaker;
                self.played = Duration::ZERO;
            }
            self.played += FRAME_PERIOD;
        }
        Played {
            chunk: played.chunk,
            talking: pushed || played.mouth,
            frame: played.frame,
        }
    }

    /// Silences what is pushed, whether it plays or waits. A file that loops
    /// begins anew after a while.
    pub fn interrupt(&mut self) -> Interrupted {
        let cleared = self.speech.clear();
        let pushed = self.waiting > 0 || cleared.utterances > 0;
        // What played to its end was not interrupted.
        let played = if self.waiting > 0 {
            self.played
        } else {
            Duration::ZERO
        };
        self.renderer.forget();
        self.waiting = 0;
        self.speaker = SOURCE;
        if let Some(looped) = &mut self.looped {
            looped.rewind();
            self.hush = HUSH;
        }
        Interrupted {
            interrupted: pushed,
            played_ms: played.as_millis() as u64,
        }
    }

    /// Gives the renderer what it lacks for one frame.
    fn fill(&mut self, live: Option<&AudioChunk>) {
        let mut next = None;
        if self.waiting > 0 {
            next = self.next_pushed();
        } else if self.voice.ready(self.renderer.depth() + 1) {
            next = self.next_pushed();
            if next.is_some() {
                // Nothing pushed is on its way, so nobody misses what is let go.
                self.renderer.forget();
            }
        }
        while self.renderer.lacks() > 0 {
            if let Some((speaker, chunk)) = next.take() {
                self.renderer.hear(&chunk, speaker);
                self.waiting += 1;
                next = self.next_pushed_if(self.renderer.lacks() > 0);
            } else {
                let last = self.renderer.lacks() == 1;
                let chunk = self.next_of_source(live.filter(|_| last));
                self.renderer.hear(&chunk, SOURCE);
            }
        }
    }

    fn next_pushed_if(&mut self, wanted: bool) -> Option<(Speaker, AudioChunk)> {
        wanted.then(|| self.next_pushed()).flatten()
    }

    fn next_pushed(&mut self) -> Option<(Speaker, AudioChunk)> {
        loop {
            match self.voice.try_next()? {
                Spoken::Chunk { utterance, chunk } => return Some((utterance, chunk)),
                Spoken::End { .. } => {}
            }
        }
    }

    fn next_of_source(&mut self, live: Option<&AudioChunk>) -> AudioChunk {
        if !self.hush.is_zero() {
            self.hush = self.hush.saturating_sub(FRAME_PERIOD);
            return AudioChunk::SILENCE;
        }
        let looped = self.looped.as_mut().and_then(Looped::try_next);
        looped.or(live.copied()).unwrap_or(AudioChunk::SILENCE)
    }
}
