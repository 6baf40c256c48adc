//! Recordings: what the encoders made, written to MP4 and read by ffmpeg.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mouthpiece::media::{AudioChunk, Codec, FRAME_PERIOD, Packet, SOUND_SAMPLES};
use mouthpiece::pool::Size;
use mouthpiece::stage::audio::file::SoundFile;
use mouthpiece::stage::encode::{Config, H264, Opus};
use mouthpiece::stage::write::{Error, Left, Mp4Writer};
use tempfile::TempDir;

const SIZE: Size = Size {
    width: 160,
    height: 128,
};
/// Frame of the flash, and sample of the click, counted from the recording's start.
const FLASH: u32 = 40;
const CLICK: usize = FLASH as usize * SOUND_SAMPLES;

/// The packets of a stream from `first` on, in the order of the live path:
/// sound runs three frames ahead of the pictures.
fn stream(first: u32, frames: u32) -> Vec<Packet> {
    let mut h264 = H264::new(&Config::default(), SIZE).expect("openh264 is built in");
    let mut opus = Opus::new(&Config::default()).expect("libopus is built in");
    let packet = |codec, pts, key, data| Packet {
        codec,
        pts,
        key,
        accepted: None,
        data,
    };
    let mut pictures = (0..frames).map(|n| {
        let luma = if n == FLASH { 230 } else { 40 + n as u8 % 8 };
        let mut i420 = vec![128; SIZE.i420_bytes()];
        i420[..SIZE.width * SIZE.height].fill(luma);
        let pts = FRAME_PERIOD * (first + n);
        let encoded = h264.encode(&i420, pts, false).expect("a good picture");
        packet(Codec::H264, pts, encoded.key, encoded.data)
    });
    let mut packets = Vec::new();
    for n in 0..frames {
        let sound = std::array::from_fn(|at| {
            let at = n as usize * SOUND_SAMPLES + at;
            let tone = (at as f32 * 0.2).sin();
            if (CLICK..CLICK + 480).contains(&at) {
                tone
            } else {
                0.0
            }
        });
        let pts = FRAME_PERIOD * (first + n);
        let [one, two] = opus.encode(&sound).expect("good sound");
        packets.push(packet(Codec::Opus, pts, true, one));
        packets.push(packet(Codec::Opus, pts + FRAME_PERIOD / 2, true, two));
        packets.extend((n >= 3).then(|| pictures.next()).flatten());
    }
    packets.extend(pictures);
    packets
}

struct Recording {
    _folder: TempDir,
    path: PathBuf,
    writer: Mp4Writer,
}

fn recording() -> Recording {
    let folder = tempfile::tempdir().expect("a place for temporary files");
    let path = folder.path().join("show.mp4");
    let pre_skip = Opus::new(&Config::default())
        .expect("libopus is built in")
        .pre_skip();
    let writer = Mp4Writer::create(&path, SIZE, Some(pre_skip)).expect("the folder is ours");
    Recording {
        _folder: folder,
        path,
        writer,
    }
}

/// What a program of ffmpeg's says about `path`, or `None` without the program.
fn ask(program: &str, path: &Path, before: &str, after: &str) -> Option<Vec<u8>> {
    let output = Command::new(program)
        .args(["-v", "error"])
        .args(before.split_whitespace())
        .args(["-i".as_ref(), path.as_os_str()])
        .args(after.split_whitespace())
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: recordings are read by {program}, which is not on PATH");
        return None;
    };
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(complaints, "", "{program} on {}", path.display());
    Some(output.stdout)
}

fn probe(path: &Path) -> Option<serde_json::Value> {
    let json = ask(
        "ffprobe",
        path,
        "-of json -count_packets -show_format -show_streams",
        "",
    )?;
    Some(serde_json::from_slice(&json).expect("ffprobe writes JSON"))
}

fn seconds(value: &serde_json::Value) -> f64 {
    let text = value.as_str().expect("ffprobe writes numbers as text");
    text.parse().expect("a number")
}

#[test]
fn a_recording_has_every_frame_and_all_sound() {
    let mut recording = recording();
    for packet in stream(75, 130) {
        recording.writer.write(&packet).expect("there is room");
    }
    recording.writer.finish().expect("there is room");
    let Some(found) = probe(&recording.path) else {
        return;
    };
    let (picture, sound) = (&found["streams"][0], &found["streams"][1]);
    assert_eq!(picture["codec_name"], "h264");
    assert_eq!(picture["profile"], "Constrained Baseline");
    assert_eq!(
        (&picture["width"], &picture["height"]),
        (&160.into(), &128.into())
    );
    assert_eq!(picture["color_space"], "smpte170m");
    assert_eq!(picture["color_range"], "tv");
    assert_eq!(picture["r_frame_rate"], "25/1");
    assert_eq!(picture["nb_read_packets"], "130");
    assert_eq!(sound["codec_name"], "opus");
    assert_eq!(
        (&sound["sample_rate"], &sound["channels"]),
        (&"48000".into(), &1.into())
    );
    assert_eq!(sound["nb_read_packets"], "260");
    assert_eq!(seconds(&picture["start_time"]), 0.0);
    // The decoder's first 312 samples, which nobody hears, come before.
    assert_eq!(seconds(&sound["start_time"]), -0.0065);
    assert!((seconds(&found["format"]["duration"]) - 5.2).abs() < 0.01);
    assert!((seconds(&picture["duration"]) - 5.2).abs() < 0.001);
    assert!((seconds(&sound["duration"]) - 5.2).abs() < 0.01);
}

#[test]
fn the_click_is_on_the_flash() {
    let mut recording = recording();
    for packet in stream(1_000, 100) {
        recording.writer.write(&packet).expect("there is room");
    }
    recording.writer.finish().expect("there is room");
    let Some(pictures) = ask("ffmpeg", &recording.path, "", "-map 0:v -f rawvideo -") else {
        return;
    };
    let means = pictures
        .chunks(SIZE.i420_bytes())
        .map(|i420| u32::from(i420[9_000]));
    let means: Vec<u32> = means.collect();
    assert_eq!(means.len(), 100);
    assert!(means[FLASH as usize] > 200 && means[FLASH as usize - 1] < 100);
    let sound = ask("ffmpeg", &recording.path, "", "-map 0:a -f f32le -").expect("as before");
    let (samples, _) = sound.as_chunks();
    let click = samples
        .iter()
        .position(|bytes| f32::from_le_bytes(*bytes).abs() > 0.3)
        .expect("the click is loud");
    // What comes first sounds first: pre-skip takes away what Opus adds.
    assert!(click.abs_diff(CLICK) < 96, "{click}, not {CLICK}");
}

#[test]
fn a_recording_is_heard_from_its_first_sample() {
    let mut recording = recording();
    for packet in stream(0, 100) {
        recording.writer.write(&packet).expect("there is room");
    }
    recording.writer.finish().expect("there is room");
    let mut sound = SoundFile::open(&recording.path).expect("it has sound");
    let mut chunk = AudioChunk::SILENCE;
    let mut heard = Vec::new();
    while sound.next(&mut chunk).expect("it is whole") {
        heard.extend(chunk.sound);
    }
    let click = heard.iter().position(|sample| sample.abs() > 0.3);
    let click = click.expect("the click is loud");
    assert!(click.abs_diff(CLICK) < 96, "{click}, not {CLICK}");
}

/// The packets' times in seconds of a track, `v` or `a`.
fn times(path: &Path, track: &str) -> Option<Vec<f64>> {
    let entries = format!("-of csv=p=0 -select_streams {track} -show_entries packet=pts_time");
    let text = ask("ffprobe", path, &entries, "")?;
    let text = String::from_utf8(text).expect("ffprobe writes text");
    let times = text.lines().map(|line| line.trim_end_matches(','));
    Some(times.filter_map(|time| time.parse().ok()).collect())
}

#[test]
fn a_recording_that_was_cut_off_goes_on() {
    let Recording {
        _folder,
        path,
        mut writer,
    } = recording();
    writer = writer.noted("what it is".into());
    for packet in stream(0, 180) {
        writer.write(&packet).expect("there is room");
    }
    drop(writer);
    let mut file = OpenOptions::new()
        .append(true)
        .open(&path)
        .expect("it is there");
    // The system went down in the middle of a fragment.
    file.write_all(b"\0\x01\0\0moof and no more")
        .expect("there is room");
    let left = Left::find(&path)
        .expect("it is ours")
        .expect("it was begun");
    assert_eq!((left.note(), left.finished()), (Some("what it is"), false));
    assert_eq!(left.size(), SIZE);
    // Six seconds of sound, and the pictures that had come by then.
    let end = left.end();
    assert_eq!(end, FRAME_PERIOD * 145);
    let mut writer = Mp4Writer::resume(&path, left).expect("it may be written to");
    // What comes again of what is there is left out.
    for packet in stream(145, 55) {
        writer.write(&packet).expect("there is room");
    }
    writer.finish().expect("there is room");
    let left = Left::find(&path).expect("it is ours").expect("it is there");
    assert!(left.finished());
    assert_eq!(left.end(), FRAME_PERIOD * 200);
    let (Some(pictures), Some(sound)) = (times(&path, "v"), times(&path, "a")) else {
        return;
    };
    assert_eq!((pictures.len(), sound.len()), (200, 400));
    let even = |times: &[f64], step: f64| {
        times
            .windows(2)
            .all(|pair| (pair[1] - pair[0] - step).abs() < 1e-4)
    };
    assert!(even(&pictures, 0.04) && even(&sound, 0.02));
}

#[test]
fn what_is_no_recording_of_ours_does_not_go_on() {
    let folder = tempfile::tempdir().expect("a place for temporary files");
    let path = folder.path().join("show.mp4");
    assert!(Left::find(&path).expect("nothing is there").is_none());
    fs::write(&path, b"").expect("there is room");
    assert!(Left::find(&path).expect("nothing is in it").is_none());
    for bytes in [&b"RIFF and so on"[..], b"\0\0\0\x10ftypisom\0\0\0\0"] {
        fs::write(&path, bytes).expect("there is room");
        assert!(matches!(Left::find(&path), Err(Error::Foreign { .. })));
    }
    let ava = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/avatars/ava/idle.mp4");
    assert!(matches!(Left::find(&ava), Err(Error::Foreign { .. })));
}

#[test]
fn frames_that_were_lost_leave_their_time_behind() {
    let mut recording = recording();
    for packet in stream(0, 200) {
        let frame = packet.pts.as_millis() / 40;
        // One gap within a fragment, and one over the end of one.
        let lost = [60..65, 95..120].iter().any(|gap| gap.contains(&frame));
        if packet.codec == Codec::Opus || !lost {
            recording.writer.write(&packet).expect("there is room");
        }
    }
    recording.writer.finish().expect("there is room");
    let entries = "-of csv=p=0 -select_streams v -show_entries packet=pts_time";
    let Some(times) = ask("ffprobe", &recording.path, entries, "") else {
        return;
    };
    let times = String::from_utf8(times).expect("ffprobe writes text");
    let frames: Vec<u32> = times
        .lines()
        .filter_map(|line| line.trim_end_matches(',').parse::<f64>().ok())
        .map(|at| (at * 25.0).round() as u32)
        .collect();
    let kept: Vec<u32> = (0..60).chain(65..95).chain(120..200).collect();
    assert_eq!(frames, kept);
}

#[test]
fn a_recording_that_was_cut_off_plays_to_its_last_fragment() {
    let Recording {
        _folder,
        path,
        mut writer,
    } = recording();
    for packet in stream(0, 180) {
        writer.write(&packet).expect("there is room");
    }
    drop(writer);
    let length = fs::metadata(&path).expect("it is there").len();
    let Some(found) = probe(&path) else { return };
    // Six seconds of sound, and the pictures that had come by then.
    assert_eq!(found["streams"][0]["nb_read_packets"], "145");
    // The power fails in the middle of a write.
    let file = OpenOptions::new().write(true).open(&path).expect("ours");
    file.set_len(length - 500).expect("ours");
    drop(file);
    let played = Command::new("ffmpeg")
        .args(["-v", "quiet", "-i"])
        .arg(&path)
        .args("-map 0:v -f rawvideo -".split(' '))
        .output()
        .expect("ffprobe was there")
        .stdout;
    assert!(played.len() / SIZE.i420_bytes() >= 100);
}

#[test]
fn what_came_goes_to_the_disk_every_two_seconds() {
    let mut recording = recording();
    let mut sizes = Vec::new();
    for packet in stream(0, 250) {
        recording.writer.write(&packet).expect("there is room");
        let size = recording.writer.bytes();
        if sizes.last() != Some(&size) {
            sizes.push(size);
        }
    }
    // Nothing, the header, and a fragment for every two seconds.
    assert_eq!(sizes.len(), 2 + 5);
    let on_disk = fs::metadata(&recording.path).expect("it is there").len();
    assert_eq!(Some(&on_disk), sizes.last());
}

#[test]
fn sound_without_pictures_is_no_recording() {
    let mut recording = recording();
    for packet in stream(0, 200)
        .iter()
        .filter(|packet| packet.codec == Codec::Opus)
    {
        recording.writer.write(packet).expect("nothing is written");
    }
    let error = recording.writer.finish().expect_err("no key frame came");
    assert!(
        error.to_string().starts_with("nothing was recorded"),
        "{error}"
    );
    assert!(!recording.path.exists());
}

#[test]
fn pictures_that_do_not_belong_are_refused() {
    let mut recording = recording();
    let packets = stream(0, 10);
    for packet in &packets {
        recording.writer.write(packet).expect("there is room");
    }
    let mut other = packets[0].clone();
    other.codec = Codec::Vp8;
    let error = recording.writer.write(&other).expect_err("VP8");
    assert!(
        error.to_string().contains("these pictures are VP8"),
        "{error}"
    );
    let size = Size {
        width: 320,
        height: 240,
    };
    let mut encoder = H264::new(&Config::default(), size).expect("openh264 is built in");
    let pts = Duration::from_secs(9);
    let encoded = encoder
        .encode(&vec![0; size.i420_bytes()], pts, true)
        .expect("good");
    let other = Packet {
        codec: Codec::H264,
        pts,
        key: true,
        accepted: None,
        data: encoded.data,
    };
    let error = recording.writer.write(&other).expect_err("another size");
    assert!(error.to_string().contains("became others"), "{error}");
}

#[test]
fn a_path_that_can_not_be_written_is_named() {
    let path = Path::new("/nowhere/at/all/show.mp4");
    let error = Mp4Writer::create(path, SIZE, Some(312))
        .err()
        .expect("no such folder");
    assert!(
        error.to_string().contains("/nowhere/at/all/show.mp4"),
        "{error}"
    );
    assert!(error.to_string().contains("choose a folder"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_recording_with_a_sentence() {
    let mut writer = Mp4Writer::create(Path::new("/dev/full"), SIZE, Some(312)).expect("it opens");
    let error = stream(0, 10)
        .iter()
        .find_map(|packet| writer.write(packet).err())
        .expect("the header doesn't fit");
    assert!(matches!(error, Error::Full { .. }));
    assert!(error.to_string().contains("free some space"), "{error}");
}
