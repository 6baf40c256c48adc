//! The server under test: this very program in a process of its own.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use psutil::process::Process;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::http::Http;

/// Time for it to load its model and to listen.
const START: Duration = Duration::from_secs(60);
/// Time for it to end once it is told to: it promises five seconds.
const STOP: Duration = Duration::from_secs(10);
/// What stands before its address in its first line.
const STREAMS: &str = "Mouthpiece streams: http://";

/// How servers are started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// The user's configuration.
    pub config: Option<PathBuf>,
    /// Settings, `KEY=VALUE`: the user's, then what the soak needs.
    pub sets: Vec<String>,
    /// Where what it logs is written.
    pub log: PathBuf,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No process.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It says nothing.
    #[error("the server didn't come up: {log} says why{last}")]
    Silent {
        /// Its log.
        log: PathBuf,
        /// Its last line, with a colon before it.
        last: String,
    },
}

/// A server that runs. Dropping it kills it.
pub struct Server {
    /// Its control API.
    pub http: Http,
    /// Its process.
    pub pid: u32,
    child: Child,
    /// Kept open, or a server that says more would fail at it.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts one on free ports, with `more` settings and `env`.
    ///
    /// # Errors
    ///
    /// When it doesn't come up.
    pub async fn start(
        launch: &Launch,
        more: &[String],
        env: &[(&str, String)],
    ) -> Result<Self, Error> {
        let start = |source| Error::Start {
            program: launch.program.clone(),
            source,
        };
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&launch.log);
        let mut command = Command::new(&launch.program);
        command.arg("serve");
        if let Some(config) = &launch.config {
            command.arg("--config").arg(config);
        }
        for set in launch.sets.iter().chain(more) {
            command.arg("--set").arg(set);
        }
        // Ctrl-C is for the soak, which ends the server in its own time.
        command.process_group(0).kill_on_drop(true);
        command.envs(env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(log.map_err(start)?).spawn().map_err(start)?;
        let said = child.stdout.take().expect("it was asked for above");
        let mut said = BufReader::new(said).lines();
        let address = timeout(START, async {
            loop {
                let line = said.next_line().await.ok()??;
                if let Some(address) = line.strip_prefix(STREAMS) {
                    return address.trim_end_matches('/').parse::<SocketAddr>().ok();
                }
            }
        });
        match (address.await, child.id()) {
            (Ok(Some(address)), Some(pid)) => Ok(Self {
                http: Http(address),
                pid,
                child,
                _said: said,
            }),
            _ => Err(Error::Silent {
                log: launch.log.clone(),
                last: last_line(&launch.log),
            }),
        }
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Tells it to end and waits until it has.
    ///
    /// # Errors
    ///
    /// A sentence on how it ended, if not well.
    pub async fn stop(&mut self) -> Result<(), String> {
        if let Some(status) = self.child.try_wait().ok().flatten() {
            return Err(format!("the server had ended by itself ({status})"));
        }
        // It may be gone this moment: its status tells.
        let _gone = Process::new(self.pid).and_then(|process| process.terminate());
        match timeout(STOP, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(status) => Err(format!("the server ended with {}", said(status))),
            Err(_) => Err(format!(
                "the server had not ended {} s after SIGTERM",
                STOP.as_secs()
            )),
        }
    }
}

fn said(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|e| e.to_string(), |status| status.to_string())
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines()
        .last()
        .map_or(String::new(), |line| format!(": {line}"))
}
