//! Mouthpiece: sound in, a face that speaks it out, in real time.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod control;
pub mod hub;
pub mod media;
pub mod pool;
pub mod ring;
pub mod stage;
pub mod stats;
