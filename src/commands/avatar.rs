//! `mouthpiece avatar …`: who is there, whether they are whole, and new ones.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use mouthpiece::avatar::{Avatar, IDLE};
use mouthpiece::config::Config;
use mouthpiece::media::FPS;
use mouthpiece::run::import::judge;
use mouthpiece::run::offline;

use super::render;
use crate::Settings;

/// The program that imports, beside this one.
pub(super) const IMPORTER: &str = "mouthpiece-import";
/// How much of the welcome speech a preview speaks.
const PREVIEW: Duration = Duration::from_secs(10);

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
    #[command(disable_help_flag = true)]
    Import {
        /// As `mouthpiece avatar import --help` says.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        given: Vec<OsString>,
    },
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

/// `mouthpiece avatar …`.
pub fn run(settings: &Settings, action: &Avatars) -> anyhow::Result<()> {
    let config = &settings.load()?;
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
        Avatars::Preview { id, out } => preview(config, &assets, id, out.as_deref()),
        Avatars::Import { given } => super::sibling::become_program(IMPORTER, settings, given),
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

fn preview(config: &Config, assets: &Path, id: &str, out: Option<&Path>) -> anyhow::Result<()> {
    let mut config = config.clone();
    id.clone_into(&mut config.show.avatar);
    let avatar = Arc::new(super::open_avatar(&config, assets)?);
    let library = super::open_model(&config, assets)?;
    let speech = assets.join("speech/welcome.flac");
    let usual = PathBuf::from(format!("{id}-preview.mp4"));
    let out = out.unwrap_or(&usual);
    let job = offline::Job {
        avatar: &avatar,
        clip: IDLE,
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
        offline::render(&job, None, |pts| bar.show(pts)).with_context(|| format!("avatar {id}"))?;
    bar.finish();
    println!(
        "{}: {id} speaks for {:.1} s, rendered in {:.1} s",
        out.display(),
        done.seconds,
        done.wall_s
    );
    Ok(())
}
