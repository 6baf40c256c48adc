//! What sessions are made of, and what is wanted of one.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bounds::{OutOfBounds, within};
use crate::pool::Size;
use crate::run::avatars::Avatars;
use crate::run::library::Library;
use crate::run::speech;
use crate::stage::audio::{self, Source};
use crate::stage::{encode, voice};

/// Longest time that a session may be told to idle, in seconds: a year.
pub(super) const LONGEST_IDLE_S: u64 = 365 * 86_400;

/// Section `[sessions]`: those that are made by the API, beside `live`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Sessions at a time, `live` among them.
    pub max: usize,
    /// Seconds after which one that nobody watches or feeds is closed. 0: never.
    pub idle_timeout_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max: 16,
            idle_timeout_s: 60,
        }
    }
}

impl Config {
    /// Refuses no session at all, and a wait that never ends.
    ///
    /// # Errors
    ///
    /// A sentence that names the key and its bounds.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        within("sessions.max", self.max, 1..=1_000)?;
        within(
            "sessions.idle_timeout_s",
            self.idle_timeout_s,
            0..=LONGEST_IDLE_S,
        )
    }
}

/// What every session of the process is made of.
pub struct Kit {
    /// How many there may be, and for how long.
    pub sessions: Config,
    /// The folder of avatars and models.
    pub assets: PathBuf,
    /// The avatars.
    pub avatars: Avatars,
    /// The avatar of who names no other.
    pub avatar: String,
    /// The models, with that of who names no other.
    pub library: Arc<Library>,
    /// Where the sound of `live` comes from.
    pub audio: audio::Config,
    /// The sound file of the source `file`.
    pub file: PathBuf,
    /// How pushed speech is taken.
    pub speech: speech::Config,
    /// When somebody speaks.
    pub voice: voice::Config,
    /// How pictures and sound are coded.
    pub encode: encode::Config,
    /// Resident memory that the process may take, in bytes.
    pub budget: u64,
}

/// A session that is wanted; what is left out is as configured.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Its name.
    pub id: Option<String>,
    /// Who talks, by id.
    pub avatar: Option<String>,
    /// With which model, by id.
    pub model: Option<String>,
    /// Where sound comes from. Left out: only pushed speech.
    pub source: Option<Source>,
    /// The size within which its pictures are to lie, in the shape of the avatar's.
    pub within: Option<Size>,
    /// Bitrate of the pictures in kbit/s.
    pub video_kbps: Option<u32>,
    /// Seconds after which it is closed when nobody watches or feeds it. 0: never.
    pub idle_timeout_s: Option<u64>,
}

/// What is to be another of a session that runs.
#[derive(Debug, Default)]
pub struct Changes {
    /// Who talks, by id.
    pub avatar: Option<String>,
    /// With which model, by id.
    pub model: Option<String>,
    /// Where sound comes from.
    pub source: Option<Source>,
    /// Bitrate of the pictures in kbit/s.
    pub video_kbps: Option<u32>,
}
