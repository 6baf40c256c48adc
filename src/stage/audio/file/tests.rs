use super::*;
use std::f32::consts::TAU;
use std::io::Write;
use std::process::Command;

use crate::media::SOUND_SAMPLES;

/// A WAV file of a 440 Hz sine, 16 bits, that claims `claimed` bytes of sound.
fn wav(rate: u32, channels: u16, frames: u32, claimed: Option<u32>) -> Vec<u8> {
    let bytes = frames * u32::from(channels) * 2;
    let claimed = claimed.unwrap_or(bytes);
    let mut wav = Vec::new();
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&claimed.saturating_add(36).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0");
    wav.extend_from_slice(&channels.to_le_bytes());
    wav.extend_from_slice(&rate.to_le_bytes());
    wav.extend_from_slice(&rate.wrapping_mul(u32::from(channels) * 2).to_le_bytes());
    wav.extend_from_slice(&(channels * 2).to_le_bytes());
    wav.extend_from_slice(b"\x10\0data");
    wav.extend_from_slice(&claimed.to_le_bytes());
    for n in 0..frames {
        let value = (TAU * 440.0 * n as f32 / rate as f32).sin() * 16_000.0;
        for _ in 0..channels {
            wav.extend_from_slice(&(value as i16).to_le_bytes());
        }
    }
    wav
}

fn on_disk(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).expect("room on the disk");
    file
}

fn open(bytes: &[u8]) -> Result<SoundFile, Error> {
    SoundFile::from_file(on_disk(bytes), None)
}

fn play(file: &mut SoundFile) -> Result<Vec<AudioChunk>, Error> {
    let mut chunk = AudioChunk::SILENCE;
    let mut chunks = Vec::new();
    while file.next(&mut chunk)? {
        chunks.push(chunk);
    }
    assert!(!file.next(&mut chunk)?, "an end is an end");
    Ok(chunks)
}

fn refusal(bytes: &[u8]) -> String {
    open(bytes).err().expect("this must be refused").to_string()
}

/// The frequency in `chunks`, by its rising edges, leaving out the ends.
fn hz(chunks: &[AudioChunk]) -> f64 {
    let sound: Vec<f32> = chunks[3..chunks.len() - 3]
        .iter()
        .flat_map(|c| c.sound)
        .collect();
    let edges = sound
        .windows(2)
        .filter(|w| w[0] < 0.0 && w[1] >= 0.0)
        .count();
    edges as f64 * 48_000.0 / sound.len() as f64
}

/// `seconds` of a sine as ffmpeg writes it with `arguments`; `None` where
/// this machine has no ffmpeg.
fn by_ffmpeg(seconds: &str, arguments: &[&str], suffix: &str) -> Option<Vec<u8>> {
    let out = tempfile::Builder::new()
        .suffix(suffix)
        .tempfile()
        .expect("a file");
    let sine = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-f", "lavfi", "-i", &sine])
        .args(arguments)
        .arg(out.path())
        .status();
    match done {
        Ok(status) => assert!(status.success(), "ffmpeg {arguments:?}"),
        Err(_) => {
            eprintln!("skipped: no ffmpeg here");
            return None;
        }
    }
    Some(std::fs::read(out.path()).expect("ffmpeg wrote it"))
}

#[test]
fn a_wav_file_of_any_rate_plays_whole() {
    for (rate, channels) in [(8_000, 1), (22_050, 2), (44_100, 6), (192_000, 1)] {
        let mut file = open(&wav(rate, channels, rate * 2, None)).expect("a sound file");
        assert_eq!(file.duration(), Some(Duration::from_secs(2)));
        let chunks = play(&mut file).expect("sound");
        assert_eq!(chunks.len(), 50, "{rate} Hz");
        assert!((hz(&chunks) - 440.0).abs() < 2.0, "{} Hz", hz(&chunks));
    }
}

#[test]
fn every_common_format_plays() {
    let formats: [(&[&str], &str); 14] = [
        (&["-c:a", "pcm_s24le"], ".wav"),
        (&["-c:a", "pcm_f32le", "-ac", "2"], ".wav"),
        (&["-c:a", "pcm_u8", "-ar", "8000"], ".wav"),
        (&["-c:a", "flac", "-ar", "44100"], ".flac"),
        (&["-c:a", "libmp3lame", "-ar", "22050"], ".mp3"),
        (&["-c:a", "libmp3lame", "-write_xing", "0"], ".mp3"),
        (&["-c:a", "libvorbis", "-ac", "2"], ".ogg"),
        (&["-c:a", "libopus"], ".ogg"),
        (&["-c:a", "libopus", "-ac", "2"], ".webm"),
        (&["-c:a", "libopus", "-live", "1"], ".webm"),
        (&["-c:a", "aac", "-ar", "44100"], ".m4a"),
        (
            &["-c:a", "aac", "-movflags", "faststart", "-ac", "2"],
            ".m4a",
        ),
        (&["-c:a", "alac"], ".m4a"),
        (&["-c:a", "pcm_s16be"], ".aiff"),
    ];
    for (arguments, suffix) in formats {
        let Some(bytes) = by_ffmpeg("3", arguments, suffix) else {
            return;
        };
        let mut file = open(&bytes).unwrap_or_else(|e| panic!("{arguments:?}: {e}"));
        let claimed = file.duration();
        let measured = file.measure().expect("it can be read");
        let chunks = play(&mut file).expect("sound");
        let heard = Duration::from_millis(40) * chunks.len() as u32;
        eprintln!("{suffix} {arguments:?}: {claimed:?} {measured:?} {heard:?}");
        for length in [measured, heard] {
            let off = length.as_secs_f64() - 3.0;
            assert!(off.abs() < 0.1, "{arguments:?}: {length:?}");
        }
        assert!(
            (hz(&chunks) - 440.0).abs() < 3.0,
            "{arguments:?}: {}",
            hz(&chunks)
        );
    }
}

#[test]
fn a_file_whose_header_lies_is_measured_by_what_is_there() {
    for claimed in [u32::MAX, 400_000_000, 0] {
        let bytes = wav(16_000, 1, 32_000, Some(claimed));
        let Ok(mut file) = open(&bytes) else {
            assert_eq!(claimed, 0, "only a file that says it is empty is refused");
            continue;
        };
        let duration = file.measure().expect("measured").as_secs_f64();
        assert!((duration - 2.0).abs() < 0.05, "{claimed}: {duration}");
        assert_eq!(play(&mut file).expect("sound").len(), 50);
    }
}

#[test]
fn a_loop_has_no_gap() {
    // 441 periods in a second: the sine goes on over the seam.
    let mut file = open(&wav(44_100, 1, 44_100 + 11_025, None))
        .expect("sound")
        .looped();
    let mut chunk = AudioChunk::SILENCE;
    let mut sound = Vec::new();
    for _ in 0..250 {
        assert!(file.next(&mut chunk).expect("sound"), "a loop never ends");
        sound.extend_from_slice(&chunk.sound);
    }
    assert_eq!(sound.len(), 250 * SOUND_SAMPLES);
    // 1.25 s hold 550 periods, so a gap would show as a step or as silence.
    let step = sound
        .windows(2)
        .map(|w| (w[1] - w[0]).abs())
        .fold(0.0, f32::max);
    assert!(step < 0.03, "{step}");
}

#[test]
fn rewound_it_begins_anew_wherever_it_was() {
    let mut file = open(&wav(44_100, 2, 44_100, None)).expect("sound");
    let whole = play(&mut file).expect("sound");
    for chunks in [0, 1, 7, whole.len()] {
        file.rewind().expect("it is there");
        let mut chunk = AudioChunk::SILENCE;
        for _ in 0..chunks {
            assert!(file.next(&mut chunk).expect("sound"));
        }
        file.rewind().expect("it is there");
        assert!(play(&mut file).expect("sound") == whole, "after {chunks}");
    }
}

#[test]
fn what_is_no_sound_is_refused_in_a_sentence() {
    assert_eq!(refusal(b""), "the sound file is empty");
    let text = "Hello, this is text and no sound at all.\n".repeat(1_000);
    assert!(refusal(text.as_bytes()).contains("send WAV"));
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02".to_vec();
    png.resize(5_000, 7);
    assert!(refusal(&png).contains("send WAV"));
    for (rate, channels) in [(0, 1), (3, 1), (4_000_000_000, 1), (48_000, 0)] {
        let refusal = refusal(&wav(rate, channels, 1_000, Some(2_000)));
        assert!(!refusal.is_empty(), "{rate} × {channels}: {refusal}");
    }
    assert!(refusal(&wav(48_000, 1, 0, None)).contains("damaged"));
    let missing = SoundFile::open(Path::new("no/such/file.wav"))
        .err()
        .expect("missing");
    assert_eq!(
        missing.to_string(),
        "cannot open the sound file no/such/file.wav"
    );
    assert!(SoundFile::open(Path::new(".")).is_err());
}

#[test]
fn a_video_without_sound_is_refused() {
    let arguments = [
        "-f",
        "lavfi",
        "-i",
        "color=size=64x64:duration=1",
        "-an",
        "-map",
        "1:v",
    ];
    if let Some(bytes) = by_ffmpeg("1", &arguments, ".mp4") {
        assert_eq!(refusal(&bytes), "the file has no sound track");
    }
}

#[test]
fn a_truncated_file_plays_what_is_there() {
    let mut files = vec![wav(16_000, 1, 48_000, None)];
    for (codec, suffix) in [
        ("flac", ".flac"),
        ("libmp3lame", ".mp3"),
        ("libvorbis", ".ogg"),
        ("libopus", ".ogg"),
        ("aac", ".m4a"),
    ] {
        files.extend(by_ffmpeg("3", &["-c:a", codec], suffix));
    }
    for (n, bytes) in files.iter().enumerate() {
        let mut played = Vec::new();
        for sevenths in 0..=7 {
            let cut = &bytes[..bytes.len() * sevenths / 7];
            let chunks = open(cut).and_then(|mut file| {
                let _measured = file.measure();
                play(&mut file)
            });
            played.push(chunks.map_or(0, |chunks| chunks.len()));
        }
        assert!(played.is_sorted(), "file {n}: {played:?}");
        assert!(played[7] >= 74, "file {n}: {played:?}");
        // A page of Ogg holds a second; an M4A that is cut off has lost
        // its table of contents.
        assert!(n == 5 || played[6] >= 25, "file {n}: {played:?}");
    }
}

#[test]
fn damage_costs_the_damaged_part_and_random_bytes_cost_nothing() {
    let mut state = 1_u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    for (codec, suffix) in [
        ("libmp3lame", ".mp3"),
        ("libvorbis", ".ogg"),
        ("aac", ".m4a"),
    ] {
        let Some(mut bytes) = by_ffmpeg("3", &["-c:a", codec], suffix) else {
            break;
        };
        let late = bytes.len() * 3 / 4;
        bytes[late..late + 100].fill_with(&mut random);
        let chunks = open(&bytes).and_then(|mut file| play(&mut file));
        let played = chunks.map_or(0, |chunks| chunks.len());
        assert!(played >= 25, "{codec}: {played}");
    }
    for start in [
        &b""[..],
        b"RIFF\xff\xff\xff\x7fWAVEfmt ",
        b"OggS\0\x02",
        b"fLaC\0",
        b"ID3\x04",
    ] {
        for _ in 0..20 {
            let mut bytes = start.to_vec();
            bytes.resize_with(20_000, &mut random);
            // Whatever it does, it ends, and says so in a sentence.
            if let Err(error) = open(&bytes).and_then(|mut file| play(&mut file)) {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

#[test]
fn a_rate_that_changes_midway_goes_on_in_the_new_rate() {
    let half = |rate| by_ffmpeg("2", &["-c:a", "libvorbis", "-ar", rate], ".ogg");
    let (Some(mut bytes), Some(second)) = (half("48000"), half("22050")) else {
        return;
    };
    bytes.extend(second);
    let chunks = open(&bytes).and_then(|mut file| play(&mut file));
    let chunks = chunks.expect("sound");
    assert!((99..=102).contains(&chunks.len()), "{}", chunks.len());
    for half in [&chunks[..50], &chunks[51..]] {
        assert!((hz(half) - 440.0).abs() < 3.0, "{}", hz(half));
    }
}
