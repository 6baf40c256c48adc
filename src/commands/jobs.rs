//! `mouthpiece render --jobs`: a list of sound files into a folder of videos.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use mouthpiece::config::Config;
use mouthpiece::program::stop_on_interrupt;
use mouthpiece::run::jobs::{Event, Job, Jobs, Outcome, Program, Status};

use crate::Settings;

/// Runs the list at `list`; videos and results go to `folder`.
pub fn run(
    settings: &Settings,
    config: &Config,
    list: &Path,
    folder: &Path,
    clip: &str,
    parallel: usize,
) -> anyhow::Result<()> {
    let jobs = Jobs::open(list, folder)?;
    anyhow::ensure!(
        !jobs.is_empty(),
        "{} has no job: write a JSON object a line, for example {{\"audio\": \"speech.wav\"}}",
        list.display()
    );
    let parallel = within_budget(config, parallel, jobs.peak_mb());
    let program = program(settings, config, clip)?;
    let stopped = stop_on_interrupt()?;
    let bars = Bars::new(jobs.len());
    let summary = jobs.run(&program, parallel, &stopped, |event| bars.show(&event))?;
    bars.finish();
    println!(
        "{} rendered, {} done before, {} failed, {} left",
        summary.done,
        summary.skipped,
        summary.failed.len(),
        summary.left
    );
    for failed in &summary.failed {
        eprintln!("{}", failure(failed));
    }
    anyhow::ensure!(
        summary.left == 0,
        "stopped; run the same again to go on: what is done is passed over"
    );
    anyhow::ensure!(
        summary.failed.is_empty(),
        "{} of the list failed; they are in {} too",
        summary.failed.len(),
        folder.join("failed.jsonl").display()
    );
    Ok(())
}

/// As many at once as the budget has room for, one at least.
fn within_budget(config: &Config, wanted: usize, peak_mb: f64) -> usize {
    let budget = config.memory.budget();
    let room = ((budget as f64 / 1e6 / peak_mb) as usize).max(1);
    if room < wanted {
        eprintln!(
            "--parallel {wanted} is lowered to {room}: a render takes about {peak_mb:.0} MB, and the budget is {} MB",
            budget >> 20
        );
    }
    wanted.min(room)
}

fn program(settings: &Settings, config: &Config, clip: &str) -> anyhow::Result<Program> {
    Ok(Program {
        path: std::env::current_exe()?,
        settings: settings.arguments(),
        avatar: config.show.avatar.clone(),
        model: config.show.model.clone(),
        clip: clip.to_owned(),
    })
}

fn failure(outcome: &Outcome) -> String {
    let why = outcome.error.as_deref().unwrap_or("it failed");
    match &outcome.job {
        Some(job) => format!("line {}, {}: {why}", outcome.line, job.audio.display()),
        None => format!("line {}: {why}", outcome.line),
    }
}

/// A bar for the list and one for each job that runs on a terminal, lines elsewhere.
struct Bars {
    all: MultiProgress,
    list: ProgressBar,
    running: RefCell<BTreeMap<usize, ProgressBar>>,
    jobs: usize,
}

impl Bars {
    fn new(jobs: usize) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        let list = all.add(ProgressBar::new(jobs as u64));
        list.set_style(
            ProgressStyle::with_template("{wide_bar} {pos} of {len} videos")
                .expect("the template is valid"),
        );
        Self {
            all,
            list,
            running: RefCell::default(),
            jobs,
        }
    }

    fn show(&self, event: &Event<'_>) {
        match event {
            Event::Skipped(job) => {
                self.list.inc(1);
                self.say(&format!("{}: done before", job.out.display()));
            }
            Event::Began(job) => self.begin(job),
            Event::Reached(job, at, of) => self.reach(job, *at, *of),
            Event::Ended(outcome) => self.end(outcome),
        }
    }

    fn begin(&self, job: &Job) {
        let bar = ProgressBar::new(1);
        bar.set_style(
            ProgressStyle::with_template("{msg:30} {wide_bar} {percent:>3} %  {eta} left")
                .expect("the template is valid"),
        );
        bar.set_message(
            job.out
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        );
        let bar = self.all.insert_before(&self.list, bar);
        self.running.borrow_mut().insert(job.line, bar);
    }

    fn reach(&self, job: &Job, at: Duration, of: Duration) {
        if let Some(bar) = self.running.borrow().get(&job.line) {
            bar.set_length(of.as_secs().max(1));
            bar.set_position(at.as_secs());
        }
        if self.list.is_hidden() && at.as_secs().is_multiple_of(60) {
            eprintln!(
                "{}: {} of {:.0} s",
                job.out.display(),
                at.as_secs(),
                of.as_secs_f64()
            );
        }
    }

    fn end(&self, outcome: &Outcome) {
        if let Some(bar) = self.running.borrow_mut().remove(&outcome.line) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
        self.list.inc(1);
        match (&outcome.job, outcome.status) {
            (Some(job), Status::Done) => self.say(&format!(
                "{}: {:.1} s of video ({} of {})",
                job.out.display(),
                outcome.seconds.unwrap_or_default(),
                self.list.position(),
                self.jobs
            )),
            _ => self.say(&failure(outcome)),
        }
    }

    /// A line that stays.
    fn say(&self, line: &str) {
        if self.list.is_hidden() {
            eprintln!("{line}");
        } else {
            // A bar that can't be drawn is no reason to stop.
            let _unseen = self.all.println(line);
        }
    }

    fn finish(&self) {
        self.list.finish_and_clear();
    }
}
