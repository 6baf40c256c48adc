//! A clip's pictures, decoded ahead on a thread of their own.
//!
//! A picture that was decoded once stays in the clip's [`Cache`] while the
//! byte budget allows. The cache is a convenience: it can be emptied at any
//! moment, because the [`Player`] is always [`AHEAD`] pictures in front, and
//! that is longer than it takes to decode to any place of the clip.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::bitstream::{Bitstream, Pictures};
use super::{Colour, Error, Face};
use crate::pool::Size;

/// Pictures decoded ahead: 240 ms, in which a decoder passes over a hundred frames.
const AHEAD: usize = 6;
/// Pictures a player may hold at once outside the cache: those ahead, the one
/// that is being decoded, the one that is drawn, and the last one.
const SPARE: usize = AHEAD + 3;

/// Frames that are decoded when a clip is opened, to see that they can be: ten
/// seconds of video, in half a second.
const CHECKED: usize = 250;
/// Frames after the one that is late from which a late decoder goes on.
const LEAD: u64 = 2;

/// One picture of a clip.
#[derive(Debug)]
pub struct Picture {
    /// Which frame of the clip this is.
    pub index: usize,
    i420: Box<[u8]>,
}

impl Picture {
    /// Planes Y, U and V one after the other, BT.601, limited range.
    pub fn i420(&self) -> &[u8] {
        &self.i420
    }
}

/// Pictures of a clip that were decoded before, within a budget of bytes.
#[derive(Debug)]
pub struct Cache {
    pictures: Mutex<Vec<Option<Arc<Picture>>>>,
    bytes: AtomicUsize,
    limit: AtomicUsize,
}

impl Cache {
    fn new(frames: usize) -> Self {
        Self {
            pictures: Mutex::new(vec![None; frames]),
            bytes: AtomicUsize::new(0),
            limit: AtomicUsize::new(0),
        }
    }

    /// Sets how many bytes of pictures may be kept. Less than is kept now
    /// empties the cache.
    pub fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Relaxed);
        if bytes < self.bytes() {
            self.clear();
        }
    }

    /// Forgets every picture. Returns the bytes that were kept.
    pub fn clear(&self) -> usize {
        let mut pictures = self.lock();
        pictures.fill(None);
        self.bytes.swap(0, Relaxed)
    }

    /// Bytes of the pictures kept.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    fn get(&self, index: usize) -> Option<Arc<Picture>> {
        self.lock()[index].clone()
    }

    /// Whether a picture of `bytes` bytes may be kept. A loop is read in order,
    /// so the first pictures stay: giving up the oldest for the newest would
    /// never serve one twice.
    fn has_room(&self, bytes: usize) -> bool {
        self.bytes() + bytes <= self.limit.load(Relaxed)
    }

    fn keep(&self, picture: &Arc<Picture>) {
        let mut pictures = self.lock();
        let slot = &mut pictures[picture.index];
        if slot.is_none() && self.has_room(picture.i420.len()) {
            self.bytes.fetch_add(picture.i420.len(), Relaxed);
            *slot = Some(Arc::clone(picture));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Arc<Picture>>>> {
        self.pictures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A video that loops, and where its face is in every frame.
#[derive(Debug)]
pub struct Clip {
    bitstream: Bitstream,
    faces: Vec<Option<Face>>,
    size: Size,
    /// Shared by every player of this clip.
    pub cache: Cache,
}

impl Clip {
    /// Reads the video at `path`; `faces` has an entry for each of its frames.
    pub(super) fn open(
        path: &Path,
        colour: Colour,
        size: Size,
        faces: Vec<Option<Face>>,
    ) -> Result<Self, Error> {
        let bitstream = Bitstream::read(path, colour, size)?;
        let clip = Self {
            cache: Cache::new(bitstream.len()),
            bitstream,
            faces,
            size,
        };
        // All of a short clip; a long one would delay the start by seconds, and
        // `mouthpiece avatar check` does it.
        clip.check(0..clip.len().min(CHECKED), path)?;
        Ok(clip)
    }

    /// Decodes every frame once.
    ///
    /// # Errors
    ///
    /// The first frame that can't be decoded, or has another size than the manifest says.
    pub fn check_whole(&self, path: &Path) -> Result<(), Error> {
        self.check(0..self.len(), path)
    }

    fn check(&self, frames: std::ops::Range<usize>, path: &Path) -> Result<(), Error> {
        let mut i420 = vec![0; self.size.i420_bytes()];
        let mut pictures = Pictures::new().map_err(|e| Error::broken(path, e.to_string()))?;
        for n in frames {
            pictures
                .decode(&self.bitstream, n, &mut i420)
                .map_err(|e| {
                    let Size { width, height } = self.size;
                    let problem = format!(
                        "frame {n} can't be decoded as {width}x{height} ({e}): encode the clip anew, or mend width and height in avatar.toml"
                    );
                    Error::broken(path, problem)
                })?;
        }
        Ok(())
    }

    /// Frames of the clip.
    pub fn len(&self) -> usize {
        self.bitstream.len()
    }

    /// Whether there are no frames. Never, once opened.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the face is in frame `index`, if one shows.
    pub fn face(&self, index: usize) -> Option<Face> {
        self.faces[index]
    }

    /// Bytes in memory besides the cache.
    pub fn bytes(&self) -> usize {
        self.bitstream.bytes() + self.faces.len() * size_of::<Option<Face>>()
    }
}

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
        let oldest = self.spare.front_mut();
        let free = !keep && oldest.is_some_and(|oldest| Arc::get_mut(oldest).is_some());
        let spare = if free { self.spare.pop_front() } else { None };
        let mut picture = spare.unwrap_or_else(|| {
            Arc::new(Picture {
                index,
                i420: vec![0; bytes].into_boxed_slice(),
            })
        });
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
        assert_eq!(plain[..150], plain[150..]);
        assert_eq!(clip.cache.bytes(), 0);

        clip.cache.set_limit(100 * avatar.size.i420_bytes());
        for n in 0..3 * frames {
            if n == 2 * frames + 40 {
                assert_eq!(clip.cache.clear(), 100 * avatar.size.i420_bytes());
            }
            let picture = player.picture_waiting(n).expect("decodes");
            assert_eq!(
                checksum(&picture),
                plain[(n % frames) as usize],
                "frame {n}"
            );
        }
        assert!(clip.cache.bytes() <= 100 * avatar.size.i420_bytes());
    }

    #[test]
    fn the_timeline_may_jump() {
        let avatar = ava();
        let player = Player::start(avatar.idle()).expect("a decoder");
        for n in [0, 140, 3, 1_000_007, 77] {
            let picture = player.picture_waiting(n).expect("decodes");
            assert_eq!(picture.index as u64, n % 150);
        }
    }

    #[test]
    fn a_picture_that_is_late_is_not_waited_for() {
        let avatar = ava();
        let player = Player::start(avatar.idle()).expect("a decoder");
        assert!(player.picture(5_000).is_none());
        assert_eq!(player.picture_waiting(5_000).expect("decodes").index, 50);
    }
}
