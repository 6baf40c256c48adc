//! From the device's callback to the encoder's input nothing is allocated by
//! our code once it is warm. ONNX Runtime's binding allocates a little on every
//! run of a network; that is measured alone and must explain everything.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use mouthpiece::avatar::Avatar;
use mouthpiece::events::Event;
use mouthpiece::media::{AudioChunk, FRAME_PERIOD};
use mouthpiece::model::Bundle;
use mouthpiece::pool::{Frame, FramePool};
use mouthpiece::ring::{Next, ring};
use mouthpiece::run::library::Library;
use mouthpiece::run::renderer::{Action, Renderer, When};
use mouthpiece::run::script::Script;
use mouthpiece::run::speech::{self, Speech};
use mouthpiece::stage::audio::file::SoundFile;
use mouthpiece::stage::lipsync::{self, Mouth, Runtime};
use mouthpiece::stage::voice;
use mouthpiece::stats::Stats;

/// Calls of the allocator, by any thread.
static CALLS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call is forwarded to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Relaxed);
        // SAFETY: `layout` is the caller's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` and `layout` are the caller's.
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.fetch_add(1, Relaxed);
        // SAFETY: all three are the caller's.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = CALLS.load(Relaxed);
    work();
    CALLS.load(Relaxed) - before
}

/// Frames that are counted, once everything is warm.
const COUNTED: u64 = 300;

#[test]
fn from_the_device_to_the_encoder_nothing_is_allocated() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let now = Instant::now();
    let avatar = Arc::new(Avatar::open(&assets.join("avatars/ava")).expect("the avatar"));
    let runtime = Runtime::load(&lipsync::Config::default()).expect("ONNX Runtime: make setup");
    let bundle = Bundle::open(&assets.join("models/mouthpiece-256")).expect("the model");
    let library = Library::open(bundle, runtime, u64::MAX, now).expect("the model fits");

    let mut mouth = Mouth::new(&library.configured().want(now).expect("loaded")).expect("tensors");
    let silence = |_, mel: &mut [f32]| {
        mel.fill(-4.0);
        true
    };
    let mut bare = |runs: u64| {
        for frame in 0..runs {
            assert!(mouth.run(frame, silence).expect("runs"));
        }
    };
    bare(5);
    let of_the_network = allocations(|| bare(COUNTED));

    // All of the welcome speech's chunks, as a device would give them.
    let mut file = SoundFile::open(&assets.join("speech/welcome.flac")).expect("the speech");
    let mut chunks = Vec::new();
    let mut chunk = AudioChunk::SILENCE;
    while file.next(&mut chunk).expect("decodes") {
        chunks.push(chunk);
    }

    // Without a cache, and with one that takes the whole clip; and while an action
    // plays in its place.
    let kept = avatar.idle().len() * avatar.size.i420_bytes();
    for (cache, acting) in [(0, false), (kept, false), (0, true)] {
        avatar.idle().cache.set_limit(cache);
        let stats = Stats::new();
        let pool = FramePool::new(4, avatar.size);
        let voice = voice::Config::default();
        let model = library.configured();
        let renderer = Renderer::new(&avatar, &model, &voice, pool.clone(), &stats, now);
        let (speech, heard) = Speech::start(&speech::Config::default()).expect("a thread");
        let mut script = Script::new(renderer.expect("made"), speech, heard, None).expect("made");
        if acting {
            let action = Action::new(&avatar, "nod", When::Now, 1_000).expect("a decoder");
            script.act(action.expect("ava nods"));
        }
        let (sound_in, sound_out) = ring::<AudioChunk>(3);
        let (frames_in, frames_out) = ring::<Frame>(2);
        let mut drawn = 0;
        // The clip's decoder has a thread of its own, which is to keep up: where it
        // doesn't, time goes slower.
        let (mut pause, mut inferred) = (Duration::from_millis(4), 0);
        let mut tick = |n: u64| {
            // Without a pause in the speech the network runs on every frame.
            let chunk = chunks[25 + (n % 100) as usize];
            assert!(sound_in.push(chunk).is_none());
            let Next::Item(chunk) = sound_out.next(Duration::ZERO) else {
                panic!("no sound")
            };
            let pts = FRAME_PERIOD * n as u32;
            let played = script.play(now, pts, Some(&chunk), true, |_| {});
            // Far more than ever happens.
            stats.events.post(Event::SpeechStarted { utterance: n });
            if let Some(frame) = played.frame {
                assert!(frames_in.push(frame).is_none());
                let Next::Item(frame) = frames_out.next(Duration::ZERO) else {
                    panic!("no frame")
                };
                assert_eq!(frame.pts, pts);
                drawn += 1;
            }
            let before = std::mem::replace(&mut inferred, stats.lipsync.histogram().1);
            if inferred == before {
                pause = (pause + Duration::from_millis(1)).min(FRAME_PERIOD);
            }
            std::thread::sleep(pause);
        };
        // A picture that came late while all was new is kept the next time round.
        // A whole loop of the clip and a little more.
        let warm = avatar.idle().len() as u64 + 20;
        let mut n = 0;
        while n < warm || (cache > 0 && avatar.idle().cache.bytes() < kept) {
            tick(n);
            n += 1;
        }
        let runs = stats.lipsync.histogram().1;
        let all = allocations(|| {
            for n in n..n + COUNTED {
                tick(n);
            }
        });
        let runs = stats.lipsync.histogram().1 - runs;
        assert!(
            runs > COUNTED / 2,
            "the mouth was drawn: {runs} of {COUNTED}"
        );
        assert_eq!(
            all,
            of_the_network * runs / COUNTED,
            "cache of {cache} bytes, {acting}"
        );
    }
}
