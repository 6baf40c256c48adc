//! The commands.

mod commands;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use mouthpiece::config::Config;
use mouthpiece::program::exit_code;

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
    /// Speak a sound file into a video file, or a list of them, as fast as the
    /// machine can.
    #[command(after_help = "Examples:
  mouthpiece render --audio speech.wav --out speech.mp4 --report speech.json
  mouthpiece render --audio lecture.flac --out lecture.mp4 --resume
  mouthpiece render --jobs list.jsonl --out videos --parallel 2

A list has a job a line; only `audio` must be there:
  {\"audio\": \"a.wav\", \"out\": \"a.mp4\", \"avatar\": \"leo\", \"model\": \"mouthpiece-256\", \"clip\": \"idle\"}")]
    Render {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        given: commands::render::Given,
    },
    /// Measure how much later a video's sound is than its lips.
    #[command(disable_help_flag = true)]
    Sync {
        #[command(flatten)]
        settings: Settings,
        /// As `mouthpiece sync --help` says.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        given: Vec<OsString>,
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
    /// Prove that memory holds: stream for an hour to viewers who come and go,
    /// with everything that broke others, and judge what was measured.
    ///
    /// It ends with 0 when nothing was over the limits of config/soak.toml and
    /// with 1 when something was; what a short run can't tell is said so, and
    /// doesn't fail. Ctrl-C ends it early, with a report of what there is.
    #[command(
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true,
        after_help = "Examples:
  mouthpiece soak --minutes 60 --viewers 4 --churn 8 --out soaked
  mouthpiece soak report soaked
  mouthpiece soak report soaked soaked-before"
    )]
    Soak {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        soak: commands::soak::Soak,
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

    /// The same for another program of this project.
    fn arguments(&self) -> Vec<OsString> {
        let config = self.config.iter();
        let config = config.flat_map(|config| ["--config".into(), config.into()]);
        let sets = self.sets.iter();
        let sets = sets.flat_map(|set| ["--set".into(), set.into()]);
        config.chain(sets).collect()
    }
}

/// The exit code that asks a supervisor to start the process anew: `EX_TEMPFAIL`
/// of sysexits.h.
const TRY_AGAIN: u8 = 75;

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
    let result = run(cli.command);
    let over = matches!(&result, Err(error) if error.is::<commands::serve::OverBudget>());
    let code = exit_code(result);
    if over {
        ExitCode::from(TRY_AGAIN)
    } else {
        code
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    mouthpiece::native::silence_onnxruntime();
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
        Command::Serve { settings, preview } => commands::serve::run(&settings, preview),
        Command::Render { settings, given } => {
            // A list that is gone takes its renders with it.
            mouthpiece::native::end_with_the_reader();
            commands::render::run(&settings, &given)
        }
        Command::Sync { settings, given } => commands::sync::run(&settings, &given),
        Command::Avatar { settings, action } => commands::avatar::run(&settings, &action),
        Command::Model { settings, action } => commands::model::run(&settings.load()?, &action),
        Command::Soak { settings, soak } => commands::soak::run(&settings, &soak),
        Command::Doctor { settings } => commands::doctor::run(settings.load()),
        Command::Window { title } => commands::window::run(&title),
    }
}
