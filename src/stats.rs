//! What happened so far: written by the stages, read by anyone.
//!
//! A frame counts, it does not log. Everything here is an atomic, so that
//! counting costs the hot path neither a lock nor an allocation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::events::Events;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Level(AtomicU64);

impl Level {
    /// Replaces the number.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

/// Durations kept for percentiles: the last ten seconds of frames.
const RECENT: usize = 250;

/// Upper bounds of the histogram's buckets, in seconds.
pub const BUCKETS: [f64; 17] = [
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, 0.03, 0.04, 0.08, 0.15, 0.3, 1.0, 2.5,
    5.0, 10.0,
];

/// How long something takes.
#[derive(Debug)]
pub struct Timing {
    buckets: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
    recent_us: [AtomicU32; RECENT],
    next: AtomicUsize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS.len()],
            count: AtomicU64::new(0),
            sum_us: AtomicU64::new(0),
            recent_us: [const { AtomicU32::new(u32::MAX) }; RECENT],
            next: AtomicUsize::new(0),
        }
    }
}

/// How long something took lately.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Recent {
    /// Arithmetic mean.
    pub mean: Duration,
    /// Half took less.
    pub p50: Duration,
    /// 95 of 100 took less.
    pub p95: Duration,
    /// The longest.
    pub max: Duration,
}

impl Timing {
    /// Notes one duration.
    pub fn add(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket].fetch_add(1, Relaxed);
        }
        let us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX - 1);
        self.count.fetch_add(1, Relaxed);
        self.sum_us.fetch_add(u64::from(us), Relaxed);
        let slot = self.next.fetch_add(1, Relaxed) % RECENT;
        self.recent_us[slot].store(us, Relaxed);
    }

    /// Adds to the sums what `other` measured in all.
    fn absorb(&self, other: &Self) {
        for (sum, part) in self.buckets.iter().zip(&other.buckets) {
            sum.fetch_add(part.load(Relaxed), Relaxed);
        }
        self.count.fetch_add(other.count.load(Relaxed), Relaxed);
        self.sum_us.fetch_add(other.sum_us.load(Relaxed), Relaxed);
    }

    /// The last 250 durations.
    pub fn recent(&self) -> Recent {
        let mut us: Vec<u32> = self
            .recent_us
            .iter()
            .map(|us| us.load(Relaxed))
            .filter(|us| *us != u32::MAX)
            .collect();
        us.sort_unstable();
        let Some(last) = us.len().checked_sub(1) else {
            return Recent::default();
        };
        let at = |part: usize| Duration::from_micros(u64::from(us[last * part / 100]));
        let sum: u64 = us.iter().copied().map(u64::from).sum();
        Recent {
            mean: Duration::from_micros(sum / us.len() as u64),
            p50: at(50),
            p95: at(95),
            max: at(100),
        }
    }

    /// Cumulative counts for [`BUCKETS`], the count of all, and their sum in
    /// seconds: what a Prometheus histogram wants.
    pub fn histogram(&self) -> ([u64; BUCKETS.len()], u64, f64) {
        let mut below = 0;
        let cumulative = std::array::from_fn(|n| {
            below += self.buckets[n].load(Relaxed);
            below
        });
        let sum = self.sum_us.load(Relaxed) as f64 / 1e6;
        (cumulative, self.count.load(Relaxed), sum)
    }
}

/// What a session measures.
#[derive(Debug, Default)]
pub struct Stats {
    /// Frames of the timeline, drawn or not.
    pub frames: Count,
    /// Frames drawn.
    pub drawn: Count,
    /// Frames that nobody encoded in time, or that had no free picture.
    pub late_frames: Count,
    /// Chunks of live sound that were lost because they came too late.
    pub late_chunks: Count,
    /// Frames whose base picture was not decoded in time: the last one stood in.
    pub late_pictures: Count,
    /// Frames on which the model failed: the last mouth stood in.
    pub failed_mouths: Count,
    /// Times that a viewer was too slow and skipped to the next key frame.
    pub slow_viewers: Count,
    /// Utterances that were spoken to their end.
    pub finished_utterances: Count,
    /// Utterances that were cut off.
    pub cut_utterances: Count,
    /// Utterances that waited and were dropped.
    pub dropped_utterances: Count,
    /// Times that somebody interrupted what was said, or waited to be.
    pub interrupts: Count,
    /// Chunks waiting in the sound's ring.
    pub ring_depth: Level,
    /// Frames drawn in the last second.
    pub fps: Level,
    /// When sound leaves, less when its picture leaves, in seconds.
    pub av_skew: Level,
    /// 1 while the avatar talks, 0 while it idles.
    pub talking: Level,
    /// One chunk of sound: mel and voice activity.
    pub hear: Timing,
    /// One run of the model, and its reference's way in.
    pub lipsync: Timing,
    /// Base picture and mouth onto the frame.
    pub compose: Timing,
    /// One chunk of sound to Opus.
    pub encode_sound: Timing,
    /// One frame to every codec that is watched.
    pub encode: Timing,
    /// A frame's whole way, from its chunk's turn to its packets.
    pub frame: Timing,
    /// Processor time of a frame, in the threads that render and encode it.
    pub frame_cpu: Timing,
    /// From accepting sound to handing its picture to the network.
    pub voice_latency: Timing,
    /// From asking for an answer to its first words.
    pub chat_latency: Timing,
    /// From asking for a sentence's speech to its first sound.
    pub tts_latency: Timing,
    /// What happened, one by one.
    pub events: Events,
}

impl Stats {
    /// All zero.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The stages with their timings, in the order of the data.
    pub fn stages(&self) -> [(&'static str, &Timing); 6] {
        [
            ("hear", &self.hear),
            ("lipsync", &self.lipsync),
            ("compose", &self.compose),
            ("encode_sound", &self.encode_sound),
            ("encode", &self.encode),
            ("frame", &self.frame),
        ]
    }

    /// Adds to the timings' sums those of a session that has ended.
    pub fn absorb(&self, ended: &Self) {
        for ((_, sum), (_, part)) in self.stages().into_iter().zip(ended.stages()) {
            sum.absorb(part);
        }
        self.voice_latency.absorb(&ended.voice_latency);
        self.chat_latency.absorb(&ended.chat_latency);
        self.tts_latency.absorb(&ended.tts_latency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_last_frames() {
        let timing = Timing::default();
        assert_eq!(timing.recent(), Recent::default());
        for ms in 1..=1_000 {
            timing.add(Duration::from_millis(ms));
        }
        let recent = timing.recent();
        assert_eq!(recent.max, Duration::from_millis(1_000));
        assert_eq!(recent.p50, Duration::from_millis(875));
        assert_eq!(recent.p95, Duration::from_millis(987));
    }

    #[test]
    fn the_sums_of_what_has_ended_are_kept() {
        let (sum, one) = (Stats::new(), Stats::new());
        sum.encode.add(Duration::from_millis(3));
        one.encode.add(Duration::from_millis(1));
        one.voice_latency.add(Duration::from_secs(9));
        sum.absorb(&one);
        let (cumulative, count, seconds) = sum.encode.histogram();
        assert_eq!((cumulative[1], cumulative[3], count), (1, 2, 2));
        assert!((seconds - 0.004).abs() < 1e-9);
        assert_eq!(sum.voice_latency.histogram().1, 1);
    }

    #[test]
    fn buckets_are_cumulative() {
        let timing = Timing::default();
        for ms in [1, 2, 100, 50_000] {
            timing.add(Duration::from_millis(ms));
        }
        let (cumulative, count, sum) = timing.histogram();
        assert_eq!(cumulative[1], 1, "1 ms is in the bucket that ends there");
        assert_eq!(cumulative[BUCKETS.len() - 1], 3);
        assert_eq!(count, 4);
        assert!((sum - 50.103).abs() < 1e-9);
    }
}
