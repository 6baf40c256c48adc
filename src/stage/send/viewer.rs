//! One viewer: its connection, and the task that feeds it.
//!
//! The task waits for the connection, then hands over what the session sends,
//! pictures from a key frame on. It is alone with its viewer: what blocks here
//! blocks nobody else, and a viewer that falls behind skips to a key frame.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep_until;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::RTCPeerConnectionState as State;

use super::connect::Connection;
use super::outgoing::Streams;
use super::rtp::Stream;
use crate::events::Event;
use crate::hub::{Heard, Hub, Watch};
use crate::media::{Codec, Packet};
use crate::stats::Stats;

/// Time between two key frames that one viewer may cause.
const KEY_EVERY: Duration = Duration::from_millis(500);

/// Feeds `connection` from `hub` until it ends, the session ends, or `leave`
/// is told; then says goodbye.
pub(super) async fn serve(
    connection: Arc<Connection>,
    streams: Streams,
    hub: Weak<Hub>,
    stats: Arc<Stats>,
    mut leave: watch::Receiver<bool>,
) {
    let watching = async {
        if !connection.connects().await {
            return;
        }
        // Not before: whoever never comes shall cost no drawing.
        let Some(watch) = hub.upgrade().map(|hub| hub.watch(streams.codec)) else {
            return;
        };
        let _counted = Counted::new(hub, Arc::clone(&stats));
        tokio::select! {
            () = feed(&connection, streams, watch, &stats) => {}
            _ = connection.reaches(&[State::Failed, State::Closed]) => {}
            () = connection.hung_up() => {}
        }
    };
    tokio::select! {
        () = watching => {}
        // An error says that the register is gone, which is the same.
        _ = leave.wait_for(|leave| *leave) => {}
    }
    connection.close().await;
}

/// Tells of a viewer who watches, and then of one who doesn't any more: it must
/// be dropped after its watch.
struct Counted {
    hub: Weak<Hub>,
    stats: Arc<Stats>,
}

impl Counted {
    fn new(hub: Weak<Hub>, stats: Arc<Stats>) -> Self {
        let this = Self { hub, stats };
        this.tell();
        this
    }

    fn tell(&self) {
        if let Some(hub) = self.hub.upgrade() {
            let viewers = hub.watchers(Codec::H264) + hub.watchers(Codec::Vp8);
            self.stats.events.post(Event::Viewers { viewers });
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.tell();
    }
}

/// Hands over packets until the session or the connection ends.
async fn feed(connection: &Connection, streams: Streams, mut watch: Watch, stats: &Stats) {
    let talk = &connection.talk;
    let Streams {
        mut video,
        mut audio,
        ..
    } = streams;
    let mut broken = true; // Until a key frame.
    let mut asked = Instant::now();
    let mut ask_at: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            heard = watch.next() => match heard {
                Heard::Packet(packet) => {
                    let sound = packet.codec == Codec::Opus;
                    broken &= sound || !packet.key;
                    let track = match (sound, &mut audio) {
                        (true, Some(audio)) => audio,
                        (false, _) if !broken => &mut video,
                        _ => continue,
                    };
                    let now = Instant::now();
                    talk.clock.left(now, packet.pts);
                    if !track.send(&packet).await {
                        return; // The connection is gone.
                    }
                    if let (false, Some(accepted)) = (sound, packet.accepted) {
                        stats.voice_latency.add(accepted.elapsed());
                    }
                }
                Heard::Behind => {
                    stats.slow_viewers.add(1);
                    broken = true;
                }
                Heard::Ended => return,
            },
            () = talk.key_wanted.notified() => {
                ask_at.get_or_insert(asked + KEY_EVERY);
            }
            () = until(ask_at) => {
                ask_at = None;
                asked = Instant::now();
                watch.request_key();
            }
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// A stream and the track that it goes out on.
pub(super) struct Track {
    stream: Stream,
    track: Arc<TrackLocalStaticRTP>,
}

impl Track {
    /// `stream` on `track`.
    pub(super) fn new(stream: Stream, track: Arc<TrackLocalStaticRTP>) -> Self {
        Self { stream, track }
    }

    /// Hands over one packet of media. Whether the connection is still there.
    async fn send(&mut self, packet: &Packet) -> bool {
        for cut in self.stream.packetize(packet) {
            if self.track.write_rtp(cut).await.is_err() {
                return false;
            }
        }
        true
    }
}
