//! `POST /v1/sessions/{id}/action`: a named clip of the avatar, over its idle one.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::problem::Problem;
use super::session::{aside, find, unreadable};
use crate::run::renderer;

/// What is to be played; and the answer.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Action {
    /// Its name in the avatar's bundle. `idle` ends what plays.
    clip: String,
    #[serde(default)]
    when: When,
    #[serde(default = "once")]
    #[schema(minimum = 1, maximum = 1000)]
    loops: u32,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum When {
    #[default]
    Now,
    NextPause,
}

fn once() -> u32 {
    1
}

/// Plays a clip of the avatar over its idle one
///
/// `idle` ends what plays.
#[utoipa::path(
    post, path = "/v1/sessions/{id}/action", tag = "speech",
    params(("id" = String, Path, description = "The session", example = "live")),
    request_body(content = Action, example = json!({"clip": "idle"})),
    responses(
        (status = 202, description = "It will be played", body = Action),
        (status = 404, description = "no-session, not-found"),
        (status = 408, description = "too-slow"),
        (status = 409, description = "ending"),
        (status = 413, description = "too-large"),
        (status = 415, description = "unsupported-media-type"),
        (status = 422, description = "unprocessable"),
        (status = 503, description = "no-room, busy"),
    )
)]
pub(super) async fn action(
    State(app): State<App>,
    Path(id): Path<String>,
    action: Result<Json<Action>, JsonRejection>,
) -> Result<(StatusCode, Json<Action>), Problem> {
    let session = find(&app, &id)?;
    let Json(action) = action.map_err(unreadable)?;
    let when = match action.when {
        When::Now => renderer::When::Now,
        When::NextPause => renderer::When::Pause,
    };
    let (sessions, ordered) = (Arc::clone(&app.sessions), action.clone());
    aside(move || sessions.act(&session, &ordered.clip, when, ordered.loops)).await?;
    Ok((StatusCode::ACCEPTED, Json(action)))
}
