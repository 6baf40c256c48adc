//! Who publishes: a voice for a session, by WHIP (RFC 9725).
//!
//! One a session. Whoever never connects, goes without a word, or sends nothing
//! loses the place within seconds.

use std::sync::Arc;

use crossbeam_channel::Sender;
use tokio::sync::watch;
use webrtc::peer_connection::RTCPeerConnectionState as State;

use super::connect::Connection;
use super::incoming::{self, Begun, Ear};
use super::offer::Brought;
use super::{Answer, Entry, OfferError, Register, Role, Viewers, aside, lock, random_name};
use crate::media::VoicePacket;

/// What a publisher takes, in bytes: its connection and keys, what waits to be
/// played, a decoder and a thread.
pub const PUBLISHER_BYTES: u64 = 3 << 18;

/// Who publishes at a time, of all sessions: more voices than a machine of today
/// has sessions for.
pub(super) const PUBLISHERS: u32 = 64;

impl Viewers {
    /// Answers who wants to publish a voice for `session`. Once connected, `begin`
    /// is asked where its packets go; dropping the receiver ends the connection.
    ///
    /// # Errors
    ///
    /// When somebody publishes for the session already, or the offer can't be
    /// answered.
    pub async fn publish(
        &self,
        session: &str,
        sdp: &str,
        begin: impl FnOnce() -> Option<Sender<VoicePacket>> + Send + 'static,
    ) -> Result<Answer, OfferError> {
        self.admits()?;
        let seats = Arc::clone(&self.0.publishers);
        let seat = seats.try_acquire_owned();
        let seat = seat.map_err(|_| OfferError::Crowded(PUBLISHERS))?;
        if self.0.published(session) {
            return Err(OfferError::Taken);
        }
        let brought = Brought::read(sdp)?;
        let register = Arc::clone(&self.0);
        let session = session.to_owned();
        let making = async move {
            let Begun {
                connection,
                ear,
                sdp,
                etag,
            } = incoming::answer(&register.port, brought).await?;
            let connection = Arc::new(connection);
            let id = random_name();
            let (leave, told) = watch::channel(false);
            let entry = Entry {
                session,
                role: Role::Publisher,
                connection: Arc::clone(&connection),
                leave,
            };
            register.enter(id.clone(), entry)?;
            let answer = Answer {
                id: id.clone(),
                etag,
                sdp,
            };
            tokio::spawn(async move {
                listen(connection, ear, begin, told).await;
                register.leave(&id, seat);
            });
            Ok(answer)
        };
        aside(making).await
    }
}

impl Register {
    /// Whether somebody publishes for `session`, or is about to.
    fn published(&self, session: &str) -> bool {
        let entries = lock(&self.entries);
        entries
            .values()
            .any(|e| e.role == Role::Publisher && e.session == session)
    }
}

/// Listens to `connection` until it ends, the session ends, or `leave` is told.
async fn listen(
    connection: Arc<Connection>,
    ear: Arc<Ear>,
    begin: impl FnOnce() -> Option<Sender<VoicePacket>>,
    mut leave: watch::Receiver<bool>,
) {
    let listening = async {
        if !connection.connects().await {
            return;
        }
        let Some(voice) = begin() else { return };
        ear.open(voice);
        tokio::select! {
            () = ear.deserted() => {}
            _ = connection.reaches(&[State::Failed, State::Closed]) => {}
            () = connection.hung_up() => {}
        }
    };
    tokio::select! {
        () = listening => {}
        // An error says that the register is gone, which is the same.
        _ = leave.wait_for(|leave| *leave) => {}
    }
    ear.close();
    connection.close().await;
}
