//! `PATCH /v1/sessions/{id}`: what can be changed of a session that runs.
//!
//! A model is shared by all sessions, and changed for all of them.

use std::time::Instant;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};

use super::App;
use super::problem::Problem;
use crate::avatar::is_id;
use crate::model::Bundle;

/// What is to be changed; what is left out stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    video_kbps: Option<u32>,
    /// Another model, by its folder's name under `assets/models`.
    model: Option<String>,
}

/// How it is now.
#[derive(Serialize)]
pub(super) struct Changed {
    video_kbps: u32,
    model: String,
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
    if let Some(id) = change.model {
        let app = App::clone(&app);
        // Loading takes a while, and a thread.
        let swapped = tokio::task::spawn_blocking(move || swap(&app, &id)).await;
        swapped
            .unwrap_or_else(|_| Err("the model could not be loaded".into()))
            .map_err(Problem::unprocessable)?;
    }
    Ok(Json(Changed {
        video_kbps: session.video_kbps(),
        model: app.library.bundle().id.clone(),
    }))
}

/// Loads the model `id` aside and lets it take over between two frames.
fn swap(app: &App, id: &str) -> Result<(), String> {
    if !is_id(id) {
        return Err(format!(
            "there is no model {id:?}: a model's id has letters, digits, - and _ only"
        ));
    }
    let folder = app.assets.join("models").join(id);
    let bundle = Bundle::open(&folder).map_err(|e| e.to_string())?;
    let swapped = app.library.swap(bundle, Instant::now());
    swapped.map_err(|e| e.to_string())
}
