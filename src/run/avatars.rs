//! The avatars of the process: each is opened when a session first needs it, and
//! shared with its clips by all that show it. What nobody shows any more is gone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use crate::avatar::{self, Avatar, is_id};
use crate::pool::Size;

/// Why an avatar can't be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No folder is called so.
    #[error("there is no avatar {0:?}: an avatar's id has letters, digits, - and _ only")]
    Id(String),
    /// Its bundle is missing or broken.
    #[error(transparent)]
    Bundle(#[from] avatar::Error),
}

/// An avatar's id, and the size within which its pictures are to lie.
type Wanted = (String, Option<Size>);

/// The avatars that are open.
pub struct Avatars {
    folder: PathBuf,
    open: Mutex<BTreeMap<Wanted, Open>>,
    /// Held while one is opened: two that come at once share it.
    opening: Mutex<()>,
}

/// An avatar, as long as somebody shows it.
struct Open {
    avatar: Weak<Avatar>,
    /// When its manifest was last changed.
    changed: Option<SystemTime>,
}

impl Avatars {
    /// Those in the folder `avatars` of `assets`.
    pub fn new(assets: &Path) -> Self {
        Self {
            folder: assets.join("avatars"),
            open: Mutex::default(),
            opening: Mutex::default(),
        }
    }

    /// The avatar `id`, opened and checked, with pictures that lie `within` a size.
    /// One that is open already is shared, unless it was made anew since.
    ///
    /// # Errors
    ///
    /// When there is none, or it is broken.
    pub fn get(&self, id: &str, within: Option<Size>) -> Result<Arc<Avatar>, Error> {
        if !is_id(id) {
            return Err(Error::Id(id.to_owned()));
        }
        let folder = self.folder.join(id);
        let wanted = (id.to_owned(), within);
        let manifest = fs::metadata(folder.join("avatar.toml"));
        let changed = manifest.and_then(|file| file.modified()).ok();
        let _one_at_a_time = lock(&self.opening);
        let here = lock(&self.open)
            .get(&wanted)
            .filter(|open| open.changed == changed)
            .and_then(|open| open.avatar.upgrade());
        if let Some(avatar) = here {
            return Ok(avatar);
        }
        let avatar = Arc::new(Avatar::open_within(&folder, within)?);
        let mut all = lock(&self.open);
        all.retain(|_, open| open.avatar.strong_count() > 0);
        let open = Open {
            avatar: Arc::downgrade(&avatar),
            changed,
        };
        all.insert(wanted, open);
        Ok(avatar)
    }

    /// Those that are shown, each once.
    pub fn shown(&self) -> Vec<Arc<Avatar>> {
        let open = lock(&self.open);
        open.values().filter_map(|o| o.avatar.upgrade()).collect()
    }
}

/// Locks what no panic can leave half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_shows_the_same_avatar_shares_it_and_the_last_one_closes_it() {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
        let avatars = Avatars::new(&assets);
        let (one, two) = (avatars.get("ava", None), avatars.get("ava", None));
        let (one, two) = (one.expect("bundled"), two.expect("bundled"));
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!(avatars.shown().len(), 1);
        let leo = avatars.get("leo", None).expect("bundled");
        assert_eq!(avatars.shown().len(), 2);
        let within = Size {
            width: 100,
            height: 400,
        };
        let small = avatars.get("ava", Some(within)).expect("bundled");
        assert_eq!((small.size.width, small.size.height), (100, 126));
        assert_eq!(avatars.shown().len(), 3);
        drop((one, leo, small));
        assert_eq!(avatars.shown().len(), 1);
        drop(two);
        assert!(avatars.shown().is_empty());
    }

    #[test]
    fn what_is_no_id_never_becomes_a_path() {
        let avatars = Avatars::new(Path::new("/nowhere"));
        for id in ["../ava", "", "/etc", "a/b", "nobody"] {
            let error = avatars
                .get(id, None)
                .expect_err("there is none")
                .to_string();
            assert!(error.contains(if id == "nobody" { "nobody" } else { "letters" }));
        }
    }
}
