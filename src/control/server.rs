//! The HTTP server: the routes, on connections that are bounded in number, in
//! size, in time and in how often they ask.
//!
//! Viewers' media runs on the same thread and needs descriptors too, so what
//! strangers open and don't use may cost neither.

mod guests; // who is connected
mod rates; // how often who asks
pub mod tls; // certificates, and the handshake

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::pin::{self, pin};
use std::sync::{Arc, Mutex};
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
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::auth;
use super::problem::{Kind, Problem};
pub(super) use guests::AtWork;
use guests::{Guests, Place, Steps};
use rates::Rates;

/// Connections beyond that which are told to come again, at a time. More are
/// closed without a word.
const REFUSALS: usize = 32;
/// Bytes that a connection keeps of what it reads, the head of a request among
/// them: a hundred times a browser's.
const BUFFER: usize = 64 << 10;
/// After how long a connection that was turned away may come again.
const AGAIN: Duration = Duration::from_secs(2);
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
    /// Of those, from one address.
    pub per_address: usize,
    /// Requests a second from one address; 0: as many as come.
    pub requests_per_s: u32,
    /// For the head of a request, and until the next one comes; for a TLS handshake.
    pub head: Duration,
    /// For an answer to be read.
    pub answer: Duration,
    /// After an answer, for what its reader still sends: closed at once, the
    /// connection would break before the answer was read.
    pub linger: Duration,
}

/// The address to open in a browser for a server that listens on `address`, with TLS
/// if it is `secure`.
pub fn url(address: SocketAddr, secure: bool) -> String {
    let (ip, port) = (address.ip(), address.port());
    let scheme = if secure { "https" } else { "http" };
    if !ip.is_unspecified() {
        return format!("{scheme}://{address}/");
    }
    match own_address() {
        Some(ip) => format!("{scheme}://{}/", SocketAddr::new(ip, port)),
        None => format!("{scheme}://localhost:{port}/"),
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

/// What every connection is given.
#[derive(Clone)]
struct House {
    routes: TowerToHyperService<Router>,
    limits: Limits,
    rates: Option<Arc<Mutex<Rates>>>,
    tls: Option<TlsAcceptor>,
}

/// Serves `routes` until `stop` is ready, then lets requests that run end.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    limits: Limits,
    tls: Option<TlsAcceptor>,
    stop: impl Future<Output = ()>,
) {
    let rated = limits.requests_per_s > 0;
    let house = House {
        routes: TowerToHyperService::new(routes),
        limits,
        rates: rated.then(|| {
            let rates = Rates::new(limits.requests_per_s, std::time::Instant::now());
            Arc::new(Mutex::new(rates))
        }),
        tls,
    };
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
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_the_peers(&error) => continue,
            Err(error) => {
                if said.is_none_or(|said: Instant| said.elapsed() > SAY_AGAIN) {
                    tracing::warn!("no connection can be taken: {error}");
                    said = Some(Instant::now());
                }
                match guests.send_away_any() {
                    Some(ended) => gone(&ended, &mut tasks).await,
                    None => sleep(BREATH).await,
                }
                continue;
            }
        };
        let from = rates::network(address.ip());
        // Answers are small and whole: waiting for more to send helps nobody.
        let _as_it_was = socket.set_nodelay(true);
        match guests.place(from, &limits) {
            Place::Free => {}
            Place::After(ended) => gone(&ended, &mut tasks).await,
            Place::Nowhere => {
                // A handshake costs more than these few words are worth.
                if house.tls.is_none() && tasks.len() < limits.connections + REFUSALS {
                    tasks.spawn(turn_away(socket, limits));
                }
                continue;
            }
        }
        let steps = Steps::default();
        let talk = talk(socket, from, house.clone(), steps.clone(), told.clone());
        guests.enter(from, tasks.spawn(talk), steps);
    }
    drop((listener, told));
    tell.send_replace(());
    while tasks.join_next().await.is_some() {}
}

/// Waits for the end of a task that was told to. Its descriptor is free only then:
/// while connections come without a pause no task runs in between, and those that were
/// ended would pile up beside those that are open.
async fn gone(ended: &AbortHandle, tasks: &mut JoinSet<()>) {
    while !ended.is_finished() {
        tasks.join_next().await;
    }
}

/// Whether a connection failed before it was taken, which is no trouble of ours.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// One connection, from its handshake, if it needs one, to its last request.
async fn talk(
    socket: TcpStream,
    from: IpAddr,
    house: House,
    steps: Steps,
    mut told: watch::Receiver<()>,
) {
    let Some(tls) = house.tls.clone() else {
        return requests(socket, from, house, steps, told).await;
    };
    let opened = tokio::select! {
        opened = tls::open(tls, socket, &house.limits) => opened,
        _ = told.changed() => None,
    };
    if let Some(socket) = opened {
        requests(socket, from, house, steps, told).await;
    }
}

/// A connection's requests.
async fn requests(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    from: IpAddr,
    house: House,
    steps: Steps,
    mut told: watch::Receiver<()>,
) {
    let limits = house.limits;
    let asked = steps.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let at_work = asked.begin();
        request.extensions_mut().insert(at_work.clone());
        let answer = match too_often(&house, from) {
            Some(refusal) => Err(refusal),
            None => Ok(house.routes.call(request)),
        };
        Box::pin(async move {
            let answer: Result<_, Infallible> = match answer {
                Ok(answer) => answer.await,
                Err(refusal) => Ok(refusal),
            };
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
                pin::Pin::new(&mut connection).graceful_shutdown();
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

/// 429, if `from` asks too often. It says nothing of what is here, so that a page of
/// any origin may read it.
fn too_often(house: &House, from: IpAddr) -> Option<Response> {
    let mut rates = house
        .rates
        .as_ref()?
        .lock()
        .expect("counting doesn't panic");
    let wait = rates.admit(from, std::time::Instant::now()).err()?;
    let detail = format!(
        "This address asks more than {} times a second (http.requests_per_s): ask less often.",
        house.limits.requests_per_s
    );
    let problem = Problem::of(Kind::TooOften, detail).retry_after(wait);
    let mut response = problem.into_response();
    auth::allow_any_origin(&mut response);
    Some(response)
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

/// Says that there is no room.
async fn turn_away(socket: TcpStream, limits: Limits) {
    let problem = Problem::of(Kind::Busy, "Too many requests run at once: try again soon.");
    send_last(socket, problem.retry_after(AGAIN), limits.linger).await;
}

/// `problem` as the only answer of a connection that has no requests.
async fn send_last(socket: TcpStream, problem: Problem, time: Duration) {
    let answer = problem.alone();
    // It fits in the empty buffer of a new socket; else the peer is gone.
    if socket.writable().await.is_ok()
        && socket
            .try_write(answer.as_bytes())
            .is_ok_and(|n| n == answer.len())
    {
        linger(socket, time).await;
    }
}

/// Reads away what still comes until the other side is done, for `time` at most.
async fn linger(mut socket: impl AsyncRead + AsyncWrite + Unpin, time: Duration) {
    let over = async {
        socket.shutdown().await?;
        let mut away = vec![0; 16 << 10];
        while socket.read(&mut away).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // However it ended, the connection has.
    let _ended = timeout(time, over).await;
}

#[cfg(test)]
mod tests;
