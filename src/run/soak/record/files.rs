//! Rows go to the disk as they come, so that a run which ends early, however it
//! ends, has left what there is, and the soak itself needs no memory for it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Event, Frames, Phase, Record, Resources, Run};

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
    use super::super::super::made;
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
