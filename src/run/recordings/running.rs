//! A recording that runs, for whoever asks about it, stops it, or works on it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::sync::oneshot;

use super::Recording;
use crate::stage::write;

/// Why a recording is over, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Somebody stopped it, or the program ends.
    Stopped,
    /// The session is over.
    SessionEnded,
    /// Pictures became others: the next recording has them.
    Changed,
    /// There is no room for more.
    Full,
    /// The disk was slower than the stream.
    Slow,
    /// The file could not be written.
    Failed,
}

impl Reason {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::SessionEnded => "session_ended",
            Self::Changed => "changed",
            Self::Full => "full",
            Self::Slow => "slow",
            Self::Failed => "failed",
        }
    }
}

/// What became of a recording.
pub(super) type Outcome = Result<Recording, write::Error>;

/// A recording that runs, for whoever asks and whoever stops it.
pub(super) struct Running {
    pub(super) told: Mutex<Recording>,
    /// Bytes of packets that wait for the disk.
    pub(super) waiting: AtomicU64,
    /// Bytes of what is not in the file yet.
    pub(super) unwritten: AtomicUsize,
    /// Dropped to stop it.
    stop: Mutex<Option<oneshot::Sender<()>>>,
    /// The first reason counts.
    pub(super) reason: OnceLock<Reason>,
    outcome: Receiver<Outcome>,
}

impl Running {
    pub(super) fn new(
        told: Recording,
        stop: oneshot::Sender<()>,
        outcome: Receiver<Outcome>,
    ) -> Self {
        Self {
            told: Mutex::new(told),
            waiting: AtomicU64::new(0),
            unwritten: AtomicUsize::new(0),
            stop: Mutex::new(Some(stop)),
            reason: OnceLock::new(),
            outcome,
        }
    }

    /// As it is now.
    pub(super) fn told(&self) -> Recording {
        lock(&self.told).clone()
    }

    pub(super) fn stop(&self) {
        lock(&self.stop).take();
    }

    /// What became of it, for the first who waits, if that is known within `time`.
    pub(super) fn wait(&self, time: Duration) -> Result<Outcome, RecvTimeoutError> {
        self.outcome.recv_timeout(time)
    }

    pub(super) fn held_bytes(&self) -> u64 {
        self.waiting.load(Relaxed) + self.unwritten.load(Relaxed) as u64
    }

    pub(super) fn over(&self, reason: Reason) {
        // It is over already, for another reason.
        let _first_counts = self.reason.set(reason);
    }
}

/// A recording of which nothing is in its file yet.
pub(super) fn begun(session: &str, id: String) -> Recording {
    Recording {
        id,
        session: session.to_owned(),
        bytes: 0,
        seconds: 0.0,
        running: true,
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
