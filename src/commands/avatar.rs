//! `mouthpiece avatar …`: who is there, and whether they are whole.

use clap::Subcommand;
use mouthpiece::avatar::Avatar;
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
