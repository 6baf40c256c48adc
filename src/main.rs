//! The commands.

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use mouthpiece::config::Config;

/// Streams a digital human in real time: sound goes in, a face that speaks it
/// comes out.
#[derive(Parser)]
#[command(version, after_help = "Example:\n  mouthpiece serve --preview")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Stream to browsers, and to a window with --preview.
    #[command(after_help = "Examples:
  mouthpiece serve
  mouthpiece serve --set audio.source=microphone --preview
  mouthpiece serve --config config/low-memory.toml --set http.listen=127.0.0.1:9000")]
    Serve {
        #[command(flatten)]
        settings: Settings,
        /// Show the stream in a window too. Keys: h hides the figures, i
        /// interrupts, q closes the window and the stream goes on.
        #[arg(long)]
        preview: bool,
    },
    /// Speak a sound file into a video file, as fast as the machine can.
    #[command(after_help = "Example:
  mouthpiece render --audio speech.wav --out speech.mp4 --report speech.json")]
    Render {
        #[command(flatten)]
        settings: Settings,
        /// The sound file: WAV, FLAC, MP3, OGG or M4A.
        #[arg(long, value_name = "FILE")]
        audio: PathBuf,
        /// Who speaks it (otherwise as configured).
        #[arg(long, value_name = "ID")]
        avatar: Option<String>,
        /// The video file to be written: MP4 with H.264 and Opus.
        #[arg(long, value_name = "FILE.mp4")]
        out: PathBuf,
        /// Write what it took, as JSON.
        #[arg(long, value_name = "FILE.json")]
        report: Option<PathBuf>,
    },
    /// List avatars, check one, or make one from a video or a photo.
    #[command(after_help = "Examples:
  mouthpiece avatar import me.mp4 --id me
  mouthpiece avatar check ava")]
    Avatar {
        #[command(flatten)]
        settings: Settings,
        #[command(subcommand)]
        action: commands::avatar::Avatars,
    },
    /// List models, check one, or make one of ONNX files.
    #[command(after_help = "Examples:
  mouthpiece model check mouthpiece-256
  mouthpiece model import wav2lip.onnx --id mine
  mouthpiece model import unet.onnx --audio feather_hubert.onnx --id mine")]
    Model {
        #[command(flatten)]
        settings: Settings,
        #[command(subcommand)]
        action: commands::model::Models,
    },
    /// Say what works on this machine, what doesn't, and how to mend it.
    #[command(after_help = "Example:\n  mouthpiece doctor")]
    Doctor {
        #[command(flatten)]
        settings: Settings,
    },
    /// Show the pictures that `serve --preview` sends by standard input.
    #[command(hide = true)]
    Window {
        /// What stands above the window.
        #[arg(long, default_value = "Mouthpiece")]
        title: String,
    },
}

/// Where the configuration comes from.
#[derive(Args)]
struct Settings {
    /// A configuration file; config/default.toml explains every key.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Change one key, for example --set http.listen=127.0.0.1:9000.
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    sets: Vec<String>,
}

impl Settings {
    fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load(self.config.as_deref(), &self.sets)?)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse(); // Wrong usage ends here, with 2.
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                // What fails of a viewer's connection is that viewer's affair.
                .unwrap_or_else(|_| "info,rtc=off,webrtc=off,symphonia=error,ort=warn".into()),
        )
        .with_target(false)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mouthpiece: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    // Threads come and go with viewers; without a bound each would leave the
    // system an arena of its own, and resident memory would grow with them.
    mouthpiece::native::limit_arenas(2);
    // Models and avatars come and go, and leave nothing behind.
    mouthpiece::native::return_large_blocks();
    if matches!(
        command,
        Command::Avatar { .. } | Command::Model { .. } | Command::Doctor { .. }
    ) {
        mouthpiece::native::end_with_the_reader();
    }
    match command {
        Command::Serve { settings, preview } => commands::serve::run(&settings.load()?, preview),
        Command::Render {
            settings,
            audio,
            avatar,
            out,
            report,
        } => {
            let mut config = settings.load()?;
            if let Some(avatar) = avatar {
                config.show.avatar = avatar;
            }
            commands::render::run(&config, &audio, &out, report.as_deref())
        }
        Command::Avatar { settings, action } => commands::avatar::run(&settings, &action),
        Command::Model { settings, action } => commands::model::run(&settings.load()?, &action),
        Command::Doctor { settings } => commands::doctor::run(settings.load()),
        Command::Window { title } => commands::window::run(&title),
    }
}
