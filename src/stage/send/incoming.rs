//! A publisher's connection: the packets that it brings.
//!
//! They are taken out of the connection where they come in, in the order of the
//! network: what puts them in order is not the connection's business.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};
use rtc::interceptor::{
    Interceptor, Packet, ReceiverReportBuilder, Slot, StreamInfo, TaggedPacket,
};
use rtc::sansio::Protocol;
use tokio::time::sleep;
use webrtc::peer_connection::{MediaEngine, Registry};

use super::codec::register;
use super::connect::{Connection, LOOK_EVERY, failed};
use super::offer::Brought;
use super::port::Port;
use super::reports::Talk;
use super::{OfferError, lock};
use crate::media::VoicePacket;

/// Without a packet for so long who publishes has gone, whatever ICE says: a
/// silent voice sends one every 400 ms, and the place is wanted by others.
const SILENT: Duration = Duration::from_secs(5);

/// Where our part in the chain is: behind all that looks at packets as they come.
const LAST: usize = 14_000;

/// What a connection begins with.
pub(super) struct Begun {
    /// The connection.
    pub(super) connection: Connection,
    /// Its packets.
    pub(super) ear: Arc<Ear>,
    /// The answer for who publishes.
    pub(super) sdp: String,
    /// The ETag of what was agreed.
    pub(super) etag: String,
}

/// Answers who publishes with a connection over `port`.
pub(super) async fn answer(port: &Port, brought: Brought) -> Result<Begun, OfferError> {
    let Brought { offer, audio } = brought;
    let mut engine = MediaEngine::default();
    register(&mut engine, &audio).map_err(failed)?;
    let ear = Arc::new(Ear {
        payload_type: audio.payload_type,
        voice: Mutex::new(None),
        packets: AtomicU64::new(0),
    });
    // By these reports a publisher knows how much to repeat.
    let reports = ReceiverReportBuilder::new().build();
    let registry = Registry::new()
        .with(Slot::ReceiverReport, reports)
        .with(Slot::from(LAST), Tapped::new(Arc::clone(&ear)));
    let talk = Arc::<Talk>::default();
    let mut connection = Connection::new(port, offer, engine, registry, talk).await?;
    let (sdp, etag) = connection.agree(port).await?;
    if let Some(receiver) = connection.peer.get_receivers().await.first() {
        connection.transport = receiver.transport().await.map_err(failed)?;
    }
    Ok(Begun {
        connection,
        ear,
        sdp,
        etag,
    })
}

/// Hands on what is said.
pub(super) struct Ear {
    payload_type: u8,
    voice: Mutex<Option<Sender<VoicePacket>>>,
    packets: AtomicU64,
}

impl Ear {
    /// Hands packets on from now on.
    pub(super) fn open(&self, voice: Sender<VoicePacket>) {
        *lock(&self.voice) = Some(voice);
    }

    /// Lets nobody wait for more.
    pub(super) fn close(&self) {
        *lock(&self.voice) = None;
    }

    /// Waits until no packet has come for a while, or nobody listens any more.
    pub(super) async fn deserted(&self) {
        let mut packets = self.packets.load(Relaxed);
        let mut heard = Instant::now();
        while heard.elapsed() < SILENT && lock(&self.voice).is_some() {
            sleep(LOOK_EVERY).await;
            let now = self.packets.load(Relaxed);
            if now != packets {
                (packets, heard) = (now, Instant::now());
            }
        }
    }

    fn hear(&self, arrived: Instant, packet: rtc::rtp::Packet) {
        // Padding alone looks for bandwidth.
        if packet.header.payload_type != self.payload_type || packet.payload.is_empty() {
            return;
        }
        self.packets.fetch_add(1, Relaxed);
        let mut voice = lock(&self.voice);
        let packet = VoicePacket {
            arrived,
            ssrc: packet.header.ssrc,
            timestamp: packet.header.timestamp,
            data: packet.payload,
        };
        match voice.as_ref().map(|voice| voice.try_send(packet)) {
            // The session has ended.
            Some(Err(TrySendError::Disconnected(_))) => *voice = None,
            // One that finds no room is lost like any other.
            Some(Ok(()) | Err(TrySendError::Full(_))) | None => {}
        }
    }
}

/// The ear's place in the connection.
struct Tapped {
    ear: Arc<Ear>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Tapped {
    fn new(ear: Arc<Ear>) -> Self {
        Self {
            ear,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tapped {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = rtc::shared::error::Error;
    type Time = Instant;

    fn handle_read(&mut self, read: TaggedPacket) -> Result<(), Self::Error> {
        match read.message.packet {
            Packet::Rtp(packet) => self.ear.hear(read.now, packet),
            _ => self.reads.push_back(read),
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, write: TaggedPacket) -> Result<(), Self::Error> {
        self.writes.push_back(write);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Tapped {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload_type: u8, payload: &'static [u8]) -> rtc::rtp::Packet {
        let mut packet = rtc::rtp::Packet::default();
        packet.header.payload_type = payload_type;
        packet.payload = payload.into();
        packet
    }

    fn ear() -> Ear {
        Ear {
            payload_type: 111,
            voice: Mutex::new(None),
            packets: AtomicU64::new(0),
        }
    }

    #[test]
    fn only_the_voice_is_handed_on_and_never_waits_for_who_listens() {
        let ear = ear();
        let (sender, packets) = crossbeam_channel::bounded(2);
        ear.hear(Instant::now(), packet(111, b"before anybody listens"));
        ear.open(sender);
        ear.hear(Instant::now(), packet(63, b"redundancy"));
        ear.hear(Instant::now(), packet(111, b""));
        for voice in [b"a", b"b", b"c"] {
            ear.hear(Instant::now(), packet(111, voice));
        }
        let heard: Vec<_> = packets.try_iter().map(|packet| packet.data).collect();
        assert_eq!(heard, ["a", "b"]);
        assert_eq!(ear.packets.load(Relaxed), 4);
    }

    #[tokio::test]
    async fn who_is_not_listened_to_is_deserted_at_once() {
        let ear = ear();
        let (sender, packets) = crossbeam_channel::bounded(2);
        ear.open(sender);
        drop(packets);
        ear.hear(Instant::now(), packet(111, b"to nobody"));
        ear.deserted().await;
    }
}
