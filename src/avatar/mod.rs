//! An avatar bundle: a folder with `avatar.toml`, a video a clip and its face track.
//!
//! A bundle is checked whole when it is opened, so that nothing surprises a
//! stream that runs: a broken one names the file, the field and the mend.

mod bitstream; // MP4 -> access units -> I420 pictures
mod clip; // a video, its faces, its cache
mod player; // decoded ahead on a thread

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

pub use bitstream::Colour;
pub use clip::{Cache, Clip, Picture};
pub use player::{Player, SPARE};

use crate::media::FPS;
use crate::pool::Size;
use crate::toml_text;

/// The name of the clip that plays while nothing else is asked for.
pub const IDLE: &str = "idle";
/// Shortest and longest side of a picture. Models want a face of some size, and
/// the budget a picture of some bound.
const SIDE: std::ops::RangeInclusive<usize> = 64..=4096;

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
    clips: BTreeMap<String, Arc<Clip>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    width: usize,
    height: usize,
    fps: u32,
    #[serde(default)]
    credits: String,
    clips: BTreeMap<String, ClipManifest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClipManifest {
    video: String,
    faces: String,
    #[serde(default)]
    colour: Colour,
}

#[derive(Deserialize)]
struct TrackEntry {
    eyes: Option<[f32; 2]>,
    mouth: Option<[f32; 2]>,
}

impl Avatar {
    /// Opens the bundle in `folder` and checks it: every file, every clip's
    /// length against its track, and that the first picture decodes.
    ///
    /// # Errors
    ///
    /// One sentence that names the file, what is wrong, and what to do.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("avatar.toml");
        let text = fs::read_to_string(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let manifest: Manifest = toml::from_str(&text)
            .map_err(|e| Error::broken(&path, toml_text::one_line(&text, &e)))?;
        let Manifest { width, height, .. } = manifest;
        if width % 2 + height % 2 > 0 || !SIDE.contains(&width) || !SIDE.contains(&height) {
            let problem = format!(
                "width and height must be even and between {} and {} pixels, but are {width}x{height}",
                SIDE.start(),
                SIDE.end()
            );
            return Err(Error::broken(&path, problem));
        }
        if manifest.fps != FPS {
            let problem = format!(
                "fps is {}, but clips play at {FPS} frames a second: encode the video at {FPS} fps and set fps = {FPS}",
                manifest.fps
            );
            return Err(Error::broken(&path, problem));
        }
        if !manifest.clips.contains_key(IDLE) {
            let problem = "there is no [clips.idle]: an avatar needs one clip named idle";
            return Err(Error::broken(&path, problem));
        }
        let size = Size { width, height };
        let mut clips = BTreeMap::new();
        for (name, clip) in &manifest.clips {
            let track = folder.join(plain(&path, &clip.faces)?);
            let faces = read_track(&track, size)?;
            let video = folder.join(plain(&path, &clip.video)?);
            let frames = faces.len();
            let clip = Clip::open(&video, clip.colour, size, faces)?;
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

/// A file's name from a manifest: it must stay inside the bundle.
fn plain<'n>(manifest: &Path, name: &'n str) -> Result<&'n str, Error> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(std::path::Component::Normal(_)), None) => Ok(name),
        _ => Err(Error::broken(
            manifest,
            format!("\"{name}\" must be the plain name of a file in the same folder"),
        )),
    }
}

/// Reads a face track: a JSON array with one `{"eyes": [x, y], "mouth": [x, y]}`
/// a frame. Where a frame shows no face both are null.
fn read_track(path: &Path, size: Size) -> Result<Vec<Option<Face>>, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let entries: Vec<TrackEntry> =
        serde_json::from_str(&text).map_err(|e| Error::broken(path, e.to_string()))?;
    let inside = |[x, y]: [f32; 2]| {
        (0.0..size.width as f32).contains(&x) && (0.0..size.height as f32).contains(&y)
    };
    let mut faces = Vec::with_capacity(entries.len());
    for (n, entry) in entries.iter().enumerate() {
        let face = match (entry.eyes, entry.mouth) {
            (Some(eyes), Some(mouth)) => Face { eyes, mouth },
            (None, None) => {
                faces.push(None);
                continue;
            }
            _ => {
                let problem = format!("frame {n} has eyes or a mouth, but not both");
                return Err(Error::broken(path, problem));
            }
        };
        if !inside(face.eyes) || !inside(face.mouth) || face.scale() < 8.0 {
            let problem = format!(
                "frame {n} has its eyes at {:?} and its mouth at {:?}: both must lie in the {}x{} picture, at least 8 pixels apart",
                face.eyes, face.mouth, size.width, size.height
            );
            return Err(Error::broken(path, problem));
        }
        faces.push(Some(face));
    }
    Ok(faces)
}

/// Whether `id` may name an avatar or a model: letters, digits, `-` and `_`.
pub fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
