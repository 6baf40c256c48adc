//! What is known of a run, as its files have it.

use serde::{Deserialize, Serialize};

use super::limits::Limits;

mod files;

pub use files::{Error, Files};

/// The process that is tested, as `process_name` has it.
pub const SERVER: &str = "mouthpiece serve";
/// The process that tests it.
pub const SOAK: &str = "mouthpiece soak";

/// What was run, on what: `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The program's version.
    pub version: String,
    /// When it began, in seconds since 1970.
    pub began: f64,
    /// Minutes that it was to last.
    pub minutes: f64,
    /// Viewers at a time.
    pub viewers: usize,
    /// Seconds after which one of them leaves and another comes.
    pub churn_s: f64,
    /// Settings that the server was given beside the defaults.
    pub settings: Vec<String>,
    /// The processor's name.
    pub processor: String,
    /// How many of them.
    pub cores: usize,
    /// Memory of the machine in megabytes.
    pub memory_mb: f64,
    /// What it is judged by.
    pub limits: Limits,
}

/// A process at a moment: a row of `resources.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// Seconds since 1970.
    pub timestamp: f64,
    /// Seconds since the run began.
    pub elapsed_seconds: f64,
    /// Which process.
    pub process_name: String,
    /// Its number.
    pub pid: u32,
    /// Processor time since the row before, in percent of one core.
    pub cpu_percent: f64,
    /// Resident memory in megabytes of 2^20 bytes.
    pub memory_rss_mb: f64,
    /// Resident memory in percent of the machine's.
    pub memory_percent: f64,
    /// Memory that it has written and shares with no other process, in megabytes.
    pub private_mb: f64,
    /// Threads.
    pub threads: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

/// The stream at a moment: a row of `frames.csv`. What the server didn't answer
/// is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Frames {
    /// Seconds since 1970.
    pub timestamp: f64,
    /// Seconds since the run began.
    pub elapsed_seconds: f64,
    /// What runs.
    pub phase: String,
    /// Frames of the timeline so far, by the server's count.
    pub frames: Option<u64>,
    /// Frames drawn so far.
    pub drawn_frames: Option<u64>,
    /// Late frames so far.
    pub late_frames: Option<u64>,
    /// Half of the last 250 frames took less, in milliseconds.
    pub frame_p50_ms: Option<f64>,
    /// 95 of 100 took less.
    pub frame_p95_ms: Option<f64>,
    /// The slowest.
    pub frame_max_ms: Option<f64>,
    /// Viewers by the server's count.
    pub viewers: Option<u64>,
    /// Viewers of ours that see pictures.
    pub watching: u64,
    /// Pictures that came whole at all viewers so far.
    pub viewer_frames: u64,
    /// The longest time between two of them at one viewer, in this second.
    pub worst_gap_ms: f64,
    /// Packets that came so far.
    pub packets: u64,
    /// Packets that never came so far, of viewers who left.
    pub lost_packets: u64,
    /// Percent of the machine's time that nobody wanted.
    pub idle_percent: f64,
    /// Percent of it that the host took.
    pub steal_percent: f64,
    /// Percent of it that processes took which are none of ours.
    pub others_percent: f64,
    /// How late a thread that only sleeps woke up, at most, in milliseconds.
    pub stall_ms: f64,
}

/// Something that was done: a row of `events.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Seconds since the run began.
    pub elapsed_seconds: f64,
    /// What was done.
    pub event: String,
}

/// What a process takes when all is quiet, or by how much that differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Resident megabytes.
    pub rss_mb: f64,
    /// Private megabytes.
    pub private_mb: f64,
    /// Open descriptors.
    pub descriptors: f64,
    /// Threads.
    pub threads: f64,
}

impl Level {
    /// By how much this is more than `before`.
    pub fn above(&self, before: &Self) -> Self {
        Self {
            rss_mb: self.rss_mb - before.rss_mb,
            private_mb: self.private_mb - before.private_mb,
            descriptors: self.descriptors - before.descriptors,
            threads: self.threads - before.threads,
        }
    }
}

/// How a phase went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// To its end.
    Ran,
    /// It can't be done here.
    Skipped,
    /// Something in it didn't work.
    Failed,
    /// The run was ended in it.
    Interrupted,
}

/// A phase: a line of `results.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub phase: String,
    /// What ran.
    pub what: String,
    /// How it went.
    pub outcome: Outcome,
    /// Why it didn't run to its end; or what else is to be known.
    pub why: String,
    /// When it began, in seconds since the run did.
    pub from_seconds: f64,
    /// When it ended, the quiet after it included.
    pub to_seconds: f64,
    /// Seconds of sound that were played, speech or silence.
    pub sound_seconds: f64,
    /// Seconds on the clock for each second of sound: 1 is in time.
    pub real_time_factor: Option<f64>,
    /// Processor seconds that the server used.
    pub cpu_seconds: Option<f64>,
    /// What the process took before.
    pub before: Option<Level>,
    /// What it took after.
    pub after: Option<Level>,
    /// What it took more.
    pub delta: Option<Level>,
    /// Frames that the server counted as late.
    pub late_frames: u64,
    /// The longest time between two pictures at a viewer, in milliseconds.
    pub worst_gap_ms: f64,
    /// Viewers who came and saw a picture.
    pub joins: u64,
    /// Milliseconds from the offer to the first picture, the slowest of them.
    pub first_picture_ms: Option<f64>,
}

/// All that is known of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What was run.
    pub run: Run,
    /// Each process, second by second.
    pub resources: Vec<Resources>,
    /// The stream, second by second.
    pub frames: Vec<Frames>,
    /// What was done.
    pub events: Vec<Event>,
    /// The phases.
    pub phases: Vec<Phase>,
}

impl Record {
    /// The rows of the process called `name`.
    pub fn of<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r Resources> {
        self.resources
            .iter()
            .filter(move |r| r.process_name == name)
    }
}
