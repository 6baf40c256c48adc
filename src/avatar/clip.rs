//! A clip: a video that loops, where its face is, and the pictures of it that
//! were decoded before.
//!
//! A picture that was decoded once stays in the clip's [`Cache`] while the
//! byte budget allows. The cache is a convenience: it can be emptied at any
//! moment, because a [`super::Player`] decodes ahead.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bitstream::{Bitstream, Pictures};
use super::{Colour, Error, Face};
use crate::pool::Size;

/// Frames that are decoded when a clip is opened, to see that they can be: two
/// seconds of video, in a tenth of a second. What is damaged further on is
/// passed over while it plays, and found by `mouthpiece avatar check`.
const CHECKED: usize = 50;
/// One picture of a clip.
#[derive(Debug)]
pub struct Picture {
    /// Which frame of the clip this is.
    pub index: usize,
    pub(super) i420: Box<[u8]>,
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

    /// Keeps what is kept, and no more.
    pub fn freeze(&self) {
        // Under the lock nothing is added between reading and setting.
        let _pictures = self.lock();
        self.limit.fetch_min(self.bytes(), Relaxed);
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

    pub(super) fn get(&self, index: usize) -> Option<Arc<Picture>> {
        self.lock()[index].clone()
    }

    /// Whether a picture of `bytes` bytes may be kept. A loop is read in order,
    /// so the first pictures stay: giving up the oldest for the newest would
    /// never serve one twice.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.bytes() + bytes <= self.limit.load(Relaxed)
    }

    pub(super) fn keep(&self, picture: &Arc<Picture>) {
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
    pub(super) bitstream: Bitstream,
    faces: Vec<Option<Face>>,
    pub(super) size: Size,
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
