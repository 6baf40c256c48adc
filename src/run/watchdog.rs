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

use crate::memory::{Config, Level};
use crate::native;
use crate::run::library::Library;
use crate::run::sessions::Sessions;
use crate::stage::send::Viewers;

/// From one reading to the next.
const PERIOD: Duration = Duration::from_secs(1);
/// Readings between two lines of the log.
const LINE: u64 = 10;
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
            trim_next: false,
        };
        watch.read();
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
    /// A model was let go; its last user does so within a frame.
    trim_next: bool,
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
            self.allow(level);
        }
        if level > was || (level > Level::Normal && line) {
            self.reclaim(level, now);
        } else if std::mem::take(&mut self.trim_next) {
            native::trim_allocator();
        }
        if self
            .watched
            .library
            .unload_idle(now, self.watched.idle_unload)
        {
            tracing::info!("the model is unloaded: no mouth was drawn for a while");
            self.trim_next = true;
        }
        self.count(passed, line);
    }

    fn read(&mut self) -> Reading {
        let rss = self.process.memory_info().map_or(0, |memory| memory.rss());
        let cpu = self.process.cpu_percent().unwrap_or_default();
        let mut reading = self.lock();
        reading.rss_bytes = rss;
        reading.cpu_percent = cpu;
        reading.clone()
    }

    /// Lets caches and viewers have what the level leaves them.
    fn allow(&self, level: Level) {
        let cache = if level < Level::Hard {
            self.clip_cache
        } else {
            0
        };
        for session in self.watched.sessions.all() {
            session.set_clip_cache(cache);
        }
        self.watched.viewers.refuse(level == Level::Over);
    }

    /// Does what the level asks for and notes what came back.
    fn reclaim(&mut self, level: Level, now: Instant) {
        let before = self.read().rss_bytes;
        let mut freed = Vec::new();
        if level >= Level::Hard {
            let sessions = self.watched.sessions.all();
            let clips: usize = sessions.iter().map(|s| s.clear_clip_cache()).sum();
            freed.push(format!("clips {} KB", clips >> 10));
            if self.watched.library.unload_idle(now, IDLE) {
                freed.push("the model".into());
                self.trim_next = true;
            }
        }
        native::trim_allocator();
        let after = self.read().rss_bytes;
        let back = before.saturating_sub(after);
        let mut reading = self.lock();
        reading.reclaims[level as usize] += 1;
        reading.reclaimed_bytes += back;
        drop(reading);
        tracing::info!(
            level = level.name(),
            freed = freed.join(", "),
            back_kb = back >> 10,
            rss_mb = after >> 20,
            "memory reclaimed"
        );
    }

    /// Frames a second, and the line of the log.
    fn count(&mut self, passed: Duration, line: bool) {
        for session in self.watched.sessions.all() {
            let stats = &session.stats;
            let drawn = stats.drawn.get();
            let last = self
                .drawn
                .insert(session.id.clone(), drawn)
                .unwrap_or(drawn);
            let fps = (drawn - last) as f64 / passed.as_secs_f64();
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
