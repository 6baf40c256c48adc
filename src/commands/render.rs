//! `mouthpiece render`: a sound file into a video file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mouthpiece::avatar::IDLE;
use mouthpiece::config::Config;
use mouthpiece::media::FPS;
use mouthpiece::run::offline::{self, Job};
use mouthpiece::stage::audio::file::SoundFile;
use mouthpiece::stage::write::Left;

use crate::Settings;

/// What is to be rendered.
#[derive(Args)]
pub struct Given {
    /// The sound file: WAV, FLAC, MP3, OGG or M4A.
    #[arg(long, value_name = "FILE", required_unless_present = "jobs")]
    audio: Option<PathBuf>,
    /// A list of sound files instead, a JSON object a line.
    #[arg(long, value_name = "FILE.jsonl", conflicts_with_all = ["audio", "resume", "report"])]
    jobs: Option<PathBuf>,
    /// Who speaks it (otherwise as configured).
    #[arg(long, value_name = "ID")]
    avatar: Option<String>,
    /// With which lips (otherwise as configured).
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// Which of the avatar's clips plays.
    #[arg(long, value_name = "NAME", default_value = IDLE)]
    clip: String,
    /// The video file to be written, MP4 with H.264 and Opus; of a list, the
    /// folder for them.
    #[arg(long, value_name = "FILE.mp4|FOLDER")]
    out: PathBuf,
    /// Go on with a video that was broken off; one that is finished stays.
    #[arg(long)]
    resume: bool,
    /// Jobs of the list to run at once, as far as memory.budget_mb has room.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "jobs",
          value_parser = clap::value_parser!(u8).range(1..=64))]
    parallel: u8,
    /// Write what it took, as JSON.
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// Say on standard output how far it is, for a list.
    #[arg(long, hide = true)]
    tell: bool,
}

/// `mouthpiece render`.
pub fn run(settings: &Settings, given: &Given) -> anyhow::Result<()> {
    let mut config = settings.load()?;
    if let Some(avatar) = &given.avatar {
        config.show.avatar.clone_from(avatar);
    }
    if let Some(model) = &given.model {
        config.show.model.clone_from(model);
    }
    match (&given.audio, &given.jobs) {
        (Some(audio), _) => one(&config, audio, given),
        (None, Some(list)) => super::jobs::run(
            settings,
            &config,
            list,
            &given.out,
            &given.clip,
            given.parallel.into(),
        ),
        (None, None) => unreachable!("clap wants either"),
    }
}

fn one(config: &Config, audio: &Path, one: &Given) -> anyhow::Result<()> {
    let out = one.out.as_path();
    let length = SoundFile::open(audio)
        .and_then(|mut sound| sound.measure())
        .with_context(|| audio.display().to_string())?;
    let assets = config.assets()?;
    let avatar = super::open_avatar(config, &assets)?;
    let clips: Vec<_> = avatar.clips().map(|(name, _)| name.to_owned()).collect();
    let avatar = Arc::new(avatar.playing(&one.clip).with_context(|| {
        format!(
            "avatar {} has no clip {}, but {}",
            config.show.avatar,
            one.clip,
            clips.join(", ")
        )
    })?);
    let library = super::open_model(config, &assets)?;
    let job = Job {
        avatar: &avatar,
        clip: &one.clip,
        library: &library,
        sound: audio,
        most: None,
        out,
        voice: &config.voice,
        encode: &config.encode,
        clip_cache: config.memory.clip_cache(),
    };
    let left = if one.resume {
        offline::left(&job)?
    } else {
        None
    };
    if left.as_ref().is_some_and(Left::finished) {
        println!("{} is finished: nothing is left to render", out.display());
        return Ok(());
    }
    if let Some(left) = &left {
        let there = left.end().as_secs_f64();
        eprintln!("{}: {there:.1} s are there, going on", out.display());
    }
    let bar = Progress::new(length);
    let done = offline::render(&job, left, |pts| {
        if one.tell {
            tell(pts, length);
        } else {
            bar.show(pts);
        }
    })?;
    bar.finish();
    println!(
        "{}: {:.1} s of video in {:.1} s ({:.3} of real time, {:.1} ms CPU a frame)",
        out.display(),
        done.seconds - done.resumed_at_s,
        done.wall_s,
        done.real_time_factor,
        done.cpu_s * 1e3 / done.frames.max(1) as f64,
    );
    if let Some(path) = &one.report {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        serde_json::to_writer_pretty(file, &done)?;
    }
    Ok(())
}

/// Says to whoever started this how far it is, every second of video.
fn tell(pts: Duration, length: Duration) {
    if pts.subsec_nanos() == 0 {
        println!("at {} of {:.2}", pts.as_secs(), length.as_secs_f64());
    }
}

/// A bar on a terminal, a line every minute of video elsewhere.
pub struct Progress {
    bar: ProgressBar,
    length: Duration,
}

impl Progress {
    /// For a video of this length.
    pub fn new(length: Duration) -> Self {
        let bar = ProgressBar::with_draw_target(
            Some(frames(length)),
            ProgressDrawTarget::stderr_with_hz(8),
        );
        let style = ProgressStyle::with_template("{wide_bar} {percent} %  {per_sec}  {eta} left")
            .expect("the template is valid");
        bar.set_style(style);
        Self { bar, length }
    }

    /// Shows that it is there.
    pub fn show(&self, pts: Duration) {
        self.bar.set_position(frames(pts));
        if self.bar.is_hidden() && pts.as_millis().is_multiple_of(60_000) {
            eprintln!("{} of {:.0} s", pts.as_secs(), self.length.as_secs_f64());
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn frames(length: Duration) -> u64 {
    length.as_millis() as u64 * u64::from(FPS) / 1_000
}
