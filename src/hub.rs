//! Where a session's packets meet whoever watches them.
//!
//! Everything is encoded once and handed to all. A watcher that falls behind
//! by [`BACKLOG`] packets skips to the next key frame and hurts nobody; with
//! no watcher nothing is drawn and nothing is encoded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use tokio::sync::broadcast;

use crate::media::{Codec, Packet};

/// Packets kept for a slow watcher: a second of sound and picture.
const BACKLOG: usize = 75;

/// The meeting place of one session.
#[derive(Debug)]
pub struct Hub {
    packets: broadcast::Sender<Packet>,
    h264: Arc<Demand>,
    vp8: Arc<Demand>,
}

/// Who wants pictures of one codec.
#[derive(Debug, Default)]
struct Demand {
    watchers: AtomicUsize,
    /// Somebody watches since, and has no picture yet.
    joined: AtomicBool,
    /// Somebody lost pictures.
    key_wanted: AtomicBool,
}

/// Why a key frame is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyRequest {
    /// A watcher lost pictures, and shows the last one meanwhile.
    Lost,
    /// A watcher is new, and sees nothing until then.
    Joined,
}

impl Hub {
    /// A hub that nobody watches.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            packets: broadcast::Sender::new(BACKLOG),
            h264: Arc::default(),
            vp8: Arc::default(),
        })
    }

    /// Starts to watch the sound and the pictures of `video`, from a key frame on.
    pub fn watch(&self, video: Codec) -> Watch {
        let demand = Arc::clone(self.demand(video));
        demand.watchers.fetch_add(1, Relaxed);
        demand.joined.store(true, Relaxed);
        Watch {
            packets: self.packets.subscribe(),
            demand,
            video,
        }
    }

    /// Watchers of `video`'s pictures. Never for sound alone.
    pub fn watchers(&self, video: Codec) -> usize {
        self.demand(video).watchers.load(Relaxed)
    }

    /// Whether anybody watches.
    pub fn watched(&self) -> bool {
        self.watchers(Codec::H264) + self.watchers(Codec::Vp8) > 0
    }

    /// Why a key frame of `video` was asked for since it was last asked here.
    pub fn take_key_request(&self, video: Codec) -> Option<KeyRequest> {
        let demand = self.demand(video);
        let lost = demand.key_wanted.swap(false, Relaxed);
        let joined = demand.joined.swap(false, Relaxed);
        match (joined, lost) {
            (true, _) => Some(KeyRequest::Joined),
            (false, true) => Some(KeyRequest::Lost),
            (false, false) => None,
        }
    }

    /// Hands `packet` to every watcher. Never waits.
    pub fn send(&self, packet: Packet) {
        // An error says that nobody watches, which is no error here.
        let _nobody = self.packets.send(packet);
    }

    fn demand(&self, video: Codec) -> &Arc<Demand> {
        match video {
            Codec::Vp8 => &self.vp8,
            Codec::H264 | Codec::Opus => &self.h264,
        }
    }
}

/// One watcher. Dropping it ends the watching; dropping the hub ends the stream.
#[derive(Debug)]
pub struct Watch {
    packets: broadcast::Receiver<Packet>,
    demand: Arc<Demand>,
    video: Codec,
}

/// What a watcher hears next.
#[derive(Debug)]
pub enum Heard {
    /// The next packet of the sound or of the watched pictures.
    Packet(Packet),
    /// The watcher was too slow and missed packets: pictures are broken until
    /// the next key frame, which was asked for.
    Behind,
    /// The session has ended.
    Ended,
}

impl Watch {
    /// Waits for the next packet.
    pub async fn next(&mut self) -> Heard {
        loop {
            match self.packets.recv().await {
                Ok(packet) if packet.codec == Codec::Opus || packet.codec == self.video => {
                    return Heard::Packet(packet);
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    self.request_key();
                    return Heard::Behind;
                }
                Err(broadcast::error::RecvError::Closed) => return Heard::Ended,
            }
        }
    }

    /// The codec of the pictures.
    pub fn video(&self) -> Codec {
        self.video
    }

    /// Asks for a key frame.
    pub fn request_key(&self) {
        self.demand.key_wanted.store(true, Relaxed);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.demand.watchers.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use bytes::Bytes;

    fn packet(codec: Codec, n: u32) -> Packet {
        Packet {
            codec,
            pts: Duration::from_millis(40) * n,
            key: false,
            accepted: None,
            data: Bytes::new(),
        }
    }

    #[tokio::test]
    async fn a_watcher_hears_sound_and_its_own_pictures() {
        let hub = Hub::new();
        let mut watch = hub.watch(Codec::H264);
        assert_eq!(hub.take_key_request(Codec::H264), Some(KeyRequest::Joined));
        for codec in [Codec::Vp8, Codec::Opus, Codec::H264] {
            hub.send(packet(codec, 1));
        }
        drop(hub);
        for codec in [Codec::Opus, Codec::H264] {
            assert!(matches!(watch.next().await, Heard::Packet(p) if p.codec == codec));
        }
        assert!(matches!(watch.next().await, Heard::Ended));
    }

    #[tokio::test]
    async fn a_slow_watcher_skips_and_asks_for_a_key_frame() {
        let hub = Hub::new();
        let mut slow = hub.watch(Codec::H264);
        assert_eq!(hub.take_key_request(Codec::H264), Some(KeyRequest::Joined));
        for n in 0..200 {
            hub.send(packet(Codec::H264, n));
        }
        assert!(matches!(slow.next().await, Heard::Behind));
        assert_eq!(hub.take_key_request(Codec::H264), Some(KeyRequest::Lost));
        assert!(matches!(slow.next().await, Heard::Packet(_)));
    }

    #[test]
    fn nobody_watches_once_every_watcher_is_gone() {
        let hub = Hub::new();
        let watch = hub.watch(Codec::Vp8);
        assert_eq!(
            (hub.watchers(Codec::Vp8), hub.watchers(Codec::H264)),
            (1, 0)
        );
        drop(watch);
        assert!(!hub.watched());
    }
}
