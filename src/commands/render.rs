//! `mouthpiece render`: a sound file into a video file.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mouthpiece::config::Config;
use mouthpiece::media::FPS;
use mouthpiece::run::offline::{self, Job};
use mouthpiece::stage::audio::file::SoundFile;

/// Renders `audio` to `out`.
pub fn run(config: &Config, audio: &Path, out: &Path, report: Option<&Path>) -> anyhow::Result<()> {
    let length = SoundFile::open(audio)
        .and_then(|mut sound| sound.measure())
        .with_context(|| audio.display().to_string())?;
    let assets = config.assets()?;
    let avatar = super::open_avatar(config, &assets)?;
    let library = super::open_model(config, &assets)?;
    let job = Job {
        avatar: &avatar,
        library: &library,
        sound: audio,
        most: None,
        out,
        voice: &config.voice,
        encode: &config.encode,
        clip_cache: config.memory.clip_cache(),
    };
    let bar = Progress::new(length);
    let done = offline::render(&job, |pts| bar.show(pts))?;
    bar.finish();
    println!(
        "{}: {:.1} s of video in {:.1} s ({:.3} of real time, {:.1} ms CPU a frame)",
        out.display(),
        done.seconds,
        done.wall_s,
        done.real_time_factor,
        done.cpu_s * 1e3 / done.frames.max(1) as f64,
    );
    if let Some(path) = report {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        serde_json::to_writer_pretty(file, &done)?;
    }
    Ok(())
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
