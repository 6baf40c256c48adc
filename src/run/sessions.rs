//! The sessions of the process, by name: made, changed, closed.
//!
//! Opening avatars and models and ending sessions takes a while: nothing here
//! that makes, changes or closes one is for a thread that must not wait.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::avatar::{Avatar, is_id};
use crate::bounds::{OutOfBounds, within};
use crate::model::Bundle;
use crate::native;
use crate::process::resident;
use crate::run::admission;
use crate::run::avatars::{self, Avatars};
use crate::run::library::{self, Library, Model};
use crate::run::needs;
use crate::run::session::{self, ChangeError, Parts, Session};
use crate::run::speech;
use crate::stage::audio::{self, Source};
use crate::stage::{encode, voice};
use crate::stats::Stats;

/// The session that the configuration makes.
pub const LIVE: &str = "live";
/// Longest time that a session may be told to idle, in seconds: a year.
const LONGEST_IDLE_S: u64 = 365 * 86_400;
/// When a machine that is full may have room: sessions that nobody uses close by
/// the second.
const AGAIN: Duration = Duration::from_secs(10);

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

/// Every session that runs.
pub struct Sessions {
    kit: Kit,
    /// By name; without a session while it is being made.
    running: Mutex<BTreeMap<String, Option<Arc<Session>>>>,
    /// What those measured that have ended: the process's sums only grow.
    ended: Stats,
}

impl Sessions {
    /// None yet.
    pub fn new(kit: Kit) -> Arc<Self> {
        Arc::new(Self {
            kit,
            running: Mutex::default(),
            ended: Stats::default(),
        })
    }

    /// Makes the session of the configuration. With `preview` its frames go to a
    /// window too.
    ///
    /// # Errors
    ///
    /// When it can't be started.
    pub fn start_live(&self, preview: bool) -> Result<Arc<Session>, Error> {
        let avatar = self.kit.avatars.get(&self.kit.avatar)?;
        let place = self.reserve(LIVE)?;
        let parts = self.parts(LIVE, avatar, self.kit.library.configured());
        Ok(place.fill(Session::start(parts, preview)?))
    }

    /// Makes a session, if this machine has room for it.
    ///
    /// # Errors
    ///
    /// When it has none, or the session can't be as it is wanted.
    pub fn create(&self, wanted: Wanted) -> Result<Arc<Session>, Error> {
        let id = wanted.id.unwrap_or_else(random_id);
        if !is_session_id(&id) {
            return Err(Error::Id(id));
        }
        let idle_timeout_s = wanted
            .idle_timeout_s
            .unwrap_or(self.kit.sessions.idle_timeout_s);
        within("idle_timeout_s", idle_timeout_s, 0..=LONGEST_IDLE_S)?;
        let audio = audio::Config {
            source: wanted.source.unwrap_or(Source::None),
            ..audio::Config::default()
        };
        if !matches!(audio.source, Source::None | Source::File) {
            return Err(Error::Source);
        }
        let mut encode = self.kit.encode.clone();
        encode.video_kbps = wanted.video_kbps.unwrap_or(encode.video_kbps);
        encode.check()?;
        let place = self.reserve(&id)?;
        self.has_time()?;
        let avatar = wanted.avatar.as_ref().unwrap_or(&self.kit.avatar);
        let avatar = self.kit.avatars.get(avatar)?;
        self.has_room(&avatar, needs::session(avatar.size))?;
        let model = match wanted.model {
            Some(model) => self.model(&model)?,
            None => self.kit.library.configured(),
        };
        let parts = Parts {
            audio: &audio,
            encode: &encode,
            idle_timeout: Duration::from_secs(idle_timeout_s),
            ..self.parts(&id, avatar, model)
        };
        let session = place.fill(Session::start(parts, false)?);
        tracing::info!(session = id, "a session begins");
        Ok(session)
    }

    /// Changes a session that runs: everything, or nothing where something can't be had.
    ///
    /// # Errors
    ///
    /// When it can't be as it is wanted; then it is as it was.
    pub fn change(&self, session: &Session, changes: Changes) -> Result<(), Error> {
        session.touch();
        if let Some(kbps) = changes.video_kbps {
            Session::check_video_kbps(kbps)?;
        }
        let avatar = changes.avatar.map(|id| self.kit.avatars.get(&id));
        let avatar = avatar.transpose()?;
        if let Some(avatar) = &avatar {
            self.has_room(avatar, needs::swap(avatar.size))?;
        }
        let model = changes.model.map(|id| self.model(&id)).transpose()?;
        if let Some(source) = changes.source {
            session.set_source(source)?;
        }
        if avatar.is_some() || model.is_some() {
            session.recast(avatar, model)?;
        }
        if let Some(kbps) = changes.video_kbps {
            session.set_video_kbps(kbps)?;
        }
        Ok(())
    }

    /// Closes the session `id`, and waits until it has ended.
    ///
    /// # Errors
    ///
    /// When there is none, or it is the configuration's.
    pub fn close(&self, id: &str) -> Result<(), Error> {
        if id == LIVE {
            return Err(Error::Live);
        }
        let session = self.get(id).ok_or_else(|| Error::Unknown(id.to_owned()))?;
        self.end_one(&session, "it was deleted");
        Ok(())
    }

    /// Closes those that nobody has watched or fed for as long as they may idle.
    pub fn close_idle(&self, now: Instant) {
        for session in self.all() {
            if session.idles(now) {
                self.end_one(&session, "nobody watched or fed it");
            }
        }
    }

    /// Closes the newest session that nobody watches, except `live`. Returns its name.
    pub fn close_newest_unwatched(&self) -> Option<String> {
        let unwatched = self
            .all()
            .into_iter()
            .filter(|s| s.id != LIVE && !s.watched());
        let newest = unwatched.max_by_key(|session| session.started)?;
        self.end_one(&newest, "memory is short and nobody watches it");
        Some(newest.id.clone())
    }

    /// The session called `id`.
    pub fn get(&self, id: &str) -> Option<Arc<Session>> {
        self.lock().get(id).cloned().flatten()
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Arc<Session>> {
        self.lock().values().flatten().cloned().collect()
    }

    /// What those measured that have ended.
    pub fn ended(&self) -> &Stats {
        &self.ended
    }

    /// The avatars that they show.
    pub fn avatars(&self) -> &Avatars {
        &self.kit.avatars
    }

    /// Ends all of them and waits until they have.
    pub fn end(&self) {
        let ending = std::mem::take(&mut *self.lock());
        for session in ending.values().flatten() {
            session.end();
        }
    }

    fn end_one(&self, session: &Arc<Session>, why: &str) {
        {
            let mut running = self.lock();
            // Another may have been quicker, and have its name again by now.
            let here = running.get(&session.id).and_then(Option::as_ref);
            if !here.is_some_and(|here| Arc::ptr_eq(here, session)) {
                return;
            }
            running.remove(&session.id);
        }
        session.end();
        self.ended.absorb(&session.stats);
        native::trim_allocator();
        tracing::info!(session = session.id, "a session has ended: {why}");
    }

    /// Takes the name `id`, for as long as the place is held or filled.
    fn reserve(&self, id: &str) -> Result<Place<'_>, Error> {
        let mut running = self.lock();
        if running.contains_key(id) {
            return Err(Error::Taken(id.to_owned()));
        }
        if running.len() >= self.kit.sessions.max {
            return Err(Error::Full(running.len()));
        }
        running.insert(id.to_owned(), None);
        drop(running);
        Ok(Place {
            sessions: self,
            id: id.to_owned(),
        })
    }

    fn parts<'p>(&'p self, id: &'p str, avatar: Arc<Avatar>, model: Arc<Model>) -> Parts<'p> {
        let kit = &self.kit;
        Parts {
            id,
            avatar,
            model,
            audio: &kit.audio,
            file: kit.file.clone(),
            speech: &kit.speech,
            voice: &kit.voice,
            encode: &kit.encode,
            idle_timeout: Duration::ZERO,
        }
    }

    /// The model `id`, loaded.
    fn model(&self, id: &str) -> Result<Arc<Model>, library::Error> {
        if !is_id(id) {
            return Err(library::Error::Id(id.to_owned()));
        }
        let bundle = Bundle::open(&self.kit.assets.join("models").join(id))?;
        self.kit.library.get(bundle, Instant::now())
    }

    /// Whether the processors have time for the sessions that there are now, with
    /// the one that has just taken its place.
    fn has_time(&self) -> Result<(), Error> {
        let sessions = self.all();
        let Some(cost) = admission::cost(sessions.iter().map(|session| &*session.stats)) else {
            return Ok(());
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let wanted = self.lock().len();
        if admission::in_time(cost, wanted, cores) {
            return Ok(());
        }
        Err(Error::Cpu {
            cost_ms: cost.as_secs_f64() * 1e3,
            cores,
            now: wanted - 1,
        })
    }

    /// Whether the budget has room for what showing `avatar` needs, in bytes.
    fn has_room(&self, avatar: &Avatar, needs: u64) -> Result<(), Error> {
        let left = self.kit.budget.saturating_sub(resident().unwrap_or(0));
        if needs <= left {
            return Ok(());
        }
        Err(Error::Memory {
            avatar: avatar.id.clone(),
            needs_mb: needs >> 20,
            budget_mb: self.kit.budget >> 20,
            left_mb: left >> 20,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<Arc<Session>>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that is taken. Given back unless a session fills it.
struct Place<'s> {
    sessions: &'s Sessions,
    id: String,
}

impl Place<'_> {
    fn fill(self, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        let place = Some(Arc::clone(&session));
        self.sessions.lock().insert(self.id.clone(), place);
        session
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut running = self.sessions.lock();
        if running.get(&self.id).is_some_and(Option::is_none) {
            running.remove(&self.id);
        }
    }
}

/// Whether `id` may name a session.
pub(super) fn is_session_id(id: &str) -> bool {
    let small = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    id.len() <= 64
        && id.bytes().next().is_some_and(small)
        && id.bytes().all(|b| small(b) || b == b'-' || b == b'_')
}

/// A name that nobody has: 48 random bits.
fn random_id() -> String {
    format!("s{:012x}", rand::random::<u64>() >> 16)
}

#[cfg(test)]
mod tests;
