//! One file a command.

pub mod avatar;
pub mod doctor;
pub mod jobs;
pub mod model;
pub mod render;
pub mod serve;
mod sibling;
pub mod soak;
pub mod sync;
pub mod window;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use mouthpiece::avatar::{Avatar, is_id};
use mouthpiece::config::Config;
use mouthpiece::model::Bundle;
use mouthpiece::run::aside;
use mouthpiece::run::library::Library;
use mouthpiece::stage::lipsync::Runtime;

/// A folder under `assets`, by the id that a user gave.
fn bundle(assets: &Path, kind: &str, id: &str) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(
        is_id(id),
        "{kind} = {id:?}: an id has letters, digits, - and _ only; it is the name of a folder under assets/{kind}s"
    );
    Ok(assets.join(format!("{kind}s")).join(id))
}

/// The configured avatar.
fn open_avatar(config: &Config, assets: &Path) -> anyhow::Result<Avatar> {
    let id = &config.show.avatar;
    Avatar::open(&bundle(assets, "avatar", id)?).with_context(|| format!("avatar {id}"))
}

/// The configured model, loaded.
fn open_model(config: &Config, assets: &Path) -> anyhow::Result<Arc<Library>> {
    let id = &config.show.model;
    let model =
        Bundle::open(&bundle(assets, "model", id)?).with_context(|| format!("model {id}"))?;
    let runtime = Runtime::load(&config.models)?;
    let budget = config.memory.budget();
    Library::open(model, runtime, budget, Instant::now()).with_context(|| format!("model {id}"))
}

/// A line for each bundle in `folder`: what `describe` says, or why it is broken.
fn list(folder: &Path, describe: impl Fn(&Path) -> anyhow::Result<String>) -> anyhow::Result<()> {
    // Models are made where they lie, avatars beside.
    folder.ancestors().take(2).for_each(aside::sweep);
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut folders: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    // What is being imported is no bundle yet.
    folders.retain(|path| {
        let id = path.file_name().unwrap_or_default().to_string_lossy();
        path.is_dir() && is_id(&id)
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
