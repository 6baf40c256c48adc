//! Soak: the proof that memory holds, which anybody can run.
//!
//! The server runs in a process of its own, and everything is measured from
//! outside: its memory, descriptors, threads and processor time once a second,
//! its pictures at viewers who come and go. First the phases that broke other
//! systems, one after the other, each with what the process takes in quiet before
//! and after it; then a steady part, through whose memory a line is fitted.

mod crowd; // the viewers that are always there
pub mod fit; // a line through what is noisy
mod http; // requests to the server
pub mod limits; // config/soak.toml
#[cfg(test)]
mod made; // runs that never were
mod microphone; // one that can be unplugged
mod phases; // what is done
mod proc; // what the system knows of processes
pub mod record; // the files
pub mod report; // what people read
mod sampler; // once a second
pub mod server; // the process that is tested
mod sound; // speech of any length
pub mod verdict; // the record against the limits
mod viewer; // what a viewer gets

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::time::{interval, timeout};

use crowd::Crowd;
use limits::Limits;
use record::{Files, Frames, Level, Outcome, Phase, Run, SERVER, SOAK};
use sampler::Sampler;
use server::{Launch, Server};
use viewer::Meter;

/// How long the viewers may take to leave when the run is over.
const GOODBYE: Duration = Duration::from_secs(10);
/// Viewers who come at a time, beside those who are always there.
pub const GUESTS: usize = 4;

/// What is to be run.
pub struct Plan {
    /// How long, in minutes.
    pub minutes: f64,
    /// Viewers at a time.
    pub viewers: usize,
    /// Time after which one of them leaves and another comes.
    pub churn: Duration,
    /// Viewers who come, see and go in their phase; by the time that there is if not said.
    pub joins: Option<usize>,
    /// The folder of the files.
    pub out: PathBuf,
    /// How the server is started.
    pub launch: Launch,
    /// The configured model and the others that are installed.
    pub models: Vec<String>,
    /// The configured avatar and the others that are installed.
    pub avatars: Vec<String>,
    /// The speech.
    pub welcome: PathBuf,
    /// What it must hold.
    pub limits: Limits,
}

/// Why nothing was run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no server.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// The disk says no.
    #[error(transparent)]
    Record(#[from] record::Error),
}

/// What is told meanwhile.
pub enum Tell<'t> {
    /// A second has passed.
    Second {
        /// Time since the beginning.
        elapsed: Duration,
        /// What runs.
        phase: &'t str,
        /// Resident memory of the server, in megabytes.
        rss_mb: f64,
    },
    /// A phase is over.
    Done(&'t Phase),
}

/// Runs `plan` to its end, or until `stop` is there.
///
/// # Errors
///
/// When the server can't be started or the files not be written. What goes wrong
/// later is in the files.
pub async fn run(
    plan: &Plan,
    stop: impl Future<Output = ()>,
    tell: &dyn Fn(Tell<'_>),
) -> Result<(), Error> {
    let files = Files::create(&plan.out, &described(plan))?;
    let began = Instant::now();
    let server = Server::start(&plan.launch, &[], &[]).await?;
    let (http, pid) = (server.http, server.pid);
    let meter = Arc::<Meter>::default();
    let sampler = Arc::new(Sampler::start(files, began, http, Arc::clone(&meter)));
    sampler.watch(SERVER, pid);
    sampler.watch(SOAK, std::process::id());
    let mut soak = Soak {
        plan,
        server,
        sampler: Arc::clone(&sampler),
        crowd: Crowd::new(http, Arc::clone(&meter), plan.viewers),
        meter,
        level: None,
        open: None,
        tell,
    };
    let seconds = async {
        let mut second = interval(Duration::from_secs(1));
        loop {
            second.tick().await;
            let phase = sampler.frames().phase;
            tell(Tell::Second {
                elapsed: began.elapsed(),
                phase: &phase,
                rss_mb: sampler.rss_mb(pid).unwrap_or(0.0),
            });
        }
    };
    tokio::select! {
        () = soak.all() => {}
        () = stop => soak.close(Outcome::Interrupted, "ended by Ctrl-C or SIGTERM".into(), None),
        () = seconds => {}
    }
    soak.begin("end", "the viewers leave, the server gets SIGTERM".into());
    // Whoever hasn't left by then is told by the server.
    let _late = timeout(GOODBYE, soak.crowd.empty()).await;
    let stopped = soak.server.stop().await;
    soak.close(
        if stopped.is_ok() {
            Outcome::Ran
        } else {
            Outcome::Failed
        },
        stopped.err().unwrap_or_default(),
        None,
    );
    match sampler.broken() {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

fn described(plan: &Plan) -> Run {
    let (processor, cores) = proc::processor();
    Run {
        version: env!("CARGO_PKG_VERSION").into(),
        began: sampler::now(),
        minutes: plan.minutes,
        viewers: plan.viewers,
        churn_s: plan.churn.as_secs_f64(),
        settings: told(&plan.launch.sets),
        processor,
        cores,
        memory_mb: proc::memory_mb().round(),
        limits: plan.limits.clone(),
    }
}

/// The settings that a report may show: addresses and secrets are nobody's affair.
fn told(sets: &[String]) -> Vec<String> {
    let secret = |set: &&String| {
        let key = set.trim_start();
        key.starts_with("http.") || key.starts_with("media.")
    };
    sets.iter().filter(|set| !secret(set)).cloned().collect()
}

/// A run.
struct Soak<'p> {
    plan: &'p Plan,
    server: Server,
    sampler: Arc<Sampler>,
    crowd: Crowd,
    meter: Arc<Meter>,
    /// What the server took when it was last quiet.
    level: Option<Level>,
    open: Option<Open>,
    tell: &'p dyn Fn(Tell<'_>),
}

/// A phase that runs.
struct Open {
    phase: String,
    what: String,
    from: f64,
    begun: Frames,
    cpu: Option<f64>,
    joins: u64,
    before: Option<Level>,
    /// Where the phase has a process of its own.
    after: Option<Level>,
    note: String,
}

/// Why a phase didn't run to its end.
enum Trouble {
    /// It can't be done here.
    Skipped(String),
    /// It didn't work.
    Failed(String),
}

impl From<http::Error> for Trouble {
    fn from(error: http::Error) -> Self {
        if error.missing() {
            Self::Skipped(format!("this server doesn't know it ({error})"))
        } else {
            Self::Failed(error.to_string())
        }
    }
}

impl From<viewer::Error> for Trouble {
    fn from(error: viewer::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<server::Error> for Trouble {
    fn from(error: server::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Soak<'_> {
    /// Runs a phase: `work`, then all viewers are there again, then quiet.
    async fn phase(
        &mut self,
        phase: &str,
        what: String,
        work: impl AsyncFnOnce(&mut Self) -> Result<(), Trouble>,
    ) {
        self.begin(phase, what);
        let worked = work(self).await;
        let filled = self.crowd.fill().await.map_err(Trouble::from);
        let (outcome, why) = match worked.and(filled) {
            Ok(()) => (Outcome::Ran, String::new()),
            Err(Trouble::Skipped(why)) => (Outcome::Skipped, why),
            Err(Trouble::Failed(why)) => (Outcome::Failed, why),
        };
        let level = self.sampler.level(self.server.pid, self.level).await;
        self.close(outcome, why, level);
    }

    fn begin(&mut self, phase: &str, what: String) {
        self.sampler.set_phase(phase);
        self.sampler.event(&format!("phase {phase}"));
        // From here on.
        Meter::take_ms(&self.meter.phase_gap_us);
        Meter::take_ms(&self.meter.first_us);
        self.open = Some(Open {
            phase: phase.to_owned(),
            what,
            from: self.sampler.elapsed(),
            begun: self.sampler.frames(),
            cpu: self.sampler.cpu_seconds(self.server.pid),
            joins: self.meter.joins.load(Relaxed),
            before: self.level,
            after: None,
            note: String::new(),
        });
    }

    /// Writes how the phase went that runs, if one does.
    fn close(&mut self, outcome: Outcome, why: String, level: Option<Level>) {
        let Some(open) = self.open.take() else {
            return;
        };
        self.level = level.or(self.level);
        let after = open.after.or(level);
        let ended = self.sampler.frames();
        let frames = ended.frames.zip(open.begun.frames);
        let sound_seconds = frames.map_or(0.0, |(to, from)| to.saturating_sub(from) as f64 / 25.0);
        let clock = ended.elapsed_seconds - open.begun.elapsed_seconds;
        let cpu = self.sampler.cpu_seconds(self.server.pid).zip(open.cpu);
        let late = ended.late_frames.zip(open.begun.late_frames);
        let first_ms = Meter::take_ms(&self.meter.first_us);
        let phase = Phase {
            phase: open.phase,
            what: open.what,
            outcome,
            why: if why.is_empty() { open.note } else { why },
            from_seconds: rounded(open.from),
            to_seconds: rounded(self.sampler.elapsed()),
            sound_seconds,
            real_time_factor: (sound_seconds > 0.0).then(|| rounded(clock / sound_seconds)),
            cpu_seconds: cpu.map(|(to, from)| rounded(to - from)),
            before: open.before,
            after,
            delta: after
                .zip(open.before)
                .map(|(after, before)| after.above(&before)),
            late_frames: late.map_or(0, |(to, from)| to.saturating_sub(from)),
            worst_gap_ms: Meter::take_ms(&self.meter.phase_gap_us),
            joins: self.meter.joins.load(Relaxed) - open.joins,
            first_picture_ms: (first_ms > 0.0).then_some(first_ms),
        };
        self.sampler.write(&phase);
        (self.tell)(Tell::Done(&phase));
    }
}

/// To the hundredth.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_tell_no_secret() {
        let sets = ["avatar=leo", "http.token=secret", "media.turn=[{}]"].map(String::from);
        assert_eq!(told(&sets), ["avatar=leo"]);
    }
}
