//! Whether one more session fits on this machine: its frames into the processors'
//! time, and what it holds into the memory budget.

use std::time::Duration;

use crate::avatar::Avatar;
use crate::media::{FPS, FRAME_PERIOD};
use crate::stats::Stats;

/// Frames that were measured before their cost is believed: two seconds. The
/// first ones also pay for what is made once.
const MEASURED: u64 = 2 * FPS as u64;
/// What a session holds beside its pictures, in bytes: threads, Opus, the model's
/// tensors, what is decoded of speech.
const ASIDE: u64 = 6 << 20;
/// Pictures of the avatar's size that a session holds beside its frames: those
/// decoded ahead and by the decoder, and the encoder's own.
const PICTURES: u64 = 30;

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

/// Bytes that a session with `avatar` takes that can't be given back while it
/// runs. Decoded pictures that are kept can, so they don't count.
pub fn needs(frames: usize, avatar: &Avatar) -> u64 {
    frames as u64 + PICTURES * avatar.size.i420_bytes() as u64 + ASIDE
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
