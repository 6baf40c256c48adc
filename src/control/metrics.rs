//! `GET /metrics`: the counters, for Prometheus (OpenMetrics 1.0).

use std::fmt;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::App;
use crate::memory::Level;
use crate::stats::{BUCKETS, Stats, Timing};

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

/// One number of a session's.
type Value = fn(&Stats) -> u64;

/// Reads every number at the moment that it is asked for.
struct Everything(App);

impl fmt::Debug for Everything {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Everything")
    }
}

impl Collector for Everything {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let app = &self.0;
        let sessions = app.sessions.all();
        let mut out = Out(&mut encoder);

        out.gauge("sessions", "Sessions that run", sessions.len() as f64)?;
        let by_session = |value: &dyn Fn(&Stats) -> f64| -> Vec<(String, f64)> {
            let pairs = sessions.iter().map(|s| (s.id.clone(), value(&s.stats)));
            pairs.collect()
        };
        let viewers: Vec<_> = sessions
            .iter()
            .map(|s| (s.id.clone(), app.viewers.count(&s.id) as f64))
            .collect();
        out.gauges("viewers", "Viewers connected or connecting", &viewers)?;
        let counters: [(&str, &str, Value); 7] = [
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
        ];
        for (name, help, value) in counters {
            let values: Vec<_> = sessions
                .iter()
                .map(|s| (s.id.clone(), value(&s.stats)))
                .collect();
            out.counters(name, help, "session", &values)?;
        }
        out.gauges(
            "av_skew_seconds",
            "When sound leaves less when its picture leaves",
            &by_session(&|s| s.av_skew.get()),
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
            (name, timings(&pick))
        });
        out.histograms("stage_seconds", "One frame's turn in each stage", &stages)?;
        out.histogram(
            "voice_latency_seconds",
            "From accepting sound to handing its frame to the network",
            &timings(&|s| Histogram::of(&s.voice_latency)),
        )?;

        let reading = app.watchdog.reading();
        out.gauge("rss_bytes", "Resident memory", reading.rss_bytes as f64)?;
        out.gauge(
            "memory_budget_bytes",
            "The memory budget",
            reading.budget_bytes as f64,
        )?;
        let reclaims: Vec<_> = Level::ALL
            .into_iter()
            .skip(1)
            .map(|level| (level.name().to_owned(), reading.reclaims[level as usize]))
            .collect();
        out.counters(
            "reclaims",
            "Times that memory was reclaimed",
            "level",
            &reclaims,
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

/// A histogram's buckets (each for itself), count and sum in seconds.
#[derive(Clone, Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    fn of(timing: &Timing) -> Self {
        let (cumulative, count, sum) = timing.histogram();
        let below = |n: usize| n.checked_sub(1).map_or(0, |n| cumulative[n]);
        Self {
            buckets: std::array::from_fn(|n| cumulative[n] - below(n)),
            count,
            sum,
        }
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            buckets: std::array::from_fn(|n| self.buckets[n] + other.buckets[n]),
            count: self.count + other.count,
            sum: self.sum + other.sum,
        }
    }

    fn write(&self, mut metric: MetricEncoder<'_>) -> fmt::Result {
        let over = self.count.saturating_sub(self.buckets.iter().sum());
        let finite = BUCKETS.into_iter().zip(self.buckets);
        let buckets: Vec<_> = finite.chain([(f64::MAX, over)]).collect();
        metric.encode_histogram::<NoLabelSet>(self.sum, self.count, &buckets, None)
    }
}

/// Writes metrics one after the other.
struct Out<'o, 'e>(&'o mut DescriptorEncoder<'e>);

impl Out<'_, '_> {
    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&value)
    }

    fn gauges(&mut self, name: &str, help: &str, values: &[(String, f64)]) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (session, value) in values {
            metric
                .encode_family(&[("session", session)])?
                .encode_gauge(value)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &[(String, u64)],
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (of, value) in values {
            metric
                .encode_family(&[(label, of)])?
                .encode_counter::<NoLabelSet, _, f64>(value, None)?;
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        histogram.write(
            self.0
                .encode_descriptor(name, help, None, MetricType::Histogram)?,
        )
    }

    fn histograms(&mut self, name: &str, help: &str, stages: &[(&str, Histogram)]) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (stage, histogram) in stages {
            histogram.write(metric.encode_family(&[("stage", *stage)])?)?;
        }
        Ok(())
    }
}
