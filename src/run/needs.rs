//! What a configuration needs: the terms of the memory formula.
//!
//! The constants were read off `/proc/PID/smaps` of a server with `ava` (576×720) and
//! empty caches, on x86-64 with glibc, and rounded up: the sum is to hold, and to be
//! no more than a quarter above what a server that talks really takes
//! (`tests/system/test_memory.py` holds it to both).

use crate::avatar::{Avatar, SPARE};
use crate::memory::Formula;
use crate::run::session::FRAMES;
use crate::stage::send::{PUBLISHER_BYTES, VIEWER_BYTES};

/// The program: 14 MB of its own code, 22 of libraries' (OpenCV's and those that it
/// brings are 15 of them), 10 of tables, stacks and the API's server, 4 that the heap
/// keeps for what each frame takes anew.
const PROGRAM: u64 = 50 << 20;
/// ONNX Runtime's code as far as it is run, 19 MB, and what it keeps for itself.
const RUNTIME: u64 = 20 << 20;
/// What a session takes whatever its pictures' size: stacks, Opus, what it hears
/// with, speech that was decoded ahead.
const SESSION: u64 = 6 << 20;
/// What encodes pictures as H.264, in pictures, and what decodes a clip, in those of
/// its own size: 19 MB for both.
const ENCODER: u64 = 16;
const DECODER: u64 = 16;
/// What encodes them as VP8, while somebody wants that: 14 MB.
const VP8: u64 = 24;

/// The sum for one session of `avatar` with the model `model`, whose networks take so
/// many bytes, and so many viewers.
pub fn formula(budget: u64, avatar: &Avatar, model: (&str, u64), viewers: u32) -> Formula {
    let clips: usize = avatar.clips().map(|(_, clip)| clip.bytes()).sum();
    let (id, bytes) = model;
    Formula::new(budget)
        .with("program", PROGRAM)
        .with("ONNX Runtime", RUNTIME)
        .with(format!("model {id}"), bytes)
        .with(format!("clips of {}", avatar.id), clips as u64)
        .with("session live", session(avatar))
        .with(
            format!("viewers, {viewers} at most,"),
            u64::from(viewers) * VIEWER_BYTES,
        )
}

/// What one more session of `avatar` takes, in bytes, with a voice that is published
/// for it.
pub fn session(avatar: &Avatar) -> u64 {
    SESSION + PUBLISHER_BYTES + VP8 * avatar.size.i420_bytes() as u64 + swap(avatar)
}

/// What an action of `avatar` takes while it plays, in bytes.
pub fn action(avatar: &Avatar) -> u64 {
    (SPARE * avatar.size.i420_bytes()) as u64 + DECODER * avatar.filmed.i420_bytes() as u64
}

/// What a session takes for a moment to show `avatar` instead of another, in bytes:
/// the new one is made ready before the one before goes.
pub fn swap(avatar: &Avatar) -> u64 {
    let pictures = (FRAMES + SPARE) as u64 + ENCODER;
    pictures * avatar.size.i420_bytes() as u64 + DECODER * avatar.filmed.i420_bytes() as u64
}
