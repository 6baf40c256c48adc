//! How many requests were answered, by route and class of status.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;

use super::App;

/// The classes of status (RFC 9110, 15), in their order.
pub(super) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// The route of requests that have none.
const NONE: &str = "none";

/// Counts of one route, by class.
type Counts = [u64; CLASSES.len()];

/// The requests that were answered. As large as the routes are many, for they are
/// counted by what they match and not by what is asked.
#[derive(Default)]
pub struct Requests(Mutex<BTreeMap<String, Counts>>);

impl Requests {
    fn add(&self, route: &str, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        let mut all = self.lock();
        match all.get_mut(route) {
            Some(counts) => counts[class] += 1,
            None => {
                let mut counts = Counts::default();
                counts[class] = 1;
                all.insert(route.to_owned(), counts);
            }
        }
    }

    /// All routes that were asked for, with their counts.
    pub(super) fn counts(&self) -> BTreeMap<String, Counts> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Counts>> {
        // Nothing that panics is done under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Middleware: counts the answer, as its head is sent.
pub(super) async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or(NONE, MatchedPath::as_str);
    app.requests.add(route, response.status());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_and_class() {
        let requests = Requests::default();
        for (route, status) in [
            ("/v1/status", 200),
            ("/v1/status", 204),
            ("/v1/status", 404),
            ("/whep/{session}", 503),
            (NONE, 101),
            (NONE, 999),
        ] {
            requests.add(route, StatusCode::from_u16(status).expect("a status"));
        }
        let wanted = [
            ("/v1/status", [0, 2, 0, 1, 0]),
            ("/whep/{session}", [0, 0, 0, 0, 1]),
            (NONE, [1, 0, 0, 0, 1]),
        ];
        let wanted = wanted.map(|(route, counts)| (route.to_owned(), counts));
        assert_eq!(requests.counts(), wanted.into());
    }
}
