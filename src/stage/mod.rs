//! The stages, in the order of the data.

pub mod mel; // AudioChunk -> MelWindow

pub mod lipsync; // MelWindow + face -> face with another mouth

pub mod compose; // picture + mouth -> Frame

pub mod encode; // Frame, AudioChunk -> Packet
