//! `mouthpiece soak …`: the proof that memory holds, and its reports.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mouthpiece::avatar::is_id;
use mouthpiece::config::Config;
use mouthpiece::program::interrupted;
use mouthpiece::run::soak::limits::Limits;
use mouthpiece::run::soak::record::{Outcome, Phase, Record};
use mouthpiece::run::soak::server::Launch;
use mouthpiece::run::soak::{self, GUESTS, Plan, Tell, report, verdict};
use mouthpiece::stage::audio::Source;

use crate::Settings;

/// Seconds between two plain lines where there is no terminal.
const LINE: u64 = 60;

#[derive(Args)]
pub struct Soak {
    /// How long, in minutes. The phases take two of them at least.
    #[arg(long, value_name = "N", default_value_t = 60.0, value_parser = minutes)]
    minutes: f64,
    /// Viewers at a time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=200))]
    viewers: u16,
    /// Seconds after which one viewer leaves and another comes.
    #[arg(long, value_name = "SECONDS", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3600))]
    churn: u64,
    /// Viewers who come, see and go in their phase. Left out: a hundred in an hour.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    joins: Option<u32>,
    /// The folder for what is found.
    #[arg(long, value_name = "DIR", required = true)]
    out: Option<PathBuf>,
    /// Limits of your own; config/soak.toml explains each.
    #[arg(long, value_name = "FILE")]
    limits: Option<PathBuf>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Draw a run's report again from its files, or compare two runs.
    Report {
        /// What `--out` was.
        folder: PathBuf,
        /// Another run's: the comparison goes into this folder.
        other: Option<PathBuf>,
    },
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.5..=10_080.0).contains(&minutes) => Ok(minutes),
        _ => Err("minutes from 0.5 to 10080, which is a week".into()),
    }
}

/// Soaks, or draws reports.
pub fn run(settings: &Settings, soak: &Soak) -> anyhow::Result<()> {
    match (&soak.action, &soak.out) {
        (Some(Action::Report { folder, other }), _) => match other {
            Some(other) => compare(folder, other),
            None => reported(folder),
        },
        (None, Some(out)) => {
            begin(settings, soak, out)?;
            reported(out)
        }
        (None, None) => anyhow::bail!("give --out, the folder for what is found"),
    }
}

fn begin(settings: &Settings, soak: &Soak, out: &Path) -> anyhow::Result<()> {
    let config = settings.load()?;
    let assets = config.assets()?;
    std::fs::create_dir_all(out).with_context(|| format!("cannot write {}", out.display()))?;
    let log = out.join("server.log");
    std::fs::write(&log, "").with_context(|| format!("cannot write {}", log.display()))?;
    let plan = Plan {
        minutes: soak.minutes,
        viewers: soak.viewers.into(),
        churn: Duration::from_secs(soak.churn),
        joins: soak.joins.map(|joins| joins as usize),
        out: out.to_owned(),
        launch: Launch {
            program: std::env::current_exe()?,
            config: settings.config.clone(),
            sets: sets(settings, &config, soak.viewers.into()),
            log,
        },
        models: installed(&assets.join("models"), &config.show.model)?,
        avatars: installed(&assets.join("avatars"), &config.show.avatar)?,
        welcome: assets.join("speech").join("welcome.flac"),
        limits: Limits::load(soak.limits.as_deref())?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("viewers")
        .enable_all()
        .build()?;
    let bar = Progress::new(soak.minutes);
    runtime.block_on(async {
        anyhow::Ok(soak::run(&plan, interrupted()?, &|tell| bar.show(&tell)).await?)
    })?;
    bar.0.finish_and_clear();
    Ok(())
}

/// The user's settings, and over them what a soak needs: free ports, no token or TLS,
/// seats for all, and sound without a microphone.
fn sets(settings: &Settings, config: &Config, viewers: usize) -> Vec<String> {
    let mut sets = settings.sets.clone();
    let own = [
        "http.listen=127.0.0.1:0",
        "http.token=",
        "http.viewer_token=",
        "http.tls_cert=",
        "http.tls_key=",
        "http.requests_per_s=0",
        "media.udp_port=0",
    ];
    sets.extend(own.map(String::from));
    if config.audio.source == Source::Auto {
        sets.push("audio.source=file".into());
    }
    let seats = viewers + GUESTS;
    if (config.media.max_viewers as usize) < seats {
        sets.push(format!("media.max_viewers={seats}"));
    }
    sets
}

/// The bundles in `folder`, the configured one first.
fn installed(folder: &Path, first: &str) -> anyhow::Result<Vec<String>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut ids: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .filter(|id| is_id(id) && id != first)
        .collect();
    ids.sort();
    ids.insert(0, first.to_owned());
    Ok(ids)
}

/// Writes the reports of the run in `folder` and says what came out.
fn reported(folder: &Path) -> anyhow::Result<()> {
    let record = Record::read(folder)?;
    let verdict = verdict::judge(&record);
    report::write(&record, &verdict, folder)?;
    let page = folder.join("report.html");
    println!("{}", verdict.sentence());
    for check in &verdict.checks {
        if check.judged != verdict::Judged::Passed {
            println!(
                "  {}: {}: {} (limit {})",
                check.judged.word(),
                check.what,
                check.found,
                check.limit
            );
        }
    }
    println!("{} and report.md beside it have the whole", page.display());
    anyhow::ensure!(verdict.passed(), "the run is over its limits");
    Ok(())
}

fn compare(folder: &Path, other: &Path) -> anyhow::Result<()> {
    let (one, two) = (Record::read(folder)?, Record::read(other)?);
    let text = report::compare::markdown(&one, &two);
    let path = folder.join("comparison.md");
    std::fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    print!("{text}");
    Ok(())
}

/// A bar on a terminal, lines elsewhere.
struct Progress(ProgressBar);

impl Progress {
    fn new(minutes: f64) -> Self {
        let seconds = (minutes * 60.0) as u64;
        let target = ProgressDrawTarget::stderr_with_hz(2);
        let bar = ProgressBar::with_draw_target(Some(seconds), target);
        let style = ProgressStyle::with_template("{wide_bar} {elapsed_precise} {msg}");
        bar.set_style(style.expect("the template is valid"));
        Self(bar)
    }

    fn show(&self, tell: &Tell<'_>) {
        match tell {
            Tell::Second {
                elapsed,
                phase,
                rss_mb,
            } => {
                let seconds = elapsed.as_secs();
                self.0
                    .set_position(seconds.min(self.0.length().unwrap_or(seconds)));
                self.0.set_message(format!("{phase}  {rss_mb:.0} MB"));
                if self.0.is_hidden() && seconds.is_multiple_of(LINE) {
                    eprintln!("{} min: {phase}, {rss_mb:.1} MB", seconds / 60);
                }
            }
            Tell::Done(phase) => {
                let line = line(phase);
                self.0.suspend(|| eprintln!("{line}"));
            }
        }
    }
}

/// What is said of a phase that is over.
fn line(phase: &Phase) -> String {
    let Phase {
        phase: name, why, ..
    } = phase;
    let took = phase.to_seconds - phase.from_seconds;
    match phase.outcome {
        Outcome::Ran => {
            let delta = phase.delta.map_or(String::new(), |delta| {
                format!(
                    ", {:+.1} MB resident, {:+.1} MB private",
                    delta.rss_mb, delta.private_mb
                )
            });
            format!("{name}: {took:.0} s{delta}")
        }
        Outcome::Skipped => format!("{name}: skipped: {why}"),
        Outcome::Failed => format!("{name}: failed: {why}"),
        Outcome::Interrupted => format!("{name}: {why}"),
    }
}
