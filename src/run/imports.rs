//! What is uploaded, made avatars and models of: jobs, one at a time.
//!
//! Each runs in a process of its own, which stands back for the streams here: a
//! file that brings its decoder down fails a job, and nothing else. What was
//! uploaded lies in a folder aside until its job is over, and vanishes with it.

mod child; // one import's process
mod error; // why there is none
mod head; // what a file is, by its first bytes
mod job; // how one is
mod place; // where an upload lies
mod told; // what an import says

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::avatar::is_id;
use crate::bounds::{OutOfBounds, within};
use crate::events::Event;
use crate::run::aside::{self, Aside};
pub use error::Error;
pub use head::Error as HeadError;
pub use job::{Job, Kind, State, Wanted};
pub use place::{FILE, Place, SECOND};
pub use told::Teller;

/// Jobs that run, wait or are being uploaded at a time: each may keep a file of
/// `imports.max_upload_mb` on the disk.
const MOST: usize = 8;
/// Jobs that are over and can still be asked for.
const REMEMBERED: usize = 32;
/// Longest wait at the end for uploads that were cut to be cleared away.
const CLEARED: Duration = Duration::from_secs(1);
/// What is said of a job that was stopped.
const STOPPED: &str = "it was stopped; nothing was imported";

/// Section `[imports]`: avatars and models that are uploaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Size of one upload, in megabytes, that is accepted.
    pub max_upload_mb: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_upload_mb: 2048,
        }
    }
}

impl Config {
    /// Refuses an upload that is too small for a photo or larger than a disk.
    ///
    /// # Errors
    ///
    /// A sentence that names the key and its bounds.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        within("imports.max_upload_mb", self.max_upload_mb, 1..=1 << 20)
    }
}

/// The programs that import, each with the arguments before all others.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Makes avatars: `mouthpiece-import`.
    pub avatar: (PathBuf, Vec<OsString>),
    /// Makes models: `mouthpiece model import`.
    pub model: (PathBuf, Vec<OsString>),
}

/// The imports of the process.
pub struct Imports {
    assets: PathBuf,
    programs: Programs,
    /// Tells whoever listens how it goes.
    tell: Box<dyn Fn(Event) + Send + Sync>,
    /// Those that run or wait, and the last ones that are over, the oldest first.
    tasks: Mutex<VecDeque<Arc<Task>>>,
    /// Wakes the thread that imports. None when the server ends.
    wake: Mutex<Option<Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    places: Arc<Semaphore>,
}

/// A job and what it needs.
struct Task {
    job: Mutex<Job>,
    wanted: Wanted,
    /// The uploaded file, and the second one where there are two.
    files: Vec<PathBuf>,
    /// Where they lie, until the job is over.
    place: Mutex<Option<Place>>,
    stopped: AtomicBool,
}

impl Imports {
    /// Imports into `assets`, and tells `tell` how it goes. What a process that was
    /// killed left there is cleared away.
    ///
    /// # Errors
    ///
    /// When its thread can't be started.
    pub fn start(
        assets: &Path,
        programs: Programs,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> io::Result<Arc<Self>> {
        aside::sweep(assets);
        let (wake, woken) = bounded(1);
        let imports = Arc::new(Self {
            assets: assets.to_owned(),
            programs,
            tell: Box::new(tell),
            tasks: Mutex::default(),
            wake: Mutex::new(Some(wake)),
            thread: Mutex::default(),
            places: Arc::new(Semaphore::new(MOST)),
        });
        let importing = Arc::clone(&imports);
        let thread = thread::Builder::new().name("imports".into());
        let thread = thread.spawn(move || importing.run(&woken))?;
        *lock(&imports.thread) = Some(thread);
        Ok(imports)
    }

    /// A place for an upload, which is to become a job by [`Imports::begin`].
    ///
    /// # Errors
    ///
    /// When there is none, or nothing can be written.
    pub fn place(&self) -> Result<Place, Error> {
        if lock(&self.wake).is_none() {
            return Err(Error::Ending);
        }
        let held = Arc::clone(&self.places).try_acquire_owned();
        let held = held.map_err(|_| Error::Full)?;
        let folder = Aside::create(&self.assets).map_err(Error::of_disk)?;
        Ok(Place::new(folder, held))
    }

    /// Refuses an id that is none, or taken, before its file is read.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check_id(&self, kind: Kind, id: &str) -> Result<(), Error> {
        self.check_among(&lock(&self.tasks), kind, id)
    }

    fn check_among(&self, tasks: &VecDeque<Arc<Task>>, kind: Kind, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        if !is_id(&id) {
            return Err(Error::Id { kind, id });
        }
        let coming = |task: &Arc<Task>| {
            let wanted = &task.wanted;
            (wanted.kind, &wanted.id) == (kind, &id) && task.runs()
        };
        if tasks.iter().any(coming) {
            return Err(Error::Coming { kind, id });
        }
        if self.assets.join(kind.folder()).join(&id).exists() {
            return Err(Error::Taken { kind, id });
        }
        Ok(())
    }

    /// Begins a job with what lies in `place`: its file, and `second` where a second
    /// one came with it. Looks into the files: not for a thread that must not wait.
    ///
    /// # Errors
    ///
    /// When it can't be imported. Then nothing is kept.
    pub fn begin(&self, place: Place, wanted: Wanted, second: bool) -> Result<Job, Error> {
        let parts = if second { &[FILE, SECOND][..] } else { &[FILE] };
        match wanted.kind {
            Kind::Avatar => head::check_picture(&place.upload(FILE))?,
            Kind::Model => {
                for part in parts {
                    head::check_network(&place.upload(part), part)?;
                }
            }
        }
        let mut tasks = lock(&self.tasks);
        self.check_among(&tasks, wanted.kind, &wanted.id)?;
        // Programs name files in what they say: as their senders would.
        let mut files = Vec::new();
        for part in parts {
            let named = match *part {
                SECOND => format!("{}-{SECOND}", wanted.id),
                _ => wanted.id.clone(),
            };
            let named = place.folder().join(named);
            fs::rename(place.upload(part), &named).map_err(Error::of_disk)?;
            files.push(named);
        }
        let id = format!("j{:012x}", rand::random::<u64>() >> 16);
        let job = Job::new(id, &wanted);
        let task = Arc::new(Task {
            job: Mutex::new(job.clone()),
            wanted,
            files,
            place: Mutex::new(Some(place)),
            stopped: AtomicBool::new(false),
        });
        let wake = lock(&self.wake).clone().ok_or(Error::Ending)?;
        (self.tell)(Event::Job(Box::new(job.news())));
        while tasks.len() >= MOST + REMEMBERED {
            let over = tasks.iter().position(|task| !task.runs());
            tasks.remove(over.unwrap_or(0));
        }
        tasks.push_back(task);
        drop(tasks);
        // It may be about to look already, or have ended.
        let _woken_already = wake.try_send(());
        Ok(job)
    }

    /// The jobs that are known, the oldest first.
    pub fn jobs(&self) -> Vec<Job> {
        let tasks = lock(&self.tasks);
        tasks.iter().map(|task| lock(&task.job).clone()).collect()
    }

    /// The job `id`.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn job(&self, id: &str) -> Result<Job, Error> {
        self.task(id).map(|task| lock(&task.job).clone())
    }

    /// Stops the job `id`; one that is over is forgotten.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn stop(&self, id: &str) -> Result<(), Error> {
        let task = self.task(id)?;
        if !task.runs() {
            lock(&self.tasks).retain(|other| !Arc::ptr_eq(other, &task));
            return Ok(());
        }
        task.stopped.store(true, Relaxed);
        // One whose turn hasn't come is over at once.
        let waits = lock(&task.place).take();
        if let Some(place) = waits {
            self.end_one(&task, place, Err(STOPPED.into()));
        }
        Ok(())
    }

    /// Stops all of them, and takes no more.
    pub fn stop_all(&self) {
        lock(&self.wake).take();
        for task in lock(&self.tasks).iter() {
            task.stopped.store(true, Relaxed);
        }
    }

    /// Stops all of them, and waits until nothing of them is left.
    pub fn end(&self) {
        self.stop_all();
        if let Some(thread) = lock(&self.thread).take() {
            // Whatever became of it, it is over.
            let _over = thread.join();
        }
        let begun = Instant::now();
        while self.places.available_permits() < MOST && begun.elapsed() < CLEARED {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn task(&self, id: &str) -> Result<Arc<Task>, Error> {
        let tasks = lock(&self.tasks);
        let found = tasks.iter().find(|task| lock(&task.job).id == id);
        found.cloned().ok_or_else(|| Error::Unknown(id.to_owned()))
    }

    /// Does one after the other, until nobody can begin another.
    fn run(&self, woken: &Receiver<()>) {
        for () in woken {
            while let Some((task, place)) = self.next() {
                let ended = self.import(&task, &place);
                self.end_one(&task, place, ended);
            }
        }
    }

    /// The oldest one that waits.
    fn next(&self) -> Option<(Arc<Task>, Place)> {
        let tasks = lock(&self.tasks);
        let waiting = |task: &Arc<Task>| Some((Arc::clone(task), lock(&task.place).take()?));
        tasks.iter().find_map(waiting)
    }

    fn import(&self, task: &Task, place: &Place) -> Result<(), String> {
        if task.stopped.load(Relaxed) {
            return Err(STOPPED.into());
        }
        let (program, arguments) = match task.wanted.kind {
            Kind::Avatar => &self.programs.avatar,
            Kind::Model => &self.programs.model,
        };
        let mut command = Command::new(program);
        command.args(arguments).args(["--idle", "--tell"]);
        command.args(task.wanted.arguments());
        command.arg(&task.files[0]);
        if let Some(second) = task.files.get(1) {
            command.arg("--audio").arg(second);
        }
        let begun = Instant::now();
        let ended = child::run(command, &task.stopped, |told| {
            let mut job = lock(&task.job);
            if job.hear(told, begun.elapsed()) {
                let news = job.news();
                drop(job);
                (self.tell)(Event::Job(Box::new(news)));
            }
        });
        ended.map_err(|said| for_its_sender(&said, place.folder()))
    }

    /// A job is over: its upload is cleared away before anybody is told.
    fn end_one(&self, task: &Task, place: Place, ended: Result<(), String>) {
        place.clear();
        let mut job = lock(&task.job);
        job.end(ended);
        match &job.error {
            None => tracing::info!(job = job.id, "{} was imported", job.makes),
            Some(error) => tracing::info!(job = job.id, "{} was not imported: {error}", job.makes),
        }
        let news = job.news();
        drop(job);
        (self.tell)(Event::Job(Box::new(news)));
    }
}

impl Task {
    fn runs(&self) -> bool {
        lock(&self.job).state == State::Running
    }
}

/// What a program said of a file at `place`, for somebody who sent it: without
/// places of this machine, and with fields of a form for options.
fn for_its_sender(said: &str, place: &Path) -> String {
    said.replace(&format!("{}/", place.display()), "")
        .replace(" --", " ")
}

/// Locks what no panic can leave half changed.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
