//! `POST /v1/sessions/{id}/action`: a named clip of the avatar, over its idle one.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::App;
use super::problem::Problem;
use super::session::{aside, find, unreadable};
use crate::run::renderer;

/// What is to be played; and the answer.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Action {
    /// Its name in the avatar's bundle. `idle` ends what plays.
    clip: String,
    #[serde(default)]
    when: When,
    #[serde(default = "once")]
    loops: u32,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum When {
    #[default]
    Now,
    NextPause,
}

fn once() -> u32 {
    1
}

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
