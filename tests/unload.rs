//! A model that is unloaded gives its memory back to the system. A process of its
//! own, since it looks at all of the process's memory.

use std::path::Path;
use std::time::{Duration, Instant};

use mouthpiece::memory::resident;
use mouthpiece::model::Bundle;
use mouthpiece::native;
use mouthpiece::run::library::Library;
use mouthpiece::stage::lipsync::{self, Mouth, Runtime};

/// What may stay, after each of the unloads.
const STAYS: u64 = 5 << 20;

#[test]
fn unloading_gives_memory_back_ten_times_in_a_row() {
    // As the program begins.
    native::limit_arenas(2);
    native::return_large_blocks();
    let runtime = Runtime::load(&lipsync::Config::default()).expect("ONNX Runtime: make setup");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/models/mouthpiece-256-fp32");
    let bundle = || Bundle::open(&folder).expect("the model");
    let turn = || {
        let library = Library::open(bundle(), runtime.clone(), u64::MAX, Instant::now());
        let library = library.expect("it fits");
        let network = library.configured().want(Instant::now()).expect("loaded");
        let mut mouth = Mouth::new(&network).expect("tensors");
        let hears = |_, mel: &mut [f32]| {
            mel.fill(0.0);
            true
        };
        assert!(mouth.run(0, hears).expect("runs"));
        let loaded = resident().expect("Linux tells");
        drop((mouth, network));
        let later = Instant::now() + Duration::from_secs(301);
        assert!(library.unload_idle(later, Duration::from_secs(300)));
        native::trim_allocator();
        (loaded, resident().expect("Linux tells"))
    };
    // ONNX Runtime's code is read from the disk as it is first run, and stays.
    turn();
    let before = resident().expect("Linux tells");
    let turns: Vec<_> = (0..10).map(|_| turn()).collect();
    println!("{before} bytes before; loaded, and after: {turns:?}");
    for (loaded, after) in &turns {
        assert!(
            *loaded > before + STAYS,
            "it takes memory: {before}, {turns:?}"
        );
        assert!(*after < before + STAYS, "before {before}, then {turns:?}");
    }
}
