//! Commands that are programs of their own, beside this one. OpenCV's libraries
//! for files and videos bring two hundred others, and 50 MB that a stream has no
//! use for.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;

use crate::Settings;

/// Becomes the program `name`, which gets what was `given`.
pub fn become_program(name: &str, settings: &Settings, given: &[OsString]) -> anyhow::Result<()> {
    let path = std::env::current_exe()?.with_file_name(name);
    let mut program = Command::new(&path);
    program.args(given);
    if let Some(config) = &settings.config {
        program.arg("--config").arg(config);
    }
    for set in &settings.sets {
        program.arg("--set").arg(set);
    }
    let error = program.exec();
    Err(error).with_context(|| {
        format!(
            "cannot start {}: it is built with this program and belongs beside it",
            path.display()
        )
    })
}
