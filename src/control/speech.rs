//! `POST /v1/sessions/{id}/speech` and `…/interrupt`: what the avatar says, and
//! that it shall stop.

use std::fs::File;
use std::io::{Seek, Write};

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::Serialize;

use super::App;
use super::problem::Problem;
use crate::run::script::Interrupted;
use crate::run::session::Session;
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

pub(super) fn session(app: &App, id: &str) -> Result<std::sync::Arc<Session>, Problem> {
    app.sessions
        .get(id)
        .ok_or_else(|| Problem::not_found(format!("There is no session called {id:?}.")))
}

/// Takes a sound file as the body, or as the field `file` of a form.
pub(super) async fn push(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<(StatusCode, Json<Queued>), Problem> {
    let session = session(&app, &id)?;
    let kind = kind(request.headers());
    let most = app.max_upload;
    let (sound, hint) = if kind.starts_with("multipart/") {
        from_form(request, most).await?
    } else {
        if kind.starts_with("application/json") || kind.starts_with("text/") {
            return Err(Problem::unsupported_media_type(
                "Send a sound file (WAV, FLAC, MP3, OGG or M4A) as the body, or as the field `file` of a form.",
            ));
        }
        (
            spool(request.into_body().into_data_stream(), most).await?,
            kind,
        )
    };
    // Opening looks into the file: not on a thread that serves viewers.
    let pushed = tokio::task::spawn_blocking(move || session.speech.push(sound, Some(&hint)));
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
    let session = session(&app, &id)?;
    let asked = tokio::task::spawn_blocking(move || session.interrupt()).await;
    let answer = asked.ok().flatten();
    answer
        .map(Json)
        .ok_or_else(|| Problem::conflict("The session is ending."))
}

fn kind(headers: &HeaderMap) -> String {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.to_ascii_lowercase()
}

async fn from_form(request: Request<Body>, most: u64) -> Result<(File, String), Problem> {
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|e| Problem::bad_request(format!("The form can't be read: {}.", e.body_text())))?;
    loop {
        let field = form
            .next_field()
            .await
            .map_err(|e| Problem::bad_request(format!("The form breaks off: {}.", e.body_text())))?
            .ok_or_else(|| Problem::unprocessable("The form has no field called `file`."))?;
        if field.name() == Some("file") || field.file_name().is_some() {
            let hint = field.file_name().or(field.content_type());
            let hint = hint.unwrap_or_default().to_owned();
            return Ok((spool(field, most).await?, hint));
        }
    }
}

/// Writes the body to a file that has no name, so that a long one costs no
/// memory and leaves nothing behind.
async fn spool<E: std::fmt::Display>(
    mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    most: u64,
) -> Result<File, Problem> {
    let full =
        |e: std::io::Error| Problem::internal(format!("The sound can't be stored here: {e}."));
    let mut file = tempfile::tempfile().map_err(full)?;
    let mut size = 0;
    while let Some(part) = body.next().await {
        let part = part.map_err(|e| Problem::bad_request(format!("The body breaks off: {e}.")))?;
        size += part.len() as u64;
        if size > most {
            return Err(Problem::too_large(format!(
                "The sound file is larger than {} MB (speech.max_upload_mb).",
                most >> 20
            )));
        }
        file = tokio::task::spawn_blocking(move || file.write_all(&part).map(|()| file))
            .await
            .expect("writing doesn't panic")
            .map_err(full)?;
    }
    if size == 0 {
        return Err(Problem::unprocessable(
            "The body is empty: send a sound file.",
        ));
    }
    file.rewind().map_err(full)?;
    Ok(file)
}
