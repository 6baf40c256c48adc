//! `mouthpiece avatar …`: what is there, and whether it is whole.

use std::path::Path;

use anyhow::Context;
use clap::Subcommand;
use mouthpiece::avatar::{self, Avatar};
use mouthpiece::config::Config;
use mouthpiece::media::FPS;

#[derive(Subcommand)]
pub enum Avatars {
    /// Every avatar there is.
    List,
    /// Open one whole: every file, every frame.
    Check {
        /// Its folder's name.
        id: String,
    },
}

/// `mouthpiece avatar …`.
pub fn avatars(config: &Config, action: &Avatars) -> anyhow::Result<()> {
    let assets = config.assets()?;
    match action {
        Avatars::List => list(&assets.join("avatars"), |folder| {
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
        Avatars::Check { id } => {
            let folder = super::bundle(&assets, "avatar", id)?;
            let avatar = Avatar::open(&folder)?;
            for (name, clip) in avatar.clips() {
                clip.check_whole(&folder)?;
                let faces: Vec<_> = (0..clip.len()).filter_map(|n| clip.face(n)).collect();
                anyhow::ensure!(!faces.is_empty(), "clip {name} shows no face in any frame");
                let scale = faces.iter().map(|f| f.scale()).sum::<f32>() / faces.len() as f32;
                println!(
                    "{name}: {} frames decode, a face in {} of them, eyes to mouth {scale:.0} pixels",
                    clip.len(),
                    faces.len()
                );
            }
            println!("{} is whole. {}", avatar.name, avatar.credits);
            Ok(())
        }
    }
}

/// A line for each bundle in `folder`. What is being imported is no bundle yet.
pub(super) fn list(
    folder: &Path,
    describe: impl Fn(&Path) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut folders: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    folders.retain(|path| {
        let id = path.file_name().unwrap_or_default().to_string_lossy();
        path.is_dir() && avatar::is_id(&id)
    });
    folders.sort();
    for folder in folders {
        let id = folder.file_name().unwrap_or_default().to_string_lossy();
        match describe(&folder) {
            Ok(text) => println!("{id}: {text}"),
            Err(error) => println!("{id}: broken: {error:#}"),
        }
    }
    Ok(())
}
