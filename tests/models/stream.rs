//! Front ends in a stream: every window once, nothing allocated, and other sound
//! in the place of what waited.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;

use mouthpiece::media::SPEECH_SAMPLES;
use mouthpiece::model::{Bundle, Manifest};
use mouthpiece::run::library::load;
use mouthpiece::stage::lipsync::Mouth;
use mouthpiece::stage::mel::{Ear, hears_ahead};

use crate::standins::{case, floats, made, runtime};

const WITH_FRONT_ENDS: [&str; 4] = [
    "ultralight-hubert",
    "hubert-three",
    "feathertalk-144",
    "ultralight-wenet",
];

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Counts what the calling thread allocates.
struct Counting;

// SAFETY: every call is forwarded to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends may have no counter any more.
        let _gone = CALLS.try_with(|n| n.set(n.get() + 1));
        // SAFETY: `layout` is the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` and `layout` are the caller's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn mouth(bundle: &Bundle) -> Mouth {
    let network = load(bundle, &runtime()).expect("it fits");
    let mut mouth = Mouth::new(&network).expect("tensors");
    mouth.reference_mut().fill(0.4);
    mouth
}

/// Sound in chunks, again and again.
fn chunks() -> impl Iterator<Item = [f32; SPEECH_SAMPLES]> {
    let sound = floats(&made().join("sound.f32"));
    let whole = |chunk: &[f32]| chunk.try_into().expect("640 samples");
    let chunks: Vec<_> = sound.chunks_exact(SPEECH_SAMPLES).map(whole).collect();
    chunks.into_iter().cycle()
}

fn depth(manifest: &Manifest) -> usize {
    ((manifest.look_ahead_ms - 40.0) / 40.0).ceil() as usize
}

#[test]
fn no_window_is_computed_twice() {
    for name in WITH_FRONT_ENDS {
        let bundle = case(name);
        let (mut mouth, mut ear) = (mouth(&bundle), Ear::new(&bundle.manifest));
        let mut chunks = chunks();
        (0..depth(&bundle.manifest)).for_each(|_| ear.push(&chunks.next().expect("sound")));
        let mut asked = BTreeMap::new();
        for frame in 0..100 {
            ear.push(&chunks.next().expect("sound"));
            let hears = |n, window: &mut [f32]| {
                *asked.entry(n).or_insert(0) += 1;
                ear.window(n, window)
            };
            assert!(mouth.run(frame, hears).expect("runs"), "{name}: {frame}");
        }
        assert!(asked.values().all(|times| *times == 1), "{name}: {asked:?}");
        assert!(asked.keys().copied().eq(0..asked.len() as u64), "{name}");
    }
}

#[test]
fn other_sound_takes_the_place_of_what_waited() {
    for name in WITH_FRONT_ENDS {
        let bundle = case(name);
        let depth = depth(&bundle.manifest);
        let all: Vec<_> = chunks().take(200).collect();
        let mut outputs = Vec::new();
        for interrupted in [false, true] {
            let (mut mouth, mut ear) = (mouth(&bundle), Ear::new(&bundle.manifest));
            all[..depth].iter().for_each(|chunk| ear.push(chunk));
            for frame in 0..60 {
                if frame == 30 && interrupted {
                    // What waits is replaced by noise, and that by what waited.
                    for _ in 0..2 {
                        ear.rewind(30 * SPEECH_SAMPLES as u64);
                        mouth.forget(30);
                        (0..depth).for_each(|_| ear.push(&[0.7; SPEECH_SAMPLES]));
                    }
                    ear.rewind(30 * SPEECH_SAMPLES as u64);
                    mouth.forget(30);
                    all[30..30 + depth].iter().for_each(|chunk| ear.push(chunk));
                }
                ear.push(&all[frame + depth]);
                let hears = |n, window: &mut [f32]| ear.window(n, window);
                assert!(mouth.run(frame as u64, hears).expect("runs"), "{name}");
            }
            outputs.push(mouth.pictures().1.to_vec());
        }
        assert_eq!(outputs[0], outputs[1], "{name}");
    }
}

#[test]
fn once_warm_a_frame_allocates_no_more_than_its_runs() {
    // ONNX Runtime's binding allocates a little on every run; see tests/no_alloc.rs.
    const A_RUN: u64 = 3;
    for name in WITH_FRONT_ENDS {
        let bundle = case(name);
        let (mut mouth, mut ear) = (mouth(&bundle), Ear::new(&bundle.manifest));
        let mut chunks = chunks();
        (0..depth(&bundle.manifest)).for_each(|_| ear.push(&chunks.next().expect("sound")));
        for frame in 0..120 {
            let chunk = chunks.next().expect("sound");
            let (before, mut runs) = (CALLS.get(), 1);
            ear.push(&chunk);
            let hears = |n, window: &mut [f32]| {
                runs += 1;
                ear.window(n, window)
            };
            assert!(mouth.run(frame, hears).expect("runs"));
            let allocated = CALLS.get() - before;
            assert!(
                frame < 20 || allocated <= runs * A_RUN,
                "{name}: {allocated} allocations in {runs} runs"
            );
        }
    }
}

#[test]
fn a_look_ahead_that_is_too_short_is_refused_with_the_true_one() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, least) in [
        ("wav2lip-96", 213),
        ("ultralight-hubert", 325),
        ("hubert-three", 285),
        ("feathertalk-144", 565),
        ("ultralight-wenet", 515),
    ] {
        let whole = case(name);
        let needs = hears_ahead(&whole.manifest).as_secs_f64() * 1e3;
        assert_eq!(needs.ceil() as i64, least, "{name}");
        let to = folder.path().join(name);
        fs::create_dir(&to).expect("a folder");
        for file in whole.networks() {
            fs::copy(file, to.join(file.file_name().expect("a name"))).expect("copied");
        }
        let manifest = Manifest {
            look_ahead_ms: (least - 1) as f64,
            ..whole.manifest
        };
        let text = toml::to_string(&manifest).expect("TOML");
        fs::write(to.join("model.toml"), text).expect("written");
        let bundle = Bundle::open(&to).expect("a bundle");
        let error = load(&bundle, &runtime()).err().expect("refused");
        let text = error.to_string();
        assert!(text.contains(&format!("set it to {least}")), "{text}");
    }
}
