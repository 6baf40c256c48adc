//! Who may ask: one token for all, or everybody; and from which pages.
//!
//! The token is a header's. Only where browsers can set none, on a WebSocket and
//! on server-sent events, it may stand in the address too, as `access_token`
//! (RFC 6750, 2.3): addresses end up in the logs of proxies.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, AUTHORIZATION, LINK, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::problem::Problem;

/// What a request must carry.
#[derive(Clone, Default)]
pub struct Auth(Option<Arc<str>>);

impl Auth {
    /// Wants `token`, or nothing if there is none.
    pub fn new(token: Option<&str>) -> Self {
        Self(token.filter(|token| !token.is_empty()).map(Arc::from))
    }

    /// Whether `headers` carry the token, as `Bearer` or alone: there are
    /// players that send it raw.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.0 else {
            return true;
        };
        let Some(given) = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes) else {
            return false;
        };
        let bearer = given
            .split_at_checked("Bearer ".len())
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "))
            .map(|(_, token)| token.trim_ascii());
        // Both are compared whole, so that time tells nothing.
        let raw = same(given, token.as_bytes());
        let bearer = bearer.is_some_and(|given| same(given, token.as_bytes()));
        raw | bearer
    }
}

/// What an address may carry.
#[derive(Deserialize)]
struct Access {
    access_token: String,
}

impl Auth {
    /// Whether the query of `uri` carries the token.
    fn admits_address(&self, uri: &Uri) -> bool {
        let Some(token) = &self.0 else {
            return true;
        };
        let given = Query::<Access>::try_from_uri(uri);
        given.is_ok_and(|given| same(given.access_token.as_bytes(), token.as_bytes()))
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wants = if self.0.is_some() { "token" } else { "nothing" };
        f.debug_tuple("Auth").field(&wants).finish()
    }
}

/// Whether `given` is `token`, in a time that depends on `given` alone.
fn same(given: &[u8], token: &[u8]) -> bool {
    let mut differs = u8::from(given.len() != token.len());
    for (n, byte) in given.iter().enumerate() {
        differs |= byte ^ token.get(n % token.len().max(1)).copied().unwrap_or(!byte);
    }
    // Keeps the compiler from stopping at the first difference.
    std::hint::black_box(differs) == 0
}

/// Middleware: 401 without the token. `OPTIONS` passes, because browsers ask
/// it without, but tells no ICE servers then: those have passwords.
pub async fn require(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    let admitted = auth.admits(request.headers());
    if request.method() == Method::OPTIONS {
        let mut response = next.run(request).await;
        if !admitted {
            response.headers_mut().remove(LINK);
        }
        return response;
    }
    if admitted {
        return next.run(request).await;
    }
    refusal("send the token of http.token in the header Authorization: Bearer <token>")
}

/// Middleware: like [`require`], and the token may stand in the address.
pub async fn require_here(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    if auth.admits(request.headers()) || auth.admits_address(request.uri()) {
        return next.run(request).await;
    }
    refusal(
        "send the token of http.token in the header Authorization: Bearer <token>, or as ?access_token=<token>",
    )
}

fn refusal(detail: &str) -> Response {
    let mut response = Problem::unauthorized(detail).into_response();
    let scheme = HeaderValue::from_static("Bearer realm=\"mouthpiece\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    response
}

/// Lets pages of any origin read `response`: a viewer carries a token or needs
/// none, and never a cookie.
pub fn allow_any_origin(response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            ACCESS_CONTROL_ALLOW_METHODS,
            "GET, POST, PATCH, DELETE, OPTIONS",
        ),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, If-Match",
        ),
        (
            ACCESS_CONTROL_EXPOSE_HEADERS,
            "ETag, Location, Link, Accept-Patch, Accept-Post, Retry-After, WWW-Authenticate",
        ),
        (ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Middleware: [`allow_any_origin`] for every answer, refusals too.
pub async fn cors(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    allow_any_origin(&mut response);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(authorization).expect("a header");
        headers.insert(AUTHORIZATION, value);
        headers
    }

    #[test]
    fn the_token_is_taken_as_bearer_or_raw() {
        let auth = Auth::new(Some("secret"));
        for good in ["Bearer secret", "bearer secret", "Bearer  secret", "secret"] {
            assert!(auth.admits(&with(good)), "{good}");
        }
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer secre",
            "Bearer secret2",
            "secretsecret",
        ] {
            assert!(!auth.admits(&with(bad)), "{bad}");
        }
        assert!(!auth.admits(&HeaderMap::new()));
    }

    #[test]
    fn an_address_may_carry_the_token() {
        let auth = Auth::new(Some("se cret&"));
        let admits = |uri: &str| auth.admits_address(&uri.parse().expect("an address"));
        assert!(admits("/v1/events?access_token=se%20cret%26"));
        assert!(admits("/v1/events?a=b&access_token=se+cret%26"));
        for bad in [
            "/",
            "/?access_token=",
            "/?access_token=se",
            "/?token=se+cret%26",
        ] {
            assert!(!admits(bad), "{bad}");
        }
    }

    #[test]
    fn without_a_token_everybody_may() {
        assert!(Auth::new(None).admits(&HeaderMap::new()));
        assert!(Auth::new(Some("")).admits(&HeaderMap::new()));
    }
}
