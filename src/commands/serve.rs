//! `mouthpiece serve`: streams until it is told to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use mouthpiece::config::Config;
use mouthpiece::control::{self, App, Running};
use mouthpiece::run::preview::{self, Key};
use mouthpiece::run::session::{Parts, Session};
use mouthpiece::run::sessions::{LIVE, Sessions};
use mouthpiece::run::watchdog::{Watchdog, Watched};
use mouthpiece::stage::send::Viewers;
use tokio::signal::unix::{SignalKind, signal};

/// Threads of the one runtime for HTTP and viewers.
const NETWORK_THREADS: usize = 1;
/// How long requests that run may take once we stop.
const LAST_REQUESTS: Duration = Duration::from_millis(300);

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config, with_window: bool) -> anyhow::Result<()> {
    let assets = config.assets()?;
    let listener = config.http.bind()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(NETWORK_THREADS)
        .thread_name("network")
        .enable_all()
        .build()?;
    let viewers = runtime.block_on(Viewers::bind(&config.media))?;
    let avatar = super::open_avatar(config, &assets)?;
    let library = super::open_model(config, &assets)?;
    let welcome = assets.join("speech").join("welcome.flac");
    let parts = Parts {
        id: LIVE,
        avatar,
        library: Arc::clone(&library),
        audio: &config.audio,
        file: match config.audio.file.as_str() {
            "" => welcome,
            file => PathBuf::from(file),
        },
        speech: &config.speech,
        voice: &config.voice,
        encode: &config.encode,
        clip_cache: config.memory.clip_cache(),
    };
    let sessions = Arc::new(Sessions::default());
    let live = sessions.add(Session::start(parts, with_window)?);
    let watched = Watched {
        sessions: Arc::clone(&sessions),
        library: Arc::clone(&library),
        viewers: viewers.clone(),
        idle_unload: Duration::from_secs(config.models.idle_unload_s),
    };
    let app: App = Arc::new(Running {
        watchdog: Watchdog::start(&config.memory, watched)?,
        sessions: Arc::clone(&sessions),
        viewers: viewers.clone(),
        library,
        assets,
        max_upload: config.speech.max_upload_mb << 20,
        started: Instant::now(),
    });

    let stop = stop_on_signals(&runtime)?;
    let (close, closed) = tokio::sync::oneshot::channel::<()>();
    let routes = control::routes(Arc::clone(&app), &config.http);
    let server = runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, routes)
            .with_graceful_shutdown(async {
                // Sent or dropped, it is over.
                let _over = closed.await;
            })
            .await
    });
    println!("Mouthpiece streams: http://{}/", config.http.listen);
    tracing::info!(
        avatar = live.avatar.name,
        source = ?live.source,
        udp_port = viewers.port(),
        "serving"
    );

    if with_window {
        window(&live, &app, &stop);
    }
    while !stop.is_stopping() {
        stop.wait();
    }
    tracing::info!("stopping");
    drop(live);
    // The end of the stream runs down the path, then viewers hear goodbye.
    viewers.refuse(true);
    sessions.end();
    drop(sessions);
    runtime.block_on(viewers.close_all());
    // The server may be gone already.
    let _gone = close.send(());
    let _late = runtime.block_on(async { tokio::time::timeout(LAST_REQUESTS, server).await });
    runtime.shutdown_timeout(LAST_REQUESTS);
    drop(app);
    Ok(())
}

/// Whether somebody told us to stop.
struct Stop {
    told: Arc<AtomicBool>,
    wake: Receiver<()>,
}

impl Stop {
    fn is_stopping(&self) -> bool {
        self.told.load(Relaxed)
    }

    fn wait(&self) {
        // Closed or not, the flag says it.
        let _woken = self.wake.recv();
    }
}

/// The first SIGTERM or SIGINT stops; a second one exits at once.
fn stop_on_signals(runtime: &tokio::runtime::Runtime) -> anyhow::Result<Stop> {
    let _inside = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (waker, wake) = bounded(1);
    let told = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&told);
    runtime.spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if tell.swap(true, Relaxed) {
                std::process::exit(130);
            }
            // Full when told twice: once is enough.
            let _told = waker.try_send(());
        }
    });
    Ok(Stop { told, wake })
}

/// Shows the window until it is closed. The stream goes on without it.
fn window(live: &Session, app: &App, stop: &Stop) {
    let Some(frames) = live.take_preview() else {
        return;
    };
    let figures = || {
        let reading = app.watchdog.reading();
        let frame = live.stats.frame.recent();
        format!(
            "{:.0} fps  {:.1} ms  {} viewers  {} MB  {:.0} % CPU",
            live.stats.fps.get(),
            frame.mean.as_secs_f64() * 1e3,
            app.viewers.count(LIVE),
            reading.rss_bytes >> 20,
            reading.cpu_percent,
        )
    };
    let on_key = |Key::Interrupt| {
        live.interrupt();
    };
    if let Err(error) = preview::show(&frames, figures, on_key, || stop.is_stopping()) {
        tracing::warn!("{error}");
    }
}
