//! The microphone: a device that is opened, listened to, and opened again
//! whenever it is lost.
//!
//! ```text
//! callback ──samples──▶ tap ──▶ capture thread: door ──chunks──▶ ring
//! ```
//!
//! The capture thread never calls a driver. A helper opens the device, keeps
//! it and drops it; one that hangs in a dead driver is left behind, and no
//! more than [`MOST_HELPERS`] are.

use std::any::Any;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Config;
use super::device::{self, Cpal, Opens};
use super::door::Door;
use super::inlet::Inlet;
use super::tap::Feed;
use crate::events::Event;
use crate::stats::Stats;

pub use super::device::{Device, Error, available, list};

/// Without a callback for this long, the device is lost.
const LOST: Duration = Duration::from_secs(1);
/// The first wait before a lost device is opened again; each is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait. A server of sound that starts anew may take another second
/// to its first sample, and talk is to resume within two. A try costs 2 ms.
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// The wait after a device that is none: each try costs a burst of nothing.
const UNPACED_WAIT: Duration = Duration::from_secs(10);
/// How long opening may take before another try.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the capture thread sleeps when nothing wakes it.
const NAP: Duration = Duration::from_millis(100);
/// Helpers at the same time: one that holds the device, one that drops the last
/// one, and two that hang.
const MOST_HELPERS: usize = 4;

/// Live sound from a device. Dropping it ends the stream within 100 ms.
pub struct Microphone {
    alive: Option<Arc<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Microphone {
    /// Listens to the device that `config` names, from now on or from when it
    /// is there. What the callback lost is counted in `stats`.
    pub fn start(config: &Config, inlet: Arc<Inlet>, stats: Arc<Stats>) -> Result<Self, Error> {
        Self::listen_to(Cpal::new(&config.device), inlet, stats)
    }

    /// Like [`Microphone::start`], with any device.
    pub fn listen_to(
        device: impl Opens,
        inlet: Arc<Inlet>,
        stats: Arc<Stats>,
    ) -> Result<Self, Error> {
        let alive = Arc::new(());
        let watched = Arc::downgrade(&alive);
        let thread = thread::Builder::new()
            .name("capture".into())
            .spawn(move || {
                let helpers = Helpers::new(device, thread::current());
                run(Capture::new(helpers, inlet, stats), &watched);
            })
            .map_err(Error::Thread)?;
        Ok(Self {
            alive: Some(alive),
            thread: Some(thread),
        })
    }
}

impl Drop for Microphone {
    fn drop(&mut self) {
        self.alive = None;
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It panicked or it ended; either way it is over.
            let _over = thread.join();
        }
    }
}

fn run(mut capture: Capture<impl Opening>, alive: &Weak<()>) {
    while alive.strong_count() > 0 {
        if let Some(change) = capture.step(Instant::now()) {
            let (heard, detail) = match change {
                Change::Lost(reason) => {
                    tracing::warn!("no microphone, but it is looked for: {reason}");
                    (false, reason.into())
                }
                Change::Heard(name) => {
                    tracing::info!("the microphone is {name}");
                    (true, name.into())
                }
            };
            capture.stats.events.post(Event::Device { heard, detail });
        }
        thread::park_timeout(capture.patience(Instant::now()));
    }
}

/// Opens a device elsewhere, so that a driver that hangs holds up nobody.
trait Opening {
    /// Begins to open the device.
    fn begin(&mut self);
    /// How that went, once it is known.
    fn answer(&mut self) -> Option<Result<Feed, Error>>;
    /// Drops the device, or the try to open it.
    fn close(&mut self);
}

/// What is worth a line in the log.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    /// The device isn't there any more, or yet, and why.
    Lost(String),
    /// The device of this name is heard.
    Heard(String),
}

enum State {
    /// Until then nothing is tried.
    Waiting(Instant),
    /// Since then it is being opened.
    Opening(Instant),
    Open {
        feed: Feed,
        door: Box<Door>,
        since: Instant,
        /// Frames that had come so far, and until when more have to.
        frames: u64,
        until: Instant,
    },
}

/// The capture thread without its clock.
struct Capture<O> {
    device: O,
    inlet: Arc<Inlet>,
    stats: Arc<Stats>,
    state: Option<State>,
    wait: Duration,
    /// What was said last: whether the device is heard.
    heard: Option<bool>,
}

impl<O: Opening> Capture<O> {
    fn new(device: O, inlet: Arc<Inlet>, stats: Arc<Stats>) -> Self {
        Self {
            device,
            inlet,
            stats,
            state: None,
            wait: FIRST_WAIT,
            heard: None,
        }
    }

    /// How long there is nothing to do unless somebody wakes us.
    fn patience(&self, now: Instant) -> Duration {
        match self.state {
            Some(State::Waiting(until)) => until.saturating_duration_since(now).min(NAP),
            _ => NAP,
        }
    }

    /// Does what there is to do at `now`.
    fn step(&mut self, now: Instant) -> Option<Change> {
        match &mut self.state {
            None => self.open(now),
            Some(State::Waiting(until)) if now >= *until => self.open(now),
            Some(State::Waiting(_)) => {}
            Some(State::Opening(since)) => {
                let since = *since;
                match self.device.answer() {
                    Some(Ok(feed)) => match Door::new(feed.rate, feed.channels) {
                        Ok(door) => {
                            self.state = Some(State::Open {
                                feed,
                                door: Box::new(door),
                                since: now,
                                frames: 0,
                                until: now + device::FIRST_SOUND,
                            });
                        }
                        Err(error) => return self.lose(now, &error.into()),
                    },
                    Some(Err(error)) => return self.lose(now, &error),
                    None if now - since >= PATIENCE => return self.lose(now, &Error::NoAnswer),
                    None => {}
                }
            }
            Some(State::Open { .. }) => return self.listen(now),
        }
        None
    }

    fn open(&mut self, now: Instant) {
        self.device.begin();
        self.state = Some(State::Opening(now));
    }

    fn listen(&mut self, now: Instant) -> Option<Change> {
        let Some(State::Open {
            feed,
            door,
            since,
            frames,
            until,
        }) = &mut self.state
        else {
            return None;
        };
        let inlet = &self.inlet;
        feed.drain(|samples| door.push(samples, Some(now), |chunk| inlet.hear(chunk)));
        self.stats.late_chunks.add(feed.take_lost_chunks());
        let fresh = feed.frames() > *frames;
        if fresh {
            (*frames, *until) = (feed.frames(), now + LOST);
        }
        if device::unpaced(feed, now - *since) {
            let error = Error::Unpaced(feed.name.clone());
            return self.lose(now, &error);
        }
        if feed.failed() || now >= *until {
            let error = Error::Silent(feed.name.clone());
            return self.lose(now, &error);
        }
        if !fresh || now - *since < device::LISTEN {
            return None;
        }
        self.wait = FIRST_WAIT;
        if self.heard.replace(true) == Some(true) {
            return None;
        }
        let (name, rate, channels) = (&feed.name, feed.rate, feed.channels);
        Some(Change::Heard(format!("{name}, {rate} Hz × {channels}")))
    }

    /// Gives the device up until the next try, and says so the first time.
    fn lose(&mut self, now: Instant, error: &Error) -> Option<Change> {
        self.device.close();
        let wait = match error {
            Error::Unpaced(_) => UNPACED_WAIT,
            _ => self.wait,
        };
        self.state = Some(State::Waiting(now + wait));
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        (self.heard.replace(false) != Some(false)).then(|| Change::Lost(reason(error)))
    }
}

/// An error and what caused it, in one line.
fn reason(error: &Error) -> String {
    let mut line = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    line
}

/// Threads that open a device, keep it, and drop it.
struct Helpers<D> {
    device: Arc<D>,
    ear: Thread,
    /// Held by each of them as long as it runs.
    running: Arc<()>,
    opened: Option<Receiver<Result<Feed, Error>>>,
    /// Dropping it tells the helper to drop the device.
    keep: Option<Sender<()>>,
}

impl<D: Opens> Helpers<D> {
    fn new(device: D, ear: Thread) -> Self {
        Self {
            device: Arc::new(device),
            ear,
            running: Arc::new(()),
            opened: None,
            keep: None,
        }
    }
}

impl<D: Opens> Opening for Helpers<D> {
    fn begin(&mut self) {
        self.close();
        if Arc::strong_count(&self.running) > MOST_HELPERS {
            return; // They all hang; that is found out as for any other.
        }
        let (answer, opened) = bounded(1);
        let (keep, until) = bounded::<()>(0);
        let (device, ear, running) = (
            Arc::clone(&self.device),
            self.ear.clone(),
            Arc::clone(&self.running),
        );
        let helper = thread::Builder::new().name("device".into());
        let spawned = helper.spawn(move || {
            let _running = running;
            device::quiet();
            let stream: Option<Box<dyn Any>> = match device.open(&ear) {
                Ok((feed, stream)) => answer.send(Ok(feed)).is_ok().then_some(stream),
                Err(error) => {
                    let _nobody = answer.send(Err(error));
                    None
                }
            };
            ear.unpark();
            if let Some(stream) = stream {
                // An error says that the other end was dropped: the time has come.
                let _closed = until.recv();
                drop(stream);
            }
        });
        match spawned {
            Ok(_) => (self.opened, self.keep) = (Some(opened), Some(keep)),
            Err(error) => {
                let (answer, opened) = bounded(1);
                let _fits = answer.send(Err(Error::Thread(error)));
                self.opened = Some(opened);
            }
        }
    }

    fn answer(&mut self) -> Option<Result<Feed, Error>> {
        let answer = self.opened.as_ref()?.try_recv().ok()?;
        self.opened = None;
        Some(answer)
    }

    fn close(&mut self) {
        self.opened = None;
        self.keep = None;
    }
}

#[cfg(test)]
mod tests;
