//! What networks run on: ONNX Runtime's execution providers.
//!
//! A provider is a part of ONNX Runtime's library, and each library has only
//! some: which ones is asked of it at start, so that nobody runs on the CPU
//! without having been told. Only the CPU was tried by this project.

use std::fmt;

use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch};
use serde::{Deserialize, Serialize};

/// What networks run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The processor. Every library has it.
    #[default]
    Cpu,
    /// NVIDIA's GPUs.
    Cuda,
    /// NVIDIA's GPUs, with networks compiled for them when they are loaded.
    Tensorrt,
    /// Intel's processors and GPUs.
    Openvino,
    /// Apple's.
    Coreml,
    /// GPUs on Windows.
    Directml,
}

impl Provider {
    /// Whether ONNX Runtime's library was built with it. The library must be loaded.
    pub(super) fn built_in(self) -> bool {
        let known = match self {
            Self::Cpu => return true,
            Self::Cuda => ep::CUDA::is_available(),
            Self::Tensorrt => ep::TensorRT::is_available(),
            Self::Openvino => ep::OpenVINO::is_available(),
            Self::Coreml => ep::CoreML::is_available(),
            Self::Directml => ep::DirectML::is_available(),
        };
        known.unwrap_or(false)
    }

    /// Whether networks run on an NVIDIA GPU.
    pub fn on_nvidia(self) -> bool {
        matches!(self, Self::Cuda | Self::Tensorrt)
    }

    /// What to register with a session; nothing for the CPU, which always is there.
    pub(super) fn dispatch(self) -> Option<ExecutionProviderDispatch> {
        let dispatch = match self {
            Self::Cpu => return None,
            Self::Cuda => ep::CUDA::default().build(),
            Self::Tensorrt => ep::TensorRT::default().build(),
            Self::Openvino => ep::OpenVINO::default().build(),
            Self::Coreml => ep::CoreML::default().build(),
            Self::Directml => ep::DirectML::default().build(),
        };
        Some(dispatch.error_on_failure())
    }

    /// What has to be installed for it.
    pub(super) fn mend(self) -> &'static str {
        match self {
            Self::Cpu => "run `make setup`",
            Self::Cuda => {
                "install NVIDIA's driver, CUDA 12 and cuDNN 9, and set models.runtime to libonnxruntime.so of the wheel onnxruntime-gpu, with its providers' libraries beside it"
            }
            Self::Tensorrt => {
                "install NVIDIA's driver, CUDA 12, cuDNN 9 and TensorRT 10, and set models.runtime to libonnxruntime.so of the wheel onnxruntime-gpu, with its providers' libraries beside it"
            }
            Self::Openvino => {
                "install the wheel onnxruntime-openvino, and set models.runtime to its libonnxruntime.so"
            }
            Self::Coreml => {
                "CoreML is on macOS only; there set models.runtime to libonnxruntime.dylib of ONNX Runtime's release"
            }
            Self::Directml => {
                "DirectML is on Windows only; there set models.runtime to onnxruntime.dll of the package onnxruntime-directml"
            }
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Tensorrt => "tensorrt",
            Self::Openvino => "openvino",
            Self::Coreml => "coreml",
            Self::Directml => "directml",
        })
    }
}
