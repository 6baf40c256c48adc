//! A list of renders, each in a process of its own, whose memory ends with it.
//!
//! What was done is a line of `results.jsonl`, what failed is one of
//! `failed.jsonl` too. A list that is run again goes on: what is done is passed
//! over, and what was broken off is resumed.

mod child; // one render in its process
mod list; // lines -> jobs

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crossbeam_channel::unbounded;
use serde::{Deserialize, Serialize};

pub use self::child::Program;
pub(super) use self::child::last_words;
pub use self::list::{BadLine, Job, read};

/// The file of what was done, in the list's folder.
const RESULTS: &str = "results.jsonl";
/// The file of what failed the last time.
const FAILED: &str = "failed.jsonl";
/// Memory that a render takes as long as none was measured, in megabytes: the
/// bundled ones peak at 211 on two processors, with the usual cache for clips.
const USUAL_PEAK_MB: f64 = 220.0;

/// Why a list can't be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The list can't be read.
    #[error("cannot read the list {path}")]
    List {
        /// The list.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder can't be written to.
    #[error("cannot write {path}: choose another folder with --out")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The job's line in the list.
    pub line: usize,
    /// The job, or what could be read of it.
    #[serde(flatten)]
    pub job: Option<Job>,
    /// How it ended.
    pub status: Status,
    /// Seconds of video.
    pub seconds: Option<f64>,
    /// Seconds on the clock for each second of video made.
    pub real_time_factor: Option<f64>,
    /// The most memory that the render's process had, in megabytes.
    pub peak_mb: Option<f64>,
    /// What the list's own process has more of it after the job than before.
    pub delta_mb: Option<f64>,
    /// Why it failed.
    pub error: Option<String>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The video is whole.
    Done,
    /// There is none, or a part of it.
    Failed,
}

/// What happens while a list is run.
pub enum Event<'e> {
    /// A job was done before.
    Skipped(&'e Job),
    /// A job begins.
    Began(&'e Job),
    /// So much of a job's video is there, of so much.
    Reached(&'e Job, Duration, Duration),
    /// A job ended.
    Ended(&'e Outcome),
}

/// What became of a list.
#[derive(Debug, Default)]
pub struct Summary {
    /// Jobs that were rendered.
    pub done: usize,
    /// Jobs that had been before.
    pub skipped: usize,
    /// Jobs that failed.
    pub failed: Vec<Outcome>,
    /// Jobs that weren't begun, or were broken off.
    pub left: usize,
}

/// A list in its folder.
pub struct Jobs {
    folder: PathBuf,
    jobs: Vec<Job>,
    bad: Vec<BadLine>,
    before: BTreeMap<PathBuf, Outcome>,
}

impl Jobs {
    /// Reads the list at `path`, whose videos go to `folder`.
    ///
    /// # Errors
    ///
    /// When it can't be read, or the folder not be made.
    pub fn open(path: &Path, folder: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::List {
            path: path.to_owned(),
            source,
        })?;
        fs::create_dir_all(folder).map_err(|source| Error::Write {
            path: folder.to_owned(),
            source,
        })?;
        let (jobs, bad) = read(&text, folder);
        let results = fs::read_to_string(folder.join(RESULTS)).unwrap_or_default();
        // The last line of a job is the one that counts; half a line is none.
        let before = results
            .lines()
            .filter_map(|line| serde_json::from_str::<Outcome>(line).ok())
            .filter_map(|outcome| Some((outcome.job.as_ref()?.out.clone(), outcome)))
            .collect();
        Ok(Self {
            folder: folder.to_owned(),
            jobs,
            bad,
            before,
        })
    }

    /// Jobs in the list.
    pub fn len(&self) -> usize {
        self.jobs.len() + self.bad.len()
    }

    /// Whether the list has not one line.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Megabytes that a render takes: what the largest one took so far, or what is usual.
    pub fn peak_mb(&self) -> f64 {
        let measured = self.before.values().filter_map(|before| before.peak_mb);
        measured.reduce(f64::max).unwrap_or(USUAL_PEAK_MB)
    }

    /// Runs the list, `parallel` jobs at a time, until it ends or is `stopped`.
    ///
    /// # Errors
    ///
    /// When results can't be written.
    pub fn run(
        self,
        program: &Program,
        parallel: usize,
        stopped: &Arc<AtomicBool>,
        mut on: impl FnMut(Event<'_>),
    ) -> Result<Summary, Error> {
        let path = self.folder.join(RESULTS);
        let mut results = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|source| Error::Write {
                path: path.clone(),
                source,
            })?;
        let mut note = |outcome: &Outcome| {
            writeln!(results, "{}", line(outcome)).map_err(|source| Error::Write {
                path: path.clone(),
                source,
            })
        };
        let mut summary = Summary::default();
        for bad in &self.bad {
            let outcome = Outcome::failed(bad.line, None, bad.problem.clone());
            note(&outcome)?;
            on(Event::Ended(&outcome));
            summary.failed.push(outcome);
        }
        let mut waiting = VecDeque::new();
        for job in self.jobs {
            let before = self.before.get(&job.out);
            let same = before.is_some_and(|before| {
                before.status == Status::Done
                    && before
                        .job
                        .as_ref()
                        .is_some_and(|before| job.is_same(before))
            });
            if same && program.is_done(&job) {
                on(Event::Skipped(&job));
                summary.skipped += 1;
            } else {
                waiting.push_back(job);
            }
        }
        let (tell, told) = unbounded();
        let mut running = 0;
        thread::scope(|scope| {
            loop {
                while running < parallel && !stopped.load(Relaxed) {
                    let Some(job) = waiting.pop_front() else {
                        break;
                    };
                    on(Event::Began(&job));
                    running += 1;
                    let tell = tell.clone();
                    scope.spawn(move || program.render(job, stopped, &tell));
                }
                if running == 0 {
                    break;
                }
                match told.recv().expect("we hold a sender ourselves") {
                    child::News::Reached(job, at, of) => on(Event::Reached(&job, at, of)),
                    child::News::Stopped => {
                        running -= 1;
                        summary.left += 1;
                    }
                    child::News::Ended(outcome) => {
                        running -= 1;
                        note(&outcome)?;
                        on(Event::Ended(&outcome));
                        match outcome.status {
                            Status::Done => summary.done += 1,
                            Status::Failed => summary.failed.push(outcome),
                        }
                    }
                }
            }
            Ok(())
        })?;
        summary.left += waiting.len();
        summary.failed.sort_by_key(|failed| failed.line);
        write_failed(&self.folder.join(FAILED), &summary.failed)?;
        Ok(summary)
    }
}

impl Outcome {
    fn failed(line: usize, job: Option<Job>, error: String) -> Self {
        Self {
            line,
            job,
            status: Status::Failed,
            seconds: None,
            real_time_factor: None,
            peak_mb: None,
            delta_mb: None,
            error: Some(error),
        }
    }
}

fn line(outcome: &Outcome) -> String {
    serde_json::to_string(outcome).expect("words and numbers are JSON")
}

/// Only what failed this time: what was mended is gone from it.
fn write_failed(path: &Path, failed: &[Outcome]) -> Result<(), Error> {
    let write = || -> io::Result<()> {
        if failed.is_empty() {
            return match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let mut file = File::create(path)?;
        failed
            .iter()
            .try_for_each(|outcome| writeln!(file, "{}", line(outcome)))
    };
    write().map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}
