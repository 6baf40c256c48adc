//! `/whep/{session}`: viewers by WHEP (draft-ietf-wish-whep-03).
//!
//! Players in use bend the draft, each in its own way: this is as lenient as
//! can be told apart from a mistake.

mod body; // bounded in size and in time

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::header::{ALLOW, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, LINK, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::api;
use super::auth::{self, Auth};
use super::problem::{Kind, Problem};
use crate::hub::Hub;
use crate::stage::send::{Answer, OfferError, TrickleError, Trickled, Viewers};
use crate::stats::Stats;

/// When a full house may have a seat again.
const SEAT_AFTER: Duration = Duration::from_secs(5);

/// When a session that doesn't send yet may do so.
const SENDS_AFTER: Duration = Duration::from_secs(2);

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// What there is under a session's name.
#[derive(Clone)]
pub enum Found {
    /// A session that sends.
    Live {
        /// Where its packets are.
        hub: Arc<Hub>,
        /// What it measures.
        stats: Arc<Stats>,
    },
    /// A session that doesn't send yet.
    Waiting,
    /// Nothing.
    Nothing,
}

/// What the routes need.
#[derive(Clone)]
pub struct State {
    /// The register of viewers.
    pub viewers: Viewers,
    /// Finds a session by its name.
    pub sessions: Arc<dyn Fn(&str) -> Found + Send + Sync>,
}

/// `/whep/{session}` for who shows a token of `auth`, and
/// `/whep/{session}/{id}` for who knows the address.
pub fn routes(state: State, auth: &Auth) -> Router {
    described(state, auth).into()
}

/// [`routes`], with their description.
pub(super) fn described<S>(state: State, auth: &Auth) -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let session = routes!(offer, session_options).map(|session| {
        session
            .fallback(|| not_allowed("POST, OPTIONS"))
            .layer(from_fn_with_state(auth.watch(), auth::require))
    });
    let viewer = routes!(leave, trickle, connection_options)
        .map(|viewer| viewer.fallback(|| not_allowed("PATCH, DELETE, OPTIONS")));
    let mut session = OpenApiRouter::default().routes(session);
    api::guard(session.get_openapi_mut(), api::IN_ADDRESS);
    session
        .routes(viewer)
        .layer(from_fn(auth::cors))
        .with_state(state)
}

/// Watches: a WHEP offer and its answer
#[utoipa::path(
    post, path = "/whep/{session}", operation_id = "watch", tag = "watching",
    params(("session" = String, Path, description = "The session", example = "live")),
    request_body(
        content = String,
        content_type = "application/sdp",
        description = "An SDP offer, which receives"
    ),
    responses(
        (
            status = 201,
            description = "An SDP answer",
            body = String,
            content_type = "application/sdp",
            headers(
                ("Location" = String, description = "The viewer: delete it to leave"),
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
        (status = 503, description = "no-seat, unavailable, busy"),
    )
)]
async fn offer(
    Shared(state): Shared<State>,
    Path(session): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (hub, stats) = match (state.sessions)(&session) {
        Found::Live { hub, stats } => (hub, stats),
        Found::Waiting => {
            let detail = format!("session {session} does not send yet: try again");
            return Err(Problem::conflict(detail).retry_after(SENDS_AFTER));
        }
        Found::Nothing => return Err(no_session(&session)),
    };
    let sdp = read_offer(&headers, body).await?;
    let answer = state.viewers.offer(&session, &hub, &stats, &sdp).await?;
    Ok(created(&uri, answer, &state.viewers))
}

/// 201 with what an offer to `uri` got.
pub(super) fn created(uri: &Uri, answer: Answer, viewers: &Viewers) -> Response {
    let location = format!("{}/{}", uri.path(), answer.id);
    let mut response = (StatusCode::CREATED, answer.sdp).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert(ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT));
    headers.insert(ETAG, quoted(&answer.etag));
    let location = HeaderValue::try_from(location).expect("it was a request's path");
    headers.insert(LOCATION, location);
    add_links(headers, viewers);
    response
}

/// What a player may ask, and its ICE servers
#[utoipa::path(
    options, path = "/whep/{session}", tag = "watching",
    params(("session" = String, Path, description = "The session", example = "live")),
    responses(
        (status = 204, description = "In its headers"),
        (status = 404, description = "no-session"),
    )
)]
async fn session_options(
    Shared(state): Shared<State>,
    Path(session): Path<String>,
) -> Result<Response, Problem> {
    if matches!((state.sessions)(&session), Found::Nothing) {
        return Err(no_session(&session));
    }
    Ok(offers_taken(&state.viewers))
}

/// What an address that takes offers says of itself.
pub(super) fn offers_taken(viewers: &Viewers) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(ACCEPT_POST, HeaderValue::from_static(SDP));
    headers.insert(ALLOW, HeaderValue::from_static("POST, OPTIONS"));
    add_links(headers, viewers);
    response
}

/// More candidates, or a restart of ICE
#[utoipa::path(
    patch, path = "/whep/{session}/{id}", tag = "watching",
    params(
        ("session" = String, Path, description = "The session", example = "live"),
        ("id" = String, Path, description = "The viewer")
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
    Shared(state): Shared<State>,
    Path((session, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    change(&state.viewers, &session, &id, &headers, body).await
}

/// Takes a fragment for the connection `id` of `session`.
pub(super) async fn change(
    viewers: &Viewers,
    session: &str,
    id: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if !viewers.has(session, id) {
        return Err(TrickleError::Gone.into());
    }
    let fragment = body::text(headers, body, FRAGMENT).await?;
    let if_match = headers.get(IF_MATCH).and_then(|etag| etag.to_str().ok());
    match viewers.trickle(id, if_match, &fragment).await? {
        Trickled::Added => Ok(StatusCode::NO_CONTENT.into_response()),
        Trickled::Restarted { etag, fragment } => {
            let mut response = fragment.into_response();
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
            headers.insert(ETAG, quoted(&etag));
            Ok(response)
        }
    }
}

/// Leaves
#[utoipa::path(
    delete, path = "/whep/{session}/{id}", tag = "watching",
    params(
        ("session" = String, Path, description = "The session", example = "live"),
        ("id" = String, Path, description = "The viewer")
    ),
    responses(
        (status = 200, description = "Goodbye"),
        (status = 404, description = "not-found"),
    )
)]
async fn leave(
    Shared(state): Shared<State>,
    Path((session, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    end(&state.viewers, &session, &id)
}

/// Ends the connection `id` of `session`.
pub(super) fn end(viewers: &Viewers, session: &str, id: &str) -> Result<StatusCode, Problem> {
    if viewers.has(session, id) && viewers.close(id) {
        Ok(StatusCode::OK)
    } else {
        Err(TrickleError::Gone.into())
    }
}

/// What a viewer may ask
#[utoipa::path(
    options, path = "/whep/{session}/{id}", operation_id = "viewer_options", tag = "watching",
    params(
        ("session" = String, Path, description = "The session", example = "live"),
        ("id" = String, Path, description = "The viewer")
    ),
    responses(
        (status = 204, description = "In its headers"),
    )
)]
pub(super) async fn connection_options() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT));
    headers.insert(ALLOW, HeaderValue::from_static("PATCH, DELETE, OPTIONS"));
    response
}

/// 405, with what is allowed.
pub(super) async fn not_allowed(allowed: &'static str) -> Response {
    let detail = format!("this address takes {allowed}");
    let mut response = Problem::method_not_allowed(detail).into_response();
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(ALLOW, allowed);
    response
}

fn no_session(session: &str) -> Problem {
    Problem::of(Kind::NoSession, format!("there is no session {session}"))
}

fn add_links(headers: &mut HeaderMap, viewers: &Viewers) {
    for link in viewers.links() {
        if let Ok(link) = HeaderValue::from_str(link) {
            headers.append(LINK, link);
        }
    }
}

fn quoted(etag: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{etag}\"")).expect("an ETag of ours is hex")
}

/// The offer that a body is.
pub(super) async fn read_offer(headers: &HeaderMap, body: Body) -> Result<String, Problem> {
    body::text(headers, body, SDP).await
}

impl From<OfferError> for Problem {
    fn from(error: OfferError) -> Self {
        let detail = error.to_string();
        match error {
            OfferError::Broken(_) | OfferError::NoVideo | OfferError::NoVoice => {
                Self::of(Kind::BrokenOffer, detail)
            }
            OfferError::NoCodec | OfferError::NoOpus => Self::of(Kind::NoCodec, detail),
            OfferError::Taken => Self::conflict(detail),
            OfferError::Full(_) => Self::of(Kind::NoSeat, detail).retry_after(SEAT_AFTER),
            OfferError::Crowded(_) | OfferError::Refused | OfferError::Stopping => {
                Self::unavailable(detail).retry_after(SEAT_AFTER)
            }
            OfferError::Failed(_) => Self::internal(detail),
        }
    }
}

impl From<TrickleError> for Problem {
    fn from(error: TrickleError) -> Self {
        let detail = error.to_string();
        match error {
            TrickleError::Gone => Self::not_found(detail),
            TrickleError::Stale => Self::new(StatusCode::PRECONDITION_FAILED, detail),
            TrickleError::Unconditional => Self::new(StatusCode::PRECONDITION_REQUIRED, detail),
            TrickleError::Broken(_) => Self::of(Kind::BrokenOffer, detail),
        }
    }
}
