//! DH-LIVE's routes, for AI-VTUBER and other clients of it. There is one face, so
//! all of them are about the session `live`.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::routing::{get, post};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Kinds;
use crate::control::App;
use crate::control::memory::aside;
use crate::control::problem::Problem;
use crate::control::session::find;
use crate::control::speech::decoding;
use crate::control::upload::{Upload, Uploads};
use crate::memory::Level;
use crate::run::sessions::LIVE;
use crate::run::speech::MOST_WAITING;

/// Bytes of a body with a sound file as text, which is in memory while it is
/// read: a minute and a half of what DH-LIVE asks for, which is ten seconds.
const MOST_BODY: usize = 4 << 20;

pub(super) fn routes() -> Kinds {
    Kinds {
        brief: vec![
            ("/status", get(status)),
            ("/cleanup_memory", post(cleanup_memory)),
            ("/receive_audio_base64", post(receive_base64)),
        ],
        uploads: vec![("/receive_audio", post(receive))],
        endless: Vec::new(),
    }
}

/// A sound file that was taken.
#[derive(Serialize)]
struct Received {
    status: &'static str,
    message: &'static str,
    audio_info: AudioInfo,
}

#[derive(Serialize)]
struct AudioInfo {
    sample_rate: u32,
    /// In seconds.
    duration: f64,
    /// Of each channel.
    samples: u64,
}

async fn receive(State(app): State<App>, request: Request) -> Result<Json<Received>, Problem> {
    let upload = app.uploads.receive(request).await?;
    push(&app, upload, "Audio received and queued for processing").await
}

/// A sound file as text. It says its own rate: the one beside it isn't read.
#[derive(Deserialize)]
struct Encoded {
    #[serde(default)]
    audio_data: String,
}

async fn receive_base64(
    State(app): State<App>,
    request: Request,
) -> Result<Json<Received>, Problem> {
    let _place = app.uploads.place()?;
    let body = to_bytes(request.into_body(), MOST_BODY).await.map_err(|_| {
        let detail = format!(
            "The body breaks off, or is larger than {MOST_BODY} bytes: send a long file to /receive_audio."
        );
        Problem::too_large(detail)
    })?;
    let Encoded { audio_data } = serde_json::from_slice(&body)
        .map_err(|e| Problem::unprocessable(format!("The body isn't what is sent here: {e}.")))?;
    if audio_data.is_empty() {
        return Err(Problem::bad_request(
            "Audio data is required, as audio_data.",
        ));
    }
    let file = BASE64_STANDARD.decode(audio_data.trim_ascii());
    let file =
        file.map_err(|e| Problem::unprocessable(format!("audio_data isn't base64: {e}.")))?;
    drop(body);
    let upload = Uploads::stored(file).await?;
    push(
        &app,
        upload,
        "Base64 audio received and queued for processing",
    )
    .await
}

async fn push(app: &App, upload: Upload, message: &'static str) -> Result<Json<Received>, Problem> {
    let session = find(app, LIVE)?;
    let accepted = decoding(move || session.speech.push(upload.file, Some(&upload.hint))).await?;
    let duration = accepted.duration.as_secs_f64();
    Ok(Json(Received {
        status: "success",
        message,
        audio_info: AudioInfo {
            sample_rate: accepted.rate,
            duration,
            samples: (duration * f64::from(accepted.rate)).round() as u64,
        },
    }))
}

/// The words of DH-LIVE's program, and those of its document, which differ.
async fn status(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let session = find(&app, LIVE)?;
    let (stats, cast, reading) = (&session.stats, session.cast(), app.watchdog.reading());
    let tenth = |value: f64| (value * 10.0).round() / 10.0;
    let queued = session.speech.utterances();
    Ok(Json(json!({
        "status": "running",
        "running": true,
        "virtual_camera": false,
        "queue_size": queued,
        "audio_queue_size": queued,
        "max_queue_size": MOST_WAITING,
        "character": cast.avatar.id,
        "render_model": cast.model.bundle.id,
        "performance": {
            "fps": tenth(stats.fps.get()),
            "memory_mb": tenth(reading.rss_bytes as f64 / f64::from(1 << 20)),
            "cpu_percent": tenth(f64::from(reading.cpu_percent)),
            "avg_processing_time_ms": tenth(stats.frame.recent().mean.as_secs_f64() * 1e3),
            "total_frames_processed": stats.drawn.get(),
        },
    })))
}

async fn cleanup_memory(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let Json(done) = aside(move || app.watchdog.reclaim(Level::Hard)).await?;
    let mb = |bytes: u64| (bytes as f64 / f64::from(1 << 20) * 10.0).round() / 10.0;
    Ok(Json(json!({
        "status": "success",
        "message": "Memory cleanup completed",
        "memory_before_mb": mb(done.before_bytes),
        "memory_after_mb": mb(done.after_bytes),
        "memory_freed_mb": mb(done.freed_bytes),
    })))
}
