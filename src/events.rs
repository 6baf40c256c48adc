//! What happened to a session, for whoever wants to be told: the last hundred
//! events, numbered.
//!
//! Posting copies an event into a ring that has its place already, so that the
//! render thread may post. Who listens reads the ring at its own pace: one that
//! falls behind by more than the ring has is told what is left, and knows by the
//! numbers how much it missed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

/// Events that are kept: a few minutes of conversation, and 40 kB if all of them are
/// sentences.
pub const KEPT: usize = 100;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The first sound of an utterance left.
    SpeechStarted {
        /// Its number.
        utterance: u64,
    },
    /// An utterance that had started is over.
    SpeechFinished {
        /// Its number.
        utterance: u64,
        /// Milliseconds of its sound that left, in whole chunks of 40.
        played_ms: u64,
        /// Whether it was cut off.
        interrupted: bool,
    },
    /// Utterances that were waiting will not be spoken.
    SpeechDropped {
        /// The first one's number.
        first: u64,
        /// The last one's.
        last: u64,
    },
    /// A sentence of an answer is about to be said.
    Reply {
        /// The utterance that it is part of.
        utterance: u64,
        /// The sentence.
        text: Box<str>,
    },
    /// There is no more of an answer: what of it waits is still said.
    ReplyEnded {
        /// The utterance that it ends with.
        utterance: u64,
        /// Whether that is all of it: else it was silenced, or went wrong.
        whole: bool,
        /// What went wrong.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Box<str>>,
    },
    /// The avatar began to talk, or to idle.
    State {
        /// `talking` or `idle`.
        state: &'static str,
    },
    /// A viewer joined or left.
    Viewers {
        /// How many there are now.
        viewers: usize,
    },
    /// Somebody publishes a voice, or does no longer.
    Publisher {
        /// `joined` or `left`.
        state: &'static str,
    },
    /// The memory budget is fuller, or less full.
    Memory {
        /// How full it is: `normal`, `light`, `hard` or `over`.
        level: &'static str,
    },
    /// The microphone is heard, or is lost and looked for.
    Device {
        /// Whether it is heard.
        heard: bool,
        /// Its name, or why it isn't.
        detail: Box<str>,
    },
    /// Another avatar is shown.
    Avatar {
        /// Its id.
        avatar: Box<str>,
    },
    /// Another model draws the mouth.
    Model {
        /// Its id.
        model: Box<str>,
    },
    /// A named clip began, is over, or will not be played.
    Action {
        /// Its name.
        clip: Box<str>,
        /// `started`, `finished` or `dropped`.
        state: &'static str,
        /// Whether it was ended before all of it was played, once it is over.
        #[serde(skip_serializing_if = "Option::is_none")]
        interrupted: Option<bool>,
    },
    /// A recording began or is over.
    Recording {
        /// Its id.
        recording: Box<str>,
        /// `started` or `ended`.
        state: &'static str,
        /// Why it is over, in a word.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
    },
    /// An import goes on or is over. Told to the session `live` only.
    Job(Box<JobNews>),
    /// The session has ended. Nothing comes after this.
    Ended,
}

/// How an import of an avatar or a model is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobNews {
    /// The job's id.
    pub id: String,
    /// What becomes of it: `avatar` or `model`.
    pub kind: &'static str,
    /// `running`, `done` or `failed`.
    pub state: &'static str,
    /// How much of it is done.
    pub progress: Share,
    /// What it does, in words.
    pub phase: String,
}

/// A share of something, in whole hundredths: 0 to 1 where it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u8);

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self(100);

    /// `done` of `of`, and nothing where there is nothing to be done.
    pub fn of(done: u64, of: u64) -> Self {
        let hundredths = (u128::from(done) * 100).checked_div(of.into());
        let hundredths = hundredths.unwrap_or(0);
        Self(u8::try_from(hundredths.min(100)).expect("a hundred at most"))
    }

    /// In hundredths.
    pub fn hundredths(self) -> u8 {
        self.0
    }

    /// As a number from 0 to 1.
    pub fn get(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl Serialize for Share {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.get())
    }
}

/// The events of one session. Clones are the same.
#[derive(Clone, Debug)]
pub struct Events(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    /// The number of the last event: wakes who listens.
    last: watch::Sender<u64>,
}

#[derive(Debug)]
struct Ring {
    /// The last ones, without gaps.
    kept: VecDeque<Event>,
    /// The number of the last one, counted from 1.
    last: u64,
}

impl Ring {
    /// The first event after `after` that is kept, and its number.
    fn next(&self, after: u64) -> Option<(u64, Event)> {
        let before = self.last - self.kept.len() as u64;
        let after = after.max(before);
        let event = self.kept.get((after - before) as usize)?;
        Some((after + 1, event.clone()))
    }

    fn ended(&self) -> bool {
        self.kept.back() == Some(&Event::Ended)
    }
}

impl Default for Events {
    fn default() -> Self {
        let ring = Ring {
            kept: VecDeque::with_capacity(KEPT),
            last: 0,
        };
        Self(Arc::new(Shared {
            ring: Mutex::new(ring),
            last: watch::Sender::new(0),
        }))
    }
}

impl Events {
    /// Tells whoever listens. Waits for nobody but for who copies one event.
    pub fn post(&self, event: Event) {
        let mut ring = self.0.lock();
        if ring.ended() {
            return;
        }
        if ring.kept.len() == KEPT {
            ring.kept.pop_front();
        }
        ring.kept.push_back(event);
        ring.last += 1;
        let last = ring.last;
        drop(ring);
        self.0.last.send_replace(last);
    }

    /// Listens to what happens after event `after`; what was before is told as
    /// far as it is kept. `None`: from now on. A number that was not given yet is
    /// one of another run of the program, and everything kept is told.
    pub fn listen(&self, after: Option<u64>) -> Listener {
        let changed = self.0.last.subscribe();
        let last = self.0.lock().last;
        let after = after.map_or(last, |after| if after > last { 0 } else { after });
        Listener {
            events: Arc::clone(&self.0),
            changed,
            after,
        }
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.0.last.receiver_count()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Ring> {
        // Nothing that panics is done under the lock.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who is told.
#[derive(Debug)]
pub struct Listener {
    events: Arc<Shared>,
    changed: watch::Receiver<u64>,
    after: u64,
}

impl Listener {
    /// Waits for the next event, which comes with its number. `None` after
    /// [`Event::Ended`]. Nothing is lost when the waiting is given up.
    pub async fn next(&mut self) -> Option<(u64, Event)> {
        loop {
            self.changed.mark_unchanged();
            if let Some(told) = self.try_next() {
                return Some(told);
            }
            if self.events.lock().ended() || self.changed.changed().await.is_err() {
                return None;
            }
        }
    }

    /// The next event, if it has happened.
    pub fn try_next(&mut self) -> Option<(u64, Event)> {
        let told = self.events.lock().next(self.after)?;
        self.after = told.0;
        Some(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewers(viewers: usize) -> Event {
        Event::Viewers { viewers }
    }

    #[test]
    fn events_come_in_order_and_once() {
        let events = Events::default();
        events.post(viewers(0));
        let mut from_now_on = events.listen(None);
        let mut from_the_start = events.listen(Some(0));
        events.post(viewers(1));
        assert_eq!(from_now_on.try_next(), Some((2, viewers(1))));
        assert_eq!(from_now_on.try_next(), None);
        for n in 0..2 {
            let told = Some((n + 1, viewers(n as usize)));
            assert_eq!(from_the_start.try_next(), told);
        }
        assert_eq!(from_the_start.try_next(), None);
    }

    #[test]
    fn who_falls_behind_is_told_what_is_left() {
        let events = Events::default();
        let mut slow = events.listen(None);
        for n in 0..3 * KEPT {
            events.post(viewers(n));
        }
        for n in 2 * KEPT..3 * KEPT {
            assert_eq!(slow.try_next(), Some((n as u64 + 1, viewers(n))));
        }
        assert_eq!(slow.try_next(), None);
    }

    #[test]
    fn a_number_of_another_run_gets_everything_that_is_kept() {
        let events = Events::default();
        events.post(viewers(1));
        let mut listener = events.listen(Some(7_000));
        assert_eq!(listener.try_next(), Some((1, viewers(1))));
    }

    #[tokio::test]
    async fn the_end_is_told_and_nothing_after_it() {
        let events = Events::default();
        let mut listener = events.listen(None);
        let waiting = tokio::spawn(async move {
            let told = listener.next().await;
            (told, listener.next().await)
        });
        tokio::task::yield_now().await;
        events.post(Event::Ended);
        events.post(viewers(1));
        let (told, after) = waiting.await.expect("it listens");
        assert_eq!((told, after), (Some((1, Event::Ended)), None));
        assert_eq!(events.listen(None).next().await, None, "who comes too late");
    }

    #[test]
    fn a_job_says_how_far_it_is() {
        let event = Event::Job(Box::new(JobNews {
            id: "j1".into(),
            kind: "avatar",
            state: "running",
            progress: Share::of(43, 100),
            phase: "checking".into(),
        }));
        let json = serde_json::to_string(&event).expect("plain data");
        let said = r#"{"type":"job","id":"j1","kind":"avatar","state":"running","progress":0.43,"phase":"checking"}"#;
        assert_eq!(json, said);
        let share = |done, of| Share::of(done, of).get();
        assert_eq!(
            [share(1, 0), share(9, 3), share(u64::MAX, u64::MAX)],
            [0.0, 1.0, 1.0]
        );
    }

    #[test]
    fn an_event_says_its_type() {
        let event = Event::SpeechFinished {
            utterance: 3,
            played_ms: 1_240,
            interrupted: true,
        };
        let json = serde_json::to_string(&event).expect("plain data");
        let said =
            r#"{"type":"speech_finished","utterance":3,"played_ms":1240,"interrupted":true}"#;
        assert_eq!(json, said);
    }
}
