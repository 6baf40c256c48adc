//! What is said next: pushed speech before the source, the source before silence.
//!
//! Speech brings its future with it: when it begins, what waited of the source
//! is let go and the line is filled from the speech at once, so that the mouth
//! moves with the next frame. Live sound has no future to read, so its line
//! begins with silence, and that is its delay. A voice that is published is live
//! sound, in the place of whatever the source is.
//!
//! A stream that is slower than the voice leaves the line short. The model then
//! hears silence in place of what has not come, so that the picture is never
//! late; the silence is taken back as soon as sound comes, unless it was played.
//! Once all of the line was played the mouth settles, and talk goes on when the
//! line can be filled again. Late sound costs a pause, and no sample.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use crate::events::Event;
use crate::media::{AudioChunk, FRAME_PERIOD, SOUND_SAMPLES};
use crate::pool::Frame;
use crate::run::looped::Looped;
use crate::run::renderer::{Action, Change, NOBODY, Renderer, SOURCE, Speaker};
use crate::run::speech::{Accepted, Cleared, Opened, Speech, Voice};
use crate::stage::audio::file;
use crate::stats::Stats;

/// How long a file that loops is quiet after pushed speech: whoever pushes
/// often sends more, and the file is not to put in a word.
const HUSH: Duration = Duration::from_secs(3);

/// Samples over which sound goes on from where other sound was cut off: 5 ms,
/// for a step is a click.
const EDGE: usize = SOUND_SAMPLES / 8;

/// What an interrupt cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Interrupted {
    /// Whether anything was being said, or waited to be.
    pub interrupted: bool,
    /// The utterance that was cut: the one of which the next chunk was.
    pub utterance: Option<u64>,
    /// Milliseconds of it that were played. Its last chunk, which is filled up
    /// with silence, is never among them: what was played to its end isn't cut.
    pub played_ms: u64,
    /// Utterances after it, none of which had begun.
    pub dropped: Vec<u64>,
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
    /// Whether live sound is all that the source has to say.
    published: bool,
    stats: Arc<Stats>,
    /// Whose chunks are in the renderer's line, and whether they are their last.
    line: VecDeque<(Speaker, bool)>,
    /// Where the sound has got to, and whether what followed was let go.
    edge: f32,
    cut: bool,
    /// Whether silence was played in the place of late sound.
    late: bool,
    /// Whether an utterance has begun of which not all is pulled.
    unfinished: bool,
    /// The utterance that was played last, and how much of it.
    played: (Speaker, Duration),
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
            line: VecDeque::with_capacity(renderer.depth() + 1),
            stats: Arc::clone(renderer.stats()),
            renderer,
            speech,
            voice,
            looped: file.map(Looped::start).transpose()?,
            hush: Duration::ZERO,
            published: false,
            edge: 0.0,
            cut: false,
            late: false,
            unfinished: false,
            played: (SOURCE, Duration::ZERO),
        })
    }

    /// Plays one frame for the moment `pts`. `live` is the chunk of live sound
    /// that came with it, if one did. `on_sound` hears what is played before its
    /// picture is drawn.
    pub fn play(
        &mut self,
        now: Instant,
        pts: Duration,
        live: Option<&AudioChunk>,
        watched: bool,
        on_sound: impl FnOnce(&AudioChunk),
    ) -> Played {
        self.renderer.follow(now);
        self.fill(now, live);
        let (speaker, last) = self.line.pop_front().expect("the line was filled");
        let pushed = speaker != SOURCE && speaker != NOBODY;
        let begins = pushed && self.played.0 != speaker;
        let late = std::mem::replace(&mut self.late, speaker == NOBODY) != self.late;
        let (edge, cut) = (&mut self.edge, std::mem::take(&mut self.cut));
        let events = &self.stats.events;
        let on_sound = |chunk: &mut AudioChunk| {
            if cut || late {
                smooth(&mut chunk.sound, *edge);
            }
            *edge = chunk.sound[SOUND_SAMPLES - 1];
            on_sound(chunk);
            if begins {
                events.post(Event::SpeechStarted { utterance: speaker });
            }
        };
        let played = self
            .renderer
            .play(now, pts, watched, on_sound)
            .expect("the line was filled");
        if begins {
            self.played = (speaker, Duration::ZERO);
        }
        if pushed {
            self.played.1 += FRAME_PERIOD;
        }
        if pushed && last {
            self.finished(false);
        }
        Played {
            chunk: played.chunk,
            talking: pushed || played.mouth,
            frame: played.frame,
        }
    }

    /// Lets another avatar or model take over as soon as it can.
    pub fn change(&mut self, change: Box<Change>) {
        self.renderer.change(change);
    }

    /// Lets a named clip play in the idle one's place.
    pub fn act(&mut self, action: Box<Action>) {
        self.renderer.act(action);
    }

    /// Lets the idle clip come back.
    pub fn end_action(&mut self) {
        self.renderer.end_action();
    }

    /// Plays another file in a loop while nothing is pushed, or none.
    pub fn set_looped(&mut self, looped: Option<Looped>) {
        self.looped = looped;
    }

    /// While somebody publishes, live sound is heard in the place of a file that
    /// loops.
    pub fn set_published(&mut self, published: bool) {
        if std::mem::replace(&mut self.published, published) && !published {
            self.hush();
        }
    }

    /// Silences what is pushed, whether it plays or waits, and a file that loops.
    pub fn interrupt(&mut self) -> Interrupted {
        let cleared = self.speech.clear();
        self.silence(&cleared)
    }

    /// Like [`Script::interrupt`], and `next` is what is said next. `None` for it
    /// when nothing is said any more.
    pub fn interrupt_with(&mut self, next: Opened) -> (Interrupted, Option<Accepted>) {
        let (cleared, accepted) = self.speech.replace(next);
        (self.silence(&cleared), accepted)
    }

    /// Lets go what was pulled of `cleared` and what was pulled before it.
    fn silence(&mut self, cleared: &Cleared) -> Interrupted {
        let cleared = &cleared.utterances;
        let unpulled = (!cleared.is_empty()).then_some(cleared.start);
        let cut = self.next_speaker().or(unpulled);
        let begun = cut == Some(self.played.0);
        let played = if begun { self.played.1 } else { Duration::ZERO };
        if begun {
            self.finished(true);
        }
        if let Some(cut) = cut {
            let (first, last) = (cut + u64::from(begun), cleared.end - 1);
            if first <= last {
                let dropped = Event::SpeechDropped { first, last };
                self.stats.dropped_utterances.add(last - first + 1);
                self.stats.events.post(dropped);
            }
        }
        if cut.is_some() {
            self.stats.interrupts.add(1);
        }
        self.forget();
        self.unfinished = false;
        self.hush();
        Interrupted {
            interrupted: cut.is_some(),
            utterance: cut,
            played_ms: played.as_millis() as u64,
            dropped: cut.map_or_else(Vec::new, |cut| (cut + 1..cleared.end).collect()),
        }
    }

    /// Gives the renderer what it lacks for one frame.
    fn fill(&mut self, now: Instant, live: Option<&AudioChunk>) {
        let mut next = None;
        if self.next_speaker().is_some() {
            next = self.voice.try_next();
            if next.is_some() {
                self.take_back_silence();
            }
        } else if self.voice.ready(self.renderer.depth() + 1) {
            // Nothing pushed is on its way, so nobody misses what is let go.
            self.forget();
            self.hush();
            next = self.voice.try_next();
        }
        while self.renderer.lacks() > 0 {
            if let Some(spoken) = next.take() {
                self.unfinished = !spoken.last;
                self.hear(&spoken.chunk, spoken.utterance, spoken.last);
                if self.renderer.lacks() > 0 {
                    next = self.voice.try_next();
                }
            } else if self.unfinished {
                self.hear(&AudioChunk::SILENCE, NOBODY, false);
            } else if self.next_speaker().is_some() {
                // No word of another comes before the last one's end.
                self.hear(&AudioChunk::SILENCE, SOURCE, false);
            } else {
                let last = self.renderer.lacks() == 1;
                let chunk = self.next_of_source(now, live.filter(|_| last));
                self.hear(&chunk, SOURCE, false);
            }
        }
    }

    fn hear(&mut self, chunk: &AudioChunk, speaker: Speaker, last: bool) {
        self.renderer.hear(chunk, speaker);
        self.line.push_back((speaker, last));
    }

    /// Makes room in the line for sound that was late, where silence stands.
    fn take_back_silence(&mut self) {
        if self.line.back().is_some_and(|last| last.0 == NOBODY) {
            self.renderer.forget_silence();
        }
        while self.line.back().is_some_and(|last| last.0 == NOBODY) {
            self.line.pop_back();
        }
    }

    /// Tells that the utterance which was played last is over.
    fn finished(&self, interrupted: bool) {
        let (utterance, played) = self.played;
        match interrupted {
            true => self.stats.cut_utterances.add(1),
            false => self.stats.finished_utterances.add(1),
        }
        self.stats.events.post(Event::SpeechFinished {
            utterance,
            played_ms: played.as_millis() as u64,
            interrupted,
        });
    }

    fn forget(&mut self) {
        self.renderer.forget();
        self.line.clear();
        self.cut = true;
    }

    /// A file that loops begins anew once the source had its turn for a while.
    fn hush(&mut self) {
        if let Some(looped) = &mut self.looped {
            looped.rewind();
            self.hush = HUSH;
        }
    }

    /// Whose pushed speech is played next, if any is on its way.
    fn next_speaker(&self) -> Option<Speaker> {
        let mut speakers = self.line.iter().map(|(speaker, _)| *speaker);
        speakers.find(|who| *who != SOURCE && *who != NOBODY)
    }

    fn next_of_source(&mut self, now: Instant, live: Option<&AudioChunk>) -> AudioChunk {
        if self.published {
            return live.copied().unwrap_or(AudioChunk::SILENCE);
        }
        if !self.hush.is_zero() {
            self.hush = self.hush.saturating_sub(FRAME_PERIOD);
            return AudioChunk::SILENCE;
        }
        let looped = self.looped.as_mut().and_then(Looped::try_next);
        let looped = looped.map(|chunk| AudioChunk {
            accepted: Some(now),
            ..chunk
        });
        looped.or(live.copied()).unwrap_or(AudioChunk::SILENCE)
    }
}

/// Makes `sound` go on from `edge`.
fn smooth(sound: &mut [f32; SOUND_SAMPLES], edge: f32) {
    let step = edge - sound[0];
    for (n, sample) in sound[..EDGE].iter_mut().enumerate() {
        let rest = 1.0 - n as f32 / EDGE as f32;
        *sample = (*sample + step * rest).clamp(-1.0, 1.0);
    }
}

#[cfg(test)]
mod tests;
