//! Where a mouth is drawn: the avatar's pictures, and the frames of its size.

use std::io;
use std::sync::Arc;

use super::timeline::Timeline;
use crate::avatar::{Avatar, Picture, Player};
use crate::pool::FramePool;

/// Reads the picture of a frame of the timeline, at once or waiting for it.
pub(super) type Reads = fn(&Player, u64) -> Option<Arc<Picture>>;

/// An avatar as it is played.
pub(super) struct Scene {
    pub avatar: Arc<Avatar>,
    pub timeline: Timeline,
    pub pool: FramePool,
    /// The frame of the timeline that it is to begin with, once that is chosen.
    begins: Option<u64>,
    /// Frames that the decoder has to get there.
    lead: u64,
    /// Whether it has what it is to begin with.
    prepared: bool,
}

/// Frames that a decoder has to get to any place of a clip: 320 ms. Where they
/// are not enough it gets twice as many.
pub(super) const LEAD: u64 = 8;

impl Scene {
    /// Begins to decode the avatar's clip. Frames come from `pool`.
    pub fn new(avatar: &Arc<Avatar>, pool: FramePool) -> io::Result<Self> {
        Ok(Self {
            timeline: Timeline::new(avatar.idle())?,
            avatar: Arc::clone(avatar),
            pool,
            begins: None,
            lead: LEAD,
            prepared: false,
        })
    }

    /// Gets the picture that it is to begin with. To be asked for each frame: true
    /// when it can begin at `index`.
    pub fn prepare(&mut self, index: u64) -> bool {
        let due = |begins: Option<u64>| begins.is_some_and(|begins| begins <= index);
        if !self.prepared {
            if due(self.begins) {
                // Not decoded in time.
                self.lead *= 2;
                self.begins = None;
            }
            let idle = self.timeline.idle();
            let begins = *self.begins.get_or_insert_with(|| {
                idle.seek(index + self.lead);
                index + self.lead
            });
            self.prepared = idle.prepare(begins);
        }
        self.prepared && due(self.begins)
    }
}
