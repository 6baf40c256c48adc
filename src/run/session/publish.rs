//! A voice that somebody publishes, in the place of the session's source.

use std::thread;
use std::time::Instant;

use crossbeam_channel::{Sender, bounded};

use super::Session;
use crate::media::VoicePacket;
use crate::stage::audio::publisher::{self, Voice};

/// Packets that wait for their thread: more than a second of them, which is more
/// than a voice may be late.
const PACKETS: usize = 64;

/// Why nobody can publish.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It can't be listened to.
    #[error(transparent)]
    Voice(#[from] publisher::Error),
    /// The system has no thread left.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// It is over.
    #[error("the session is ending")]
    Ending,
}

impl Session {
    /// Hears a voice in the place of the source, until what this returns is dropped.
    /// A packet for which it has no room is one that got lost.
    ///
    /// # Errors
    ///
    /// When the session is ending, or has no memory or thread for it.
    pub fn publish(&self) -> Result<Sender<VoicePacket>, PublishError> {
        let voice = Voice::new(Instant::now())?;
        let inlet = self.inlet.upgrade().ok_or(PublishError::Ending)?;
        let published = inlet.publish();
        let (sender, packets) = bounded(PACKETS);
        let id = self.id.clone();
        thread::Builder::new()
            .name("publisher".into())
            .spawn(move || {
                tracing::info!(session = id, "a voice is published");
                let counts = voice.run(&packets, &published);
                tracing::info!(session = id, ?counts, "the voice has ended");
            })?;
        Ok(sender)
    }

    /// Whether somebody publishes a voice.
    pub fn published(&self) -> bool {
        self.inlet.upgrade().is_some_and(|inlet| inlet.published())
    }
}
