//! `GET /v1/sessions/{id}/speech/stream`: a WebSocket that is spoken while it
//! comes.
//!
//! The client opens with `{"type":"start","sample_rate":24000}` and sends 16-bit
//! little-endian mono samples as binary messages, as fast as it has them; when ten
//! seconds wait a megabyte more is read, and then nothing until there is room.
//! `{"type":"end"}` ends an utterance, `{"type":"clear"}` silences the session as
//! `POST …/interrupt` does, which also reaches who sent more than that. What was
//! sent is spoken to its end even if the socket closes. What is told, and what is
//! an error, is in [`talk`].

mod backlog; // what is read ahead of the stream
mod message; // what is said and told
mod talk; // one socket

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::App;
use super::problem::Problem;
use message::RATES;

/// Bytes of one message: ten seconds of sound and a little, or a long slip.
const MOST_BYTES: usize = 1 << 20;
/// Bytes that a socket reads ahead of its messages.
const READ_AHEAD: usize = 16 << 10;

/// A WebSocket for speech that is spoken while it comes
///
/// The client says `{"type":"start","sample_rate":24000}` and sends 16-bit little-endian mono as binary messages.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/speech/stream", operation_id = "stream_speech", tag = "speech",
    params(("id" = String, Path, description = "The session", example = "live")),
    responses(
        (status = 101, description = "It is a WebSocket now"),
        (status = 404, description = "no-session"),
        (status = 409, description = "ending"),
        (status = 426, description = "websocket"),
        (status = 503, description = "busy"),
    )
)]
pub(super) async fn stream(
    State(app): State<App>,
    Path(id): Path<String>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let session = super::session::find(&app, &id)?;
    let upgrade = upgrade.map_err(|e| {
        let detail = format!("This address is a WebSocket's: {}", e.body_text());
        Problem::new(StatusCode::UPGRADE_REQUIRED, detail)
    })?;
    // Its place is taken now; its rate is said when it starts.
    let speech = session.speech.open(RATES[0])?;
    Ok(upgrade
        .max_message_size(MOST_BYTES)
        .max_frame_size(MOST_BYTES)
        .read_buffer_size(READ_AHEAD)
        .on_upgrade(|socket| talk::talk(socket, session, speech)))
}
