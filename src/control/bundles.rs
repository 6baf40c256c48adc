//! `/v1/avatars` and `/v1/models`: what lies there, its pictures, its end. What is
//! uploaded is [`imports`](super::imports)'.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use tower::ServiceExt;
use tower_http::services::ServeFile;
use utoipa::ToSchema;

use super::App;
use super::problem::{self, Problem};
use super::session::aside;
use crate::run::bundles::{self, Error, POSTER, SHEET};
use crate::run::imports::Kind;

/// An avatar.
#[derive(Serialize, ToSchema)]
pub(super) struct Avatar {
    id: String,
    name: String,
    credits: String,
    size: Size,
    /// Of the idle clip.
    seconds: f64,
    clips: Vec<String>,
    poster: Option<String>,
    sheet: Option<String>,
    verdict: Option<Value>,
    /// Sessions that show it.
    used_by: Vec<String>,
    bytes: u64,
}

#[derive(Serialize, ToSchema)]
struct Size {
    width: usize,
    height: usize,
}

/// A model.
#[derive(Serialize, ToSchema)]
pub(super) struct Model {
    id: String,
    name: String,
    family: &'static str,
    /// The side of its square face in pixels, where its manifest says it.
    size: Option<usize>,
    look_ahead_ms: f64,
    licence: String,
    /// Of its networks' files.
    bytes: u64,
    /// Whether it is in memory.
    loaded: bool,
    used_by: Vec<String>,
}

/// What can't be used, and why.
#[derive(Serialize, ToSchema)]
struct Broken {
    id: String,
    problem: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Avatars {
    avatars: Vec<Avatar>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    broken: Vec<Broken>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Models {
    models: Vec<Model>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    broken: Vec<Broken>,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::Unknown { .. } => Self::not_found(detail),
            Error::Used { .. } | Error::Configured { .. } => Self::conflict(detail),
            Error::Avatar(_) | Error::Model(_) => Self::unprocessable(detail),
            Error::Folder(_) => Self::of(problem::Kind::NotWritable, detail),
        }
    }
}

/// Every avatar
#[utoipa::path(
    get, path = "/v1/avatars", operation_id = "list_avatars", tag = "bundles",
    responses(
        (status = 200, description = "All that there are, and those that can't be used", body = Avatars),
        (status = 408, description = "too-slow"),
    )
)]
pub(super) async fn avatars(State(app): State<App>) -> Result<Json<Avatars>, Problem> {
    aside(move || {
        let (avatars, broken) = all(&app, Kind::Avatar, show_avatar);
        Ok::<_, Problem>(Json(Avatars { avatars, broken }))
    })
    .await
}

/// Every model
#[utoipa::path(
    get, path = "/v1/models", operation_id = "list_models", tag = "bundles",
    responses(
        (status = 200, description = "All that there are, and those that can't be used", body = Models),
        (status = 408, description = "too-slow"),
    )
)]
pub(super) async fn models(State(app): State<App>) -> Result<Json<Models>, Problem> {
    aside(move || {
        let (models, broken) = all(&app, Kind::Model, show_model);
        Ok::<_, Problem>(Json(Models { models, broken }))
    })
    .await
}

/// One avatar
#[utoipa::path(
    get, path = "/v1/avatars/{id}", operation_id = "get_avatar", tag = "bundles",
    params(("id" = String, Path, description = "The avatar", example = "anna")),
    responses(
        (status = 200, description = "As it is", body = Avatar),
        (status = 404, description = "not-found"),
        (status = 408, description = "too-slow"),
        (status = 422, description = "unprocessable"),
    )
)]
pub(super) async fn avatar(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Avatar>, Problem> {
    aside(move || show_avatar(&app, &id)).await.map(Json)
}

/// One model
#[utoipa::path(
    get, path = "/v1/models/{id}", operation_id = "get_model", tag = "bundles",
    params(("id" = String, Path, description = "The model", example = "wav2lip")),
    responses(
        (status = 200, description = "As it is", body = Model),
        (status = 404, description = "not-found"),
        (status = 408, description = "too-slow"),
        (status = 422, description = "unprocessable"),
    )
)]
pub(super) async fn model(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Model>, Problem> {
    aside(move || show_model(&app, &id)).await.map(Json)
}

/// Its picture
#[utoipa::path(
    get, path = "/v1/avatars/{id}/poster", operation_id = "get_avatar_poster", tag = "bundles",
    params(
        ("id" = String, Path, description = "The avatar", example = "anna"),
        ("Range" = Option<String>, Header, description = "As `bytes=0-999`")
    ),
    responses(
        (status = 200, description = "A JPEG file", content(("image/jpeg"))),
        (status = 206, description = "A part of it", content(("image/jpeg"))),
        (status = 304, description = "It is as If-Modified-Since has it"),
        (status = 404, description = "not-found"),
        (status = 408, description = "too-slow"),
        (status = 412, description = "stale"),
        (status = 416, description = "out-of-range"),
    )
)]
pub(super) async fn poster(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    picture(app, id, POSTER, request).await
}

/// Its faces, as they were found when it was imported
#[utoipa::path(
    get, path = "/v1/avatars/{id}/sheet", operation_id = "get_avatar_sheet", tag = "bundles",
    params(
        ("id" = String, Path, description = "The avatar", example = "anna"),
        ("Range" = Option<String>, Header, description = "As `bytes=0-999`")
    ),
    responses(
        (status = 200, description = "A JPEG file", content(("image/jpeg"))),
        (status = 206, description = "A part of it", content(("image/jpeg"))),
        (status = 304, description = "It is as If-Modified-Since has it"),
        (status = 404, description = "not-found"),
        (status = 408, description = "too-slow"),
        (status = 412, description = "stale"),
        (status = 416, description = "out-of-range"),
    )
)]
pub(super) async fn sheet(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    picture(app, id, SHEET, request).await
}

/// Deletes an avatar
///
/// Not while a session uses it.
#[utoipa::path(
    delete, path = "/v1/avatars/{id}", tag = "bundles",
    params(("id" = String, Path, description = "The avatar", example = "anna")),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 404, description = "not-found"),
        (status = 408, description = "too-slow"),
        (status = 409, description = "conflict"),
        (status = 507, description = "not-writable"),
    )
)]
pub(super) async fn delete_avatar(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    delete(app, Kind::Avatar, id).await
}

/// Deletes a model
///
/// Not while a session uses it.
#[utoipa::path(
    delete, path = "/v1/models/{id}", tag = "bundles",
    params(("id" = String, Path, description = "The model", example = "wav2lip")),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 404, description = "not-found"),
        (status = 408, description = "too-slow"),
        (status = 409, description = "conflict"),
        (status = 507, description = "not-writable"),
    )
)]
pub(super) async fn delete_model(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    delete(app, Kind::Model, id).await
}

async fn delete(app: App, kind: Kind, id: String) -> Result<StatusCode, Problem> {
    aside(move || bundles::delete(&app.assets, &app.sessions, kind, &id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn picture(
    app: App,
    id: String,
    name: &'static str,
    request: Request,
) -> Result<Response, Problem> {
    let path = aside(move || {
        let path = bundles::folder(&app.assets, Kind::Avatar, &id)?.join(name);
        let there = path.exists();
        there
            .then_some(path)
            .ok_or_else(|| Problem::not_found(format!("The avatar {id} has no {name}.")))
    });
    let Ok(answer) = ServeFile::new(path.await?).oneshot(request).await;
    let mut answer = answer.map(Body::new);
    // Another avatar may have this id tomorrow.
    let kept = HeaderValue::from_static("no-cache");
    answer.headers_mut().insert(CACHE_CONTROL, kept);
    Ok(answer)
}

/// Those that can be used, and those that can't.
fn all<T>(
    app: &App,
    kind: Kind,
    show: impl Fn(&App, &str) -> Result<T, Error>,
) -> (Vec<T>, Vec<Broken>) {
    let (mut whole, mut broken) = (Vec::new(), Vec::new());
    for id in bundles::ids(&app.assets, kind) {
        match show(app, &id) {
            Ok(shown) => whole.push(shown),
            // It was deleted this moment.
            Err(Error::Unknown { .. }) => {}
            Err(error) => broken.push(Broken {
                problem: error.to_string(),
                id,
            }),
        }
    }
    (whole, broken)
}

fn show_avatar(app: &App, id: &str) -> Result<Avatar, Error> {
    let shown = bundles::avatar(&app.assets, id)?;
    let picture = |there: bool, name| there.then(|| format!("/v1/avatars/{id}/{name}"));
    Ok(Avatar {
        size: Size {
            width: shown.size().width,
            height: shown.size().height,
        },
        seconds: shown.seconds(),
        poster: picture(shown.poster, "poster"),
        sheet: picture(shown.sheet, "sheet"),
        verdict: shown.verdict,
        used_by: bundles::used_by(&app.sessions, Kind::Avatar, id),
        bytes: shown.bytes,
        clips: shown.outline.clips.into_keys().collect(),
        name: shown.outline.name,
        credits: shown.outline.credits,
        id: id.to_owned(),
    })
}

fn show_model(app: &App, id: &str) -> Result<Model, Error> {
    let bundle = bundles::model(&app.assets, id)?;
    Ok(Model {
        bytes: bundle.bytes(),
        loaded: app.library.has_loaded(id),
        used_by: bundles::used_by(&app.sessions, Kind::Model, id),
        family: bundle.manifest.family.name(),
        size: bundle.manifest.size,
        look_ahead_ms: bundle.manifest.look_ahead_ms,
        name: bundle.manifest.name,
        licence: bundle.manifest.licence,
        id: id.to_owned(),
    })
}
