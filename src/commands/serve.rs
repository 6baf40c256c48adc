//! `mouthpiece serve`: streams until it is told to stop.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mouthpiece::config::Config;
use mouthpiece::control::requests::Requests;
use mouthpiece::control::server;
use mouthpiece::control::upload::Uploads;
use mouthpiece::control::{self, App, Running};
use mouthpiece::events::Event;
use mouthpiece::gpu::Gpu;
use mouthpiece::run::avatars::Avatars;
use mouthpiece::run::imports::{Imports, Programs};
use mouthpiece::run::library::Library;
use mouthpiece::run::preview;
use mouthpiece::run::recordings::Recordings;
use mouthpiece::run::session::Session;
use mouthpiece::run::sessions::{Kit, LIVE, Sessions};
use mouthpiece::run::watchdog::{Watchdog, Watched};
use mouthpiece::stage::chat::Chat;
use mouthpiece::stage::send::Viewers;
use mouthpiece::stage::tts::Tts;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::{avatar, sibling};
use crate::Settings;

/// Threads of the one runtime for HTTP and viewers.
const NETWORK_THREADS: usize = 1;
/// How long requests that run may take once we stop.
const LAST_REQUESTS: Duration = Duration::from_millis(300);

/// Why a server ends.
enum End {
    /// It was told to.
    Told,
    /// It was over its memory budget for too long.
    OverBudget,
}

/// The process was over its memory budget for longer than `memory.over_s`.
#[derive(Debug, thiserror::Error)]
#[error(
    "the process was over its memory budget for too long, and ended so that it may be started anew: raise memory.budget_mb if that happens again"
)]
pub struct OverBudget;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
///
/// Why it can't start; [`OverBudget`] after it had to end.
pub fn run(settings: &Settings, with_window: bool) -> anyhow::Result<()> {
    let config = &settings.load()?;
    let assets = config.assets()?;
    let tls = config.http.tls()?;
    let listener = config.http.bind()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(NETWORK_THREADS)
        .thread_name("network")
        .enable_all()
        .build()?;
    let viewers = runtime.block_on(Viewers::bind(&config.media))?;
    let avatars = Avatars::new(&assets);
    let shown = avatars.get(&config.show.avatar, None)?;
    let (library, formula) = super::open_model_within(config, &assets, &shown)?;
    let clip_cache = super::clip_cache(config, &formula);
    let sessions = Sessions::new(kit(config, &assets, avatars, &library));
    let live = sessions.start_live(with_window)?;
    drop(shown);
    let recordings = Recordings::new(config.recordings.clone());
    // One end is enough, whatever comes after it.
    let (ending, mut end) = mpsc::channel(1);
    let over_budget = ending.clone();
    let watched = Watched {
        sessions: Arc::clone(&sessions),
        recordings: Arc::clone(&recordings),
        library: Arc::clone(&library),
        viewers: viewers.clone(),
        clip_cache,
        idle_unload: Duration::from_secs(config.models.idle_unload_s),
        gpu: config.models.provider.on_nvidia().then(Gpu::open).flatten(),
        give_up: Box::new(move || {
            let _ending_already = over_budget.try_send(End::OverBudget);
        }),
    };
    let app: App = Arc::new(Running {
        watchdog: Watchdog::start(&config.memory, watched)?,
        imports: imports(settings, &assets, &sessions)?,
        max_upload_mb: config.imports.max_upload_mb,
        sessions: Arc::clone(&sessions),
        viewers: viewers.clone(),
        recordings: Arc::clone(&recordings),
        library,
        assets,
        uploads: Uploads::new(config.speech.max_upload_mb << 20),
        requests: Requests::default(),
        tts: Arc::new(Tts::new(&config.tts)?),
        chat: Arc::new(Chat::new(&config.chat)?),
        started: Instant::now(),
    });

    stop_on_signals(&runtime, ending)?;
    let (close, closed) = oneshot::channel::<()>();
    let routes = control::routes(Arc::clone(&app), &config.http);
    let url = config.http.url(listener.local_addr()?);
    let limits = config.http.limits();
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let server = runtime.spawn(server::serve(listener, routes, limits, tls, async {
        // Sent or dropped, it is over.
        let _over = closed.await;
    }));
    println!("Mouthpiece streams: {url}");
    tracing::info!(
        avatar = live.cast().avatar.name,
        source = ?live.source(),
        udp_port = viewers.port(),
        "serving"
    );

    show_window(&live, &app);
    let end = runtime.block_on(end.recv()).unwrap_or(End::Told);
    tracing::info!("stopping");
    app.imports.stop_all();
    drop(live);
    // The end of the stream runs down the path, then viewers hear goodbye.
    viewers.refuse(true);
    sessions.end();
    drop(sessions);
    recordings.end();
    runtime.block_on(viewers.close_all());
    // The server may be gone already.
    let _gone = close.send(());
    let _late = runtime.block_on(async { tokio::time::timeout(LAST_REQUESTS, server).await });
    runtime.shutdown_timeout(LAST_REQUESTS);
    app.imports.end();
    drop(app);
    match end {
        End::Told => Ok(()),
        End::OverBudget => Err(OverBudget.into()),
    }
}

/// Imports into `assets` by programs that are configured as this one, and tells the
/// session `live` of them.
fn imports(
    settings: &Settings,
    assets: &Path,
    sessions: &Arc<Sessions>,
) -> anyhow::Result<Arc<Imports>> {
    let import = ["model", "import"].map(OsString::from);
    let programs = Programs {
        avatar: (sibling::path(avatar::IMPORTER)?, settings.arguments()),
        model: (
            std::env::current_exe()?,
            import.into_iter().chain(settings.arguments()).collect(),
        ),
    };
    let sessions = Arc::downgrade(sessions);
    let tell = move |event: Event| {
        if let Some(live) = sessions.upgrade().and_then(|sessions| sessions.get(LIVE)) {
            live.stats.events.post(event);
        }
    };
    Ok(Imports::start(assets, programs, tell)?)
}

/// What sessions are made of, as it is configured.
pub(super) fn kit(config: &Config, assets: &Path, avatars: Avatars, library: &Arc<Library>) -> Kit {
    Kit {
        sessions: config.sessions.clone(),
        assets: assets.to_owned(),
        avatars,
        avatar: config.show.avatar.clone(),
        library: Arc::clone(library),
        audio: config.audio.clone(),
        file: super::speech_file(config, assets),
        speech: config.speech.clone(),
        voice: config.voice.clone(),
        encode: config.encode.clone(),
        budget: config.memory.budget(),
    }
}

/// Ends with the first SIGTERM or SIGINT; a second one exits at once.
fn stop_on_signals(runtime: &Runtime, ending: mpsc::Sender<End>) -> anyhow::Result<()> {
    let _inside = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Files that may not grow further (`ulimit -f`) are an error of the write, and
    // not the end of the stream.
    let _never_read = signal(SignalKind::from_raw(libc::SIGXFSZ))?;
    runtime.spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        // It may be ending already.
        let _ending_already = ending.try_send(End::Told);
        next().await;
        std::process::exit(130);
    });
    Ok(())
}

/// Shows the window until it is closed. The stream goes on without it.
fn show_window(live: &Arc<Session>, app: &App) {
    let Some(frames) = live.take_preview() else {
        return;
    };
    let title = format!("Mouthpiece: {}", live.cast().avatar.name);
    let (session, app) = (Arc::clone(live), Arc::clone(app));
    let figures = move || {
        let reading = app.watchdog.reading();
        let frame = session.stats.frame.recent().mean;
        let viewers = app.viewers.count(LIVE);
        let mut line = format!("{:.0} fps   ", session.stats.fps.get());
        // Measured to the end of encoding: not before there is a viewer.
        if !frame.is_zero() {
            line += &format!("{:.1} ms a frame   ", frame.as_secs_f64() * 1e3);
        }
        line + &format!(
            "{viewers} viewer{}   {} MB   {:.0} % CPU",
            if viewers == 1 { "" } else { "s" },
            reading.rss_bytes >> 20,
            reading.cpu_percent,
        )
    };
    let session = Arc::clone(live);
    let interrupt = move || {
        session.interrupt();
    };
    if let Err(error) = preview::show(frames, &title, figures, interrupt) {
        tracing::warn!("{error}");
    }
}
