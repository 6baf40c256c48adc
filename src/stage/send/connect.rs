//! A viewer's peer connection, from its offer to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rtc::ice::mdns::MulticastDnsMode;
use rtc::ice::network_type::NetworkType;
use rtc::interceptor::{NackResponderBuilder, Slot};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::transport::RTCDtlsTransportState as DtlsState;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters,
    RTCRtpEncodingParameters, RTCRtpRtxParameters, RtpCodecKind,
};
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCIceCandidateInit, RTCPeerConnectionState as State, RTCSessionDescription, Registry,
    SettingEngine, SettingEngineBuilder,
};
use webrtc::rtp_transceiver::RtpSender;

use super::line::Line;
use super::offer::{self, Offer};
use super::port::Port;
use super::reports::{Reports, Talk};
use super::rtp::Stream;
use super::section::{CANDIDATES, Chosen};
use super::trickle::{self, Fragment};
use super::viewer::Track;
use super::{OfferError, TrickleError, Trickled, random_name};
use crate::media::Codec;

/// A viewer unheard for so long is in doubt …
const DISCONNECTED: Duration = Duration::from_secs(5);
/// … and after so long again it has left.
const FAILED: Duration = Duration::from_secs(5);
/// Time between checks of whether the viewer is still there.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// Time between checks of one candidate, while connecting. The handshake of
/// DTLS begins with the first check after the candidate was agreed.
const CHECK_EVERY: Duration = Duration::from_millis(20);
/// Checks of one candidate by ourselves: half a second's, enough to open a
/// router for the viewer's own, which we answer for as long as they come.
const CHECKS: u16 = 25;

/// Time between looks at whether the viewer has hung up.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Packets kept for retransmission: two seconds of 2 Mbit/s.
const KEPT_PACKETS: u16 = 512;

/// The one stream that both tracks belong to, and its canonical name in RTCP.
pub(super) const STREAM: &str = "mouthpiece";

/// Our side of a viewer's connection. It must be closed.
pub(super) struct Connection {
    /// What the task shares with the connection's RTCP.
    pub(super) talk: Arc<Talk>,
    peer: Arc<dyn PeerConnection>,
    line: Arc<Line>,
    state: watch::Receiver<State>,
    /// Tells the state of the transport, which closes without an event.
    sender: Option<Arc<dyn RtpSender>>,
    agreed: Mutex<Agreed>,
}

/// What trickling changes.
struct Agreed {
    offer: Offer,
    etag: String,
    candidates: usize,
}

/// The media of a connection.
pub(super) struct Streams {
    /// The codec of the pictures.
    pub(super) codec: Codec,
    /// The pictures.
    pub(super) video: Track,
    /// The sound, if the viewer wants it.
    pub(super) audio: Option<Track>,
}

/// What a connection begins with.
pub(super) struct Begun {
    /// The connection.
    pub(super) connection: Connection,
    /// Its media.
    pub(super) streams: Streams,
    /// The answer for the viewer.
    pub(super) sdp: String,
    /// The ETag of what was agreed.
    pub(super) etag: String,
}

/// Answers `offer` with a connection over `port`.
pub(super) async fn answer(port: &Port, offer: Offer) -> Result<Begun, OfferError> {
    let failed = |error: webrtc::error::Error| OfferError::Failed(error.to_string());
    let broken = |error: webrtc::error::Error| OfferError::Broken(error.to_string());

    let mut engine = MediaEngine::default();
    register(&mut engine, &offer.video).map_err(failed)?;
    let video = Stream::new(offer.video.codec, offer.video.payload_type);
    let mut audio = None;
    if let Some(chosen) = &offer.audio {
        register(&mut engine, chosen).map_err(failed)?;
        audio = Some(Stream::new(chosen.codec, chosen.payload_type));
    }
    let talk = Arc::<Talk>::default();
    let reports = Reports::new(Arc::clone(&talk), audio.iter().chain([&video]));
    let resend = NackResponderBuilder::new().with_size(KEPT_PACKETS).build();
    let registry = Registry::new()
        .with(Slot::NackResponder, resend)
        .with(Slot::SenderReport, reports);
    let (told, state) = watch::channel(State::New);
    let line = port.line();
    let peer = PeerConnectionBuilder::new()
        .with_runtime(line.runtime())
        .with_media_engine(engine)
        .with_interceptor_registry(registry)
        .with_setting_engine(settings())
        .with_handler(Arc::new(Events(told)))
        // The label under which the connection knows the port.
        .with_udp_addrs(vec!["127.0.0.1:0"])
        .build()
        .await
        .map_err(failed)?;
    let mut connection = Connection {
        talk,
        peer: Arc::new(peer),
        line,
        state,
        sender: None,
        agreed: Mutex::new(Agreed {
            offer,
            etag: random_name(),
            candidates: 0,
        }),
    };
    let agreed = connection.agreed.get_mut();
    let (offer, etag) = (&agreed.offer, agreed.etag.clone());

    let peer = &*connection.peer;
    let (video, sender) = add(peer, video, &offer.video).await.map_err(failed)?;
    connection.sender = Some(sender);
    let audio = match (audio, &offer.audio) {
        (Some(stream), Some(chosen)) => {
            let (audio, _) = add(peer, stream, chosen).await.map_err(failed)?;
            Some(audio)
        }
        _ => None,
    };
    let ours = accept(&*connection.peer, &connection.line, &offer.sdp)
        .await
        .map_err(broken)?;
    let sdp = offer.answer(&ours, &port.candidates());
    let streams = Streams {
        codec: offer.video.codec,
        video,
        audio,
    };
    Ok(Begun {
        connection,
        streams,
        sdp,
        etag,
    })
}

impl Connection {
    /// Waits until the connection is in one of `states`.
    pub(super) async fn reaches(&self, states: &[State]) -> State {
        let mut state = self.state.clone();
        let reached = state.wait_for(|state| states.contains(state)).await;
        // Without anybody to tell the state, it is the last one.
        reached.map_or(State::Closed, |state| *state)
    }

    /// Waits until the viewer has closed its side. Who goes without a word is
    /// missed by ICE instead, and later.
    pub(super) async fn hung_up(&self) {
        let Some(sender) = &self.sender else { return };
        loop {
            sleep(LOOK_EVERY).await;
            let Ok(Some(transport)) = sender.transport().await else {
                return;
            };
            if !matches!(transport.state().await, Ok(DtlsState::Connected)) {
                return;
            }
        }
    }

    /// Takes a fragment that the viewer sent under the ETag `if_match`.
    pub(super) async fn trickle(
        &self,
        port: &Port,
        if_match: Option<&str>,
        fragment: &str,
    ) -> Result<Trickled, TrickleError> {
        let broken = |_| TrickleError::Broken("its candidates or credentials can't be read");
        let fragment = Fragment::read(fragment)?;
        let mut agreed = self.agreed.lock().await;
        let if_match = if_match.map(|etag| etag.trim().trim_matches('"'));
        let matches = matches!(if_match, None | Some("*")) || if_match == Some(&*agreed.etag);
        if !matches {
            return Err(TrickleError::Stale);
        }
        let known = offer::ufrag(&agreed.offer.sdp);
        let new = fragment
            .credentials
            .filter(|(ufrag, _)| Some(*ufrag) != known);
        let Some(credentials) = new else {
            for candidate in fragment.candidates {
                if agreed.candidates >= CANDIDATES {
                    break;
                }
                agreed.candidates += 1;
                let candidate = RTCIceCandidateInit {
                    candidate: candidate.to_owned(),
                    ..RTCIceCandidateInit::default()
                };
                self.peer
                    .add_ice_candidate(candidate)
                    .await
                    .map_err(broken)?;
            }
            return Ok(Trickled::Added);
        };
        if if_match.is_none() {
            return Err(TrickleError::Unconditional);
        }
        let sdp = trickle::renewed(&agreed.offer.sdp, credentials, &fragment.candidates);
        let ours = accept(&*self.peer, &self.line, &sdp)
            .await
            .map_err(broken)?;
        agreed.candidates = fragment.candidates.len();
        agreed.offer.sdp = sdp;
        agreed.etag = random_name();
        let answer = agreed.offer.answer(&ours, &port.candidates());
        Ok(Trickled::Restarted {
            etag: agreed.etag.clone(),
            fragment: trickle::fragment(&answer),
        })
    }

    /// Says goodbye and ends the connection.
    pub(super) async fn close(&self) {
        self.talk.leaving.store(true, Relaxed);
        if let Err(error) = self.peer.close().await {
            tracing::debug!(%error, "a connection did not close in order");
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A connection runs until it is closed, also when what made it failed.
        if !self.talk.leaving.swap(true, Relaxed)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let peer = Arc::clone(&self.peer);
            runtime.spawn(async move { peer.close().await });
        }
    }
}

/// Gives `sdp` to the connection; returns its answer. What the viewer sends
/// under the answer's user name comes to `line`.
async fn accept(
    peer: &dyn PeerConnection,
    line: &Line,
    sdp: &str,
) -> webrtc::error::Result<String> {
    let offer = RTCSessionDescription::offer(sdp.to_owned())?;
    peer.set_remote_description(offer).await?;
    let answer = peer.create_answer(None).await?;
    let ours = answer.sdp.clone();
    if let Some(ufrag) = offer::ufrag(&ours) {
        line.answer_to(ufrag);
    }
    peer.set_local_description(answer).await?;
    Ok(ours)
}

/// A track for `stream`, sent as `chosen`.
async fn add(
    peer: &dyn PeerConnection,
    stream: Stream,
    chosen: &Chosen,
) -> webrtc::error::Result<(Track, Arc<dyn RtpSender>)> {
    let (kind, name) = match chosen.codec {
        Codec::Opus => (RtpCodecKind::Audio, "sound"),
        Codec::H264 | Codec::Vp8 => (RtpCodecKind::Video, "picture"),
    };
    let again = chosen.retransmission.map(|_| RTCRtpRtxParameters {
        ssrc: rand::random(),
    });
    let coding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(stream.ssrc),
            rtx: again,
            ..RTCRtpCodingParameters::default()
        },
        codec: codec(chosen),
        ..RTCRtpEncodingParameters::default()
    };
    let track = MediaStreamTrack::new(
        STREAM.to_owned(),
        name.to_owned(),
        name.to_owned(),
        kind,
        vec![coding],
    );
    let track = Arc::new(TrackLocalStaticRTP::new(track));
    let sender = peer.add_track(Arc::clone(&track) as _).await?;
    Ok((Track::new(stream, track), sender))
}

/// Registers `chosen` as the viewer numbered it: the only one of its kind.
fn register(engine: &mut MediaEngine, chosen: &Chosen) -> webrtc::error::Result<()> {
    let kind = match chosen.codec {
        Codec::Opus => RtpCodecKind::Audio,
        Codec::H264 | Codec::Vp8 => RtpCodecKind::Video,
    };
    let media = RTCRtpCodecParameters {
        rtp_codec: codec(chosen),
        payload_type: chosen.payload_type,
    };
    engine.register_codec(media, kind)?;
    if let Some(payload_type) = chosen.retransmission {
        let again = RTCRtpCodec {
            mime_type: "video/rtx".to_owned(),
            clock_rate: 90_000,
            sdp_fmtp_line: format!("apt={}", chosen.payload_type),
            ..RTCRtpCodec::default()
        };
        let again = RTCRtpCodecParameters {
            rtp_codec: again,
            payload_type,
        };
        engine.register_codec(again, kind)?;
    }
    Ok(())
}

fn codec(chosen: &Chosen) -> RTCRtpCodec {
    let (mime_type, clock_rate, channels) = match chosen.codec {
        Codec::H264 => ("video/H264", 90_000, 0),
        Codec::Vp8 => ("video/VP8", 90_000, 0),
        Codec::Opus => ("audio/opus", 48_000, 2),
    };
    let feedback = [("nack", ""), ("nack", "pli"), ("ccm", "fir")];
    let feedback = feedback.map(|(typ, parameter)| RTCPFeedback {
        typ: typ.to_owned(),
        parameter: parameter.to_owned(),
    });
    RTCRtpCodec {
        mime_type: mime_type.to_owned(),
        clock_rate,
        channels,
        sdp_fmtp_line: chosen.parameters.clone(),
        rtcp_feedback: match chosen.codec {
            Codec::Opus => Vec::new(),
            Codec::H264 | Codec::Vp8 => feedback.to_vec(),
        },
    }
}

fn settings() -> SettingEngine {
    SettingEngineBuilder::new()
        .with_include_loopback_candidate(true)
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .with_network_types(vec![NetworkType::Udp4])
        .with_ice_timeouts(Some(DISCONNECTED), Some(FAILED), Some(KEEPALIVE))
        .with_ice_connection_attempts(Some(CHECK_EVERY), Some(CHECKS))
        .build()
}

/// Tells the connection's state.
struct Events(watch::Sender<State>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_connection_state_change(&self, state: State) {
        self.0.send_replace(state);
    }
}
