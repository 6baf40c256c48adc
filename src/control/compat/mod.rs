//! The routes of other programs, for clients that were written for those.
//!
//! They are off unless `http.compat` names them, thin over what this API does
//! anyway, and answer in the words that those clients know, refusals too.

mod dh_live;
mod livetalking;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::App;
use super::problem::PROBLEM;

/// Bytes of a problem: a sentence and what stands around it.
const REFUSAL: usize = 16 << 10;

/// Whose clients are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// LiveTalking, <https://github.com/lipku/LiveTalking>.
    LiveTalking,
    /// DH-LIVE, <https://github.com/kleinlee/DH_live>, as AI-VTUBER drives it.
    #[serde(rename = "dh-live")]
    DhLive,
}

/// Addresses with what they do.
type Routes = Vec<(&'static str, MethodRouter<App>)>;

/// Routes by how long they take.
#[derive(Default)]
struct Kinds {
    /// Those that are over soon and whose bodies are small.
    brief: Routes,
    /// Those that bound what they read themselves.
    uploads: Routes,
    /// Those that have no end in time.
    endless: Routes,
}

impl Api {
    fn routes(self) -> Kinds {
        match self {
            Self::LiveTalking => livetalking::routes(),
            Self::DhLive => dh_live::routes(),
        }
    }

    /// How it says no.
    fn refusal(self, detail: &str) -> Value {
        match self {
            Self::LiveTalking => json!({"code": -1, "msg": detail}),
            Self::DhLive => json!({"detail": detail}),
        }
    }
}

/// The routes of some APIs.
#[derive(Default)]
pub(super) struct Compat {
    pub brief: Router<App>,
    pub uploads: Router<App>,
    pub endless: Router<App>,
    pub words: Words,
}

impl Compat {
    pub fn of(apis: &BTreeSet<Api>) -> Self {
        let mut paths = BTreeMap::new();
        let mut compat = Self::default();
        for api in apis {
            let mut add = |mut router: Router<App>, routes: Routes| {
                for (path, route) in routes {
                    paths.insert(path, *api);
                    router = router.route(path, route);
                }
                router
            };
            let Kinds {
                brief,
                uploads,
                endless,
            } = api.routes();
            compat.brief = add(compat.brief, brief);
            compat.uploads = add(compat.uploads, uploads);
            compat.endless = add(compat.endless, endless);
        }
        compat.uploads = compat.uploads.layer(DefaultBodyLimit::disable());
        compat.words = Words(Arc::new(paths));
        compat
    }
}

/// Whose words are spoken at which address.
#[derive(Clone, Default)]
pub(super) struct Words(Arc<BTreeMap<&'static str, Api>>);

/// Middleware: a problem at an address of theirs is told in their words. The
/// status stays: their clients look into the body, and others at the status.
pub(super) async fn in_their_words(
    State(Words(paths)): State<Words>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let api = path.and_then(|path| paths.get(path.as_str()).copied());
    let response = next.run(request).await;
    let kind = response.headers().get(CONTENT_TYPE);
    match api {
        Some(api) if kind.is_some_and(|kind| kind == PROBLEM) => reworded(api, response).await,
        _ => response,
    }
}

async fn reworded(api: Api, response: Response) -> Response {
    #[derive(Deserialize)]
    struct Said {
        detail: String,
    }
    let (head, body) = response.into_parts();
    let said = to_bytes(body, REFUSAL).await.unwrap_or_default();
    let said = serde_json::from_slice(&said);
    let detail = said.map_or_else(|_| head.status.to_string(), |said: Said| said.detail);
    let mut response = (head.status, Json(api.refusal(&detail))).into_response();
    for (name, value) in &head.headers {
        if *name != CONTENT_TYPE && *name != CONTENT_LENGTH {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::http::header::WWW_AUTHENTICATE;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::control::problem::Problem;

    #[test]
    fn no_address_is_taken_twice() {
        let both = BTreeSet::from([Api::LiveTalking, Api::DhLive]);
        let routes = |api: &Api| {
            let kinds = api.routes();
            kinds.brief.len() + kinds.uploads.len() + kinds.endless.len()
        };
        // Routers that overlap can't be made.
        let paths = Compat::of(&both).words.0.len();
        assert_eq!(paths, both.iter().map(routes).sum::<usize>());
        assert!(Compat::of(&BTreeSet::new()).words.0.is_empty());
    }

    #[tokio::test]
    async fn each_is_refused_in_its_own_words_and_others_as_ever() {
        let no = || async {
            let mut no = Problem::unauthorized("Say \"please\".").into_response();
            let scheme = "Bearer".parse().expect("a header");
            no.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            no
        };
        let words = Words(Arc::new(BTreeMap::from([
            ("/human", Api::LiveTalking),
            ("/record/{id}", Api::LiveTalking),
            ("/status", Api::DhLive),
        ])));
        let routes: Router = Router::new()
            .route("/human", get(no))
            .route("/record/{id}", get(no))
            .route("/status", get(no))
            .route("/v1/status", get(no))
            .layer(from_fn_with_state(words, in_their_words));
        for (path, wanted) in [
            ("/human", json!({"code": -1, "msg": "Say \"please\"."})),
            ("/record/7", json!({"code": -1, "msg": "Say \"please\"."})),
            ("/status", json!({"detail": "Say \"please\"."})),
        ] {
            let request = Request::get(path).body(axum::body::Body::empty());
            let answer = routes.clone().oneshot(request.expect("a request")).await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
            assert_eq!(answer.headers()[WWW_AUTHENTICATE], "Bearer");
            let body = to_bytes(answer.into_body(), REFUSAL).await.expect("a body");
            let said: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(said, wanted, "{path}");
        }
        let request = Request::get("/v1/status").body(axum::body::Body::empty());
        let answer = routes.oneshot(request.expect("a request")).await;
        assert_eq!(answer.expect("an answer").headers()[CONTENT_TYPE], PROBLEM);
    }
}
