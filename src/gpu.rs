//! Memory of an NVIDIA GPU, as its driver tells it (NVML).

use std::ffi::OsStr;

use nvml_wrapper::Nvml;
use nvml_wrapper::enums::device::UsedGpuMemory;
use serde::Serialize;
use utoipa::ToSchema;

/// The driver's library, where the system keeps libraries.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// Which GPUs CUDA may use, the first one being that on which networks run.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// The GPU on which networks run.
pub struct Gpu {
    nvml: Nvml,
    index: u32,
}

/// How much of its memory is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Usage {
    /// By this process, in bytes. None where the driver doesn't tell: in a container it
    /// knows processes by other numbers.
    pub own_bytes: Option<u64>,
    /// By all processes.
    pub used_bytes: u64,
    /// What there is.
    pub total_bytes: u64,
}

impl Usage {
    /// What is known of this process: what it takes, or at least not more than all take.
    pub fn counted(&self) -> u64 {
        self.own_bytes.unwrap_or(self.used_bytes)
    }
}

impl Gpu {
    /// The first GPU that this process may use. `None` without one, or its driver.
    pub fn open() -> Option<Self> {
        Self::of(LIBRARY.as_ref(), std::env::var(VISIBLE).ok().as_deref())
    }

    /// The first of the `visible` GPUs that the driver's `library` knows; of all if
    /// that isn't said.
    pub fn of(library: &OsStr, visible: Option<&str>) -> Option<Self> {
        let nvml = Nvml::builder().lib_path(library).init().ok()?;
        let first = visible.and_then(|list| list.split(',').next()?.trim().parse().ok());
        let index = first.unwrap_or(0);
        nvml.device_by_index(index).ok()?;
        Some(Self { nvml, index })
    }

    /// What is taken now. `None` when the driver doesn't answer.
    pub fn usage(&self) -> Option<Usage> {
        let device = self.nvml.device_by_index(self.index).ok()?;
        let memory = device.memory_info().ok()?;
        let own = std::process::id();
        let processes = device.running_compute_processes().unwrap_or_default();
        let own = processes.iter().find(|process| process.pid == own);
        Some(Usage {
            own_bytes: own.and_then(|process| match process.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Some(bytes),
                UsedGpuMemory::Unavailable => None,
            }),
            used_bytes: memory.used,
            total_bytes: memory.total,
        })
    }
}
