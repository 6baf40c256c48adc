//! Runs that never were, with a leak of known size, for tests.

use std::path::Path;

use super::limits::Limits;
use super::record::*;

/// A run of `minutes` whose server grows by `leak` megabytes an hour. The first
/// half is phases.
pub fn record(minutes: f64, leak: f64) -> Record {
    let seconds = (minutes * 60.0) as usize;
    let at = |n: usize| n as f64;
    let base = |n: usize| 170.0 + leak * at(n) / 3_600.0;
    let mut resources = Vec::new();
    let mut frames = Vec::new();
    for n in 0..seconds {
        let row = |name: &str, pid, mb: f64| Resources {
            timestamp: 1e9 + at(n),
            elapsed_seconds: at(n),
            process_name: name.into(),
            pid,
            cpu_percent: 30.0 + at(n % 7),
            memory_rss_mb: mb,
            memory_percent: mb / 80.0,
            private_mb: mb - 40.0,
            threads: 12,
            descriptors: 30,
        };
        // As the allocator does: some pages here and there, alike every minute.
        let noise = at(n * 7 % 10) / 40.0 + at(n % 11) / 40.0;
        resources.push(row(SERVER, 7, base(n) + noise));
        resources.push(row(SOAK, 8, 30.0));
        frames.push(Frames {
            timestamp: 1e9 + at(n),
            elapsed_seconds: at(n),
            phase: if 2 * n < seconds { "joins" } else { "steady" }.into(),
            frames: Some(n as u64 * 25),
            drawn_frames: Some(n as u64 * 25),
            late_frames: Some(0),
            frame_p50_ms: Some(9.0),
            frame_p95_ms: Some(12.0),
            frame_max_ms: Some(15.0 + at(n % 5)),
            viewers: Some(4),
            watching: 4,
            viewer_frames: n as u64 * 100,
            worst_gap_ms: 44.0 + at(n % 3),
            packets: n as u64 * 500,
            lost_packets: 0,
            idle_percent: 60.0,
            steal_percent: 0.1,
            others_percent: 2.0,
            stall_ms: 1.0,
        });
    }
    let names = ["warm-up", "speech-short", "speech-long", "joins"];
    let half = at(seconds) / 2.0;
    let mut phases: Vec<Phase> = (0..)
        .zip(names)
        .map(|(n, name)| {
            phase(
                name,
                half / 4.0 * f64::from(n),
                half / 4.0 * f64::from(n + 1),
            )
        })
        .collect();
    phases.push(phase("steady", half, at(seconds)));
    Record {
        run: Run {
            version: "0.1.0".into(),
            began: 1e9,
            minutes,
            viewers: 4,
            churn_s: 8.0,
            settings: vec!["avatar=ava".into()],
            processor: "A <processor> & more".into(),
            cores: 2,
            memory_mb: 8_000.0,
            limits: Limits::default(),
        },
        resources,
        frames,
        events: vec![Event {
            elapsed_seconds: half + 5.0,
            event: "interrupt".into(),
        }],
        phases,
    }
}

fn phase(name: &str, from: f64, to: f64) -> Phase {
    let level = Level {
        rss_mb: 170.0,
        private_mb: 130.0,
        descriptors: 30.0,
        threads: 12.0,
    };
    Phase {
        phase: name.into(),
        what: "made for a test".into(),
        outcome: Outcome::Ran,
        why: String::new(),
        from_seconds: from,
        to_seconds: to,
        sound_seconds: to - from,
        real_time_factor: Some(1.0),
        cpu_seconds: Some((to - from) * 0.3),
        before: Some(level),
        after: Some(level),
        delta: Some(level.above(&level)),
        late_frames: 0,
        worst_gap_ms: 46.0,
        joins: 4,
        first_picture_ms: Some(110.0),
    }
}

/// Writes the files of `record`.
pub fn write(record: &Record, folder: &Path) {
    let mut files = Files::create(folder, &record.run).expect("a place");
    for row in &record.resources {
        files.resources(row).expect("written");
    }
    for row in &record.frames {
        files.frames(row).expect("written");
    }
    for event in &record.events {
        files.event(event).expect("written");
    }
    for phase in &record.phases {
        files.phase(phase).expect("written");
    }
}
