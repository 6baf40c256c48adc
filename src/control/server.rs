//! The HTTP server: the routes, on connections that are bounded in number, in
//! size and in time.
//!
//! Viewers' media runs on the same thread and needs descriptors too, so what
//! strangers open and don't use may cost neither.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWrite;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, interval_at, sleep, timeout};

use super::problem::Problem;

/// Connections at a time: 200 viewers' pages in a hurry, and a quarter of the
/// 1,024 descriptors that a process usually has.
const CONNECTIONS: usize = 256;
/// Connections beyond that which are told to come again, at a time. More are
/// closed without a word.
const REFUSALS: usize = 32;
/// Bytes that a connection keeps of what it reads, the head of a request among
/// them: a hundred times a browser's.
const BUFFER: usize = 64 << 10;
/// After how long a connection that was turned away may come again.
const AGAIN_S: u64 = 2;
/// How long not to accept when the system refuses to and no connection can go:
/// descriptors come back as requests end.
const BREATH: Duration = Duration::from_millis(100);
/// How often to say so.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// How much a server takes, and how long it waits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time. For one more the oldest without a request goes.
    pub connections: usize,
    /// For the head of a request, and until the next one comes.
    pub head: Duration,
    /// For an answer to be read.
    pub answer: Duration,
    /// After an answer, for what its reader still sends: closed at once, the
    /// connection would break before the answer was read.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            head: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            linger: Duration::from_secs(2),
        }
    }
}

/// The address to open in a browser for a server that listens on `address`.
pub fn url(address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    if !ip.is_unspecified() {
        return format!("http://{address}/");
    }
    match own_address() {
        Some(ip) => format!("http://{}/", SocketAddr::new(ip, port)),
        None => format!("http://localhost:{port}/"),
    }
}

/// The address of this machine by which it reaches others.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // Nothing is sent: the system only looks for the way. The address is one
    // for examples (RFC 5737), and lies outside.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Serves `routes` until `stop` is ready, then lets requests that run end.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let routes = TowerToHyperService::new(routes);
    let (tell, told) = watch::channel(());
    let mut tasks = JoinSet::new();
    let mut guests = Guests::default();
    let mut said = None;
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) if is_the_peers(&error) => continue,
            Err(error) => {
                if said.is_none_or(|said: Instant| said.elapsed() > SAY_AGAIN) {
                    tracing::warn!("no connection can be taken: {error}");
                    said = Some(Instant::now());
                }
                if guests.make_room() {
                    // Its descriptor is free when its task has ended.
                    tasks.join_next().await;
                } else {
                    sleep(BREATH).await;
                }
                continue;
            }
        };
        // Answers are small and whole: waiting for more to send helps nobody.
        let _as_it_was = socket.set_nodelay(true);
        if guests.count() < limits.connections || guests.make_room() {
            let steps = Steps::default();
            let talk = talk(socket, routes.clone(), limits, steps.clone(), told.clone());
            guests.enter(tasks.spawn(talk), steps);
        } else if tasks.len() < limits.connections + REFUSALS {
            tasks.spawn(turn_away(socket, limits));
        }
    }
    drop((listener, told));
    tell.send_replace(());
    while tasks.join_next().await.is_some() {}
}

/// Whether a connection failed before it was taken, which is no trouble of ours.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// The connections, in the order in which they came.
#[derive(Default)]
struct Guests(VecDeque<(AbortHandle, Steps)>);

impl Guests {
    fn enter(&mut self, task: AbortHandle, steps: Steps) {
        self.0.push_back((task, steps));
    }

    fn count(&mut self) -> usize {
        self.0.retain(|(task, _)| !task.is_finished());
        self.0.len()
    }

    /// Ends the oldest connection that has no request running: a stranger's
    /// who says nothing, or a browser's who kept it for later and opens another.
    fn make_room(&mut self) -> bool {
        let idle = self.0.iter().position(|(_, steps)| !steps.at_work());
        let idle = idle.and_then(|n| self.0.remove(n));
        idle.inspect(|(task, _)| task.abort()).is_some()
    }
}

/// Counts the beginnings and ends of a connection's requests, which come one
/// after the other.
#[derive(Clone, Default)]
struct Steps(Arc<AtomicU64>);

impl Steps {
    fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Whether a request runs.
    fn at_work(&self) -> bool {
        self.count() % 2 == 1
    }

    /// A request runs until the result and its clones are dropped.
    fn begin(&self) -> AtWork {
        self.0.fetch_add(1, Relaxed);
        AtWork(Arc::new(Step(self.clone())))
    }
}

/// Held while a request runs. It comes with the request: whose answer has no end
/// of its own keeps it in the answer, which is otherwise taken for one that
/// nobody reads.
#[derive(Clone)]
pub(super) struct AtWork(Arc<Step>);

impl AtWork {
    /// For an answer that goes on after its request, and ends when nobody reads it.
    pub(super) fn reading(&self) -> Reading {
        Reading(self.0.0.clone())
    }
}

/// Says that somebody reads an answer.
pub(super) struct Reading(Steps);

impl Reading {
    /// Another piece was taken: the connection isn't one that stands.
    pub(super) fn goes_on(&self) {
        // As a request that began and ended.
        self.0.0.fetch_add(2, Relaxed);
    }
}

struct Step(Steps);

impl Drop for Step {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Relaxed);
    }
}

/// One connection, from its first request to its last.
async fn talk(
    socket: TcpStream,
    routes: TowerToHyperService<Router>,
    limits: Limits,
    steps: Steps,
    mut told: watch::Receiver<()>,
) {
    let requests = steps.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let at_work = requests.begin();
        request.extensions_mut().insert(at_work.clone());
        let answer = routes.call(request);
        Box::pin(async move {
            let answer: Result<_, Infallible> = answer.await;
            drop(at_work);
            answer
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut ending = false;
    let mut seen = steps.count();
    let mut glance = interval_at(Instant::now() + limits.answer, limits.answer);
    let result = loop {
        tokio::select! {
            result = &mut connection => break result,
            _ = told.changed(), if !ending => {
                ending = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            _ = glance.tick() => {
                // Neither a request since nor one that runs: what is left is an
                // answer that nobody reads.
                let stands = seen == steps.count() && !steps.at_work();
                seen = steps.count();
                if stands {
                    return;
                }
            }
        }
    };
    // A connection that became a WebSocket has no parts left.
    if result.is_ok_and(|()| !ending)
        && let Some(parts) = connection.into_parts()
    {
        linger(parts.io.into_inner(), limits.linger).await;
    }
}

/// Middleware: 408 for a request that takes longer than `time`, so that a body
/// that comes in drops keeps no place.
pub(super) async fn in_time(
    State(time): State<Duration>,
    request: Request<Body>,
    next: Next,
) -> Response {
    timeout(time, next.run(request)).await.unwrap_or_else(|_| {
        let detail = format!("The request took longer than {} s.", time.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail).into_response()
    })
}

/// Says that there is no room, in the words of [`super::problem`].
async fn turn_away(socket: TcpStream, limits: Limits) {
    let body = r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"Too many requests run at once: try again soon."}"#;
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\nRetry-After: {AGAIN_S}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // It fits in the empty buffer of a new socket; else the peer is gone.
    if socket.writable().await.is_ok()
        && socket
            .try_write(answer.as_bytes())
            .is_ok_and(|n| n == answer.len())
    {
        linger(socket, limits.linger).await;
    }
}

/// Reads away what still comes until the other side is done, for `time` at most.
async fn linger(mut socket: TcpStream, time: Duration) {
    let over = async {
        poll_fn(|cx| Pin::new(&mut socket).poll_shutdown(cx)).await?;
        let mut away = vec![0; 16 << 10];
        loop {
            socket.readable().await?;
            match socket.try_read(&mut away) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err::<(), io::Error>(error),
            }
        }
    };
    // However it ended, the connection has.
    let _ended = timeout(time, over).await;
}

#[cfg(test)]
mod tests;
