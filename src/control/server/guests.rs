//! The connections that are open: whose they are, which of them are at work, and
//! which one gives way.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::task::AbortHandle;

use super::Limits;

/// The connections, in the order in which they came.
#[derive(Default)]
pub(super) struct Guests(VecDeque<Guest>);

struct Guest {
    from: IpAddr,
    task: AbortHandle,
    steps: Steps,
}

/// Where one more connection goes.
pub(super) enum Place {
    /// There is room.
    Free,
    /// There is when this task, which was ended, is gone.
    After(AbortHandle),
    /// Nowhere: all are at work.
    Nowhere,
}

impl Guests {
    pub fn enter(&mut self, from: IpAddr, task: AbortHandle, steps: Steps) {
        self.0.push_back(Guest { from, task, steps });
    }

    /// The place of one more connection from `from`. Who has as many as one address
    /// may have makes room by its own, so that it costs nobody else theirs.
    pub fn place(&mut self, from: IpAddr, limits: &Limits) -> Place {
        self.0.retain(|guest| !guest.task.is_finished());
        let own = self.0.iter().filter(|guest| guest.from == from).count();
        let ended = if own >= limits.per_address {
            self.send_away(|guest| guest.from == from)
        } else if self.0.len() >= limits.connections {
            self.send_away_any()
        } else {
            return Place::Free;
        };
        ended.map_or(Place::Nowhere, Place::After)
    }

    /// Ends the oldest connection that has no request running: a stranger's who says
    /// nothing, or a browser's who kept it for later and opens another.
    pub fn send_away_any(&mut self) -> Option<AbortHandle> {
        self.send_away(|_| true)
    }

    fn send_away(&mut self, whom: impl Fn(&Guest) -> bool) -> Option<AbortHandle> {
        let idle = |guest: &Guest| whom(guest) && !guest.steps.at_work();
        let guest = self.0.remove(self.0.iter().position(idle)?)?;
        guest.task.abort();
        Some(guest.task)
    }
}

/// Counts the beginnings and ends of a connection's requests, which come one
/// after the other.
#[derive(Clone, Default)]
pub(super) struct Steps(Arc<AtomicU64>);

impl Steps {
    pub fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Whether a request runs.
    pub fn at_work(&self) -> bool {
        self.count() % 2 == 1
    }

    /// A request runs until the result and its clones are dropped.
    pub fn begin(&self) -> AtWork {
        self.0.fetch_add(1, Relaxed);
        AtWork(Arc::new(Step(self.clone())))
    }
}

/// Held while a request runs. It comes with the request: whose answer has no end
/// of its own keeps it in the answer, which is otherwise taken for one that
/// nobody reads.
#[derive(Clone)]
pub(in crate::control) struct AtWork(Arc<Step>);

impl AtWork {
    /// For an answer that goes on after its request, and ends when nobody reads it.
    pub fn reading(&self) -> Reading {
        Reading(self.0.0.clone())
    }
}

/// Says that somebody reads an answer.
pub(in crate::control) struct Reading(Steps);

impl Reading {
    /// Another piece was taken: the connection isn't one that stands.
    pub fn goes_on(&self) {
        // As a request that began and ended.
        self.0.0.fetch_add(2, Relaxed);
    }
}

struct Step(Steps);

impl Drop for Step {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Relaxed);
    }
}
