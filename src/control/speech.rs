//! `POST /v1/sessions/{id}/speech` and `…/interrupt`: what the avatar says, and
//! that it shall stop. What is JSON is [`text`].

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::problem::{Kind, Problem};
use super::session::find;
use super::text::{self, Words};
use super::upload::kind;
use crate::run::say::Said;
use crate::run::script::Interrupted;
use crate::run::speech::{Accepted, Opened, PushError};
use crate::stage::audio::file;

/// What becomes of a sound file or a text that was pushed.
#[derive(Serialize, ToSchema)]
pub(super) struct Queued {
    utterance: u64,
    /// Of a text nobody knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_s: Option<f64>,
    /// Seconds of speech that are played before.
    queued_s: f64,
    /// What was cut off for it, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<Interrupted>,
}

/// A form with a sound file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is read as it comes, by `super::upload`")]
struct SoundForm {
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    file: String,
}

/// How a sound file is pushed.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct How {
    /// What is said and what waits is cut off first.
    #[serde(default)]
    interrupt: bool,
}

impl From<Accepted> for Queued {
    fn from(accepted: Accepted) -> Self {
        Self {
            utterance: accepted.utterance,
            duration_s: Some(accepted.duration.as_secs_f64()),
            queued_s: accepted.queued.as_secs_f64(),
            cut: None,
        }
    }
}

impl From<Said> for Queued {
    fn from(said: Said) -> Self {
        Self {
            utterance: said.utterance,
            duration_s: None,
            queued_s: said.queued.as_secs_f64(),
            cut: said.cut,
        }
    }
}

impl From<PushError> for Problem {
    fn from(error: PushError) -> Self {
        let text = error.to_string();
        match error {
            PushError::Full { retry_after } => {
                Self::of(Kind::QueueFull, text).retry_after(retry_after)
            }
            PushError::Streams => Self::of(Kind::Busy, text),
            PushError::Ended => Self::of(Kind::Ending, text),
            PushError::NotSound(file::Error::Read(_)) => Self::internal(text),
            PushError::NotSound(_) => Self::of(Kind::NotSound, text),
        }
    }
}

/// Says a sound file, or a text
///
/// The file is the body, or the field `file` of a form: WAV, FLAC, MP3, OGG or M4A. A text
/// is answered when its first sound is there.
#[utoipa::path(
    post, path = "/v1/sessions/{id}/speech", operation_id = "speak", tag = "speech",
    params(("id" = String, Path, description = "The session", example = "live"), How),
    request_body(
        content(
            (Words = "application/json", example = json!({"text": "Hello there."})),
            ("audio/*"),
            (SoundForm = "multipart/form-data")
        )
    ),
    responses(
        (status = 202, description = "It will be said", body = Queued),
        (status = 404, description = "no-session"),
        (status = 408, description = "too-slow"),
        (status = 409, description = "ending, silenced"),
        (status = 413, description = "too-large"),
        (status = 415, description = "unsupported-media-type"),
        (status = 422, description = "unprocessable, not-sound"),
        (status = 429, description = "queue-full, too-often"),
        (status = 502, description = "upstream"),
        (status = 503, description = "busy, unavailable"),
        (status = 504, description = "upstream-slow"),
    )
)]
pub(super) async fn push(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(How { interrupt }): Query<How>,
    request: Request,
) -> Result<(StatusCode, Json<Queued>), Problem> {
    let session = find(&app, &id)?;
    if kind(request.headers()).starts_with("application/json") {
        let said = text::push(&app, session, interrupt, request).await?;
        return Ok((StatusCode::ACCEPTED, Json(said)));
    }
    let upload = app.uploads.receive(request).await?;
    let queued = decoding(move || {
        let hint = Some(upload.hint.as_str());
        if !interrupt {
            return session.speech.push(upload.file, hint).map(Queued::from);
        }
        let opened = Opened::file(upload.file, hint)?;
        let (cut, accepted) = session.interrupt_with(opened).ok_or(PushError::Ended)?;
        Ok(Queued {
            cut: Some(cut),
            ..accepted.into()
        })
    });
    Ok((StatusCode::ACCEPTED, Json(queued.await?)))
}

/// Opening looks into a file: not on a thread that serves viewers.
pub(super) async fn decoding<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PushError> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|_| {
        Problem::of(
            Kind::NotSound,
            "The sound file can't be read: its decoder gave up.",
        )
    })?;
    Ok(done?)
}

/// Silences what is said and forgets what waits
#[utoipa::path(
    post, path = "/v1/sessions/{id}/interrupt", tag = "speech",
    params(("id" = String, Path, description = "The session", example = "live")),
    responses(
        (status = 200, description = "What was cut off", body = Interrupted),
        (status = 404, description = "no-session"),
        (status = 408, description = "too-slow"),
        (status = 409, description = "ending"),
    )
)]
pub(super) async fn interrupt(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Interrupted>, Problem> {
    let session = find(&app, &id)?;
    let asked = tokio::task::spawn_blocking(move || session.interrupt()).await;
    let answer = asked.ok().flatten();
    answer
        .map(Json)
        .ok_or_else(|| Problem::of(Kind::Ending, "The session is ending."))
}
