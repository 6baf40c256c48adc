//! One file a command.

pub mod assets;
pub mod doctor;
pub mod model;
pub mod render;
pub mod serve;
pub mod window;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use mouthpiece::avatar::{self, Avatar};
use mouthpiece::config::Config;
use mouthpiece::model::Bundle;
use mouthpiece::run::library::Library;
use mouthpiece::stage::lipsync::Runtime;

/// A folder under `assets`, by the id that a user gave.
fn bundle(assets: &Path, kind: &str, id: &str) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(
        avatar::is_id(id),
        "{kind} = {id:?}: an id has letters, digits, - and _ only; it is the name of a folder under assets/{kind}s"
    );
    Ok(assets.join(format!("{kind}s")).join(id))
}

/// The configured avatar.
fn open_avatar(config: &Config, assets: &Path) -> anyhow::Result<Arc<Avatar>> {
    let id = &config.show.avatar;
    let avatar = Avatar::open(&bundle(assets, "avatar", id)?);
    Ok(Arc::new(avatar.with_context(|| format!("avatar {id}"))?))
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
