//! Packets of a voice, put in order and in time.
//!
//! Time runs by the speaker's clock: a packet is due a delay after it would have
//! come on the network's best day. Where that clock is fast or slow, what is due
//! moves with it, as chunks follow the clock of a sound card: nothing is
//! stretched or left out, and the delay doesn't grow. The delay follows the
//! network: it rises at once when a packet was late, and comes down slowly.
//!
//! Only timestamps count. Where packets are missing, whether they were lost or
//! never sent because nobody spoke, time goes on, and whoever plays fills it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::media::{SOUND_RATE, VoicePacket};

/// The delay to begin with: what a wireless network at home needs.
const FIRST_DELAY: Duration = Duration::from_millis(60);
/// The least: two packets, so that one that was overtaken is waited for.
const LEAST_DELAY: Duration = Duration::from_millis(40);
/// The most: a conversation suffers from more, and what comes later is lost.
const MOST_DELAY: Duration = Duration::from_millis(200);
/// What is added to the longest wait that was seen.
const MARGIN: Duration = Duration::from_millis(10);
/// What a packet takes off a delay that is too long: 5 % of the time of one.
const CALM: Duration = Duration::from_millis(1);
/// How long a packet's way is remembered, at least; twice that at most. A clock
/// that is slow by a thousandth then misleads by 8 ms.
const MEMORY: Duration = Duration::from_secs(4);
/// Samples by which a packet may be early or late: more is another beginning.
const NEAR: i64 = SOUND_RATE as i64;
/// Packets that wait at most: [`MOST_DELAY`] of the shortest that there are.
const PACKETS: usize = 80;
/// Packets late in a row after which the network is another: 200 ms of them.
const LATE: u32 = 10;
/// Without a packet for so long, the voice has paused. Who is silent sends one
/// every 400 ms.
const PAUSE: Duration = Duration::from_secs(1);

/// What is due in less is due, in seconds: a wait that rounds to none would be asked
/// for again and again.
const DUE_S: f64 = 1e-6;

/// What is to be played.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Play {
    /// A packet, and when it came.
    Packet(Bytes, Instant),
    /// Samples that are missing. The packet after them, if it is there and they
    /// are not more than it has: it may hold them again.
    Missing(usize, Option<Bytes>),
    /// Nothing until then.
    Wait(Instant),
    /// Nothing until a packet comes: the voice has paused.
    Paused,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that were played.
    pub played: u64,
    /// Packets that came too late, twice, or without sense.
    pub useless: u64,
    /// Times that nothing was there to play: lost, late, or not sent in silence.
    pub missing: u64,
}

/// The jitter buffer.
#[derive(Debug)]
pub(super) struct Jitter {
    /// Times are seconds since then.
    origin: Instant,
    stream: Option<Stream>,
    /// In order.
    waiting: VecDeque<Waiting>,
    delay_s: f64,
    /// Samples of the last packet.
    length: i64,
    counts: Counts,
}

#[derive(Debug)]
struct Waiting {
    at: i64,
    length: i64,
    arrived: Instant,
    data: Bytes,
}

/// One run of timestamps.
#[derive(Debug)]
struct Stream {
    ssrc: u32,
    /// The next sample to be played; its lower half is as it is on the wire.
    next: i64,
    /// Seconds from a sample's moment to its arrival, on the best day.
    way: Least,
    /// Seconds by which packets came later than that, negative.
    wait: Least,
    late: u32,
    heard_s: f64,
}

impl Jitter {
    /// An empty one.
    pub(super) fn new(origin: Instant) -> Self {
        Self {
            origin,
            stream: None,
            waiting: VecDeque::with_capacity(PACKETS),
            delay_s: FIRST_DELAY.as_secs_f64(),
            length: i64::from(SOUND_RATE / 50),
            counts: Counts::default(),
        }
    }

    /// Takes a packet.
    pub(super) fn push(&mut self, packet: VoicePacket) {
        let length = opus::packet::get_nb_samples(&packet.data, SOUND_RATE);
        let Some(length) = length.ok().filter(|length| *length > 0) else {
            self.counts.useless += 1;
            return;
        };
        let at = self.place(&packet);
        let arrived_s = self.seconds(packet.arrived);
        let stream = match &mut self.stream {
            Some(stream) if at.is_some() => stream,
            // Another speaker, other times, or a network that is slower for good.
            other => {
                self.waiting.clear();
                other.insert(Stream::new(&packet))
            }
        };
        let at = at.unwrap_or(stream.next);
        self.delay_s = stream.note(arrived_s, at, self.delay_s);
        let late = at < stream.next;
        stream.late = if late { stream.late + 1 } else { 0 };
        let place = self.waiting.partition_point(|waiting| waiting.at < at);
        let twice = self.waiting.get(place).is_some_and(|other| other.at == at);
        if late || twice || self.waiting.len() >= PACKETS {
            self.counts.useless += 1;
            return;
        }
        let waiting = Waiting {
            at,
            length: length as i64,
            arrived: packet.arrived,
            data: packet.data,
        };
        self.waiting.insert(place, waiting);
    }

    /// What is to be played at `now`. To be asked until there is nothing.
    pub(super) fn play(&mut self, now: Instant) -> Play {
        let now_s = self.seconds(now);
        let Some(stream) = &mut self.stream else {
            return Play::Paused;
        };
        let due_s = stream.way.get() + seconds(stream.next) + self.delay_s;
        if now_s + DUE_S < due_s {
            return Play::Wait(now + Duration::from_secs_f64(due_s - now_s));
        }
        // Packets that overlap with one that was played.
        while self.waiting.front().is_some_and(|w| w.at < stream.next) {
            self.waiting.pop_front();
            self.counts.useless += 1;
        }
        match self.waiting.front() {
            None if now_s - stream.heard_s > PAUSE.as_secs_f64() => {
                self.stream = None;
                return Play::Paused;
            }
            Some(first) if first.at == stream.next => {
                let first = self.waiting.pop_front().expect("there is one");
                stream.next += first.length;
                self.length = first.length;
                self.counts.played += 1;
                return Play::Packet(first.data, first.arrived);
            }
            _ => {}
        }
        let first = self.waiting.front();
        let gap = first.map_or(self.length, |first| first.at - stream.next);
        let missing = gap.min(self.length);
        let after = first.filter(|first| gap <= first.length.min(self.length));
        let after = after.map(|first| first.data.clone());
        stream.next += missing;
        self.counts.missing += 1;
        Play::Missing(missing as usize, after)
    }

    /// Whether no packet waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What happened so far.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Where on the stream's axis the packet lies, if it belongs there.
    fn place(&self, packet: &VoicePacket) -> Option<i64> {
        let stream = self.stream.as_ref()?;
        let ahead = packet.timestamp.wrapping_sub(stream.next as u32) as i32;
        let near = i64::from(ahead).abs() <= NEAR;
        let ours = stream.ssrc == packet.ssrc && near && stream.late < LATE;
        ours.then(|| stream.next + i64::from(ahead))
    }

    fn seconds(&self, moment: Instant) -> f64 {
        moment.saturating_duration_since(self.origin).as_secs_f64()
    }
}

impl Stream {
    fn new(packet: &VoicePacket) -> Self {
        Self {
            ssrc: packet.ssrc,
            next: i64::from(packet.timestamp),
            way: Least::default(),
            wait: Least::default(),
            late: 0,
            heard_s: 0.0,
        }
    }

    /// Notes that the packet `at` came. Returns the delay that follows `delay_s`.
    fn note(&mut self, arrived_s: f64, at: i64, delay_s: f64) -> f64 {
        self.heard_s = arrived_s;
        let way_s = arrived_s - seconds(at);
        self.way.note(arrived_s, way_s);
        self.wait.note(arrived_s, self.way.get() - way_s);
        let wanted_s = MARGIN.as_secs_f64() - self.wait.get();
        let wanted_s = wanted_s.clamp(LEAST_DELAY.as_secs_f64(), MOST_DELAY.as_secs_f64());
        wanted_s.max(delay_s - CALM.as_secs_f64())
    }
}

fn seconds(samples: i64) -> f64 {
    samples as f64 / f64::from(SOUND_RATE)
}

/// The least of what was noted lately.
#[derive(Debug)]
struct Least {
    now: f64,
    before: f64,
    until_s: f64,
}

impl Default for Least {
    fn default() -> Self {
        Self {
            now: f64::INFINITY,
            before: f64::INFINITY,
            until_s: f64::NEG_INFINITY,
        }
    }
}

impl Least {
    fn note(&mut self, now_s: f64, value: f64) {
        if now_s >= self.until_s {
            self.before = std::mem::replace(&mut self.now, f64::INFINITY);
            self.until_s = now_s + MEMORY.as_secs_f64();
        }
        self.now = self.now.min(value);
    }

    fn get(&self) -> f64 {
        self.now.min(self.before)
    }
}

#[cfg(test)]
mod tests;
