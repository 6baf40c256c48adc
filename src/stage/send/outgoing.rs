//! A viewer's connection: the tracks that it is sent.

use std::sync::Arc;

use rtc::interceptor::{NackResponderBuilder, Slot};
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters, RtpCodecKind,
};
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{MediaEngine, PeerConnection, Registry};
use webrtc::rtp_transceiver::RtpSender;

use super::OfferError;
use super::codec::{codec, kind, register};
use super::connect::{Connection, failed};
use super::offer::Wanted;
use super::port::Port;
use super::reports::{Reports, STREAM, Talk};
use super::rtp::Stream;
use super::section::Chosen;
use super::viewer::Track;
use crate::media::Codec;

/// Packets kept for retransmission: two seconds of 2 Mbit/s.
const KEPT_PACKETS: u16 = 512;

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

/// Answers a viewer with a connection over `port`.
pub(super) async fn answer(port: &Port, wanted: Wanted) -> Result<Begun, OfferError> {
    let Wanted {
        offer,
        video: picture,
        audio: sound,
    } = wanted;
    let mut engine = MediaEngine::default();
    register(&mut engine, &picture).map_err(failed)?;
    let video = Stream::new(picture.codec, picture.payload_type);
    let mut audio = None;
    if let Some(chosen) = &sound {
        register(&mut engine, chosen).map_err(failed)?;
        audio = Some(Stream::new(chosen.codec, chosen.payload_type));
    }
    let talk = Arc::<Talk>::default();
    let reports = Reports::new(Arc::clone(&talk), audio.iter().chain([&video]));
    let resend = NackResponderBuilder::new().with_size(KEPT_PACKETS).build();
    let registry = Registry::new()
        .with(Slot::NackResponder, resend)
        .with(Slot::SenderReport, reports);
    let mut connection = Connection::new(port, offer, engine, registry, talk).await?;
    let peer = &*connection.peer;
    let (video, sender) = add(peer, video, &picture).await.map_err(failed)?;
    let audio = match (audio, &sound) {
        (Some(stream), Some(chosen)) => {
            let (audio, _) = add(peer, stream, chosen).await.map_err(failed)?;
            Some(audio)
        }
        _ => None,
    };
    let (sdp, etag) = connection.agree(port).await?;
    connection.transport = sender.transport().await.map_err(failed)?;
    let streams = Streams {
        codec: picture.codec,
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

/// A track for `stream`, sent as `chosen`.
async fn add(
    peer: &dyn PeerConnection,
    stream: Stream,
    chosen: &Chosen,
) -> webrtc::error::Result<(Track, Arc<dyn RtpSender>)> {
    let kind = kind(chosen.codec);
    let name = match kind {
        RtpCodecKind::Audio => "sound",
        _ => "picture",
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
