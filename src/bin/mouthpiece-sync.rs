//! `mouthpiece sync`: a program of its own, so that what it is linked with costs
//! no stream any memory.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mouthpiece::config::Config;
use mouthpiece::native;
use mouthpiece::program::exit_code;
use mouthpiece::run::sync::{self, Measured};

/// How much of a video is looked at, unless it is all of it.
const USUAL: Duration = Duration::from_secs(30);

/// Measure how much later a video's sound is than its lips.
#[derive(Parser)]
#[command(
    bin_name = "mouthpiece sync",
    version,
    after_help = "The offset is positive when the sound comes later than the picture.

Examples:
  mouthpiece sync talk.mp4
  mouthpiece sync talk.mp4 --all --json"
)]
struct Cli {
    /// MP4, MOV, WebM or MKV that shows one who talks.
    video: PathBuf,
    /// Look at all of it, and not only at its first 30 s.
    #[arg(long)]
    all: bool,
    /// Print what was measured as JSON.
    #[arg(long)]
    json: bool,
    /// A configuration file; config/default.toml explains every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change one key, for example --set voice.open=0.8.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse(); // Wrong usage ends here, with 2.
    native::end_with_the_reader();
    native::silence_ffmpeg();
    exit_code(run(&cli))
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let config = Config::load(cli.config.as_deref(), &cli.sets)?;
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
    let style = ProgressStyle::with_template("{msg} of the video looked at  {elapsed}")
        .expect("the template is valid");
    bar.set_style(style);
    let most = (!cli.all).then_some(USUAL);
    let measured = sync::measure(&cli.video, most, &config.voice, |seen| {
        if seen.subsec_nanos() == 0 {
            bar.set_message(format!("{} s", seen.as_secs()));
        }
    });
    bar.finish_and_clear();
    let measured = measured?;
    if cli.json {
        println!("{}", serde_json::to_string(&measured)?);
    } else {
        println!("{}: {}", cli.video.display(), words(&measured));
    }
    Ok(())
}

fn words(measured: &Measured) -> String {
    let Measured {
        offset_ms,
        error_ms,
        confidence,
        seconds,
        speech_s,
        ..
    } = measured;
    let side = if *offset_ms < 0.0 { "earlier" } else { "later" };
    format!(
        "{offset_ms:+.0} ms: the sound is {:.0} ms {side} than the lips (± {error_ms:.0} ms, confidence {confidence:.2}, from {speech_s:.0} s of speech in {seconds:.0} s)",
        offset_ms.abs()
    )
}
