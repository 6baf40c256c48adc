//! The runs: stages on threads, and the loops that read a clock.

// a sound file, again and again -> AudioChunk
pub mod looped;
// pushed sound files, in order -> AudioChunk
pub mod speech;
// text, spoken while it is made
pub mod say;
// text, answered, and the answer spoken while it is written
pub mod chat;
// what was asked, and what was really said
pub mod history;
// the models' networks: loaded, shared, unloaded
pub mod library;
// the avatars: opened, shared
pub mod avatars;
// where bundles are made
pub mod aside;
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
// whether one more fits
pub mod admission;
// all of them
pub mod sessions;
// what is sent, into files
pub mod recordings;
// a file to a file
pub mod offline;
// many of them, each in its process
pub mod jobs;
// a video or a photo to an avatar
pub mod import;
// what is uploaded, imported one after the other
pub mod imports;
// what lies in the folder of assets, and its end
pub mod bundles;
// how late a video's sound is
pub mod sync;
// the window's process
pub mod preview;
// the proof that memory holds
pub mod soak;
// what a configuration needs
pub mod needs;
// the memory budget
pub mod watchdog;
