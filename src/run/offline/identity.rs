//! What a video is made of, as far as it must be the same for it to go on.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Error, Job};
use crate::stage::audio::file;
use crate::stage::write::Left;

/// Bytes of the sound file's beginning and of its end that are looked at.
const LOOKED_AT: u64 = 64 << 10;

/// Noted in the video.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    avatar: String,
    clip: String,
    model: String,
    /// Length of the sound file, and a sum of its beginning and its end.
    sound: (u64, u64),
}

impl Identity {
    /// Of what the sound file `sound` is spoken by.
    ///
    /// # Errors
    ///
    /// When the sound file can't be read.
    pub fn new(avatar: &str, clip: &str, model: &str, sound: &Path) -> Result<Self, Error> {
        Ok(Self {
            avatar: avatar.to_owned(),
            clip: clip.to_owned(),
            model: model.to_owned(),
            sound: fingerprint(sound)?,
        })
    }

    pub(super) fn of(job: &Job<'_>) -> Result<Self, Error> {
        let model = job.library.configured().bundle.id.clone();
        Self::new(&job.avatar.id, job.clip, &model, job.sound)
    }

    pub(super) fn read(note: &str) -> Option<Self> {
        serde_json::from_str(note).ok()
    }

    pub(super) fn note(&self) -> String {
        serde_json::to_string(self).expect("words and numbers are JSON")
    }

    /// In what a video that was begun as `then` is another one.
    pub(super) fn differs(&self, then: &Self) -> Option<String> {
        if self.sound != then.sound {
            Some("it was begun with another sound".into())
        } else if self.avatar != then.avatar {
            Some(format!("it shows {}, and not {}", then.avatar, self.avatar))
        } else if self.clip != then.clip {
            Some(format!(
                "it shows the clip {}, and not {}",
                then.clip, self.clip
            ))
        } else if self.model != then.model {
            Some(format!(
                "its lips are those of the model {}, and not of {}",
                then.model, self.model
            ))
        } else {
            None
        }
    }
}

/// Whether the video at `path` is whole, and made of just this.
pub fn is_whole(path: &Path, identity: &Identity) -> bool {
    let left = Left::find(path).ok().flatten();
    left.is_some_and(|left| {
        left.finished() && left.note().and_then(Identity::read).as_ref() == Some(identity)
    })
}

fn fingerprint(path: &Path) -> Result<(u64, u64), Error> {
    let look = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut bytes = Vec::new();
        (&file).take(LOOKED_AT).read_to_end(&mut bytes)?;
        file.seek(SeekFrom::Start(length.saturating_sub(LOOKED_AT)))?;
        (&file).take(LOOKED_AT).read_to_end(&mut bytes)?;
        // FNV-1a: the same in every version of this program.
        let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Ok((length, sum))
    };
    look().map_err(|error| Error::Audio(file::Error::Read(error)))
}
