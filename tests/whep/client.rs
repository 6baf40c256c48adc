//! A viewer, built from the same crate: it counts what it gets.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rtc::interceptor::{Interceptor, Packet, Slot, StreamInfo, TaggedPacket};
use rtc::peer_connection::transport::RTCDtlsTransportState;
use rtc::rtcp::goodbye::Goodbye;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::sansio::Protocol;
use tokio::sync::watch;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::*;

use super::http::{self, FRAGMENT, Reply, SDP};

/// Longer than anything takes, so that what never comes fails.
const FOREVER: std::time::Duration = std::time::Duration::from_secs(30);

/// What a viewer got.
#[derive(Default)]
pub struct Got {
    pub video: Vec<rtc::rtp::Packet>,
    pub audio: Vec<rtc::rtp::Packet>,
    pub reports: Vec<SenderReport>,
    pub goodbyes: usize,
    pub tracks: Vec<(RtpCodecKind, Arc<dyn TrackRemote>)>,
}

pub struct Client {
    pub pc: Arc<dyn PeerConnection>,
    pub got: watch::Receiver<Got>,
    pub state: watch::Receiver<RTCPeerConnectionState>,
    gathered: watch::Receiver<bool>,
    pub server: SocketAddr,
    pub location: String,
    pub etag: String,
    pub answer: String,
}

impl Client {
    /// Makes a connection that can offer, with `codecs` as the crate has them.
    pub async fn new(server: SocketAddr, video: Option<&str>) -> Self {
        let (got_tx, got) = watch::channel(Got::default());
        let got_tx = Arc::new(got_tx);
        let (state_tx, state) = watch::channel(RTCPeerConnectionState::New);
        let (gathered_tx, gathered) = watch::channel(false);
        let mut engine = MediaEngine::default();
        engine.register_default_codecs().expect("known codecs");
        let registry = register_default_interceptors(Registry::new(), &mut engine)
            .expect("known interceptors")
            .with(Slot::from(14_000), Listener::new(Arc::clone(&got_tx)));
        let settings = SettingEngineBuilder::new()
            .with_include_loopback_candidate(true)
            .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
            .build();
        let pc = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_setting_engine(settings)
            .with_handler(Arc::new(Handler {
                got: got_tx,
                state: state_tx,
                gathered: gathered_tx,
            }))
            .with_udp_addrs(vec!["127.0.0.1:0"])
            .build()
            .await
            .expect("a connection");
        let pc: Arc<dyn PeerConnection> = Arc::new(pc);
        if video.is_some() {
            pc.add_transceiver_from_kind(RtpCodecKind::Video, None)
                .await
                .expect("a section");
        }
        pc.add_transceiver_from_kind(RtpCodecKind::Audio, None)
            .await
            .expect("a section");
        Self {
            pc,
            got,
            state,
            gathered,
            server,
            location: String::new(),
            etag: String::new(),
            answer: String::new(),
        }
    }

    /// The offer, with all candidates.
    pub async fn offer(&mut self) -> String {
        let offer = self.pc.create_offer(None).await.expect("an offer");
        self.pc.set_local_description(offer).await.expect("set");
        let gathered = self.gathered.wait_for(|gathered| *gathered).await;
        assert!(*gathered.expect("gathering ends"));
        self.pc.local_description().await.expect("it is set").sdp
    }

    /// Offers, and takes the answer.
    pub async fn join(&mut self) -> Reply {
        let offer = self.offer().await;
        let reply = http::send(self.server, "POST", "/whep/live", &[SDP], &offer).await;
        self.take(&reply).await;
        reply
    }

    pub async fn take(&mut self, reply: &Reply) {
        assert_eq!(reply.status, 201, "{}", reply.body);
        self.location = reply.header("location").expect("Location").to_owned();
        self.etag = reply.header("etag").expect("ETag").to_owned();
        self.take_answer(reply.body.clone()).await;
    }

    pub async fn take_answer(&mut self, sdp: String) {
        self.answer.clone_from(&sdp);
        let answer = RTCSessionDescription::answer(sdp).expect("an answer");
        self.pc.set_remote_description(answer).await.expect("taken");
    }

    /// Joins a server and is ready when it sees something.
    pub async fn watching(server: SocketAddr) -> Self {
        let mut client = Self::new(server, Some("any")).await;
        client.join().await;
        client.until(|got| got.video.len() > 10).await;
        client
    }

    /// Waits for what it gets.
    pub async fn until(&mut self, enough: impl FnMut(&Got) -> bool) {
        let waited = tokio::time::timeout(FOREVER, self.got.wait_for(enough)).await;
        let waited = waited.is_ok_and(|got| got.is_ok());
        let got = self.got.borrow();
        assert!(
            waited,
            "it got {} pictures' packets, {} of sound, {} reports, {} goodbyes",
            got.video.len(),
            got.audio.len(),
            got.reports.len(),
            got.goodbyes
        );
    }

    /// Waits until it knows that the server has hung up.
    pub async fn hung_up(&self) {
        let looks = async {
            loop {
                let receivers = self.pc.get_receivers().await;
                let transport = receivers[0].transport().await.expect("it is open");
                let state = transport.expect("connected").state().await;
                if state.expect("it has one") == RTCDtlsTransportState::Closed {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let closed = tokio::time::timeout(FOREVER, looks).await;
        closed.expect("told by DTLS");
    }

    pub async fn trickle(&self, headers: &[(&str, &str)], fragment: &str) -> Reply {
        let mut all = vec![FRAGMENT];
        all.extend(headers);
        http::send(self.server, "PATCH", &self.location, &all, fragment).await
    }

    pub async fn leave(&self) -> Reply {
        http::send(self.server, "DELETE", &self.location, &[], "").await
    }

    /// Asks for a key frame.
    pub async fn lose_picture(&self) {
        let media_ssrc = self.got.borrow().video[0].header.ssrc;
        self.tell(PictureLossIndication {
            sender_ssrc: 0,
            media_ssrc,
        })
        .await;
    }

    /// Asks for the pictures' packet `sequence` again.
    pub async fn lose_packet(&self, sequence: u16) {
        let media_ssrc = self.got.borrow().video[0].header.ssrc;
        let nacks = vec![NackPair {
            packet_id: sequence,
            lost_packets: 0,
        }];
        self.tell(TransportLayerNack {
            sender_ssrc: 0,
            media_ssrc,
            nacks,
        })
        .await;
    }

    async fn tell(&self, packet: impl rtc::rtcp::Packet + 'static) {
        let track = {
            let got = self.got.borrow();
            let video = got.tracks.iter().find(|(k, _)| *k == RtpCodecKind::Video);
            Arc::clone(&video.expect("it watches").1)
        };
        track
            .write_rtcp(vec![Box::new(packet)])
            .await
            .expect("sent");
    }

    pub async fn close(self) {
        self.pc.close().await.expect("closed");
    }
}

/// A viewer that can go without a word.
pub struct Vanishing(tokio::runtime::Runtime);

impl Vanishing {
    pub async fn watching(server: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let watching = runtime.spawn(Client::watching(server));
        watching.await.expect("it watches");
        Self(runtime)
    }

    pub fn vanish(self) {
        self.0.shutdown_background();
    }
}

struct Handler {
    got: Arc<watch::Sender<Got>>,
    state: watch::Sender<RTCPeerConnectionState>,
    gathered: watch::Sender<bool>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        self.gathered
            .send_replace(state == RTCIceGatheringState::Complete);
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.state.send_replace(state);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let kind = track.kind().await;
        self.got
            .send_modify(|got| got.tracks.push((kind, Arc::clone(&track))));
        let got = Arc::clone(&self.got);
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    got.send_modify(|got| match kind {
                        RtpCodecKind::Audio => got.audio.push(packet),
                        _ => got.video.push(packet),
                    });
                }
            }
        });
    }
}

/// Writes down the RTCP that comes in.
struct Listener {
    got: Arc<watch::Sender<Got>>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Listener {
    fn new(got: Arc<watch::Sender<Got>>) -> Self {
        Self {
            got,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Listener {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = rtc::shared::error::Error;
    type Time = Instant;

    fn handle_read(&mut self, read: TaggedPacket) -> Result<(), Self::Error> {
        if let Packet::Rtcp(packets) = &read.message.packet {
            self.got.send_modify(|got| {
                for packet in packets {
                    let packet = packet.as_any();
                    got.reports
                        .extend(packet.downcast_ref::<SenderReport>().cloned());
                    got.goodbyes += usize::from(packet.is::<Goodbye>());
                }
            });
        }
        self.reads.push_back(read);
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

impl Interceptor for Listener {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
