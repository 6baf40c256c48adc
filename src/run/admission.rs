//! Whether one more session's frames fit into the processors' time.

use std::time::Duration;

use crate::media::{FPS, FRAME_PERIOD};
use crate::stats::Stats;

/// Frames that were measured before their cost is believed: two seconds. The
/// first ones also pay for what is made once.
const MEASURED: u64 = 2 * FPS as u64;
/// Processor time of a frame on this machine: what 95 of 100 take less than,
/// where they take most. `None` while nobody has watched.
pub fn cost<'s>(stats: impl Iterator<Item = &'s Stats>) -> Option<Duration> {
    let measured = stats.filter(|stats| stats.frame_cpu.histogram().1 >= MEASURED);
    measured.map(|stats| stats.frame_cpu.recent().p95).max()
}

/// Whether `cores` can draw for `sessions`, each frame at `cost`.
pub fn in_time(cost: Duration, sessions: usize, cores: usize) -> bool {
    cost * sessions as u32 <= FRAME_PERIOD * cores as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_admitted_while_all_frames_fit_into_the_cores_time() {
        let ms = Duration::from_millis;
        assert!(in_time(ms(20), 4, 2));
        assert!(!in_time(ms(20), 5, 2));
        assert!(!in_time(ms(50), 1, 1));
        assert!(in_time(ms(50), 1, 2));
    }

    #[test]
    fn the_dearest_session_tells_what_a_frame_costs_once_enough_were_seen() {
        let (cheap, dear, new) = (Stats::new(), Stats::new(), Stats::new());
        assert_eq!(cost([&*cheap].into_iter()), None);
        for _ in 0..MEASURED {
            cheap.frame_cpu.add(Duration::from_millis(5));
            dear.frame_cpu.add(Duration::from_millis(12));
        }
        new.frame_cpu.add(Duration::from_millis(900));
        let all = [&*cheap, &*dear, &*new];
        assert_eq!(cost(all.into_iter()), Some(Duration::from_millis(12)));
    }
}
