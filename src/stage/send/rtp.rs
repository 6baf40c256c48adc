//! One stream of RTP: packets of media become packets of the network.
//!
//! A timestamp is the packet's `pts` in the stream's own clock plus one random
//! offset, never a sum of lengths: a stream that skips stays in time.

use std::time::Duration;

use rtc::rtp::codec::h264::H264Payloader;
use rtc::rtp::codec::opus::OpusPayloader;
use rtc::rtp::codec::vp8::Vp8Payloader;
use rtc::rtp::header::Header;
use rtc::rtp::packetizer::Payloader;

use crate::media::{Codec, Packet, SOUND_RATE};

/// Bytes of a payload. With RTP, SRTP, RTX, UDP and IP around it a datagram
/// stays under the 1280 bytes that every path carries.
const PAYLOAD_BYTES: usize = 1_180;

/// Ticks a second of a picture's timestamp.
const VIDEO_RATE: u32 = 90_000;

/// A stream to one viewer.
#[derive(Debug)]
pub(super) struct Stream {
    /// Who sends, in every packet.
    pub(super) ssrc: u32,
    payload_type: u8,
    timeline: Timeline,
    sequence: u16,
    payloader: Box<dyn Payloader>,
}

/// How a stream counts time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeline {
    rate: u32,
    offset: u32,
}

impl Timeline {
    /// The timestamp of the moment `pts`.
    pub(super) fn timestamp(self, pts: Duration) -> u32 {
        let ticks = (pts.as_nanos() * u128::from(self.rate) + 500_000_000) / 1_000_000_000;
        // Timestamps wrap, as RFC 3550 says.
        self.offset.wrapping_add(ticks as u32)
    }
}

impl Stream {
    /// A stream of `codec` under the negotiated `payload_type`.
    pub(super) fn new(codec: Codec, payload_type: u8) -> Self {
        let (rate, payloader): (u32, Box<dyn Payloader>) = match codec {
            Codec::H264 => (VIDEO_RATE, Box::<H264Payloader>::default()),
            Codec::Vp8 => {
                let mut payloader = Vp8Payloader::default();
                payloader.enable_picture_id = true;
                (VIDEO_RATE, Box::new(payloader))
            }
            Codec::Opus => (SOUND_RATE, Box::new(OpusPayloader)),
        };
        Self {
            ssrc: rand::random(),
            payload_type,
            timeline: Timeline {
                rate,
                offset: rand::random(),
            },
            // The lower half, as RFC 3711 asks: SRTP guesses the wraps.
            sequence: rand::random::<u16>() >> 1,
            payloader,
        }
    }

    /// How this stream counts time.
    pub(super) fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// Cuts `packet`. A packet that the codec's format can't carry is left out.
    pub(super) fn packetize(&mut self, packet: &Packet) -> Vec<rtc::rtp::Packet> {
        let payloads = self.payloader.payload(PAYLOAD_BYTES, &packet.data);
        let payloads = payloads.unwrap_or_default();
        let timestamp = self.timeline.timestamp(packet.pts);
        let last = payloads.len().saturating_sub(1);
        let cut = payloads.into_iter().enumerate().map(|(n, payload)| {
            let header = Header {
                version: 2,
                // The end of a picture. Sound has the mark only after silence.
                marker: n == last && packet.codec != Codec::Opus,
                payload_type: self.payload_type,
                sequence_number: self.sequence,
                timestamp,
                ssrc: self.ssrc,
                ..Header::default()
            };
            self.sequence = self.sequence.wrapping_add(1);
            rtc::rtp::Packet { header, payload }
        });
        cut.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn packet(codec: Codec, pts: Duration, bytes: usize) -> Packet {
        let mut data = vec![0xAA; bytes];
        if codec == Codec::H264 {
            data[..5].copy_from_slice(&[0, 0, 0, 1, 0x65]);
        }
        Packet {
            codec,
            pts,
            key: true,
            accepted: None,
            data: Bytes::from(data),
        }
    }

    #[test]
    fn timestamps_are_the_moment_in_the_streams_clock() {
        for (codec, rate) in [(Codec::H264, 90_000), (Codec::Opus, 48_000)] {
            let mut stream = Stream::new(codec, 100);
            let zero = stream.timeline().timestamp(Duration::ZERO);
            for seconds in [0_u32, 1, 3_600, 100_000] {
                let pts = Duration::from_secs(seconds.into());
                let sent = stream.packetize(&packet(codec, pts, 100));
                let ticks = sent[0].header.timestamp.wrapping_sub(zero);
                assert_eq!(ticks, rate_times(rate, seconds));
            }
        }
    }

    fn rate_times(rate: u32, seconds: u32) -> u32 {
        rate.wrapping_mul(seconds)
    }

    #[test]
    fn a_picture_is_cut_and_its_last_packet_is_marked() {
        for codec in [Codec::H264, Codec::Vp8] {
            let mut stream = Stream::new(codec, 100);
            let first = stream.packetize(&packet(codec, Duration::ZERO, 5_000));
            let second = stream.packetize(&packet(codec, Duration::from_millis(40), 100));
            assert!(first.len() >= 5, "{codec:?}: {}", first.len());
            assert_eq!(second.len(), 1);
            let marks = first.iter().filter(|cut| cut.header.marker).count();
            assert!(first.last().is_some_and(|cut| cut.header.marker) && marks == 1);
            for (a, b) in first
                .iter()
                .chain(&second)
                .zip(first.iter().chain(&second).skip(1))
            {
                let step = b
                    .header
                    .sequence_number
                    .wrapping_sub(a.header.sequence_number);
                assert_eq!(step, 1);
                assert!(a.payload.len() <= PAYLOAD_BYTES);
            }
        }
    }

    #[test]
    fn sound_is_never_cut_nor_marked() {
        let mut stream = Stream::new(Codec::Opus, 111);
        let sent = stream.packetize(&packet(Codec::Opus, Duration::ZERO, 300));
        assert_eq!(sent.len(), 1);
        assert!(!sent[0].header.marker);
    }
}
