//! The stages, in the order of the data.

pub mod encode; // Frame, AudioChunk -> Packet
pub mod mel;
pub mod voice;
pub mod write; // Packet -> file // AudioChunk -> talk, and the mouth's weight // AudioChunk -> MelWindow // Frame, AudioChunk -> Packet
