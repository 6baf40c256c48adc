//! The stages, in the order of the data.

pub mod audio; // device or file -> AudioChunk
