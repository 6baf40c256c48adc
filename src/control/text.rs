//! Text as the body of `POST /v1/sessions/{id}/speech`: answered with its first
//! sound, or with why there is none. With `chat` it isn't said, but what a chat server
//! answers to it.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::problem::{Kind, Problem};
use super::session::find;
use super::speech::Queued;
use super::{App, REQUEST};
use crate::remote;
use crate::run::chat::chat;
use crate::run::say::{Error, say};
use crate::run::session::Session;
use crate::stage::chat;
use crate::stage::tts::{self, MOST_TEXT, Text};

/// Bytes of a body: the longest text with every letter escaped as two halves, and
/// what stands around it.
const MOST_BODY: usize = 12 * MOST_TEXT + (4 << 10);

/// What is to be said.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    pub text: String,
    pub voice: Option<String>,
    pub speed: Option<f64>,
    /// Whether it is a question, whose answer is to be said.
    #[serde(default)]
    pub chat: bool,
}

impl From<remote::Error> for Problem {
    fn from(error: remote::Error) -> Self {
        let detail = error.to_string();
        match error {
            remote::Error::Url { .. } => Self::internal(detail),
            _ => Self::new(StatusCode::BAD_GATEWAY, detail),
        }
    }
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
            E::Command | E::Extra(_) | E::Start { .. } => Self::internal(detail),
            E::Server(error) => error.into(),
            E::Failed { .. } | E::NotSound(_) | E::Broken(_) => {
                Self::new(StatusCode::BAD_GATEWAY, detail)
            }
        }
    }
}

impl From<chat::Error> for Problem {
    fn from(error: chat::Error) -> Self {
        use chat::Error as E;
        let detail = error.to_string();
        match error {
            E::Off => Self::unprocessable(detail),
            E::Bounds(_) | E::Extra(_) => Self::internal(detail),
            E::Server(error) => error.into(),
            E::NoAnswer(_) | E::Trouble(_) | E::Cut | E::Empty => {
                Self::new(StatusCode::BAD_GATEWAY, detail)
            }
            E::Slow(_) => Self::new(StatusCode::GATEWAY_TIMEOUT, detail),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Push(error) => error.into(),
            Error::Tts(error) => error.into(),
            Error::Chat(error) => error.into(),
            Error::Silenced => Self::of(Kind::Silenced, error.to_string()),
        }
    }
}

/// Forgets what was asked and said
///
/// The next who comes is another.
#[utoipa::path(
    delete, path = "/v1/sessions/{id}/chat", operation_id = "forget_chat", tag = "speech",
    params(("id" = String, Path, description = "The session", example = "live")),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = 404, description = "no-session"),
        (status = 408, description = "too-slow"),
    )
)]
pub(super) async fn forget(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    find(&app, &id)?.history().clear();
    Ok(StatusCode::NO_CONTENT)
}

/// Says what `request` has as its body.
pub(super) async fn push(
    app: &App,
    session: Arc<Session>,
    interrupt: bool,
    request: Request,
) -> Result<Queued, Problem> {
    let body = body(request).await?;
    let words: Words = serde_json::from_slice(&body).map_err(|e| {
        let detail = format!(
            "The body must be {{\"text\": …, \"voice\"?: …, \"speed\"?: …, \"chat\"?: …}}: {e}."
        );
        Problem::unprocessable(detail)
    })?;
    speak(app, session, interrupt, words).await
}

/// The body of a request that has a text in it.
pub(super) async fn body(request: Request) -> Result<Bytes, Problem> {
    let body = timeout(REQUEST, to_bytes(request.into_body(), MOST_BODY)).await;
    let body = body.map_err(|_| {
        let detail = format!("The body did not come within {} s.", REQUEST.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
    })?;
    body.map_err(|_| {
        Problem::too_large(format!(
            "The body breaks off, or is larger than {MOST_BODY} bytes: a text has {MOST_TEXT} characters at most."
        ))
    })
}

/// Says `words`.
pub(super) async fn speak(
    app: &App,
    session: Arc<Session>,
    interrupt: bool,
    words: Words,
) -> Result<Queued, Problem> {
    if !app.tts.on() {
        return Err(tts::Error::Off.into());
    }
    let text = Text::new(&words.text, words.voice, words.speed)?;
    let tts = Arc::clone(&app.tts);
    let said = match words.chat {
        false => say(session, tts, text, interrupt).await?,
        true if !app.chat.on() => return Err(chat::Error::Off.into()),
        true => {
            let question = (words.text, text.manner);
            chat(session, Arc::clone(&app.chat), tts, question, interrupt).await?
        }
    };
    Ok(said.into())
}
