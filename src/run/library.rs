//! The model of the process: loaded when a mouth is first wanted, shared by all
//! sessions, unloaded when nobody wanted one for a while, and changed for another
//! while they run.
//!
//! Loading happens aside, on a thread of its own or of whoever changes the
//! model: a render thread asks, and draws without a mouth until there is one.
//! What doesn't load, doesn't fit or costs more memory than the budget has left
//! changes nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::{self, Bundle};
use crate::native;
use crate::process::{anonymous, resident};
use crate::stage::lipsync::{self, Network, Runtime};
use crate::stage::mel;

/// Why a model can't be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its bundle is broken.
    #[error(transparent)]
    Bundle(#[from] model::Error),
    /// Its networks can't be loaded, or don't fit.
    #[error(transparent)]
    LipSync(#[from] lipsync::Error),
    /// It is larger than what the budget has left.
    #[error(
        "the model {id} is not loaded: it takes about {needs_mb} MB and memory.budget_mb = {budget_mb} has {left_mb} MB left. Raise the budget to {wanted_mb}, or use a smaller model"
    )]
    Memory {
        /// The model.
        id: String,
        /// What it takes while it loads.
        needs_mb: u64,
        /// The budget.
        budget_mb: u64,
        /// What is left of it.
        left_mb: u64,
        /// A budget that it fits in.
        wanted_mb: u64,
    },
}

/// The model of the process.
pub struct Library {
    runtime: Runtime,
    budget: u64,
    state: Mutex<State>,
    /// Grows when whoever holds the network should let it go.
    generation: AtomicU64,
    /// Grows when the model is another.
    edition: AtomicU64,
    loading: AtomicBool,
}

struct State {
    model: Model,
    network: Option<Arc<Network>>,
    /// What was there before this one, should this one fail while it runs.
    before: Option<Model>,
    wanted: Instant,
    /// Not to be loaded again before.
    retry: Instant,
}

/// A model as sessions see it, loaded or not.
#[derive(Clone)]
pub struct Model {
    /// Counts the models of the process.
    pub edition: u64,
    /// Its bundle.
    pub bundle: Arc<Bundle>,
    /// The side of the square face that the network takes, in pixels.
    pub side: usize,
    /// Bytes that the networks take, as they were measured while they were loaded.
    pub bytes: u64,
}

/// From one attempt to load to the next, should the file be gone.
const RETRY: Duration = Duration::from_secs(5);
/// How long whoever holds a network takes to let it go: two frames, and a little.
pub(super) const LETTING_GO: Duration = Duration::from_millis(100);
/// What a network takes for each byte of its files: as they were read, as they
/// are packed for the processor, and what a run works in. Stand-ins of 33 and 75
/// MB took 3.3 and 4.4 times as much.
const COPIES: u64 = 4;
/// What it takes however small its files are, in bytes: the bundled one of 2 MB
/// takes 30.
const ASIDE: u64 = 24 << 20;

impl Library {
    /// Loads `bundle`, so that a model that doesn't fit is refused at start.
    /// With what it takes the process is to stay within `budget` bytes.
    ///
    /// # Errors
    ///
    /// When it can't be loaded, doesn't fit, or is too large.
    pub fn open(
        bundle: Bundle,
        runtime: Runtime,
        budget: u64,
        now: Instant,
    ) -> Result<Arc<Self>, Error> {
        let (network, bytes) = load_within(&bundle, &runtime, budget)?;
        Ok(Arc::new(Self {
            runtime,
            budget,
            state: Mutex::new(State {
                model: Model {
                    edition: 0,
                    bundle: Arc::new(bundle),
                    side: network.size(),
                    bytes,
                },
                network: Some(network),
                before: None,
                wanted: now,
                retry: now,
            }),
            generation: AtomicU64::new(0),
            edition: AtomicU64::new(0),
            loading: AtomicBool::new(false),
        }))
    }

    /// The model.
    pub fn model(&self) -> Model {
        self.lock().model.clone()
    }

    /// The side of the square face that the network takes, in pixels.
    pub fn side(&self) -> usize {
        self.lock().model.side
    }

    /// The bundle.
    pub fn bundle(&self) -> Arc<Bundle> {
        Arc::clone(&self.lock().model.bundle)
    }

    /// When this changes, so has the model: who draws with it takes the new one.
    pub fn edition(&self) -> u64 {
        self.edition.load(Relaxed)
    }

    /// Loads `bundle` aside and lets it take over between two frames. It is the
    /// model of all sessions. Should it fail while it runs, the one before comes
    /// back.
    ///
    /// # Errors
    ///
    /// As [`Library::open`]; then the model is the one that it was.
    pub fn swap(&self, bundle: Bundle, now: Instant) -> Result<(), Error> {
        let (network, bytes) = load_within(&bundle, &self.runtime, self.budget)?;
        let mut state = self.lock();
        let model = Model {
            edition: state.model.edition + 1,
            bundle: Arc::new(bundle),
            side: network.size(),
            bytes,
        };
        self.edition.store(model.edition, Relaxed);
        state.before = Some(std::mem::replace(&mut state.model, model));
        let old = state.network.replace(network);
        (state.wanted, state.retry) = (now, now);
        drop(state);
        self.generation.fetch_add(1, Relaxed);
        drop(old);
        // Sessions let the old one go with their next frame.
        std::thread::sleep(LETTING_GO);
        native::trim_allocator();
        Ok(())
    }

    /// The network of the model `edition`, if it is loaded. Otherwise it begins
    /// to load.
    pub fn want(self: &Arc<Self>, edition: u64, now: Instant) -> Option<Arc<Network>> {
        let mut state = self.lock();
        if state.model.edition != edition {
            return None;
        }
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

    /// Bytes that the network takes, while it is loaded.
    pub fn bytes(&self) -> usize {
        let state = self.lock();
        let loaded = state.network.as_ref();
        loaded.map_or(0, |_| state.model.bytes as usize)
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

    /// Lets the network of the model `edition` go because it fails. The model
    /// before it comes back, if there is one; else who wants it next loads it anew.
    pub fn discard(&self, edition: u64) {
        let mut state = self.lock();
        if state.model.edition != edition {
            return;
        }
        state.network = None;
        self.back(&mut state);
        self.generation.fetch_add(1, Relaxed);
    }

    /// Goes back to the model before, if there is one.
    fn back(&self, state: &mut State) {
        let Some(before) = state.before.take() else {
            return;
        };
        tracing::error!(
            "the model {} fails: {} is back",
            state.model.bundle.id,
            before.bundle.id
        );
        state.model = Model {
            edition: state.model.edition + 1,
            ..before
        };
        state.retry = state.wanted;
        self.edition.store(state.model.edition, Relaxed);
    }

    fn load(&self) {
        let model = self.model();
        let loaded = load_within(&model.bundle, &self.runtime, self.budget);
        let mut state = self.lock();
        // Another model may have come meanwhile.
        if state.model.edition == model.edition {
            match loaded {
                Ok((network, _)) if network.size() == model.side => state.network = Some(network),
                Ok((network, _)) => tracing::error!(
                    "the mouth rests: the model now takes {} pixels, and took {} at start; start anew to use it",
                    network.size(),
                    model.side
                ),
                Err(error) => {
                    tracing::error!("the mouth rests: {error}");
                    self.back(&mut state);
                }
            }
        }
        drop(state);
        self.loading.store(false, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Loads a model that the process has room for. Returns the bytes that it takes too.
fn load_within(
    bundle: &Bundle,
    runtime: &Runtime,
    budget: u64,
) -> Result<(Arc<Network>, u64), Error> {
    let bytes = bundle.bytes();
    let needs = while_loading(bundle);
    let used = resident().unwrap_or(0);
    let left = budget.saturating_sub(used);
    if needs > left {
        return Err(Error::Memory {
            id: bundle.id.clone(),
            needs_mb: needs >> 20,
            budget_mb: budget >> 20,
            left_mb: left >> 20,
            wanted_mb: ((used + needs) >> 20) + 1,
        });
    }
    // Without the runtime's code, which is read from the disk as it is first run and
    // stays when the network goes, and without what was only needed to load it.
    native::trim_allocator();
    let before = anonymous().unwrap_or(0);
    let network = load(bundle, runtime)?;
    native::trim_allocator();
    let grown = anonymous().unwrap_or(0).saturating_sub(before);
    // What others took or gave meanwhile is in this: it is no less than its files,
    // and no more than was thought.
    Ok((network, grown.clamp(bytes, needs)))
}

/// Bytes that the model of `bundle` takes while it loads, at most.
pub fn while_loading(bundle: &Bundle) -> u64 {
    bundle.bytes() * COPIES + ASIDE
}

/// Loads a model that hears no further than its manifest says.
///
/// # Errors
///
/// When it can't be loaded, doesn't fit, or would wait for sound that never comes in time.
pub fn load(bundle: &Bundle, runtime: &Runtime) -> Result<Arc<Network>, lipsync::Error> {
    let manifest = &bundle.manifest;
    let needs = mel::hears_ahead(manifest).as_secs_f64() * 1e3;
    let look_ahead_ms = manifest.look_ahead_ms;
    if needs > look_ahead_ms {
        let which = if manifest.family.has_front_end() {
            "with [audio] as it is its window of features".into()
        } else {
            format!(
                "with mel_offset_ms = {} its window of mel",
                manifest.mel_offset_ms
            )
        };
        return Err(lipsync::Error::Manifest {
            path: bundle.onnx.clone(),
            problem: format!(
                "{which} ends {needs:.1} ms after the frame, but look_ahead_ms is {look_ahead_ms}: set it to {:.0}",
                needs.ceil()
            ),
        });
    }
    Network::load(bundle, runtime)
}
