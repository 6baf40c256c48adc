//! Where an upload lies while it comes and until its job is over.

use std::path::{Path, PathBuf};
use std::thread;

use tokio::sync::OwnedSemaphorePermit;

use crate::run::aside::Aside;

/// The field of a form that the file comes in.
pub const FILE: &str = "file";
/// And the one of the network that hears for a model.
pub const SECOND: &str = "audio";

/// One of the places that there are. Dropping it clears it away, on a thread of its
/// own: a large file takes a disk a while, and who is cut off while it uploads is
/// served by the thread of the viewers.
pub struct Place(Option<(Aside, OwnedSemaphorePermit)>);

impl Place {
    pub(super) fn new(folder: Aside, held: OwnedSemaphorePermit) -> Self {
        Self(Some((folder, held)))
    }

    /// Where what comes in `field` is to be written.
    pub fn upload(&self, field: &str) -> PathBuf {
        // No id begins so, and nothing that is named by one is in its way.
        self.folder().join(format!(".{field}"))
    }

    pub(super) fn folder(&self) -> &Path {
        let (folder, _) = self.0.as_ref().expect("it is there until it is dropped");
        folder.path()
    }

    /// Clears it away now.
    pub(super) fn clear(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(held) = self.0.take() {
            // Without a thread it is done here: the closure is dropped.
            let _clearing = thread::Builder::new()
                .name("clearing".into())
                .spawn(move || drop(held));
        }
    }
}
