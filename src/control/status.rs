//! `GET /v1/status`, `/healthz`, `/readyz`: how it goes.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::problem::{Kind, Problem};
use crate::memory::Level;
use crate::run::session::Session;
use crate::stats::Recent;

#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    version: &'static str,
    uptime_s: f64,
    text: Text,
    sessions: Vec<SessionStatus>,
    process: Process,
}

/// What may be done with a text, so that a page offers only that.
#[derive(Serialize, ToSchema)]
struct Text {
    /// There is somebody who speaks it.
    speech: bool,
    /// There is somebody who answers it.
    chat: bool,
}

#[derive(Serialize, ToSchema)]
struct SessionStatus {
    id: String,
    state: &'static str,
    avatar: String,
    model: String,
    source: crate::stage::audio::Source,
    published: bool,
    width: usize,
    height: usize,
    fps: f64,
    frames: u64,
    drawn_frames: u64,
    late_frames: u64,
    late_chunks: u64,
    late_pictures: u64,
    failed_mouths: u64,
    viewers: usize,
    queue_s: f64,
    ring_depth: f64,
    av_skew_ms: f64,
    voice_latency_ms: f64,
    frame_cpu_ms: Milliseconds,
    stages_ms: BTreeMap<&'static str, Milliseconds>,
}

#[derive(Serialize, ToSchema)]
struct Milliseconds {
    mean: f64,
    p50: f64,
    p95: f64,
    max: f64,
}

#[derive(Serialize, ToSchema)]
struct Process {
    rss_mb: f64,
    budget_mb: f64,
    cpu_percent: f32,
    level: Level,
    /// How many there are of each name.
    threads: BTreeMap<String, usize>,
}

/// Milliseconds with two decimals: more is noise.
fn ms(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 1e2
}

impl From<Recent> for Milliseconds {
    fn from(recent: Recent) -> Self {
        Self {
            mean: ms(recent.mean),
            p50: ms(recent.p50),
            p95: ms(recent.p95),
            max: ms(recent.max),
        }
    }
}

fn session(app: &App, session: &Session) -> SessionStatus {
    let stats = &session.stats;
    let stages = stats.stages().into_iter();
    let cast = session.cast();
    SessionStatus {
        id: session.id.clone(),
        state: session.state(),
        avatar: cast.avatar.name.clone(),
        model: cast.model.bundle.manifest.name.clone(),
        source: session.source(),
        published: session.published(),
        width: cast.avatar.size.width,
        height: cast.avatar.size.height,
        fps: (stats.fps.get() * 10.0).round() / 10.0,
        frames: stats.frames.get(),
        drawn_frames: stats.drawn.get(),
        late_frames: stats.late_frames.get(),
        late_chunks: stats.late_chunks.get(),
        late_pictures: stats.late_pictures.get(),
        failed_mouths: stats.failed_mouths.get(),
        viewers: app.viewers.count(&session.id),
        queue_s: session.speech.queued().as_secs_f64(),
        ring_depth: stats.ring_depth.get(),
        av_skew_ms: (stats.av_skew.get() * 1e5).round() / 1e2,
        voice_latency_ms: ms(stats.voice_latency.recent().p50),
        frame_cpu_ms: stats.frame_cpu.recent().into(),
        stages_ms: stages
            .map(|(name, timing)| (name, timing.recent().into()))
            .collect(),
    }
}

/// How it goes: the process, and each session
#[utoipa::path(
    get, path = "/v1/status", tag = "state",
    responses(
        (status = 200, description = "Now", body = Status),
        (status = 408, description = "too-slow"),
    )
)]
pub(super) async fn status(State(app): State<App>) -> Json<Status> {
    let reading = app.watchdog.reading();
    let mb = |bytes: u64| (bytes as f64 / f64::from(1 << 20) * 10.0).round() / 10.0;
    let sessions = app.sessions.all();
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: (app.started.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        text: Text {
            speech: app.tts.on(),
            chat: app.chat.on(),
        },
        sessions: sessions.iter().map(|s| session(&app, s)).collect(),
        process: Process {
            rss_mb: mb(reading.rss_bytes),
            budget_mb: mb(reading.budget_bytes),
            cpu_percent: reading.cpu_percent,
            level: reading.level,
            threads: crate::process::threads(),
        },
    })
}

/// The process answers
#[utoipa::path(
    get, path = "/healthz", tag = "state",
    responses(
        (status = 200, description = "It does", body = String, content_type = "text/plain"),
    )
)]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The session streams, and viewers are welcome
#[utoipa::path(
    get, path = "/readyz", tag = "state",
    responses(
        (status = 200, description = "It does", body = String, content_type = "text/plain"),
        (status = 408, description = "too-slow"),
        (status = 503, description = "over-memory, unavailable"),
    )
)]
pub(super) async fn readyz(State(app): State<App>) -> Result<&'static str, Problem> {
    let ready = app.sessions.get(crate::run::sessions::LIVE).is_some();
    let over = app.watchdog.reading().level == Level::Over;
    match (ready, over) {
        (true, false) => Ok("ready\n"),
        (true, true) => Err(Problem::of(
            Kind::OverMemory,
            "The process is over its memory budget (memory.budget_mb).",
        )),
        (false, _) => Err(Problem::unavailable("The session is ending.")),
    }
}
