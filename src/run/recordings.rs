//! Recordings: what a session sends anyway, into MP4 files.
//!
//! A recording watches the session's hub as a viewer does, so that the session is
//! drawn and nothing is encoded twice. It is written by a thread of its own behind
//! a bounded queue, and whatever becomes of the disk, the stream goes on. The files
//! are what there is: their folder is looked at whenever somebody asks.

mod listening; // from the hub, without waiting
mod running; // what is told of one
mod writing; // to the disk, at its pace

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use serde::{Deserialize, Serialize};
use time::UtcDateTime;
use time::macros::format_description;
use utoipa::ToSchema;

use crate::bounds::{OutOfBounds, within};
use crate::pool::Size;
use crate::run::session::Session;
use crate::run::sessions::is_session_id;
use crate::stage::write::{self, Mp4Writer};
use running::Running;
use writing::Writing;

/// Largest folder that makes sense, in megabytes: a petabyte.
const MOST_MB: u64 = 1 << 30;
/// How the files end.
const EXTENSION: &str = "mp4";
/// Characters of the time in a name, `20261121T010203Z`.
const TIME: usize = 16;
/// Longest wait of whoever stops a recording, for a disk that is slow.
const FINISHED: Duration = Duration::from_secs(20);
/// Longest wait for all of them when the program ends: they play without.
const LAST: Duration = Duration::from_secs(2);

/// Section `[recordings]`: what is sent, into files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Their folder, made when the first one begins.
    pub folder: PathBuf,
    /// Megabytes that all of them may have together.
    pub max_mb: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            folder: "recordings".into(),
            max_mb: 10_240,
        }
    }
}

impl Config {
    /// Refuses a folder that may hold nothing.
    ///
    /// # Errors
    ///
    /// A sentence that names the key and its bounds.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        within("recordings.max_mb", self.max_mb, 1..=MOST_MB)
    }
}

/// Why there is no recording, or not another one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file is called so.
    #[error("there is no recording called {0:?}")]
    Unknown(String),
    /// One at a time.
    #[error("the session {0} is being recorded already: stop that recording first")]
    Recording(String),
    /// There is nothing to stop.
    #[error("the session {0} isn't being recorded")]
    Idle(String),
    /// It is still being written.
    #[error("the recording {0} still runs: stop it first")]
    Runs(String),
    /// It ended before its first picture.
    #[error("nothing was recorded: the recording was stopped before its first picture")]
    Empty,
    /// The folder may not grow.
    #[error(
        "the recordings have {0} MB together, which is recordings.max_mb: delete some, or raise it"
    )]
    Full(u64),
    /// The disk takes its time.
    #[error("the disk is slow: the recording is stopped, and will be finished when it answers")]
    Slow,
    /// The disk didn't take the end.
    #[error("the end of the recording could not be written, it plays up to there: see the log")]
    Broken,
    /// The system said no. What exactly is for the log: it has our paths in it.
    #[error("the folder of recordings (recordings.folder) can't be used: see the log")]
    Folder(#[source] io::Error),
}

/// A recording, as it is told.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Recording {
    /// Its name: the session's, and when it began.
    pub id: String,
    /// What is recorded.
    pub session: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// How long it plays, to the millisecond.
    pub seconds: f64,
    /// Whether it goes on.
    pub running: bool,
}

/// All recordings of the program.
pub struct Recordings {
    config: Config,
    /// Those that are being written, by session. Held for no longer than a look:
    /// who asks must not wait for a disk.
    running: Mutex<BTreeMap<String, Arc<Running>>>,
    /// Held while one begins.
    starting: Mutex<()>,
}

impl Recordings {
    /// Looks at nothing yet.
    pub fn new(config: Config) -> Arc<Self> {
        Arc::new(Self {
            config,
            running: Mutex::default(),
            starting: Mutex::default(),
        })
    }

    /// Begins to record `session`, from the next key frame on. To be called within
    /// the runtime of the network.
    ///
    /// # Errors
    ///
    /// When it is being recorded already, or the file can't be made.
    pub fn start(self: &Arc<Self>, session: &Session) -> Result<Recording, Error> {
        let _one_at_a_time = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.lock().contains_key(&session.id) {
            return Err(Error::Recording(session.id.clone()));
        }
        if self.full() {
            return Err(Error::Full(self.config.max_mb));
        }
        fs::create_dir_all(&self.config.folder).map_err(folder)?;
        Ok(Writing::start(self, session)?.told())
    }

    /// Ends the recording of the session `id`, and waits until the file is whole.
    ///
    /// # Errors
    ///
    /// When there is none, it has no picture, or the disk doesn't answer.
    pub fn stop(&self, id: &str) -> Result<Recording, Error> {
        let running = self.lock().get(id).cloned();
        let running = running.ok_or_else(|| Error::Idle(id.to_owned()))?;
        running.stop();
        match running.wait(FINISHED) {
            Ok(Ok(recording)) => Ok(recording),
            Ok(Err(write::Error::Empty { .. })) => Err(Error::Empty),
            Ok(Err(_)) => Err(Error::Broken),
            Err(RecvTimeoutError::Timeout) => Err(Error::Slow),
            // Another was told.
            Err(RecvTimeoutError::Disconnected) => Err(Error::Idle(id.to_owned())),
        }
    }

    /// Ends all of them, and waits for a slow disk no longer than a moment: files
    /// that aren't finished play all the same.
    pub fn end(&self) {
        let running: Vec<_> = self.lock().values().cloned().collect();
        running.iter().for_each(|running| running.stop());
        let end = Instant::now() + LAST;
        for running in running {
            let left = end.saturating_duration_since(Instant::now());
            let _plays_anyway = running.wait(left);
        }
    }

    /// All that there are, the oldest first.
    ///
    /// # Errors
    ///
    /// When the folder can't be read.
    pub fn list(&self) -> Result<Vec<Recording>, Error> {
        let running: Vec<_> = self.lock().values().map(|running| running.told()).collect();
        let mut all: Vec<_> = self
            .files()
            .map_err(folder)?
            .into_iter()
            .filter(|(id, _)| running.iter().all(|running| running.id != *id))
            .filter_map(|(id, bytes)| {
                let (session, _) = parts(&id)?;
                // Gone by now, or none of ours: it isn't told.
                let length = write::length(&self.place(&id)).ok()?;
                Some(Recording {
                    session: session.to_owned(),
                    bytes,
                    seconds: length.as_millis() as f64 / 1e3,
                    running: false,
                    id,
                })
            })
            .collect();
        all.extend(running);
        all.sort_by_cached_key(|one| parts(&one.id).map(|(_, time)| time.to_owned()));
        Ok(all)
    }

    /// The file of the recording `id`.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn file(&self, id: &str) -> Result<PathBuf, Error> {
        let unknown = || Error::Unknown(id.to_owned());
        // What is no name of ours never becomes a path.
        parts(id).ok_or_else(unknown)?;
        let path = self.place(id);
        path.is_file().then_some(path).ok_or_else(unknown)
    }

    /// Deletes the recording `id`.
    ///
    /// # Errors
    ///
    /// When there is none, or it still runs.
    pub fn delete(&self, id: &str) -> Result<(), Error> {
        let path = self.file(id)?;
        if self.lock().values().any(|running| running.told().id == id) {
            return Err(Error::Runs(id.to_owned()));
        }
        fs::remove_file(path).map_err(folder)
    }

    /// Bytes of memory that those hold which are being written.
    pub fn held_bytes(&self) -> u64 {
        self.lock().values().map(|one| one.held_bytes()).sum()
    }

    /// Whether the files have what they may have together.
    fn full(&self) -> bool {
        let bytes: u64 = self
            .files()
            .unwrap_or_default()
            .iter()
            .map(|(_, bytes)| bytes)
            .sum();
        bytes >= self.config.max_mb << 20
    }

    /// The files' names and bytes.
    fn files(&self) -> io::Result<Vec<(String, u64)>> {
        let entries = match fs::read_dir(&self.config.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let id = path.file_stem().and_then(|stem| stem.to_str());
            let ours = path.extension().is_some_and(|end| end == EXTENSION);
            if let Some(id) = id.filter(|id| ours && parts(id).is_some())
                && let Ok(about) = fs::metadata(&path)
            {
                files.push((id.to_owned(), about.len()));
            }
        }
        Ok(files)
    }

    /// A new file for pictures of `session`: its name, and what writes it.
    fn create(&self, session: &str, make: Make) -> Result<(String, Mp4Writer), write::Error> {
        let mut time = UtcDateTime::now();
        loop {
            let id = format!("{session}-{}", stamp(time));
            let path = self.place(&id);
            // Two of one second: the later one takes the next that is free.
            if path.exists() {
                time += Duration::from_secs(1);
                continue;
            }
            let writer = Mp4Writer::create(&path, make.size, Some(make.pre_skip))?;
            return Ok((id, writer));
        }
    }

    fn place(&self, id: &str) -> PathBuf {
        self.config
            .folder
            .join(Path::new(id).with_extension(EXTENSION))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a file has to be told at its beginning.
#[derive(Clone, Copy)]
struct Make {
    size: Size,
    pre_skip: u16,
}

/// Logs what is not for who asked.
fn folder(error: io::Error) -> Error {
    tracing::warn!("the folder of recordings can't be used: {error}");
    Error::Folder(error)
}

/// The time in a name.
fn stamp(time: UtcDateTime) -> String {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    time.format(form).expect("a time has all of these")
}

/// The session and the time in the name `id`, if it is one of ours.
fn parts(id: &str) -> Option<(&str, &str)> {
    let (session, time) = id.rsplit_once('-')?;
    let ours = time.len() == TIME
        && time.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    (ours && is_session_id(session)).then_some((session, time))
}

#[cfg(test)]
mod tests;
