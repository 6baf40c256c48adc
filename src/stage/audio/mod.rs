//! Sound in: whatever a device, a file or a publisher has, as chunks of 40 ms at both rates.

mod decode; // a sound file -> samples
pub mod device; // what cpal finds, opened
pub mod door; // any rate, any channels -> AudioChunk
pub mod file; // a sound file -> AudioChunk
pub mod inlet; // AudioChunk -> the session's ring
mod jitter; // packets of a voice, in order and in time
pub mod microphone; // a device, reopened whenever it is lost -> AudioChunk
pub mod publisher; // packets of Opus -> AudioChunk
pub mod tap; // device callback -> capture thread

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Section `[audio]`: what the avatar says when no speech is pushed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where sound comes from.
    pub source: Source,
    /// Which microphone: a part of its name or of its id. Empty: the default one.
    pub device: String,
    /// Path of the file that `source = "file"` loops. Empty: the welcome speech.
    pub file: String,
}

/// Where sound comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The microphone if there is one, else the file.
    #[default]
    Auto,
    /// The microphone, waited for while it is missing.
    Microphone,
    /// A file, looped.
    File,
    /// Nothing: only pushed speech is heard.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_section_is_the_default_and_an_unknown_key_is_refused() {
        assert_eq!(toml::from_str::<Config>(""), Ok(Config::default()));
        let given: Config = toml::from_str("source = 'none'\ndevice = 'USB'").expect("valid");
        assert_eq!((given.source, &*given.device), (Source::None, "USB"));
        assert!(toml::from_str::<Config>("sources = 'none'").is_err());
        assert!(toml::from_str::<Config>("source = 'line-in'").is_err());
    }
}
