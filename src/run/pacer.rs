//! When the next frame is due: 25 a second, whatever the sound does.
//!
//! While sound comes its clock drives: one chunk, one frame. When it stops for
//! [`PATIENCE`] the pacer ticks by itself and the avatar idles. A burst of chunks
//! is spread. Time only goes forwards: what a pause cost is skipped, in whole
//! frames, so that a moment of the timeline is always a frame of the clip.

use std::time::{Duration, Instant};

use crate::media::FRAME_PERIOD;

/// How long sound may be late before the pacer ticks by itself: three chunks.
const PATIENCE: Duration = Duration::from_millis(120);
/// How long the pacer may be held up, by a slow model or a busy machine, and still
/// make up for it: sound that nobody has to wait for is then sent late, but whole.
const HELD_UP: Duration = Duration::from_secs(1);
/// Least time between two frames. Devices call back in bursts; a frame may be
/// early by 15 ms, but not two at once.
const SPACING: Duration = Duration::from_millis(25);

/// Tells when a frame is due and which moment of the stream it shows.
#[derive(Debug)]
pub struct Pacer {
    start: Instant,
    /// The moment of the next frame.
    pts: Duration,
    /// When the last frame was due.
    last: Instant,
    live: bool,
}

impl Pacer {
    /// A stream that begins at `now`, without sound.
    pub fn new(now: Instant) -> Self {
        Self {
            start: now,
            pts: Duration::ZERO,
            last: now,
            live: false,
        }
    }

    /// How long to sleep at `now` before a chunk may make the next frame.
    /// None while the pacer makes up for being held up.
    pub fn spacing(&self, now: Instant) -> Duration {
        (self.last + SPACING).saturating_duration_since(now)
    }

    /// How long to wait at `now` for a chunk before [`Pacer::on_silence`].
    pub fn patience(&self, now: Instant) -> Duration {
        let wait = if self.live { PATIENCE } else { FRAME_PERIOD };
        (self.last + wait).saturating_duration_since(now)
    }

    /// A chunk came at `now`: the moment of its frame.
    pub fn on_chunk(&mut self, now: Instant) -> Duration {
        if !self.live {
            self.live = true;
            self.catch_up(now);
        }
        self.last = now;
        self.next()
    }

    /// No chunk came in time: the moment of the frame that is drawn without.
    pub fn on_silence(&mut self, now: Instant) -> Duration {
        // From the last due time, not from `now`: lateness must not add up.
        let due = self.last + FRAME_PERIOD;
        let on_time = !self.live && now.saturating_duration_since(due) < HELD_UP;
        self.live = false;
        if on_time {
            // What is late now is made up for by waking earlier.
            self.last = due;
        } else {
            self.last = now;
            self.catch_up(now);
        }
        self.next()
    }

    /// How late the last frame is at `now`.
    pub fn behind(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last)
    }

    fn next(&mut self) -> Duration {
        let pts = self.pts;
        self.pts += FRAME_PERIOD;
        pts
    }

    /// Skips the frames that nobody drew.
    fn catch_up(&mut self, now: Instant) {
        let behind = (now - self.start).saturating_sub(self.pts);
        let frames = (behind.as_millis() / FRAME_PERIOD.as_millis()) as u32;
        // One frame of lateness is jitter; it is made up for by waking earlier.
        if frames >= 2 {
            self.pts += FRAME_PERIOD * frames;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_idle_hour_has_ninety_thousand_frames() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        let (mut now, mut frames) = (start, 0);
        while now - start < HOUR {
            // Every wake-up is a little late, as on a busy machine.
            now += pacer.patience(now) + MS * (frames % 4);
            let pts = pacer.on_silence(now);
            assert!((now - start).saturating_sub(pts) < FRAME_PERIOD * 3);
            frames += 1;
        }
        assert!((89_990..=90_001).contains(&frames), "{frames}");
    }

    #[test]
    fn jitter_does_not_reach_the_timeline() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        for n in 0..1_000 {
            let now = start + FRAME_PERIOD * n + MS * (n * 7 % 35);
            assert_eq!(pacer.on_chunk(now), FRAME_PERIOD * n);
        }
    }

    #[test]
    fn an_hour_of_a_slow_device_is_one_timeline_without_a_jump() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        for n in 0..90_000 {
            // 0.2 % slow: seven seconds in an hour.
            let now = start + FRAME_PERIOD * n + Duration::from_micros(80) * n;
            assert_eq!(pacer.on_chunk(now), FRAME_PERIOD * n);
        }
    }

    #[test]
    fn a_burst_is_spread() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        let mut now = start;
        let mut last = None;
        for _ in 0..100 {
            // Three chunks every 120 ms.
            for _ in 0..3 {
                now += pacer.spacing(now);
                pacer.on_chunk(now);
                if let Some(last) = last {
                    assert!(SPACING <= now - last && now - last <= MS * 80);
                }
                last = Some(now);
            }
            now =
                now.max(start) + (MS * 120).saturating_sub(now - last.unwrap_or(now)) - SPACING * 2;
        }
    }

    #[test]
    fn after_a_silence_time_catches_up_and_never_goes_back() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        let mut last = pacer.on_chunk(start);
        let mut now = start;
        for _ in 0..10 {
            now += pacer.patience(now);
            let pts = pacer.on_silence(now);
            assert!(last < pts);
            last = pts;
        }
        now += MS * 5;
        let pts = pacer.on_chunk(now);
        assert!(last < pts);
        assert!((now - start).abs_diff(pts) < FRAME_PERIOD * 2);
    }

    #[test]
    fn a_stall_that_is_made_up_for_costs_no_frame() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        let mut now = start;
        for n in 0..200 {
            now += pacer.patience(now);
            // Once in a while the thread is held up for 100 ms.
            now += if n % 50 == 49 { MS * 100 } else { MS };
            assert_eq!(pacer.on_silence(now), FRAME_PERIOD * n);
        }
        assert!((now - start).abs_diff(FRAME_PERIOD * 200) < FRAME_PERIOD * 3);
    }

    #[test]
    fn a_slow_model_costs_pictures_and_no_sound() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        let (mut now, mut drawn) = (start, 0);
        for n in 0..1_000 {
            now += pacer.patience(now);
            assert_eq!(pacer.on_silence(now), FRAME_PERIOD * n);
            if pacer.behind(now) < FRAME_PERIOD {
                drawn += 1;
                now += MS * 270;
            }
        }
        assert!((130..=170).contains(&drawn), "{drawn}");
        assert!((now - start).abs_diff(FRAME_PERIOD * 1_000) < MS * 300);
    }

    #[test]
    fn a_machine_that_slept_goes_on_at_once() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        pacer.on_silence(start + FRAME_PERIOD);
        let now = start + HOUR;
        let pts = pacer.on_silence(now);
        assert!(HOUR - pts < FRAME_PERIOD * 2);
        assert_eq!(pacer.patience(now), FRAME_PERIOD);
    }
}
