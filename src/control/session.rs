//! `PATCH /v1/sessions/{id}`: what can be changed of a session that runs.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};

use super::App;
use super::problem::Problem;

/// What is to be changed; what is left out stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    video_kbps: Option<u32>,
}

/// How it is now.
#[derive(Serialize)]
pub(super) struct Changed {
    video_kbps: u32,
}

pub(super) async fn patch(
    State(app): State<App>,
    Path(id): Path<String>,
    change: Result<Json<Change>, JsonRejection>,
) -> Result<Json<Changed>, Problem> {
    let session = super::speech::session(&app, &id)?;
    let Json(change) = change.map_err(|e| Problem::unprocessable(e.body_text()))?;
    if let Some(kbps) = change.video_kbps {
        session
            .set_video_kbps(kbps)
            .map_err(|e| Problem::unprocessable(e.to_string()))?;
    }
    Ok(Json(Changed {
        video_kbps: session.video_kbps(),
    }))
}
