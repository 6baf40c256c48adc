//! Looks at everything once a second, from outside, and writes it down.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::fit::median;
use super::http::Http;
use super::proc::{Taken, Ticks, Watched};
use super::record::{self, Event, Files, Frames, Level, Phase, Resources};
use super::viewer::Meter;

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(1);
/// How long the thread that only sleeps does so at a time.
const NAP: Duration = Duration::from_millis(10);
/// Looks of which the median is a level.
const LOOKS: usize = 3;
/// Megabytes within which these lie when all is quiet.
const QUIET_MB: f64 = 0.5;
/// Looks after which it is never going to be quiet, and the last count.
const PATIENCE: usize = 20;

/// What is watched, and the files that it goes into.
pub struct Sampler {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    began: Instant,
    state: Mutex<State>,
    /// How late the napping thread woke at most, in microseconds.
    stall_us: AtomicU64,
}

struct State {
    files: Files,
    /// What the disk said last, if it doesn't take what is written.
    broken: Option<record::Error>,
    watched: Vec<(String, u32, Watched, VecDeque<Taken>)>,
    phase: String,
    last: Frames,
    ticks: Ticks,
}

impl Sampler {
    /// Begins to look at the stream of `http`, as `meter` has it at the viewers.
    pub fn start(files: Files, began: Instant, http: Http, meter: Arc<Meter>) -> Self {
        let shared = Arc::new(Shared {
            began,
            state: Mutex::new(State {
                files,
                broken: None,
                watched: Vec::new(),
                phase: "start".into(),
                last: Frames::default(),
                ticks: Ticks::now(),
            }),
            stall_us: AtomicU64::new(0),
        });
        let napping = Arc::downgrade(&shared);
        // Without it, what the machine did to us looks like our own doing.
        std::thread::spawn(move || {
            while let Some(shared) = napping.upgrade() {
                let asleep = Instant::now();
                std::thread::sleep(NAP);
                let late = asleep.elapsed().saturating_sub(NAP).as_micros() as u64;
                shared.stall_us.fetch_max(late, Relaxed);
            }
        });
        let looking = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut tick = interval(EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let status = http.get("/v1/status").await.map(|reply| reply.json());
                looking.look(&status.unwrap_or_default(), &meter);
            }
        });
        Self { shared, task }
    }

    /// Seconds since the run began.
    pub fn elapsed(&self) -> f64 {
        self.shared.began.elapsed().as_secs_f64()
    }

    /// Watches the process `pid` too, until it ends.
    pub fn watch(&self, name: &str, pid: u32) {
        // One that has ended already has nothing to be watched.
        if let Ok(watched) = Watched::new(pid) {
            let entry = (name.to_owned(), pid, watched, VecDeque::new());
            self.shared.lock().watched.push(entry);
        }
    }

    /// Names what runs from now on.
    pub fn set_phase(&self, phase: &str) {
        phase.clone_into(&mut self.shared.lock().phase);
    }

    /// Notes that something was done.
    pub fn event(&self, event: &str) {
        let event = Event {
            elapsed_seconds: self.elapsed(),
            event: event.to_owned(),
        };
        let mut state = self.shared.lock();
        let written = state.files.event(&event);
        state.note(written);
    }

    /// Writes how a phase went.
    pub fn write(&self, phase: &Phase) {
        let mut state = self.shared.lock();
        let written = state.files.phase(phase);
        state.note(written);
    }

    /// The stream at the last look.
    pub fn frames(&self) -> Frames {
        self.shared.lock().last.clone()
    }

    /// Resident megabytes of the process `pid` at the last look.
    pub fn rss_mb(&self, pid: u32) -> Option<f64> {
        let state = self.shared.lock();
        let watched = state.watched.iter().find(|w| w.1 == pid)?;
        Some(watched.3.back()?.rss_mb)
    }

    /// Processor seconds of the process `pid` so far.
    pub fn cpu_seconds(&self, pid: u32) -> Option<f64> {
        let state = self.shared.lock();
        let watched = state.watched.iter().find(|w| w.1 == pid)?;
        watched.2.cpu_seconds()
    }

    /// Waits until the process `pid` takes the same for some seconds, and has no
    /// more threads than `before`: helpers of the runtime's end ten seconds after
    /// their work. Says what it takes then; nothing, when it isn't there.
    pub async fn level(&self, pid: u32, before: Option<Level>) -> Option<Level> {
        self.shared.lock().looks(pid)?.clear();
        for look in 0.. {
            sleep(EVERY).await;
            let mut state = self.shared.lock();
            let looks = state.looks(pid)?;
            let rss = || looks.iter().map(|look| look.rss_mb);
            let spread =
                rss().fold(f64::NEG_INFINITY, f64::max) - rss().fold(f64::INFINITY, f64::min);
            let threads = before.map_or(f64::INFINITY, |before| before.threads);
            let helpers = looks.iter().any(|look| look.threads as f64 > threads);
            let quiet = spread < QUIET_MB && !helpers;
            if looks.len() == LOOKS && (quiet || look >= PATIENCE) {
                let of = |value: fn(&Taken) -> f64| {
                    let mut values: Vec<f64> = looks.iter().map(value).collect();
                    median(&mut values)
                };
                return Some(Level {
                    rss_mb: of(|look| look.rss_mb)?,
                    private_mb: of(|look| look.private_mb)?,
                    descriptors: of(|look| look.descriptors as f64)?,
                    threads: of(|look| look.threads as f64)?,
                });
            }
        }
        None
    }

    /// What the disk didn't take, if anything.
    pub fn broken(&self) -> Option<record::Error> {
        self.shared.lock().broken.take()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, status: &Value, meter: &Meter) {
        let timestamp = now();
        let elapsed_seconds = self.began.elapsed().as_secs_f64();
        let elapsed_seconds = (elapsed_seconds * 1e3).round() / 1e3;
        let stall_ms = Meter::take_ms(&self.stall_us);
        let mut state = self.lock();
        let state = &mut *state;
        let (mut written, mut ours) = (Ok(()), 0.0);
        state.watched.retain_mut(|(name, pid, watched, looks)| {
            let Some(taken) = watched.look() else {
                return false;
            };
            if looks.len() == LOOKS {
                looks.pop_front();
            }
            looks.push_back(taken);
            ours += taken.cpu_percent;
            let row = Resources {
                timestamp,
                elapsed_seconds,
                process_name: name.clone(),
                pid: *pid,
                cpu_percent: rounded(taken.cpu_percent),
                memory_rss_mb: rounded(taken.rss_mb),
                memory_percent: rounded(taken.memory_percent),
                private_mb: rounded(taken.private_mb),
                threads: taken.threads,
                descriptors: taken.descriptors,
            };
            let row = state.files.resources(&row);
            written = std::mem::replace(&mut written, Ok(())).and(row);
            true
        });
        let cores = std::thread::available_parallelism().map_or(1.0, |n| usize::from(n) as f64);
        let ticks = Ticks::now();
        let (idle, steal) = ticks.since(&std::mem::replace(&mut state.ticks, ticks));
        let live = live(status);
        let frame = &live["stages_ms"]["frame"];
        state.last = Frames {
            timestamp,
            elapsed_seconds,
            phase: state.phase.clone(),
            frames: live["frames"].as_u64(),
            drawn_frames: live["drawn_frames"].as_u64(),
            late_frames: live["late_frames"].as_u64(),
            frame_p50_ms: frame["p50"].as_f64(),
            frame_p95_ms: frame["p95"].as_f64(),
            frame_max_ms: frame["max"].as_f64(),
            viewers: live["viewers"].as_u64(),
            watching: meter.watching.load(Relaxed),
            viewer_frames: meter.frames.load(Relaxed),
            worst_gap_ms: Meter::take_ms(&meter.gap_us),
            packets: meter.packets.load(Relaxed),
            lost_packets: meter.lost.load(Relaxed),
            idle_percent: rounded(idle),
            steal_percent: rounded(steal),
            others_percent: rounded((100.0 - idle - steal - ours / cores).max(0.0)),
            stall_ms,
        };
        let row = state.files.frames(&state.last);
        state.note(written.and(row));
    }
}

impl State {
    fn looks(&mut self, pid: u32) -> Option<&mut VecDeque<Taken>> {
        let mut watched = self.watched.iter_mut();
        Some(&mut watched.find(|w| w.1 == pid)?.3)
    }

    fn note(&mut self, written: Result<(), record::Error>) {
        if let Err(error) = written {
            self.broken.get_or_insert(error);
        }
    }
}

/// The session `live` of a server's status.
fn live(status: &Value) -> &Value {
    let sessions = status["sessions"].as_array();
    let live = sessions.and_then(|all| all.iter().find(|s| s["id"] == "live"));
    live.unwrap_or(&Value::Null)
}

/// Seconds since 1970, to the millisecond.
pub fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    (since.unwrap_or_default().as_millis() as f64) / 1e3
}

/// To the hundredth, which is more than is known.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
