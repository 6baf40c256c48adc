//! Codecs, as the connection wants to know them.

use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind,
};
use webrtc::peer_connection::MediaEngine;

use super::section::Chosen;
use crate::media::Codec;

/// Registers `chosen` as the offer numbers it: the only one of its kind.
pub(super) fn register(engine: &mut MediaEngine, chosen: &Chosen) -> webrtc::error::Result<()> {
    let kind = kind(chosen.codec);
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

/// Whether it is sound or picture.
pub(super) fn kind(codec: Codec) -> RtpCodecKind {
    match codec {
        Codec::Opus => RtpCodecKind::Audio,
        Codec::H264 | Codec::Vp8 => RtpCodecKind::Video,
    }
}

/// What was chosen.
pub(super) fn codec(chosen: &Chosen) -> RTCRtpCodec {
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
