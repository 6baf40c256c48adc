//! `GET /v1/memory`: the budget, who holds what, and what was given back.
//! `POST /v1/memory/reclaim`: gives back now.

use std::collections::{BTreeMap, VecDeque};

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::problem::Problem;
use super::session::unreadable;
use crate::gpu::Usage;
use crate::memory::Level;
use crate::native;
use crate::process::Mapped;
use crate::run::watchdog::{Held, Reclaim};

#[derive(Serialize, ToSchema)]
pub(super) struct Memory {
    rss_bytes: u64,
    /// Every shared page divided by those who share it.
    pss_bytes: Option<u64>,
    /// What is nobody else's.
    private_bytes: Option<u64>,
    budget_bytes: u64,
    level: Level,
    /// What is taken of the memory of the GPU that networks run on.
    gpu: Option<Usage>,
    /// What the allocator itself counts.
    allocator: Option<Allocator>,
    #[serde(flatten)]
    held: Held,
    /// Times that each level's actions ran.
    reclaims: BTreeMap<&'static str, u64>,
    /// Bytes of resident memory that they gave back.
    reclaimed_bytes: u64,
    /// What was done last, the newest first.
    #[schema(value_type = Vec<Reclaim>)]
    last: VecDeque<Reclaim>,
}

#[derive(Serialize, ToSchema)]
struct Allocator {
    allocated_bytes: u64,
    held_bytes: u64,
}

/// The budget, who holds what, and what was given back
#[utoipa::path(
    get, path = "/v1/memory", tag = "memory",
    responses(
        (status = 200, description = "Now", body = Memory),
        (status = 408, description = "too-slow"),
    )
)]
pub(super) async fn memory(State(app): State<App>) -> Result<Json<Memory>, Problem> {
    // The kernel walks all of the process's pages for this, and whoever reclaims
    // holds the watchdog for a moment.
    aside(move || {
        let held = app.watchdog.held();
        let reading = app.watchdog.reading();
        let mapped = Mapped::read();
        let levels = Level::ALL.into_iter().skip(1);
        Memory {
            rss_bytes: reading.rss_bytes,
            pss_bytes: mapped.map(|mapped| mapped.proportional),
            private_bytes: mapped.map(|mapped| mapped.private),
            budget_bytes: reading.budget_bytes,
            level: reading.level,
            gpu: reading.gpu,
            allocator: native::heap().map(|heap| Allocator {
                allocated_bytes: heap.allocated,
                held_bytes: heap.held,
            }),
            held,
            reclaims: levels
                .map(|level| (level.name(), reading.reclaims[level as usize]))
                .collect(),
            reclaimed_bytes: reading.reclaimed_bytes,
            last: reading.last,
        }
    })
    .await
}

/// How much is to be given back.
#[derive(Deserialize, ToSchema)]
#[schema(as = WantedReclaim)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    level: Reclaimed,
}

/// The levels at which something is given back without anybody being refused.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Reclaimed {
    Light,
    Hard,
}

/// Gives memory back now
#[utoipa::path(
    post, path = "/v1/memory/reclaim", tag = "memory",
    request_body(content = Wanted, example = json!({"level": "light"})),
    responses(
        (status = 200, description = "What came back", body = Reclaim),
        (status = 408, description = "too-slow"),
        (status = 413, description = "too-large"),
        (status = 415, description = "unsupported-media-type"),
        (status = 422, description = "unprocessable"),
    )
)]
pub(super) async fn reclaim(
    State(app): State<App>,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Json<Reclaim>, Problem> {
    let Json(Wanted { level }) = wanted.map_err(unreadable)?;
    let level = match level {
        Reclaimed::Light => Level::Light,
        Reclaimed::Hard => Level::Hard,
    };
    aside(move || app.watchdog.reclaim(level)).await
}

/// Does what takes a while on a thread where it may.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Json<T>, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map(Json)
        .map_err(|_| Problem::internal("The memory could not be looked at: see the log."))
}
