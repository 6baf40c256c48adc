//! One import's process.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use psutil::process::Process;

use super::STOPPED;
use super::told::Told;
use crate::run::jobs::last_words;

/// From one look whether it has ended, or was stopped, to the next.
const LOOK: Duration = Duration::from_millis(50);
/// Time for one that was told to end to clear up behind itself.
const CLEARING: Duration = Duration::from_secs(2);
/// The exit code of one that says why.
const SAYS_WHY: i32 = 1;
/// The signal of a system without memory (SIGKILL).
const KILLED: i32 = 9;

/// Runs `command` until it ends or is `stopped`, and hears what it says.
///
/// # Errors
///
/// Why nothing was made, in a sentence.
pub(super) fn run(
    mut command: Command,
    stopped: &AtomicBool,
    mut hear: impl FnMut(Told) + Send,
) -> Result<(), String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        let program = command.get_program().display();
        format!(
            "cannot start {program} ({error}): it is built with this program and belongs beside it"
        )
    })?;
    let out = child.stdout.take().expect("it is piped");
    let mut err = child.stderr.take().expect("it is piped");
    let (ended, said) = thread::scope(|scope| {
        scope.spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            lines.filter_map(|line| Told::of(&line)).for_each(&mut hear);
        });
        let said = scope.spawn(move || last_words(&mut err));
        let ended = wait(&mut child, stopped);
        (ended, said.join().unwrap_or_default())
    });
    let status = ended.map_err(|error| format!("lost sight of the import: {error}"))?;
    if status.success() {
        return Ok(());
    }
    if stopped.load(Relaxed) {
        return Err(STOPPED.into());
    }
    if status.code() == Some(SAYS_WHY) && !said.is_empty() {
        return Err(said);
    }
    tracing::warn!("an import broke down ({status}): {said}");
    let mend = match status.signal() {
        Some(KILLED) => {
            "the system had no memory left for it; free some, or import something smaller"
        }
        _ => "the file may be damaged; save it anew and try again",
    };
    Err(format!(
        "the import broke down ({status}), and nothing was imported: {mend}"
    ))
}

/// Waits for `child`, which is told to end once it is `stopped`.
fn wait(child: &mut Child, stopped: &AtomicBool) -> std::io::Result<ExitStatus> {
    let mut told: Option<Instant> = None;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        match told {
            None if stopped.load(Relaxed) => {
                told = Some(Instant::now());
                // It may be ending this moment.
                let _gone = Process::new(child.id()).and_then(|process| process.terminate());
            }
            Some(told) if told.elapsed() > CLEARING => child.kill()?,
            _ => {}
        }
        thread::sleep(LOOK);
    }
}
