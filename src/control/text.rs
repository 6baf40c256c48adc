//! Text as the body of `POST /v1/sessions/{id}/speech`: answered with its first
//! sound, or with why there is none.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::problem::{Kind, Problem};
use super::speech::Queued;
use super::{App, REQUEST};
use crate::run::say::{Error, say};
use crate::run::session::Session;
use crate::stage::tts::{self, MOST_TEXT, Text};

/// Bytes of a body: the longest text with every letter escaped as two halves, and
/// what stands around it.
const MOST_BODY: usize = 12 * MOST_TEXT + (4 << 10);

/// What is to be said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    text: String,
    voice: Option<String>,
    speed: Option<f64>,
}

impl From<tts::Error> for Problem {
    fn from(error: tts::Error) -> Self {
        use tts::Error as E;
        let detail = error.to_string();
        match error {
            E::Off => Self::unsupported_media_type(detail),
            E::Bounds(_) | E::Voice(_) | E::Empty | E::Long(_) => Self::unprocessable(detail),
            E::Missing(_) => Self::unavailable(detail),
            E::Slow => Self::new(StatusCode::GATEWAY_TIMEOUT, detail),
            E::Command | E::Url(_) | E::Extra(_) | E::Start { .. } => Self::internal(detail),
            E::Failed { .. }
            | E::Unreachable { .. }
            | E::Refused { .. }
            | E::NotSound(_)
            | E::Broken(_) => Self::new(StatusCode::BAD_GATEWAY, detail),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Push(error) => error.into(),
            Error::Tts(error) => error.into(),
            Error::Silenced => Self::of(Kind::Silenced, error.to_string()),
        }
    }
}

/// Says what `request` has as its body.
pub(super) async fn push(
    app: &App,
    session: Arc<Session>,
    interrupt: bool,
    request: Request,
) -> Result<Queued, Problem> {
    if !app.tts.on() {
        return Err(tts::Error::Off.into());
    }
    let body = timeout(REQUEST, to_bytes(request.into_body(), MOST_BODY)).await;
    let body = body.map_err(|_| {
        let detail = format!("The body did not come within {} s.", REQUEST.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
    })?;
    let body = body.map_err(|_| {
        Problem::too_large(format!(
            "The body breaks off, or is larger than {MOST_BODY} bytes: a text has {MOST_TEXT} characters at most."
        ))
    })?;
    let words: Words = serde_json::from_slice(&body).map_err(|e| {
        let detail =
            format!("The body must be {{\"text\": …, \"voice\"?: …, \"speed\"?: …}}: {e}.");
        Problem::unprocessable(detail)
    })?;
    let text = Text::new(&words.text, words.voice, words.speed)?;
    let said = say(session, Arc::clone(&app.tts), text, interrupt).await?;
    Ok(said.into())
}
