//! The stages, in the order of the data.

// text -> the answer to it
pub mod chat;
// text -> samples
pub mod tts;
// device or file -> AudioChunk
pub mod audio;
// AudioChunk -> windows of what a model hears
pub mod mel;
// AudioChunk -> whether somebody speaks
pub mod voice;
// windows + face -> face with another mouth
pub mod lipsync;
// picture + mouth -> Frame
pub mod compose;
// Frame, AudioChunk -> Packet
pub mod encode;
// Frame -> JPEG
pub mod still;
// Packet -> viewers
pub mod send;
// Packet -> file
pub mod write;
