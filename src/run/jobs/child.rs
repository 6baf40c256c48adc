//! One render in a process of its own.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crossbeam_channel::Sender;
use serde_json::Value;

use super::list::Job;
use super::{Outcome, Status};
use crate::process::resident;
use crate::run::offline::{self, Identity};

/// From one look whether the list was stopped to the next.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of what a process says of its failure that are kept.
const SAID: u64 = 16 << 10;

/// Signals by which somebody tells a program to end: SIGINT and SIGTERM.
const TOLD: [i32; 2] = [2, 15];

/// How a render is started.
pub struct Program {
    /// The program that renders.
    pub path: PathBuf,
    /// Options before all others: the configuration.
    pub settings: Vec<OsString>,
    /// Who speaks where a job doesn't say.
    pub avatar: String,
    /// With which lips.
    pub model: String,
    /// With which clip playing.
    pub clip: String,
}

/// What is told of a render.
pub(super) enum News {
    /// So much of the video is there, of so much.
    Reached(Arc<Job>, Duration, Duration),
    /// It ended.
    Ended(Outcome),
    /// It was broken off, to go on another time.
    Stopped,
}

impl Program {
    /// Whether the video of `job` is whole and made of what the job says.
    pub(super) fn is_done(&self, job: &Job) -> bool {
        let avatar = job.avatar.as_ref().unwrap_or(&self.avatar);
        let model = job.model.as_ref().unwrap_or(&self.model);
        let clip = job.clip.as_ref().unwrap_or(&self.clip);
        Identity::new(avatar, clip, model, &job.audio)
            .is_ok_and(|identity| offline::is_whole(&job.out, &identity))
    }

    /// Renders `job`, or goes on with it, and tells what becomes of it.
    pub(super) fn render(&self, job: Job, stopped: &AtomicBool, tell: &Sender<News>) {
        let job = Arc::new(job);
        let before = resident();
        let news = match self.attempt(&job, stopped, tell) {
            Ok(None) => News::Stopped,
            Ok(Some(mut outcome)) => {
                outcome.delta_mb = resident()
                    .zip(before)
                    .map(|(after, before)| (after as f64 - before as f64) / 1e6);
                News::Ended(outcome)
            }
            Err(error) => News::Ended(Outcome::failed(job.line, Some(Job::clone(&job)), error)),
        };
        // Nobody listens any more when results can't be written.
        let _nobody = tell.send(news);
    }

    fn attempt(
        &self,
        job: &Arc<Job>,
        stopped: &AtomicBool,
        tell: &Sender<News>,
    ) -> Result<Option<Outcome>, String> {
        if let Some(folder) = job.out.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| format!("cannot make the folder {}: {error}", folder.display()))?;
        }
        let report = tempfile::NamedTempFile::new()
            .map_err(|error| format!("cannot make a temporary file: {error}"))?;
        let mut child = self
            .command(job, report.path())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.path.display()))?;
        let out = child.stdout.take().expect("it is piped");
        let mut err = child.stderr.take().expect("it is piped");
        let (ended, said) = thread::scope(|scope| {
            scope.spawn(|| {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    if let Some((at, of)) = reached(&line) {
                        let _nobody = tell.send(News::Reached(Arc::clone(job), at, of));
                    }
                }
            });
            let said = scope.spawn(move || last_words(&mut err));
            let ended = wait(&mut child, stopped);
            (ended, said.join().unwrap_or_default())
        });
        let Some(success) = ended.map_err(|error| format!("lost sight of the render: {error}"))?
        else {
            return Ok(None);
        };
        if !success {
            let said = if said.is_empty() {
                "the render was killed; run the list again to go on with it".into()
            } else {
                said
            };
            return Err(said);
        }
        let report: Value = std::fs::read(report.path())
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let number = |key: &str| report[key].as_f64();
        Ok(Some(Outcome {
            line: job.line,
            job: Some(Job::clone(job)),
            status: Status::Done,
            seconds: number("seconds"),
            real_time_factor: number("real_time_factor"),
            peak_mb: number("peak_mb"),
            delta_mb: None,
            error: None,
        }))
    }

    fn command(&self, job: &Job, report: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("render").args(&self.settings);
        let options = [
            ("--avatar", job.avatar.as_ref(), &self.avatar),
            ("--model", job.model.as_ref(), &self.model),
            ("--clip", job.clip.as_ref(), &self.clip),
        ];
        for (option, own, usual) in options {
            command.arg(option).arg(own.unwrap_or(usual));
        }
        command
            .args(["--resume", "--tell", "--audio"])
            .arg(&job.audio)
            .arg("--out")
            .arg(&job.out)
            .arg("--report")
            .arg(report)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// Waits for `child`: whether it ended well, or `None` when it was stopped.
fn wait(child: &mut Child, stopped: &AtomicBool) -> std::io::Result<Option<bool>> {
    loop {
        if let Some(status) = child.try_wait()? {
            // Ctrl-C reaches what runs in a terminal itself, maybe before us.
            let told = status.signal().is_some_and(|signal| TOLD.contains(&signal));
            return Ok((!told).then_some(status.success()));
        }
        if stopped.load(Relaxed) {
            // The video plays up to its last fragment, and goes on from there.
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

/// What `--tell` says: seconds done, and seconds in all.
fn reached(line: &str) -> Option<(Duration, Duration)> {
    let (at, of) = line.strip_prefix("at ")?.split_once(" of ")?;
    let time = |text: &str| Duration::try_from_secs_f64(text.parse().ok()?).ok();
    time(at).zip(time(of))
}

/// The last line that a process said, which is why it failed.
pub(in crate::run) fn last_words(err: &mut impl Read) -> String {
    let mut said = String::new();
    for line in BufReader::new(err).lines().map_while(Result::ok) {
        if !line.trim().is_empty() {
            said = line;
        }
    }
    let mut end = said.len().min(SAID as usize);
    while !said.is_char_boundary(end) {
        end -= 1;
    }
    said.truncate(end);
    said.strip_prefix("mouthpiece: ")
        .map_or(said.clone(), str::to_owned)
}
