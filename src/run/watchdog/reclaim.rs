//! What is given up to stay within the budget, and what came back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use utoipa::ToSchema;

use super::caches::Caches;
use super::{REMEMBERED, Watch, lock};
use crate::memory::Level;
use crate::native;
use crate::run::library::LETTING_GO;

/// A model that no mouth was drawn with for so long is idle when memory is short.
pub(super) const IDLE: Duration = Duration::from_secs(1);
/// Bytes given back that are worth a line of the log.
const WORTH_A_LINE: u64 = 1 << 20;

/// What was given up, and what came back.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Reclaim {
    /// When, in seconds since 1970.
    pub time: u64,
    /// The level whose actions ran.
    pub level: Level,
    /// Why.
    pub reason: String,
    /// Resident memory before, in bytes.
    pub before_bytes: u64,
    /// And after.
    pub after_bytes: u64,
    /// By how much it shrank, with what the allocator gave back.
    pub freed_bytes: u64,
    /// What each owner says that it freed, in bytes.
    pub owners: BTreeMap<&'static str, u64>,
}

impl Reclaim {
    /// Whether it helped, or should have.
    pub(super) fn worth_a_line(&self) -> bool {
        self.freed_bytes.max(self.owners.values().sum()) >= WORTH_A_LINE
    }
}

impl Watch {
    /// Does what the level asks for.
    pub(super) fn reclaim(&mut self, level: Level, reason: String, now: Instant) -> Reclaim {
        let before = self.read().rss_bytes;
        // The model first: it takes a moment, in which a cache that is emptied
        // would be drawn on again.
        let models = match level {
            Level::Normal | Level::Light => 0,
            Level::Hard | Level::Over => self.unload(now, IDLE),
        };
        let caches = Caches::of(&self.watched.sessions);
        let decoded = caches.decoded();
        match level {
            Level::Normal => {}
            Level::Light => caches.freeze(),
            Level::Hard | Level::Over => caches.close(),
        }
        // Pictures about to be shown are still held, and not counted as freed.
        let clips = decoded.saturating_sub(caches.decoded());
        native::trim_allocator();
        let after = self.read().rss_bytes;
        Reclaim {
            time: SystemTime::UNIX_EPOCH
                .elapsed()
                .map_or(0, |time| time.as_secs()),
            level,
            reason,
            before_bytes: before,
            after_bytes: after,
            freed_bytes: before.saturating_sub(after),
            owners: BTreeMap::from([("clips", clips), ("models", models)]),
        }
    }

    /// Counts what was done. If that is worth it, remembers it and says so.
    pub(super) fn note(&self, done: &Reclaim, worth_it: bool) {
        let mut reading = lock(&self.reading);
        reading.reclaims[done.level as usize] += 1;
        reading.reclaimed_bytes += done.freed_bytes;
        if !worth_it {
            return;
        }
        reading.last.truncate(REMEMBERED - 1);
        reading.last.push_front(done.clone());
        drop(reading);
        tracing::info!(
            level = done.level.name(),
            reason = done.reason,
            clips_kb = done.owners["clips"] >> 10,
            models_kb = done.owners["models"] >> 10,
            freed_kb = done.freed_bytes >> 10,
            rss_mb = megabytes(done.after_bytes),
            "memory reclaimed"
        );
    }

    /// Unloads what nobody wanted for `idle`, and waits until it is gone. Returns
    /// its bytes.
    pub(super) fn unload(&self, now: Instant, idle: Duration) -> u64 {
        let library = &self.watched.library;
        let loaded = library.bytes();
        if !library.unload_idle(now, idle) {
            return 0;
        }
        std::thread::sleep(LETTING_GO);
        loaded.saturating_sub(library.bytes()) as u64
    }
}

/// Megabytes of 2^20 bytes.
pub(super) fn megabytes(bytes: u64) -> u64 {
    bytes >> 20
}

/// How long the process may be over its budget.
pub(super) struct Patience {
    pub limit: Duration,
    since: Option<Instant>,
}

impl Patience {
    pub fn new(limit: Duration) -> Self {
        Self { limit, since: None }
    }

    /// Whether it has been over its budget for the whole of the limit. True once
    /// for each time that it has.
    pub fn is_out(&mut self, now: Instant, over: bool) -> bool {
        if !over {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let out = now.saturating_duration_since(since) >= self.limit;
        if out {
            self.since = None;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_only_when_nothing_helped_for_the_whole_time() {
        let mut patience = Patience::new(Duration::from_secs(30));
        let start = Instant::now();
        let mut turn =
            |second: u64, over| patience.is_out(start + Duration::from_secs(second), over);
        assert!((0..30).all(|second| !turn(second, true)));
        // A moment below begins it anew.
        assert!(!turn(30, false));
        assert!((31..61).all(|second| !turn(second, true)));
        assert!(turn(61, true));
        assert!(!turn(62, true));
    }
}
