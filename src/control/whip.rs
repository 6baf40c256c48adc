//! `/whip/{session}`: a voice by WHIP (RFC 9725), which the face speaks.
//!
//! Offers and what follows them are as with WHEP. Pictures that are offered too
//! are refused in the answer.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{delete, post};

use super::App;
use super::auth::{self, Auth};
use super::problem::Problem;
use super::session::find;
use super::whep::{self, connection_options, not_allowed};

/// `/whip/{session}` for who carries the token of `auth`, and
/// `/whip/{session}/{id}` for who knows the address.
pub(super) fn routes(auth: Auth) -> Router<App> {
    let session = post(offer)
        .options(session_options)
        .fallback(|| not_allowed("POST, OPTIONS"))
        .layer(from_fn_with_state(auth, auth::require));
    let publisher = delete(leave)
        .patch(trickle)
        .options(connection_options)
        .fallback(|| not_allowed("PATCH, DELETE, OPTIONS"));
    Router::new()
        .route("/whip/{session}", session)
        .route("/whip/{session}/{id}", publisher)
}

async fn offer(
    State(app): State<App>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let session = find(&app, &id)?;
    let sdp = whep::read_offer(&headers, body).await?;
    // An offer that never becomes a connection keeps no session.
    let session = Arc::downgrade(&session);
    let begin = move || match session.upgrade()?.publish() {
        Ok(voice) => Some(voice),
        Err(error) => {
            tracing::warn!("a voice can't be heard: {error}");
            None
        }
    };
    let answer = app.viewers.publish(&id, &sdp, begin).await?;
    Ok(whep::created(&uri, answer, &app.viewers))
}

async fn session_options(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    find(&app, &id)?;
    Ok(whep::offers_taken(&app.viewers))
}

async fn trickle(
    State(app): State<App>,
    Path((session, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    whep::change(&app.viewers, &session, &id, &headers, body).await
}

async fn leave(
    State(app): State<App>,
    Path((session, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    whep::end(&app.viewers, &session, &id)
}
