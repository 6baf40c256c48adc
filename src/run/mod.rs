//! The runs: the loops that put the stages on threads.

pub mod looped; // a sound file, again and again -> AudioChunk
pub mod speech; // pushed sound files, in order -> AudioChunk
