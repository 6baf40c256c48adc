//! What the viewer and we tell each other by RTCP.
//!
//! Receivers lay sound and picture together by the sender reports. Both
//! streams' reports are made at one moment from one clock, the show's own: the
//! crate's reports would relate each stream to the moments at which its packets
//! happened to leave, and sound leaves before its picture.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp;
use rtc::rtcp::goodbye::Goodbye;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::source_description::{
    SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem,
};
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::time::SystemInstant;
use tokio::sync::Notify;

use super::lock;
use super::rtp::{Stream, Timeline};

/// The one stream that both tracks belong to, and its canonical name in RTCP.
pub(super) const STREAM: &str = "mouthpiece";

/// Time between reports.
const EVERY: Duration = Duration::from_secs(1);

/// Weight of one packet in the clock: what a busy machine adds to the leaving
/// of a single packet moves the clock by a 256th of it, while a sound card
/// that runs fast is followed within seconds.
const WEIGHT: f64 = 1.0 / 256.0;

/// A step of the stream against this machine's clock that is no jitter.
const JUMP_S: f64 = 0.5;

/// Relates the show's time to this machine's.
#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<Option<Relation>>);

#[derive(Clone, Copy, Debug)]
struct Relation {
    origin: Instant,
    /// Seconds from `origin` to the moment at which `pts` was zero.
    zero_s: f64,
}

impl Clock {
    /// Notes that a packet of the moment `pts` left at `now`.
    pub(super) fn left(&self, now: Instant, pts: Duration) {
        let mut relation = lock(&self.0);
        let origin = relation.map_or(now, |relation| relation.origin);
        let zero_s = (now - origin).as_secs_f64() - pts.as_secs_f64();
        let zero_s = match *relation {
            Some(old) if (zero_s - old.zero_s).abs() < JUMP_S => {
                old.zero_s + (zero_s - old.zero_s) * WEIGHT
            }
            _ => zero_s,
        };
        *relation = Some(Relation { origin, zero_s });
    }

    /// The moment of the show at `now`.
    fn pts(&self, now: Instant) -> Option<Duration> {
        let relation = (*lock(&self.0))?;
        let pts_s = now.saturating_duration_since(relation.origin).as_secs_f64() - relation.zero_s;
        Some(Duration::from_secs_f64(pts_s.max(0.0)))
    }
}

/// What the viewer's task and its connection's RTCP share.
#[derive(Debug, Default)]
pub(super) struct Talk {
    /// The show's clock.
    pub(super) clock: Clock,
    /// The viewer asked for a key frame.
    pub(super) key_wanted: Notify,
    /// The end: say goodbye.
    pub(super) leaving: AtomicBool,
}

/// Sends the reports of a connection's streams, and hears its requests.
pub(super) struct Reports {
    talk: Arc<Talk>,
    streams: Vec<Sent>,
    next: Option<Instant>,
    said_goodbye: bool,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

struct Sent {
    ssrc: u32,
    timeline: Timeline,
    packets: u32,
    bytes: u32,
}

impl Reports {
    /// Reports about `streams`.
    pub(super) fn new<'a>(talk: Arc<Talk>, streams: impl IntoIterator<Item = &'a Stream>) -> Self {
        let streams = streams.into_iter().map(|stream| Sent {
            ssrc: stream.ssrc,
            timeline: stream.timeline(),
            packets: 0,
            bytes: 0,
        });
        Self {
            talk,
            streams: streams.collect(),
            next: None,
            said_goodbye: false,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }

    fn report(&mut self, now: Instant) {
        let Some(pts) = self.talk.clock.pts(now) else {
            return;
        };
        let ntp_time = SystemInstant::now(now).ntp(now);
        for stream in self.streams.iter().filter(|stream| stream.packets > 0) {
            let report = SenderReport {
                ssrc: stream.ssrc,
                ntp_time,
                rtp_time: stream.timeline.timestamp(pts),
                packet_count: stream.packets,
                octet_count: stream.bytes,
                ..SenderReport::default()
            };
            let name = SourceDescription {
                chunks: vec![SourceDescriptionChunk {
                    source: stream.ssrc,
                    items: vec![SourceDescriptionItem {
                        sdes_type: SdesType::SdesCname,
                        text: Bytes::from_static(STREAM.as_bytes()),
                    }],
                }],
            };
            let compound = vec![boxed(report), boxed(name)];
            self.writes.push_back(tagged(now, compound));
        }
    }

    fn say_goodbye(&mut self) {
        self.said_goodbye = true;
        let sources = self.streams.iter().map(|stream| stream.ssrc).collect();
        let goodbye = Goodbye {
            sources,
            reason: Bytes::from_static(b"the show is over"),
        };
        self.writes
            .push_back(tagged(Instant::now(), vec![boxed(goodbye)]));
    }
}

fn boxed(packet: impl rtcp::Packet + 'static) -> Box<dyn rtcp::Packet> {
    Box::new(packet)
}

fn tagged(now: Instant, packets: Vec<Box<dyn rtcp::Packet>>) -> TaggedPacket {
    TaggedPacket {
        now,
        transport: TransportContext::default(),
        message: AttributedPacket::new(Packet::Rtcp(packets)),
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Reports {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = rtc::shared::error::Error;
    type Time = Instant;

    fn handle_read(&mut self, read: TaggedPacket) -> Result<(), Self::Error> {
        if let Packet::Rtcp(packets) = &read.message.packet {
            let mut packets = packets.iter().map(|packet| packet.as_any());
            if packets.any(|p| p.is::<PictureLossIndication>() || p.is::<FullIntraRequest>()) {
                self.talk.key_wanted.notify_one();
            }
        }
        self.reads.push_back(read);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, write: TaggedPacket) -> Result<(), Self::Error> {
        if let Packet::Rtp(packet) = &write.message.packet {
            let ssrc = packet.header.ssrc;
            if let Some(sent) = self.streams.iter_mut().find(|sent| sent.ssrc == ssrc) {
                // A stream's first packet is followed by its report at once.
                if sent.packets == 0 {
                    self.next = Some(write.now);
                }
                sent.packets = sent.packets.wrapping_add(1);
                sent.bytes = sent.bytes.wrapping_add(packet.payload.len() as u32);
            }
        }
        self.writes.push_back(write);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        if self.writes.is_empty() && !self.said_goodbye && self.talk.leaving.load(Relaxed) {
            self.say_goodbye();
        }
        self.writes.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Self::Error> {
        if self.next.is_some_and(|next| now >= next) {
            self.next = Some(now + EVERY);
            self.report(now);
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.next
    }
}

impl Interceptor for Reports {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Codec;

    const MS: Duration = Duration::from_millis(1);

    fn sent(stream: &Stream, now: Instant) -> TaggedPacket {
        let mut packet = rtc::rtp::Packet::default();
        packet.header.ssrc = stream.ssrc;
        TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(Packet::Rtp(packet)),
        }
    }

    fn reports(reports: &mut Reports) -> Vec<SenderReport> {
        let written = std::iter::from_fn(|| reports.poll_write());
        let rtcp = written.filter_map(|written| match written.message.packet {
            Packet::Rtcp(packets) => Some(packets),
            _ => None,
        });
        rtcp.flatten()
            .filter_map(|packet| packet.as_any().downcast_ref::<SenderReport>().cloned())
            .collect()
    }

    #[test]
    fn both_streams_are_reported_at_one_moment_of_one_clock() {
        let (video, sound) = (Stream::new(Codec::H264, 1), Stream::new(Codec::Opus, 2));
        let talk = Arc::<Talk>::default();
        let mut chain = Reports::new(Arc::clone(&talk), [&video, &sound]);
        let start = Instant::now();
        talk.clock.left(start, Duration::from_secs(7));
        for stream in [&sound, &video] {
            chain.handle_write(sent(stream, start)).expect("taken");
        }
        assert_eq!(chain.poll_timeout(), Some(start), "the first is at once");
        chain.handle_timeout(start + 250 * MS).expect("in time");
        let sent = reports(&mut chain);
        let ticks = |stream: &Stream, report: &SenderReport| {
            let zero = stream.timeline().timestamp(Duration::ZERO);
            f64::from(report.rtp_time.wrapping_sub(zero))
        };
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[0].ntp_time, sent[1].ntp_time);
        assert!((ticks(&video, &sent[0]) / 90_000.0 - 7.25).abs() < 1e-4);
        assert!((ticks(&sound, &sent[1]) / 48_000.0 - 7.25).abs() < 1e-4);
    }

    #[test]
    fn the_clock_follows_drift_and_ignores_jitter() {
        let clock = Clock::default();
        let start = Instant::now();
        // An hour of a sound card that is 100 millionths fast, on a machine
        // that delays every other packet by 8 ms.
        for n in 0..180_000_u32 {
            let late = MS * 8 * (n % 2);
            let pts = (MS * 20 * n).mul_f64(1.0001);
            clock.left(start + MS * 20 * n + late, pts);
        }
        let now = start + Duration::from_secs(3_600);
        let pts = clock.pts(now).expect("it has heard a lot").as_secs_f64();
        assert!((pts - 3_600.36 + 0.004).abs() < 0.002, "{pts}");
    }

    #[test]
    fn goodbye_is_said_once() {
        let video = Stream::new(Codec::H264, 1);
        let talk = Arc::<Talk>::default();
        let mut chain = Reports::new(Arc::clone(&talk), [&video]);
        assert!(chain.poll_write().is_none());
        talk.leaving.store(true, Relaxed);
        assert!(chain.poll_write().is_some());
        assert!(chain.poll_write().is_none());
    }
}
