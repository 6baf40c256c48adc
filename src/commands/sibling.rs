//! Commands that are programs of their own, beside this one. OpenCV's libraries
//! for files and videos bring two hundred others, and 50 MB that a stream has no
//! use for.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::Settings;

/// Where the program `name` is.
pub fn path(name: &str) -> std::io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// Becomes the program `name`, which gets what was `given`.
pub fn become_program(name: &str, settings: &Settings, given: &[OsString]) -> anyhow::Result<()> {
    let path = path(name)?;
    let mut program = Command::new(&path);
    let error = program.args(given).args(settings.arguments()).exec();
    Err(error).with_context(|| {
        format!(
            "cannot start {}: it is built with this program and belongs beside it",
            path.display()
        )
    })
}
