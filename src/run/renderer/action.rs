//! A named clip in the idle one's place, for a while.

use std::sync::Arc;

use super::Error;
use super::track::Track;
use crate::avatar::Avatar;
use crate::events::{Event, Events};

/// When an action begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// As soon as its first picture is decoded.
    Now,
    /// As soon as nobody talks, too.
    Pause,
}

/// A clip that is to be played, decoded ahead already.
pub struct Action {
    pub(super) name: String,
    /// Whose clip it is.
    pub(super) avatar: Arc<Avatar>,
    pub(super) when: When,
    pub(super) track: Track,
    /// How many frames of it are played, round after round.
    pub(super) frames: u64,
}

impl Action {
    /// The clip `name` of `avatar`, played `loops` times. `None` if it has none of
    /// that name.
    ///
    /// # Errors
    ///
    /// When it can't be decoded.
    pub fn new(
        avatar: &Arc<Avatar>,
        name: &str,
        when: When,
        loops: u32,
    ) -> Result<Option<Box<Self>>, Error> {
        let Some(clip) = avatar.clip(name) else {
            return Ok(None);
        };
        let track = Track::start(clip)?;
        Ok(Some(Box::new(Self {
            name: name.to_owned(),
            avatar: Arc::clone(avatar),
            when,
            frames: track.len() * u64::from(loops),
            track,
        })))
    }

    /// Lets it go before it began.
    pub(super) fn drop_unseen(self, events: &Events) {
        events.post(self.told("dropped", None));
        self.track.leave();
    }

    /// What is told of it.
    pub(super) fn told(&self, state: &'static str, interrupted: Option<bool>) -> Event {
        Event::Action {
            clip: self.name.as_str().into(),
            state,
            interrupted,
        }
    }
}
