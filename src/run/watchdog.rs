//! Holds the memory budget: reads resident memory once a second, and has caches
//! emptied, models unloaded and what nobody watches closed when it runs out.
//!
//! What is watched goes on: everything that is given back here is a convenience.
//! Only when that isn't enough for a while does the process ask to be ended, so
//! that a supervisor starts it anew before the system kills it. The watchdog also
//! turns the counters into one line of the log every ten seconds.

mod caches; // the clips' caches of all sessions
mod reclaim; // what is given up, and what came back

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use psutil::process::Process;
use serde::Serialize;
use utoipa::ToSchema;

use crate::events::Event;
use crate::gpu::{Gpu, Usage};
use crate::memory::{Config, Level};
use crate::native;
use crate::run::library::Library;
use crate::run::recordings::Recordings;
use crate::run::sessions::Sessions;
use crate::stage::send::{VIEWER_BYTES, Viewers};
use caches::Caches;
pub use reclaim::Reclaim;
use reclaim::{IDLE, Patience, megabytes};

/// From one reading to the next.
const PERIOD: Duration = Duration::from_secs(1);
/// Readings between two lines of the log.
const LINE: u64 = 10;
/// Reclaims that are remembered, for whoever asks what happened.
const REMEMBERED: usize = 16;
/// How long caches stay empty that were emptied by hand: long enough to look.
const EMPTY: Duration = Duration::from_secs(10);

/// What the watchdog watches over.
pub struct Watched {
    /// The sessions, with their clips' caches.
    pub sessions: Arc<Sessions>,
    /// The files that are being written.
    pub recordings: Arc<Recordings>,
    /// The models.
    pub library: Arc<Library>,
    /// The viewers, who are refused over budget.
    pub viewers: Viewers,
    /// What the clips' caches may have together, in bytes.
    pub clip_cache: usize,
    /// A model that nobody wanted for so long is unloaded even with memory to spare.
    pub idle_unload: Duration,
    /// The GPU that networks run on, if they do.
    pub gpu: Option<Gpu>,
    /// Ends the process: it has been over its budget for too long.
    pub give_up: Box<dyn Fn() + Send>,
}

/// What was read last, and what was done so far.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reading {
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// The budget in bytes.
    pub budget_bytes: u64,
    /// CPU of the process over the last second, in percent of one core.
    pub cpu_percent: f32,
    /// How full the budget is.
    pub level: Level,
    /// What is taken of the GPU's memory.
    pub gpu: Option<Usage>,
    /// How full its budget is.
    pub gpu_level: Level,
    /// Times that each level's actions ran.
    pub reclaims: [u64; Level::ALL.len()],
    /// Bytes of resident memory that they gave back.
    pub reclaimed_bytes: u64,
    /// What was done last, the newest first, [`REMEMBERED`] at most.
    pub last: VecDeque<Reclaim>,
}

/// Who holds how many bytes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Held {
    /// By who holds them. What is missing from the sum is code, stacks and the
    /// libraries' own.
    pub owners: BTreeMap<&'static str, u64>,
    /// Decoded pictures of clips that are kept, which are the clips'.
    pub clip_cache_bytes: u64,
}

/// The thread that watches. Dropping it ends the watch.
pub struct Watchdog {
    watch: Arc<Mutex<Watch>>,
    reading: Arc<Mutex<Reading>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Begins to watch.
    ///
    /// # Errors
    ///
    /// When the process can't be read or the thread not be started.
    pub fn start(config: &Config, watched: Watched) -> std::io::Result<Self> {
        let process = Process::current().map_err(std::io::Error::other)?;
        let reading = Arc::new(Mutex::new(Reading {
            budget_bytes: config.budget(),
            ..Reading::default()
        }));
        let (stop, stopped) = bounded(0);
        let mut watch = Watch {
            process,
            clip_cache: watched.clip_cache,
            watched,
            reading: Arc::clone(&reading),
            drawn: HashMap::new(),
            patience: Patience::new(Duration::from_secs(config.over_s)),
            config: config.clone(),
            empty_until: None,
        };
        watch.read();
        let watch = Arc::new(Mutex::new(watch));
        let watching = Arc::clone(&watch);
        let thread = std::thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || {
                let mut turn = 0;
                let mut last = Instant::now();
                while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                    turn += 1;
                    let now = Instant::now();
                    lock(&watching).turn(now, now - last, turn % LINE == 0);
                    last = now;
                }
            })?;
        Ok(Self {
            watch,
            reading,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What was read last.
    pub fn reading(&self) -> Reading {
        lock(&self.reading).clone()
    }

    /// Does what the watchdog does at `level`, and says what came back. Takes a
    /// tenth of a second or two.
    pub fn reclaim(&self, level: Level) -> Reclaim {
        let mut watch = lock(&self.watch);
        let now = Instant::now();
        if level >= Level::Hard {
            watch.empty_until = Some(now + EMPTY);
        }
        let done = watch.reclaim(level, "asked for".into(), now);
        watch.note(&done, true);
        done
    }

    /// Who holds how many bytes.
    pub fn held(&self) -> Held {
        lock(&self.watch).held()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic was printed by the thread itself.
            let _panicked = thread.join();
        }
    }
}

struct Watch {
    process: Process,
    watched: Watched,
    /// What the clips' caches may have now, in bytes.
    clip_cache: usize,
    reading: Arc<Mutex<Reading>>,
    /// Frames that each session had drawn at the last reading.
    drawn: HashMap<String, u64>,
    patience: Patience,
    config: Config,
    /// Until when caches stay empty although there is room.
    empty_until: Option<Instant>,
}

impl Watch {
    fn turn(&mut self, now: Instant, passed: Duration, line: bool) {
        let was = lock(&self.reading).level;
        let reading = self.read();
        let (rss, budget) = (reading.rss_bytes, reading.budget_bytes);
        let level = was.next(rss, budget);
        let full = format!("{} of {} MB", megabytes(rss), megabytes(budget));
        if level != was {
            let (level, was) = (level.name(), was.name());
            tracing::info!("memory is {level}, was {was}: {full} are resident");
        }
        lock(&self.reading).level = level;
        if level != was {
            self.enter(was, level);
        }
        // Over the budget every second counts. Below, what was given up once has
        // little to give again, and a trim takes the allocator's locks.
        if level > was || level == Level::Over || (level > Level::Normal && line) {
            let reason = match level > was {
                true => format!("{full} are resident"),
                false => format!("still {full}"),
            };
            let done = self.reclaim(level, reason, now);
            // What is repeated at a level that lasts is worth a line only if it helped.
            self.note(&done, level > was || done.worth_a_line());
        } else if self.unload(now, self.watched.idle_unload) > 0 {
            native::trim_allocator();
            tracing::info!("a model is unloaded: no mouth was drawn with it for a while");
        } else if line {
            // What large bodies and joins left between what is in use.
            native::trim_allocator();
        }
        self.turn_gpu(now, line);
        self.watched.sessions.close_idle(now);
        self.allow(now, level);
        self.over(now, level > was);
        self.count(passed, line);
    }

    /// The same for the GPU's memory, of which only networks take any: one that is
    /// idle is unloaded when its budget runs out.
    fn turn_gpu(&self, now: Instant, line: bool) {
        let Some(usage) = self.watched.gpu.as_ref().and_then(Gpu::usage) else {
            return;
        };
        let budget = self.config.gpu_budget(usage.total_bytes);
        let mut reading = lock(&self.reading);
        let was = reading.gpu_level;
        let level = was.next(usage.counted(), budget);
        (reading.gpu, reading.gpu_level) = (Some(usage), level);
        drop(reading);
        if level < Level::Hard || (level <= was && !line) {
            return;
        }
        let models = self.unload(now, IDLE);
        tracing::info!(
            models_kb = models >> 10,
            "{} of {} MB of the GPU's memory are taken: models that nobody uses are unloaded",
            megabytes(usage.counted()),
            megabytes(budget),
        );
    }

    fn read(&mut self) -> Reading {
        let rss = self.process.memory_info().map(|memory| memory.rss());
        let cpu = self.process.cpu_percent().unwrap_or_default();
        let mut reading = lock(&self.reading);
        // What can't be read, for want of a descriptor, is as it was.
        reading.rss_bytes = rss.unwrap_or(reading.rss_bytes);
        reading.cpu_percent = cpu;
        reading.clone()
    }

    /// What changes with the level itself. A cache that ran into the hard level
    /// gets half of it next time, or it would fill and be emptied for ever.
    fn enter(&mut self, was: Level, level: Level) {
        if was < Level::Hard && level >= Level::Hard {
            self.clip_cache /= 2;
        }
        self.watched.viewers.refuse(level == Level::Over);
        let level = level.name();
        for session in self.watched.sessions.all() {
            session.stats.events.post(Event::Memory { level });
        }
    }

    /// Lets caches have what the level leaves them.
    fn allow(&mut self, now: Instant, level: Level) {
        self.empty_until = self.empty_until.filter(|until| now < *until);
        let caches = Caches::of(&self.watched.sessions);
        match level {
            _ if self.empty_until.is_some() => caches.close(),
            Level::Normal => {
                let reading = lock(&self.reading);
                let light = Level::Light.begins_at(reading.budget_bytes);
                let left = light.saturating_sub(reading.rss_bytes);
                caches.allow(self.clip_cache, usize::try_from(left).unwrap_or(usize::MAX));
            }
            Level::Light => caches.freeze(),
            Level::Hard | Level::Over => caches.close(),
        }
    }

    /// What is done when everything that could be given up was, and it is not
    /// enough: one second after the other a session that nobody watches is
    /// closed, and at last the process ends.
    fn over(&mut self, now: Instant, entered: bool) {
        let reading = lock(&self.reading).clone();
        let over = reading.rss_bytes > reading.budget_bytes;
        if over
            && !entered
            && let Some(id) = self.watched.sessions.close_newest_unwatched()
        {
            tracing::warn!(
                "the session {id} is closed: memory is over its budget, and nobody watches it"
            );
            native::trim_allocator();
        }
        if self.patience.is_out(now, over) {
            tracing::error!(
                "{} MB are resident, and memory.budget_mb allows {}: the process has been over its budget for {} s, and ends",
                megabytes(reading.rss_bytes),
                megabytes(reading.budget_bytes),
                self.patience.limit.as_secs()
            );
            (self.watched.give_up)();
        }
    }

    fn held(&self) -> Held {
        let sessions = self.watched.sessions.all();
        let sum = |bytes: fn(&crate::run::session::Session) -> usize| {
            sessions.iter().map(|s| bytes(s) as u64).sum::<u64>()
        };
        let viewers: usize = sessions
            .iter()
            .map(|s| self.watched.viewers.count(&s.id))
            .sum();
        let caches = Caches::of(&self.watched.sessions);
        let owners = BTreeMap::from([
            ("frames", sum(|session| session.pool_bytes())),
            ("clips", caches.clips()),
            ("models", self.watched.library.bytes() as u64),
            ("queues", sum(|session| session.queue_bytes())),
            ("viewers", viewers as u64 * VIEWER_BYTES),
            ("recordings", self.watched.recordings.held_bytes()),
        ]);
        Held {
            owners,
            clip_cache_bytes: caches.kept(),
        }
    }

    /// Frames a second, and the line of the log.
    fn count(&mut self, passed: Duration, line: bool) {
        let rss_mb = lock(&self.reading).rss_bytes >> 20;
        let sessions = self.watched.sessions.all();
        self.drawn
            .retain(|id, _| sessions.iter().any(|session| session.id == *id));
        for session in sessions {
            let stats = &session.stats;
            let drawn = stats.drawn.get();
            let last = self
                .drawn
                .insert(session.id.clone(), drawn)
                .unwrap_or(drawn);
            // Another session may have the name now.
            let fps = drawn.saturating_sub(last) as f64 / passed.as_secs_f64();
            stats.fps.set(fps);
            if line {
                let frame = stats.frame.recent();
                tracing::info!(
                    session = session.id,
                    fps = format!("{fps:.1}"),
                    frame_mean_ms = format!("{:.1}", frame.mean.as_secs_f64() * 1e3),
                    frame_max_ms = format!("{:.1}", frame.max.as_secs_f64() * 1e3),
                    rss_mb,
                    ring = stats.ring_depth.get(),
                    viewers = self.watched.viewers.count(&session.id),
                    "streaming"
                );
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
