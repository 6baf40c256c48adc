//! The runs: stages on threads, and the loops that read a clock.

// a sound file, again and again -> AudioChunk
pub mod looped;
// pushed sound files, in order -> AudioChunk
pub mod speech;
// the model's network: loaded, shared, unloaded
pub mod library;
// ONNX files -> a model bundle
pub mod adopt;
// sound -> sound with its picture, without a clock
pub mod renderer;
// what is said next
pub mod script;
// when a frame is due
pub mod pacer;
// one live session's threads
pub mod session;
// its two loops
mod live;
// all of them
pub mod sessions;
// a file to a file
pub mod offline;
// a video or a photo to an avatar
pub mod import;
// the window's process
pub mod preview;
// what a configuration needs
pub mod needs;
// the memory budget
pub mod watchdog;
