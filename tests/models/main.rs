//! Models of every family, on stand-ins with random weights: what the networks
//! see, hear and draw against `reference.py`, and the library that holds them.
//!
//! The stand-ins and the reference are made by the Python of the system tests,
//! which `make setup-tests` sets up.

mod files;
mod library;
mod standins;
mod stream;

use std::fs;
use std::path::Path;

use mouthpiece::avatar::Face;
use mouthpiece::media::SPEECH_SAMPLES;
use mouthpiece::model::Bundle;
use mouthpiece::pool::Size;
use mouthpiece::run::library::load;
use mouthpiece::stage::compose::Compositor;
use mouthpiece::stage::lipsync::Mouth;
use mouthpiece::stage::mel::Ear;

use standins::{floats, made, runtime};

/// As `reference.py` has them.
const SIZE: Size = Size {
    width: 480,
    height: 432,
};
const FACE: Face = Face {
    eyes: [238.3, 100.4],
    mouth: [243.9, 272.2],
};
const START: u64 = 13;
const LAST: u64 = 22;

/// Largest difference of two lists that should be the same.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let each = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    each.fold(0.0, f32::max)
}

/// Streams the sound through the bundle in `case` and compares.
fn compare(case: &Path) {
    let name = case.file_name().expect("a name").to_string_lossy();
    let bundle = Bundle::open(case).expect("a bundle");
    let manifest = &bundle.manifest;
    let network = load(&bundle, &runtime()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut mouth = Mouth::new(&network).expect("tensors");
    let mut compositor = Compositor::new(SIZE, network.size(), manifest);
    let mut ear = Ear::new(manifest);
    let sound = floats(&made().join("sound.f32"));
    let picture = fs::read(made().join("picture.i420")).expect("a picture");
    let (chunks, _) = sound.as_chunks::<SPEECH_SAMPLES>();
    let mut chunks = chunks.iter();
    // As a session has it: no chunk more than the model is said to want.
    let depth = ((manifest.look_ahead_ms - 40.0) / 40.0).ceil() as usize;
    (0..depth).for_each(|_| ear.push(chunks.next().expect("sound")));
    for frame in 0..=LAST {
        ear.push(chunks.next().expect("sound"));
        if frame < START {
            continue;
        }
        compositor.crop(&picture, FACE, mouth.reference_mut());
        let drawn = mouth.run(frame, |n, window| ear.window(n, window));
        assert!(drawn.expect("runs"), "{name}: all was heard by {frame}");
        let Ok(wanted) = fs::read(case.join(format!("drawn-{frame}.i420"))) else {
            continue;
        };
        let (reference, out) = mouth.pictures();
        let seen = floats(&case.join(format!("seen-{frame}.f32")));
        let (first, second) = seen.split_at(seen.len() / 2);
        let whole = match name.starts_with("wav2lip") {
            true => second,
            false => first,
        };
        assert!(difference(reference, whole) < 2e-5, "{name}: what it sees");
        let given = floats(&case.join(format!("out-{frame}.f32")));
        let off = difference(out, &given);
        assert!(off < 2e-3, "{name}: frame {frame} is off by {off}");
        let mut picture = picture.clone();
        compositor.draw(&mut picture, FACE, mouth.pictures(), 1.0);
        let pixels = picture.iter().zip(&wanted).map(|(a, b)| a.abs_diff(*b));
        let off = pixels.max().expect("pixels");
        assert!(off <= 1, "{name}: a pixel of {frame} is off by {off}");
    }
}

#[test]
fn every_family_sees_hears_and_draws_as_its_published_code() {
    let mut cases: Vec<_> = fs::read_dir(made().join("cases"))
        .expect("cases")
        .map(|entry| entry.expect("a case").path())
        .collect();
    cases.sort();
    assert_eq!(cases.len(), 13);
    cases.iter().for_each(|case| compare(case));
}
