//! The queue of the live path: bounded, and the newest item wins.
//!
//! A live stream that is late must lose something. Here the oldest item goes,
//! and the writer gets it back so that its owner counts the loss. Nothing is
//! allocated after [`ring`]; the lock is held for one move of one item.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ringbuf::HeapRb;
use ringbuf::traits::Observer;

/// Creates a ring that holds at most `depth` items.
///
/// # Panics
///
/// If `depth` is zero.
pub fn ring<T>(depth: usize) -> (Writer<T>, Reader<T>) {
    assert!(depth > 0, "a ring holds at least one item");
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            items: HeapRb::new(depth),
            writer: true,
            reader: true,
        }),
        changed: Condvar::new(),
    });
    (
        Writer {
            shared: Arc::clone(&shared),
        },
        Reader { shared },
    )
}

struct State<T> {
    items: HeapRb<T>,
    writer: bool,
    reader: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Moving an item can't panic, so a poisoned ring is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing end. Dropping it ends the stream.
pub struct Writer<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Writer<T> {
    /// Adds an item. Returns the oldest one if it had to make room, or the
    /// item itself when nobody is left to read it.
    #[must_use = "an item that was lost must be counted"]
    pub fn push(&self, item: T) -> Option<T> {
        let mut state = self.shared.lock();
        if !state.reader {
            return Some(item);
        }
        let evicted = state.items.push_overwrite(item);
        drop(state);
        self.shared.changed.notify_one();
        evicted
    }

    /// Items waiting.
    pub fn len(&self) -> usize {
        self.shared.lock().items.occupied_len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        self.shared.lock().writer = false;
        self.shared.changed.notify_one();
    }
}

/// The reading end.
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
}

/// What a wait ended with.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// The oldest item still held.
    Item(T),
    /// The writer is alive but had nothing to say in time.
    Timeout,
    /// The writer is gone and everything was read.
    Closed,
}

impl<T> Reader<T> {
    /// Waits for an item, at most `patience`.
    pub fn next(&self, patience: Duration) -> Next<T> {
        let deadline = Instant::now() + patience;
        let mut state = self.shared.lock();
        loop {
            if let Some(item) = state.items.try_pop() {
                return Next::Item(item);
            }
            if !state.writer {
                return Next::Closed;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Timeout;
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Items waiting.
    pub fn len(&self) -> usize {
        self.shared.lock().items.occupied_len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.reader = false;
        state.items.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const SOON: Duration = Duration::from_millis(1);

    #[test]
    fn the_oldest_item_makes_room() {
        let (writer, reader) = ring(3);
        let evicted: Vec<Option<u32>> = (1..=5).map(|n| writer.push(n)).collect();
        assert_eq!(evicted, [None, None, None, Some(1), Some(2)]);
        assert_eq!(reader.next(SOON), Next::Item(3));
        assert_eq!(reader.len(), 2);
    }

    #[test]
    fn closing_lets_the_reader_finish() {
        let (writer, reader) = ring(3);
        assert_eq!(writer.push(1), None);
        drop(writer);
        assert_eq!(reader.next(SOON), Next::Item(1));
        assert_eq!(reader.next(SOON), Next::Closed);
    }

    #[test]
    fn a_push_wakes_the_reader() {
        let (writer, reader) = ring(1);
        let handle = thread::spawn(move || reader.next(Duration::from_secs(60)));
        assert_eq!(writer.push(7), None);
        assert_eq!(handle.join().expect("reader thread"), Next::Item(7));
    }

    #[test]
    fn without_a_reader_the_writer_keeps_what_it_pushed() {
        let (writer, reader) = ring(2);
        assert_eq!(writer.push(1), None);
        drop(reader);
        assert_eq!(writer.push(2), Some(2));
        assert!(writer.is_empty());
    }
}
