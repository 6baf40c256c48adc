//! Once warm, sound comes in without a single allocation: from the callback
//! through the tap, the door and the ring to whoever reads it.

#![allow(unsafe_code)] // A global allocator can't be written without it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

use mouthpiece::media::AudioChunk;
use mouthpiece::ring::{Next, ring};
use mouthpiece::stage::audio::door::Door;
use mouthpiece::stage::audio::tap::tap;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn live_sound_of_any_rate_allocates_nothing_once_warm() {
    for (rate, channels) in [
        (8_000, 1),
        (16_000, 1),
        (44_100, 2),
        (48_000, 2),
        (192_000, 6),
    ] {
        let (mut tap, _alarm, mut feed) = tap("test".into(), rate, channels, &thread::current());
        let mut door = Door::new(rate, channels).expect("a sensible source");
        let (writer, reader) = ring::<AudioChunk>(3);
        let callback = vec![1_000_i16; rate as usize / 66 * channels];
        let mut chunks = 0;
        let mut a_second = || {
            for n in 0..66 {
                tap.push(&callback);
                feed.drain(|samples| {
                    door.push(samples, Some(Instant::now()), |chunk| {
                        let _late = writer.push(*chunk);
                    });
                });
                // Now and then nobody reads, and the ring overflows.
                while n % 20 > 10 && matches!(reader.next(Duration::ZERO), Next::Item(_)) {
                    chunks += 1;
                }
            }
        };
        a_second();
        let before = ALLOCATIONS.get();
        for _ in 0..10 {
            a_second();
        }
        let allocated = ALLOCATIONS.get() - before;
        assert_eq!(allocated, 0, "{rate} Hz × {channels}");
        assert!(chunks > 100, "{chunks} chunks");
    }
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![1_u8; 10]));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}
