//! What a run must hold: `config/soak.toml`, which is built in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Table;

use crate::toml_text;

/// The file that explains every limit, and says what holds without another.
const BUILT_IN: &str = include_str!("../../../config/soak.toml");

/// Everything that is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// `[slope]`: memory over the steady part.
    pub slope: Slope,
    /// `[stream]`: what viewers get, in all parts.
    pub stream: Stream,
    /// `[machine]`: when a gap is the machine's fault.
    pub machine: Machine,
    /// `[phase.NAME]`: what each phase may leave behind.
    pub phase: BTreeMap<String, Phase>,
}

/// Section `[slope]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slope {
    /// Minutes from the start that are left out, a third of the run at most.
    pub warm_up_minutes: f64,
    /// Megabytes an hour that memory may grow.
    pub mb_per_hour: f64,
    /// Megabytes that it must have grown before it is called a leak.
    pub least_rise_mb: f64,
}

/// Section `[stream]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// Late frames by our own fault.
    pub late_frames: u64,
    /// Milliseconds between two pictures at a viewer.
    pub gap_ms: f64,
    /// Packets of a thousand that may be missing at the viewers.
    pub lost_per_thousand: f64,
    /// Milliseconds from an offer to the first picture.
    pub first_picture_ms: f64,
}

/// Section `[machine]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Percent of the machine's time that its host took.
    pub steal_percent: f64,
    /// Milliseconds that a thread which only sleeps woke up late.
    pub stall_ms: f64,
    /// Percent of the machine's time that other processes took, when it was full.
    pub others_percent: f64,
}

/// A section `[phase.NAME]`: what isn't there isn't judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Phase {
    /// Resident megabytes more than before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_mb: Option<f64>,
    /// Private megabytes more than before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_mb: Option<f64>,
    /// Descriptors more or fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<f64>,
    /// Threads more or fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<f64>,
    /// Milliseconds between two pictures, instead of `stream.gap_ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_ms: Option<f64>,
}

/// Why limits can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("cannot read the limits {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It says what nobody knows.
    #[error("{path}: {problem}. config/soak.toml explains every limit")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where and what.
        problem: String,
    },
}

impl Default for Limits {
    fn default() -> Self {
        toml::from_str(BUILT_IN).expect("config/soak.toml is valid, a test reads it")
    }
}

impl Limits {
    /// The built-in limits with those of `file` over them.
    ///
    /// # Errors
    ///
    /// A sentence that names the file and what is wrong in it.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = file else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let wrong = |e: toml::de::Error| Error::Wrong {
            path: path.to_owned(),
            problem: toml_text::one_line(&text, &e),
        };
        let mut table: Table = BUILT_IN.parse().expect("config/soak.toml is TOML");
        toml_text::merge(&mut table, text.parse().map_err(wrong)?);
        table.try_into().map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Limits, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("limits.toml");
        std::fs::write(&path, text).expect("written");
        Limits::load(Some(&path)).map_err(|e| e.to_string())
    }

    #[test]
    fn the_built_in_file_is_valid_and_explains_every_key() {
        let table = Table::try_from(Limits::default()).expect("TOML");
        for (section, values) in &table {
            for key in values.as_table().expect("sections only").keys() {
                let explained = BUILT_IN.lines().any(|line| {
                    line.starts_with(&format!("{key} =")) || line == format!("[{section}.{key}]")
                });
                assert!(explained, "{section}.{key}");
            }
        }
    }

    #[test]
    fn ones_own_limits_stand_over_the_built_in_ones() {
        let limits = of("[slope]\nmb_per_hour = 9\n[phase.joins]\nthreads = 7").expect("valid");
        let built_in = Limits::default();
        assert_eq!(limits.slope.mb_per_hour, 9.0);
        assert_eq!(limits.slope.least_rise_mb, built_in.slope.least_rise_mb);
        assert_eq!(limits.phase["joins"].threads, Some(7.0));
        let private = built_in.phase["joins"].private_mb;
        assert_eq!(limits.phase["joins"].private_mb, private);
    }

    #[test]
    fn a_limit_that_nobody_knows_is_refused_by_name() {
        for (wrong, word) in [
            ("[slope]\nmb = 1", "mb"),
            ("[phase.joins]\nfds = 1", "fds"),
            ("a = [", "line 1"),
        ] {
            let error = of(wrong).expect_err("no such limit");
            assert!(
                error.contains(word) && error.contains("limits.toml"),
                "{error}"
            );
        }
    }
}
