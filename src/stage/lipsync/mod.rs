//! Lip-sync: a window of mel and a face in, the same face with another mouth out.
//!
//! A network is loaded once and shared by every session ([`Network`]); each
//! session owns its tensors ([`Mouth`]), which are bound once and written in
//! place, so that a run moves no picture.

mod network; // model.onnx -> checked tensors
mod runtime; // ONNX Runtime's library, loaded once a process

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bounds::{OutOfBounds, within};
pub use network::{Mouth, Network};
pub use runtime::{Runtime, library};

/// Section `[models]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// ONNX Runtime's library. Empty: beside the build, then the system's.
    pub runtime: String,
    /// Threads for one run. The sessions are the parallelism, so one is enough.
    pub threads: usize,
    /// Seconds without a mouth to draw after which a network is unloaded.
    pub idle_unload_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            runtime: String::new(),
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
    /// The file is no network.
    #[error("cannot load the network {path}: {problem}. Is the file whole, and an ONNX file?")]
    Load {
        /// The file.
        path: PathBuf,
        /// What ONNX Runtime said.
        problem: String,
    },
    /// The network has other tensors than its family.
    #[error("{path} does not fit the wav2lip family: found {found}; wanted {wanted}")]
    Misfit {
        /// The file.
        path: PathBuf,
        /// The tensors found.
        found: String,
        /// The tensors wanted.
        wanted: String,
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
