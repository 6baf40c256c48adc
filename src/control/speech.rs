//! `POST /v1/sessions/{id}/speech` and `…/interrupt`: what the avatar says, and
//! that it shall stop.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use serde::Serialize;

use super::App;
use super::problem::Problem;
use super::session::find;
use crate::run::script::Interrupted;
use crate::run::speech::{Accepted, PushError};
use crate::stage::audio::file;

/// What becomes of a sound file that was pushed.
#[derive(Serialize)]
pub(super) struct Queued {
    utterance: u64,
    duration_s: f64,
    /// Seconds of speech that are played before.
    queued_s: f64,
}

impl From<Accepted> for Queued {
    fn from(accepted: Accepted) -> Self {
        Self {
            utterance: accepted.utterance,
            duration_s: accepted.duration.as_secs_f64(),
            queued_s: accepted.queued.as_secs_f64(),
        }
    }
}

impl From<PushError> for Problem {
    fn from(error: PushError) -> Self {
        let text = error.to_string();
        match error {
            PushError::Full { retry_after } => Self::too_many(text).retry_after(retry_after),
            PushError::Ended => Self::conflict(text),
            PushError::NotSound(file::Error::Read(_)) => Self::internal(text),
            PushError::NotSound(_) => Self::unprocessable(text),
        }
    }
}

/// Takes a sound file as the body, or as the field `file` of a form.
pub(super) async fn push(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<(StatusCode, Json<Queued>), Problem> {
    let session = find(&app, &id)?;
    let upload = app.uploads.receive(request).await?;
    // Opening looks into the file: not on a thread that serves viewers.
    let pushed =
        tokio::task::spawn_blocking(move || session.speech.push(upload.file, Some(&upload.hint)));
    let accepted = pushed.await.map_err(|_| {
        Problem::unprocessable("The sound file can't be read: its decoder gave up.")
    })??;
    Ok((StatusCode::ACCEPTED, Json(accepted.into())))
}

/// Silences what is said and forgets what waits.
pub(super) async fn interrupt(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Interrupted>, Problem> {
    let session = find(&app, &id)?;
    let asked = tokio::task::spawn_blocking(move || session.interrupt()).await;
    let answer = asked.ok().flatten();
    answer
        .map(Json)
        .ok_or_else(|| Problem::conflict("The session is ending."))
}
