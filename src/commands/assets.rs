//! `mouthpiece model …`: what is there, and whether it is whole.

use std::path::PathBuf;
use std::time::Instant;

use clap::Subcommand;
use mouthpiece::config::Config;
use mouthpiece::media::{MEL_BANDS, MEL_STEPS};
use mouthpiece::model::Bundle;
use mouthpiece::native;
use mouthpiece::run::library;
use mouthpiece::stage::lipsync::{Mouth, Runtime};

/// Runs of a model whose mean is its speed.
const RUNS: u32 = 50;

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

/// `mouthpiece model …`.
pub fn models(config: &Config, action: &Models) -> anyhow::Result<()> {
    let assets = config.assets()?;
    match action {
        Models::List => super::list(&assets.join("models"), |folder| {
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
