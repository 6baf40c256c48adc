//! An avatar bundle: a folder with `avatar.toml`, a video a clip and its face track.
//!
//! A bundle is checked whole when it is opened, so that nothing surprises a
//! stream that runs: a broken one names the file, the field and the mend.

mod bitstream; // MP4 -> access units -> I420 pictures
mod clip; // a video, its faces, its cache
mod manifest; // what a bundle says of itself
mod player; // decoded ahead on a thread
mod shrink; // a clip's pictures at a smaller size

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use bitstream::Colour;
pub use clip::{Cache, Clip, Picture};
pub use manifest::{MANIFEST_FILE, Outline};
use manifest::{Manifest, plain, read_track};
pub use player::{Player, SPARE};

use crate::pool::Size;

/// The name of the clip that plays while nothing else is asked for.
pub const IDLE: &str = "idle";

/// Why a bundle can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder has no readable `avatar.toml`.
    #[error(
        "cannot read {path}: {source}. `mouthpiece avatar list` shows the avatars that are there"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the bundle isn't what it should be.
    #[error("{path}: {problem}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
}

impl Error {
    fn broken(path: &Path, problem: impl Into<String>) -> Self {
        Self::Broken {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }
}

/// Where a face is in one picture, in pixels of that picture. The line from the
/// eyes to the mouth gives its place and its size at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Face {
    /// The midpoint between the eyes, x and y.
    pub eyes: [f32; 2],
    /// The middle of the mouth, x and y.
    pub mouth: [f32; 2],
}

impl Face {
    /// The face on the way from this one to `to`, at `share` of it.
    #[must_use]
    pub fn between(self, to: Self, share: f32) -> Self {
        let mix = |a: [f32; 2], b: [f32; 2]| std::array::from_fn(|n| a[n] + (b[n] - a[n]) * share);
        Self {
            eyes: mix(self.eyes, to.eyes),
            mouth: mix(self.mouth, to.mouth),
        }
    }

    /// The distance from the eyes to the mouth: the unit in which a model says
    /// how much of a face it wants to see.
    pub fn scale(&self) -> f32 {
        (self.mouth[0] - self.eyes[0]).hypot(self.mouth[1] - self.eyes[1])
    }
}

/// An avatar that was opened and checked.
#[derive(Debug)]
pub struct Avatar {
    /// The name of its folder.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Who made it.
    pub credits: String,
    /// Size of every picture of every clip.
    pub size: Size,
    /// Size that they are decoded at, of which the other is made.
    pub filmed: Size,
    clips: BTreeMap<String, Arc<Clip>>,
}

impl Avatar {
    /// Opens the bundle in `folder` and checks it: every file, every clip's
    /// length against its track, and that the first picture decodes.
    ///
    /// # Errors
    ///
    /// One sentence that names the file, what is wrong, and what to do.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        Self::open_within(folder, None)
    }

    /// Opens the bundle in `folder`, with pictures that lie within a size and keep
    /// their shape. They never become larger.
    ///
    /// # Errors
    ///
    /// As [`Avatar::open`].
    pub fn open_within(folder: &Path, within: Option<Size>) -> Result<Self, Error> {
        let path = folder.join(MANIFEST_FILE);
        let manifest = Manifest::read(&path)?;
        let filmed = manifest.size();
        let size = within.map_or(filmed, |within| shrink::fit(filmed, within));
        let mut clips = BTreeMap::new();
        for (name, clip) in &manifest.clips {
            let track = folder.join(plain(&path, &clip.faces)?);
            let faces = read_track(&track, filmed)?;
            let video = folder.join(plain(&path, &clip.video)?);
            let frames = faces.len();
            let clip = Clip::open(&video, clip.colour, [filmed, size], faces)?;
            if clip.len() != frames {
                let problem = format!(
                    "{frames} frames are tracked, but {} has {}: make the track anew from this video",
                    video.display(),
                    clip.len()
                );
                return Err(Error::broken(&track, problem));
            }
            clips.insert(name.clone(), Arc::new(clip));
        }
        Ok(Self {
            id: folder
                .file_name()
                .map(|id| id.to_string_lossy().into_owned())
                .unwrap_or_default(),
            name: manifest.name,
            credits: manifest.credits,
            size,
            filmed,
            clips,
        })
    }

    /// The clip called `name`.
    pub fn clip(&self, name: &str) -> Option<&Arc<Clip>> {
        self.clips.get(name)
    }

    /// The clip that plays while nothing else is asked for.
    pub fn idle(&self) -> &Arc<Clip> {
        &self.clips[IDLE]
    }

    /// This avatar with its clip `name` playing while nothing else is asked for.
    /// `None` if it has none of that name.
    pub fn playing(mut self, name: &str) -> Option<Self> {
        let clip = Arc::clone(self.clips.get(name)?);
        self.clips.insert(IDLE.into(), clip);
        Some(self)
    }

    /// The names of all clips.
    pub fn clips(&self) -> impl Iterator<Item = (&str, &Arc<Clip>)> {
        self.clips.iter().map(|(name, clip)| (name.as_str(), clip))
    }
}

/// Whether `id` may name an avatar or a model: letters, digits, `-` and `_`.
pub fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
