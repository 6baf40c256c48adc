//! The avatars of the process: each is opened when a session first needs it, and
//! shared with its clips by all that show it. What nobody shows any more is gone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use crate::avatar::{self, Avatar, Clip, is_id};

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

/// The avatars that are open, by id.
pub struct Avatars {
    folder: PathBuf,
    /// Bytes of decoded pictures that each clip may keep.
    clip_cache: AtomicUsize,
    open: Mutex<BTreeMap<String, Open>>,
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
    /// Those in the folder `avatars` of `assets`. Each clip may keep `clip_cache`
    /// bytes of decoded pictures.
    pub fn new(assets: &Path, clip_cache: usize) -> Self {
        Self {
            folder: assets.join("avatars"),
            clip_cache: AtomicUsize::new(clip_cache),
            open: Mutex::default(),
            opening: Mutex::default(),
        }
    }

    /// The avatar `id`, opened and checked. One that is open already is shared,
    /// unless it was made anew since.
    ///
    /// # Errors
    ///
    /// When there is none, or it is broken.
    pub fn get(&self, id: &str) -> Result<Arc<Avatar>, Error> {
        if !is_id(id) {
            return Err(Error::Id(id.to_owned()));
        }
        let folder = self.folder.join(id);
        let manifest = fs::metadata(folder.join("avatar.toml"));
        let changed = manifest.and_then(|file| file.modified()).ok();
        let _one_at_a_time = lock(&self.opening);
        let here = lock(&self.open)
            .get(id)
            .filter(|open| open.changed == changed)
            .and_then(|open| open.avatar.upgrade());
        if let Some(avatar) = here {
            return Ok(avatar);
        }
        let avatar = Arc::new(Avatar::open(&folder)?);
        for (_, clip) in avatar.clips() {
            clip.cache.set_limit(self.clip_cache.load(Relaxed));
        }
        let mut all = lock(&self.open);
        all.retain(|_, open| open.avatar.strong_count() > 0);
        let open = Open {
            avatar: Arc::downgrade(&avatar),
            changed,
        };
        all.insert(id.to_owned(), open);
        Ok(avatar)
    }

    /// Those that are shown, each once.
    pub fn shown(&self) -> Vec<Arc<Avatar>> {
        let open = lock(&self.open);
        open.values().filter_map(|o| o.avatar.upgrade()).collect()
    }

    /// Sets how many bytes of decoded pictures each clip may keep.
    pub fn set_clip_cache(&self, bytes: usize) {
        self.clip_cache.store(bytes, Relaxed);
        self.each_clip(|clip| clip.cache.set_limit(bytes));
    }

    /// Lets no clip keep more decoded pictures than it does.
    pub fn freeze_clip_cache(&self) {
        self.clip_cache.store(0, Relaxed);
        self.each_clip(|clip| clip.cache.freeze());
    }

    /// Forgets every decoded picture. Returns the bytes that were kept.
    pub fn clear_clip_cache(&self) -> usize {
        let mut bytes = 0;
        self.each_clip(|clip| bytes += clip.cache.clear());
        bytes
    }

    /// Bytes of decoded pictures that are kept, and of compressed clips.
    pub fn clip_bytes(&self) -> (usize, usize) {
        let (mut kept, mut compressed) = (0, 0);
        self.each_clip(|clip| {
            kept += clip.cache.bytes();
            compressed += clip.bytes();
        });
        (kept, compressed)
    }

    fn each_clip(&self, mut act: impl FnMut(&Clip)) {
        for avatar in self.shown() {
            avatar.clips().for_each(|(_, clip)| act(clip));
        }
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
        let avatars = Avatars::new(&assets, 1 << 20);
        let (one, two) = (avatars.get("ava"), avatars.get("ava"));
        let (one, two) = (one.expect("bundled"), two.expect("bundled"));
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!(avatars.shown().len(), 1);
        let leo = avatars.get("leo").expect("bundled");
        assert_eq!(avatars.shown().len(), 2);
        let (_, compressed) = avatars.clip_bytes();
        drop((one, leo));
        assert_eq!(avatars.shown().len(), 1);
        drop(two);
        assert!(avatars.shown().is_empty());
        assert!(compressed > 0 && avatars.clip_bytes() == (0, 0));
    }

    #[test]
    fn what_is_no_id_never_becomes_a_path() {
        let avatars = Avatars::new(Path::new("/nowhere"), 0);
        for id in ["../ava", "", "/etc", "a/b", "nobody"] {
            let error = avatars.get(id).expect_err("there is none").to_string();
            assert!(error.contains(if id == "nobody" { "nobody" } else { "letters" }));
        }
    }
}
