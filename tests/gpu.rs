//! A GPU's memory, as a driver of our own making tells it: this is no machine with one.

use std::path::Path;
use std::process::Command;

use mouthpiece::gpu::{Gpu, Usage};
use mouthpiece::memory::{Config, Level};

#[test]
fn a_gpus_memory_is_that_of_the_first_one_that_may_be_used_and_ours_is_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let library = folder.path().join("libnvidia-ml.so.1");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gpu/nvml.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.expect("a C compiler: make setup").success());
    let open = |visible| Gpu::of(library.as_os_str(), visible);

    let usage = open(None).and_then(|gpu| gpu.usage()).expect("one GPU");
    let wanted = Usage {
        own_bytes: Some(700 << 20),
        used_bytes: 3_000 << 20,
        total_bytes: 8_000 << 20,
    };
    assert_eq!(usage, wanted);
    assert!(open(Some("0,1")).is_some());
    assert!(open(Some("1")).is_none(), "there is no second one");
    assert!(Gpu::of("no-such-library.so".as_ref(), None).is_none());

    // Nine tenths of it may be taken, and the ladder is the one of main memory.
    let budget = Config::default().gpu_budget(usage.total_bytes);
    assert_eq!(budget >> 20, 7_200);
    let level = |bytes: u64| Level::Normal.next(bytes, budget);
    assert_eq!(level(usage.counted()), Level::Normal);
    assert_eq!(level(6_500 << 20), Level::Hard);
}
