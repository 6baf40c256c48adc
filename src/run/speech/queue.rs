//! What waits to be spoken, under one lock.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::stream::Segment;
use super::{AHEAD, Cleared, MOST_WAITING, Opened, PushError, Spoken};
use crate::media::FRAME_PERIOD;

/// An utterance that waits.
pub(super) struct Waiting {
    pub utterance: u64,
    pub sound: Sound,
    /// When it was pushed, if nothing was before it.
    pub accepted: Option<Instant>,
}

/// Where an utterance comes from.
pub(super) enum Sound {
    /// A file, for a decoder takes up to a megabyte, and how long it is.
    File {
        file: File,
        hint: Option<String>,
        duration: Duration,
    },
    /// The segment of its number, at this rate.
    Stream(u32),
}

impl Sound {
    /// Its length, as far as it is known without a look at the segment.
    pub fn duration(&self) -> Duration {
        match self {
            Self::File { duration, .. } => *duration,
            Self::Stream(_) => Duration::ZERO,
        }
    }
}

#[derive(Default)]
pub(super) struct State {
    pub waiting: VecDeque<Waiting>,
    /// What has come of streams and is not decoded, in the order of speaking.
    pub segments: VecDeque<Segment>,
    /// Streams that are open, and that ever were.
    pub streams: usize,
    pub streams_opened: u64,
    /// Whether an utterance is being decoded, and what is left of it, as far
    /// as its header says.
    pub decoding: bool,
    pub rest: Duration,
    /// The utterance that is decoded, while its stream is too slow.
    pub starving: Option<u64>,
    /// Decoded and not yet pulled: [`AHEAD`] chunks at most.
    pub ahead: VecDeque<Spoken>,
    /// Utterances that were accepted.
    pub utterances: u64,
    /// The last utterance that was pulled to its end, or cleared.
    pub finished: u64,
    /// Segments that were cleared before they ended, one a stream at most: what
    /// still comes of them is thrown away.
    pub cut: Vec<u64>,
    /// Grows with every clear: who decodes for an older one stops.
    pub generation: u64,
    pub closed: bool,
}

impl State {
    /// What was pushed and not yet pulled.
    pub fn queued(&self) -> Duration {
        let waiting = self.waiting.iter().map(|waiting| waiting.sound.duration());
        let segments = self.segments.iter().map(Segment::duration);
        let ahead = FRAME_PERIOD * self.ahead.len() as u32;
        waiting.chain(segments).sum::<Duration>() + self.rest + ahead
    }

    /// What is played before more, if `duration` of it fits into a queue of `most`.
    pub fn room(&self, duration: Duration, most: Duration) -> Result<Duration, PushError> {
        let idle = self.finished == self.utterances;
        let queued = self.queued();
        if !idle && (queued + duration > most || self.waiting.len() >= MOST_WAITING) {
            // It fits once enough was played; what is longer than the whole
            // queue fits once everything was.
            let excess = (queued + duration).saturating_sub(most).min(queued);
            let retry_after = Duration::from_secs(excess.as_secs() + 1);
            return Err(PushError::Full { retry_after });
        }
        Ok(queued)
    }

    /// Queues `sound` behind all others.
    pub fn add(&mut self, sound: Sound, accepted: Option<Instant>) -> u64 {
        self.utterances += 1;
        self.waiting.push_back(Waiting {
            utterance: self.utterances,
            sound,
            accepted,
        });
        self.utterances
    }
}

pub(super) struct Shared {
    state: Mutex<State>,
    /// For the decoder: there is work, or room, or an end.
    pub changed: Condvar,
    /// For streams: there may be room, or an end.
    pub room: Notify,
}

impl Shared {
    pub fn new() -> Arc<Self> {
        let state = State {
            ahead: VecDeque::with_capacity(AHEAD),
            ..State::default()
        };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            room: Notify::new(),
        })
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that panics is done under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, for `patience` at most.
    pub fn wait_for<'s>(
        &self,
        state: MutexGuard<'s, State>,
        patience: Duration,
    ) -> MutexGuard<'s, State> {
        let waited = self.changed.wait_timeout(state, patience);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
        self.room.notify_waiters();
    }

    /// Whether all was cleared since `generation`, or has ended.
    pub fn is_silenced(&self, generation: u64) -> bool {
        let state = self.lock();
        state.closed || state.generation != generation
    }

    /// Forgets everything that was not pulled, and queues `next`, whose number is
    /// told unless nobody listens.
    pub fn clear(&self, next: Option<Opened>) -> (Cleared, Option<u64>) {
        let mut state = self.lock();
        let cleared = Cleared {
            utterances: state.finished + 1..state.utterances + 1,
            unheard: state.queued(),
        };
        state.generation += 1;
        state.finished = state.utterances;
        state.decoding = false;
        state.rest = Duration::ZERO;
        state.starving = None;
        state.ahead.clear();
        let files = std::mem::take(&mut state.waiting);
        let segments = std::mem::take(&mut state.segments);
        let cut = segments.iter().filter(|segment| !segment.ended);
        state.cut.extend(cut.map(|segment| segment.utterance));
        let next = next.filter(|_| !state.closed);
        let next = next.map(|next| state.add(next.sound, Some(next.accepted)));
        drop(state);
        // Closed and freed without the lock.
        drop((files, segments));
        self.changed.notify_one();
        self.room.notify_waiters();
        (cleared, next)
    }
}
