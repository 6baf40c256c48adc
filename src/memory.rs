//! The memory budget: what fits in it, and how full it is.

mod budget; // [memory] budget_mb -> bytes
mod formula; // what is fixed, and what caches may have

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use budget::{Budget, machine};
pub use formula::{Formula, Term, TooLittle};

use crate::bounds::{OutOfBounds, within};

/// Section `[memory]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Resident memory that the process may take, native memory included.
    pub budget_mb: Budget,
    /// What networks may take of a GPU's memory, where they run on one.
    pub gpu_budget_mb: Budget,
    /// Decoded pictures of a clip that are kept, in megabytes of 2^20 bytes. With
    /// 0 every picture is decoded anew.
    pub clip_cache_mb: u64,
    /// Seconds over the budget, with everything given up that can be, after
    /// which the process ends.
    pub over_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            budget_mb: Budget::Megabytes(512),
            gpu_budget_mb: Budget::Percent(90),
            clip_cache_mb: 64,
            over_s: 30,
        }
    }
}

impl Config {
    /// Refuses a budget that nothing fits in.
    ///
    /// # Errors
    ///
    /// A sentence that names the key and its bounds.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        self.budget_mb.check("memory.budget_mb")?;
        self.gpu_budget_mb.check("memory.gpu_budget_mb")?;
        within("memory.clip_cache_mb", self.clip_cache_mb, 0..=1 << 20)?;
        within("memory.over_s", self.over_s, 1..=86_400)
    }

    /// The budget in bytes, on this machine.
    pub fn budget(&self) -> u64 {
        self.budget_mb.bytes(machine())
    }

    /// The budget of a GPU that has `total` bytes, in bytes.
    pub fn gpu_budget(&self, total: u64) -> u64 {
        self.gpu_budget_mb.bytes(Some(total))
    }

    /// What the clips' caches may have together, in bytes: as configured, but at
    /// most half of the budget, because a cache that fills it would be emptied
    /// again and again.
    pub fn clip_cache(&self) -> usize {
        let most = self.budget() / 2;
        usize::try_from(most.min(self.clip_cache_mb << 20)).unwrap_or(usize::MAX)
    }
}

/// How full the budget is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Under 70 %.
    #[default]
    Normal,
    /// From 70 %: what the allocator holds for later goes back to the system, and
    /// caches keep only what is in use.
    Light,
    /// From 90 %: caches are emptied and idle models unloaded.
    Hard,
    /// Over budget: no new session or viewer; what nobody watches is closed, and at
    /// last the process ends.
    Over,
}

impl Level {
    /// Every level, for reports.
    pub const ALL: [Self; 4] = [Self::Normal, Self::Light, Self::Hard, Self::Over];

    /// Where the level begins, in bytes of a budget.
    pub fn begins_at(self, budget: u64) -> u64 {
        budget / 100 * self.begins()
    }

    /// Where the level begins, in percent of the budget.
    fn begins(self) -> u64 {
        match self {
            Self::Normal => 0,
            Self::Light => 70,
            Self::Hard => 90,
            Self::Over => 100,
        }
    }

    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Light => "light",
            Self::Hard => "hard",
            Self::Over => "over",
        }
    }

    /// The level at `rss` bytes of `budget`, coming from this one. A level ends
    /// only [`HYSTERESIS`] under where it begins, so that nothing flaps.
    #[must_use]
    pub fn next(self, rss: u64, budget: u64) -> Self {
        let reached = |level: Self| {
            let slack = if level <= self { HYSTERESIS } else { 0 };
            rss * 100 >= budget * level.begins().saturating_sub(slack)
        };
        Self::ALL
            .into_iter()
            .rev()
            .find(|level| reached(*level))
            .unwrap_or_default()
    }
}

/// Percent of the budget that a level ends under where it begins.
const HYSTERESIS: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_begin_where_the_ladder_says() {
        let at = |percent: u64| Level::Normal.next(percent * 10, 1_000);
        let levels = [0, 69, 70, 89, 90, 99, 100, 300].map(at);
        use Level::*;
        assert_eq!(
            levels,
            [Normal, Normal, Light, Light, Hard, Hard, Over, Over]
        );
    }

    #[test]
    fn a_level_holds_until_memory_is_well_below_it() {
        assert_eq!(Level::Hard.next(860, 1_000), Level::Hard);
        assert_eq!(Level::Hard.next(849, 1_000), Level::Light);
        assert_eq!(Level::Light.next(649, 1_000), Level::Normal);
        assert_eq!(Level::Over.next(960, 1_000), Level::Over);
    }
}
