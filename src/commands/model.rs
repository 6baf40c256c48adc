//! `mouthpiece model …`: what is there, whether it works, and making a bundle of
//! ONNX files.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::Subcommand;
use mouthpiece::avatar::Avatar;
use mouthpiece::config::Config;
use mouthpiece::model::Bundle;
use mouthpiece::program::stand_back;
use mouthpiece::run::adopt::{self, Adopted, Job, Speed};
use mouthpiece::run::import::judge::Grade;
use mouthpiece::run::imports::Teller;
use mouthpiece::run::library;
use mouthpiece::stage::lipsync::{Mouth, Runtime, recognise};
use serde::Serialize;

#[derive(Subcommand)]
pub enum Models {
    /// Every model there is.
    List,
    /// Load one, print what it takes and how long a frame takes here.
    Check {
        /// Its folder's name, the path of the folder, or an ONNX file.
        model: String,
        /// The network that hears for an ONNX file.
        #[arg(long, value_name = "FILE.onnx")]
        audio: Option<PathBuf>,
    },
    /// Make a model of an ONNX file: of the Wav2Lip family, of
    /// Ultralight-Digital-Human or of FeatherTalk.
    Import {
        /// The network that draws the mouth. Weights beside it come along.
        file: PathBuf,
        /// The network that hears for it: HuBERT, FeatherHuBERT or WeNet's encoder.
        #[arg(long, value_name = "FILE.onnx")]
        audio: Option<PathBuf>,
        /// Its folder's name to be.
        #[arg(long)]
        id: String,
        /// The side of its square face in pixels, where the file leaves it open.
        #[arg(long, value_name = "PIXELS")]
        size: Option<usize>,
        /// The licence of its weights.
        #[arg(long, default_value = "")]
        licence: String,
        /// The face that it is tried on (otherwise as configured).
        #[arg(long, value_name = "ID")]
        avatar: Option<String>,
        /// Work only while nothing else wants a processor: beside a stream, for example.
        #[arg(long)]
        idle: bool,
        /// Say on standard output how far it is, for a program.
        #[arg(long, hide = true)]
        tell: bool,
    },
}

/// Does what `action` says.
pub fn run(config: &Config, action: &Models) -> anyhow::Result<()> {
    let assets = config.assets()?;
    match action {
        Models::List => super::list(&assets.join("models"), |folder| {
            let bundle = Bundle::open(folder)?;
            let manifest = bundle.manifest;
            Ok(format!(
                "{}, {}, hears {} ms ahead, {}",
                manifest.name,
                manifest.family.name(),
                manifest.look_ahead_ms,
                licence(&manifest.licence)
            ))
        }),
        Models::Check { model, audio } if Path::new(model).is_file() => {
            let runtime = Runtime::load(&config.models)?;
            let found = recognise(Path::new(model), audio.as_deref(), None, &runtime)?;
            println!(
                "{model}: {}, {} pixels. `mouthpiece model import` tries it on a face and makes a model of it",
                found.family.name(),
                found.size
            );
            Ok(())
        }
        Models::Check { model, .. } => check(config, &assets, model),
        Models::Import {
            file,
            audio,
            id,
            size,
            licence,
            avatar,
            idle,
            tell,
        } => {
            if *idle {
                stand_back();
            }
            // Refuses what is no id.
            super::bundle(&assets, "model", id)?;
            let avatar = avatar.as_ref().unwrap_or(&config.show.avatar);
            let avatar = Avatar::open(&super::bundle(&assets, "avatar", avatar)?)
                .with_context(|| format!("avatar {avatar}, on which models are tried"))?;
            let job = Job {
                face: file,
                audio: audio.as_deref(),
                id,
                models: &assets.join("models"),
                size: *size,
                licence,
                avatar: &avatar,
                speech: &assets.join("speech").join("welcome.flac"),
            };
            import(config, &job, *tell)
        }
    }
}

fn import(config: &Config, job: &Job<'_>, tell: bool) -> anyhow::Result<()> {
    let started = Instant::now();
    let runtime = Runtime::load(&config.models)?;
    let mut teller = Teller::default();
    let adopted = adopt::adopt(job, &runtime, &mut |phase, done, of| {
        if tell {
            teller.progress(phase, done, of);
        }
    })?;
    if tell {
        Teller::verdict(&Verdict::of(&adopted, fast(adopted.speed, config)));
        return Ok(());
    }
    let manifest = &adopted.manifest;
    println!(
        "{}: {}, {} pixels, hears {} ms ahead",
        adopted.folder.display(),
        manifest.family.name(),
        adopted.found.size,
        manifest.look_ahead_ms
    );
    for line in adopted.tensors.iter().chain(&adopted.told) {
        println!("  {line}");
    }
    println!("  {}", fast(adopted.speed, config));
    println!(
        "imported in {:.1} s. What it was told or assumed is in {}; use it with --set model={}",
        started.elapsed().as_secs_f64(),
        adopted.folder.join("model.toml").display(),
        job.id
    );
    Ok(())
}

/// What is told of a model that was imported, as it is of an avatar.
#[derive(Serialize)]
struct Verdict {
    grade: Grade,
    says: String,
    notes: Vec<String>,
}

impl Verdict {
    fn of(adopted: &Adopted, fast: String) -> Self {
        Self {
            grade: if adopted.speed.sessions() == 0 {
                Grade::Poor
            } else {
                Grade::Good
            },
            says: fast,
            notes: adopted.told.clone(),
        }
    }
}

fn check(config: &Config, assets: &Path, model: &str) -> anyhow::Result<()> {
    let path = PathBuf::from(model);
    let folder = if path.join("model.toml").exists() {
        path
    } else {
        super::bundle(assets, "model", model)?
    };
    let bundle = Bundle::open(&folder)?;
    let network = library::load(&bundle, &Runtime::load(&config.models)?)?;
    let manifest = &bundle.manifest;
    println!(
        "{}: {}, {} pixels, hears {} ms ahead of its frame",
        manifest.name,
        manifest.family.name(),
        network.size(),
        manifest.look_ahead_ms
    );
    for (path, tensors) in network.tensors() {
        println!("  {}: {tensors}", path.display());
    }
    println!(
        "  {:?}, {:?}, returns {:?}, licence: {}",
        manifest.colour,
        manifest.face_order(),
        manifest.returns,
        licence(&manifest.licence)
    );
    let speed = adopt::speed(&mut Mouth::new(&network)?, manifest)?;
    println!("  {}", fast(speed, config));
    Ok(())
}

fn licence(text: &str) -> &str {
    if text.is_empty() {
        "licence not said"
    } else {
        text
    }
}

/// How fast it is, and for how many.
fn fast(speed: Speed, config: &Config) -> String {
    let [wall, cpu] = [speed.wall, speed.cpu].map(|time| time.as_secs_f64() * 1e3);
    let threads = config.models.threads;
    let time =
        format!("{wall:.2} ms a frame ({cpu:.2} ms CPU) with {threads} thread(s) on this machine");
    match speed.sessions() {
        0 => format!("{time}: too slow for 25 frames a second; `mouthpiece render` can use it"),
        1 => format!("{time}: enough for the mouth of 1 session at 25 frames a second"),
        n => format!("{time}: enough for the mouths of {n} sessions at 25 frames a second"),
    }
}
