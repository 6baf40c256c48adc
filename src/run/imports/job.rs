//! One import: what is wanted, and how it is.

use std::ffi::OsString;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::told::Told;
use crate::events::{JobNews, Share};

/// A share of the work below which nobody can tell how long the rest takes.
const TELLING: f64 = 0.05;
/// How many more hundredths must be done for an event: they are kept for others too.
const NEWS: u8 = 5;
/// What a job does before its turn comes.
const WAITING: &str = "waiting for its turn";

/// What becomes of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = JobKind)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A video or a photo becomes somebody who talks.
    Avatar,
    /// ONNX files become lips.
    Model,
}

impl Kind {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avatar => "avatar",
            Self::Model => "model",
        }
    }

    /// The folder of assets where such bundles lie, and their place in addresses.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Avatar => "avatars",
            Self::Model => "models",
        }
    }
}

/// What is to be made.
#[derive(Debug)]
pub struct Wanted {
    /// Avatar or model.
    pub kind: Kind,
    /// Its id to be.
    pub id: String,
    /// Options of the program that imports, each with its value: `--height`, `360`.
    pub options: Vec<(&'static str, String)>,
}

impl Wanted {
    /// The options as arguments, in one piece each: no value is taken for an option.
    pub(super) fn arguments(&self) -> impl Iterator<Item = OsString> {
        let id = ("--id", self.id.clone());
        std::iter::once(&id)
            .chain(&self.options)
            .map(|(option, value)| format!("{option}={value}").into())
            .collect::<Vec<_>>()
            .into_iter()
    }
}

/// What has become of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = JobState)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for its turn, or runs.
    Running,
    /// The bundle is there.
    Done,
    /// There is none, and nothing was left behind.
    Failed,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// How a job is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// What is made.
    pub kind: Kind,
    /// Where that will be.
    pub makes: String,
    /// What has become of it.
    pub state: State,
    /// How much is done.
    #[schema(value_type = f64, minimum = 0, maximum = 1)]
    pub progress: Share,
    /// What it does, in words.
    pub phase: String,
    /// How long the rest will take, as far as can be told.
    pub seconds_left: Option<u64>,
    /// Why there is nothing.
    pub error: Option<String>,
    /// How well what was made will do: a grade, a sentence, notes.
    pub verdict: Option<Value>,
    /// How much was done when it was last told of.
    #[serde(skip)]
    told: Share,
}

impl Job {
    pub(super) fn new(id: String, wanted: &Wanted) -> Self {
        Self {
            id,
            kind: wanted.kind,
            makes: format!("/v1/{}/{}", wanted.kind.folder(), wanted.id),
            state: State::Running,
            progress: Share::default(),
            phase: WAITING.into(),
            seconds_left: None,
            error: None,
            verdict: None,
            told: Share::default(),
        }
    }

    /// Takes in what the import says `elapsed` after it began. True if that is news:
    /// it does something else now, or has done a good deal more of it.
    pub(super) fn hear(&mut self, told: Told, elapsed: Duration) -> bool {
        match told {
            Told::Verdict(verdict) => {
                self.verdict = Some(verdict);
                false
            }
            Told::Progress { phase, done, of } => {
                // What there is to do may turn out to be more: it never goes back.
                let progress = Share::of(done, of).max(self.progress);
                let more = progress.hundredths() - self.told.hundredths();
                let news = phase != self.phase || more >= NEWS;
                (self.progress, self.phase) = (progress, phase);
                if news {
                    self.told = progress;
                }
                let share = progress.get();
                let left = elapsed.as_secs_f64() * (1.0 - share) / share;
                self.seconds_left = (share >= TELLING).then_some(left.ceil() as u64);
                news
            }
        }
    }

    /// It is over.
    pub(super) fn end(&mut self, ended: Result<(), String>) {
        self.seconds_left = None;
        match ended {
            Ok(()) => {
                self.state = State::Done;
                self.progress = Share::WHOLE;
                self.phase = "done".into();
            }
            Err(error) => {
                self.state = State::Failed;
                self.phase = "failed".into();
                self.error = Some(error);
            }
        }
    }

    /// The event that tells of it.
    pub(super) fn news(&self) -> JobNews {
        JobNews {
            id: self.id.clone(),
            kind: self.kind.name(),
            state: self.state.name(),
            progress: self.progress,
            phase: self.phase.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        let wanted = Wanted {
            kind: Kind::Avatar,
            id: "anna".into(),
            options: vec![("--height", "360".into())],
        };
        let arguments: Vec<_> = wanted.arguments().collect();
        assert_eq!(arguments, ["--id=anna", "--height=360"]);
        Job::new("j1".into(), &wanted)
    }

    fn progress(phase: &str, done: u64, of: u64) -> Told {
        Told::Progress {
            phase: phase.into(),
            done,
            of,
        }
    }

    #[test]
    fn the_rest_is_told_once_it_can_be_and_progress_never_goes_back() {
        let mut job = job();
        let after = Duration::from_secs;
        assert!(job.hear(progress("looking", 1, 100), after(1)));
        assert_eq!(job.seconds_left, None);
        assert!(job.hear(progress("looking", 25, 100), after(10)));
        assert_eq!(job.seconds_left, Some(30));
        assert!(!job.hear(progress("looking", 25, 200), after(11)));
        assert_eq!(job.progress, Share::of(1, 4));
        assert!(job.hear(progress("writing", 25, 200), after(11)));
        job.end(Ok(()));
        assert_eq!((job.state, job.seconds_left), (State::Done, None));
        assert_eq!(job.progress, Share::WHOLE);
    }

    #[test]
    fn a_job_that_goes_on_is_told_of_twenty_times() {
        let mut job = job();
        let steps = (0..1_000).map(|n| progress("looking", n, 1_000));
        let told = steps.map(|told| job.hear(told, Duration::from_secs(1)));
        assert_eq!(told.filter(|news| *news).count(), 20);
    }
}
