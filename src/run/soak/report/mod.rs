//! What people read of a run: a page with plots, and a text.

pub mod compare; // two runs side by side
mod page; // report.html
mod plot; // panels over one time axis
mod text; // report.md

use std::path::Path;

use super::record::{Error, Record};
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
    let seconds = timestamp as i64;
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days to a date: H. Hinnant, chrono-compatible low-level date algorithms.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year}-{month:02}-{day:02} {:02}:{:02} UTC",
        rest / 3_600,
        rest / 60 % 60
    )
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
