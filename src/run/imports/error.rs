//! Why nothing is imported, or not now.

use std::io;
use std::time::Duration;

use super::{HeadError, Kind, MOST};

/// When there may be a place again: an import takes a minute.
const AGAIN: Duration = Duration::from_secs(30);

/// Why nothing is imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The id can't name a folder.
    #[error("{id:?} can't be the id of {} {}: take 1 to 64 letters, digits, - and _", article(*.kind), .kind.name())]
    Id {
        /// What was to be made.
        kind: Kind,
        /// What was given.
        id: String,
    },
    /// The id is taken.
    #[error("there is {} {} {id} already: take another id, or delete it first", article(*.kind), .kind.name())]
    Taken {
        /// What was to be made.
        kind: Kind,
        /// Its id.
        id: String,
    },
    /// The id will be taken.
    #[error("{} {} {id} is being imported: take another id, or wait for that job to end", article(*.kind), .kind.name())]
    Coming {
        /// What was to be made.
        kind: Kind,
        /// Its id.
        id: String,
    },
    /// As many as may be.
    #[error("{MOST} imports run, wait or are being uploaded already: try again when one is over")]
    Full,
    /// The server ends.
    #[error("the server is ending: import again when it is back")]
    Ending,
    /// Nothing can be written where bundles lie.
    #[error(
        "nothing can be imported here, since the server can't write to its folder of assets ({0}): let it, or set `assets` to a folder where it may"
    )]
    ReadOnly(io::Error),
    /// There is no room for the upload.
    #[error("the server's disk is full, and nothing was kept: free some space and send it again")]
    DiskFull,
    /// What was uploaded is nothing that can be imported.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// No job is called so.
    #[error("there is no job {0:?}: GET /v1/jobs lists those that are known")]
    Unknown(String),
}

impl Error {
    /// When it may go better, where that is only a question of time.
    pub fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Full).then_some(AGAIN)
    }

    /// What was wrong with the disk.
    pub fn of_disk(error: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::DiskFull,
            _ => Self::ReadOnly(error),
        }
    }
}

fn article(kind: Kind) -> &'static str {
    match kind {
        Kind::Avatar => "an",
        Kind::Model => "a",
    }
}
