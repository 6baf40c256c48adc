//! The record of a run against its limits.

use serde::Serialize;

use super::fit::{Fit, blocks, theil_sen};
use super::limits::{self, Limits};
use super::phases::cycle;
use super::record::{Frames, Outcome, Phase, Record, Resources, SERVER};

/// Blocks that the steady part is cut into before a line is fitted, at most: what
/// neighbours share goes into one median.
const BLOCKS: f64 = 30.0;
/// Percent of the machine's time that is left when it is full.
const FULL: f64 = 5.0;
/// Seconds of an hour.
const HOUR: f64 = 3_600.0;

/// What is said of one thing that was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Judged {
    /// Within its limit.
    Passed,
    /// Over it.
    Failed,
    /// The run was too short to tell.
    Undecided,
    /// It wasn't run.
    Skipped,
}

impl Judged {
    /// As reports have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Undecided => "undecided",
            Self::Skipped => "skipped",
        }
    }
}

/// One thing that was judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What was allowed.
    pub limit: String,
    /// The judgement.
    pub judged: Judged,
}

/// What is said of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// All that was judged.
    pub checks: Vec<Check>,
    /// Slope of resident memory over the steady part, in megabytes an hour.
    #[serde(skip)]
    pub resident: Option<Line>,
    /// Slope of private memory.
    #[serde(skip)]
    pub private: Option<Line>,
}

/// A line through memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Per second.
    pub fit: Fit,
    /// Where it begins and ends, in seconds since the run began.
    pub ends: (f64, f64),
}

impl Verdict {
    /// Whether nothing was over its limit.
    pub fn passed(&self) -> bool {
        self.checks
            .iter()
            .all(|check| check.judged != Judged::Failed)
    }

    /// How many were judged so.
    pub fn count(&self, judged: Judged) -> usize {
        self.checks
            .iter()
            .filter(|check| check.judged == judged)
            .count()
    }

    /// One sentence.
    pub fn sentence(&self) -> String {
        let [passed, failed, undecided, skipped] = [
            Judged::Passed,
            Judged::Failed,
            Judged::Undecided,
            Judged::Skipped,
        ]
        .map(|j| self.count(j));
        let word = if self.passed() { "Passed" } else { "FAILED" };
        let mut text = format!("{word}: {passed} within their limits, {failed} over");
        if undecided > 0 {
            text += &format!(", {undecided} not told by a run so short");
        }
        if skipped > 0 {
            text += &format!(", {skipped} skipped");
        }
        text + "."
    }
}

/// Judges `record` by the limits that it was run with.
pub fn judge(record: &Record) -> Verdict {
    let limits = &record.run.limits;
    let steady = fitted(record, limits);
    // Another avatar or model takes more or less for a while, again and again: only
    // what is between two such turns is memory that grew.
    let cycle = cycle(record.run.minutes).as_secs_f64();
    let resident = line(&steady, cycle, |row| row.memory_rss_mb);
    let private = line(&steady, cycle, |row| row.private_mb);
    let mut checks = vec![
        slope("resident memory, slope", resident, limits),
        slope("private memory, slope", private, limits),
    ];
    for phase in &record.phases {
        checks.extend(judge_phase(phase, limits));
    }
    checks.extend(second_speech(record, limits));
    checks.extend(stream(record, limits));
    Verdict {
        checks,
        resident,
        private,
    }
}

/// The server's rows of the steady part, without the warm-up.
fn fitted<'r>(record: &'r Record, limits: &Limits) -> Vec<&'r Resources> {
    let steady = record.phases.iter().find(|phase| phase.phase == "steady");
    let Some(steady) = steady else {
        return Vec::new();
    };
    let end = record
        .of(SERVER)
        .last()
        .map_or(0.0, |row| row.elapsed_seconds);
    let warm = (limits.slope.warm_up_minutes * 60.0).min(end / 3.0);
    let from = steady.from_seconds.max(warm);
    let inside = |row: &&Resources| (from..=steady.to_seconds).contains(&row.elapsed_seconds);
    record.of(SERVER).filter(inside).collect()
}

/// A line through the medians of blocks of `rows`, each a whole `cycle` or more.
fn line(rows: &[&Resources], cycle: f64, value: fn(&Resources) -> f64) -> Option<Line> {
    let points = rows.iter().map(|row| (row.elapsed_seconds, value(row)));
    let ends = (rows.first()?.elapsed_seconds, rows.last()?.elapsed_seconds);
    let width = ((ends.1 - ends.0) / BLOCKS).max(cycle);
    let whole = ends.0 + ((ends.1 - ends.0) / width).floor() * width;
    let points: Vec<_> = points.take_while(|point| point.0 < whole).collect();
    let fit = theil_sen(&blocks(&points, width))?;
    Some(Line { fit, ends })
}

fn slope(what: &str, line: Option<Line>, limits: &Limits) -> Check {
    let limits = &limits.slope;
    let limit = format!("{} MB/h", limits.mb_per_hour);
    let Some(Line { fit, .. }) = line else {
        return Check {
            what: what.into(),
            found: "not told: the steady part is too short for a line".into(),
            limit,
            judged: Judged::Undecided,
        };
    };
    let [slope, low, high] = [fit.slope, fit.low, fit.high].map(|per_second| per_second * HOUR);
    let surely = fit.low * fit.span;
    let (judged, word) = if high <= limits.mb_per_hour {
        (Judged::Passed, "")
    } else if low > limits.mb_per_hour && surely >= limits.least_rise_mb {
        (Judged::Failed, "")
    } else {
        (Judged::Undecided, ": not told by a run so short")
    };
    let minutes = fit.span / 60.0;
    Check {
        what: what.into(),
        found: format!(
            "{slope:+.2} MB/h (95 %: {low:+.2} to {high:+.2}) over {minutes:.1} min{word}"
        ),
        limit,
        judged,
    }
}

fn judge_phase(phase: &Phase, limits: &Limits) -> Vec<Check> {
    let check = |what: String, found: String, limit: String, judged| Check {
        what,
        found,
        limit,
        judged,
    };
    let name = &phase.phase;
    match phase.outcome {
        Outcome::Ran => {}
        Outcome::Skipped => {
            let found = phase.why.clone();
            return vec![check(name.clone(), found, "runs".into(), Judged::Skipped)];
        }
        Outcome::Interrupted => {
            let found = format!("not to its end: {}", phase.why);
            return vec![check(name.clone(), found, "runs".into(), Judged::Undecided)];
        }
        Outcome::Failed => {
            let found = phase.why.clone();
            return vec![check(name.clone(), found, "runs".into(), Judged::Failed)];
        }
    }
    let limits = limits.phase.get(name);
    let none = limits::Phase::default();
    let (limits, delta) = (limits.unwrap_or(&none), phase.delta.unwrap_or_default());
    let megabytes = [
        ("resident memory", delta.rss_mb, limits.resident_mb),
        ("private memory", delta.private_mb, limits.private_mb),
    ];
    let counts = [
        ("descriptors", delta.descriptors, limits.descriptors),
        ("threads", delta.threads, limits.threads),
    ];
    let mut checks = Vec::new();
    for (what, found, limit) in megabytes {
        if let Some(limit) = limit {
            checks.push(check(
                format!("{name}, {what}"),
                format!("{found:+.2} MB"),
                format!("+{limit} MB"),
                within(found <= limit && phase.delta.is_some()),
            ));
        }
    }
    for (what, found, limit) in counts {
        if let Some(limit) = limit {
            checks.push(check(
                format!("{name}, {what}"),
                format!("{found:+}"),
                format!("±{limit}"),
                within(found.abs() <= limit && phase.delta.is_some()),
            ));
        }
    }
    if checks.is_empty() {
        checks.push(check(
            name.clone(),
            "ran".into(),
            "runs".into(),
            Judged::Passed,
        ));
    }
    checks
}

fn within(holds: bool) -> Judged {
    if holds {
        Judged::Passed
    } else {
        Judged::Failed
    }
}

/// Whether the long speech began at the level of the short one.
fn second_speech(record: &Record, limits: &Limits) -> Option<Check> {
    let before = |name: &str| {
        let phase = record.phases.iter().find(|phase| phase.phase == name)?;
        phase.before
    };
    let (short, long) = (before("speech-short")?, before("speech-long")?);
    let limit = limits.phase.get("speech-long")?.resident_mb?;
    let rise = long.rss_mb - short.rss_mb;
    Some(Check {
        what: "the second speech begins where the first began".into(),
        found: format!("{:.1} MB, then {:.1} MB", short.rss_mb, long.rss_mb),
        limit: format!("+{limit} MB"),
        judged: within(rise <= limit),
    })
}

/// Seconds in which the machine was somebody else's.
pub fn stolen(frames: &[Frames], limits: &limits::Machine) -> Vec<bool> {
    let taken = |row: &Frames| {
        let full = row.idle_percent < FULL && row.others_percent >= limits.others_percent;
        full || row.steal_percent >= limits.steal_percent || row.stall_ms >= limits.stall_ms
    };
    let alone: Vec<bool> = frames.iter().map(taken).collect();
    // What happens at the end of one second is seen in the next.
    (0..alone.len())
        .map(|n| (n.saturating_sub(1)..(n + 2).min(alone.len())).any(|m| alone[m]))
        .collect()
}

fn stream(record: &Record, limits: &Limits) -> Vec<Check> {
    let stolen = stolen(&record.frames, &limits.machine);
    let allowed = |phase: &str| {
        let own = limits.phase.get(phase).and_then(|phase| phase.gap_ms);
        own.unwrap_or(limits.stream.gap_ms)
    };
    let (mut late, mut late_stolen) = (0, 0);
    let (mut gaps, mut gaps_stolen, mut worst) = (0, 0, 0.0_f64);
    let mut last_late = 0;
    for (row, stolen) in record.frames.iter().zip(&stolen) {
        let now = row.late_frames.unwrap_or(last_late);
        let more = now.saturating_sub(last_late);
        last_late = now;
        let over = u64::from(row.worst_gap_ms > allowed(&row.phase));
        if *stolen {
            (late_stolen, gaps_stolen) = (late_stolen + more, gaps_stolen + over);
        } else {
            (late, gaps) = (late + more, gaps + over);
            worst = worst.max(row.worst_gap_ms);
        }
    }
    let besides = |n: u64| match n {
        0 => String::new(),
        n => format!("; {n} more while the machine was busy elsewhere"),
    };
    let seconds = stolen.iter().filter(|stolen| **stolen).count();
    let mut checks = vec![
        Check {
            what: "late frames".into(),
            found: format!("{late}{}", besides(late_stolen)),
            limit: limits.stream.late_frames.to_string(),
            judged: within(late <= limits.stream.late_frames),
        },
        Check {
            what: "seconds with a gap between pictures that is too long".into(),
            found: format!(
                "{gaps} (the worst gap: {worst:.0} ms){}",
                besides(gaps_stolen)
            ),
            limit: format!("0 over {} ms", limits.stream.gap_ms),
            judged: within(gaps == 0),
        },
    ];
    if seconds > 0 {
        // Said, and not judged: the reader must know how much that excuses.
        let of = stolen.len();
        checks[1].found += &format!(" ({seconds} of {of} s)");
    }
    if let Some(last) = record.frames.last().filter(|last| last.packets > 0) {
        let lost = last.lost_packets as f64 * 1e3 / (last.packets + last.lost_packets) as f64;
        checks.push(Check {
            what: "packets that never came".into(),
            found: format!(
                "{} of {}",
                last.lost_packets,
                last.packets + last.lost_packets
            ),
            limit: format!("{} of 1000", limits.stream.lost_per_thousand),
            judged: within(lost <= limits.stream.lost_per_thousand),
        });
    }
    let first = record
        .phases
        .iter()
        .filter_map(|phase| phase.first_picture_ms);
    if let Some(slowest) = first.max_by(f64::total_cmp) {
        let joins: u64 = record.phases.iter().map(|phase| phase.joins).sum();
        checks.push(Check {
            what: format!("offer to first picture, the slowest of {joins}"),
            found: format!("{slowest:.0} ms"),
            limit: format!("{} ms", limits.stream.first_picture_ms),
            judged: within(slowest <= limits.stream.first_picture_ms),
        });
    }
    checks
}

#[cfg(test)]
mod tests;
