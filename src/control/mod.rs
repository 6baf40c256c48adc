//! The control API: one file a resource.

mod action;
mod api;
pub mod auth;
mod bundles;
pub mod compat;
mod config;
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

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

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
pub use config::{Config, Error};
use problem::Problem;
use requests::Requests;
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
    let compat = Compat::of(&config.compat);
    let mut guarded = OpenApiRouter::default()
        .routes(routes!(status::status))
        .routes(routes!(memory::memory))
        .routes(routes!(memory::reclaim))
        .routes(routes!(speech::interrupt))
        .routes(routes!(action::action))
        .routes(routes!(text::forget))
        .routes(routes!(recordings::order))
        .routes(routes!(snapshot::snapshot))
        .routes(routes!(recordings::list))
        .routes(routes!(recordings::download, recordings::delete))
        .routes(routes!(session::list, session::create))
        .routes(routes!(session::get, session::patch, session::delete))
        .routes(routes!(bundles::avatars))
        .routes(routes!(bundles::avatar, bundles::delete_avatar))
        .routes(routes!(bundles::poster))
        .routes(routes!(bundles::sheet))
        .routes(routes!(bundles::models))
        .routes(routes!(bundles::model, bundles::delete_model))
        .routes(routes!(imports::jobs))
        .routes(routes!(imports::job, imports::stop))
        .routes(routes!(metrics::metrics))
        .routes(routes!(status::readyz))
        .merge(compat.brief.into())
        .layer(DefaultBodyLimit::max(SMALL))
        .layer(from_fn_with_state(REQUEST, server::in_time))
        // Uploads are bounded where they are read.
        .routes(routes!(speech::push).layer(DefaultBodyLimit::disable()))
        .routes(routes!(imports::avatar).layer(DefaultBodyLimit::disable()))
        .routes(routes!(imports::model).layer(DefaultBodyLimit::disable()))
        .merge(compat.uploads.into())
        .layer(from_fn_with_state(auth.control(), auth::require));
    api::guard(guarded.get_openapi_mut(), api::IN_HEADER);
    // None of these has an end in time.
    let mut endless = OpenApiRouter::default()
        .routes(routes!(stream::stream))
        .routes(routes!(events::events))
        .merge(compat.endless.into())
        .layer(from_fn_with_state(auth.control_here(), auth::require));
    api::guard(endless.get_openapi_mut(), api::IN_ADDRESS);
    let guarded = guarded.merge(endless).merge(whip::described(&auth));
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
    let (all, document) = OpenApiRouter::with_openapi(api::head())
        .routes(routes!(page::index))
        .routes(routes!(page::console))
        .routes(routes!(page::web))
        .routes(routes!(status::healthz))
        .routes(routes!(problem::kinds))
        .routes(routes!(problem::explain))
        .routes(routes!(api::document))
        .routes(routes!(api::docs))
        .routes(routes!(api::file))
        .merge(guarded)
        .merge(whep::described(whep, &auth))
        .split_for_parts();
    let all = all
        .layer(Extension(api::Document::whole(document)))
        .fallback(async || Problem::not_found("There is nothing at this address."))
        .with_state(Arc::clone(&app));
    let all = if open {
        all.layer(from_fn(origin::own_host))
    } else {
        all
    };
    all.layer(from_fn(problem::everywhere))
        .layer(from_fn_with_state(compat.words, compat::in_their_words))
        .layer(from_fn_with_state(app, requests::count))
}
