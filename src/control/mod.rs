//! The control API: one file a resource.

mod action;
pub mod auth;
mod bundles;
pub mod compat;
mod events;
mod form;
mod imports;
mod memory;
mod metrics;
mod origin;
mod page;
pub mod problem;
mod recordings;
pub mod requests;
pub mod server;
mod session;
mod snapshot;
mod speech;
mod status;
mod stream;
mod text;
pub mod upload;
pub mod whep;
mod whip;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, post};
use serde::{Deserialize, Serialize};

use crate::run::imports::Imports;
use crate::run::library::Library;
use crate::run::recordings::Recordings;
use crate::run::sessions::Sessions;
use crate::run::watchdog::Watchdog;
use crate::stage::chat::Chat;
use crate::stage::send::Viewers;
use crate::stage::tts::Tts;
use auth::Auth;
use compat::Compat;
use problem::Problem;
use requests::Requests;
use upload::Uploads;

/// Section `[http]`: the page and the control API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port. Another one than loopback wants a token.
    pub listen: SocketAddr,
    /// Whoever asks must show it, as `Authorization: Bearer …`. Empty: everybody may.
    pub token: String,
    /// Listen on other addresses than loopback without a token.
    pub insecure: bool,
    /// Other programs whose clients are understood too.
    pub compat: BTreeSet<compat::Api>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            token: String::new(),
            insecure: false,
            compat: BTreeSet::new(),
        }
    }
}

/// Why the control API can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Everybody in the network could control it.
    #[error(
        "http.listen is {0}, which others can reach: set http.token, or http.insecure = true if everybody may control this"
    )]
    Open(SocketAddr),
    /// The port is taken or not ours.
    #[error(
        "cannot listen on {listen}: {source}. Stop the other program, or set http.listen to another port"
    )]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Config {
    /// Opens the port.
    ///
    /// # Errors
    ///
    /// When the port is taken, or others could reach it without a token.
    pub fn bind(&self) -> Result<std::net::TcpListener, Error> {
        if !self.listen.ip().is_loopback() && self.token.is_empty() && !self.insecure {
            return Err(Error::Open(self.listen));
        }
        let listen = |source| Error::Listen {
            listen: self.listen,
            source,
        };
        let listener = std::net::TcpListener::bind(self.listen).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        Ok(listener)
    }
}

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
    /// What is uploaded, and made avatars and models of.
    pub imports: Arc<Imports>,
    /// Size of one such upload, in megabytes.
    pub max_upload_mb: u64,
    /// Sound files on their way in.
    pub uploads: Uploads,
    /// What was asked so far.
    pub requests: Requests,
    /// Who makes speech of text.
    pub tts: Arc<Tts>,
    /// Who answers.
    pub chat: Arc<Chat>,
    /// When the process began to serve.
    pub started: Instant,
}

/// Bytes of a body that is no sound file: settings, a few lines of JSON.
const SMALL: usize = 64 << 10;
/// Time for a request without a sound file, its body with it.
const REQUEST: Duration = Duration::from_secs(30);

/// Every route.
pub fn routes(app: App, config: &Config) -> Router {
    let auth = Auth::new(Some(&config.token));
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
    let compat = Compat::of(&config.compat);
    let guarded = Router::new()
        .route("/v1/status", get(status::status))
        .route("/v1/memory", get(memory::memory))
        .route("/v1/memory/reclaim", post(memory::reclaim))
        .route("/v1/sessions/{id}/interrupt", post(speech::interrupt))
        .route("/v1/sessions/{id}/action", post(action::action))
        .route("/v1/sessions/{id}/chat", delete(text::forget))
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
        .route("/v1/avatars", get(bundles::avatars))
        .route(
            "/v1/avatars/{id}",
            get(bundles::avatar).delete(bundles::delete_avatar),
        )
        .route("/v1/avatars/{id}/poster", get(bundles::poster))
        .route("/v1/avatars/{id}/sheet", get(bundles::sheet))
        .route("/v1/models", get(bundles::models))
        .route(
            "/v1/models/{id}",
            get(bundles::model).delete(bundles::delete_model),
        )
        .route("/v1/jobs", get(imports::jobs))
        .route("/v1/jobs/{id}", get(imports::job).delete(imports::stop))
        .route("/metrics", get(metrics::metrics))
        .route("/readyz", get(status::readyz))
        .merge(compat.brief)
        .layer(DefaultBodyLimit::max(SMALL))
        .layer(from_fn_with_state(REQUEST, server::in_time))
        // Uploads are bounded where they are read.
        .route(
            "/v1/sessions/{id}/speech",
            post(speech::push).layer(DefaultBodyLimit::disable()),
        )
        .route(
            "/v1/avatars",
            post(imports::avatar).layer(DefaultBodyLimit::disable()),
        )
        .route(
            "/v1/models",
            post(imports::model).layer(DefaultBodyLimit::disable()),
        )
        .merge(compat.uploads)
        .layer(from_fn_with_state(auth.clone(), auth::require));
    // None of these has an end in time.
    let endless = Router::new()
        .route("/v1/sessions/{id}/speech/stream", get(stream::stream))
        .route("/v1/sessions/{id}/events", get(events::events))
        .merge(compat.endless)
        .layer(from_fn_with_state(auth.clone(), auth::require_here));
    let guarded = guarded.merge(endless).merge(whip::routes(auth.clone()));
    let open = config.token.is_empty();
    let guarded = if open {
        guarded.layer(from_fn(origin::own_pages))
    } else {
        guarded
    };
    let all = Router::new()
        .route("/", get(page::index))
        .route("/console", get(page::console))
        .route("/web/{*file}", get(page::web))
        .route("/healthz", get(status::healthz))
        .merge(guarded)
        .method_not_allowed_fallback(async || {
            Problem::method_not_allowed("This address has other methods.")
        })
        .fallback(async || Problem::not_found("There is nothing at this address."))
        .with_state(Arc::clone(&app))
        .merge(whep::routes(whep, auth));
    let all = if open {
        all.layer(from_fn(origin::own_host))
    } else {
        all
    };
    all.layer(from_fn(problem::everywhere))
        .layer(from_fn_with_state(compat.words, compat::in_their_words))
        .layer(from_fn_with_state(app, requests::count))
}
