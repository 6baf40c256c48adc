//! The stages, in the order of the data. Blank lines keep that order: the
//! formatter sorts what stands together.

/// AudioChunk -> MelWindow
pub mod mel;

/// AudioChunk -> talk, and the mouth's weight
pub mod voice;

/// Frame and AudioChunk -> Packet
pub mod encode;

/// Packet -> file
pub mod write;
