//! Another avatar, another model: built aside, and what they replace is dropped
//! aside, so that neither costs the stream a frame.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::lips::Lips;
use super::scene::Scene;
use super::{Cast, Error};
use crate::media::FPS;
use crate::pool::FramePool;

/// Frames for a new avatar's first picture: five seconds. A decoder that goes to
/// any place of a clip takes a fraction of one.
const PATIENCE: u32 = 5 * FPS;

/// What takes over between two frames.
pub struct Change {
    pub(super) scene: Option<Scene>,
    pub(super) lips: Option<Lips>,
    /// Whether it can take over with the next frame.
    pub(super) ready: bool,
    patience: u32,
    back: Sender<Replaced>,
}

/// What a change gives back. To be dropped aside: its threads are waited for.
pub struct Replaced {
    /// Whether the change took over. Else this is the change itself.
    pub taken: bool,
    _scene: Option<Scene>,
    _lips: Option<Lips>,
}

impl Change {
    /// Builds what is another in `to` than in `from`. Frames of its avatar come
    /// from `pool`, where that is another one. Tells what was replaced.
    ///
    /// # Errors
    ///
    /// When a stage can't be made.
    pub fn new(
        from: &Cast,
        to: &Cast,
        pool: impl FnOnce() -> FramePool,
        now: Instant,
    ) -> Result<(Box<Self>, Receiver<Replaced>), Error> {
        let (back, replaced) = bounded(1);
        let scene = (!Arc::ptr_eq(&from.avatar, &to.avatar))
            .then(|| Scene::new(&to.avatar, pool()))
            .transpose()?;
        let lips = (!Arc::ptr_eq(&from.model, &to.model))
            .then(|| Lips::new(&to.model, now))
            .transpose()?;
        let change = Self {
            ready: scene.is_none(),
            scene,
            lips,
            patience: PATIENCE,
            back,
        };
        Ok((Box::new(change), replaced))
    }

    /// Gets what the scene is to begin with, at frame `index` or a little later.
    /// False when it waited too long for it.
    pub(super) fn prepare(&mut self, index: u64) -> bool {
        if let Some(scene) = &mut self.scene {
            self.ready = scene.prepare(index);
        }
        self.patience = self.patience.saturating_sub(1);
        self.ready || self.patience > 0
    }

    /// Sends back what it replaced.
    pub(super) fn give_back(self: Box<Self>) {
        self.end(true);
    }

    /// Sends itself back.
    pub(super) fn give_up(self: Box<Self>) {
        self.end(false);
    }

    fn end(self: Box<Self>, taken: bool) {
        let replaced = Replaced {
            taken,
            _scene: self.scene,
            _lips: self.lips,
        };
        // Whoever asked may have stopped waiting.
        let _gone = self.back.try_send(replaced);
    }
}
