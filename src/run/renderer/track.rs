//! A clip as it is played: its pictures, and what is shown when one is late.

use std::io;
use std::sync::Arc;

use super::scene::Reads;
use crate::avatar::{Clip, Face, Picture, Player};

/// A clip that is decoded ahead.
pub(super) struct Track {
    clip: Arc<Clip>,
    player: Player,
    /// What is shown when the decoder is late, and of which frame it is.
    last: Option<(u64, Arc<Picture>)>,
}

/// One picture of a clip.
pub(super) struct Shot {
    pub picture: Arc<Picture>,
    /// Where its face is, if one shows.
    pub face: Option<Face>,
    /// Whether it stands in for one that was not decoded in time.
    pub late: bool,
}

impl Track {
    /// Begins to decode `clip` from its start.
    pub fn start(clip: &Arc<Clip>) -> io::Result<Self> {
        Ok(Self {
            player: Player::start(clip)?,
            clip: Arc::clone(clip),
            last: None,
        })
    }

    /// Frames of the clip.
    pub fn len(&self) -> u64 {
        self.clip.len() as u64
    }

    /// Goes on from `frame`.
    pub fn seek(&self, frame: u64) {
        self.player.seek(frame);
    }

    /// Whether `frame` is decoded. It is kept until it is shown.
    pub fn prepare(&mut self, frame: u64) -> bool {
        if self.last.is_none() {
            let picture = self.player.picture(frame);
            self.last = picture.map(|picture| (frame, picture));
        }
        self.last.is_some()
    }

    /// Frame `frame`, or the last one that was shown. `None` before the first one.
    pub fn shot(&mut self, frame: u64, read: Reads) -> Option<Shot> {
        let known = matches!(&self.last, Some((last, _)) if *last == frame);
        let read = if known {
            None
        } else {
            read(&self.player, frame)
        };
        let late = !known && read.is_none();
        if let Some(picture) = read {
            self.last = Some((frame, picture));
        }
        let (_, picture) = self.last.as_ref()?;
        Some(Shot {
            picture: Arc::clone(picture),
            face: self.clip.face(picture.index),
            late,
        })
    }

    /// Ends it without waiting for its thread.
    pub fn leave(self) {
        self.player.leave();
    }
}
