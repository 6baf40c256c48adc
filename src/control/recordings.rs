//! `POST /v1/sessions/{id}/recording`, and `/v1/recordings`: what a session sends,
//! in files that are listed, downloaded and deleted.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tower::ServiceExt;
use tower_http::services::ServeFile;
use utoipa::ToSchema;

use super::App;
use super::problem::Problem;
use super::server::AtWork;
use super::session::{aside, find, unreadable};
use crate::run::recordings::{Error, Recording};

/// `{"action": "start"}` or `{"action": "stop"}`.
#[derive(Deserialize, ToSchema)]
#[schema(as = RecordingOrder)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    action: Action,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = RecordingAction)]
#[serde(rename_all = "lowercase")]
enum Action {
    Start,
    Stop,
}

/// All recordings, the oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Recordings)]
pub(super) struct All {
    recordings: Vec<Recording>,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::Unknown(_) => Self::not_found(detail),
            Error::Recording(_) | Error::Idle(_) | Error::Runs(_) | Error::Empty => {
                Self::conflict(detail)
            }
            Error::Full(_) => Self::new(StatusCode::INSUFFICIENT_STORAGE, detail),
            Error::Slow => Self::unavailable(detail),
            Error::Broken | Error::Folder(_) => Self::internal(detail),
        }
    }
}

/// Begins or ends the recording of a session
#[utoipa::path(
    post, path = "/v1/sessions/{id}/recording", operation_id = "order_recording", tag = "recordings",
    params(("id" = String, Path, description = "The session", example = "live")),
    request_body(content = Order, example = json!({"action": "start"})),
    responses(
        (status = 200, description = "It ended", body = Recording),
        (
            status = 201,
            description = "It began",
            body = Recording,
            headers(("Location" = String, description = "The recording"))
        ),
        (status = 404, description = "no-session"),
        (status = 408, description = "too-slow"),
        (status = 409, description = "conflict"),
        (status = 413, description = "too-large"),
        (status = 415, description = "unsupported-media-type"),
        (status = 422, description = "unprocessable"),
        (status = 503, description = "unavailable, busy"),
        (status = 507, description = "disk-full"),
    )
)]
pub(super) async fn order(
    State(app): State<App>,
    Path(id): Path<String>,
    order: Result<Json<Order>, JsonRejection>,
) -> Result<Response, Problem> {
    let session = find(&app, &id)?;
    let Json(Order { action }) = order.map_err(unreadable)?;
    let recordings = Arc::clone(&app.recordings);
    match action {
        Action::Start => {
            let begun = aside(move || recordings.start(&session)).await?;
            let place = HeaderValue::try_from(format!("/v1/recordings/{}", begun.id));
            let place = (LOCATION, place.expect("an id has letters and digits"));
            Ok((StatusCode::CREATED, [place], Json(begun)).into_response())
        }
        Action::Stop => {
            let done = aside(move || recordings.stop(&id)).await?;
            Ok(Json(done).into_response())
        }
    }
}

/// All recordings, the oldest first
#[utoipa::path(
    get, path = "/v1/recordings", operation_id = "list_recordings", tag = "recordings",
    responses(
        (status = 200, description = "Now", body = All),
        (status = 408, description = "too-slow"),
    )
)]
pub(super) async fn list(State(app): State<App>) -> Result<Json<All>, Problem> {
    let recordings = aside(move || app.recordings.list()).await?;
    Ok(Json(All { recordings }))
}

/// The file, or the part of it that is asked for (RFC 9110, 14)
///
/// Of one that runs, what there is.
#[utoipa::path(
    get, path = "/v1/recordings/{id}", operation_id = "get_recording", tag = "recordings",
    params(
        ("id" = String, Path, description = "The recording"),
        ("Range" = Option<String>, Header, description = "As `bytes=0-999`")
    ),
    responses(
        (status = 200, description = "An MP4 file", content(("video/mp4"))),
        (status = 206, description = "A part of it", content(("video/mp4"))),
        (status = 304, description = "It is as If-Modified-Since has it"),
        (status = 404, description = "not-found"),
        (status = 408, description = "too-slow"),
        (status = 409, description = "conflict"),
        (status = 412, description = "stale"),
        (status = 416, description = "out-of-range"),
    )
)]
pub(super) async fn download(
    State(app): State<App>,
    Path(id): Path<String>,
    at_work: Option<Extension<AtWork>>,
    request: Request,
) -> Result<Response, Problem> {
    let path = aside(move || app.recordings.file(&id)).await?;
    let Ok(answer) = ServeFile::new(path).oneshot(request).await;
    let (head, body) = answer.into_parts();
    // It takes as long as somebody reads it.
    let reading = at_work.map(|Extension(at_work)| at_work.reading());
    let body = Body::new(body).into_data_stream().inspect(move |_| {
        if let Some(reading) = &reading {
            reading.goes_on();
        }
    });
    Ok(Response::from_parts(head, Body::from_stream(body)))
}

/// Deletes a recording that has ended
#[utoipa::path(
    delete, path = "/v1/recordings/{id}", operation_id = "delete_recording", tag = "recordings",
    params(("id" = String, Path, description = "The recording")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "not-found"),
        (status = 408, description = "too-slow"),
        (status = 409, description = "conflict"),
    )
)]
pub(super) async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    aside(move || app.recordings.delete(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
