//! What an import says on its standard output with `--tell`: JSON, a line each.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// From one line to the next while it does the same: fast enough for a bar.
const LINES: Duration = Duration::from_millis(250);

/// A line.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// How far it is.
    Progress {
        /// What it does, in words.
        phase: String,
        /// How much of it all is done.
        done: u64,
        /// And of how much.
        of: u64,
    },
    /// How well what was made will do.
    Verdict(Value),
}

impl Told {
    /// What `line` says, if it is one of ours: libraries have words of their own.
    pub(super) fn of(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

/// Says it.
#[derive(Debug, Default)]
pub struct Teller {
    last: Option<(&'static str, Instant)>,
}

impl Teller {
    /// `done` of `of` steps are done, and it does `phase` now.
    pub fn progress(&mut self, phase: &'static str, done: usize, of: usize) {
        let now = Instant::now();
        let again = |(said, at): (&str, Instant)| said == phase && now - at < LINES;
        if !self.last.is_some_and(again) {
            self.last = Some((phase, now));
            say(&json!({"progress": {"phase": phase, "done": done, "of": of}}));
        }
    }

    /// The last word: how well what was made will do.
    pub fn verdict(verdict: &impl Serialize) {
        say(&json!({"verdict": verdict}));
    }
}

fn say(line: &Value) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood_and_what_libraries_say_is_not() {
        let line = r#"{"progress":{"phase":"checking","done":3,"of":9}}"#;
        let progress = Told::Progress {
            phase: "checking".into(),
            done: 3,
            of: 9,
        };
        assert_eq!(Told::of(line), Some(progress));
        let verdict = Told::of(r#"{"verdict":{"grade":"good"}}"#);
        assert_eq!(verdict, Some(Told::Verdict(json!({"grade": "good"}))));
        for other in ["", "[mp4 @ 0x1] moov atom not found", "{}", "3"] {
            assert_eq!(Told::of(other), None, "{other}");
        }
    }
}
