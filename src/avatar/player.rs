//! Plays a clip: its pictures, decoded ahead on a thread of their own.
//!
//! The player is always [`AHEAD`] pictures in front, which is longer than it
//! takes to decode to any place of the clip.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::bitstream::Pictures;
use super::clip::{Clip, Picture};

/// Pictures decoded ahead: 240 ms, in which a decoder passes over a hundred frames.
const AHEAD: usize = 6;
/// Pictures a player may hold at once outside the cache: those ahead, the one
/// that is being decoded, the one that is drawn, and the last one.
pub const SPARE: usize = AHEAD + 3;

/// Frames after the one that is late from which a late decoder goes on.
const LEAD: u64 = 2;

/// Plays a clip in a loop, ahead of whoever draws it. Dropping it ends its thread.
pub struct Player {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    /// A picture was decoded, or wanted.
    changed: Condvar,
}

struct State {
    ready: VecDeque<(u64, Arc<Picture>)>,
    /// The frame of the timeline that the thread decodes next.
    next: u64,
    open: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Player {
    /// Starts to decode `clip` from its start.
    ///
    /// # Errors
    ///
    /// When the decoder or its thread can't be made.
    pub fn start(clip: &Arc<Clip>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                ready: VecDeque::with_capacity(AHEAD),
                next: 0,
                open: true,
            }),
            changed: Condvar::new(),
        });
        let decoder = Pictures::new().map_err(std::io::Error::other)?;
        let worker = Worker {
            clip: Arc::clone(clip),
            shared: Arc::clone(&shared),
            decoder,
            spare: VecDeque::with_capacity(SPARE),
        };
        let thread = std::thread::Builder::new()
            .name("clip".into())
            .spawn(move || worker.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Ends it without waiting for its thread, which frees what it holds.
    pub fn leave(mut self) {
        self.thread = None;
    }

    /// Goes on from frame `frame` of the timeline.
    pub fn seek(&self, frame: u64) {
        let mut state = self.shared.lock();
        state.ready.clear();
        state.next = frame;
        drop(state);
        self.shared.changed.notify_all();
    }

    /// The picture for frame `frame` of the timeline, if it is decoded. What
    /// was decoded for earlier frames is let go.
    pub fn picture(&self, frame: u64) -> Option<Arc<Picture>> {
        let mut state = self.shared.lock();
        let picture = state.take(frame, LEAD);
        drop(state);
        self.shared.changed.notify_all();
        picture
    }

    /// The picture for frame `frame` of the timeline, waiting until it is
    /// decoded. `None` when it can't be.
    pub fn picture_waiting(&self, frame: u64) -> Option<Arc<Picture>> {
        let mut state = self.shared.lock();
        loop {
            if let Some(picture) = state.take(frame, 0) {
                drop(state);
                self.shared.changed.notify_all();
                return Some(picture);
            }
            if !state.open {
                return None;
            }
            self.shared.changed.notify_all();
            state = self
                .shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    /// Frame `frame`, if it is ready. Where the decoder is not about to get
    /// there, it goes on from `lead` frames after: with none it would always
    /// be late once it is slow, and nothing would ever show.
    fn take(&mut self, frame: u64, lead: u64) -> Option<Arc<Picture>> {
        while self.ready.front().is_some_and(|(n, _)| *n < frame) {
            self.ready.pop_front();
        }
        let coming = self.ready.front().map_or(self.next, |(n, _)| *n);
        if coming == frame {
            return self.ready.pop_front().map(|(_, picture)| picture);
        }
        if !(frame..=frame + lead).contains(&coming) {
            self.ready.clear();
            self.next = frame + lead;
        }
        None
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.shared.lock().open = false;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the decoder was printed by the thread itself.
            let _panicked = thread.join();
        }
    }
}

struct Worker {
    clip: Arc<Clip>,
    shared: Arc<Shared>,
    decoder: Pictures,
    /// Pictures outside the cache, to be drawn on again once nobody looks at them.
    spare: VecDeque<Arc<Picture>>,
}

impl Worker {
    fn run(mut self) {
        let mut last = None;
        let mut failed = false;
        while let Some(frame) = self.next_wanted() {
            let index = (frame % self.clip.len() as u64) as usize;
            let picture = match self.decode(index) {
                Ok(picture) => Some(picture),
                Err(error) => {
                    if !std::mem::replace(&mut failed, true) {
                        tracing::error!(
                            "frame {index} of the clip can't be decoded ({error}): the one before stays. Check the avatar"
                        );
                    }
                    last.take()
                }
            };
            last.clone_from(&picture);
            let mut state = self.shared.lock();
            // Unless the timeline jumped meanwhile.
            if state.next == frame {
                state.next += 1;
                if let Some(picture) = picture {
                    state.ready.push_back((frame, picture));
                }
                drop(state);
                self.shared.changed.notify_all();
            }
        }
        self.shared.lock().open = false;
        self.shared.changed.notify_all();
    }

    /// Waits until there is room for another picture. `None` at the end.
    fn next_wanted(&self) -> Option<u64> {
        let mut state = self.shared.lock();
        while state.open && state.ready.len() >= AHEAD {
            state = self
                .shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.open.then_some(state.next)
    }

    fn decode(&mut self, index: usize) -> Result<Arc<Picture>, openh264::Error> {
        if let Some(picture) = self.clip.cache.get(index) {
            return Ok(picture);
        }
        let bytes = self.clip.size.i420_bytes();
        let keep = self.clip.cache.has_room(bytes);
        if !keep && self.spare.is_empty() {
            // All at once: were they made as they are missed, the last would be
            // made in mid stream, whenever a decoder first falls so far behind.
            self.spare
                .extend((0..SPARE).map(|_| Picture::blank(&self.clip)));
        }
        // The oldest is not always free first: when the timeline jumps, those ahead
        // are let go while the one that is drawn is still held.
        let free = |picture: &mut Arc<Picture>| Arc::get_mut(picture).is_some();
        let found = if keep {
            None
        } else {
            self.spare.iter_mut().position(free)
        };
        let spare = found.and_then(|n| self.spare.remove(n));
        let mut picture = spare.unwrap_or_else(|| Picture::blank(&self.clip));
        let drawn = Arc::get_mut(&mut picture).expect("nobody else has it yet");
        drawn.index = index;
        let decoded = self
            .decoder
            .decode(&self.clip.bitstream, index, &mut drawn.i420);
        if let Err(error) = decoded {
            // From a damaged place only a new decoder goes on.
            self.decoder = Pictures::new()?;
            return Err(error);
        }
        if keep {
            self.clip.cache.keep(&picture);
        } else if self.spare.len() < SPARE {
            self.spare.push_back(Arc::clone(&picture));
        }
        Ok(picture)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::avatar::Avatar;

    fn ava() -> Avatar {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/avatars/ava");
        Avatar::open(&folder).expect("the bundled avatar is whole")
    }

    fn checksum(picture: &Picture) -> u64 {
        let bytes = picture.i420.iter().map(|b| u64::from(*b));
        bytes.fold(0, |sum, b| sum.wrapping_mul(31).wrapping_add(b))
    }

    #[test]
    fn a_loop_is_the_same_with_and_without_a_cache() {
        let avatar = ava();
        let clip = avatar.idle();
        let frames = clip.len() as u64;
        let player = Player::start(clip).expect("a decoder");
        let mut plain = Vec::new();
        for n in 0..2 * frames {
            let picture = player.picture_waiting(n).expect("decodes");
            assert_eq!(picture.index as u64, n % frames);
            plain.push(checksum(&picture));
        }
        let (first, second) = plain.split_at(frames as usize);
        assert_eq!(first, second);
        assert_eq!(clip.cache.bytes(), 0);

        clip.cache.set_limit(100 * avatar.size.i420_bytes());
        for n in 0..3 * frames {
            if n == 2 * frames + 40 {
                assert_eq!(clip.cache.clear(), 100 * avatar.size.i420_bytes());
                // What is about to be shown, and nothing else.
                let ahead = SPARE * avatar.size.i420_bytes();
                assert!(clip.decoded_bytes() <= 2 * ahead);
            }
            let picture = player.picture_waiting(n).expect("decodes");
            assert_eq!(
                checksum(&picture),
                plain[(n % frames) as usize],
                "frame {n}"
            );
        }
        assert!(clip.cache.bytes() <= 100 * avatar.size.i420_bytes());

        // What is kept of fewer comes first in the loop.
        let kept = || (0..clip.len()).filter(|n| clip.cache.get(*n).is_some());
        let first: Vec<_> = kept().take(30).collect();
        clip.cache.set_limit(30 * avatar.size.i420_bytes());
        assert_eq!(clip.cache.bytes(), 30 * avatar.size.i420_bytes());
        assert_eq!(kept().collect::<Vec<_>>(), first);
        drop(player);
        assert_eq!(clip.decoded_bytes(), clip.cache.bytes());
        clip.cache.clear();
        assert_eq!(clip.decoded_bytes(), 0);
    }

    #[test]
    fn the_timeline_may_jump() {
        let avatar = ava();
        let player = Player::start(avatar.idle()).expect("a decoder");
        for n in [0, 140, 3, 1_000_007, 77] {
            let picture = player.picture_waiting(n).expect("decodes");
            assert_eq!(picture.index as u64, n % avatar.idle().len() as u64);
        }
    }

    #[test]
    fn where_it_was_told_to_go_it_waits() {
        let avatar = ava();
        let player = Player::start(avatar.idle()).expect("a decoder");
        player.seek(7_077);
        let index = 7_077 % avatar.idle().len();
        let first = loop {
            match player.picture(7_077) {
                Some(picture) => break picture,
                None => std::thread::yield_now(),
            }
        };
        assert_eq!(first.index, index);
        assert!(player.picture_waiting(7_078).is_some());
    }

    #[test]
    fn a_picture_that_is_late_is_not_waited_for() {
        let avatar = ava();
        let player = Player::start(avatar.idle()).expect("a decoder");
        assert!(player.picture(5_000).is_none());
        let waited = player.picture_waiting(5_000).expect("decodes");
        assert_eq!(waited.index, 5_000 % avatar.idle().len());
    }
}
