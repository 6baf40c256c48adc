//! `mouthpiece sync`: how late a video's sound is.

use std::ffi::OsString;

use super::sibling::become_program;
use crate::Settings;

/// The program that measures, beside this one.
const PROGRAM: &str = "mouthpiece-sync";

/// Becomes the program that measures.
pub fn run(settings: &Settings, given: &[OsString]) -> anyhow::Result<()> {
    become_program(PROGRAM, settings, given)
}
