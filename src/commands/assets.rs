//! `mouthpiece avatar …` and `mouthpiece model …`: what is there, and whether
//! it is whole.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::Subcommand;
use mouthpiece::avatar::Avatar;
use mouthpiece::config::Config;
use mouthpiece::media::{FPS, MEL_BANDS, MEL_STEPS};
use mouthpiece::model::Bundle;
use mouthpiece::native;
use mouthpiece::run::library;
use mouthpiece::stage::lipsync::{Mouth, Runtime};

/// Runs of a model whose mean is its speed.
const RUNS: u32 = 50;

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

#[derive(Subcommand)]
pub enum Models {
    /// Every model there is.
    List,
    /// Load one, print what it takes and how long a frame takes here.
    Check {
        /// Its folder's name, or the path of the folder.
        model: String,
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

/// `mouthpiece model …`.
pub fn models(config: &Config, action: &Models) -> anyhow::Result<()> {
    let assets = config.assets()?;
    match action {
        Models::List => list(&assets.join("models"), |folder| {
            let bundle = Bundle::open(folder)?;
            let manifest = bundle.manifest;
            Ok(format!(
                "{}, {:?}, hears {} ms ahead, {}",
                manifest.name, manifest.family, manifest.look_ahead_ms, manifest.licence
            ))
        }),
        Models::Check { model } => {
            let path = PathBuf::from(model);
            let folder = if path.join("model.toml").exists() {
                path
            } else {
                super::bundle(&assets, "model", model)?
            };
            let bundle = Bundle::open(&folder)?;
            let network = library::load(&bundle, &Runtime::load(&config.models)?)?;
            let side = network.size();
            let mut mouth = Mouth::new(&network)?;
            let (started, cpu) = (Instant::now(), native::process_cpu_time());
            for _ in 0..RUNS {
                mouth.run(&[[-4.0; MEL_STEPS]; MEL_BANDS])?;
            }
            let manifest = &bundle.manifest;
            println!(
                "{}: mel [1, 1, 80, 16] and face [1, 6, {side}, {side}] -> [1, 3, {side}, {side}]",
                manifest.name
            );
            println!(
                "hears {} ms ahead of its frame; window from {} ms; {:?}, {:?}, returns {:?}",
                manifest.look_ahead_ms,
                manifest.mel_offset_ms,
                manifest.colour,
                manifest.face,
                manifest.returns
            );
            println!(
                "{:.2} ms a frame ({:.2} ms CPU) with {} thread(s) on this machine",
                started.elapsed().as_secs_f64() * 1e3 / f64::from(RUNS),
                (native::process_cpu_time() - cpu).as_secs_f64() * 1e3 / f64::from(RUNS),
                config.models.threads
            );
            Ok(())
        }
    }
}

fn list(folder: &Path, describe: impl Fn(&Path) -> anyhow::Result<String>) -> anyhow::Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut folders: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    folders.retain(|path| path.is_dir());
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
