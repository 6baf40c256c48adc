//! Two runs side by side.

use super::super::record::{Record, SERVER};
use super::super::verdict::{Verdict, judge};
use super::{date, minutes};

/// The table of both.
pub fn markdown(one: &Record, two: &Record) -> String {
    let both = [one, two];
    let verdicts = both.map(judge);
    let mut text = String::from("| | first | second |\n|---|---:|---:|\n");
    let mut row = |what: &str, value: &dyn Fn(usize) -> String| {
        text += &format!("| {what} | {} | {} |\n", value(0), value(1));
    };
    row("when", &|n| date(both[n].run.began));
    row("version", &|n| both[n].run.version.clone());
    row("length", &|n| {
        minutes(
            both[n]
                .resources
                .last()
                .map_or(0.0, |row| row.elapsed_seconds),
        )
    });
    row("verdict", &|n| verdicts[n].sentence());
    row("resident, slope, MB/h", &|n| slope(&verdicts[n]));
    row("resident, at most, MB", &|n| {
        let rss = both[n].of(SERVER).map(|row| row.memory_rss_mb);
        format!("{:.1}", rss.fold(0.0, f64::max))
    });
    row("processor, mean, % of a core", &|n| {
        let count = both[n].of(SERVER).count().max(1) as f64;
        format!(
            "{:.1}",
            both[n].of(SERVER).map(|row| row.cpu_percent).sum::<f64>() / count
        )
    });
    row("late frames", &|n| {
        let last = both[n].frames.last().and_then(|row| row.late_frames);
        last.unwrap_or(0).to_string()
    });
    row("worst gap, ms", &|n| {
        let gaps = both[n].frames.iter().map(|row| row.worst_gap_ms);
        format!("{:.0}", gaps.fold(0.0, f64::max))
    });
    // Every phase that either has, in the order of the first.
    let mut names: Vec<&str> = one
        .phases
        .iter()
        .map(|phase| phase.phase.as_str())
        .collect();
    for phase in &two.phases {
        if !names.contains(&phase.phase.as_str()) {
            names.push(&phase.phase);
        }
    }
    for name in names {
        let delta = |n: usize| {
            let phase = both[n].phases.iter().find(|phase| phase.phase == name);
            phase
                .and_then(|phase| phase.delta)
                .map_or("–".into(), |delta| {
                    format!("{:+.1} / {:+.1}", delta.rss_mb, delta.private_mb)
                })
        };
        row(&format!("{name}: resident / private, MB"), &delta);
    }
    text
}

fn slope(verdict: &Verdict) -> String {
    verdict.resident.map_or("–".into(), |line| {
        let [slope, low, high] = [line.fit.slope, line.fit.low, line.fit.high].map(|s| s * 3_600.0);
        format!("{slope:+.2} ({low:+.2} to {high:+.2})")
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::made;
    use super::*;

    #[test]
    fn what_either_run_has_stands_in_its_column() {
        let mut one = made::record(60.0, 0.0);
        let two = made::record(60.0, 5.0);
        one.phases.remove(1);
        let text = markdown(&one, &two);
        assert!(
            text.contains("| speech-short: resident / private, MB | – | +0.0 / +0.0 |"),
            "{text}"
        );
        let slopes = text
            .lines()
            .find(|line| line.starts_with("| resident, slope"))
            .expect("a row");
        let columns: Vec<&str> = slopes.split('|').collect();
        assert!(
            columns[3].trim().starts_with("+5.0") || columns[3].trim().starts_with("+4.9"),
            "{slopes}"
        );
        assert!(!columns[2].contains("+5"), "{slopes}");
    }
}
