//! `report.html`: everything on one page that needs nothing else.

use super::super::record::{Outcome, Record, Resources, SERVER, SOAK};
use super::super::verdict::{Judged, Line, Verdict, stolen};
use super::plot::{Curve, Panel, Plot, Straight, escape};
use super::{columns, date, minutes};

/// How it looks, in the light and in the dark.
const STYLE: &str = include_str!("style.css");

/// The page.
pub fn html(record: &Record, verdict: &Verdict) -> String {
    let run = &record.run;
    let end = record
        .resources
        .last()
        .map_or(0.0, |row| row.elapsed_seconds);
    let class = if verdict.passed() { "passed" } else { "failed" };
    let word = if verdict.passed() { "Passed" } else { "Failed" };
    let settings = run
        .settings
        .iter()
        .map(|set| format!("<code>{}</code>", escape(set)));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Soak: {word}</title>\n<style>\n{STYLE}</style>\n\
         <header><h1>Mouthpiece, soaked for {}</h1>\n\
         <p class=\"verdict {class}\">{}</p>\n\
         <p class=\"run\">{} · version {} · {} viewers, one changed every {} s · {} × {} · {:.1} GB<br>{}</p></header>\n\
         {}\n<section class=\"plot\">{}</section>\n{}\n{}\n\
         <footer>Measured from outside the server, once a second: <code>resources.csv</code>, <code>frames.csv</code>, \
         <code>events.csv</code>, <code>results.jsonl</code>. <code>mouthpiece soak report</code> draws this page from them.</footer>\n",
        minutes(end),
        escape(&verdict.sentence()),
        date(run.began),
        escape(&run.version),
        run.viewers,
        run.churn_s,
        run.cores,
        escape(&run.processor),
        run.memory_mb / 1024.0,
        settings.collect::<Vec<_>>().join(" "),
        tiles(record, verdict),
        plot(record, verdict, end).svg(),
        checks(verdict),
        phases(record),
    )
}

/// The figures that are looked for first.
fn tiles(record: &Record, verdict: &Verdict) -> String {
    let server = || record.of(SERVER);
    let peak = server().map(|row| row.memory_rss_mb).fold(0.0, f64::max);
    let slope = verdict.resident.map_or("–".into(), |line| {
        let [slope, low, high] = [line.fit.slope, line.fit.low, line.fit.high].map(|s| s * 3_600.0);
        format!("{slope:+.2}<small> MB/h, {low:+.2} to {high:+.2}</small>")
    });
    let count = server().count().max(1) as f64;
    let cpu = server().map(|row| row.cpu_percent).sum::<f64>() / count;
    let last = record.frames.last();
    let late = last.and_then(|row| row.late_frames).unwrap_or(0);
    let frames = last.map_or(0, |row| row.viewer_frames);
    let gap = record
        .frames
        .iter()
        .map(|row| row.worst_gap_ms)
        .fold(0.0, f64::max);
    let joins: u64 = record.phases.iter().map(|phase| phase.joins).sum();
    let tile = |name: &str, value: String| format!("<div><dt>{name}</dt><dd>{value}</dd></div>");
    format!(
        "<dl class=\"tiles\">{}{}{}{}{}{}</dl>",
        tile("memory, slope", slope),
        tile("memory, at most", format!("{peak:.0}<small> MB</small>")),
        tile(
            "processor, mean",
            format!("{cpu:.0}<small> % of a core</small>")
        ),
        tile(
            "late frames",
            format!("{late}<small> of {frames} seen</small>")
        ),
        tile("worst gap", format!("{gap:.0}<small> ms</small>")),
        tile("viewers who came", joins.to_string()),
    )
}

fn plot(record: &Record, verdict: &Verdict, end: f64) -> Plot {
    let of = |process: &str, value: fn(&Resources) -> f64| -> Vec<(f64, f64)> {
        record
            .of(process)
            .map(|row| (row.elapsed_seconds, value(row)))
            .collect()
    };
    let curve = |name, class, points| Curve {
        name,
        class,
        points,
        highest: false,
    };
    let frames = |value: fn(&super::super::record::Frames) -> Option<f64>| -> Vec<(f64, f64)> {
        let rows = record.frames.iter();
        rows.filter_map(|row| Some((row.elapsed_seconds, value(row)?)))
            .collect()
    };
    let highest = |name, class, points| Curve {
        name,
        class,
        points,
        highest: true,
    };
    let limits = &record.run.limits;
    let taken = stolen(&record.frames, &limits.machine);
    let level = |ms: f64| Straight("limit", (0.0, ms), (end, ms));
    let mut gaps = vec![level(limits.stream.gap_ms)];
    // Seconds in a row are one line.
    let seconds: Vec<_> = record.frames.iter().zip(taken).collect();
    for elsewhere in seconds.chunk_by(|a, b| a.1 == b.1).filter(|run| run[0].1) {
        let from = elsewhere[0].0.elapsed_seconds - 1.0;
        let to = elsewhere[elsewhere.len() - 1].0.elapsed_seconds;
        gaps.push(Straight("elsewhere", (from.max(0.0), 0.0), (to, 0.0)));
    }
    let mut panels = vec![
        Panel {
            title: "Memory".into(),
            unit: "MB",
            height: 210.0,
            from_zero: true,
            curves: vec![
                curve("resident", "a", of(SERVER, |row| row.memory_rss_mb)),
                curve("private", "b", of(SERVER, |row| row.private_mb)),
                curve("the soak itself", "c", of(SOAK, |row| row.memory_rss_mb)),
            ],
            lines: Vec::new(),
        },
        Panel {
            title: "Processor".into(),
            unit: "% of one core",
            height: 110.0,
            from_zero: true,
            curves: vec![
                curve("server", "a", of(SERVER, |row| row.cpu_percent)),
                curve("the soak itself", "c", of(SOAK, |row| row.cpu_percent)),
            ],
            lines: Vec::new(),
        },
        Panel {
            title: "Frame times in the server, the last ten seconds of them".into(),
            unit: "ms",
            height: 110.0,
            from_zero: true,
            curves: vec![
                highest("slowest", "d", frames(|row| row.frame_max_ms)),
                highest("95 of 100", "b", frames(|row| row.frame_p95_ms)),
                highest("median", "a", frames(|row| row.frame_p50_ms)),
            ],
            lines: vec![level(40.0)],
        },
        Panel {
            title: "Longest time between two pictures at a viewer, each second".into(),
            unit: "ms; grey below: the machine was busy elsewhere",
            height: 110.0,
            from_zero: true,
            curves: vec![highest("gap", "d", frames(|row| Some(row.worst_gap_ms)))],
            lines: gaps,
        },
        Panel {
            title: "Viewers".into(),
            unit: "",
            height: 56.0,
            from_zero: true,
            curves: vec![highest(
                "see pictures",
                "a",
                frames(|row| Some(row.watching as f64)),
            )],
            lines: Vec::new(),
        },
    ];
    if let Some(zoomed) = zoomed(record, verdict) {
        panels.insert(1, zoomed);
    }
    Plot {
        end,
        bands: record
            .phases
            .iter()
            .map(|phase| {
                let class = match phase.outcome {
                    Outcome::Ran => "ran",
                    Outcome::Failed => "failed",
                    Outcome::Skipped | Outcome::Interrupted => "skipped",
                };
                (
                    phase.phase.clone(),
                    phase.from_seconds,
                    phase.to_seconds,
                    class,
                )
            })
            .collect(),
        events: record
            .events
            .iter()
            .filter(|event| !event.event.starts_with("phase "))
            .map(|event| (event.elapsed_seconds, event.event.clone()))
            .collect(),
        panels,
    }
}

/// The steady part, close: memory as it differs from the fitted lines' beginning.
fn zoomed(record: &Record, verdict: &Verdict) -> Option<Panel> {
    let (resident, private) = (verdict.resident?, verdict.private?);
    let of = |line: Line, value: fn(&Resources) -> f64| -> Vec<(f64, f64)> {
        let zero = at(line, line.ends.0);
        let inside = |row: &&Resources| (line.ends.0..=line.ends.1).contains(&row.elapsed_seconds);
        let rows = record.of(SERVER).filter(inside);
        rows.map(|row| (row.elapsed_seconds, value(row) - zero))
            .collect()
    };
    let fitted = |class, line: Line| {
        let (from, to) = line.ends;
        Straight(class, (from, 0.0), (to, at(line, to) - at(line, from)))
    };
    let curve = |name, class, points| Curve {
        name,
        class,
        points,
        highest: false,
    };
    Some(Panel {
        title: "Memory in the steady part, less where its fitted lines begin".into(),
        unit: "MB",
        height: 130.0,
        from_zero: false,
        curves: vec![
            curve("resident", "a", of(resident, |row| row.memory_rss_mb)),
            curve("private", "b", of(private, |row| row.private_mb)),
        ],
        lines: vec![fitted("a", resident), fitted("b", private)],
    })
}

fn at(line: Line, seconds: f64) -> f64 {
    line.fit.offset + line.fit.slope * seconds
}

fn checks(verdict: &Verdict) -> String {
    let rows = verdict.checks.iter().map(|check| {
        let class = match check.judged {
            Judged::Passed => "passed",
            Judged::Failed => "failed",
            Judged::Undecided => "undecided",
            Judged::Skipped => "skipped",
        };
        format!(
            "<tr class=\"{class}\"><td>{}<td>{}<td>{}<td><b>{}</b>\n",
            escape(&check.what),
            escape(&check.found),
            escape(&check.limit),
            check.judged.word()
        )
    });
    format!(
        "<section><h2>What was judged</h2><div class=\"wide\"><table><tr><th>what<th>found<th>limit<th>\n{}</table></div></section>",
        rows.collect::<String>()
    )
}

fn phases(record: &Record) -> String {
    let rows = record.phases.iter().map(|phase| {
        let said = if phase.why.is_empty() { String::new() } else { format!("<br><i>{}</i>", escape(&phase.why)) };
        let factor = phase.real_time_factor.map_or("–".into(), |factor| format!("{factor:.2}"));
        let [took, rest @ ..] = columns(phase);
        format!(
            "<tr><td>{}<td>{}{said}<td class=\"n\">{took}<td class=\"n\">{factor}<td class=\"n\">{}\n",
            escape(&phase.phase),
            escape(&phase.what),
            rest.join("<td class=\"n\">"),
        )
    });
    format!(
        "<section><h2>Phases</h2><div class=\"wide\"><table><tr><th>phase<th>what ran<th class=\"n\">took<th class=\"n\">clock / sound\
         <th class=\"n\">MB before<th class=\"n\">after<th class=\"n\">resident<th class=\"n\">private<th class=\"n\">late<th class=\"n\">gap, ms\n{}</table></div></section>",
        rows.collect::<String>()
    )
}
