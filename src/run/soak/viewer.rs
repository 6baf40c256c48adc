//! A viewer by WHEP that decodes nothing: it measures what comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Method;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use tokio::sync::watch;
use tokio::time::timeout;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCIceGatheringState, RTCSessionDescription, Registry, SettingEngineBuilder,
    register_default_interceptors,
};

use super::http::{self, Http};

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why a viewer sees nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server doesn't want it.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// There is no connection.
    #[error("a viewer can't connect: {0}")]
    Connection(#[from] webrtc::error::Error),
    /// The answer is none of WHEP's.
    #[error("the answer to an offer has {0}")]
    Answer(&'static str),
    /// Connected, perhaps, and nothing comes.
    #[error("no picture came within 15 s of the offer")]
    NoPicture,
}

/// What all viewers got, since the beginning and since the last look.
#[derive(Debug, Default)]
pub struct Meter {
    /// Pictures that came whole.
    pub frames: AtomicU64,
    /// Packets that came.
    pub packets: AtomicU64,
    /// Packets that never came, of viewers who left.
    pub lost: AtomicU64,
    /// Viewers who saw a picture.
    pub joins: AtomicU64,
    /// Viewers who see pictures now.
    pub watching: AtomicU64,
    /// The longest time between two pictures, in microseconds: for each second …
    pub gap_us: AtomicU64,
    /// … and for each phase.
    pub phase_gap_us: AtomicU64,
    /// The slowest first picture of a phase, in microseconds.
    pub first_us: AtomicU64,
}

impl Meter {
    fn gap(&self, gap: Duration) {
        let us = gap.as_micros() as u64;
        self.gap_us.fetch_max(us, Relaxed);
        self.phase_gap_us.fetch_max(us, Relaxed);
    }

    /// Takes the worst of `of` since it was last taken, in milliseconds.
    pub fn take_ms(of: &AtomicU64) -> f64 {
        of.swap(0, Relaxed) as f64 / 1e3
    }
}

/// One viewer. It must leave.
pub struct Viewer {
    peer: Arc<dyn PeerConnection>,
    http: Http,
    location: String,
    seen: watch::Receiver<bool>,
}

impl Viewer {
    /// Joins `session` and waits for the first picture.
    ///
    /// # Errors
    ///
    /// When the server refuses it, or nothing comes.
    pub async fn watching(http: Http, session: &str, meter: &Arc<Meter>) -> Result<Self, Error> {
        let mut viewer = Self::join(http, session, meter).await?;
        let seen = timeout(PATIENCE, viewer.seen.wait_for(|seen| *seen)).await;
        if seen.is_ok_and(|seen| seen.is_ok()) {
            return Ok(viewer);
        }
        viewer.leave().await?;
        Err(Error::NoPicture)
    }

    async fn join(http: Http, session: &str, meter: &Arc<Meter>) -> Result<Self, Error> {
        let (gathered_tx, mut gathered) = watch::channel(false);
        let (seen_tx, seen) = watch::channel(false);
        let (offered_tx, offered) = watch::channel(Instant::now());
        let mut engine = MediaEngine::default();
        engine.register_default_codecs()?;
        let registry = register_default_interceptors(Registry::new(), &mut engine)?;
        let settings = SettingEngineBuilder::new()
            .with_include_loopback_candidate(true)
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .build();
        let peer = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_setting_engine(settings)
            .with_handler(Arc::new(Events {
                gathered: gathered_tx,
                seen: Arc::new(seen_tx),
                offered,
                meter: Arc::clone(meter),
            }))
            .with_udp_addrs(vec!["127.0.0.1:0"])
            .build()
            .await?;
        let mut viewer = Self {
            peer: Arc::new(peer),
            http,
            location: String::new(),
            seen,
        };
        let joined = viewer.ask(session, &mut gathered, &offered_tx).await;
        if let Err(error) = joined {
            viewer.vanish().await;
            return Err(error);
        }
        Ok(viewer)
    }

    /// Offers, and takes the answer.
    async fn ask(
        &mut self,
        session: &str,
        gathered: &mut watch::Receiver<bool>,
        offered: &watch::Sender<Instant>,
    ) -> Result<(), Error> {
        for kind in [RtpCodecKind::Video, RtpCodecKind::Audio] {
            self.peer.add_transceiver_from_kind(kind, None).await?;
        }
        let offer = self.peer.create_offer(None).await?;
        self.peer.set_local_description(offer).await?;
        // With all candidates, as WHEP has it; without them it fails below.
        drop(timeout(PATIENCE, gathered.wait_for(|gathered| *gathered)).await);
        let offer = self.peer.local_description().await;
        let offer = offer.ok_or(Error::Answer("no offer before it"))?.sdp;
        offered.send_replace(Instant::now());
        let path = format!("/whep/{session}");
        let sent = self.http.send(
            Method::POST,
            &path,
            Some("application/sdp"),
            Body::from(offer),
        );
        let reply = sent.await?;
        self.location = reply.location.ok_or(Error::Answer("no Location"))?;
        let sdp = String::from_utf8(reply.body.to_vec());
        let sdp = sdp.map_err(|_| Error::Answer("no text"))?;
        let answer = RTCSessionDescription::answer(sdp)?;
        Ok(self.peer.set_remote_description(answer).await?)
    }

    /// Leaves as WHEP has it: with a word.
    ///
    /// # Errors
    ///
    /// When the server doesn't know it any more.
    pub async fn leave(self) -> Result<(), Error> {
        let left = self.http.delete(&self.location).await;
        self.vanish().await;
        left?;
        Ok(())
    }

    /// Leaves as a closed tab does: the connection ends, nobody asks.
    pub async fn vanish(self) {
        // What can't be closed is closed.
        let _closed = self.peer.close().await;
    }
}

struct Events {
    gathered: watch::Sender<bool>,
    seen: Arc<watch::Sender<bool>>,
    /// When the offer went out.
    offered: watch::Receiver<Instant>,
    meter: Arc<Meter>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        self.gathered
            .send_replace(state == RTCIceGatheringState::Complete);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        if track.kind().await != RtpCodecKind::Video {
            return; // The sound goes by unheard.
        }
        let (meter, seen) = (Arc::clone(&self.meter), Arc::clone(&self.seen));
        let offered = *self.offered.borrow();
        tokio::spawn(async move {
            let mut pictures = Pictures::new(meter, offered);
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    let header = &packet.header;
                    if pictures.packet(Instant::now(), header.sequence_number, header.marker) {
                        seen.send_replace(true);
                    }
                }
            }
        });
    }
}

/// The pictures of one viewer, as their packets come. What it lost is counted
/// when it is dropped.
struct Pictures {
    meter: Arc<Meter>,
    offered: Instant,
    last: Option<Instant>,
    /// First and highest sequence number, without their turning over.
    span: Option<(u64, u64)>,
    received: u64,
}

impl Pictures {
    fn new(meter: Arc<Meter>, offered: Instant) -> Self {
        Self {
            meter,
            offered,
            last: None,
            span: None,
            received: 0,
        }
    }

    /// Takes a packet; `marker` is set on a picture's last one. Whether this was
    /// the first picture.
    fn packet(&mut self, now: Instant, sequence: u16, marker: bool) -> bool {
        self.received += 1;
        self.meter.packets.fetch_add(1, Relaxed);
        self.span = Some(match self.span {
            None => (sequence.into(), sequence.into()),
            Some((first, highest)) => {
                // What seems more than half a turn ahead came late instead.
                let ahead = sequence.wrapping_sub(highest as u16);
                let ahead = if ahead < 0x8000 { u64::from(ahead) } else { 0 };
                (first, highest + ahead)
            }
        });
        if !marker {
            return false;
        }
        self.meter.frames.fetch_add(1, Relaxed);
        if let Some(last) = self.last.replace(now) {
            self.meter.gap(now - last);
            return false;
        }
        let first = (now - self.offered).as_micros() as u64;
        self.meter.first_us.fetch_max(first, Relaxed);
        self.meter.joins.fetch_add(1, Relaxed);
        self.meter.watching.fetch_add(1, Relaxed);
        true
    }
}

impl Drop for Pictures {
    fn drop(&mut self) {
        if self.last.is_some() {
            self.meter.watching.fetch_sub(1, Relaxed);
        }
        // As RFC 3550, A.3 counts it: what comes twice makes up for a loss.
        let expected = self.span.map_or(0, |(first, highest)| highest - first + 1);
        let lost = expected.saturating_sub(self.received);
        self.meter.lost.fetch_add(lost, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures() -> (Arc<Meter>, Pictures) {
        let meter = Arc::<Meter>::default();
        (Arc::clone(&meter), Pictures::new(meter, Instant::now()))
    }

    #[test]
    fn gaps_are_between_whole_pictures_and_the_first_counts_from_the_offer() {
        let (meter, mut pictures) = pictures();
        let at = |ms| pictures_time(&pictures, ms);
        let times = [at(100), at(110), at(140), at(150), at(300)];
        let marks = [false, true, false, true, true];
        let first: Vec<bool> = (7..)
            .zip(times.into_iter().zip(marks))
            .map(|(n, (time, mark))| pictures.packet(time, n, mark))
            .collect();
        assert_eq!(first, [false, true, false, false, false]);
        assert_eq!(Meter::take_ms(&meter.first_us), 110.0);
        assert_eq!(Meter::take_ms(&meter.gap_us), 150.0);
        assert_eq!(Meter::take_ms(&meter.gap_us), 0.0, "it was taken");
        assert_eq!(meter.frames.load(Relaxed), 3);
        assert_eq!(meter.watching.load(Relaxed), 1);
        drop(pictures);
        assert_eq!(meter.watching.load(Relaxed), 0);
        assert_eq!(meter.lost.load(Relaxed), 0);
    }

    fn pictures_time(pictures: &Pictures, ms: u64) -> Instant {
        pictures.offered + Duration::from_millis(ms)
    }

    #[test]
    fn what_never_comes_is_lost_and_what_comes_late_is_not() {
        let (meter, mut pictures) = pictures();
        let now = Instant::now();
        // Over the turn of the numbers: 1 and 3 are missing, 65534 comes late.
        for sequence in [65_533, 65_535, 65_534, 0, 2, 4] {
            pictures.packet(now, sequence, true);
        }
        drop(pictures);
        assert_eq!(meter.lost.load(Relaxed), 2);
    }
}
