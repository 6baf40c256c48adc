//! Speech that was pushed, in the order in which it came.
//!
//! Spoken words are not live media: the queue is bounded in seconds, pushes
//! back when it is full, and never drops a word unless it is cleared. One
//! thread decodes a little ahead into a small channel; the render loop pulls
//! from it, once a frame.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use serde::{Deserialize, Serialize};

use crate::media::{AudioChunk, FRAME_PERIOD};
use crate::model::MOST_LOOK_AHEAD_MS;
use crate::stage::audio::file::{self, SoundFile};

/// Chunks decoded ahead: 400 ms, which outlasts a slow disk, and 100 kB.
const AHEAD: usize = 10;
// Speech begins once it fills the renderer's line and the frame to be played.
const _: () = assert!(AHEAD as f64 * FRAME_PERIOD.as_millis() as f64 >= MOST_LOOK_AHEAD_MS);
/// Utterances that may wait, however short: each holds an open file.
const MOST_WAITING: usize = 256;
/// How often a decoder that waits for room looks whether it was told to stop.
const GLANCE: Duration = Duration::from_millis(100);

/// Section `[speech]`: speech that is pushed by the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seconds of speech that may wait.
    pub queue_s: u64,
    /// Size of one sound file, in megabytes, that is accepted.
    pub max_upload_mb: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue_s: 600,
            max_upload_mb: 1024,
        }
    }
}

/// Why an utterance was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Too much waits already.
    #[error("the speech queue is full; push this again in {} s", .retry_after.as_secs())]
    Full {
        /// When there will be room, in whole seconds.
        retry_after: Duration,
    },
    /// Nobody listens any more.
    #[error("the session has ended; push this to another")]
    Ended,
    /// The file can't be played.
    #[error(transparent)]
    NotSound(#[from] file::Error),
}

/// An utterance that will be played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accepted {
    /// Its number, counted from 1 in the order of playing.
    pub utterance: u64,
    /// Its length.
    pub duration: Duration,
    /// What is played before it.
    pub queued: Duration,
}

/// What [`Speech::clear`] silenced.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cleared {
    /// Utterances that were not pulled to their end.
    pub utterances: usize,
    /// What of them will not be pulled any more, to a chunk.
    pub unheard: Duration,
}

/// What the avatar says next.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "plain data that moves; a box would be allocated"
)]
pub enum Spoken {
    /// 40 ms of an utterance.
    Chunk {
        /// Its number.
        utterance: u64,
        /// The sound. Accepted at the push where the avatar could begin at once.
        chunk: AudioChunk,
    },
    /// The utterance is over.
    End {
        /// Its number.
        utterance: u64,
    },
}

/// An utterance that waits: a file, for a decoder takes up to a megabyte.
struct Waiting {
    utterance: u64,
    file: File,
    hint: Option<String>,
    duration: Duration,
    /// When it was pushed, if nothing was before it.
    accepted: Option<Instant>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// What is left to decode of the utterance in hand.
    rest: Duration,
    /// Utterances that were accepted.
    utterances: u64,
    closed: bool,
}

impl State {
    fn undecoded(&self) -> Duration {
        let waiting: Duration = self.waiting.iter().map(|waiting| waiting.duration).sum();
        waiting + self.rest
    }
}

/// A chunk or an end, and the generation that it belongs to.
type Item = (u64, Spoken);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Grows with every clear: what is older is not heard.
    generation: AtomicU64,
    /// The last utterance that was pulled to its end, or cleared.
    finished: AtomicU64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that panics is done under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

/// The queue's entrance. Cheap to clone; once the last one is dropped, what
/// waits is still played.
#[derive(Clone)]
pub struct Speech {
    entrance: Arc<Entrance>,
}

struct Entrance {
    shared: Arc<Shared>,
    /// To see how much is in the channel, and to empty it.
    decoded: Receiver<Item>,
    most: Duration,
}

impl Drop for Entrance {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Speech {
    /// An empty queue, and the end where it is heard.
    pub fn start(config: &Config) -> std::io::Result<(Self, Voice)> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            generation: AtomicU64::new(0),
            finished: AtomicU64::new(0),
        });
        let (chunks, decoded) = bounded(AHEAD);
        let decoder = Arc::clone(&shared);
        thread::Builder::new()
            .name("speech".into())
            .spawn(move || decode_all(&decoder, &chunks))?;
        let entrance = Entrance {
            shared: Arc::clone(&shared),
            decoded: decoded.clone(),
            most: Duration::from_secs(config.queue_s),
        };
        let speech = Self {
            entrance: Arc::new(entrance),
        };
        Ok((speech, Voice { shared, decoded }))
    }

    /// Queues the sound in `file`. `hint` may be its name or its media type.
    ///
    /// Opens the file and decodes its first packet; a file that doesn't say
    /// how long it is gets read once. Not for a thread that must not wait.
    pub fn push(&self, file: File, hint: Option<&str>) -> Result<Accepted, PushError> {
        let accepted = Instant::now();
        let mut sound = SoundFile::from_file(file, hint)?;
        let duration = sound.measure()?;
        let file = sound.into_file();
        let Entrance { shared, most, .. } = &*self.entrance;
        let mut state = shared.lock();
        if state.closed {
            return Err(PushError::Ended);
        }
        let idle = shared.finished.load(Relaxed) == state.utterances;
        let queued = if idle {
            Duration::ZERO
        } else {
            state.undecoded() + self.ahead()
        };
        if !idle && (queued + duration > *most || state.waiting.len() >= MOST_WAITING) {
            // It fits once enough was played; what is longer than the whole
            // queue fits once everything was.
            let excess = (queued + duration).saturating_sub(*most).min(queued);
            let retry_after = Duration::from_secs(excess.as_secs() + 1);
            return Err(PushError::Full { retry_after });
        }
        state.utterances += 1;
        let utterance = state.utterances;
        state.waiting.push_back(Waiting {
            utterance,
            file,
            hint: hint.map(str::to_owned),
            duration,
            accepted: idle.then_some(accepted),
        });
        drop(state);
        shared.changed.notify_all();
        Ok(Accepted {
            utterance,
            duration,
            queued,
        })
    }

    /// Silences everything that was pushed so far, at once.
    pub fn clear(&self) -> Cleared {
        let Entrance {
            shared, decoded, ..
        } = &*self.entrance;
        let mut state = shared.lock();
        // Under the lock, so that nothing of the new generation is decoded yet.
        shared.generation.fetch_add(1, Relaxed);
        let finished = shared.finished.swap(state.utterances, Relaxed);
        let utterances = (state.utterances - finished) as usize;
        let mut unheard = state.undecoded();
        unheard += FRAME_PERIOD * decoded.try_iter().filter(is_chunk).count() as u32;
        let files = std::mem::take(&mut state.waiting);
        state.rest = Duration::ZERO;
        drop(state);
        drop(files);
        Cleared {
            utterances,
            unheard,
        }
    }

    /// What was pushed and not yet pulled.
    pub fn queued(&self) -> Duration {
        self.entrance.shared.lock().undecoded() + self.ahead()
    }

    /// Utterances that were pushed and are not over.
    pub fn utterances(&self) -> usize {
        let state = self.entrance.shared.lock();
        (state.utterances - self.entrance.shared.finished.load(Relaxed)) as usize
    }

    /// What is decoded and not yet pulled.
    fn ahead(&self) -> Duration {
        FRAME_PERIOD * self.entrance.decoded.len() as u32
    }
}

fn is_chunk(item: &Item) -> bool {
    matches!(item.1, Spoken::Chunk { .. })
}

/// The end of the queue where the render loop listens.
pub struct Voice {
    shared: Arc<Shared>,
    decoded: Receiver<Item>,
}

impl Voice {
    /// Whether the next `chunks` are decoded, or all there are.
    pub fn ready(&self, chunks: usize) -> bool {
        let waiting = self.decoded.len();
        waiting >= chunks || (waiting > 0 && self.shared.lock().undecoded().is_zero())
    }

    /// What is said next. Never waits: `None` says that nothing is said now.
    pub fn try_next(&mut self) -> Option<Spoken> {
        loop {
            let (generation, spoken) = self.decoded.try_recv().ok()?;
            if generation != self.shared.generation.load(Relaxed) {
                continue;
            }
            if let Spoken::End { utterance } = spoken {
                self.shared.finished.fetch_max(utterance, Relaxed);
            }
            return Some(spoken);
        }
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        // Nobody hears the rest.
        let mut state = self.shared.lock();
        self.shared.generation.fetch_add(1, Relaxed);
        state.waiting.clear();
        drop(state);
        self.shared.close();
    }
}

/// The decoding thread: one utterance after the other. A file is opened while
/// the last [`AHEAD`] chunks of the one before are still to be played.
fn decode_all(shared: &Shared, chunks: &Sender<Item>) {
    while let Some((generation, waiting)) = take(shared) {
        let Waiting {
            utterance,
            file,
            hint,
            mut accepted,
            ..
        } = waiting;
        let wanted = || shared.generation.load(Relaxed) == generation;
        let early = |error: file::Error| {
            tracing::warn!(utterance, "an utterance ends early: {error}");
        };
        let mut sound = SoundFile::from_file(file, hint.as_deref())
            .map_err(early)
            .ok();
        let mut chunk = AudioChunk::SILENCE;
        while let Some(file) = &mut sound {
            if !file.next(&mut chunk).map_err(early).unwrap_or_default() {
                break;
            }
            chunk.accepted = accepted.take();
            let spoken = Spoken::Chunk { utterance, chunk };
            if !send(chunks, (generation, spoken), wanted) {
                break;
            }
            let mut state = shared.lock();
            if wanted() {
                state.rest = state.rest.saturating_sub(FRAME_PERIOD);
            }
        }
        let mut state = shared.lock();
        if wanted() {
            // A header may have promised more than there was.
            state.rest = Duration::ZERO;
        }
        drop(state);
        send(chunks, (generation, Spoken::End { utterance }), wanted);
    }
}

/// Waits for the next utterance. `None`: there will be none.
fn take(shared: &Shared) -> Option<(u64, Waiting)> {
    let mut state = shared.lock();
    loop {
        if let Some(waiting) = state.waiting.pop_front() {
            state.rest = waiting.duration;
            return Some((shared.generation.load(Relaxed), waiting));
        }
        if state.closed {
            return None;
        }
        state = shared
            .changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

/// Waits for room in the channel. `false`: it isn't wanted any more.
fn send(channel: &Sender<Item>, mut item: Item, wanted: impl Fn() -> bool) -> bool {
    while wanted() {
        match channel.send_timeout(item, GLANCE) {
            Ok(()) => return true,
            Err(SendTimeoutError::Timeout(back)) => item = back,
            Err(SendTimeoutError::Disconnected(_)) => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests;
