//! A peer connection over the port, from an offer to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rtc::ice::mdns::MulticastDnsMode;
use rtc::ice::network_type::NetworkType;
use rtc::peer_connection::transport::RTCDtlsTransportState as DtlsState;
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};
use webrtc::peer_connection::transport::DtlsTransport;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCIceCandidateInit, RTCPeerConnectionState as State, RTCSessionDescription, Registry,
    SettingEngine, SettingEngineBuilder,
};

use super::line::Line;
use super::offer::{self, Offer};
use super::port::Port;
use super::reports::Talk;
use super::section::CANDIDATES;
use super::trickle::{self, Fragment};
use super::{OfferError, TrickleError, Trickled, random_name};

/// How long an offer may take to become a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Who is unheard for so long is in doubt …
const DISCONNECTED: Duration = Duration::from_secs(5);
/// … and after so long again has left.
const FAILED: Duration = Duration::from_secs(5);
/// Time between checks of whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// Time between checks of one candidate, while connecting. The handshake of
/// DTLS begins with the first check after the candidate was agreed.
const CHECK_EVERY: Duration = Duration::from_millis(20);
/// Checks of one candidate by ourselves: half a second's, enough to open a
/// router for the other side's own, which we answer for as long as they come.
const CHECKS: u16 = 25;

/// Time between looks at whether the other side has hung up.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Our side of a connection. It must be closed.
pub(super) struct Connection {
    /// What its task shares with its RTCP.
    pub(super) talk: Arc<Talk>,
    /// The connection itself.
    pub(super) peer: Arc<dyn PeerConnection>,
    line: Arc<Line>,
    state: watch::Receiver<State>,
    /// It closes without an event.
    pub(super) transport: Option<Arc<dyn DtlsTransport>>,
    agreed: Mutex<Agreed>,
}

/// What trickling changes.
struct Agreed {
    offer: Offer,
    etag: String,
    candidates: usize,
}

impl Connection {
    /// A connection over `port` that is to answer `offer` with what `engine` knows.
    pub(super) async fn new(
        port: &Port,
        offer: Offer,
        engine: MediaEngine,
        registry: Registry,
        talk: Arc<Talk>,
    ) -> Result<Self, OfferError> {
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
        Ok(Self {
            talk,
            peer: Arc::new(peer),
            line,
            state,
            transport: None,
            agreed: Mutex::new(Agreed {
                offer,
                etag: random_name(),
                candidates: 0,
            }),
        })
    }

    /// Accepts the offer. Returns the answer and the ETag of what was agreed.
    pub(super) async fn agree(&self, port: &Port) -> Result<(String, String), OfferError> {
        let agreed = self.agreed.lock().await;
        let ours = accept(&*self.peer, &self.line, &agreed.offer.sdp)
            .await
            .map_err(|error| OfferError::Broken(error.to_string()))?;
        let sdp = agreed.offer.answer(&ours, &port.candidates());
        Ok((sdp, agreed.etag.clone()))
    }

    /// Waits until there is a way to the other side. Whether there is one in time.
    pub(super) async fn connects(&self) -> bool {
        let connected = self.reaches(&[State::Connected, State::Failed, State::Closed]);
        match timeout(CONNECT_WITHIN, connected).await {
            Ok(State::Connected) => return true,
            Ok(state) => tracing::debug!(?state, "an offer did not become a connection"),
            Err(_) => tracing::debug!("an offer did not become a connection in time"),
        }
        false
    }

    /// Waits until the connection is in one of `states`.
    pub(super) async fn reaches(&self, states: &[State]) -> State {
        let mut state = self.state.clone();
        let reached = state.wait_for(|state| states.contains(state)).await;
        // Without anybody to tell the state, it is the last one.
        reached.map_or(State::Closed, |state| *state)
    }

    /// Waits until the other side has closed. Who goes without a word is missed by
    /// ICE instead, and later.
    pub(super) async fn hung_up(&self) {
        let Some(transport) = &self.transport else {
            return;
        };
        loop {
            sleep(LOOK_EVERY).await;
            if !matches!(transport.state().await, Ok(DtlsState::Connected)) {
                return;
            }
        }
    }

    /// Takes a fragment that was sent under the ETag `if_match`.
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

/// A fault of ours.
pub(super) fn failed(error: webrtc::error::Error) -> OfferError {
    OfferError::Failed(error.to_string())
}
