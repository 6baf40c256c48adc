//! `GET /v1/sessions/{id}/events`: what happens, as server-sent events.
//!
//! Each is one JSON object with a `type` and has a number. Who comes back with
//! `Last-Event-ID` is told what was missed, as far as it is kept; who comes
//! without it hears from now on, and with `Last-Event-ID: 0` all that is kept.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, stream};

use super::App;
use super::problem::{Kind, Problem};
use super::server::AtWork;
use crate::events::Event as Happened;
use crate::run::session::Session;

/// Who listens to one session at a time: each has a connection to itself, of 256.
const MOST_LISTENERS: usize = 32;
/// When one of them may be gone.
const AGAIN: Duration = Duration::from_secs(5);
/// How often a comment is sent, so that proxies keep the connection and one that
/// is broken is found.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// What happens, as server-sent events
///
/// Each is a JSON object with a `type`, and has a number; the last hundred are told again.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/events", tag = "speech",
    params(
        ("id" = String, Path, description = "The session", example = "live"),
        (
            "Last-Event-ID" = Option<u64>,
            Header,
            description = "The last that was heard: what came after it is told again"
        )
    ),
    responses(
        (
            status = 200,
            description = "Until one of us closes",
            body = String,
            content_type = "text/event-stream"
        ),
        (status = 404, description = "no-session"),
    )
)]
pub(super) async fn events(
    State(app): State<App>,
    Path(id): Path<String>,
    at_work: Option<Extension<AtWork>>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Told>>, Problem> {
    let session = super::session::find(&app, &id)?;
    let last = headers.get("last-event-id");
    let last = last.and_then(|last| last.to_str().ok()?.trim().parse().ok());
    tell(&session, last, at_work, |number, event| {
        let event = Event::default().id(number.to_string()).json_data(event);
        Some(event.expect("plain data"))
    })
}

/// What is sent of one event.
pub(super) type Told = Result<Event, Infallible>;

/// Tells what happens to `session` after the event `last`, in the words of `say`,
/// which may keep silent.
pub(super) fn tell(
    session: &Session,
    last: Option<u64>,
    at_work: Option<Extension<AtWork>>,
    say: fn(u64, Happened) -> Option<Event>,
) -> Result<Sse<impl Stream<Item = Told> + use<>>, Problem> {
    let events = &session.stats.events;
    if events.listeners() >= MOST_LISTENERS {
        return Err(Problem::of(
            Kind::Busy,
            format!("{MOST_LISTENERS} listen to this session already: close one of them."),
        )
        .retry_after(AGAIN));
    }
    let told = stream::unfold(
        (events.listen(last), at_work),
        move |(mut listener, at_work)| async move {
            loop {
                let (number, event) = listener.next().await?;
                if let Some(event) = say(number, event) {
                    return Some((Ok(event), (listener, at_work)));
                }
            }
        },
    );
    Ok(Sse::new(told).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE)))
}
