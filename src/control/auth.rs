//! Who may ask: one token to control, one to watch, or everybody; and from which
//! pages.
//!
//! A token is a header's. Only where players and browsers can set none, on WHEP, a
//! WebSocket and server-sent events, it may stand in the address too, as `token` or
//! by the name that RFC 6750 (2.3) gives it: addresses end up in the logs of proxies.

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

use super::problem::{Kind, Problem};

/// What who asks may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Nothing that a token guards.
    Nobody,
    /// Watch.
    Viewer,
    /// Everything.
    Control,
}

/// The tokens.
#[derive(Clone, Default)]
pub struct Auth {
    /// Without it everybody controls.
    control: Option<Arc<str>>,
    viewer: Option<Arc<str>>,
}

/// What a route wants of who asks.
#[derive(Clone, Debug)]
pub struct Guard {
    auth: Auth,
    least: Role,
    /// Whether the token may stand in the address.
    in_address: bool,
}

/// What an address may carry.
#[derive(Deserialize)]
struct Access {
    #[serde(alias = "access_token")]
    token: String,
}

impl Auth {
    /// Who shows `token` controls, who shows `viewer_token` watches. Empty: without
    /// the first everybody controls, without the second nobody only watches.
    pub fn new(token: &str, viewer_token: &str) -> Self {
        let some = |token: &str| (!token.is_empty()).then(|| Arc::from(token));
        Self {
            control: some(token),
            viewer: some(viewer_token),
        }
    }

    /// For routes that control.
    pub fn control(&self) -> Guard {
        Guard {
            auth: self.clone(),
            least: Role::Control,
            in_address: false,
        }
    }

    /// For routes that control, where browsers can set no header.
    pub fn control_here(&self) -> Guard {
        Guard {
            in_address: true,
            ..self.control()
        }
    }

    /// For routes that watch, from players that may set no header.
    pub fn watch(&self) -> Guard {
        Guard {
            least: Role::Viewer,
            ..self.control_here()
        }
    }

    /// Who shows any of `given`. Each is compared with each token, whole, so that
    /// time tells nothing.
    fn role(&self, given: &[&[u8]]) -> Role {
        let Some(control) = &self.control else {
            return Role::Control;
        };
        let shows = |token: &str| {
            let found = given.iter().map(|given| same(given, token.as_bytes()));
            found.fold(false, |found, same| found | same)
        };
        let controls = shows(control);
        let watches = self.viewer.as_deref().is_some_and(shows);
        match (controls, watches) {
            (true, _) => Role::Control,
            (false, true) => Role::Viewer,
            (false, false) => Role::Nobody,
        }
    }
}

impl Guard {
    /// What who sends `headers` to `uri` may do, and whether a token was shown. The
    /// header's is taken as `Bearer` or alone: there are players that send it raw.
    fn role(&self, headers: &HeaderMap, uri: &Uri) -> (Role, bool) {
        let raw = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let bearer = raw
            .and_then(|given| given.split_at_checked("Bearer ".len()))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "))
            .map(|(_, token)| token.trim_ascii());
        let access = self.in_address.then(|| Query::<Access>::try_from_uri(uri));
        let access = access.and_then(Result::ok);
        let address = access.as_ref().map(|access| access.token.as_bytes());
        let given: Vec<_> = [raw, bearer, address].into_iter().flatten().collect();
        (self.auth.role(&given), !given.is_empty())
    }

    /// 401 for who shows no token or a wrong one, 403 for who may only watch.
    fn refusal(&self, role: Role, shown: bool) -> Response {
        let or_there = if self.in_address {
            ", or as ?token=<token>"
        } else {
            ""
        };
        let (problem, challenge) = match (role, shown) {
            (Role::Nobody, shown) => {
                let which = match self.least {
                    Role::Viewer => "http.token or http.viewer_token",
                    _ => "http.token",
                };
                let detail = format!(
                    "Send the token of {which} in the header Authorization: Bearer <token>{or_there}."
                );
                let challenge = match shown {
                    true => "Bearer realm=\"mouthpiece\", error=\"invalid_token\"",
                    false => "Bearer realm=\"mouthpiece\"",
                };
                (Problem::unauthorized(detail), challenge)
            }
            _ => (
                Problem::of(
                    Kind::ViewersToken,
                    "This is the viewers' token, which opens /whep and nothing else: send the token of http.token.",
                ),
                "Bearer realm=\"mouthpiece\", error=\"insufficient_scope\"",
            ),
        };
        let mut response = problem.into_response();
        let challenge = HeaderValue::from_static(challenge);
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        response
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wants = |token: &Option<_>| if token.is_some() { "token" } else { "nothing" };
        f.debug_struct("Auth")
            .field("control", &wants(&self.control))
            .field("viewer", &wants(&self.viewer))
            .finish()
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

/// Middleware: lets through who may do what the route does. `OPTIONS` passes,
/// because browsers ask it without a token, but tells no ICE servers then: those
/// have passwords.
pub async fn require(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let (role, shown) = guard.role(request.headers(), request.uri());
    let admitted = role >= guard.least;
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
    guard.refusal(role, shown)
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

    fn role(guard: &Guard, headers: &HeaderMap, uri: &str) -> Role {
        guard.role(headers, &uri.parse().expect("an address")).0
    }

    #[test]
    fn a_token_is_taken_as_bearer_or_raw() {
        let guard = Auth::new("secret", "").control();
        for good in ["Bearer secret", "bearer secret", "Bearer  secret", "secret"] {
            assert_eq!(role(&guard, &with(good), "/"), Role::Control, "{good}");
        }
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer secre",
            "Bearer secret2",
            "secretsecret",
        ] {
            assert_eq!(role(&guard, &with(bad), "/"), Role::Nobody, "{bad}");
        }
        assert_eq!(role(&guard, &HeaderMap::new(), "/"), Role::Nobody);
    }

    #[test]
    fn an_address_may_carry_a_token_where_headers_cannot_be_set() {
        let auth = Auth::new("se cret&", "seer");
        let none = HeaderMap::new();
        for good in [
            "/?token=se%20cret%26",
            "/?a=b&access_token=se+cret%26",
            "/?token=se+cret%26",
        ] {
            assert_eq!(role(&auth.control_here(), &none, good), Role::Control);
            assert_eq!(role(&auth.watch(), &none, good), Role::Control);
            assert_eq!(role(&auth.control(), &none, good), Role::Nobody);
        }
        assert_eq!(role(&auth.watch(), &none, "/?token=seer"), Role::Viewer);
        for bad in ["/", "/?token=", "/?token=se", "/?token=a&token=seer"] {
            assert_eq!(role(&auth.watch(), &none, bad), Role::Nobody, "{bad}");
        }
        // A wrong one beside the right one takes nothing away.
        let wrong = with("Bearer wrong");
        assert_eq!(role(&auth.watch(), &wrong, "/?token=seer"), Role::Viewer);
    }

    #[test]
    fn the_viewers_token_watches_only() {
        let auth = Auth::new("secret", "seer");
        assert_eq!(role(&auth.watch(), &with("Bearer seer"), "/"), Role::Viewer);
        for (guard, shown, status, error) in [
            (auth.control(), "seer", 403, "insufficient_scope"),
            (auth.control_here(), "seer", 403, "insufficient_scope"),
            (auth.watch(), "nobody", 401, "invalid_token"),
        ] {
            let (role, shown) = guard.role(&with(shown), &Uri::from_static("/"));
            assert!(role < guard.least);
            let refusal = guard.refusal(role, shown);
            assert_eq!(refusal.status(), status);
            let challenge = refusal.headers()[WWW_AUTHENTICATE].to_str();
            assert!(challenge.expect("text").contains(error));
        }
        let without = auth.watch().refusal(Role::Nobody, false);
        assert_eq!(
            without.headers()[WWW_AUTHENTICATE],
            "Bearer realm=\"mouthpiece\""
        );
    }

    #[test]
    fn without_a_token_everybody_may() {
        let guard = Auth::new("", "").control();
        assert_eq!(role(&guard, &HeaderMap::new(), "/"), Role::Control);
    }

    #[test]
    fn a_token_is_never_shown() {
        let shown = format!("{:?}", Auth::new("secret", "seer").watch());
        assert!(!shown.contains("secret") && !shown.contains("seer"));
    }
}
