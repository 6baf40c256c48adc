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
    /// The frame of the timeline that it is to begin with, once that is chosen.
    begins: Option<u64>,
    /// Frames that the decoder has to get there.
    lead: u64,
}

/// Frames that a decoder has to get to any place of a clip: 320 ms. Where they
/// are not enough it gets twice as many.
const LEAD: u64 = 8;

impl Scene {
    /// Begins to decode the avatar's clip. Frames come from `pool`.
    pub fn new(avatar: &Arc<Avatar>, pool: FramePool) -> io::Result<Self> {
        Ok(Self {
            player: Player::start(avatar.idle())?,
            avatar: Arc::clone(avatar),
            pool,
            last: None,
            begins: None,
            lead: LEAD,
        })
    }

    /// Gets the picture that it is to begin with. To be asked for each frame: true
    /// when it can begin at `index`.
    pub fn prepare(&mut self, index: u64) -> bool {
        let due = |begins: Option<u64>| begins.is_some_and(|begins| begins <= index);
        if self.last.is_none() {
            if due(self.begins) {
                // Not decoded in time.
                self.lead *= 2;
                self.begins = None;
            }
            let begins = *self.begins.get_or_insert_with(|| {
                self.player.seek(index + self.lead);
                index + self.lead
            });
            let picture = self.player.picture(begins);
            self.last = picture.map(|picture| (begins, picture));
        }
        self.last.is_some() && due(self.begins)
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
