//! The network of a model: loaded when a mouth is first wanted, shared by all
//! sessions, unloaded when nobody wanted one for a while.
//!
//! Loading happens aside, on a thread of its own: a render thread asks, and
//! draws without a mouth until there is one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::{Bundle, Manifest};
use crate::stage::lipsync::{Error, Network, Runtime};
use crate::stage::mel;

/// One model of the process.
pub struct Library {
    bundle: Bundle,
    runtime: Runtime,
    side: usize,
    state: Mutex<State>,
    /// Grows when whoever holds the network should let it go.
    generation: AtomicU64,
    loading: AtomicBool,
}

struct State {
    network: Option<Arc<Network>>,
    wanted: Instant,
    /// Not to be loaded again before.
    retry: Instant,
}

/// From one attempt to load to the next, should the file be gone.
const RETRY: Duration = Duration::from_secs(5);

impl Library {
    /// Loads the network of `bundle`, so that one that doesn't fit is refused at start.
    ///
    /// # Errors
    ///
    /// When it can't be loaded or doesn't fit.
    pub fn open(bundle: Bundle, runtime: Runtime, now: Instant) -> Result<Arc<Self>, Error> {
        let network = load(&bundle, &runtime)?;
        Ok(Arc::new(Self {
            bundle,
            runtime,
            side: network.size(),
            state: Mutex::new(State {
                network: Some(network),
                wanted: now,
                retry: now,
            }),
            generation: AtomicU64::new(0),
            loading: AtomicBool::new(false),
        }))
    }

    /// The bundle.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The side of the square face that the network takes, in pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    /// The network, if it is loaded. Otherwise it begins to load.
    pub fn want(self: &Arc<Self>, now: Instant) -> Option<Arc<Network>> {
        let mut state = self.lock();
        state.wanted = now;
        if state.network.is_none() && state.retry <= now && !self.loading.swap(true, Relaxed) {
            state.retry = now + RETRY;
            let library = Arc::clone(self);
            let thread = std::thread::Builder::new().name("model".into());
            if let Err(error) = thread.spawn(move || library.load()) {
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

    /// Bytes of the network's file, while it is loaded: about what its weights take.
    pub fn bytes(&self) -> usize {
        let size = || std::fs::metadata(&self.bundle.onnx).map_or(0, |file| file.len());
        if self.loaded() { size() as usize } else { 0 }
    }

    /// Whether the network is loaded.
    pub fn loaded(&self) -> bool {
        self.lock().network.is_some()
    }

    /// Lets the network go if nobody wanted it for `idle`. True if it did.
    pub fn unload_idle(&self, now: Instant, idle: Duration) -> bool {
        let mut state = self.lock();
        if now.saturating_duration_since(state.wanted) < idle || state.network.is_none() {
            return false;
        }
        state.network = None;
        self.generation.fetch_add(1, Relaxed);
        true
    }

    /// Lets the network go because it fails: who wants it next loads it anew.
    pub fn discard(&self) {
        self.lock().network = None;
        self.generation.fetch_add(1, Relaxed);
    }

    fn load(&self) {
        match load(&self.bundle, &self.runtime) {
            Ok(network) if network.size() == self.side => self.lock().network = Some(network),
            Ok(network) => tracing::error!(
                "the mouth rests: the model now takes {} pixels, and took {} at start; start anew to use it",
                network.size(),
                self.side
            ),
            Err(error) => tracing::error!("the mouth rests: {error}"),
        }
        self.loading.store(false, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Loads a network that hears no further than its manifest says.
///
/// # Errors
///
/// When it can't be loaded, doesn't fit, or would wait for sound that never comes in time.
pub fn load(bundle: &Bundle, runtime: &Runtime) -> Result<Arc<Network>, Error> {
    let Manifest {
        look_ahead_ms,
        mel_offset_ms,
        ..
    } = bundle.manifest;
    let needs = mel::look_ahead(mel_offset_ms).as_secs_f64() * 1e3;
    if needs > look_ahead_ms {
        return Err(Error::Manifest {
            path: bundle.onnx.clone(),
            problem: format!(
                "with mel_offset_ms = {mel_offset_ms} its window of mel ends {needs:.1} ms after the frame, but look_ahead_ms is {look_ahead_ms}: set it to {:.0}",
                needs.ceil()
            ),
        });
    }
    Network::load(bundle, runtime)
}
