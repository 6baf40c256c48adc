use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use openh264::decoder::Decoder;
use openh264::formats::YUVSource;

use super::*;
use crate::hub::Heard;
use crate::media::{FRAME_PERIOD, SOUND_SAMPLES};
use crate::pool::{FramePool, Size};

const SIZE: Size = Size {
    width: 256,
    height: 192,
};

/// A textured picture that moves by a pixel a frame.
fn picture(n: u32) -> Vec<u8> {
    let mut i420 = vec![0; SIZE.i420_bytes()];
    let grain = |x: usize, y: usize| {
        let mixed = (x * 7_919 + y * 104_729).wrapping_mul(2_654_435_761) >> 7;
        (mixed % 13) as f64 - 6.0
    };
    for (plane, bytes) in SIZE.planes_mut(&mut i420).into_iter().enumerate() {
        let width = if plane == 0 {
            SIZE.width
        } else {
            SIZE.width / 2
        };
        for (at, byte) in bytes.iter_mut().enumerate() {
            let (x, y) = (at % width + n as usize, at / width);
            let wave = (x as f64 * 0.11).sin() + (y as f64 * 0.07).cos();
            *byte = (120.0 + 40.0 * wave + grain(x, y)) as u8;
        }
    }
    i420
}

fn pts(n: u32) -> Duration {
    FRAME_PERIOD * n
}

/// Decibels by which `picture`'s luma stands out from what it became.
fn psnr(picture: &[u8], decoded: impl Iterator<Item = u8>) -> f64 {
    let luma = &picture[..SIZE.width * SIZE.height];
    let error: f64 = luma
        .iter()
        .zip(decoded)
        .map(|(a, b)| (f64::from(*a) - f64::from(b)).powi(2))
        .sum();
    10.0 * (255.0_f64.powi(2) * luma.len() as f64 / error).log10()
}

fn config(video_kbps: u32) -> Config {
    Config {
        video_kbps,
        ..Config::default()
    }
}

fn h264(video_kbps: u32) -> H264 {
    H264::new(&config(video_kbps), SIZE).expect("openh264 is built in")
}

/// Kilobits a second of the frames `range`.
fn kbps(range: std::ops::Range<u32>, mut encode: impl FnMut(u32) -> usize) -> f64 {
    let frames = f64::from(range.end - range.start);
    let bytes: usize = range.map(&mut encode).sum();
    bytes as f64 * 8.0 * f64::from(FPS) / frames / 1_000.0
}

#[test]
fn what_h264_plays_looks_like_what_was_drawn() {
    let mut encoder = h264(1_200);
    let mut decoder = Decoder::new().expect("openh264 is built in");
    for n in 0..40 {
        let drawn = picture(n);
        let encoded = encoder
            .encode(&drawn, pts(n), false)
            .expect("a good picture");
        assert_eq!(encoded.key, n == 0);
        let played = decoder
            .decode(&encoded.data)
            .expect("a good bitstream")
            .expect("one picture in, one out");
        let (stride, _, _) = played.strides();
        let rows = played.y().chunks(stride).flat_map(|row| &row[..SIZE.width]);
        let db = psnr(&drawn, rows.copied());
        assert!(db > 30.0, "frame {n} has {db:.1} dB");
    }
}

#[test]
fn h264_is_constrained_baseline() {
    let encoded = h264(1_200)
        .encode(&picture(0), pts(0), false)
        .expect("a good picture");
    assert_eq!(encoded.data[..7], [0, 0, 0, 1, 0x67, 66, 0xC0]);
}

#[test]
fn a_key_frame_lands_on_the_frame_that_asked() {
    let mut h264 = h264(600);
    let mut vp8 = Vp8::new(&config(600), SIZE).expect("libvpx is there");
    for n in 0..60 {
        let (drawn, ask) = (picture(n), n == 17 || n == 18 || n == 40);
        let encoded = h264.encode(&drawn, pts(n), ask).expect("a good picture");
        assert_eq!(encoded.key, n == 0 || ask, "H.264, frame {n}");
        let encoded = vp8.encode(&drawn, pts(n), ask).expect("a good picture");
        assert_eq!(encoded.key, n == 0 || ask, "VP8, frame {n}");
    }
}

#[test]
fn a_key_frame_comes_by_itself_after_the_interval() {
    let config = Config {
        key_interval_s: 1,
        ..config(600)
    };
    let mut encoder = H264::new(&config, SIZE).expect("openh264 is built in");
    for n in 0..60 {
        let encoded = encoder
            .encode(&picture(n), pts(n), false)
            .expect("a good picture");
        assert_eq!(encoded.key, n % FPS == 0, "frame {n}");
    }
}

#[test]
fn the_bitrate_follows_while_running() {
    let mut encoder = h264(800);
    let size = |encoder: &mut H264, n| {
        let encoded = encoder.encode(&picture(n), pts(n), false);
        encoded.expect("a good picture").data.len()
    };
    let near = |kbps: f64, wanted: f64| (kbps / wanted - 1.0).abs() < 0.25;
    let first = kbps(0..100, |n| size(&mut encoder, n));
    assert!(near(first, 800.0), "{first:.0} kbit/s");
    for bps in [400_000, 1_600_000] {
        encoder.set_bitrate(bps).expect("openh264 takes it");
        kbps(0..25, |n| size(&mut encoder, n));
        let then = kbps(25..125, |n| size(&mut encoder, n));
        assert!(near(then, f64::from(bps) / 1_000.0), "{then:.0} kbit/s");
    }
}

#[test]
fn a_bitrate_set_before_the_first_frame_holds_too() {
    let mut encoder = h264(1_600);
    encoder.set_bitrate(400_000).expect("kept for later");
    let then = kbps(0..125, |n| {
        let encoded = encoder.encode(&picture(n), pts(n), false);
        encoded.expect("a good picture").data.len()
    });
    assert!(then < 600.0, "{then:.0} kbit/s");
}

#[test]
fn vp8_follows_its_bitrate_too() {
    let mut encoder = Vp8::new(&config(800), SIZE).expect("libvpx is there");
    let size = |encoder: &mut Vp8, n| {
        let encoded = encoder.encode(&picture(n), pts(n), false);
        encoded.expect("a good picture").data.len()
    };
    let first = kbps(0..100, |n| size(&mut encoder, n));
    encoder.set_bitrate(400_000).expect("libvpx takes it");
    kbps(100..125, |n| size(&mut encoder, n));
    let then = kbps(125..225, |n| size(&mut encoder, n));
    assert!(
        (0.4..0.6).contains(&(then / first)),
        "{first:.0}, then {then:.0}"
    );
}

#[test]
fn what_vp8_plays_looks_like_what_was_drawn() {
    const FRAMES: u32 = 30;
    let mut ivf = Vec::from(*b"DKIF\0\0\x20\0VP80");
    ivf.extend((SIZE.width as u16).to_le_bytes());
    ivf.extend((SIZE.height as u16).to_le_bytes());
    for field in [FPS, 1, FRAMES, 0] {
        ivf.extend(field.to_le_bytes());
    }
    let mut encoder = Vp8::new(&config(1_200), SIZE).expect("libvpx is there");
    for n in 0..FRAMES {
        let encoded = encoder
            .encode(&picture(n), pts(n), false)
            .expect("a good picture");
        ivf.extend((encoded.data.len() as u32).to_le_bytes());
        ivf.extend(u64::from(n).to_le_bytes());
        ivf.extend(&encoded.data);
    }
    let Ok(mut ffmpeg) = Command::new("ffmpeg")
        .args("-v error -f ivf -i - -f rawvideo -pix_fmt yuv420p -".split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    else {
        eprintln!("skipped: VP8 is decoded by ffmpeg, which is not on PATH");
        return;
    };
    let mut stdin = ffmpeg.stdin.take().expect("it was piped");
    let feed = thread::spawn(move || stdin.write_all(&ivf));
    let played = ffmpeg.wait_with_output().expect("ffmpeg ends").stdout;
    feed.join().expect("no panic").expect("ffmpeg reads");
    assert_eq!(played.len(), SIZE.i420_bytes() * FRAMES as usize);
    for (n, played) in (0..FRAMES).zip(played.chunks(SIZE.i420_bytes())) {
        let db = psnr(&picture(n), played.iter().copied());
        assert!(db > 30.0, "frame {n} has {db:.1} dB");
    }
}

#[test]
fn what_opus_plays_sounds_like_what_was_said() {
    let mut encoder = Opus::new(&Config::default()).expect("libopus is built in");
    let mut decoder = ::opus::Decoder::new(48_000, ::opus::Channels::Mono).expect("the same");
    // A voice without its lowest tones, whose phase Opus turns for speech.
    let said = |n: usize| {
        let t = n as f32 / 48_000.0;
        let turns = 150.0 * t + 3.0 * (t * 4.0).sin();
        (3..16)
            .map(|k| (turns.fract() * std::f32::consts::TAU * k as f32).sin() / k as f32)
            .sum::<f32>()
            / 3.0
    };
    let mut heard = Vec::new();
    for chunk in 0..25 {
        let sound = std::array::from_fn(|n| said(chunk * SOUND_SAMPLES + n));
        for packet in encoder.encode(&sound).expect("good sound") {
            let mut samples = [0.0; 960];
            let count = decoder.decode_float(&packet, &mut samples, false);
            assert_eq!(count.expect("a good packet"), samples.len());
            heard.extend(samples);
        }
    }
    let skip = usize::from(encoder.pre_skip());
    let (mut both, mut ours, mut theirs) = (0.0, 0.0, 0.0);
    for n in 9_600..40_000 {
        let (a, b) = (f64::from(said(n)), f64::from(heard[n + skip]));
        both += a * b;
        ours += a * a;
        theirs += b * b;
    }
    let correlation = both / (ours * theirs).sqrt();
    assert!(correlation > 0.9, "{correlation:.3}");
}

#[test]
fn values_that_no_encoder_takes_are_refused_by_name() {
    let config = Config {
        sound_kbps: 1,
        ..Config::default()
    };
    let error = Pictures::new(&config).err().expect("1 kbit/s is too low");
    assert_eq!(
        error.to_string(),
        "encode.sound_kbps is 1; set it to 6 at least and 510 at most"
    );
}

/// A session in lock step: draws a frame, encodes it, says what came out.
struct Session {
    pool: FramePool,
    hub: std::sync::Arc<Hub>,
    pictures: Pictures,
    frame: u32,
}

impl Session {
    fn new() -> Self {
        Self {
            pool: FramePool::new(1, SIZE),
            hub: Hub::new(),
            pictures: Pictures::new(&config(600)).expect("a good configuration"),
            frame: 0,
        }
    }

    fn step(&mut self) {
        let mut frame = self.pool.take(pts(self.frame)).expect("it came home");
        frame.i420_mut().copy_from_slice(&picture(self.frame));
        self.pictures
            .encode(&frame, &self.hub)
            .expect("good pictures");
        self.frame += 1;
    }
}

async fn heard(watch: &mut crate::hub::Watch) -> (Codec, Duration, bool) {
    match watch.next().await {
        Heard::Packet(packet) => (packet.codec, packet.pts, packet.key),
        other => panic!("a packet was sent, but {other:?} was heard"),
    }
}

#[tokio::test]
async fn key_frames_come_when_asked_but_at_most_every_half_second() {
    for codec in [Codec::H264, Codec::Vp8] {
        let mut session = Session::new();
        let mut watch = session.hub.watch(codec);
        let mut keys = Vec::new();
        for n in 0..60 {
            // Frame 5 is too early after frame 0 and waits for frame 13; those
            // who ask in between are answered by the same one; 40 waited long.
            if [5, 9, 12, 40].contains(&n) {
                watch.request_key();
            }
            session.step();
            let (_, at, key) = heard(&mut watch).await;
            assert_eq!(at, pts(n));
            if key {
                keys.push(n);
            }
        }
        assert_eq!(keys, [0, 13, 40]);
    }
}

#[tokio::test]
async fn nothing_is_encoded_that_nobody_watches() {
    let mut session = Session::new();
    session.step();
    assert!(session.pictures.h264.is_none());
    let mut plain = session.hub.watch(Codec::H264);
    session.step();
    assert!(session.pictures.vp8.is_none());
    let mut old = session.hub.watch(Codec::Vp8);
    session.step();
    assert_eq!(heard(&mut plain).await, (Codec::H264, pts(1), true));
    assert_eq!(heard(&mut plain).await, (Codec::H264, pts(2), false));
    assert_eq!(heard(&mut old).await, (Codec::Vp8, pts(2), true));
    drop(old);
    session.step();
    assert!(session.pictures.vp8.is_none());
}

#[tokio::test]
async fn a_bitrate_for_all_reaches_encoders_that_come_later() {
    let mut session = Session::new();
    let _plain = session.hub.watch(Codec::H264);
    session.step();
    session.pictures.set_bitrate(300).expect("a good bitrate");
    assert_eq!(session.pictures.config.video_kbps, 300);
    assert!(session.pictures.set_bitrate(0).is_err());
}
