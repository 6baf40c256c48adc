//! The HTTP API: one file a resource.

pub mod auth;
pub mod problem;
pub mod whep;
