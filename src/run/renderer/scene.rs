//! Where a mouth is drawn: the avatar's pictures, and the frames of its size.

use std::io;
use std::sync::Arc;

use crate::avatar::{Avatar, Picture, Player};
use crate::pool::FramePool;

/// Reads the picture of a frame of the timeline, at once or waiting for it.
pub(super) type Reads = fn(&Player, u64) -> Option<Arc<Picture>>;

/// An avatar as it is played.
pub(super) struct Scene {
    pub avatar: Arc<Avatar>,
    player: Player,
    pub pool: FramePool,
    /// What is shown when the decoder is late, and of which frame it is.
    last: Option<(u64, Arc<Picture>)>,
}

impl Scene {
    /// Begins to decode the avatar's clip. Frames come from `pool`.
    pub fn new(avatar: &Arc<Avatar>, pool: FramePool) -> io::Result<Self> {
        Ok(Self {
            player: Player::start(avatar.idle())?,
            avatar: Arc::clone(avatar),
            pool,
            last: None,
        })
    }

    /// Gets the picture of frame `index` of the timeline, if it is decoded. The
    /// decoder goes there.
    pub fn prepare(&mut self, index: u64) {
        if let Some(picture) = self.player.picture(index) {
            self.last = Some((index, picture));
        }
    }

    /// Whether there is a picture to begin with.
    pub fn begun(&self) -> bool {
        self.last.is_some()
    }

    /// The picture of frame `index`, or the last one and that it is late. `None`
    /// before the first one.
    pub fn picture(&mut self, index: u64, read: Reads) -> Option<(Arc<Picture>, bool)> {
        let known = matches!(&self.last, Some((last, _)) if *last == index);
        let read = if known {
            None
        } else {
            read(&self.player, index)
        };
        let late = !known && read.is_none();
        if let Some(picture) = read {
            self.last = Some((index, picture));
        }
        let (_, picture) = self.last.as_ref()?;
        Some((Arc::clone(picture), late))
    }
}
