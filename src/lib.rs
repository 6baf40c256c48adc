//! Mouthpiece: sound in, a face that speaks it out, in real time.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod avatar;
pub mod config;
pub mod control;
pub mod hub;
pub mod media;
pub mod memory;
pub mod model;
pub mod native;
pub mod pool;
pub mod ring;
pub mod run;
pub mod stage;
pub mod stats;
pub mod toml_error;
