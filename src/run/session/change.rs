//! What of a running session can become another, between two frames.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::{ANSWER, FRAMES, Session, lock};
use crate::avatar::{Avatar, IDLE};
use crate::native;
use crate::pool::FramePool;
use crate::run::library::Model;
use crate::run::live::Order;
use crate::run::looped::Looped;
use crate::run::renderer::{self, Action, Cast, Change, When};
use crate::stage::audio::{self, Source};
use crate::stage::encode;

/// Longest wait of whoever changes the avatar or the model: longer than the
/// renderer waits for a picture.
const CHANGED: Duration = Duration::from_secs(10);

/// Letters of a clip's name that are repeated to who got it wrong.
const MOST_NAME: usize = 64;

/// Why a session stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The stages of another avatar or model can't be made.
    #[error(transparent)]
    Renderer(#[from] renderer::Error),
    /// The source's sound file can't be played.
    #[error(transparent)]
    File(#[from] audio::file::Error),
    /// No encoder takes the bitrate.
    #[error(transparent)]
    Encode(#[from] encode::Error),
    /// What a running session can't listen to.
    #[error(
        "a session that runs can change its source between none and file only; audio.source is for the microphone"
    )]
    Source,
    /// The avatar doesn't do that.
    #[error("the avatar {avatar} has no clip {clip:?}: it has {clips}")]
    Clip {
        /// What was asked for.
        clip: String,
        /// Of whom.
        avatar: String,
        /// What there is.
        clips: String,
    },
    /// The clip gave no picture.
    #[error(
        "the clip of the avatar {0} gave no picture in time, so the one before stays: try again, or run `mouthpiece avatar check {0}`"
    )]
    Late(String),
    /// It is over.
    #[error("the session is ending")]
    Ending,
}

impl Session {
    /// Lets another avatar or model take over between two frames. Both are built
    /// aside; the session goes on meanwhile, and as it was if this fails.
    ///
    /// # Errors
    ///
    /// When a stage can't be made, or the new clip gives no picture.
    pub fn recast(
        &self,
        avatar: Option<Arc<Avatar>>,
        model: Option<Arc<Model>>,
    ) -> Result<(), ChangeError> {
        let _one_at_a_time = lock(&self.changing);
        let from = self.cast();
        let to = Cast {
            avatar: avatar.unwrap_or_else(|| Arc::clone(&from.avatar)),
            model: model.unwrap_or_else(|| Arc::clone(&from.model)),
        };
        let pool = || FramePool::new(FRAMES, to.avatar.size);
        let (change, replaced) = Change::new(&from, &to, pool, Instant::now())?;
        self.order(Order::Change(change))?;
        // What was replaced is dropped here, where nobody waits for it, and given back.
        let taken = replaced
            .recv_timeout(CHANGED)
            .map(|replaced| replaced.taken);
        drop(from);
        native::trim_allocator();
        match taken {
            Ok(true) => Ok(()),
            Ok(false) => Err(ChangeError::Late(to.avatar.id.clone())),
            Err(_) => Err(ChangeError::Ending),
        }
    }

    /// Plays the clip `name` of its avatar `loops` times in the idle clip's place, as
    /// soon as it can; for the idle clip itself what plays in its place is ended.
    ///
    /// # Errors
    ///
    /// When the avatar has no such clip, or it can't be decoded.
    pub fn act(&self, name: &str, when: When, loops: u32) -> Result<(), ChangeError> {
        if name == IDLE {
            return self.order(Order::Idle);
        }
        let avatar = self.cast().avatar;
        let Some(action) = Action::new(&avatar, name, when, loops)? else {
            let clips: Vec<_> = avatar.clips().map(|(clip, _)| clip).collect();
            return Err(ChangeError::Clip {
                clip: name.chars().take(MOST_NAME).collect(),
                avatar: avatar.id.clone(),
                clips: clips.join(", "),
            });
        };
        self.order(Order::Act(action))
    }

    /// Listens to another source from the next frame on.
    ///
    /// # Errors
    ///
    /// When it can't be changed, or the file not be played.
    pub fn set_source(&self, wanted: Source) -> Result<(), ChangeError> {
        let mut source = lock(&self.source);
        if *source == wanted {
            return Ok(());
        }
        let looped = match (*source, wanted) {
            (Source::None, Source::File) => Some(Looped::start(&self.file)?),
            (Source::File, Source::None) => None,
            _ => return Err(ChangeError::Source),
        };
        self.order(Order::Loop(looped))?;
        *source = wanted;
        Ok(())
    }

    fn order(&self, order: Order) -> Result<(), ChangeError> {
        let sent = self.orders.send_timeout(order, ANSWER);
        sent.map_err(|_| ChangeError::Ending)
    }

    /// Refuses a bitrate that no encoder takes, in kbit/s.
    ///
    /// # Errors
    ///
    /// With the bounds.
    pub fn check_video_kbps(kbps: u32) -> Result<(), encode::Error> {
        encode::Config {
            video_kbps: kbps,
            ..encode::Config::default()
        }
        .check()
    }

    /// Changes the bitrate of the pictures from the next frame on, in kbit/s.
    ///
    /// # Errors
    ///
    /// When no encoder takes it.
    pub fn set_video_kbps(&self, kbps: u32) -> Result<(), encode::Error> {
        Self::check_video_kbps(kbps)?;
        self.video_kbps.store(kbps, Relaxed);
        Ok(())
    }
}
