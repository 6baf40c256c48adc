//! Processor time of something that is done again and again.

use std::time::{Duration, Instant};

use mouthpiece::media::FRAME_PERIOD;

/// Processor time of some runs, in order of size.
pub struct Times(Vec<Duration>);

impl Times {
    /// Times `count` runs back to back: what a warm processor can.
    pub fn hot(count: usize, clock: fn() -> Duration, mut run: impl FnMut()) -> Self {
        Self::of((0..count).map(|_| {
            let before = clock();
            run();
            clock() - before
        }))
    }

    /// Times `count` runs, one every 40 ms: caches and clocks are cold again
    /// each time, as they are in a session. With `all` the time of the pause
    /// counts too, when other threads do what the run asked of them.
    pub fn paced(count: usize, clock: fn() -> Duration, all: bool, mut run: impl FnMut()) -> Self {
        let mut next = Instant::now();
        Self::of((0..count).map(|_| {
            next += FRAME_PERIOD;
            let before = clock();
            run();
            let after = clock();
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            if all { clock() } else { after }.saturating_sub(before)
        }))
    }

    fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.collect();
        times.sort_unstable();
        assert!(!times.is_empty(), "something was run");
        Self(times)
    }

    /// Arithmetic mean.
    pub fn mean(&self) -> Duration {
        self.0.iter().sum::<Duration>() / self.0.len() as u32
    }

    /// Mean, median, 95 of 100, and the longest, in milliseconds.
    pub fn row(&self) -> String {
        let last = self.0.len() - 1;
        [self.mean()]
            .into_iter()
            .chain([50, 95, 100].map(|part| self.0[last * part / 100]))
            .map(|time| format!("{:7.3}", ms(time)))
            .collect()
    }
}

/// The heading of [`Times::row`].
pub const HEADING: &str = "   mean    p50    p95    max";

/// Milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
