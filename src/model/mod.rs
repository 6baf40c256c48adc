//! A model bundle: a folder with `model.onnx`, `model.toml`, which names what the
//! tensors' shapes can't tell, and for some families `audio.onnx`, the front end
//! that hears for the face net.

mod manifest; // what model.toml says
mod onnx; // what an ONNX file says of itself before it is loaded

use std::fs;
use std::path::{Path, PathBuf};

pub use manifest::{
    Audio, ColourOrder, Edit, FaceBox, FaceOrder, Family, MOST_LOOK_AHEAD_MS, Manifest, Mask,
    Reads, Returns,
};
pub use onnx::{Problem, weights};

use crate::toml_text;

/// Why a bundle can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the bundle can't be read.
    #[error(
        "cannot read {path}: {source}. `mouthpiece model list` shows the models that are there"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `model.toml` isn't what it should be.
    #[error("{path}: {problem}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// The network that draws, in its bundle.
pub const FACE_FILE: &str = "model.onnx";
/// The network that hears for it, in its bundle.
pub const AUDIO_FILE: &str = "audio.onnx";
/// What the shapes can't tell, in its bundle.
pub const MANIFEST_FILE: &str = "model.toml";

/// A bundle that was read and whose manifest makes sense. Whether the networks
/// fit is known once they are loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// The name of its folder.
    pub id: String,
    /// The network that draws.
    pub onnx: PathBuf,
    /// The network that hears for it, where the family has one.
    pub audio: Option<PathBuf>,
    /// The manifest.
    pub manifest: Manifest,
}

impl Bundle {
    /// Reads the bundle in `folder`.
    ///
    /// # Errors
    ///
    /// One sentence that names the file, what is wrong, and what to do.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(MANIFEST_FILE);
        let text = fs::read_to_string(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let broken = |problem: String| Error::Broken {
            path: path.clone(),
            problem,
        };
        let manifest: Manifest =
            toml::from_str(&text).map_err(|e| broken(toml_text::one_line(&text, &e)))?;
        manifest.check().map_err(broken)?;
        let there = |name: &str| {
            let path = folder.join(name);
            match fs::metadata(&path) {
                Ok(_) => Ok(path),
                Err(source) => Err(Error::Read { path, source }),
            }
        };
        let front_end = manifest.family.has_front_end();
        Ok(Self {
            id: folder
                .file_name()
                .map(|id| id.to_string_lossy().into_owned())
                .unwrap_or_default(),
            onnx: there(FACE_FILE)?,
            audio: front_end.then(|| there(AUDIO_FILE)).transpose()?,
            manifest,
        })
    }

    /// The networks' files.
    pub fn networks(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.onnx), self.audio.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }

    /// Bytes of the networks' files, with weights that lie beside them: about
    /// what the weights take in memory. A file that can't be read counts nothing.
    pub fn bytes(&self) -> u64 {
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        self.networks()
            .map(|network| {
                let beside = network.parent().unwrap_or(Path::new(""));
                let weights = weights(network).unwrap_or_default();
                size(network) + weights.iter().map(|w| size(&beside.join(w))).sum::<u64>()
            })
            .sum()
    }
}
