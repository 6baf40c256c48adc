//! Between a device's callback and the capture thread: samples one way, and
//! nothing that the callback could wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::Thread;

use cpal::FromSample;
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

/// Seconds of sound that the capture thread may oversleep before some is lost.
const DEPTH_S: usize = 1;
/// Pieces a second in which the capture thread reads.
const PIECES: usize = 50;

/// What both ends see.
#[derive(Default)]
struct Shared {
    /// Frames that the device delivered.
    frames: AtomicU64,
    /// Of them, those that found no room.
    lost: AtomicU64,
    failed: AtomicBool,
}

/// The callback's end.
pub struct Tap {
    samples: HeapProd<f32>,
    channels: usize,
    shared: Arc<Shared>,
    ear: Thread,
}

/// The end of the callback that is told of errors.
pub struct Alarm {
    shared: Arc<Shared>,
    ear: Thread,
}

/// The capture thread's end.
pub struct Feed {
    /// What the device is called.
    pub name: String,
    /// Samples a second.
    pub rate: u32,
    /// Channels, interleaved.
    pub channels: usize,
    samples: HeapCons<f32>,
    piece: Vec<f32>,
    counted: u64,
    shared: Arc<Shared>,
}

/// Joins the callback of a device called `name` to the capture thread `ear`.
pub fn tap(name: String, rate: u32, channels: usize, ear: &Thread) -> (Tap, Alarm, Feed) {
    let second = rate as usize * channels;
    let (writer, reader) = HeapRb::new((second * DEPTH_S).max(1)).split();
    let shared = Arc::<Shared>::default();
    let tap = Tap {
        samples: writer,
        channels,
        shared: Arc::clone(&shared),
        ear: ear.clone(),
    };
    let alarm = Alarm {
        shared: Arc::clone(&shared),
        ear: ear.clone(),
    };
    let feed = Feed {
        name,
        rate,
        channels,
        samples: reader,
        piece: vec![0.0; (rate as usize / PIECES).max(1) * channels],
        counted: 0,
        shared,
    };
    (tap, alarm, feed)
}

impl Tap {
    /// Takes what the device delivered. Never waits, locks or allocates: what
    /// finds no room is counted.
    pub fn push<T: Copy>(&mut self, interleaved: &[T])
    where
        f32: FromSample<T>,
    {
        let frames = interleaved.len() / self.channels;
        let room = self.samples.vacant_len() / self.channels;
        let kept = &interleaved[..frames.min(room) * self.channels];
        self.samples
            .push_iter(kept.iter().map(|sample| f32::from_sample_(*sample)));
        self.shared
            .lost
            .fetch_add(frames.saturating_sub(room) as u64, Relaxed);
        self.shared.frames.fetch_add(frames as u64, Relaxed);
        self.ear.unpark();
    }
}

impl Alarm {
    /// Says that the device won't deliver any more.
    pub fn raise(&self) {
        self.shared.failed.store(true, Relaxed);
        self.ear.unpark();
    }
}

impl Feed {
    /// Hands on everything that came since, in pieces of at most 20 ms.
    pub fn drain(&mut self, mut on_samples: impl FnMut(&[f32])) {
        loop {
            let whole = self.samples.occupied_len() / self.channels * self.channels;
            let piece = self.piece.len().min(whole);
            let read = self.samples.pop_slice(&mut self.piece[..piece]);
            if read == 0 {
                return;
            }
            on_samples(&self.piece[..read]);
        }
    }

    /// Frames that the device delivered so far, kept or lost.
    pub fn frames(&self) -> u64 {
        self.shared.frames.load(Relaxed)
    }

    /// Whole chunks that were lost for want of room since this was last asked.
    pub fn take_lost_chunks(&mut self) -> u64 {
        let chunk = u64::from(self.rate / crate::media::FPS).max(1);
        let chunks = self.shared.lost.load(Relaxed) / chunk;
        let new = chunks - self.counted;
        self.counted = chunks;
        new
    }

    /// Whether the device said that it won't deliver any more.
    pub fn failed(&self) -> bool {
        self.shared.failed.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(rate: u32, channels: usize) -> (Tap, Alarm, Feed) {
        tap("a".into(), rate, channels, &std::thread::current())
    }

    #[test]
    fn every_sample_format_arrives_as_itself() {
        let (mut tap, _, mut feed) = pair(8_000, 1);
        tap.push(&[i8::MIN, 0, 64]);
        tap.push(&[u8::MIN, 128, 192]);
        tap.push(&[i16::MIN, 0, 16_384]);
        tap.push(&[u16::MIN, 32_768, 49_152]);
        tap.push(&[i32::MIN, 0, 1 << 30]);
        tap.push(&[u32::MIN, 1 << 31, 3 << 30]);
        tap.push(&[i64::MIN, 0, 1 << 62]);
        tap.push(&[-1.0_f64, 0.0, 0.5]);
        tap.push(&[-1.0_f32, 0.0, 0.5]);
        let i24 = |n| cpal::I24::new(n).expect("24 bits");
        tap.push(&[i24(-(1 << 23)), i24(0), i24(1 << 22)]);
        let mut heard = Vec::new();
        feed.drain(|samples| heard.extend_from_slice(samples));
        assert_eq!(heard, [-1.0, 0.0, 0.5].repeat(10));
    }

    #[test]
    fn what_finds_no_room_is_counted_and_channels_stay_in_order() {
        let (mut tap, _, mut feed) = pair(8_000, 3);
        let frames: Vec<f32> = (0..9_000).flat_map(|_| [0.1, 0.2, 0.3]).collect();
        for part in frames.chunks(3 * 70) {
            tap.push(part);
        }
        assert_eq!(feed.frames(), 9_000);
        assert_eq!(feed.take_lost_chunks(), 1_000 / 320);
        assert_eq!(feed.take_lost_chunks(), 0);
        let mut heard = 0;
        feed.drain(|samples| {
            heard += samples.len() / 3;
            assert!(samples.chunks(3).all(|frame| frame == [0.1, 0.2, 0.3]));
        });
        assert_eq!(heard, 8_000);
    }

    #[test]
    fn an_alarm_is_heard() {
        let (_tap, alarm, feed) = pair(8_000, 1);
        assert!(!feed.failed());
        alarm.raise();
        assert!(feed.failed());
    }
}
