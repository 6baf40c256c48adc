//! What people read of a run: a page with plots, and a text.

pub mod compare; // two runs side by side
mod page; // report.html
mod plot; // panels over one time axis
mod text; // report.md

use std::path::Path;

use time::UtcDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::record::{Error, Phase, Record};
use super::verdict::Verdict;

/// Writes `report.html` and `report.md` into `folder`.
///
/// # Errors
///
/// When the disk says no.
pub fn write(record: &Record, verdict: &Verdict, folder: &Path) -> Result<(), Error> {
    for (name, text) in [
        ("report.html", page::html(record, verdict)),
        ("report.md", text::markdown(record, verdict)),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|source| Error::Write { path, source })?;
    }
    Ok(())
}

/// A length of time as people say it.
fn minutes(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// A second since 1970 as a date and a time of day, in UTC.
fn date(timestamp: f64) -> String {
    const DATE: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    let date = UtcDateTime::from_unix_timestamp(timestamp as i64);
    let date = date.ok().and_then(|date| date.format(DATE).ok());
    date.unwrap_or_else(|| "at an unknown time".into())
}

/// What was measured in a phase, as the columns of a table: how long it took, the
/// megabytes before and after, how many more are resident and private, late frames,
/// and the worst gap in milliseconds.
fn columns(phase: &Phase) -> [String; 7] {
    let number = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.1}"));
    let signed = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:+.1}"));
    [
        minutes(phase.to_seconds - phase.from_seconds),
        number(phase.before.map(|level| level.rss_mb)),
        number(phase.after.map(|level| level.rss_mb)),
        signed(phase.delta.map(|level| level.rss_mb)),
        signed(phase.delta.map(|level| level.private_mb)),
        phase.late_frames.to_string(),
        format!("{:.0}", phase.worst_gap_ms),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::{made, verdict};
    use super::*;

    #[test]
    fn times_read_as_people_write_them() {
        assert_eq!(
            (minutes(59.6), minutes(3_725.0)),
            ("1:00".into(), "1:02:05".into())
        );
        assert_eq!(date(0.0), "1970-01-01 00:00 UTC");
        assert_eq!(date(1_709_210_096.5), "2024-02-29 12:34 UTC");
    }

    #[test]
    fn the_page_stands_alone_and_shows_everything() {
        let record = made::record(60.0, 0.0);
        let folder = tempfile::tempdir().expect("a folder");
        write(&record, &verdict::judge(&record), folder.path()).expect("room");
        let page = std::fs::read_to_string(folder.path().join("report.html")).expect("there");
        for outside in ["src=\"http", "href=\"http", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        for part in [
            "<svg",
            "Memory",
            "Processor",
            "Frame times",
            "interrupt",
            "prefers-color-scheme",
            "joins",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(
            page.contains("A &lt;processor&gt; &amp; more"),
            "names are escaped"
        );
        assert!(!page.contains("NaN") && !page.contains("inf\""));
        assert!(page.len() < 1 << 20, "{} bytes for an hour", page.len());
        let text = std::fs::read_to_string(folder.path().join("report.md")).expect("there");
        assert!(
            text.contains("Passed") && text.contains("| resident memory, slope |"),
            "{text}"
        );
    }

    #[test]
    fn a_run_of_nothing_has_a_page_too() {
        let mut record = made::record(1.0, 0.0);
        record.resources.clear();
        record.frames.clear();
        record.phases.clear();
        record.events.clear();
        let folder = tempfile::tempdir().expect("a folder");
        write(&record, &verdict::judge(&record), folder.path()).expect("room");
    }
}
