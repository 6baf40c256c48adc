use super::*;

const MS: Duration = Duration::from_millis(1);
/// Samples of a packet: 20 ms.
const LENGTH: u32 = 960;
/// What a packet of 20 ms begins with (RFC 6716, 3.1).
const TOC: u8 = 0xF8;

/// Packet `n` of a stream that began at `first`, and when it came.
fn packet(n: u32, first: u32, arrived: Instant) -> VoicePacket {
    let mut data = vec![TOC];
    data.extend(n.to_be_bytes());
    VoicePacket {
        arrived,
        ssrc: 7,
        timestamp: first.wrapping_add(n * LENGTH),
        data: data.into(),
    }
}

/// What was played, and when.
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Packet(u32),
    Missing { samples: usize, again: Option<u32> },
}

struct Rig {
    start: Instant,
    jitter: Jitter,
    heard: Vec<(Duration, Heard)>,
}

fn number(data: &Bytes) -> u32 {
    u32::from_be_bytes(data[1..5].try_into().expect("ours"))
}

impl Rig {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            start,
            jitter: Jitter::new(start),
            heard: Vec::new(),
        }
    }

    /// Lets packets come, `(when, which)`, and then some time pass.
    fn run(&mut self, first: u32, mut coming: Vec<(Duration, u32)>, rest: Duration) {
        coming.sort();
        let end = coming.last().map_or(rest, |(at, _)| *at + rest);
        let mut coming = coming.into_iter().peekable();
        let mut now = Duration::ZERO;
        while now < end {
            while let Some((at, n)) = coming.next_if(|(at, _)| *at <= now) {
                self.jitter.push(packet(n, first, self.start + at));
            }
            self.play(now);
            now += MS;
        }
    }

    fn play(&mut self, now: Duration) {
        loop {
            let heard = match self.jitter.play(self.start + now) {
                Play::Packet(data, _) => Heard::Packet(number(&data)),
                Play::Missing(samples, after) => Heard::Missing {
                    samples,
                    again: after.as_ref().map(number),
                },
                Play::Wait(until) => {
                    assert!(until > self.start + now);
                    return;
                }
                Play::Paused => return,
            };
            self.heard.push((now, heard));
        }
    }

    fn packets(&self) -> Vec<u32> {
        let numbers = self.heard.iter().filter_map(|(_, heard)| match heard {
            Heard::Packet(n) => Some(*n),
            Heard::Missing { .. } => None,
        });
        numbers.collect()
    }

    /// How long after it was said each packet was played, the way of 10 ms with it.
    fn delays(&self) -> impl Iterator<Item = Duration> {
        self.heard.iter().filter_map(|(at, heard)| match heard {
            Heard::Packet(n) => Some(at.saturating_sub(20 * MS * *n)),
            Heard::Missing { .. } => None,
        })
    }
}

fn missing(again: Option<u32>) -> Heard {
    let samples = LENGTH as usize;
    Heard::Missing { samples, again }
}

/// `count` packets, each 10 ms after it was said.
fn steady(count: u32) -> Vec<(Duration, u32)> {
    (0..count).map(|n| (20 * MS * n + 10 * MS, n)).collect()
}

#[test]
fn packets_are_played_in_order_at_an_even_pace() {
    let mut rig = Rig::new();
    let mut coming = steady(100);
    // Every fifth is overtaken by the one after it.
    let overtaken = coming.iter_mut().skip(5).step_by(5);
    overtaken.for_each(|(at, _)| *at += 25 * MS);
    rig.run(0, coming, 30 * MS);
    let packets = rig.packets();
    assert_eq!(packets, (0..packets.len() as u32).collect::<Vec<_>>());
    assert_eq!(rig.jitter.counts().missing, 0);
    for pair in rig.heard.windows(2) {
        let apart = pair[1].0 - pair[0].0;
        assert!((15 * MS..=25 * MS).contains(&apart), "{apart:?}");
    }
}

#[test]
fn what_is_lost_is_told_with_the_packet_that_may_hold_it() {
    let mut rig = Rig::new();
    let mut coming = steady(30);
    coming.retain(|(_, n)| ![10, 20, 21].contains(n));
    rig.run(0, coming, 30 * MS);
    let heard: Vec<_> = rig.heard.iter().map(|(_, heard)| heard.clone()).collect();
    assert_eq!(
        heard[9..12],
        [Heard::Packet(9), missing(Some(11)), Heard::Packet(11)]
    );
    let two = [missing(None), missing(Some(22)), Heard::Packet(22)];
    assert_eq!(heard[20..23], two);
}

#[test]
fn a_packet_that_comes_twice_is_played_once() {
    let mut rig = Rig::new();
    let mut coming = steady(50);
    coming.extend(steady(50).into_iter().map(|(at, n)| (at + 5 * MS, n)));
    // And some much later.
    coming.extend((0..30).map(|n| (20 * MS * n + 300 * MS, n)));
    rig.run(0, coming, 300 * MS);
    let packets = rig.packets();
    assert_eq!(packets, (0..50).collect::<Vec<_>>());
    assert_eq!(rig.jitter.counts().useless, 80);
}

#[test]
fn timestamps_wrap() {
    let mut rig = Rig::new();
    let first = u32::MAX - 25 * LENGTH + 17;
    let mut coming = steady(100);
    coming[25].0 += 25 * MS;
    rig.run(first, coming, 100 * MS);
    assert_eq!(rig.packets(), (0..100).collect::<Vec<_>>());
    assert!(rig.delays().all(|delay| delay <= 80 * MS));
}

#[test]
fn a_clock_that_is_off_does_not_make_the_delay_grow() {
    for off in [-500.0, 500.0] {
        let mut rig = Rig::new();
        let minutes = 20;
        let packets: u32 = minutes * 60 * 50;
        // Said by a clock that is off by millionths, on a network that jitters.
        let period = Duration::from_secs_f64(0.02 * (1.0 + off / 1e6));
        let coming = (0..packets).map(|n| {
            let jitter = MS * ((n.wrapping_mul(2_654_435_761) >> 16) % 25);
            (period * n + 10 * MS + jitter, n)
        });
        rig.run(0, coming.collect(), 200 * MS);
        assert_eq!(rig.packets().len() as u32, packets, "{off}");
        let counts = rig.jitter.counts();
        assert_eq!((counts.useless, counts.played), (0, packets.into()));
        for (at, heard) in &rig.heard {
            let Heard::Packet(n) = heard else { continue };
            let delay = at.saturating_sub(period * *n);
            assert!(delay <= 80 * MS, "{off}: {delay:?} after {at:?}");
        }
    }
}

#[test]
fn silence_that_is_not_sent_takes_its_time() {
    let mut rig = Rig::new();
    // Speech, two seconds of which one packet in twenty is sent, speech.
    let coming = (0..200).filter(|n| !(50..150).contains(n) || n % 20 == 0);
    let coming = coming.map(|n| (20 * MS * n + 10 * MS, n)).collect();
    rig.run(0, coming, 50 * MS);
    let gaps = rig.heard.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(gaps.max().expect("some") <= 25 * MS, "time goes on");
    assert_eq!(rig.heard.len(), 200);
    assert_eq!(rig.jitter.counts().useless, 0);
}

#[test]
fn a_voice_that_pauses_begins_anew() {
    let mut rig = Rig::new();
    rig.run(0, steady(10), Duration::from_secs(2));
    assert_eq!(rig.jitter.play(rig.start + 2_200 * MS), Play::Paused);
    assert!(rig.heard.len() < 70, "it isn't filled for ever");
    let then = rig.start + Duration::from_secs(60);
    for n in 0..5 {
        // Its clock went on, or not.
        rig.jitter.push(packet(n, 123_456, then + 20 * MS * n));
    }
    rig.heard.clear();
    rig.play(Duration::from_secs(61));
    assert_eq!(rig.packets(), [0, 1, 2, 3, 4]);
}

#[test]
fn another_stream_takes_over_at_once() {
    let mut rig = Rig::new();
    rig.run(0, steady(10), 10 * MS);
    rig.heard.clear();
    let then = rig.start + 400 * MS;
    for n in 100..103 {
        let other = VoicePacket {
            ssrc: 8,
            ..packet(n, 3_000_000, then)
        };
        rig.jitter.push(other);
    }
    rig.play(600 * MS);
    assert_eq!(rig.packets(), [100, 101, 102]);
}

#[test]
fn a_network_that_jitters_more_gets_a_longer_delay_and_back() {
    let mut rig = Rig::new();
    let coming = (0..2_000_u32).map(|n| {
        let late = if (500..600).contains(&n) {
            120 * MS * (n % 2)
        } else {
            Duration::ZERO
        };
        (20 * MS * n + 10 * MS + late, n)
    });
    rig.run(0, coming.collect(), 200 * MS);
    let lost = 2_000 - rig.packets().len();
    assert!(lost <= 4, "{lost} were lost before it was known");
    let delays: Vec<_> = rig.delays().collect();
    assert!(delays[590] >= 120 * MS, "{:?}", delays[590]);
    let last = *delays.last().expect("some");
    assert!(last <= 60 * MS, "{last:?}");
}

#[test]
fn a_network_that_is_slower_for_good_costs_little() {
    let mut rig = Rig::new();
    let coming = (0..500_u32).map(|n| {
        let slower = if n >= 100 { 400 * MS } else { Duration::ZERO };
        (20 * MS * n + 10 * MS + slower, n)
    });
    rig.run(0, coming.collect(), 300 * MS);
    let lost = 500 - rig.packets().len();
    assert!(lost <= 2 * LATE as usize + 10, "{lost}");
    let last = rig.delays().last().expect("some");
    assert!(last <= 500 * MS, "{last:?}");
}

#[test]
fn a_flood_finds_no_room() {
    let mut rig = Rig::new();
    let capacity = rig.jitter.waiting.capacity();
    for n in 0..100_000_u32 {
        // All at once, of any time and anybody.
        let timestamp = n.wrapping_mul(2_654_435_761);
        let odd = VoicePacket {
            ssrc: n % 3,
            timestamp,
            ..packet(n, 0, rig.start)
        };
        rig.jitter.push(odd);
        rig.jitter.push(packet(n % 1_000, 0, rig.start));
        assert!(rig.jitter.waiting.len() <= PACKETS);
    }
    for data in [&[][..], &[0xFF, 0xFF], &[TOC | 3, 63]] {
        let before = rig.jitter.counts().useless;
        rig.jitter.push(VoicePacket {
            data: Bytes::copy_from_slice(data),
            ..packet(0, 0, rig.start)
        });
        assert_eq!(rig.jitter.counts().useless, before + 1, "{data:?}");
    }
    assert_eq!(rig.jitter.waiting.capacity(), capacity);
}
