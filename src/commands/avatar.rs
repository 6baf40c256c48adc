//! `mouthpiece avatar …`: who is there, whether they are whole, and new ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mouthpiece::avatar::Avatar;
use mouthpiece::config::Config;
use mouthpiece::media::FPS;
use mouthpiece::native;
use mouthpiece::run::import::{self, Background, Behind, Job, judge};
use mouthpiece::run::offline;
use mouthpiece::stage::lipsync::Runtime;

use super::render;

/// How much of the welcome speech a preview speaks.
const PREVIEW: Duration = Duration::from_secs(10);
/// From one line of progress to the next where there is no terminal.
const LINES: Duration = Duration::from_secs(10);

#[derive(Subcommand)]
pub enum Avatars {
    /// Every avatar there is.
    List,
    /// Open one whole: every file, every frame; and say how well it will talk.
    Check {
        /// Its folder's name.
        id: String,
    },
    /// Make one from a video or a photo that shows a face.
    #[command(after_help = "Examples:
  mouthpiece avatar import me.mp4 --id me
  mouthpiece avatar import portrait.jpg --id anna --name Anna
  mouthpiece avatar import talk.mov --id host --start 12 --seconds 30 --height 1080")]
    Import(Import),
    /// Render ten seconds of the welcome speech, to see how one talks.
    #[command(after_help = "Example:\n  mouthpiece avatar preview ava --out ava.mp4")]
    Preview {
        /// Its folder's name.
        id: String,
        /// The video file to be written (otherwise ID-preview.mp4).
        #[arg(long, value_name = "FILE.mp4")]
        out: Option<PathBuf>,
    },
}

#[derive(Args)]
pub struct Import {
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
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=120))]
    seconds: u32,
    /// A face detector that sees more than OpenCV's cascades: YuNet of 2023, or
    /// SCRFD with landmarks.
    #[arg(long, value_name = "FILE.onnx")]
    detector: Option<PathBuf>,
    /// The colour of the screen behind the person: green, blue, or #rrggbb. It
    /// is made even, for a page to key out (the bundled one: ?key=1).
    #[arg(long, value_name = "COLOUR", value_parser = colour)]
    key: Option<[u8; 3]>,
    /// What to put in the screen's place: a colour, or a picture.
    #[arg(long, value_name = "COLOUR|FILE", requires = "key")]
    background: Option<String>,
    /// Where pictures go if there is no face in them (otherwise ID-refused).
    #[arg(long, value_name = "FOLDER")]
    refused: Option<PathBuf>,
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

/// `mouthpiece avatar …`.
pub fn run(config: &Config, action: &Avatars) -> anyhow::Result<()> {
    let assets = config.assets()?;
    match action {
        Avatars::List => super::list(&assets.join("avatars"), |folder| {
            let avatar = Avatar::open(folder)?;
            let clips = avatar
                .clips()
                .map(|(name, clip)| format!("{name} {:.1} s", clip.len() as f64 / f64::from(FPS)));
            Ok(format!(
                "{}, {}x{}, clips: {}",
                avatar.name,
                avatar.size.width,
                avatar.size.height,
                clips.collect::<Vec<_>>().join(", ")
            ))
        }),
        Avatars::Check { id } => check(&assets, id),
        Avatars::Import(given) => import(config, &assets, given),
        Avatars::Preview { id, out } => preview(config, &assets, id, out.as_deref()),
    }
}

fn check(assets: &Path, id: &str) -> anyhow::Result<()> {
    let folder = super::bundle(assets, "avatar", id)?;
    let avatar = Avatar::open(&folder)?;
    for (name, clip) in avatar.clips() {
        clip.check_whole(&folder)?;
        let measured = judge::measure(&avatar, name, clip, |_, _| {})?;
        println!("{name}: {}", measured.line());
        measured
            .verdict()
            .lines()
            .for_each(|line| println!("  {line}"));
    }
    println!("{} is whole. {}", avatar.name, avatar.credits);
    Ok(())
}

fn import(config: &Config, assets: &Path, given: &Import) -> anyhow::Result<()> {
    let (started, cpu) = (Instant::now(), native::process_cpu_time());
    let refused = PathBuf::from(format!("{}-refused", given.id));
    let runtime = match &given.detector {
        Some(_) => Some(Runtime::load(&config.models)?),
        None => None,
    };
    let job = Job {
        source: &given.source,
        id: &given.id,
        name: given.name.as_deref().unwrap_or(&given.id),
        credits: &given.credits,
        avatars: &assets.join("avatars"),
        height: given.height,
        face: usize::from(given.face),
        start_s: given.start,
        seconds: given.seconds,
        detector: given.detector.as_deref().zip(runtime.as_ref()),
        background: given.key.map(|key| Background {
            key,
            behind: match &given.background {
                None => Behind::Screen,
                Some(text) => match import::colour(text) {
                    Some(colour) => Behind::Colour(colour),
                    None => Behind::Picture(text.into()),
                },
            },
        }),
        refused: given.refused.as_deref().unwrap_or(&refused),
    };
    let stopped = stop_on_interrupt()?;
    let bar = Bar::new();
    let report = import::import(&job, &mut |progress| {
        bar.show(progress);
        !stopped.load(Relaxed)
    });
    bar.bar.finish_and_clear();
    let report = report?;
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

/// Set by the first SIGINT or SIGTERM: the import then cleans up behind itself.
fn stop_on_interrupt() -> anyhow::Result<Arc<AtomicBool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let stopped = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&stopped);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            tell.store(true, Relaxed);
        })?;
    Ok(stopped)
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

fn preview(config: &Config, assets: &Path, id: &str, out: Option<&Path>) -> anyhow::Result<()> {
    let mut config = config.clone();
    id.clone_into(&mut config.show.avatar);
    let avatar = super::open_avatar(&config, assets)?;
    let library = super::open_model(&config, assets)?;
    let speech = assets.join("speech/welcome.flac");
    let usual = PathBuf::from(format!("{id}-preview.mp4"));
    let out = out.unwrap_or(&usual);
    let job = offline::Job {
        avatar: &avatar,
        library: &library,
        sound: &speech,
        most: Some(PREVIEW),
        out,
        voice: &config.voice,
        encode: &config.encode,
        clip_cache: config.memory.clip_cache(),
    };
    let bar = render::Progress::new(PREVIEW);
    let done =
        offline::render(&job, |pts| bar.show(pts)).with_context(|| format!("avatar {id}"))?;
    bar.finish();
    println!(
        "{}: {id} speaks for {:.1} s, rendered in {:.1} s",
        out.display(),
        done.seconds,
        done.wall_s
    );
    Ok(())
}
