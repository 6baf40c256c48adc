//! The sessions of the process, by name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::run::session::Session;

/// The session that the configuration makes.
pub const LIVE: &str = "live";

/// Every session that runs.
#[derive(Default)]
pub struct Sessions {
    running: Mutex<BTreeMap<String, Arc<Session>>>,
}

impl Sessions {
    /// Adds a session.
    pub fn add(&self, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        self.lock().insert(session.id.clone(), Arc::clone(&session));
        session
    }

    /// The session called `id`.
    pub fn get(&self, id: &str) -> Option<Arc<Session>> {
        self.lock().get(id).cloned()
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Arc<Session>> {
        self.lock().values().cloned().collect()
    }

    /// Ends the newest session that nobody watches, other than [`LIVE`]. Its name,
    /// if there was one.
    pub fn close_newest_unwatched(&self) -> Option<String> {
        let mut running = self.lock();
        let unwatched = running.values().filter(|s| s.id != LIVE && !s.watched());
        let newest = unwatched.max_by_key(|s| s.started)?.id.clone();
        let ending = running.remove(&newest);
        drop(running);
        // Threads are waited for with the others let run.
        ending?.end();
        Some(newest)
    }

    /// Ends all of them and waits until they have.
    pub fn end(&self) {
        let ending = std::mem::take(&mut *self.lock());
        for session in ending.values() {
            session.end();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Session>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
