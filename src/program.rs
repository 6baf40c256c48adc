//! What every program here does alike: it ends with a sentence, breaks off well,
//! and stands back where it works beside a stream.

use std::fmt::Display;
use std::fs;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::signal::unix::{SignalKind, signal};

use crate::native;

/// The exit code of what came of a program. An error is printed as one sentence,
/// with its causes.
pub fn exit_code(result: Result<(), impl Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mouthpiece: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Set by the first SIGINT or SIGTERM: what runs then breaks off, and cleans up
/// behind itself.
///
/// # Errors
///
/// When the system lets nobody listen for signals, or has no thread left.
pub fn stop_on_interrupt() -> io::Result<Arc<AtomicBool>> {
    let stopped = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&stopped);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let first = {
        let _inside = runtime.enter();
        interrupted()?
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(first);
            tell.store(true, Relaxed);
        })?;
    Ok(stopped)
}

/// Listens from now on, inside an asynchronous runtime; ends with the first SIGINT
/// or SIGTERM.
///
/// # Errors
///
/// When the system lets nobody listen for signals.
pub fn interrupted() -> io::Result<impl Future<Output = ()> + Send + use<>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Makes the process one that stands back: it runs while nothing else wants a
/// processor, and where memory runs out the system ends it before any other. For
/// work beside a stream; call it before threads start.
pub fn stand_back() {
    // Where the system knows neither, it works as others do.
    let _as_before = native::run_when_idle();
    let _as_before = fs::write("/proc/self/oom_score_adj", "1000");
}
