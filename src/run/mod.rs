//! The runs: stages on threads, and the loops that read a clock.

pub mod library; // the model's network: loaded, shared, unloaded
pub mod pacer; // when a frame is due
pub mod renderer; // sound -> sound with its picture, without a clock
