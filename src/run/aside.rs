//! A folder in which a bundle is made aside, to be moved into place whole.
//!
//! It vanishes when it is dropped. A process that was killed leaves it behind: its
//! lock is gone then, and [`sweep`] clears it away.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::native;

/// What the folders' names begin with: no bundle's does.
const PREFIX: &str = ".import-";
/// A folder that was made a moment ago may not be locked yet.
const SETTLED: Duration = Duration::from_secs(30);

/// A folder of this process's own.
pub struct Aside {
    folder: TempDir,
    /// Held for as long as the process lives.
    _lock: File,
}

impl Aside {
    /// Makes one in `folder`, and clears away what others left there.
    ///
    /// # Errors
    ///
    /// When it can't be made.
    pub fn create(folder: &Path) -> io::Result<Self> {
        sweep(folder);
        let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(folder)?;
        let lock = File::open(made.path())?;
        // Where there are no locks nothing is cleared away either.
        native::lock(&lock);
        Ok(Self {
            folder: made,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets it stay.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

/// Removes the folders in `folder` whose processes are gone.
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(PREFIX) && left_behind(&entry.path()) {
            // What can't be removed, by one who may only read here, stays.
            let _kept = fs::remove_dir_all(entry.path());
        }
    }
}

fn left_behind(path: &Path) -> bool {
    let settled = |path: &Path| {
        let changed = fs::symlink_metadata(path)?.modified()?;
        let age = SystemTime::now().duration_since(changed);
        io::Result::Ok(age.is_ok_and(|age| age >= SETTLED))
    };
    settled(path).unwrap_or(false) && File::open(path).is_ok_and(|folder| native::lock(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if `folder` had been made an hour ago.
    fn age(folder: &Path) {
        let then = SystemTime::now() - Duration::from_secs(3_600);
        let folder = File::open(folder).expect("it is there");
        folder.set_modified(then).expect("it is ours");
    }

    #[test]
    fn what_a_dead_process_left_is_cleared_and_what_a_living_one_holds_stays() {
        let place = tempfile::tempdir().expect("a folder");
        let held = Aside::create(place.path()).expect("a folder aside");
        let left = place.path().join(".import-left");
        fs::create_dir_all(left.join("me")).expect("a folder");
        let fresh = place.path().join(".import-fresh");
        fs::create_dir(&fresh).expect("a folder");
        let bundle = place.path().join("me");
        fs::create_dir(&bundle).expect("a folder");
        [held.path(), &left, &bundle].into_iter().for_each(age);
        sweep(place.path());
        assert!(!left.exists());
        assert!(held.path().exists() && fresh.exists() && bundle.exists());
        let path = held.path().to_owned();
        drop(held);
        assert!(!path.exists());
    }
}
