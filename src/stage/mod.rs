//! The stages, in the order of the data.

pub mod send; // Packet -> Viewer
