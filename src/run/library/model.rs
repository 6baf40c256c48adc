//! One model: its bundle, which stays, and its network, which comes and goes.
//!
//! Loading happens aside, on a thread of its own or of whoever opens the model:
//! a render thread asks, and draws without a mouth until there is one.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use super::{Error, Loader, lock};
use crate::model::Bundle;
use crate::stage::lipsync::Network;

/// From one attempt to load to the next, should the file be gone.
const RETRY: Duration = Duration::from_secs(5);

/// A model as sessions share it, loaded or not.
pub struct Model {
    /// Its bundle.
    pub bundle: Bundle,
    /// The side of the square face that the network takes, in pixels.
    pub side: usize,
    /// Bytes of the networks' files, weights and all.
    pub bytes: u64,
    /// When one of them was last changed.
    changed: Option<SystemTime>,
    loader: Arc<Loader>,
    state: Mutex<State>,
    /// Grows when whoever holds the network should let it go.
    generation: AtomicU64,
    loading: AtomicBool,
    /// The last attempt to load it anew failed.
    failed: AtomicBool,
    /// Sessions that draw with it.
    users: AtomicUsize,
}

struct State {
    network: Option<Arc<Network>>,
    wanted: Instant,
    /// Not to be loaded again before.
    retry: Instant,
}

impl Model {
    /// Loads `bundle`.
    pub(super) fn load(
        bundle: Bundle,
        loader: &Arc<Loader>,
        now: Instant,
    ) -> Result<Arc<Self>, Error> {
        let (bytes, changed) = (bundle.bytes(), changed(&bundle));
        let network = loader.load(&bundle)?;
        Ok(Arc::new(Self {
            side: network.size(),
            bundle,
            bytes,
            changed,
            loader: Arc::clone(loader),
            state: Mutex::new(State {
                network: Some(network),
                wanted: now,
                retry: now,
            }),
            generation: AtomicU64::new(0),
            loading: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            users: AtomicUsize::new(0),
        }))
    }

    /// Whether this is the model that `bundle` has now.
    pub(super) fn is_of(&self, bundle: &Bundle) -> bool {
        self.bundle == *bundle && self.bytes == bundle.bytes() && self.changed == changed(bundle)
    }

    /// Loads the network if it isn't, and says that it is wanted.
    pub(super) fn ensure(&self, now: Instant) -> Result<(), Error> {
        self.lock().wanted = now;
        if !self.loaded() {
            let network = self.loader.load(&self.bundle)?;
            self.lock().network = Some(network);
            self.failed.store(false, Relaxed);
        }
        Ok(())
    }

    /// The network, if it is loaded. Otherwise it begins to load.
    pub fn want(self: &Arc<Self>, now: Instant) -> Option<Arc<Network>> {
        let mut state = self.lock();
        state.wanted = now;
        if state.network.is_none() && state.retry <= now && !self.loading.swap(true, Relaxed) {
            state.retry = now + RETRY;
            let model = Arc::clone(self);
            let thread = std::thread::Builder::new().name("model".into());
            if let Err(error) = thread.spawn(move || model.load_aside()) {
                tracing::error!(%error, "cannot start a thread to load the model");
                self.loading.store(false, Relaxed);
            }
        }
        state.network.clone()
    }

    /// Notes that a mouth is still drawn.
    pub fn touch(&self, now: Instant) {
        self.lock().wanted = now;
    }

    /// When this changes, a mouth that rests should be let go.
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// Whether the network is loaded.
    pub fn loaded(&self) -> bool {
        self.lock().network.is_some()
    }

    /// Whether it could not be loaded when it was last wanted.
    pub fn failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// Counts one who draws with it, until [`Model::leave`].
    pub(in crate::run) fn enter(&self) {
        self.users.fetch_add(1, Relaxed);
    }

    /// One fewer draws with it.
    pub(in crate::run) fn leave(&self) {
        self.users.fetch_sub(1, Relaxed);
    }

    /// Whether anybody draws with it.
    pub(super) fn used(&self) -> bool {
        self.users.load(Relaxed) > 0
    }

    /// Lets the network go if nobody wanted it for `idle`. True if it did.
    pub(super) fn unload_idle(&self, now: Instant, idle: Duration) -> bool {
        let state = self.lock();
        let idles = now.saturating_duration_since(state.wanted) >= idle;
        drop(state);
        idles && self.discard()
    }

    /// Lets the network go: who wants it next loads it anew. True if there was one.
    pub fn discard(&self) -> bool {
        let network = self.lock().network.take();
        if network.is_some() {
            self.generation.fetch_add(1, Relaxed);
        }
        network.is_some()
    }

    fn load_aside(&self) {
        let loaded = self.loader.load(&self.bundle);
        let fits = match loaded {
            Ok(network) if network.size() == self.side => {
                self.lock().network = Some(network);
                true
            }
            Ok(network) => {
                tracing::error!(
                    "the mouth rests: the model {} now takes {} pixels, and took {} before; choose it anew to use it",
                    self.bundle.id,
                    network.size(),
                    self.side
                );
                false
            }
            Err(error) => {
                tracing::error!("the mouth rests: {error}");
                false
            }
        };
        self.failed.store(!fits, Relaxed);
        self.loading.store(false, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// When a network of `bundle` was last changed.
fn changed(bundle: &Bundle) -> Option<SystemTime> {
    let times = bundle
        .networks()
        .filter_map(|path| fs::metadata(path).and_then(|file| file.modified()).ok());
    times.max()
}
