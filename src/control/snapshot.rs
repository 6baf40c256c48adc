//! `POST /v1/sessions/{id}/snapshot`: the next picture, as a JPEG file.

use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;

use super::App;
use super::problem::Problem;
use super::session::{aside, find};

/// The next picture
#[utoipa::path(
    post, path = "/v1/sessions/{id}/snapshot", tag = "recordings",
    params(("id" = String, Path, description = "The session", example = "live")),
    responses(
        (status = 200, description = "A JPEG file", content(("image/jpeg"))),
        (status = 404, description = "no-session"),
        (status = 408, description = "too-slow"),
        (status = 503, description = "unavailable, busy"),
    )
)]
pub(super) async fn snapshot(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let session = find(&app, &id)?;
    let file = aside(move || {
        let still = session.still().ok_or_else(|| {
            Problem::unavailable("No picture came in time, or too many ask for one: try again.")
        })?;
        still
            .jpeg()
            .map_err(|error| Problem::internal(error.to_string()))
    });
    let headers = [(CONTENT_TYPE, "image/jpeg"), (CACHE_CONTROL, "no-store")];
    Ok((headers, file.await?))
}
