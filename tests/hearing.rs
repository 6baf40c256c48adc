//! What the program hears: the mel against librosa's, and that hearing
//! allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::Path;

use mouthpiece::media::{MEL_BANDS, MEL_STEPS, MelWindow, SPEECH_SAMPLES};
use mouthpiece::stage::mel::Mel;
use mouthpiece::stage::voice::{self, Voice};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is forwarded to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|n| n.set(n.get() + 1));
        // SAFETY: `layout` is the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` and `layout` are the caller's.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// See `tests/mel/reference.py`.
const SOUND: &[u8] = include_bytes!("mel/speech.i16");
const CELLS: &[u8] = include_bytes!("mel/speech.mel");

fn sound() -> Vec<f32> {
    let (samples, _) = SOUND.as_chunks();
    samples
        .iter()
        .map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / 32_768.0)
        .collect()
}

#[test]
fn the_mel_is_that_of_wav2lip() {
    let (cells, _) = CELLS.as_chunks();
    let expected: Vec<f32> = cells
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    let mut mel = Mel::new();
    mel.push(&sound());
    mel.finish();
    assert_eq!(mel.columns() as usize * MEL_BANDS, expected.len());
    let mut window: MelWindow = [[0.0; MEL_STEPS]; MEL_BANDS];
    for first in 0..=mel.columns() as usize - MEL_STEPS {
        assert!(mel.window(first as i64, &mut window));
        for (band, row) in window.iter().enumerate() {
            for (step, cell) in row.iter().enumerate() {
                let wanted = expected[(first + step) * MEL_BANDS + band];
                assert!(
                    (cell - wanted).abs() < 1e-3,
                    "column {}, band {band}: {cell}, but librosa has {wanted}",
                    first + step
                );
            }
        }
    }
}

#[test]
fn hearing_allocates_nothing() {
    let sound = sound();
    let mut window: MelWindow = [[0.0; MEL_STEPS]; MEL_BANDS];
    let mut mel = Mel::new();
    let mut voice = Voice::new(&voice::Config::default());
    let (chunks, _) = sound.as_chunks::<SPEECH_SAMPLES>();
    let before = COUNT.with(Cell::get);
    for chunk in chunks.iter().cycle().take(2_500) {
        mel.push(chunk);
        voice.hear(chunk);
        if mel.columns() > 60 {
            assert!(mel.window(mel.columns() - MEL_STEPS as i64, &mut window));
            mel.rewind(mel.samples() - 320);
        }
    }
    voice.reset();
    assert_eq!(COUNT.with(Cell::get) - before, 0);
}

#[test]
fn a_voice_opens_the_mouth_and_keeps_it_open() {
    let path = Path::new("../shared/data/people/speech-zh.wav");
    let Ok(wav) = fs::read(path) else {
        eprintln!("skipped: there is no {}", path.display());
        return;
    };
    let (samples, _) = wav[44..].as_chunks();
    let mut speech: Vec<f32> = samples
        .iter()
        .map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / 32_768.0)
        .collect();
    speech.resize(speech.len() + 16_000, 0.0);
    let mut voice = Voice::new(&voice::Config::default());
    let (chunks, _) = speech.as_chunks();
    let talk: Vec<bool> = chunks.iter().map(|chunk| voice.hear(chunk)).collect();
    // The first vowel begins at 0.12 s, the last one ends at 7.4 s.
    assert!(!talk[1] && talk[4..184].iter().all(|open| *open));
    assert!(!talk[talk.len() - 1]);
}
