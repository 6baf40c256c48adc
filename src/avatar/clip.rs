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
use super::{Colour, Error, Face, shrink};
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
    /// Bytes of all pictures of the clip.
    decoded: Arc<AtomicUsize>,
}

impl Picture {
    /// A picture of `clip` to be drawn on.
    pub(super) fn blank(clip: &Clip) -> Arc<Self> {
        let bytes = clip.size.i420_bytes();
        clip.decoded.fetch_add(bytes, Relaxed);
        Arc::new(Self {
            index: 0,
            i420: vec![0; bytes].into_boxed_slice(),
            decoded: Arc::clone(&clip.decoded),
        })
    }

    /// Planes Y, U and V one after the other, BT.601, limited range.
    pub fn i420(&self) -> &[u8] {
        &self.i420
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        self.decoded.fetch_sub(self.i420.len(), Relaxed);
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

    /// Sets how many bytes of pictures may be kept. What is more is let go, from
    /// the clip's end.
    pub fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Relaxed);
        self.shrink(bytes);
    }

    /// Keeps what is kept, and no more.
    pub fn freeze(&self) {
        // Under the lock nothing is added between reading and setting.
        let _pictures = self.lock();
        self.limit.fetch_min(self.bytes(), Relaxed);
    }

    /// Forgets every picture. Returns the bytes that were kept.
    pub fn clear(&self) -> usize {
        self.shrink(0)
    }

    /// Keeps at most `most` bytes of what it keeps. Returns the bytes let go.
    fn shrink(&self, most: usize) -> usize {
        let (mut gone, mut bytes) = (Vec::new(), 0);
        let mut pictures = self.lock();
        for slot in pictures.iter_mut().rev() {
            if self.bytes() <= most {
                break;
            }
            if let Some(picture) = slot.take() {
                let size = picture.i420.len();
                self.bytes.fetch_sub(size, Relaxed);
                bytes += size;
                gone.push(picture);
            }
        }
        drop(pictures);
        // The system takes back a thousand pictures in a tenth of a second: not
        // under the lock, for which a stream would wait.
        drop(gone);
        bytes
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
    /// Bytes of all its decoded pictures, kept or not.
    decoded: Arc<AtomicUsize>,
}

impl Clip {
    /// Reads the video at `path`, of the first size, whose pictures shall have the
    /// second one; `faces` has an entry for each of its frames.
    pub(super) fn open(
        path: &Path,
        colour: Colour,
        [filmed, size]: [Size; 2],
        mut faces: Vec<Option<Face>>,
    ) -> Result<Self, Error> {
        let bitstream = Bitstream::read(path, colour, [filmed, size])?;
        if size != filmed {
            for face in faces.iter_mut().flatten() {
                *face = shrink::face(*face, filmed, size);
            }
        }
        let clip = Self {
            cache: Cache::new(bitstream.len()),
            decoded: Arc::default(),
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
                    let Size { width, height } = self.bitstream.filmed;
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

    /// Bytes of its decoded pictures: those in the cache, and those that players
    /// hold.
    pub fn decoded_bytes(&self) -> usize {
        self.decoded.load(Relaxed)
    }

    /// Bytes in memory besides decoded pictures.
    pub fn bytes(&self) -> usize {
        self.bitstream.bytes() + self.faces.len() * size_of::<Option<Face>>()
    }
}
