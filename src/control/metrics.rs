//! `GET /metrics`: the counters, for Prometheus (OpenMetrics 1.0).
//!
//! Labels are bounded: sessions that run, routes that there are, and a few words.

mod out; // numbers -> text

use std::fmt;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use super::App;
use super::requests::CLASSES;
use crate::memory::Level;
use crate::run::session::Session;
use crate::stats::Stats;
use out::{Histogram, Out};

/// Figures for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "state",
    responses(
        (
            status = 200,
            description = "Now",
            body = String,
            content_type = "application/openmetrics-text"
        ),
        (status = 408, description = "too-slow"),
    )
)]
pub(super) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let mut registry = Registry::with_prefix("mouthpiece");
    registry.register_collector(Box::new(Everything(app)));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)
        .expect("writing to a string can't fail");
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text)
}

/// Reads every number at the moment that it is asked for.
struct Everything(App);

impl fmt::Debug for Everything {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Everything")
    }
}

/// A number of a session's.
type Value = fn(&Stats) -> u64;
/// What a session counts: name, meaning, number.
type Counter = (&'static str, &'static str, Value);

const COUNTERS: [Counter; 8] = [
    ("frames", "Frames of the timeline", |s| s.frames.get()),
    ("drawn_frames", "Frames drawn", |s| s.drawn.get()),
    ("late_frames", "Frames that nobody encoded in time", |s| {
        s.late_frames.get()
    }),
    (
        "late_chunks",
        "Chunks of live sound lost for being late",
        |s| s.late_chunks.get(),
    ),
    ("late_pictures", "Frames whose base picture was late", |s| {
        s.late_pictures.get()
    }),
    ("failed_mouths", "Frames on which the model failed", |s| {
        s.failed_mouths.get()
    }),
    (
        "slow_viewers",
        "Times that a viewer skipped to a key frame",
        |s| s.slow_viewers.get(),
    ),
    (
        "interrupts",
        "Times that somebody interrupted what was said, or waited to be",
        |s| s.interrupts.get(),
    ),
];

/// What becomes of utterances.
const OUTCOMES: [(&str, Value); 3] = [
    ("finished", |s| s.finished_utterances.get()),
    ("interrupted", |s| s.cut_utterances.get()),
    ("dropped", |s| s.dropped_utterances.get()),
];

impl Collector for Everything {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let app = &self.0;
        let sessions = app.sessions.all();
        let mut out = Out(&mut encoder);

        out.gauge("sessions", "Sessions that run", sessions.len() as f64)?;
        let by_session = |value: &dyn Fn(&Session) -> f64| -> Vec<_> {
            let values = sessions.iter();
            let values = values.map(|s| ([("session", s.id.as_str())], value(s)));
            values.collect()
        };
        out.gauges(
            "viewers",
            "Viewers connected or connecting",
            by_session(&|s| app.viewers.count(&s.id) as f64),
        )?;
        for (name, help, value) in COUNTERS {
            let values = sessions.iter();
            let values = values.map(|s| ([("session", s.id.as_str())], value(&s.stats)));
            out.counters(name, help, values)?;
        }
        out.counters(
            "utterances",
            "Utterances that are over",
            sessions.iter().flat_map(|s| {
                OUTCOMES.map(|(outcome, value)| {
                    let labels = [("session", s.id.as_str()), ("outcome", outcome)];
                    (labels, value(&s.stats))
                })
            }),
        )?;
        out.gauges(
            "queue_seconds",
            "Speech that was pushed and is not yet played",
            by_session(&|s| s.speech.queued().as_secs_f64()),
        )?;
        out.gauges(
            "av_skew_seconds",
            "When sound leaves less when its picture leaves",
            by_session(&|s| s.stats.av_skew.get()),
        )?;

        let timings = |pick: &dyn Fn(&Stats) -> Histogram| {
            // With those that have ended: what is counted never shrinks.
            let stats = sessions.iter().map(|s| &*s.stats);
            stats.fold(pick(app.sessions.ended()), |sum, s| sum.and(&pick(s)))
        };
        let names = Stats::default().stages().map(|(name, _)| name);
        let stages = names.map(|name| {
            let pick = |s: &Stats| {
                let stages = s.stages();
                let found = stages.iter().find(|(n, _)| *n == name);
                found.map_or(Histogram::default(), |(_, timing)| Histogram::of(timing))
            };
            ([("stage", name)], timings(&pick))
        });
        out.histograms("stage_seconds", "One frame's turn in each stage", stages)?;
        out.histogram(
            "voice_latency_seconds",
            "From accepting sound to handing its frame to the network",
            &timings(&|s| Histogram::of(&s.voice_latency)),
        )?;
        out.histogram(
            "tts_latency_seconds",
            "From asking for a sentence's speech to its first sound",
            &timings(&|s| Histogram::of(&s.tts_latency)),
        )?;
        out.histogram(
            "chat_latency_seconds",
            "From asking for an answer to its first words",
            &timings(&|s| Histogram::of(&s.chat_latency)),
        )?;

        let requests = app.requests.counts();
        let requests = requests.iter().flat_map(|(route, counts)| {
            let classes = CLASSES.into_iter().zip(*counts).filter(|(_, n)| *n > 0);
            classes.map(|(class, n)| ([("route", route.as_str()), ("status", class)], n))
        });
        out.counters("requests", "Requests answered", requests)?;

        let reading = app.watchdog.reading();
        out.gauge("rss_bytes", "Resident memory", reading.rss_bytes as f64)?;
        out.gauge(
            "memory_budget_bytes",
            "The memory budget",
            reading.budget_bytes as f64,
        )?;
        if let Some(gpu) = reading.gpu {
            let help =
                "Memory of the GPU that networks run on: by this process where known, else by all";
            out.gauge("gpu_memory_bytes", help, gpu.counted() as f64)?;
        }
        let levels = Level::ALL.into_iter().skip(1);
        out.counters(
            "reclaims",
            "Times that memory was reclaimed",
            levels.map(|level| ([("level", level.name())], reading.reclaims[level as usize])),
        )?;
        out.counter(
            "reclaimed_bytes",
            "Resident memory given back",
            reading.reclaimed_bytes,
        )?;
        let loaded = app.library.loaded() as f64;
        out.gauge("models_loaded", "Models in memory", loaded)
    }
}
