//! The models of the process: each is loaded when a session first needs it,
//! shared by all that use it, and unloaded when nobody wanted a mouth of it for
//! a while.
//!
//! What doesn't load, doesn't fit or costs more memory than the budget has left
//! is refused and changes nothing.

mod model; // one of them, loaded or not

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::{self as bundle, Bundle};
use crate::native;
use crate::process::{anonymous, resident};
use crate::stage::lipsync::{self, Network, Runtime};
use crate::stage::mel;
pub use model::Model;

/// Why a model can't be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No folder is called so.
    #[error("there is no model {0:?}: a model's id has letters, digits, - and _ only")]
    Id(String),
    /// Its bundle is broken.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
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

/// The models of the process.
pub struct Library {
    loader: Arc<Loader>,
    configured: Arc<Model>,
    /// Those that are loaded, or that somebody may want again.
    models: Mutex<Vec<Arc<Model>>>,
    /// Held while a model is opened: two that come at once share it, and don't
    /// both take what the budget has left.
    opening: Mutex<()>,
}

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
    /// Loads `bundle`, the configured model, so that one that doesn't fit is
    /// refused at start. With what models take the process is to stay within
    /// `budget` bytes.
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
        let loader = Arc::new(Loader { runtime, budget });
        let configured = Model::load(bundle, &loader, now)?;
        Ok(Arc::new(Self {
            loader,
            models: Mutex::new(vec![Arc::clone(&configured)]),
            configured,
            opening: Mutex::default(),
        }))
    }

    /// The configured model: that of who names no other.
    pub fn configured(&self) -> Arc<Model> {
        Arc::clone(&self.configured)
    }

    /// The model of `bundle`, loaded. One that is here already is shared, unless
    /// its files are others now.
    ///
    /// # Errors
    ///
    /// As [`Library::open`]; then everything is as it was.
    pub fn get(&self, bundle: Bundle, now: Instant) -> Result<Arc<Model>, Error> {
        let _one_at_a_time = lock(&self.opening);
        let here = self.models().into_iter().find(|model| model.is_of(&bundle));
        if let Some(model) = here {
            model.ensure(now)?;
            return Ok(model);
        }
        let model = match Model::load(bundle.clone(), &self.loader, now) {
            // Those that no session uses make room.
            Err(Error::Memory { .. }) if self.unload_unused() => {
                std::thread::sleep(LETTING_GO);
                native::trim_allocator();
                Model::load(bundle, &self.loader, now)?
            }
            loaded => loaded?,
        };
        lock(&self.models).push(Arc::clone(&model));
        Ok(model)
    }

    /// Bytes that the networks which are loaded take.
    pub fn bytes(&self) -> usize {
        let loaded = self.models().into_iter().filter(|model| model.loaded());
        loaded.map(|model| model.bytes as usize).sum()
    }

    /// Networks in memory.
    pub fn loaded(&self) -> usize {
        self.models().iter().filter(|model| model.loaded()).count()
    }

    /// Whether the network of the model `id` is in memory.
    pub fn has_loaded(&self, id: &str) -> bool {
        let models = self.models();
        models.iter().any(|m| m.bundle.id == id && m.loaded())
    }

    /// Lets every network go that nobody wanted for `idle`. True if there was one.
    pub fn unload_idle(&self, now: Instant, idle: Duration) -> bool {
        self.unload(|model| model.unload_idle(now, idle))
    }

    /// Lets every network go whose model no session uses. True if there was one.
    fn unload_unused(&self) -> bool {
        self.unload(|model| !model.used() && model.discard())
    }

    /// Forgets what is neither loaded nor known to anybody any more.
    fn unload(&self, unload: impl Fn(&Arc<Model>) -> bool) -> bool {
        let mut any = false;
        lock(&self.models).retain(|model| {
            any |= unload(model);
            model.loaded() || Arc::strong_count(model) > 1
        });
        any
    }

    fn models(&self) -> Vec<Arc<Model>> {
        lock(&self.models).clone()
    }
}

/// What loads networks, within the budget.
struct Loader {
    runtime: Runtime,
    budget: u64,
}

impl Loader {
    /// Loads a model that the process has room for. Returns the bytes that it takes too.
    fn load(&self, bundle: &Bundle) -> Result<(Arc<Network>, u64), Error> {
        let needs = while_loading(bundle);
        let used = resident().unwrap_or(0);
        let left = self.budget.saturating_sub(used);
        if needs > left {
            return Err(Error::Memory {
                id: bundle.id.clone(),
                needs_mb: needs >> 20,
                budget_mb: self.budget >> 20,
                left_mb: left >> 20,
                wanted_mb: ((used + needs) >> 20) + 1,
            });
        }
        // Without the runtime's code, which is read from the disk as it is first run and
        // stays when the network goes, and without what was only needed to load it.
        native::trim_allocator();
        let before = anonymous().unwrap_or(0);
        let network = load(bundle, &self.runtime)?;
        native::trim_allocator();
        let grown = anonymous().unwrap_or(0).saturating_sub(before);
        // What others took or gave meanwhile is in this: it is no less than its files,
        // and no more than was thought.
        Ok((network, grown.clamp(bundle.bytes(), needs)))
    }
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

/// Locks what no panic can leave half changed.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
