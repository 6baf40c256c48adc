//! A model bundle: a folder with `model.onnx` and `model.toml`, which names what
//! the tensors' shapes can't tell.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::toml_error;

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

/// The kind of a model: which tensors it takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Mel `[n,1,80,16]` and face `[n,6,S,S]` to `[n,3,S,S]`, values 0–1
    /// (Prajwal et al., "A Lip Sync Expert Is All You Need", 2020).
    Wav2lip,
}

/// The order of the colour planes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColourOrder {
    /// Blue first, as OpenCV reads pictures.
    #[default]
    Bgr,
    /// Red first.
    Rgb,
}

/// The order of the two pictures in the face tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaceOrder {
    /// The half-black picture first, as Wav2Lip has it.
    #[default]
    MaskedReference,
    /// The whole picture first.
    ReferenceMasked,
}

/// What the output shows where the model changed nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Returns {
    /// A face painted anew: it is colour-matched and feathered in.
    #[default]
    Face,
    /// The reference, to the last bit: only the difference is drawn.
    Residual,
}

/// The part of the face that a model sees, in units of the distance from eyes
/// to mouth.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaceBox {
    /// Length of the square's side.
    pub side: f32,
    /// Where the mouth's middle lies in the square, 0–1 from left and top.
    pub mouth: [f32; 2],
}

impl Default for FaceBox {
    /// What face detectors cut out for Wav2Lip: from the brows to just under the chin.
    fn default() -> Self {
        Self {
            side: 2.6,
            mouth: [0.5, 0.72],
        }
    }
}

/// The part of the output that is drawn, in pixels of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// First column, and the one after the last.
    pub columns: [usize; 2],
    /// First row, and the one after the last.
    pub rows: [usize; 2],
    /// Pixels at the border over which the drawing fades.
    pub fade: usize,
}

/// What `model.toml` says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What people call it.
    pub name: String,
    /// Which tensors it has.
    pub family: Family,
    /// Under which licence its weights are.
    #[serde(default)]
    pub licence: String,
    /// From a frame's time to the start of its window of mel, in milliseconds.
    #[serde(default)]
    pub mel_offset_ms: f64,
    /// How far ahead of a frame's time the model hears, in milliseconds. The
    /// sound is delayed by so much.
    pub look_ahead_ms: f64,
    /// Order of the colour planes.
    #[serde(default)]
    pub colour: ColourOrder,
    /// Order of the pictures in the face tensor.
    #[serde(default)]
    pub face: FaceOrder,
    /// What the output shows where nothing was changed.
    #[serde(default)]
    pub returns: Returns,
    /// S, where the file itself leaves it open.
    #[serde(default)]
    pub size: Option<usize>,
    /// The part of the face that the model sees.
    #[serde(default, rename = "box")]
    pub face_box: FaceBox,
    /// The part of the output that is drawn. By default the lower half.
    #[serde(default)]
    pub edit: Option<Edit>,
}

/// A bundle that was read and whose manifest makes sense. Whether the network
/// fits is known once it is loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// The name of its folder.
    pub id: String,
    /// The network.
    pub onnx: PathBuf,
    /// The manifest.
    pub manifest: Manifest,
}

/// Longest look-ahead: the sound waits for it, and so does whoever listens.
/// Queues of decoded speech are as long as this, and a little more.
pub const MOST_LOOK_AHEAD_MS: f64 = 400.0;

impl Bundle {
    /// Reads the bundle in `folder`.
    ///
    /// # Errors
    ///
    /// One sentence that names the file, what is wrong, and what to do.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("model.toml");
        let text = fs::read_to_string(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let broken = |problem: String| Error::Broken {
            path: path.clone(),
            problem,
        };
        let manifest: Manifest =
            toml::from_str(&text).map_err(|e| broken(toml_error::one_line(&text, &e)))?;
        let hears = 0.0..=MOST_LOOK_AHEAD_MS;
        let offset = -1_000.0..=MOST_LOOK_AHEAD_MS;
        if !hears.contains(&manifest.look_ahead_ms) || !offset.contains(&manifest.mel_offset_ms) {
            return Err(broken(format!(
                "look_ahead_ms must lie between 0 and {MOST_LOOK_AHEAD_MS}, and mel_offset_ms between -1000 and {MOST_LOOK_AHEAD_MS}"
            )));
        }
        let FaceBox { side, mouth } = manifest.face_box;
        if !(0.5..=10.0).contains(&side) || mouth.iter().any(|m| !(0.0..=1.0).contains(m)) {
            return Err(broken(
                "box.side must lie between 0.5 and 10 (eyes to mouth is 1), and box.mouth between 0 and 1".into(),
            ));
        }
        let onnx = folder.join("model.onnx");
        if let Err(source) = fs::metadata(&onnx) {
            return Err(Error::Read { path: onnx, source });
        }
        Ok(Self {
            id: folder
                .file_name()
                .map(|id| id.to_string_lossy().into_owned())
                .unwrap_or_default(),
            onnx,
            manifest,
        })
    }
}
