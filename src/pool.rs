//! The frames of a session, allocated once.
//!
//! A frame comes from the pool and goes home when it is dropped, on whichever
//! thread drops it. The pool is the memory bound of the picture's path.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;

/// Size of a picture in pixels. Both are even, as I420 wants them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Size {
    /// Bytes of an I420 picture: Y at full size, U and V at half of it each way.
    pub const fn i420_bytes(self) -> usize {
        self.width * self.height * 3 / 2
    }

    /// Cuts `i420` into its planes Y, U and V.
    ///
    /// # Panics
    ///
    /// If `i420` has fewer than [`Size::i420_bytes`] bytes.
    pub fn planes(self, i420: &[u8]) -> [&[u8]; 3] {
        let luma = self.width * self.height;
        let (y, chroma) = i420[..self.i420_bytes()].split_at(luma);
        let (u, v) = chroma.split_at(luma / 4);
        [y, u, v]
    }

    /// Like [`Size::planes`], to be drawn on.
    ///
    /// # Panics
    ///
    /// If `i420` has fewer than [`Size::i420_bytes`] bytes.
    pub fn planes_mut(self, i420: &mut [u8]) -> [&mut [u8]; 3] {
        let luma = self.width * self.height;
        let (y, chroma) = i420[..self.i420_bytes()].split_at_mut(luma);
        let (u, v) = chroma.split_at_mut(luma / 4);
        [y, u, v]
    }
}

type Home = Arc<ArrayQueue<Box<[u8]>>>;

/// A fixed set of I420 pictures of one size.
#[derive(Clone, Debug)]
pub struct FramePool {
    free: Home,
    size: Size,
}

impl FramePool {
    /// Allocates `count` frames.
    ///
    /// # Panics
    ///
    /// If `count` is zero.
    pub fn new(count: usize, size: Size) -> Self {
        let free = ArrayQueue::new(count);
        for _ in 0..count {
            // Cannot fail: the queue was made for exactly `count` pictures.
            let _full = free.push(vec![0; size.i420_bytes()].into_boxed_slice());
        }
        Self {
            free: Arc::new(free),
            size,
        }
    }

    /// Takes a free frame for the moment `pts`, or `None` when all are in use.
    /// The picture still shows what was drawn on it last.
    pub fn take(&self, pts: Duration) -> Option<Frame> {
        Some(Frame {
            pts,
            accepted: None,
            begun: None,
            cpu: Duration::ZERO,
            size: self.size,
            i420: self.free.pop()?,
            home: Arc::clone(&self.free),
        })
    }

    /// Size of its frames in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Frames at home.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Bytes of all frames, at home or not.
    pub fn bytes(&self) -> usize {
        self.free.capacity() * self.size.i420_bytes()
    }
}

/// One picture of the show.
#[derive(Debug)]
pub struct Frame {
    /// Time since the stream began.
    pub pts: Duration,
    /// When the sound of this picture was accepted.
    pub accepted: Option<Instant>,
    /// When its turn began.
    pub begun: Option<Instant>,
    /// Processor time that it has taken so far.
    pub cpu: Duration,
    size: Size,
    i420: Box<[u8]>,
    home: Home,
}

impl Frame {
    /// Size in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The picture: planes Y, U and V one after the other, without gaps.
    pub fn i420(&self) -> &[u8] {
        &self.i420
    }

    /// The picture, to be drawn on.
    pub fn i420_mut(&mut self) -> &mut [u8] {
        &mut self.i420
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // An empty boxed slice does not allocate, and the queue has room for
        // every picture that it ever gave out.
        let _full = self.home.push(std::mem::take(&mut self.i420));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size {
        width: 4,
        height: 2,
    };

    #[test]
    fn a_dropped_frame_comes_home_from_any_thread() {
        let pool = FramePool::new(2, SIZE);
        let first = pool.take(Duration::ZERO).expect("two are free");
        let second = pool.take(Duration::ZERO).expect("one is free");
        assert!(pool.take(Duration::ZERO).is_none());
        std::thread::spawn(move || drop(first))
            .join()
            .expect("dropping can't fail");
        assert_eq!(pool.free(), 1);
        drop(second);
        assert_eq!(pool.free(), 2);
    }

    #[test]
    fn planes_lie_one_after_the_other() {
        let bytes: Vec<u8> = (0..12).collect();
        let [y, u, v] = SIZE.planes(&bytes);
        assert_eq!((y, u, v), (&bytes[..8], &bytes[8..10], &bytes[10..]));
    }
}
