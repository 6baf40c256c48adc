//! Why a session can't be had, and when it is worth asking again.

use std::time::Duration;

use crate::bounds::OutOfBounds;
use crate::run::session::{self, ChangeError};
use crate::run::{avatars, library};
use crate::stage::encode;

/// When a machine that is full may have room: sessions that nobody uses close by
/// the second.
const AGAIN: Duration = Duration::from_secs(10);

/// Why a session can't be had, or not as it is wanted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is called so.
    #[error("there is no session called {0:?}")]
    Unknown(String),
    /// Its name is none.
    #[error(
        "{0:?} can't name a session: take 64 of a-z, 0-9, - and _ at most, the first a letter or digit"
    )]
    Id(String),
    /// Somebody has it.
    #[error("there is a session {0} already: change it with PATCH, or take another id")]
    Taken(String),
    /// It is the configuration's.
    #[error("the session live is the configuration's and ends with the program")]
    Live,
    /// A value that can't work.
    #[error(transparent)]
    Bounds(#[from] OutOfBounds),
    /// A source that only the configuration may choose.
    #[error("source is none or file here: the microphone is for the session live, by audio.source")]
    Source,
    /// The avatar can't be had.
    #[error(transparent)]
    Avatar(#[from] avatars::Error),
    /// The model can't be had.
    #[error(transparent)]
    Model(#[from] library::Error),
    /// No encoder takes it.
    #[error(transparent)]
    Encode(#[from] encode::Error),
    /// There are as many as there may be.
    #[error("there are {0} sessions, as many as sessions.max allows: delete one, or raise it")]
    Full(usize),
    /// The processors have no time for another.
    #[error(
        "a frame takes {cost_ms:.1} ms of CPU here, so {cores} cores draw for no more than {now} sessions: delete one, or use a smaller model or avatar"
    )]
    Cpu {
        /// What a frame costs.
        cost_ms: f64,
        /// Cores of this machine.
        cores: usize,
        /// Sessions that run.
        now: usize,
    },
    /// The budget has no room for another.
    #[error(
        "to show the avatar {avatar} takes about {needs_mb} MB more and memory.budget_mb = {budget_mb} has {left_mb} MB left: delete a session, or raise the budget"
    )]
    Memory {
        /// Who was to talk.
        avatar: String,
        /// What it takes.
        needs_mb: u64,
        /// The budget.
        budget_mb: u64,
        /// What is left of it.
        left_mb: u64,
    },
    /// It could not be started.
    #[error(transparent)]
    Start(#[from] session::Error),
    /// It could not be changed.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl Error {
    /// When it may go better, where that is only a question of time.
    pub fn retry_after(&self) -> Option<Duration> {
        let later = matches!(
            self,
            Self::Full(_)
                | Self::Cpu { .. }
                | Self::Memory { .. }
                | Self::Model(library::Error::Memory { .. })
        );
        later.then_some(AGAIN)
    }
}
