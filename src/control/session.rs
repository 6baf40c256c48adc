//! `/v1/sessions` and `/v1/sessions/{id}`: sessions made, seen, changed, closed.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::App;
use super::problem::{Kind, Problem};
use crate::memory::Level;
use crate::pool;
use crate::run::session::{ChangeError, Session};
use crate::run::sessions::{Changes, Error, Wanted};
use crate::stage::audio::Source;

/// When memory that is over its budget may have shrunk: the watchdog's next look.
const SHRUNK: Duration = Duration::from_secs(10);

/// A session that is wanted; what is left out is as configured.
#[derive(Deserialize, Default, ToSchema)]
#[schema(as = NewSession)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    id: Option<String>,
    avatar: Option<String>,
    model: Option<String>,
    source: Option<Source>,
    /// Pictures become the largest of the avatar's shape that lie within it, and
    /// never larger than its clips. Left out: as those are.
    size: Option<Size>,
    bitrate_kbps: Option<u32>,
    idle_timeout_s: Option<u64>,
}

/// What is to be changed; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[schema(as = SessionChange)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// By its folder's name under `assets/avatars`.
    avatar: Option<String>,
    /// By its folder's name under `assets/models`.
    model: Option<String>,
    source: Option<Source>,
    #[serde(alias = "video_kbps")]
    bitrate_kbps: Option<u32>,
}

/// A session as it is.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(super) struct Shown {
    id: String,
    avatar: String,
    model: String,
    state: &'static str,
    viewers: usize,
    size: Size,
    bitrate_kbps: u32,
    source: Source,
    /// Whether somebody publishes a voice in the source's place.
    published: bool,
    /// 0: never closed for being idle.
    idle_timeout_s: u64,
    /// Where it is watched.
    whep: String,
    /// Where a voice is published.
    whip: String,
}

/// Size of pictures, in pixels.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Size {
    width: usize,
    height: usize,
}

/// All sessions, by name.
#[derive(Serialize, ToSchema)]
#[schema(as = Sessions)]
pub(super) struct All {
    sessions: Vec<Shown>,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        if let Some(time) = error.retry_after() {
            return Self::of(Kind::NoRoom, detail).retry_after(time);
        }
        match error {
            Error::Unknown(_) => Self::of(Kind::NoSession, detail),
            Error::Change(ChangeError::Clip { .. }) => Self::not_found(detail),
            Error::Taken(_) => Self::of(Kind::SessionTaken, detail),
            Error::Live | Error::Change(ChangeError::Source) => Self::conflict(detail),
            Error::Change(ChangeError::Ending) => Self::of(Kind::Ending, detail),
            Error::Start(_) | Error::Change(ChangeError::Renderer(_)) => Self::internal(detail),
            _ => Self::unprocessable(detail),
        }
    }
}

/// All sessions, by name
#[utoipa::path(
    get, path = "/v1/sessions", operation_id = "list_sessions", tag = "sessions",
    responses(
        (status = 200, description = "Now", body = All),
        (status = 408, description = "too-slow"),
    )
)]
pub(super) async fn list(State(app): State<App>) -> Json<All> {
    let sessions = app.sessions.all();
    Json(All {
        sessions: sessions.iter().map(|session| show(&app, session)).collect(),
    })
}

/// A session as it is
#[utoipa::path(
    get, path = "/v1/sessions/{id}", operation_id = "get_session", tag = "sessions",
    params(("id" = String, Path, description = "The session", example = "live")),
    responses(
        (status = 200, description = "Now", body = Shown),
        (status = 404, description = "no-session"),
        (status = 408, description = "too-slow"),
    )
)]
pub(super) async fn get(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, Problem> {
    let session = find(&app, &id)?;
    Ok(Json(show(&app, &session)))
}

/// Makes a session
///
/// What is left out is as configured.
#[utoipa::path(
    post, path = "/v1/sessions", operation_id = "create_session", tag = "sessions",
    request_body(content = New, example = json!({"id": "desk", "avatar": "leo"})),
    responses(
        (
            status = 201,
            description = "It streams",
            body = Shown,
            headers(("Location" = String, description = "The session"))
        ),
        (status = 408, description = "too-slow"),
        (status = 409, description = "session-taken"),
        (status = 413, description = "too-large"),
        (status = 415, description = "unsupported-media-type"),
        (status = 422, description = "unprocessable"),
        (status = 503, description = "no-room, over-memory, busy"),
    )
)]
pub(super) async fn create(
    State(app): State<App>,
    new: Result<Json<New>, JsonRejection>,
) -> Result<(StatusCode, HeaderMap, Json<Shown>), Problem> {
    let Json(new) = new.map_err(unreadable)?;
    let wanted = Wanted {
        id: new.id,
        avatar: new.avatar,
        model: new.model,
        source: new.source,
        within: new
            .size
            .map(|Size { width, height }| pool::Size { width, height }),
        video_kbps: new.bitrate_kbps,
        idle_timeout_s: new.idle_timeout_s,
    };
    let session = make(&app, wanted).await?;
    let place = HeaderValue::try_from(format!("/v1/sessions/{}", session.id));
    let place = (LOCATION, place.expect("an id has letters and digits"));
    let shown = Json(show(&app, &session));
    Ok((StatusCode::CREATED, HeaderMap::from_iter([place]), shown))
}

/// Makes a session, unless memory is short.
pub(super) async fn make(app: &App, wanted: Wanted) -> Result<Arc<Session>, Problem> {
    if app.watchdog.reading().level == Level::Over {
        let detail =
            "The process is over its memory budget (memory.budget_mb): no session is made.";
        return Err(Problem::of(Kind::OverMemory, detail).retry_after(SHRUNK));
    }
    let sessions = Arc::clone(&app.sessions);
    aside(move || sessions.create(wanted)).await
}

/// Changes a session, while it streams
///
/// What is left out stays.
#[utoipa::path(
    patch, path = "/v1/sessions/{id}", operation_id = "change_session", tag = "sessions",
    params(("id" = String, Path, description = "The session", example = "live")),
    request_body(content = Change, example = json!({"bitrate_kbps": 800})),
    responses(
        (status = 200, description = "As it is now", body = Shown),
        (status = 404, description = "no-session"),
        (status = 408, description = "too-slow"),
        (status = 409, description = "conflict, ending"),
        (status = 413, description = "too-large"),
        (status = 415, description = "unsupported-media-type"),
        (status = 422, description = "unprocessable"),
        (status = 503, description = "no-room, busy"),
    )
)]
pub(super) async fn patch(
    State(app): State<App>,
    Path(id): Path<String>,
    change: Result<Json<Change>, JsonRejection>,
) -> Result<Json<Shown>, Problem> {
    let session = find(&app, &id)?;
    let Json(change) = change.map_err(unreadable)?;
    let changes = Changes {
        avatar: change.avatar,
        model: change.model,
        source: change.source,
        video_kbps: change.bitrate_kbps,
    };
    let (sessions, changed) = (Arc::clone(&app.sessions), Arc::clone(&session));
    aside(move || sessions.change(&changed, changes)).await?;
    Ok(Json(show(&app, &session)))
}

/// Ends a session, with a goodbye to its viewers
#[utoipa::path(
    delete, path = "/v1/sessions/{id}", operation_id = "end_session", tag = "sessions",
    params(("id" = String, Path, description = "The session", example = "live")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "no-session"),
        (status = 408, description = "too-slow"),
        (status = 409, description = "conflict"),
    )
)]
pub(super) async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let (sessions, name) = (Arc::clone(&app.sessions), id.clone());
    aside(move || sessions.close(&name)).await?;
    // Those that were about to watch, too.
    app.viewers.close_session(&id);
    Ok(StatusCode::NO_CONTENT)
}

/// The session called `id`.
pub(super) fn find(app: &App, id: &str) -> Result<Arc<Session>, Problem> {
    let found = app.sessions.get(id);
    let session = found.ok_or_else(|| Problem::from(Error::Unknown(id.to_owned())))?;
    session.touch();
    Ok(session)
}

/// What opens, loads or ends takes a while, and a thread of its own.
pub(super) async fn aside<T: Send + 'static, E: Into<Problem> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Problem> {
    let done = spawn_blocking(work).await;
    let done = done.map_err(|_| Problem::internal("the request failed: the log says why"))?;
    done.map_err(E::into)
}

/// Why a JSON body can't be used: too large, of another type, no JSON, or not what is
/// wanted.
pub(super) fn unreadable(rejection: JsonRejection) -> Problem {
    match rejection {
        JsonRejection::JsonDataError(_) | JsonRejection::JsonSyntaxError(_) => {
            Problem::unprocessable(rejection.body_text())
        }
        _ => Problem::new(rejection.status(), rejection.body_text()),
    }
}

fn show(app: &App, session: &Session) -> Shown {
    let cast = session.cast();
    let size = cast.avatar.size;
    Shown {
        id: session.id.clone(),
        avatar: cast.avatar.id.clone(),
        model: cast.model.bundle.id.clone(),
        state: session.state(),
        viewers: app.viewers.count(&session.id),
        size: Size {
            width: size.width,
            height: size.height,
        },
        bitrate_kbps: session.video_kbps(),
        source: session.source(),
        published: session.published(),
        idle_timeout_s: session.idle_timeout.as_secs(),
        whep: format!("/whep/{}", session.id),
        whip: format!("/whip/{}", session.id),
    }
}
