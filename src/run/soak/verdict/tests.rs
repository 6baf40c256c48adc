//! Made runs and what is said of them.

use super::super::made;
use super::*;

fn found<'v>(verdict: &'v Verdict, what: &str) -> &'v Check {
    let check = verdict
        .checks
        .iter()
        .find(|check| check.what.starts_with(what));
    check.unwrap_or_else(|| panic!("no {what} in {verdict:#?}"))
}

#[test]
fn an_hour_without_a_leak_passes() {
    let verdict = judge(&made::record(60.0, 0.0));
    assert!(verdict.passed(), "{verdict:#?}");
    assert_eq!(
        found(&verdict, "resident memory, slope").judged,
        Judged::Passed
    );
    assert!(
        verdict.sentence().starts_with("Passed: "),
        "{}",
        verdict.sentence()
    );
}

#[test]
fn a_leak_of_three_megabytes_an_hour_is_found_and_measured() {
    let verdict = judge(&made::record(60.0, 3.0));
    assert!(!verdict.passed());
    for what in ["resident memory, slope", "private memory, slope"] {
        assert_eq!(found(&verdict, what).judged, Judged::Failed, "{what}");
    }
    let line = verdict.resident.expect("an hour is enough");
    assert!((line.fit.slope * HOUR - 3.0).abs() < 0.3, "{line:?}");
}

#[test]
fn half_an_hour_tells_a_great_leak_and_three_minutes_leave_it_open() {
    let judged = |minutes, leak| {
        let verdict = judge(&made::record(minutes, leak));
        (
            found(&verdict, "resident memory, slope").judged,
            verdict.passed(),
        )
    };
    assert_eq!(judged(3.0, 0.0), (Judged::Undecided, true));
    assert_eq!(judged(3.0, 200.0), (Judged::Undecided, true));
    assert_eq!(judged(30.0, 200.0), (Judged::Failed, false));
}

#[test]
fn a_phase_that_leaves_more_than_it_may_fails_by_its_name() {
    let mut record = made::record(60.0, 0.0);
    let joins = record
        .phases
        .iter_mut()
        .find(|phase| phase.phase == "joins");
    let delta = joins.expect("made").delta.as_mut().expect("made");
    (delta.private_mb, delta.descriptors) = (5.5, -3.0);
    let verdict = judge(&record);
    assert_eq!(found(&verdict, "joins, private").judged, Judged::Failed);
    assert_eq!(found(&verdict, "joins, descriptors").judged, Judged::Failed);
    assert_eq!(found(&verdict, "joins, threads").judged, Judged::Passed);
    assert_eq!(verdict.count(Judged::Failed), 2);
}

#[test]
fn what_was_skipped_is_never_passed_and_what_failed_fails() {
    let mut record = made::record(60.0, 0.0);
    record.phases[1].outcome = Outcome::Skipped;
    record.phases[1].why = "no PulseAudio".into();
    let verdict = judge(&record);
    let check = found(&verdict, &record.phases[1].phase);
    assert_eq!(check.judged, Judged::Skipped);
    assert!(check.found.contains("no PulseAudio") && verdict.passed());
    record.phases[2].outcome = Outcome::Failed;
    assert!(!judge(&record).passed());
}

#[test]
fn a_phase_whose_memory_is_unknown_does_not_pass() {
    let mut record = made::record(60.0, 0.0);
    let joins = record
        .phases
        .iter_mut()
        .find(|phase| phase.phase == "joins");
    joins.expect("made").delta = None;
    assert_eq!(
        found(&judge(&record), "joins, private").judged,
        Judged::Failed
    );
}

#[test]
fn gaps_are_ours_unless_the_machine_was_elsewhere() {
    let mut record = made::record(60.0, 0.0);
    for row in &mut record.frames[100..] {
        row.late_frames = row.late_frames.map(|late| late + 2);
    }
    record.frames[100].worst_gap_ms = 150.0;
    let verdict = judge(&record);
    assert_eq!(found(&verdict, "late frames").judged, Judged::Failed);
    assert_eq!(found(&verdict, "seconds with a gap").judged, Judged::Failed);
    let judged = |record: &Record| found(&judge(record), "late frames").judged;
    (
        record.frames[99].others_percent,
        record.frames[99].idle_percent,
    ) = (30.0, 9.0);
    assert_eq!(
        judged(&record),
        Judged::Failed,
        "others had it, but not all"
    );
    record.frames[99].idle_percent = 0.0;
    assert_eq!(judged(&record), Judged::Passed);
    record.frames[99].others_percent = 2.0;
    record.frames[99].stall_ms = 40.0;
    let verdict = judge(&record);
    let late = found(&verdict, "late frames");
    assert_eq!(late.judged, Judged::Passed);
    assert!(
        late.found.contains("2 more while the machine"),
        "{}",
        late.found
    );
    assert_eq!(found(&verdict, "seconds with a gap").judged, Judged::Passed);
}

#[test]
fn a_hard_reclaim_has_a_limit_of_its_own() {
    let mut record = made::record(60.0, 0.0);
    record.frames[50].worst_gap_ms = 100.0;
    assert!(judge(&record).passed());
    record.frames[50].phase = "reclaim-hard".into();
    assert!(!judge(&record).passed());
}

#[test]
fn a_second_speech_that_begins_higher_is_seen() {
    let mut record = made::record(60.0, 0.0);
    let long = record
        .phases
        .iter_mut()
        .find(|phase| phase.phase == "speech-long");
    long.expect("made").before.as_mut().expect("made").rss_mb += 1.5;
    assert_eq!(
        found(&judge(&record), "the second speech").judged,
        Judged::Failed
    );
}
