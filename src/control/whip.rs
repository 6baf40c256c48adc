//! `/whip/{session}`: a voice by WHIP (RFC 9725), which the face speaks.
//!
//! Offers and what follows them are as with WHEP. Pictures that are offered too
//! are refused in the answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::App;
use super::api;
use super::auth::{self, Auth};
use super::problem::Problem;
use super::session::find;
use super::whep::{self, not_allowed};

/// `/whip/{session}` for who shows the token that controls, and
/// `/whip/{session}/{id}` for who knows the address.
pub(super) fn described(auth: &Auth) -> OpenApiRouter<App> {
    let session = routes!(offer, session_options).map(|session| {
        session
            .fallback(|| not_allowed("POST, OPTIONS"))
            .layer(from_fn_with_state(auth.control_here(), auth::require))
    });
    let publisher = routes!(leave, trickle, publisher_options)
        .map(|publisher| publisher.fallback(|| not_allowed("PATCH, DELETE, OPTIONS")));
    let mut session = OpenApiRouter::default().routes(session);
    api::guard(session.get_openapi_mut(), api::IN_ADDRESS);
    session.routes(publisher)
}

/// Talks: a WHIP offer and its answer
///
/// What is heard is spoken by the face, in the place of the session's source.
#[utoipa::path(
    post, path = "/whip/{session}", operation_id = "talk", tag = "talking",
    params(("session" = String, Path, description = "The session", example = "live")),
    request_body(
        content = String,
        content_type = "application/sdp",
        description = "An SDP offer, which sends Opus"
    ),
    responses(
        (
            status = 201,
            description = "An SDP answer",
            body = String,
            content_type = "application/sdp",
            headers(
                ("Location" = String, description = "The publisher: delete it to leave"),
                ("ETag" = String, description = "For PATCH")
            )
        ),
        (status = 404, description = "no-session"),
        (status = 406, description = "no-codec"),
        (status = 408, description = "too-slow"),
        (status = 409, description = "conflict"),
        (status = 413, description = "too-large"),
        (status = 415, description = "unsupported-media-type"),
        (status = 422, description = "broken-offer"),
        (status = 503, description = "unavailable, busy"),
    )
)]
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

/// What a publisher may ask, and its ICE servers
#[utoipa::path(
    options, path = "/whip/{session}", operation_id = "whip_session_options", tag = "talking",
    params(("session" = String, Path, description = "The session", example = "live")),
    responses(
        (status = 204, description = "In its headers"),
        (status = 404, description = "no-session"),
    )
)]
async fn session_options(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    find(&app, &id)?;
    Ok(whep::offers_taken(&app.viewers))
}

/// More candidates, or a restart of ICE
#[utoipa::path(
    patch, path = "/whip/{session}/{id}", operation_id = "whip_trickle", tag = "talking",
    params(
        ("session" = String, Path, description = "The session", example = "live"),
        ("id" = String, Path, description = "The publisher")
    ),
    request_body(
        content = String,
        content_type = "application/trickle-ice-sdpfrag",
        description = "An SDP fragment"
    ),
    responses(
        (
            status = 200,
            description = "Restarted: our fragment",
            body = String,
            content_type = "application/trickle-ice-sdpfrag"
        ),
        (status = 204, description = "They are taken"),
        (status = 404, description = "not-found"),
        (status = 408, description = "too-slow"),
        (status = 412, description = "stale"),
        (status = 413, description = "too-large"),
        (status = 415, description = "unsupported-media-type"),
        (status = 422, description = "broken-offer"),
        (status = 428, description = "precondition-required"),
    )
)]
async fn trickle(
    State(app): State<App>,
    Path((session, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    whep::change(&app.viewers, &session, &id, &headers, body).await
}

/// Leaves
#[utoipa::path(
    delete, path = "/whip/{session}/{id}", operation_id = "whip_leave", tag = "talking",
    params(
        ("session" = String, Path, description = "The session", example = "live"),
        ("id" = String, Path, description = "The publisher")
    ),
    responses(
        (status = 200, description = "Goodbye"),
        (status = 404, description = "not-found"),
    )
)]
async fn leave(
    State(app): State<App>,
    Path((session, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    whep::end(&app.viewers, &session, &id)
}

/// What a publisher may ask
#[utoipa::path(
    options, path = "/whip/{session}/{id}", operation_id = "whip_publisher_options", tag = "talking",
    params(
        ("session" = String, Path, description = "The session", example = "live"),
        ("id" = String, Path, description = "The publisher")
    ),
    responses(
        (status = 204, description = "In its headers"),
    )
)]
async fn publisher_options() -> Response {
    whep::connection_options().await
}
