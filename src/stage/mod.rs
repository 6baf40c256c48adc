//! The stages, in the order of the data.

pub mod encode;
pub mod mel; // AudioChunk -> MelWindow // Frame, AudioChunk -> Packet
