//! `GET /`, `/console` and `/web/…`: the pages, from the assets folder.

use std::path::{Component, Path};

use axum::extract::{Path as UrlPath, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::App;
use super::problem::Problem;

/// The page
#[utoipa::path(
    get, path = "/", operation_id = "get_page", tag = "pages",
    responses(
        (status = 200, description = "HTML", body = String, content_type = "text/html"),
        (status = 404, description = "not-found"),
    )
)]
pub(super) async fn index(State(app): State<App>) -> Response {
    file(&app, "index.html").await
}

/// The console
#[utoipa::path(
    get, path = "/console", operation_id = "get_console", tag = "pages",
    responses(
        (status = 200, description = "HTML", body = String, content_type = "text/html"),
        (status = 404, description = "not-found"),
    )
)]
pub(super) async fn console(State(app): State<App>) -> Response {
    file(&app, "console.html").await
}

/// A file of the pages
#[utoipa::path(
    get, path = "/web/{*file}", operation_id = "get_page_file", tag = "pages",
    params(("file" = String, Path, description = "Its path", example = "app.js")),
    responses(
        (status = 200, description = "The file", content(("*/*"))),
        (status = 404, description = "not-found"),
    )
)]
pub(super) async fn web(State(app): State<App>, UrlPath(name): UrlPath<String>) -> Response {
    file(&app, &name).await
}

async fn file(app: &App, name: &str) -> Response {
    let mut parts = Path::new(name).components();
    let plain = parts.all(|part| matches!(part, Component::Normal(_)));
    let kind = match name.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        Some("png") => "image/png",
        _ => return missing(name),
    };
    if !plain {
        return missing(name);
    }
    match tokio::fs::read(app.assets.join("web").join(name)).await {
        // Small files from this machine: asking again costs nothing, and an
        // update is seen at once.
        Ok(bytes) => {
            let headers = [
                (header::CONTENT_TYPE, kind),
                (header::CACHE_CONTROL, "no-cache"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (headers, bytes).into_response()
        }
        Err(_) => missing(name),
    }
}

fn missing(name: &str) -> Response {
    Problem::not_found(format!("There is no {name} here.")).into_response()
}
