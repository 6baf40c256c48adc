//! Why text isn't spoken, and what to do.

use std::io;

use super::{MOST_TEXT, PATIENCE, VOICE_NAME};
use crate::bounds::OutOfBounds;
use crate::remote;

/// Why text isn't spoken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is turned off.
    #[error(
        "Text can't be spoken here: tts.provider is none, and no text-to-speech is configured. Send a sound file, or set it to espeak, openai or command."
    )]
    Off,
    /// A value is out of its bounds.
    #[error(transparent)]
    Bounds(#[from] OutOfBounds),
    /// No voice is called so.
    #[error(
        "{0:?} can't name a voice: take {VOICE_NAME} letters, digits and _ - + . : at most, the first a letter or digit"
    )]
    Voice(String),
    /// There is no program.
    #[error("tts.provider is command, so set tts.command to a program and its arguments")]
    Command,
    /// The extra fields are no object.
    #[error("tts.extra is no JSON object: {0}")]
    Extra(serde_json::Error),
    /// There is nothing to say.
    #[error("The text has no letter and no digit: there is nothing to say.")]
    Empty,
    /// There is too much to say.
    #[error("The text has {0} characters: send {MOST_TEXT} at most, and the rest after it.")]
    Long(usize),
    /// The program isn't there.
    #[error(
        "There is no {0} here, which makes speech of text. Install it (apt-get install espeak-ng), or set tts.provider to openai or command, with what belongs to it."
    )]
    Missing(String),
    /// The program can't be started.
    #[error("{program} can't be started: {source}.")]
    Start {
        /// Which.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program ended with an error.
    #[error("{program} failed ({status}): {said}")]
    Failed {
        /// Which.
        program: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The first lines of its complaint.
        said: String,
    },
    /// The server isn't there, says no, or breaks off.
    #[error(transparent)]
    Server(#[from] remote::Error),
    /// What came is no sound that is understood.
    #[error("What came as speech {0}: 16-bit WAV or raw samples are understood.")]
    NotSound(String),
    /// It broke off.
    #[error("The speech broke off: {0}.")]
    Broken(String),
    /// Nothing came.
    #[error("No speech came for {} s.", PATIENCE.as_secs())]
    Slow,
}
