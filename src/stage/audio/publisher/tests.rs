use std::sync::Arc;
use std::thread;

use crossbeam_channel::bounded;
use opus::{Application, Encoder};

use super::*;
use crate::media::{FRAME_PERIOD, SOUND_SAMPLES};
use crate::ring::{Next, ring};
use crate::stage::audio::inlet::Inlet;
use crate::stats::Stats;

const MS: Duration = Duration::from_millis(1);
/// Samples of a packet per channel: 20 ms.
const LENGTH: usize = 960;

/// A tone of 440 Hz, as loud as half.
fn tone(n: usize) -> f32 {
    (n as f32 * 440.0 * std::f32::consts::TAU / SOUND_RATE as f32).sin() * 0.5
}

/// Packets of a tone, with what repairs a loss.
fn packets(count: usize, channels: Channels, start: Instant) -> Vec<VoicePacket> {
    let mut encoder = Encoder::new(SOUND_RATE, channels, Application::Voip).expect("an encoder");
    encoder.set_inband_fec(true).expect("set");
    encoder.set_packet_loss_perc(20).expect("set");
    let width = channels as usize;
    let packet = |n: usize| {
        let sound = (n * LENGTH..(n + 1) * LENGTH).flat_map(|n| vec![tone(n); width]);
        let sound: Vec<f32> = sound.collect();
        let data = encoder.encode_vec_float(&sound, 1_276).expect("encoded");
        VoicePacket {
            arrived: start + 20 * MS * n as u32,
            ssrc: 1,
            timestamp: (n * LENGTH) as u32,
            data: data.into(),
        }
    };
    (0..count).map(packet).collect()
}

/// Plays packets on their own clock: the sound, and when its chunks came.
fn heard(packets: Vec<VoicePacket>, start: Instant) -> (Vec<f32>, Vec<Duration>) {
    let mut voice = Voice::new(start).expect("memory");
    let (mut sound, mut came) = (Vec::new(), Vec::new());
    let end = packets.last().expect("some").arrived + 100 * MS;
    let mut packets = packets.into_iter().peekable();
    let mut now = start;
    while now < end {
        while let Some(packet) = packets.next_if(|packet| packet.arrived <= now) {
            voice.push(packet);
        }
        voice.play(now, |chunk| {
            assert!(chunk.accepted.is_some());
            sound.extend_from_slice(&chunk.sound);
            came.push(now - start);
        });
        now += MS;
    }
    (sound, came)
}

fn level(sound: &[f32]) -> f32 {
    (sound.iter().map(|s| s * s).sum::<f32>() / sound.len() as f32).sqrt()
}

#[test]
fn a_voice_is_heard_as_loud_as_it_was_said_in_even_chunks() {
    for channels in [Channels::Mono, Channels::Stereo] {
        let start = Instant::now();
        let (sound, came) = heard(packets(100, channels, start), start);
        let level = level(&sound[SOUND_RATE as usize / 2..SOUND_RATE as usize]);
        assert!((level - 0.354).abs() < 0.04, "{channels:?}: {level}");
        assert!(came.len() >= 49, "{}", came.len());
        // The first has the delay to begin with, which then gets less.
        assert!(came[0] <= 100 * MS, "{:?}", came[0]);
        for (n, came) in (0..).zip(&came) {
            let behind = *came - FRAME_PERIOD * n;
            assert!((50 * MS..=100 * MS).contains(&behind), "{n}: {behind:?}");
        }
    }
}

#[test]
fn one_packet_in_ten_may_be_lost() {
    let start = Instant::now();
    let mut packets = packets(200, Channels::Mono, start);
    let mut n = 0;
    packets.retain(|_| {
        n += 1;
        n % 10 != 0
    });
    let (sound, came) = heard(packets, start);
    assert!(came.len() >= 98, "time goes on: {}", came.len());
    let steady = &sound[SOUND_RATE as usize..3 * SOUND_RATE as usize];
    for (n, piece) in steady.chunks(LENGTH).enumerate() {
        assert!(level(piece) > 0.1, "a hole after {} ms", 1_000 + 20 * n);
    }
}

#[test]
fn what_stops_fades_into_silence_and_then_nothing() {
    let start = Instant::now();
    let mut packets = packets(200, Channels::Mono, start);
    packets.truncate(50);
    let mut voice = Voice::new(start).expect("memory");
    packets.into_iter().for_each(|packet| voice.push(packet));
    let (mut chunks, mut last) = (0, 1.0);
    let mut now = start;
    while now < start + Duration::from_secs(5) {
        voice.play(now, |chunk| {
            chunks += 1;
            last = level(&chunk.sound);
        });
        now += MS;
    }
    assert_eq!(last, 0.0);
    // A second of sound, and one of silence.
    assert!((48..=52).contains(&chunks), "{chunks}");
}

#[test]
fn rubbish_is_no_sound_and_no_harm() {
    let start = Instant::now();
    let mut packets = packets(100, Channels::Mono, start);
    for (n, packet) in packets.iter_mut().enumerate() {
        let mut data: Vec<u8> = (0..n * 13 % 200).map(|k| (k * n * 31) as u8).collect();
        data.insert(0, (n * 7) as u8);
        packet.data = data.into();
    }
    let (sound, _) = heard(packets, start);
    assert!(sound.iter().all(|sample| sample.abs() <= 1.0));
}

#[test]
fn the_last_words_are_heard_and_then_the_place_is_free() {
    let (writer, reader) = ring(100);
    let inlet = Inlet::new(writer, Stats::new());
    let (start, published) = (Instant::now(), inlet.publish());
    let (sender, coming) = bounded(64);
    for packet in packets(3, Channels::Mono, start) {
        sender.send(packet).expect("room");
    }
    drop(sender);
    let voice = Voice::new(start).expect("memory");
    let counts = voice.run(&coming, &published);
    assert_eq!(counts.played, 3);
    drop(published);
    assert!(!inlet.published());
    let chunks = std::iter::from_fn(|| match reader.next(Duration::ZERO) {
        Next::Item(chunk) => Some(chunk),
        _ => None,
    });
    let sound: Vec<f32> = chunks.flat_map(|chunk| chunk.sound).collect();
    assert_eq!(sound.len() % SOUND_SAMPLES, 0);
    assert!(sound.len() >= 3 * LENGTH);
}

#[test]
fn a_session_that_ends_lets_the_voice_go() {
    let (writer, _reader) = ring(3);
    let inlet = Inlet::new(writer, Stats::new());
    let published = inlet.publish();
    let (sender, coming) = bounded(64);
    let start = Instant::now();
    let voice = Voice::new(start).expect("memory");
    let thread = thread::spawn(move || voice.run(&coming, &published));
    assert_eq!(Arc::strong_count(&inlet), 1);
    drop(inlet);
    for packet in packets(20, Channels::Mono, start) {
        if sender.send(packet).is_err() {
            break;
        }
    }
    // While somebody still sends.
    thread.join().expect("it ends");
    drop(sender);
}
