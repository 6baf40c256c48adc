//! What an answer says when it is no (RFC 9457).

mod kind; // what there is to go wrong

use std::time::Duration;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Path, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

pub use kind::Kind;

pub(super) const PROBLEM: &str = "application/problem+json";

/// An error for the client, as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// The status, 4xx for the client's mistakes and 5xx for ours.
    pub status: StatusCode,
    /// What kind of problem it is; none for a status of which we know nothing.
    pub kind: Option<Kind>,
    /// What was wrong this time and what to do, in a sentence.
    pub detail: String,
    /// When it may go better, in whole seconds.
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// A problem of the general kind of its status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind: Kind::of(status),
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// A problem of a kind that programs tell from others.
    pub fn of(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            status: kind.status(),
            kind: Some(kind),
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// 400: the request makes no sense.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401: the token is missing or wrong.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// 403: not for who asks.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 405: not with this method.
    pub fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail)
    }

    /// 409: not in the present state.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 413: the body is too large.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 415: the body is of another kind.
    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// 422: the body can't be used.
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 429: too much at once.
    pub fn too_many(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
    }

    /// 500: our fault.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// 503: not now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }
}

impl Problem {
    fn told(&self) -> Told {
        let nameless = self.status.canonical_reason().unwrap_or("Problem");
        Told {
            r#type: self.kind.map_or("about:blank".into(), Kind::address),
            title: self.kind.map_or(nameless, Kind::title),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
        }
    }

    /// [`Self::retry_after`] in whole seconds, no earlier.
    fn retry_after_s(&self) -> Option<u64> {
        let time = self.retry_after?;
        Some(time.as_secs() + u64::from(time.subsec_nanos() > 0))
    }

    /// The whole answer, for a connection that has no other.
    pub(super) fn alone(&self) -> String {
        let body = serde_json::to_string(&self.told()).expect("plain data");
        let again = self.retry_after_s();
        let again = again.map_or(String::new(), |s| format!("Retry-After: {s}\r\n"));
        format!(
            "HTTP/1.1 {}\r\nContent-Type: {PROBLEM}\r\nContent-Length: {}\r\n{again}Connection: close\r\n\r\n{body}",
            self.status,
            body.len()
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.told())).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Every error
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Told {
    /// What kind it is, which stays what it is: its address here explains it.
    #[schema(example = "/problems/no-session")]
    r#type: String,
    /// The same for every problem of the kind.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What was wrong this time, and what to do.
    detail: String,
}

/// What a kind of problem is, for people who followed its `type`.
#[derive(Serialize, ToSchema)]
#[schema(as = ProblemKind)]
pub(super) struct Explained {
    r#type: String,
    title: &'static str,
    status: u16,
    meaning: &'static str,
}

impl From<Kind> for Explained {
    fn from(kind: Kind) -> Self {
        Self {
            r#type: kind.address(),
            title: kind.title(),
            status: kind.status().as_u16(),
            meaning: kind.meaning(),
        }
    }
}

/// Every kind of problem
///
/// Their `type`s stay what they are; new ones may come.
#[utoipa::path(
    get, path = "/problems", operation_id = "list_problems", tag = "documents",
    responses(
        (status = 200, description = "All that there are", body = Vec<Explained>),
    )
)]
pub(super) async fn kinds() -> Json<Vec<Explained>> {
    Json(Kind::ALL.iter().copied().map(Explained::from).collect())
}

/// What a kind of problem means
#[utoipa::path(
    get, path = "/problems/{name}", operation_id = "get_problem", tag = "documents",
    params(("name" = String, Path, description = "The end of its `type`", example = "no-session")),
    responses(
        (status = 200, description = "What it means", body = Explained),
        (status = 404, description = "not-found"),
    )
)]
pub(super) async fn explain(Path(name): Path<String>) -> Result<Json<Explained>, Problem> {
    let kind = Kind::named(&name);
    let kind = kind.ok_or_else(|| Problem::not_found(format!("There is no problem {name:?}.")))?;
    Ok(Json(kind.into()))
}

/// Longest sentence of a refusal that isn't ours.
const SENTENCE: usize = 4 << 10;

/// Middleware: every refusal is a problem, those of the framework too. What
/// they say becomes the detail, and their headers stay.
pub(super) async fn everywhere(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE);
    let fine = !status.is_client_error() && !status.is_server_error();
    if fine || kind.is_some_and(|kind| kind == PROBLEM) {
        return response;
    }
    let (head, body) = response.into_parts();
    let said = to_bytes(body, SENTENCE).await.unwrap_or_default();
    let said = match String::from_utf8_lossy(&said).trim() {
        "" if status == StatusCode::METHOD_NOT_ALLOWED => {
            "This address has other methods.".to_owned()
        }
        "" => "The request can't be answered.".to_owned(),
        said => said.to_owned(),
    };
    let mut response = Problem::new(status, said).into_response();
    for (name, value) in &head.headers {
        if *name != CONTENT_TYPE && *name != CONTENT_LENGTH {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_problem_says_what_and_when() {
        let problem = Problem::of(Kind::NoSeat, "all seats are taken");
        let response = problem
            .retry_after(Duration::from_millis(1_500))
            .into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 1_000).await;
        let body: serde_json::Value = serde_json::from_slice(&body.expect("a body")).expect("JSON");
        assert_eq!(
            body,
            json!({
                "type": "/problems/no-seat",
                "title": "Every viewer's place is taken",
                "status": 503,
                "detail": "all seats are taken",
            })
        );
    }

    #[test]
    fn a_status_that_nobody_named_is_about_nothing() {
        let problem = Problem::new(StatusCode::IM_A_TEAPOT, "no coffee");
        let told = problem.told();
        assert_eq!(
            (told.r#type.as_str(), told.title),
            ("about:blank", "I'm a teapot")
        );
    }
}
