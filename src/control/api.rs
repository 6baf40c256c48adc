//! `/openapi.json`: every route and all that it may answer, and `/docs`, which shows it.
//!
//! Each handler says beside its code what it takes and answers (`utoipa::path`) and has
//! its route by that, so that what isn't described can't be reached, and what is
//! described can. What all of them have in common is added here.

use std::collections::BTreeSet;

use axum::Extension;
use axum::extract::Path;
use axum::http::Method;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use utoipa::OpenApi as _;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::Response as Described;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr};

use super::problem::{self, Kind, PROBLEM, Problem};

/// Where a token may stand for routes that take it in a header only.
pub(super) const IN_HEADER: &[&str] = &[BEARER];
/// And for those that take it in the address, too.
pub(super) const IN_ADDRESS: &[&str] = &[BEARER, ADDRESS];
const BEARER: &str = "bearer";
const ADDRESS: &str = "address";

/// What every operation may answer, whatever it does.
const ALWAYS: [Kind; 5] = [
    Kind::OtherHost,
    Kind::OtherSite,
    Kind::TooOften,
    Kind::Busy,
    Kind::Internal,
];

/// The page that shows the document, and what it loads (swagger-ui-dist 5.35.0).
const PAGE: &str = include_str!("../../assets/swagger-ui/index.html");
const FILES: [(&str, &str, &[u8]); 2] = [
    (
        "swagger-ui.css",
        "text/css; charset=utf-8",
        include_bytes!("../../assets/swagger-ui/swagger-ui.css"),
    ),
    (
        "swagger-ui-bundle.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../assets/swagger-ui/swagger-ui-bundle.js"),
    ),
];

/// What stands before the operations.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Mouthpiece",
        description = "Sound goes in, a face that speaks it comes out. Every error is `application/problem+json` with a `type` that stays what it is: `GET /problems` lists them. Where `http.token` is set it is wanted as `Authorization: Bearer`; watching takes `http.viewer_token` too.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(problem::Told)),
    tags(
        (name = "speech", description = "What is said"),
        (name = "sessions", description = "Who says it"),
        (name = "watching", description = "WHEP (draft-ietf-wish-whep-03)"),
        (name = "talking", description = "A voice by WHIP (RFC 9725)"),
        (name = "recordings", description = "Files and pictures of what is sent"),
        (name = "bundles", description = "Avatars and models, and their imports"),
        (name = "memory", description = "The budget"),
        (name = "state", description = "How it goes"),
        (name = "pages", description = "For people"),
        (name = "documents", description = "What this is"),
    )
)]
struct Head;

/// A document without operations.
pub(super) fn head() -> OpenApi {
    let mut head = Head::openapi();
    let components = head.components.get_or_insert_default();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let address = SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::new("token")));
    components.add_security_scheme(BEARER, bearer);
    components.add_security_scheme(ADDRESS, address);
    head
}

/// Says that the operations want a token, in one of `places`; browsers send `OPTIONS`
/// without.
pub(super) fn guard(api: &mut OpenApi, places: &[&str]) {
    let none: [&str; 0] = [];
    for (method, operation) in operations(api) {
        if method == Method::OPTIONS {
            continue;
        }
        let wants = places
            .iter()
            .map(|place| SecurityRequirement::new(*place, none));
        operation.security = Some(wants.collect());
        may_answer(operation, &[Kind::Unauthorized, Kind::ViewersToken]);
    }
}

/// The document as it is sent.
#[derive(Clone)]
pub(super) struct Document(Bytes);

impl Document {
    /// `api`, and what all of its operations have in common.
    pub(super) fn whole(mut api: OpenApi) -> Self {
        // A parameter that takes the rest of the address is one as others are.
        let paths = std::mem::take(&mut api.paths.paths).into_iter();
        api.paths.paths = paths
            .map(|(path, item)| (path.replace("{*", "{"), item))
            .collect();
        for (_, operation) in operations(&mut api) {
            may_answer(operation, &ALWAYS);
            if operation.parameters.is_some() || operation.request_body.is_some() {
                may_answer(operation, &[Kind::BadRequest]);
            }
            say_how_errors_look(operation);
        }
        let text = api.to_json().expect("plain data");
        Self(Bytes::from(text))
    }
}

/// Adds what `kinds` mean to what is said of their status.
fn may_answer(operation: &mut Operation, kinds: &[Kind]) {
    let statuses: BTreeSet<_> = kinds.iter().map(|kind| kind.status()).collect();
    for status in statuses {
        let names = kinds.iter().filter(|kind| kind.status() == status);
        let described = operation
            .responses
            .responses
            .entry(status.as_str().to_owned());
        let described = described.or_insert_with(|| RefOr::T(Described::new("")));
        let RefOr::T(described) = described else {
            continue;
        };
        for kind in names {
            let text = &mut described.description;
            if !text.split(", ").any(|name| name == kind.name()) {
                let comma = if text.is_empty() { "" } else { ", " };
                *text = format!("{text}{comma}{}", kind.name());
            }
        }
    }
}

/// Errors are described by the names of their kinds, and are all made alike.
fn say_how_errors_look(operation: &mut Operation) {
    for (status, described) in &mut operation.responses.responses {
        let RefOr::T(described) = described else {
            continue;
        };
        if status.starts_with(['4', '5']) {
            let problem = Ref::from_schema_name("Problem");
            let content = ContentBuilder::new().schema(Some(problem)).build();
            described.content.insert(PROBLEM.to_owned(), content.into());
        }
    }
}

fn operations(api: &mut OpenApi) -> impl Iterator<Item = (Method, &mut Operation)> {
    let items = api.paths.paths.values_mut();
    items.flat_map(|item| {
        let methods = [
            (Method::GET, &mut item.get),
            (Method::POST, &mut item.post),
            (Method::PATCH, &mut item.patch),
            (Method::DELETE, &mut item.delete),
            (Method::OPTIONS, &mut item.options),
        ];
        let described = methods.into_iter();
        described.filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
    })
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "get_openapi", tag = "documents",
    responses(
        (status = 200, description = "OpenAPI 3.1", content(("application/json"))),
    )
)]
pub(super) async fn document(Extension(Document(text)): Extension<Document>) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

/// This document, to read and to try
#[utoipa::path(
    get, path = "/docs", operation_id = "get_docs", tag = "documents",
    responses(
        (status = 200, description = "HTML", body = String, content_type = "text/html"),
    )
)]
pub(super) async fn docs() -> Html<&'static str> {
    Html(PAGE)
}

/// A file of `/docs`
#[utoipa::path(
    get, path = "/docs/{file}", operation_id = "get_docs_file", tag = "documents",
    params(("file" = String, Path, description = "Its name", example = "swagger-ui.css")),
    responses(
        (status = 200, description = "The file", content(("*/*"))),
        (status = 404, description = "not-found"),
    )
)]
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Problem> {
    let (_, kind, bytes) = FILES
        .into_iter()
        .find(|(known, ..)| *known == name)
        .ok_or_else(|| Problem::not_found(format!("There is no {name:?} here.")))?;
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "max-age=3600")];
    Ok((headers, bytes).into_response())
}
