//! The control API: one file a resource.

pub mod auth;
mod config;
mod events;
mod memory;
mod metrics;
mod origin;
mod page;
pub mod problem;
mod recordings;
pub mod server;
mod session;
mod snapshot;
mod speech;
mod status;
mod stream;
mod text;
pub mod upload;
pub mod whep;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use crate::run::library::Library;
use crate::run::recordings::Recordings;
use crate::run::sessions::Sessions;
use crate::run::watchdog::Watchdog;
use crate::stage::send::Viewers;
use crate::stage::tts::Tts;
use auth::Auth;
pub use config::{Config, Error};
use problem::Problem;
use upload::Uploads;

/// What the routes need. Cheap to clone.
pub type App = Arc<Running>;

/// A process that serves.
pub struct Running {
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// The viewers of all sessions.
    pub viewers: Viewers,
    /// What is sent, in files.
    pub recordings: Arc<Recordings>,
    /// The models.
    pub library: Arc<Library>,
    /// The memory budget.
    pub watchdog: Watchdog,
    /// The folder with the page.
    pub assets: PathBuf,
    /// Sound files on their way in.
    pub uploads: Uploads,
    /// Who makes speech of text.
    pub tts: Arc<Tts>,
    /// When the process began to serve.
    pub started: Instant,
}

/// Bytes of a body that is no sound file: settings, a few lines of JSON.
const SMALL: usize = 64 << 10;
/// Time for a request without a sound file, its body with it.
const REQUEST: Duration = Duration::from_secs(30);

/// Every route.
pub fn routes(app: App, config: &Config) -> Router {
    let auth = Auth::new(&config.token, &config.viewer_token);
    let sessions = Arc::clone(&app.sessions);
    let whep = whep::State {
        viewers: app.viewers.clone(),
        sessions: Arc::new(move |id| {
            let Some(session) = sessions.get(id) else {
                return whep::Found::Nothing;
            };
            // Who asks is about to watch.
            session.touch();
            whep::Found::Live {
                hub: Arc::clone(&session.hub),
                stats: Arc::clone(&session.stats),
            }
        }),
    };
    let guarded = Router::new()
        .route("/v1/status", get(status::status))
        .route("/v1/memory", get(memory::memory))
        .route("/v1/memory/reclaim", post(memory::reclaim))
        .route("/v1/sessions/{id}/interrupt", post(speech::interrupt))
        .route("/v1/sessions/{id}/recording", post(recordings::order))
        .route("/v1/sessions/{id}/snapshot", post(snapshot::snapshot))
        .route("/v1/recordings", get(recordings::list))
        .route(
            "/v1/recordings/{id}",
            get(recordings::download).delete(recordings::delete),
        )
        .route("/v1/sessions", get(session::list).post(session::create))
        .route(
            "/v1/sessions/{id}",
            get(session::get)
                .patch(session::patch)
                .delete(session::delete),
        )
        .route("/metrics", get(metrics::metrics))
        .route("/readyz", get(status::readyz))
        .layer(DefaultBodyLimit::max(SMALL))
        .layer(from_fn_with_state(REQUEST, server::in_time))
        // Sound files are bounded where they are read.
        .route(
            "/v1/sessions/{id}/speech",
            post(speech::push).layer(DefaultBodyLimit::disable()),
        )
        .layer(from_fn_with_state(auth.control(), auth::require));
    // Neither of these has an end in time.
    let endless = Router::new()
        .route("/v1/sessions/{id}/speech/stream", get(stream::stream))
        .route("/v1/sessions/{id}/events", get(events::events))
        .layer(from_fn_with_state(auth.control_here(), auth::require));
    let guarded = guarded.merge(endless);
    let open = config.token.is_empty();
    let guarded = if open {
        let origins: Arc<[String]> = config.cors_origins.as_slice().into();
        guarded.layer(from_fn_with_state(origins, origin::own_pages))
    } else {
        guarded
    };
    let guarded = match origin::cors(&config.cors_origins) {
        Some(cors) => guarded.layer(cors),
        None => guarded,
    };
    let all = Router::new()
        .route("/", get(page::index))
        .route("/web/{file}", get(page::web))
        .route("/healthz", get(status::healthz))
        .route("/problems", get(problem::kinds))
        .route("/problems/{name}", get(problem::explain))
        .merge(guarded)
        .method_not_allowed_fallback(async || {
            Problem::method_not_allowed("This address has other methods.")
        })
        .fallback(async || Problem::not_found("There is nothing at this address."))
        .with_state(app)
        .merge(whep::routes(whep, &auth));
    let all = if open {
        all.layer(from_fn(origin::own_host))
    } else {
        all
    };
    all.layer(from_fn(problem::everywhere))
}
