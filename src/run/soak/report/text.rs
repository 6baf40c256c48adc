//! `report.md`: the verdict, for where there is no browser.

use super::super::record::Record;
use super::super::verdict::Verdict;
use super::{columns, date, minutes};

/// The text.
pub fn markdown(record: &Record, verdict: &Verdict) -> String {
    let run = &record.run;
    let end = record
        .resources
        .last()
        .map_or(0.0, |row| row.elapsed_seconds);
    let mut text = format!(
        "# Mouthpiece, soaked for {}\n\n**{}**\n\n{}, version {}, {} viewers, one changed every {} s, on {} × {}, {:.1} GB.\n\n",
        minutes(end),
        verdict.sentence(),
        date(run.began),
        run.version,
        run.viewers,
        run.churn_s,
        run.cores,
        run.processor,
        run.memory_mb / 1024.0,
    );
    text += "| what | found | limit | |\n|---|---|---|---|\n";
    for check in &verdict.checks {
        let word = check.judged.word();
        text += &format!(
            "| {} | {} | {} | {word} |\n",
            check.what, check.found, check.limit
        );
    }
    text +=
        "\n| phase | what ran | took | MB before | after | resident | private | late | gap, ms |\n";
    text += "|---|---|---:|---:|---:|---:|---:|---:|---:|\n";
    for phase in &record.phases {
        let why = if phase.why.is_empty() {
            String::new()
        } else {
            format!(" ({})", phase.why)
        };
        text += &format!(
            "| {} | {}{why} | {} |\n",
            phase.phase,
            phase.what,
            columns(phase).join(" | ")
        );
    }
    text
}
