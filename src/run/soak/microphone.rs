//! A microphone without a sound card, which can be unplugged: a PulseAudio of our
//! own, whose null sink's monitor is what ALSA calls the default device.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::proc;

/// Programs that it takes.
const PROGRAMS: [&str; 3] = ["pulseaudio", "pactl", "paplay"];
/// How often it is asked whether it is there, and how many times.
const LOOKS: (Duration, u32) = (Duration::from_millis(100), 100);

/// A microphone, plugged in or not.
pub struct Microphone {
    folder: TempDir,
    running: Option<Child>,
}

impl Microphone {
    /// What is missing for one on this machine.
    pub fn missing() -> Option<&'static str> {
        PROGRAMS
            .into_iter()
            .find(|program| !proc::installed(program))
    }

    /// One that isn't plugged in yet.
    ///
    /// # Errors
    ///
    /// When there is no room for its files.
    pub fn new() -> std::io::Result<Self> {
        let microphone = Self {
            folder: TempDir::new()?,
            running: None,
        };
        let socket = microphone.socket();
        let alsa = format!(
            "</usr/share/alsa/alsa.conf>\n\
             pcm.!default {{ type pulse server \"{socket}\" device \"feed.monitor\" \
             hint {{ show on description \"feed\" }} }}\n\
             ctl.!default {{ type pulse server \"{socket}\" }}\n"
        );
        std::fs::write(microphone.at("alsa.conf"), alsa)?;
        Ok(microphone)
    }

    /// The environment of a server that hears it.
    pub fn env(&self) -> [(&'static str, String); 3] {
        [
            (
                "ALSA_CONFIG_PATH",
                self.at("alsa.conf").display().to_string(),
            ),
            ("PULSE_SERVER", self.socket()),
            ("PULSE_LATENCY_MSEC", "20".into()),
        ]
    }

    /// Plugs it in.
    ///
    /// # Errors
    ///
    /// A sentence on what PulseAudio said.
    pub async fn plug(&mut self) -> Result<(), String> {
        // What an unplugged one left; there may be none.
        let _none = std::fs::remove_file(self.at("pulse.sock"));
        let socket = self.at("pulse.sock");
        let started = self
            .command("pulseaudio")
            .args(["-n", "--daemonize=no", "--use-pid-file=no"])
            .args(["--exit-idle-time=-1", "--disable-shm=yes", "-L"])
            .arg(format!(
                "module-native-protocol-unix socket={} auth-anonymous=1",
                socket.display()
            ))
            .args([
                "-L",
                "module-null-sink sink_name=feed rate=48000 channels=2",
            ])
            .spawn();
        self.running = Some(started.map_err(|e| format!("pulseaudio can't be started: {e}"))?);
        for _ in 0..LOOKS.1 {
            let server = self.socket();
            let asked = self
                .command("pactl")
                .args(["--server", &server, "info"])
                .status();
            if socket.exists() && asked.await.is_ok_and(|status| status.success()) {
                return Ok(());
            }
            sleep(LOOKS.0).await;
        }
        Err("pulseaudio doesn't answer within 10 s".into())
    }

    /// Pulls it out: its callbacks stop, without an error, as real ones do.
    pub async fn unplug(&mut self) {
        if let Some(mut running) = self.running.take() {
            // It may have ended by itself, which is the same.
            let _gone = running.kill().await;
        }
    }

    /// Speaks `file` into it, until that ends or what is returned is dropped.
    ///
    /// # Errors
    ///
    /// When the player can't be started.
    pub fn say(&self, file: &std::path::Path) -> std::io::Result<Child> {
        let server = format!("--server={}", self.socket());
        self.command("paplay")
            .arg(server)
            .arg("--device=feed")
            .arg(file)
            .spawn()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let folder = self.folder.path();
        for name in ["HOME", "XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH"] {
            command.env(name, folder);
        }
        command.env("PULSE_LATENCY_MSEC", "20");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.process_group(0).kill_on_drop(true);
        command
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn socket(&self) -> String {
        format!("unix:{}", self.at("pulse.sock").display())
    }
}
