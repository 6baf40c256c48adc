//! Speech that was pushed, in the order in which it came.
//!
//! Spoken words are not live media: the queue is bounded in seconds, pushes
//! back when it is full, and never drops a word unless it is cleared. A file
//! waits whole; a [`Stream`] comes while it is spoken. One thread decodes a
//! little ahead; the render loop pulls, once a frame. All hold the queue's lock
//! for as long as a chunk takes to copy, so that whoever looks sees all of the
//! queue at one moment.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::bounds::{OutOfBounds, within};
use crate::media::{AudioChunk, FRAME_PERIOD};
use crate::model::MOST_LOOK_AHEAD_MS;
use crate::stage::audio::file::{self, SoundFile};

mod decoder; // files and streams -> chunks, ahead of who listens
mod queue; // what waits
mod stream; // speech that comes while it is spoken

use queue::{Shared, Sound, Waiting};
pub use stream::Stream;

/// Chunks decoded ahead: 800 ms, which outlasts a slow disk, and 200 kB.
pub(super) const AHEAD: usize = 20;
// Speech begins once it fills the renderer's line and the frame to be played.
const _: () = assert!(AHEAD as f64 * FRAME_PERIOD.as_millis() as f64 >= MOST_LOOK_AHEAD_MS);
/// Utterances that may wait, however short: each holds an open file.
pub const MOST_WAITING: usize = 256;
/// Streams at a time: one speaks after the other anyway, and each may hold a
/// megabyte.
const MOST_STREAMS: usize = 8;

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

impl Config {
    /// Refuses a queue or a file that is too short for a word or longer than a
    /// disk.
    ///
    /// # Errors
    ///
    /// A sentence that names the key and its bounds.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        within("speech.queue_s", self.queue_s, 1..=7 * 86_400)?;
        within("speech.max_upload_mb", self.max_upload_mb, 1..=1 << 20)
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
    /// Every place for a stream is taken.
    #[error("{MOST_STREAMS} streams speak to this session already; close one of them")]
    Streams,
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
    /// Samples a second that its file has.
    pub rate: u32,
    /// What is played before it.
    pub queued: Duration,
}

/// What [`Speech::clear`] silenced.
#[derive(Debug, Clone, PartialEq)]
pub struct Cleared {
    /// Utterances that were not pulled to their end, the last of which was
    /// pushed last.
    pub utterances: Range<u64>,
    /// What of them will not be pulled any more, to a chunk.
    pub unheard: Duration,
}

/// Sound that can be queued.
pub struct Opened {
    sound: Sound,
    duration: Duration,
    rate: u32,
    accepted: Instant,
}

impl Opened {
    /// The sound in `file`. `hint` may be its name or its media type.
    ///
    /// Decodes the first packet; a file that doesn't say how long it is gets read
    /// once. Not for a thread that must not wait.
    ///
    /// # Errors
    ///
    /// When it can't be played.
    pub fn file(file: File, hint: Option<&str>) -> Result<Self, PushError> {
        let accepted = Instant::now();
        let mut sound = SoundFile::from_file(file, hint)?;
        let (duration, rate) = (sound.measure()?, sound.rate());
        let sound = Sound::File {
            file: sound.into_file(),
            hint: hint.map(str::to_owned),
            duration,
        };
        Ok(Self {
            sound,
            duration,
            rate,
            accepted,
        })
    }
}

/// 40 ms of what the avatar says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spoken {
    /// The utterance's number.
    pub utterance: u64,
    /// The sound. Accepted at the push where the avatar could begin at once.
    pub chunk: AudioChunk,
    /// Whether the utterance is over with this.
    pub last: bool,
}

/// The queue's entrance. Cheap to clone; once the last one is dropped, what
/// waits is still played.
#[derive(Clone)]
pub struct Speech {
    entrance: Arc<Entrance>,
}

struct Entrance {
    shared: Arc<Shared>,
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
        let shared = Shared::new();
        let decoding = Arc::clone(&shared);
        thread::Builder::new()
            .name("speech".into())
            .spawn(move || decoder::run(&decoding))?;
        Ok(Self::of(shared, config))
    }

    fn of(shared: Arc<Shared>, config: &Config) -> (Self, Voice) {
        let entrance = Entrance {
            shared: Arc::clone(&shared),
            most: Duration::from_secs(config.queue_s),
        };
        let entrance = Arc::new(entrance);
        (Self { entrance }, Voice { shared })
    }

    /// Queues the sound in `file`. `hint` may be its name or its media type.
    ///
    /// # Errors
    ///
    /// As [`Opened::file`], when the queue is full, and when the session has ended.
    pub fn push(&self, file: File, hint: Option<&str>) -> Result<Accepted, PushError> {
        let opened = Opened::file(file, hint)?;
        let Opened { duration, rate, .. } = opened;
        let Entrance { shared, most } = &*self.entrance;
        let mut state = shared.lock();
        if state.closed {
            return Err(PushError::Ended);
        }
        let queued = state.room(duration, *most)?;
        let idle = state.finished == state.utterances;
        let utterance = state.add(opened.sound, idle.then_some(opened.accepted));
        drop(state);
        shared.changed.notify_one();
        Ok(Accepted {
            utterance,
            duration,
            rate,
            queued,
        })
    }

    /// Opens a stream of samples at `rate` Hz, one channel.
    ///
    /// # Errors
    ///
    /// When the rate makes no sense as speech, when too many streams are open,
    /// and when the session has ended.
    pub fn open(&self, rate: u32) -> Result<Stream, PushError> {
        Stream::open(self, rate)
    }

    /// Says what is played before more, if the queue isn't full. Of more of unknown
    /// length no more is taken ahead than of a stream.
    ///
    /// # Errors
    ///
    /// When it is.
    pub(super) fn room(&self) -> Result<Duration, PushError> {
        let Entrance { shared, most } = &*self.entrance;
        shared.lock().room(Duration::ZERO, *most)
    }

    /// Forgets everything that was pushed so far and not pulled, at once. Only
    /// for who pulls: what was pulled is not silenced by it.
    pub(super) fn clear(&self) -> Cleared {
        self.entrance.shared.clear(None).0
    }

    /// Like [`Speech::clear`], and `next` is in the queue before anything else
    /// can be. `None` for it when the session has ended.
    pub(super) fn replace(&self, next: Opened) -> (Cleared, Option<Accepted>) {
        let Opened { duration, rate, .. } = next;
        let (cleared, utterance) = self.entrance.shared.clear(Some(next));
        let accepted = utterance.map(|utterance| Accepted {
            utterance,
            duration,
            rate,
            queued: Duration::ZERO,
        });
        (cleared, accepted)
    }

    /// What was pushed and not yet pulled.
    pub fn queued(&self) -> Duration {
        self.entrance.shared.lock().queued()
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.entrance.shared.lock().streams
    }

    /// Utterances that were pushed and are not pulled to their end.
    pub fn utterances(&self) -> usize {
        let state = self.entrance.shared.lock();
        (state.utterances - state.finished) as usize
    }
}

/// The end of the queue where the render loop listens.
pub struct Voice {
    shared: Arc<Shared>,
}

impl Voice {
    /// Whether the next `chunks` are decoded, or all there are.
    pub fn ready(&self, chunks: usize) -> bool {
        let state = self.shared.lock();
        let Some(first) = state.ahead.front() else {
            return false;
        };
        // Of an utterance before a stream that has no sound yet there is no more.
        let all = match state.starving {
            Some(starving) => first.utterance != starving,
            None => !state.decoding && state.waiting.is_empty(),
        };
        all || state.ahead.len() >= chunks
    }

    /// What is said next. Never waits for a decoder: `None` says that nothing
    /// is said now.
    pub fn try_next(&mut self) -> Option<Spoken> {
        let mut state = self.shared.lock();
        let spoken = state.ahead.pop_front()?;
        if spoken.last {
            state.finished = spoken.utterance;
        }
        drop(state);
        self.shared.changed.notify_one();
        Some(spoken)
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        // Nobody hears the rest.
        self.shared.close();
        self.shared.clear(None);
    }
}

#[cfg(test)]
impl Speech {
    /// A queue without a decoder, for chunks that are put in by hand.
    pub(super) fn by_hand() -> (Self, Voice) {
        Self::of(Shared::new(), &Config::default())
    }

    /// Puts in a chunk as if it had been decoded.
    pub(super) fn put(&self, spoken: Spoken) {
        let shared = &self.entrance.shared;
        let mut state = shared.lock();
        state.utterances = spoken.utterance;
        let generation = state.generation;
        drop(state);
        assert!(
            decoder::put(shared, generation, spoken),
            "nobody cleared it"
        );
    }
}

#[cfg(test)]
mod tests;
