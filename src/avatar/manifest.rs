//! What a bundle says of itself: `avatar.toml` and the face tracks, without videos.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::{Colour, Error, Face, IDLE};
use crate::media::FPS;
use crate::pool::Size;
use crate::toml_text;

/// What says who is in a bundle, and of what files it is made.
pub const MANIFEST_FILE: &str = "avatar.toml";
/// Shortest and longest side of a picture. Models want a face of some size, and
/// the budget a picture of some bound.
const SIDE: std::ops::RangeInclusive<usize> = 64..=4096;

/// What a bundle says of itself, without its videos.
#[derive(Debug)]
pub struct Outline {
    /// What people call it.
    pub name: String,
    /// Who made it.
    pub credits: String,
    /// Size of every picture of every clip.
    pub size: Size,
    /// Its clips, each with its frames.
    pub clips: BTreeMap<String, usize>,
}

impl Outline {
    /// Reads what the bundle in `folder` says.
    ///
    /// # Errors
    ///
    /// As [`super::Avatar::open`], but for what is wrong with its videos.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(MANIFEST_FILE);
        let manifest = Manifest::read(&path)?;
        let size = manifest.size();
        let frames = |clip: &ClipManifest| {
            let track = folder.join(plain(&path, &clip.faces)?);
            Ok(read_track(&track, size)?.len())
        };
        let clips = manifest.clips.iter();
        let clips = clips.map(|(name, clip)| Ok((name.clone(), frames(clip)?)));
        Ok(Self {
            clips: clips.collect::<Result<_, _>>()?,
            size,
            name: manifest.name,
            credits: manifest.credits,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) fps: u32,
    #[serde(default)]
    pub(super) credits: String,
    pub(super) clips: BTreeMap<String, ClipManifest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClipManifest {
    pub(super) video: String,
    pub(super) faces: String,
    #[serde(default)]
    pub(super) colour: Colour,
}

impl Manifest {
    /// Reads it, and refuses what no bundle may be.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let manifest: Self = toml::from_str(&text)
            .map_err(|e| Error::broken(path, toml_text::one_line(&text, &e)))?;
        let Size { width, height } = manifest.size();
        if width % 2 + height % 2 > 0 || !SIDE.contains(&width) || !SIDE.contains(&height) {
            let problem = format!(
                "width and height must be even and between {} and {} pixels, but are {width}x{height}",
                SIDE.start(),
                SIDE.end()
            );
            return Err(Error::broken(path, problem));
        }
        if manifest.fps != FPS {
            let problem = format!(
                "fps is {}, but clips play at {FPS} frames a second: encode the video at {FPS} fps and set fps = {FPS}",
                manifest.fps
            );
            return Err(Error::broken(path, problem));
        }
        if !manifest.clips.contains_key(IDLE) {
            let problem = "there is no [clips.idle]: an avatar needs one clip named idle";
            return Err(Error::broken(path, problem));
        }
        Ok(manifest)
    }

    pub(super) fn size(&self) -> Size {
        Size {
            width: self.width,
            height: self.height,
        }
    }
}

#[derive(Deserialize)]
struct TrackEntry {
    eyes: Option<[f32; 2]>,
    mouth: Option<[f32; 2]>,
}

/// A file's name from a manifest: it must stay inside the bundle.
pub(super) fn plain<'n>(manifest: &Path, name: &'n str) -> Result<&'n str, Error> {
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
pub(super) fn read_track(path: &Path, size: Size) -> Result<Vec<Option<Face>>, Error> {
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
