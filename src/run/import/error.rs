//! Why there is no avatar.

use std::io;
use std::path::{Path, PathBuf};

use super::judge;
use crate::avatar;
use crate::media::FPS;
use crate::stage::{encode, write};

/// Why an import ended without an avatar.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The id can't name a folder.
    #[error("--id {id:?}: an id has 1 to 64 letters, digits, - and _ only")]
    Id {
        /// What was given.
        id: String,
    },
    /// The id is taken.
    #[error("there is an avatar {id} already: choose another --id, or remove {path} first")]
    Exists {
        /// The id.
        id: String,
        /// Its folder.
        path: PathBuf,
    },
    /// The source can't be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The source isn't what it should be.
    #[error("{path}: {problem}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What was found and what to do.
        problem: String,
    },
    /// Too few frames show a face.
    #[error(
        "{path}: face {which} was not found in {lost} of {frames} frames, first in {first}{}: {guess}",
        shown_in(.pictures.as_deref())
    )]
    Faceless {
        /// The file.
        path: PathBuf,
        /// Which face was wanted.
        which: usize,
        /// Frames without it.
        lost: usize,
        /// All frames.
        frames: usize,
        /// The first of them.
        first: String,
        /// The folder with pictures of them, where there are some.
        pictures: Option<PathBuf>,
        /// What to do.
        guess: &'static str,
    },
    /// OpenCV's data isn't there.
    #[error(
        "OpenCV's face cascades are missing ({name}): install them with `apt-get install opencv-data`"
    )]
    NoCascade {
        /// The file that was looked for.
        name: PathBuf,
    },
    /// The detector can't be used.
    #[error("the detector {path} can't be used: {problem}")]
    Detector {
        /// The file.
        path: PathBuf,
        /// What was found and what to do.
        problem: String,
    },
    /// The matting network can't be used.
    #[error("the matte {path} can't be used: {problem}")]
    Matte {
        /// The file.
        path: PathBuf,
        /// What was found and what to do.
        problem: String,
    },
    /// Something could not be written.
    #[error("cannot write {path}, so nothing was imported")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no room left.
    #[error("the disk with {path} is full: free some space and import again; nothing was imported")]
    Full {
        /// The file or folder.
        path: PathBuf,
    },
    /// It was told to end.
    #[error("stopped; nothing was imported")]
    Stopped,
    /// The clip can't be encoded.
    #[error(transparent)]
    Encode(#[from] encode::Error),
    /// The clip can't be written.
    #[error(transparent)]
    Clip(write::Error),
    /// The bundle that was made isn't whole.
    #[error(transparent)]
    Avatar(#[from] avatar::Error),
    /// The clip that was made can't be measured.
    #[error(transparent)]
    Judge(#[from] judge::Error),
    /// OpenCV failed.
    #[error("OpenCV failed: {0}")]
    OpenCv(#[from] opencv::Error),
}

impl Error {
    pub(super) fn unusable(path: &Path, problem: &str) -> Self {
        Self::Unusable {
            path: path.to_owned(),
            problem: problem.to_owned(),
        }
    }

    pub(super) fn short(path: &Path, frames: usize) -> Self {
        let problem = if frames == 1 {
            "it has only one picture: save that as JPEG or PNG and import it as a photo".into()
        } else {
            format!(
                "it lasts {:.2} s, and 1 s at least is wanted, some seconds are better: take a longer one, or one picture of it as a photo",
                frames as f64 / f64::from(FPS)
            )
        };
        Self::unusable(path, &problem)
    }

    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Write { path, source },
        }
    }
}

fn shown_in(pictures: Option<&Path>) -> String {
    pictures.map_or(String::new(), |folder| {
        format!(" (pictures of them are in {})", folder.display())
    })
}

impl From<write::Error> for Error {
    fn from(error: write::Error) -> Self {
        match error {
            write::Error::Full { path } => Self::Full { path },
            write::Error::Write { path, source } | write::Error::Create { path, source } => {
                Self::write(&path, source)
            }
            other => Self::Clip(other),
        }
    }
}
