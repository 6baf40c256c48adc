//! Lip-sync: what is heard and a face in, the same face with another mouth out.
//!
//! A model is loaded once and shared by every session ([`Network`]); each session
//! owns its tensors ([`Mouth`]), which are bound once and written in place, so
//! that a run moves no picture. What the families differ in ends here: a caller
//! lends the face and the windows that the model asks for, by number.

mod fit; // which family tensors are of, and whether they fit a manifest
mod front; // windows of sound -> features, each once
mod mouth; // one session's tensors
mod net; // a file -> a network with its tensors' shapes
mod network; // a bundle -> networks that fit
mod provider; // what networks run on
mod runtime; // ONNX Runtime's library, loaded once a process

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bounds::{OutOfBounds, within};
pub use fit::{Found, recognise};
pub use mouth::Mouth;
pub use network::Network;
pub use provider::Provider;
pub use runtime::{Runtime, library};

/// Section `[models]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// ONNX Runtime's library. Empty: beside the build, then the system's.
    pub runtime: String,
    /// What networks run on.
    pub provider: Provider,
    /// Run on the CPU where the provider isn't to be had.
    pub provider_fallback: bool,
    /// Threads for one run. The sessions are the parallelism, so one is enough.
    pub threads: usize,
    /// Seconds without a mouth to draw after which a network is unloaded.
    pub idle_unload_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            runtime: String::new(),
            provider: Provider::default(),
            provider_fallback: false,
            threads: 1,
            idle_unload_s: 300,
        }
    }
}

impl Config {
    /// Refuses more threads than help, and a wait that never ends.
    ///
    /// # Errors
    ///
    /// A sentence that names the key and its bounds.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        within("models.threads", self.threads, 1..=64)?;
        within("models.idle_unload_s", self.idle_unload_s, 0..=365 * 86_400)
    }
}

/// Why a network can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// ONNX Runtime isn't there.
    #[error(
        "cannot find ONNX Runtime's library (looked at {looked}): run `make setup`, or set models.runtime to libonnxruntime.so of version 1.23 or later"
    )]
    NoRuntime {
        /// The places.
        looked: String,
    },
    /// ONNX Runtime is there and can't be loaded.
    #[error(
        "cannot load ONNX Runtime from {path}: {problem}. Run `make setup` again, or set models.runtime"
    )]
    Runtime {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        problem: String,
    },
    /// ONNX Runtime was built without the provider that is configured.
    #[error(
        "models.provider is {provider}, but {library} {problem}: {mend}; or set models.provider_fallback = true to run on the CPU"
    )]
    Provider {
        /// The provider.
        provider: Provider,
        /// ONNX Runtime's library.
        library: PathBuf,
        /// Why not.
        problem: String,
        /// What to install.
        mend: &'static str,
    },
    /// The file is no network, or not a whole one.
    #[error("cannot load the network {path}: {problem}")]
    Load {
        /// The file.
        path: PathBuf,
        /// What was found, and what to do.
        problem: String,
    },
    /// The network has other tensors than its family.
    #[error("{path} does not fit {family}: found {found}; wanted {wanted}{mend}")]
    Misfit {
        /// The file.
        path: PathBuf,
        /// The family, or that it is of none.
        family: String,
        /// The tensors found.
        found: String,
        /// The tensors wanted.
        wanted: String,
        /// What to do about it, where that is known.
        mend: String,
    },
    /// The manifest and the network contradict each other.
    #[error("{path}: {problem}")]
    Manifest {
        /// The network.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A run failed.
    #[error("the network {path} failed: {problem}")]
    Run {
        /// The file.
        path: PathBuf,
        /// What ONNX Runtime said.
        problem: String,
    },
}
