//! The files of a run, as they are written and read again.
//!
//! Rows go to the disk as they come, so that a run which ends early, however it
//! ends, has left what there is, and the soak itself needs no memory for it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::limits::Limits;

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

/// Why the files can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk says no.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It isn't there, or isn't ours.
    #[error("cannot read {path}: {problem}. Give the folder that `mouthpiece soak --out` wrote")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// Writes the files of a run as it goes.
pub struct Files {
    folder: PathBuf,
    resources: Table,
    frames: Table,
    events: Table,
    results: File,
}

impl Files {
    /// Begins the files of `run` in `folder`.
    ///
    /// # Errors
    ///
    /// When they can't be written.
    pub fn create(folder: &Path, run: &Run) -> Result<Self, Error> {
        let write = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Write { path, source }
        };
        std::fs::create_dir_all(folder).map_err(write(folder))?;
        let path = folder.join("run.json");
        let text = serde_json::to_string_pretty(run).expect("it has only names for keys");
        std::fs::write(&path, text + "\n").map_err(write(&path))?;
        let path = folder.join("results.jsonl");
        let results = File::create(&path).map_err(write(&path))?;
        Ok(Self {
            folder: folder.to_owned(),
            resources: Table::create(folder.join("resources.csv"))?,
            frames: Table::create(folder.join("frames.csv"))?,
            events: Table::create(folder.join("events.csv"))?,
            results,
        })
    }

    /// Writes a row about a process.
    ///
    /// # Errors
    ///
    /// When the disk says no, here and below.
    pub fn resources(&mut self, row: &Resources) -> Result<(), Error> {
        self.resources.write(row)
    }

    /// Writes a row about the stream.
    pub fn frames(&mut self, row: &Frames) -> Result<(), Error> {
        self.frames.write(row)
    }

    /// Writes what was done.
    pub fn event(&mut self, row: &Event) -> Result<(), Error> {
        self.events.write(row)
    }

    /// Writes how a phase went.
    pub fn phase(&mut self, phase: &Phase) -> Result<(), Error> {
        let line = serde_json::to_string(phase).expect("it has only names for keys") + "\n";
        self.results
            .write_all(line.as_bytes())
            .map_err(|source| Error::Write {
                path: self.folder.join("results.jsonl"),
                source,
            })
    }
}

/// A table on the disk, each row there as soon as it is written.
struct Table {
    path: PathBuf,
    rows: csv::Writer<File>,
}

impl Table {
    fn create(path: PathBuf) -> Result<Self, Error> {
        match csv::Writer::from_path(&path) {
            Ok(rows) => Ok(Self { path, rows }),
            Err(error) => Err(Error::Write {
                path,
                source: error.into(),
            }),
        }
    }

    fn write(&mut self, row: &impl Serialize) -> Result<(), Error> {
        let written = self.rows.serialize(row).map_err(std::io::Error::from);
        written
            .and_then(|()| self.rows.flush())
            .map_err(|source| Error::Write {
                path: self.path.clone(),
                source,
            })
    }
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
    /// Reads the files in `folder`.
    ///
    /// # Errors
    ///
    /// A sentence that names the file and what is wrong in it.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("run.json");
        let open = |path: &Path| File::open(path).map_err(|e| read_error(path, &e));
        let run = serde_json::from_reader(BufReader::new(open(&path)?))
            .map_err(|e| read_error(&path, &e))?;
        let path = folder.join("results.jsonl");
        let mut phases = Vec::new();
        for line in BufReader::new(open(&path)?).lines() {
            let line = line.map_err(|e| read_error(&path, &e))?;
            phases.push(serde_json::from_str(&line).map_err(|e| read_error(&path, &e))?);
        }
        Ok(Self {
            run,
            resources: rows(&folder.join("resources.csv"))?,
            frames: rows(&folder.join("frames.csv"))?,
            events: rows(&folder.join("events.csv"))?,
            phases,
        })
    }

    /// The rows of the process called `name`.
    pub fn of<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r Resources> {
        self.resources
            .iter()
            .filter(move |r| r.process_name == name)
    }
}

fn rows<Row: DeserializeOwned>(path: &Path) -> Result<Vec<Row>, Error> {
    let mut reader = csv::Reader::from_path(path).map_err(|e| read_error(path, &e))?;
    let rows: Result<_, _> = reader.deserialize().collect();
    rows.map_err(|e| read_error(path, &e))
}

fn read_error(path: &Path, problem: &dyn std::fmt::Display) -> Error {
    Error::Read {
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::made;
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = made::record(3.0, 0.0);
        made::write(&made, folder.path());
        assert_eq!(Record::read(folder.path()).expect("whole"), made);
        let text = std::fs::read_to_string(folder.path().join("resources.csv")).expect("there");
        let columns =
            "timestamp,elapsed_seconds,process_name,pid,cpu_percent,memory_rss_mb,memory_percent,";
        assert!(
            text.starts_with(columns),
            "{}",
            text.lines().next().unwrap_or_default()
        );
    }

    #[test]
    fn a_row_is_on_the_disk_as_soon_as_it_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = made::record(1.0, 0.0);
        let mut files = Files::create(folder.path(), &made.run).expect("a place");
        files.frames(&made.frames[0]).expect("written");
        let text = std::fs::read_to_string(folder.path().join("frames.csv")).expect("there");
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[test]
    fn a_folder_of_something_else_is_told_by_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Record::read(folder.path()).expect_err("nothing there");
        assert!(error.to_string().contains("run.json"), "{error}");
        made::write(&made::record(1.0, 0.0), folder.path());
        std::fs::write(folder.path().join("frames.csv"), "a,b\n1,2\n").expect("written");
        let error = Record::read(folder.path()).expect_err("no such table");
        assert!(error.to_string().contains("frames.csv"), "{error}");
    }
}
