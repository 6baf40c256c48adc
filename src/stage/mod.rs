//! The stages, in the order of the data.

pub mod compose;
pub mod lipsync; // MelWindow + face -> face with another mouth // picture + mouth -> Frame
