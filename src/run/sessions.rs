//! The sessions of the process, by name: made, changed, closed.
//!
//! Opening avatars and models and ending sessions takes a while: nothing here
//! that makes, changes or closes one is for a thread that must not wait.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::avatar::{Avatar, IDLE, is_id};
use crate::bounds::within;
use crate::model::Bundle;
use crate::native;
use crate::pool::Size;
use crate::process::resident;
use crate::run::admission;
use crate::run::avatars::Avatars;
use crate::run::library::{self, Model};
use crate::run::needs;
use crate::run::renderer::When;
use crate::run::session::{Parts, Session};
use crate::stage::audio::{self, Source};
use crate::stats::Stats;

mod error;
mod kit;

pub use error::Error;
use kit::LONGEST_IDLE_S;
pub use kit::{Changes, Config, Kit, Wanted};

/// The session that the configuration makes.
pub const LIVE: &str = "live";
/// Rounds of an action: an hour and more of most. Who wants it for ever wants an avatar
/// whose idle clip it is.
const MOST_LOOPS: u32 = 1_000;
/// Sides of the size that a session's pictures may be held to, as those of a clip.
const SIDES: RangeInclusive<usize> = 64..=4096;

/// Every session that runs.
pub struct Sessions {
    kit: Kit,
    /// By name; without a session while it is being made.
    running: Mutex<BTreeMap<String, Option<Arc<Session>>>>,
    /// What those measured that have ended: the process's sums only grow.
    ended: Stats,
    /// Read while a session takes an avatar or a model, from its id to its picture.
    casting: RwLock<()>,
}

impl Sessions {
    /// None yet.
    pub fn new(kit: Kit) -> Arc<Self> {
        Arc::new(Self {
            kit,
            running: Mutex::default(),
            ended: Stats::default(),
            casting: RwLock::default(),
        })
    }

    /// Makes the session of the configuration. With `preview` its frames go to a
    /// window too.
    ///
    /// # Errors
    ///
    /// When it can't be started.
    pub fn start_live(&self, preview: bool) -> Result<Arc<Session>, Error> {
        let avatar = self.kit.avatars.get(&self.kit.avatar, None)?;
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
        if let Some(Size { width, height }) = wanted.within {
            within("size.width", width, SIDES)?;
            within("size.height", height, SIDES)?;
        }
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
        let _casting = self.casting.read();
        let avatar = wanted.avatar.as_ref().unwrap_or(&self.kit.avatar);
        let avatar = self.kit.avatars.get(avatar, wanted.within)?;
        self.has_room(&avatar, needs::session(&avatar))?;
        let model = match wanted.model {
            Some(model) => self.model(&model)?,
            None => self.kit.library.configured(),
        };
        let parts = Parts {
            within: wanted.within,
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
        let _casting = self.casting.read();
        let avatar = changes.avatar;
        let avatar = avatar.map(|id| self.kit.avatars.get(&id, session.within));
        let avatar = avatar.transpose()?;
        if let Some(avatar) = &avatar {
            self.has_room(avatar, needs::swap(avatar))?;
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

    /// Plays a clip of the session's avatar, see [`Session::act`].
    ///
    /// # Errors
    ///
    /// When there is no such clip, or the budget has no room for playing it.
    pub fn act(&self, session: &Session, clip: &str, when: When, loops: u32) -> Result<(), Error> {
        within("loops", loops, 1..=MOST_LOOPS)?;
        if clip != IDLE {
            let avatar = session.cast().avatar;
            self.has_room(&avatar, needs::action(&avatar))?;
        }
        Ok(session.act(clip, when, loops)?)
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

    /// Calls `then` while no session takes another avatar or model.
    pub fn unchanged<T>(&self, then: impl FnOnce() -> T) -> T {
        // It guards nothing that a panic could leave half changed.
        let _nobody_casts = self.casting.write();
        then()
    }

    /// The avatar and the model of who names no other, by id.
    pub fn usual(&self) -> [String; 2] {
        let model = self.kit.library.configured().bundle.id.clone();
        [self.kit.avatar.clone(), model]
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
            within: None,
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
        let left = || self.kit.budget.saturating_sub(resident().unwrap_or(0));
        if needs <= left() {
            return Ok(());
        }
        // What the allocator keeps for later is resident until it is given back.
        native::trim_allocator();
        let left = left();
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
