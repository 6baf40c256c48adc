//! Holds the memory budget: reads resident memory once a second, and has caches
//! emptied and models unloaded when it runs out.
//!
//! What streams goes on streaming: everything that is given back here is a
//! convenience. The watchdog also turns the counters into one line of the log
//! every ten seconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use psutil::process::Process;
use serde::Serialize;

use crate::events::Event;
use crate::memory::{Config, Level};
use crate::native;
use crate::run::library::{LETTING_GO, Library};
use crate::run::sessions::Sessions;
use crate::stage::send::Viewers;

/// From one reading to the next.
const PERIOD: Duration = Duration::from_secs(1);
/// Readings between two lines of the log.
const LINE: u64 = 10;
/// Bytes given back that are worth a line of the log.
const WORTH_A_LINE: u64 = 1 << 20;
/// A model that no mouth was drawn with for so long is idle when memory is short.
const IDLE: Duration = Duration::from_secs(1);

/// What the watchdog watches over.
pub struct Watched {
    /// The sessions, with their clips' caches.
    pub sessions: Arc<Sessions>,
    /// The models.
    pub library: Arc<Library>,
    /// The viewers, who are refused over budget.
    pub viewers: Viewers,
    /// A model that nobody wanted for so long is unloaded even with memory to spare.
    pub idle_unload: Duration,
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
    /// Times that each level's actions ran.
    pub reclaims: [u64; Level::ALL.len()],
    /// Bytes of resident memory that they gave back.
    pub reclaimed_bytes: u64,
    /// What was done last.
    pub last: Option<Reclaim>,
}

/// What was given up to stay within the budget, and what came back.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Reclaim {
    /// The level whose actions ran.
    pub level: Level,
    /// Bytes of decoded pictures that were forgotten.
    pub clip_cache_bytes: usize,
    /// Bytes of the model that was unloaded.
    pub model_bytes: usize,
    /// By how many bytes resident memory shrank, with what the allocator kept.
    pub returned_bytes: u64,
}

/// The thread that watches. Dropping it ends the watch.
pub struct Watchdog {
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
            watched,
            clip_cache: config.clip_cache(),
            reading: Arc::clone(&reading),
            drawn: HashMap::new(),
        };
        let rss = watch.read().rss_bytes;
        if rss > config.budget() {
            tracing::warn!(
                "memory.budget_mb is {}, but the process takes {} MB before anybody watches: no viewer will be taken. Set it to {} or more",
                config.budget_mb,
                rss >> 20,
                (rss >> 20) * 2
            );
        }
        let thread = std::thread::Builder::new()
            .name("watchdog".into())
            .spawn(move || {
                let mut turn = 0;
                let mut last = Instant::now();
                while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                    turn += 1;
                    let now = Instant::now();
                    watch.turn(now, now - last, turn % LINE == 0);
                    last = now;
                }
            })?;
        Ok(Self {
            reading,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What was read last.
    pub fn reading(&self) -> Reading {
        let reading = self.reading.lock();
        reading.unwrap_or_else(PoisonError::into_inner).clone()
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
    clip_cache: usize,
    reading: Arc<Mutex<Reading>>,
    /// Frames that each session had drawn at the last reading.
    drawn: HashMap<String, u64>,
}

impl Watch {
    fn turn(&mut self, now: Instant, passed: Duration, line: bool) {
        let was = self.lock().level;
        let reading = self.read();
        let level = was.next(reading.rss_bytes, reading.budget_bytes);
        if level != was {
            tracing::info!(
                rss_mb = reading.rss_bytes >> 20,
                budget_mb = reading.budget_bytes >> 20,
                "memory is {}, was {}",
                level.name(),
                was.name()
            );
            self.lock().level = level;
            for session in self.watched.sessions.all() {
                let level = level.name();
                session.stats.events.post(Event::Memory { level });
            }
        }
        if level > was || (level > Level::Normal && line) {
            self.reclaim(level, level > was, now);
        } else if self.unload(now, self.watched.idle_unload) > 0 {
            native::trim_allocator();
            tracing::info!("a model is unloaded: no mouth was drawn with it for a while");
        }
        if level != was {
            self.allow(was, level);
        }
        self.watched.sessions.close_idle(now);
        self.count(passed, line);
    }

    fn read(&mut self) -> Reading {
        let rss = self.process.memory_info().map(|memory| memory.rss());
        let cpu = self.process.cpu_percent().unwrap_or_default();
        let mut reading = self.lock();
        // What can't be read, for want of a descriptor, is as it was.
        reading.rss_bytes = rss.unwrap_or(reading.rss_bytes);
        reading.cpu_percent = cpu;
        reading.clone()
    }

    /// Lets caches and viewers have what the level leaves them. A cache that ran
    /// into the hard level gets half of it next time, or it would fill and be
    /// emptied for ever.
    fn allow(&mut self, was: Level, level: Level) {
        if was < Level::Hard && level >= Level::Hard {
            self.clip_cache /= 2;
        }
        let avatars = self.watched.sessions.avatars();
        match level {
            Level::Normal => avatars.set_clip_cache(self.clip_cache),
            Level::Light => avatars.freeze_clip_cache(),
            Level::Hard | Level::Over => avatars.set_clip_cache(0),
        }
        self.watched.viewers.refuse(level == Level::Over);
    }

    /// Does what the level asks for and notes what came back.
    fn reclaim(&mut self, level: Level, entered: bool, now: Instant) {
        let before = self.read().rss_bytes;
        let (mut clip_cache_bytes, mut model_bytes) = (0, 0);
        if level >= Level::Hard {
            clip_cache_bytes = self.watched.sessions.avatars().clear_clip_cache();
            model_bytes = self.unload(now, IDLE);
        }
        native::trim_allocator();
        let after = self.read().rss_bytes;
        let done = Reclaim {
            level,
            clip_cache_bytes,
            model_bytes,
            returned_bytes: before.saturating_sub(after),
        };
        let mut reading = self.lock();
        reading.reclaims[level as usize] += 1;
        reading.reclaimed_bytes += done.returned_bytes;
        reading.last = Some(done);
        drop(reading);
        // What is repeated at a level that lasts is worth a line only if it helped.
        if !entered && done.returned_bytes < WORTH_A_LINE {
            return;
        }
        tracing::info!(
            level = level.name(),
            clip_cache_kb = clip_cache_bytes >> 10,
            model_kb = model_bytes >> 10,
            returned_kb = done.returned_bytes >> 10,
            rss_mb = after >> 20,
            "memory reclaimed"
        );
    }

    /// Unloads the models that nobody wanted for `idle`, and waits until they are
    /// gone. Returns their bytes.
    fn unload(&self, now: Instant, idle: Duration) -> usize {
        let library = &self.watched.library;
        let bytes = library.bytes();
        if !library.unload_idle(now, idle) {
            return 0;
        }
        let left = library.bytes();
        std::thread::sleep(LETTING_GO);
        bytes.saturating_sub(left)
    }

    /// Frames a second, and the line of the log.
    fn count(&mut self, passed: Duration, line: bool) {
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
                    rss_mb = self.lock().rss_bytes >> 20,
                    ring = stats.ring_depth.get(),
                    viewers = self.watched.viewers.count(&session.id),
                    "streaming"
                );
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
