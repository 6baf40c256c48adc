//! `GET /v1/memory`: the budget, who holds what, and what was given back.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::App;
use crate::memory::Level;
use crate::run::watchdog::Reclaim;

#[derive(Serialize)]
pub(super) struct Memory {
    rss_bytes: u64,
    budget_bytes: u64,
    level: Level,
    /// Bytes by who holds them. What is missing from the sum is code, stacks
    /// and the libraries' own.
    owners: BTreeMap<&'static str, usize>,
    /// Times that each level's actions ran.
    reclaims: BTreeMap<&'static str, u64>,
    /// Bytes of resident memory that they gave back.
    reclaimed_bytes: u64,
    /// What was done last.
    last_reclaim: Option<Reclaim>,
}

pub(super) async fn memory(State(app): State<App>) -> Json<Memory> {
    let reading = app.watchdog.reading();
    let sessions = app.sessions.all();
    let (kept, compressed) = app.sessions.avatars().clip_bytes();
    let owners = BTreeMap::from([
        ("frame_pool", sessions.iter().map(|s| s.pool_bytes()).sum()),
        ("clip_cache", kept),
        ("clips", compressed),
        ("model", app.library.bytes()),
    ]);
    let levels = Level::ALL.into_iter().skip(1);
    Json(Memory {
        rss_bytes: reading.rss_bytes,
        budget_bytes: reading.budget_bytes,
        level: reading.level,
        owners,
        reclaims: levels
            .map(|level| (level.name(), reading.reclaims[level as usize]))
            .collect(),
        reclaimed_bytes: reading.reclaimed_bytes,
        last_reclaim: reading.last,
    })
}
