//! The server's side: a session that sends numbered packets.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mouthpiece::control::auth::Auth;
use mouthpiece::control::whep::{self, Found};
use mouthpiece::hub::Hub;
use mouthpiece::media::{Codec, Packet};
use mouthpiece::stage::send::{Config, Viewers};
use mouthpiece::stats::Stats;
use tokio::task::JoinHandle;

/// How much earlier than its picture sound is sent.
pub const SOUND_EARLIER: Duration = Duration::from_millis(120);

/// A server on a port of its own, with the sessions `live` and `waiting`.
pub struct Server {
    pub addr: SocketAddr,
    pub viewers: Viewers,
    pub stats: Arc<Stats>,
    pub hub: Weak<Hub>,
    /// Pictures that were key frames.
    pub keys: Arc<std::sync::atomic::AtomicUsize>,
    show: JoinHandle<()>,
    http: JoinHandle<()>,
}

impl Server {
    pub async fn start(config: Config, token: Option<&str>) -> Self {
        let viewers = Viewers::bind(&config).await.expect("a free port");
        let (hub, stats) = (Hub::new(), Stats::new());
        let keys = Arc::default();
        let show = tokio::spawn(show(Arc::clone(&hub), Arc::clone(&keys)));
        let weak = Arc::downgrade(&hub);
        let counted = Arc::clone(&stats);
        let own = Weak::clone(&weak);
        let sessions = move |name: &str| match (name, weak.upgrade()) {
            ("live", Some(hub)) => Found::Live {
                hub,
                stats: Arc::clone(&counted),
            },
            ("waiting", _) => Found::Waiting,
            _ => Found::Nothing,
        };
        let state = whep::State {
            viewers: viewers.clone(),
            sessions: Arc::new(sessions),
        };
        let routes = whep::routes(state, &Auth::new(token.unwrap_or_default(), ""));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let http = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("it serves");
        });
        Self {
            addr,
            viewers,
            stats,
            hub: own,
            keys,
            show,
            http,
        }
    }

    /// Sends more at once than a viewer can take.
    pub fn burst(&self) {
        let hub = self.hub.upgrade().expect("the show goes on");
        for _ in 0..5_000 {
            hub.send(packet(Codec::Vp8, Duration::ZERO, false, 10));
        }
    }

    /// Ends the show: the hub goes.
    pub fn end_show(&self) {
        self.show.abort();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.show.abort();
        self.http.abort();
    }
}

pub fn config() -> Config {
    Config {
        udp_port: 0,
        ..Config::default()
    }
}

/// Sends 25 pictures and 50 packets of sound a second, each with its moment in
/// milliseconds in its last four bytes. A key frame comes when it is asked for.
async fn show(hub: Arc<Hub>, keys: Arc<std::sync::atomic::AtomicUsize>) {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    for n in 0_u32.. {
        tick.tick().await;
        let now = Duration::from_millis(20) * n;
        hub.send(packet(Codec::Opus, now + SOUND_EARLIER, true, 80));
        if n % 2 == 0 {
            for codec in [Codec::H264, Codec::Vp8] {
                let key = hub.take_key_request(codec).is_some();
                if key && codec == Codec::H264 {
                    keys.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
                let bytes = if key { 20_000 } else { 2_000 };
                hub.send(packet(codec, now, key, bytes));
            }
        }
    }
}

fn packet(codec: Codec, pts: Duration, key: bool, bytes: usize) -> Packet {
    let mut data = Vec::new();
    if codec == Codec::H264 {
        if key {
            data.extend([0, 0, 0, 1, 0x67, 1, 2, 3, 0, 0, 0, 1, 0x68, 1, 2]);
        }
        data.extend([0, 0, 0, 1, if key { 0x65 } else { 0x41 }]);
    }
    data.resize(bytes, 0xAA);
    let moment = u32::try_from(pts.as_millis()).expect("tests are short");
    // No byte is 0 or 1, which could begin a NAL unit.
    data.extend((0..8).map(|n| 0x10 | (moment >> (4 * n)) as u8 & 0x0F));
    Packet {
        codec,
        pts,
        key,
        accepted: Some(Instant::now()),
        data: Bytes::from(data),
    }
}

/// The moment in the last bytes of what [`show`] sent.
pub fn moment(payload: &[u8]) -> Option<Duration> {
    let nibbles = payload.last_chunk::<8>()?;
    let fold = |sum: u32, (n, nibble): (usize, &u8)| sum | u32::from(nibble & 0x0F) << (4 * n);
    let ms = nibbles.iter().enumerate().fold(0, fold);
    Some(Duration::from_millis(ms.into()))
}
