//! The avatars and models that lie in the folder of assets, for whoever asks over
//! the network: what they are, and their end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::avatar::{self, Outline, is_id};
use crate::model::{self, Bundle};
use crate::pool::Size;
use crate::run::aside::Aside;
use crate::run::imports::Kind;
use crate::run::sessions::Sessions;

/// Why a bundle can't be had, or not be deleted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of that id.
    #[error("there is no {} {id:?}: GET /v1/{} lists those that are there", .kind.name(), .kind.folder())]
    Unknown {
        /// What was looked for.
        kind: Kind,
        /// Its id.
        id: String,
    },
    /// Sessions use it.
    #[error("the {} {id} is in use by {}: change or delete those sessions first", .kind.name(), .by.join(", "))]
    Used {
        /// What it is.
        kind: Kind,
        /// Its id.
        id: String,
        /// The sessions.
        by: Vec<String>,
    },
    /// It is that of who names no other.
    #[error("the {} {id} is the configuration's: start the server with another one first, by `{} = …`", .kind.name(), .kind.name())]
    Configured {
        /// What it is.
        kind: Kind,
        /// Its id.
        id: String,
    },
    /// It isn't whole.
    #[error(transparent)]
    Avatar(#[from] avatar::Error),
    /// It isn't whole.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// The folder can't be written.
    #[error("nothing can be deleted here: {0}")]
    Folder(io::Error),
}

/// An avatar that lies there.
#[derive(Debug)]
pub struct Shown {
    /// What it says of itself.
    pub outline: Outline,
    /// How well it talks, where it was imported: a grade, a sentence, notes.
    pub verdict: Option<Value>,
    /// Bytes of its files.
    pub bytes: u64,
    /// Whether there is a picture of it.
    pub poster: bool,
    /// Whether there is a sheet that shows where its face was found.
    pub sheet: bool,
}

impl Shown {
    /// Seconds of its idle clip.
    pub fn seconds(&self) -> f64 {
        let frames = self.outline.clips.get(avatar::IDLE).copied();
        frames.unwrap_or(0) as f64 / f64::from(crate::media::FPS)
    }

    /// Size of its pictures.
    pub fn size(&self) -> Size {
        self.outline.size
    }
}

/// A picture of an avatar, and what shows where its face was found.
pub const POSTER: &str = "poster.jpg";
/// See [`POSTER`].
pub const SHEET: &str = "faces.jpg";

/// The ids of what lies in `assets`, in order.
pub fn ids(assets: &Path, kind: Kind) -> Vec<String> {
    let entries = fs::read_dir(assets.join(kind.folder()));
    let names = entries.into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let mut ids: Vec<_> = names
        .filter(|id| folder(assets, kind, id).is_ok())
        .collect();
    ids.sort();
    ids
}

/// The avatar `id` in `assets`.
///
/// # Errors
///
/// When there is none, or it isn't whole.
pub fn avatar(assets: &Path, id: &str) -> Result<Shown, Error> {
    let folder = folder(assets, Kind::Avatar, id)?;
    let report = fs::read(folder.join("report.json")).ok();
    let report: Option<Value> = report.and_then(|report| serde_json::from_slice(&report).ok());
    Ok(Shown {
        outline: Outline::read(&folder)?,
        verdict: report.and_then(|mut report| report.get_mut("verdict").map(Value::take)),
        bytes: bytes(&folder),
        poster: folder.join(POSTER).exists(),
        sheet: folder.join(SHEET).exists(),
    })
}

/// The model `id` in `assets`.
///
/// # Errors
///
/// As [`avatar`].
pub fn model(assets: &Path, id: &str) -> Result<Bundle, Error> {
    Ok(Bundle::open(&folder(assets, Kind::Model, id)?)?)
}

/// The folder of the bundle `id`, which is never a path of who asks.
///
/// # Errors
///
/// When there is none.
pub fn folder(assets: &Path, kind: Kind, id: &str) -> Result<PathBuf, Error> {
    let folder = assets.join(kind.folder()).join(id);
    let manifest = match kind {
        Kind::Avatar => avatar::MANIFEST_FILE,
        Kind::Model => model::MANIFEST_FILE,
    };
    let there = is_id(id) && folder.join(manifest).exists();
    there.then_some(folder).ok_or_else(|| Error::Unknown {
        kind,
        id: id.to_owned(),
    })
}

/// The sessions that use the bundle `id`, by name.
pub fn used_by(sessions: &Sessions, kind: Kind, id: &str) -> Vec<String> {
    let sessions = sessions.all().into_iter().filter(|session| {
        let cast = session.cast();
        let used = match kind {
            Kind::Avatar => &cast.avatar.id,
            Kind::Model => &cast.model.bundle.id,
        };
        used == id
    });
    sessions.map(|session| session.id.clone()).collect()
}

/// Deletes the bundle `id` from `assets`, unless somebody uses it. Waits for
/// sessions that take one this moment.
///
/// # Errors
///
/// When it can't be deleted; then it is as it was.
pub fn delete(assets: &Path, sessions: &Sessions, kind: Kind, id: &str) -> Result<(), Error> {
    let folder = folder(assets, kind, id)?;
    let owned = || id.to_owned();
    if is_usual(sessions, kind, id) {
        return Err(Error::Configured { kind, id: owned() });
    }
    let aside = Aside::create(assets).map_err(Error::Folder)?;
    sessions.unchanged(|| {
        let by = used_by(sessions, kind, id);
        if !by.is_empty() {
            return Err(Error::Used {
                kind,
                id: owned(),
                by,
            });
        }
        // Whole in its place, or not there: what takes a while is done aside.
        fs::rename(&folder, aside.path().join(id)).map_err(Error::Folder)
    })
}

fn is_usual(sessions: &Sessions, kind: Kind, id: &str) -> bool {
    let [avatar, model] = sessions.usual();
    match kind {
        Kind::Avatar => avatar == id,
        Kind::Model => model == id,
    }
}

/// Bytes of the files in `folder`.
fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.metadata().ok());
    files
        .filter(fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assets() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("assets")
    }

    #[test]
    fn what_lies_there_is_told_without_opening_a_video() {
        let avatars = ids(&assets(), Kind::Avatar);
        assert_eq!(avatars, ["ava", "leo"]);
        let ava = avatar(&assets(), "ava").expect("bundled");
        let opened = avatar::Avatar::open(&assets().join("avatars/ava")).expect("bundled");
        assert_eq!(ava.size(), opened.size);
        let clips = opened
            .clips()
            .map(|(name, clip)| (name.to_owned(), clip.len()));
        assert_eq!(ava.outline.clips, clips.collect());
        assert!(ava.poster && ava.bytes > 1_000_000 && ava.seconds() > 1.0);
        let model = model(&assets(), "mouthpiece-256").expect("bundled");
        assert_eq!(model.manifest.size, Some(256));
    }

    #[test]
    fn what_is_no_id_is_never_looked_for() {
        for id in [
            "..",
            "../models/mouthpiece-256",
            "",
            "/etc",
            "nobody",
            "README.md",
        ] {
            for kind in [Kind::Avatar, Kind::Model] {
                let error = folder(&assets(), kind, id).expect_err("there is none");
                assert!(matches!(error, Error::Unknown { .. }), "{error}");
            }
        }
    }
}
