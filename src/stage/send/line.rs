//! One connection's way through the shared port.
//!
//! The peer connection believes that it owns a socket: it asks its runtime
//! for one, and gets a view of the port instead. It knows itself under a label,
//! the address of a socket that was closed at once; the answer never shows it.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime,
    TokioRuntime, Transmit,
};

use super::lock;
use super::port::Socket;

/// Datagrams that wait for a connection. Viewers send only reports and checks,
/// some twenty a second, and a voice is a hundred: more is a flood, and is lost as
/// UDP loses it.
const INBOX: usize = 64;

/// Addresses a connection may use. A browser on a laptop tries about ten.
const PEERS: usize = 32;

/// One connection's share of the port.
#[derive(Debug)]
pub(super) struct Line {
    socket: Arc<Socket>,
    me: Weak<Line>,
    inbox: Mutex<Inbox>,
    peers: Mutex<Vec<Peer>>,
    ufrags: Mutex<Vec<String>>,
}

/// An address that this connection talks to.
#[derive(Debug)]
struct Peer {
    addr: SocketAddr,
    /// Our address that it reached.
    via: Option<IpAddr>,
    heard: Instant,
}

#[derive(Debug, Default)]
struct Inbox {
    datagrams: VecDeque<(SocketAddr, Box<[u8]>)>,
    reader: Option<Waker>,
}

impl Line {
    /// A line that nothing leads to yet.
    pub(super) fn new(socket: Arc<Socket>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            socket,
            me: Weak::clone(me),
            inbox: Mutex::default(),
            peers: Mutex::default(),
            ufrags: Mutex::default(),
        })
    }

    /// Takes binding requests whose user name begins with `ufrag`.
    pub(super) fn answer_to(&self, ufrag: &str) {
        lock(&self.ufrags).push(ufrag.to_owned());
        self.socket.add_ufrag(ufrag, Weak::clone(&self.me));
    }

    /// The runtime for this line's peer connection.
    pub(super) fn runtime(self: &Arc<Self>) -> Arc<dyn Runtime> {
        Arc::new(OnLine(Arc::clone(self)))
    }

    /// What the peer connection takes for its socket.
    pub(super) fn view(self: &Arc<Self>) -> Arc<dyn AsyncUdpSocket> {
        Arc::new(View {
            line: Arc::clone(self),
            full: Mutex::new(None),
        })
    }

    /// Puts in what `from` sent to our address `via`.
    pub(super) fn deliver(
        &self,
        now: Instant,
        from: SocketAddr,
        via: Option<IpAddr>,
        datagram: &[u8],
    ) {
        self.note(now, from, via);
        let mut inbox = lock(&self.inbox);
        if inbox.datagrams.len() < INBOX {
            inbox.datagrams.push_back((from, datagram.into()));
        }
        let reader = inbox.reader.take();
        drop(inbox);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Notes that `addr` is one of ours. The one unheard for longest makes room.
    fn note(&self, now: Instant, addr: SocketAddr, via: Option<IpAddr>) {
        let mut peers = lock(&self.peers);
        if let Some(peer) = peers.iter_mut().find(|peer| peer.addr == addr) {
            peer.heard = now;
            peer.via = via.or(peer.via);
            return;
        }
        let crowded_out = if peers.len() < PEERS {
            None
        } else {
            let oldest = (0..peers.len()).min_by_key(|n| peers[*n].heard);
            oldest.map(|n| peers.swap_remove(n).addr)
        };
        peers.push(Peer {
            addr,
            via,
            heard: now,
        });
        drop(peers);
        self.socket.forget(&self.me, &[], crowded_out);
    }

    /// Our address that `addr` knows. An address that is new to us becomes
    /// ours, because its answer shall find us.
    fn via(&self, addr: SocketAddr) -> Option<IpAddr> {
        if let Some(peer) = lock(&self.peers).iter().find(|peer| peer.addr == addr) {
            return peer.via;
        }
        self.socket.add_addr(addr, Weak::clone(&self.me));
        self.note(Instant::now(), addr, None);
        None
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let ufrags = std::mem::take(&mut *lock(&self.ufrags));
        let peers = std::mem::take(&mut *lock(&self.peers));
        let addrs = peers.into_iter().map(|peer| peer.addr);
        self.socket.forget(&self.me, &ufrags, addrs);
    }
}

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A socket that is the port, seen from one connection.
struct View {
    line: Arc<Line>,
    /// The wait for a kernel that takes no more at the moment.
    full: Mutex<Option<Waiting>>,
}

impl AsyncUdpSocket for View {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok((Ipv4Addr::LOCALHOST, self.line.socket.number()).into())
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let transmit = Transmit {
            src_ip: self.line.via(transmit.destination),
            ..*transmit
        };
        let mut full = lock(&self.full);
        loop {
            if let Some(waiting) = full.as_mut() {
                ready!(waiting.as_mut().poll(cx));
                *full = None;
            }
            match self.line.socket.try_send(&transmit) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let socket = Arc::clone(&self.line.socket);
                    *full = Some(Box::pin(async move { socket.writable().await }));
                }
                // Any other failure is that of one address (no route, not
                // allowed): the datagram is lost, the socket is whole.
                Ok(()) | Err(_) => return Poll::Ready(Ok(transmit.contents.len())),
            }
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbox = lock(&self.line.inbox);
        let Some((from, datagram)) = inbox.datagrams.pop_front() else {
            inbox.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let length = datagram.len().min(bufs[0].len());
        bufs[0][..length].copy_from_slice(&datagram[..length]);
        meta[0] = RecvMeta::default();
        meta[0].addr = from;
        meta[0].len = length;
        meta[0].stride = length.max(1);
        Poll::Ready(Ok(1))
    }

    fn max_gso_segments(&self) -> usize {
        self.line.socket.max_segments()
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("View").field(&self.line).finish()
    }
}

/// Tokio, but its UDP sockets are views of a line.
#[derive(Debug)]
struct OnLine(Arc<Line>);

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Runtime for OnLine {
    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        drop(socket); // It gave the label, nothing else.
        Ok(self.0.view())
    }

    fn wrap_tcp_listener(&self, _: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connect_tcp(&self, _: SocketAddr) -> Boxed<'_, io::Result<Arc<dyn AsyncTcpStream>>> {
        // A viewer must not make us call addresses of its choice.
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        TokioRuntime.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Boxed<'static, ()> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        "tokio, one port"
    }
}
