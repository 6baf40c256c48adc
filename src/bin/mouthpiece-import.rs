//! `mouthpiece avatar import`: a program of its own, so that what it is linked
//! with costs no stream any memory.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use clap::{Args, Parser};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mouthpiece::config::Config;
use mouthpiece::native;
use mouthpiece::program::{exit_code, stand_back, stop_on_interrupt};
use mouthpiece::run::import::{self, Background, Behind, By, Job};
use mouthpiece::run::imports::Teller;
use mouthpiece::stage::lipsync::Runtime;

/// From one line of progress to the next where there is no terminal.
const LINES: Duration = Duration::from_secs(10);

/// Make an avatar from a video or a photo that shows a face.
#[derive(Parser)]
#[command(
    bin_name = "mouthpiece avatar import",
    version,
    after_help = "Examples:
  mouthpiece avatar import me.mp4 --id me
  mouthpiece avatar import portrait.jpg --id anna --name Anna
  mouthpiece avatar import talk.mov --id host --start 12 --seconds 30 --height 1080"
)]
struct Cli {
    #[command(flatten)]
    given: Import,
    /// A configuration file; config/default.toml explains every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change one key, for example --set assets=/srv/assets.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

#[derive(Args)]
struct Import {
    /// MP4, MOV, WebM, MKV or GIF; or a photo: JPEG, PNG or WebP.
    source: PathBuf,
    /// Its id: the name of its folder under assets/avatars.
    #[arg(long)]
    id: String,
    /// What people call it (otherwise the id).
    #[arg(long)]
    name: Option<String>,
    /// Who made it, and under which licence.
    #[arg(long, default_value = "")]
    credits: String,
    /// Rows of its pictures; a source with fewer isn't enlarged.
    #[arg(long, default_value_t = 720, value_parser = clap::value_parser!(u32).range(64..=2160))]
    height: u32,
    /// Which face, if there are several: 1 is the largest and most central one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    face: u8,
    /// Seconds of the source to pass over.
    #[arg(long, value_name = "S", default_value_t = 0.0, value_parser = seconds)]
    start: f64,
    /// Seconds of it to use at most.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// A face detector that sees more than OpenCV's cascades: YuNet of 2023, or
    /// SCRFD with landmarks.
    #[arg(long, value_name = "FILE.onnx")]
    detector: Option<PathBuf>,
    /// The colour of the screen behind the person: green, blue, or #rrggbb. It
    /// is made even, for a page to key out (the bundled one: ?key=1).
    #[arg(long, value_name = "COLOUR", value_parser = colour, group = "cut")]
    key: Option<[u8; 3]>,
    /// A network that tells a person from any background: MODNet, Robust Video
    /// Matting, U²-Net or ISNet. What comes behind is green unless told.
    #[arg(long, value_name = "FILE.onnx", group = "cut")]
    matte: Option<PathBuf>,
    /// What to put in the screen's or background's place: a colour, or a picture.
    #[arg(long, value_name = "COLOUR|FILE", requires = "cut")]
    background: Option<String>,
    /// Where pictures go if there is no face in them (otherwise ID-refused).
    #[arg(long, value_name = "FOLDER")]
    refused: Option<PathBuf>,
    /// Work only while nothing else wants a processor: beside a stream, for example.
    #[arg(long)]
    idle: bool,
    /// Say on standard output how far it is, and work where the source lies, for a
    /// program that clears up there.
    #[arg(long, hide = true)]
    tell: bool,
}

fn colour(text: &str) -> Result<[u8; 3], String> {
    import::colour(text).ok_or_else(|| "green, blue, black, white, grey or #rrggbb".into())
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(s) if (0.0..=86_400.0).contains(&s) => Ok(s),
        _ => Err("seconds, from 0 to 86400".into()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse(); // Wrong usage ends here, with 2.
    native::end_with_the_reader();
    native::silence_ffmpeg();
    native::silence_onnxruntime();
    if cli.given.idle {
        stand_back();
    }
    exit_code(run(&cli))
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let config = Config::load(cli.config.as_deref(), &cli.sets)?;
    let assets = config.assets()?;
    import(&config, &assets, &cli.given)
}

fn import(config: &Config, assets: &Path, given: &Import) -> anyhow::Result<()> {
    let (started, cpu) = (Instant::now(), native::process_cpu_time());
    let usual = PathBuf::from(format!("{}-refused", given.id));
    // A program has no use for pictures beside it.
    let refused = given.refused.as_ref().or((!given.tell).then_some(&usual));
    let runtime = match (&given.detector, &given.matte) {
        (None, None) => None,
        _ => Some(Runtime::load(&config.models)?),
    };
    let runtime = runtime.as_ref();
    let matte = given.matte.as_deref().zip(runtime);
    let by = given.key.map(By::Key);
    let by = by.or(matte.map(|(network, runtime)| By::Matte(network, runtime)));
    let behind = match given.background.as_deref() {
        None if matte.is_some() => import::colour("green").map_or(Behind::Screen, Behind::Colour),
        None => Behind::Screen,
        Some(text) => match import::colour(text) {
            Some(colour) => Behind::Colour(colour),
            None => Behind::Picture(text.into()),
        },
    };
    let job = Job {
        source: &given.source,
        id: &given.id,
        name: given.name.as_deref().unwrap_or(&given.id),
        credits: &given.credits,
        avatars: &assets.join("avatars"),
        // Who started us clears up there, whatever becomes of us.
        beside: given.source.parent().filter(|_| given.tell),
        height: given.height,
        face: usize::from(given.face),
        start_s: given.start,
        seconds: given.seconds,
        detector: given.detector.as_deref().zip(runtime),
        background: by.map(|by| Background { by, behind }),
        refused: refused.map(PathBuf::as_path),
    };
    let stopped = stop_on_interrupt()?;
    let bar = Bar::new();
    let mut teller = given.tell.then(Teller::default);
    let report = import::import(&job, &mut |progress| {
        match &mut teller {
            Some(teller) => teller.progress(progress.doing, progress.done, progress.of),
            None => bar.show(progress),
        }
        !stopped.load(Relaxed)
    });
    bar.bar.finish_and_clear();
    let report = report?;
    if given.tell {
        Teller::verdict(&report.verdict);
        return Ok(());
    }
    print!("{}", report.words());
    println!(
        "{} is in {}, made in {:.1} s ({:.1} s CPU). See it talk with `mouthpiece avatar preview {}`",
        job.name,
        job.avatars.join(job.id).display(),
        started.elapsed().as_secs_f64(),
        (native::process_cpu_time() - cpu).as_secs_f64(),
        job.id
    );
    Ok(())
}

/// A bar on a terminal, a line every ten seconds elsewhere.
struct Bar {
    bar: ProgressBar,
    said: std::cell::Cell<Instant>,
}

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr_with_hz(8));
        let style = ProgressStyle::with_template("{msg:26} {wide_bar} {percent:>3} %  {eta} left")
            .expect("the template is valid");
        bar.set_style(style);
        Self {
            bar,
            said: Instant::now().into(),
        }
    }

    fn show(&self, progress: import::Progress) {
        self.bar.set_length(progress.of as u64);
        self.bar.set_position(progress.done as u64);
        self.bar.set_message(progress.doing);
        if self.bar.is_hidden() && self.said.get().elapsed() >= LINES {
            self.said.set(Instant::now());
            let percent = progress.done * 100 / progress.of.max(1);
            eprintln!("{}: {percent} %", progress.doing);
        }
    }
}
