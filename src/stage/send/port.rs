//! One UDP port for all viewers.
//!
//! Every connection gets a [`Line`] through the port. A STUN binding request
//! finds its line by the user name's first half, which we chose, and so ties
//! the sender's address to the line; whatever else that address sends follows.
//! Answers leave from the address that was asked, also on a host with many.
//! IPv4 only: a label stands for one family, and every viewer has this one.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use webrtc::runtime::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};

use super::line::Line;
use super::outside::Outside;
use super::{Config, Error, lock, stun};

/// Bytes of one read: the most that the kernel joins into one.
const READ_BYTES: usize = 65_536;

/// Bytes that the kernel may hold for us each way: a key frame to every viewer
/// at once, so that a burst waits rather than being lost.
const KERNEL_BYTES: usize = 2 << 20;

/// Pause after the socket failed to read, so that a broken one costs nothing.
const READ_PAUSE: Duration = Duration::from_millis(100);

/// The port. Dropping it stops the reading.
#[derive(Debug)]
pub(super) struct Port {
    socket: Arc<Socket>,
    tasks: [JoinHandle<()>; 2],
}

impl Port {
    /// Binds the port of `config` on every IPv4 address of the host.
    pub(super) async fn bind(config: &Config) -> Result<Self, Error> {
        let outside = Outside::new(config).await?;
        let socket = Arc::new(Socket::bind(config.udp_port, outside)?);
        let tasks = [
            tokio::spawn(read(Arc::clone(&socket))),
            tokio::spawn(keep_known(Arc::clone(&socket))),
        ];
        Ok(Self { socket, tasks })
    }

    /// The number of the port.
    pub(super) fn number(&self) -> u16 {
        self.socket.number
    }

    /// A line for one connection.
    pub(super) fn line(&self) -> Arc<Line> {
        Line::new(Arc::clone(&self.socket))
    }

    /// Candidates that lead here, as the values of `a=candidate:` lines.
    pub(super) fn candidates(&self) -> Vec<String> {
        self.socket.outside.candidates(self.socket.number)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The socket that all lines share.
pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    number: u16,
    routes: Mutex<Routes>,
    outside: Outside,
}

/// Whose a datagram is. The lines take their own entries away.
#[derive(Default)]
struct Routes {
    by_ufrag: HashMap<String, Weak<Line>>,
    by_addr: HashMap<SocketAddr, Weak<Line>>,
}

impl Socket {
    fn bind(port: u16, outside: Outside) -> Result<Self, Error> {
        let broken = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => Error::Busy { port },
            _ => Error::Bind { port, source },
        };
        let io = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).map_err(broken)?;
        io.set_nonblocking(true).map_err(broken)?;
        let io = UdpSocket::from_std(io).map_err(broken)?;
        let state = UdpSocketState::new(UdpSockRef::from(&io)).map_err(broken)?;
        // The kernel gives what its limits allow; any size works.
        let _less = state.set_send_buffer_size(UdpSockRef::from(&io), KERNEL_BYTES);
        let _less = state.set_recv_buffer_size(UdpSockRef::from(&io), KERNEL_BYTES);
        let number = io.local_addr().map_err(broken)?.port();
        Ok(Self {
            io,
            state,
            number,
            routes: Mutex::default(),
            outside,
        })
    }

    /// Sends without waiting.
    pub(super) fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.io.try_io(Interest::WRITABLE, || {
            self.state.try_send(UdpSockRef::from(&self.io), transmit)
        })
    }

    /// Waits until the kernel takes more.
    pub(super) async fn writable(&self) {
        // An error shows again at the next sending.
        let _shown_later = self.io.writable().await;
    }

    /// Datagrams that one sending may hold.
    pub(super) fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// The number of the port.
    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// Brings binding requests for `ufrag` to `line`.
    pub(super) fn add_ufrag(&self, ufrag: &str, line: Weak<Line>) {
        lock(&self.routes).by_ufrag.insert(ufrag.to_owned(), line);
    }

    /// Brings what `addr` sends to `line`, unless it is another line's.
    pub(super) fn add_addr(&self, addr: SocketAddr, line: Weak<Line>) {
        lock(&self.routes).by_addr.entry(addr).or_insert(line);
    }

    /// Takes away what leads to `line`.
    pub(super) fn forget(
        &self,
        line: &Weak<Line>,
        ufrags: &[String],
        addrs: impl IntoIterator<Item = SocketAddr>,
    ) {
        let mut routes = lock(&self.routes);
        for ufrag in ufrags {
            routes.by_ufrag.remove(ufrag);
        }
        for addr in addrs {
            if routes.by_addr.get(&addr).is_some_and(|l| l.ptr_eq(line)) {
                routes.by_addr.remove(&addr);
            }
        }
    }

    /// Entries held: user name halves and addresses.
    #[cfg(test)]
    pub(super) fn entries(&self) -> (usize, usize) {
        let routes = lock(&self.routes);
        (routes.by_ufrag.len(), routes.by_addr.len())
    }

    async fn receive(&self, buffer: &mut [u8]) -> io::Result<RecvMeta> {
        let mut meta = [RecvMeta::default()];
        self.io
            .async_io(Interest::READABLE, || {
                let buffers = &mut [IoSliceMut::new(buffer)];
                self.state
                    .recv(UdpSockRef::from(&self.io), buffers, &mut meta)
            })
            .await?;
        Ok(meta[0])
    }

    /// Finds the line of a datagram from `from` that came in on `via`.
    fn route(&self, now: Instant, from: SocketAddr, via: Option<IpAddr>, datagram: &[u8]) {
        let line = if let Some(ufrag) = stun::asked_ufrag(datagram) {
            let mut routes = lock(&self.routes);
            let line = routes.by_ufrag.get(ufrag).and_then(Weak::upgrade);
            if let Some(line) = &line {
                routes.by_addr.insert(from, Arc::downgrade(line));
            }
            line
        } else if self.outside.heard(datagram) {
            return;
        } else {
            let routes = lock(&self.routes);
            routes.by_addr.get(&from).and_then(Weak::upgrade)
        };
        // Outside the lock: the line takes it when it goes.
        if let Some(line) = line {
            line.deliver(now, from, via, datagram);
        }
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// Reads the port for ever.
async fn read(socket: Arc<Socket>) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match socket.receive(&mut buffer).await {
            Ok(meta) => {
                let now = Instant::now();
                for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                    socket.route(now, meta.addr, meta.dst_ip, datagram);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the media port failed to read");
                tokio::time::sleep(READ_PAUSE).await;
            }
        }
    }
}

/// Keeps the port's outside addresses known, for ever.
async fn keep_known(socket: Arc<Socket>) {
    loop {
        for (server, request) in socket.outside.ask().await {
            // Lost like any datagram: it is asked again.
            let _lost = socket.io.send_to(&request, server).await;
        }
        tokio::time::sleep(super::outside::ASK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use webrtc::runtime::AsyncUdpSocket;

    fn config() -> Config {
        Config {
            udp_port: 0,
            ..Config::default()
        }
    }

    async fn heard(view: &dyn AsyncUdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 64];
        let (n, from) = view.recv_from(&mut buffer).await.expect("a datagram");
        (buffer[..n].to_vec(), from)
    }

    fn silent(view: &dyn AsyncUdpSocket) -> bool {
        let mut buffer = [0; 64];
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let mut meta = [RecvMeta::default()];
        let buffers = &mut [IoSliceMut::new(&mut buffer)];
        view.poll_recv(&mut cx, buffers, &mut meta).is_pending()
    }

    #[tokio::test]
    async fn each_line_hears_who_asked_for_it() {
        let port = Port::bind(&config()).await.expect("a free port");
        let (first, second) = (port.line(), port.line());
        first.answer_to("first");
        second.answer_to("second");
        let views = [first.view(), second.view()];
        let target = ("127.0.0.1", port.number());
        let client = UdpSocket::bind("127.0.0.1:0").await.expect("a client");
        let from = client.local_addr().expect("bound");

        for datagram in [stun::request("second:remote"), b"media".to_vec()] {
            client.send_to(&datagram, target).await.expect("sent");
            assert_eq!(heard(&*views[1]).await, (datagram, from));
        }
        assert!(silent(&*views[0]));

        views[1].send_to(b"answer", from).await.expect("sent");
        let mut buffer = [0; 16];
        let (n, by) = client.recv_from(&mut buffer).await.expect("an answer");
        assert_eq!(&buffer[..n], b"answer");
        assert_eq!(by, SocketAddr::from(([127, 0, 0, 1], port.number())));
    }

    #[tokio::test]
    async fn an_answer_leaves_from_the_address_that_was_asked() {
        let port = Port::bind(&config()).await.expect("a free port");
        let line = port.line();
        line.answer_to("ours");
        let view = line.view();
        let client = UdpSocket::bind("127.0.0.1:0").await.expect("a client");
        let asked = SocketAddr::from(([127, 0, 0, 2], port.number()));
        client
            .send_to(&stun::request("ours:theirs"), asked)
            .await
            .expect("sent");
        let (_, from) = heard(&*view).await;
        view.send_to(b"answer", from).await.expect("sent");
        let mut buffer = [0; 16];
        let (_, by) = client.recv_from(&mut buffer).await.expect("an answer");
        assert_eq!(by, asked);
    }

    #[tokio::test]
    async fn a_line_that_goes_leaves_nothing_behind() {
        let port = Port::bind(&config()).await.expect("a free port");
        let line = port.line();
        line.answer_to("ours");
        let view = line.view();
        let client = UdpSocket::bind("127.0.0.1:0").await.expect("a client");
        client
            .send_to(&stun::request("ours:theirs"), ("127.0.0.1", port.number()))
            .await
            .expect("sent");
        heard(&*view).await;
        assert_eq!(port.socket.entries(), (1, 1));
        drop((line, view));
        assert_eq!(port.socket.entries(), (0, 0));
    }

    #[tokio::test]
    async fn a_server_says_where_the_port_is_seen() {
        let server = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let addr = server.local_addr().expect("bound");
        let config = Config {
            stun: vec![format!("stun:{addr}")],
            ..config()
        };
        let port = Port::bind(&config).await.expect("a free port");
        let mut asked = [0; 64];
        let (n, from) = server.recv_from(&mut asked).await.expect("a question");
        assert_eq!((n, from.port()), (20, port.number()));
        let seen = "198.51.100.1:40000".parse().expect("an address");
        let answer = stun::answer(&asked[..n], seen);
        server.send_to(&answer, from).await.expect("sent");
        let known = || port.candidates().join("\n").contains("198.51.100.1 40000");
        while !known() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_busy_port_is_named() {
        let taken = std::net::UdpSocket::bind("0.0.0.0:0").expect("a free port");
        let udp_port = taken.local_addr().expect("bound").port();
        let config = Config {
            udp_port,
            ..Config::default()
        };
        let busy = Port::bind(&config).await;
        let sentence = busy.expect_err("it is taken").to_string();
        assert_eq!(
            sentence,
            format!("UDP port {udp_port} is in use: stop the other program or set media.udp_port")
        );
    }
}
