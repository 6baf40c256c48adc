use std::net::SocketAddr;

use axum::Extension;
use axum::body::Bytes;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use futures_util::stream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::*;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(30);

const PATIENT: Limits = Limits {
    connections: 8,
    per_address: 8,
    requests_per_s: 0,
    head: LONG,
    answer: LONG,
    linger: LONG,
};

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn start(routes: Router, limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async {
        let _over = stopped.await;
    };
    let task = tokio::spawn(serve(listener, routes, limits, None, stopped));
    Running {
        address,
        stop,
        task,
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

/// A connection on which `text` was sent.
async fn send(address: SocketAddr, text: &str) -> TcpStream {
    let socket = TcpStream::connect(address).await.expect("it listens");
    write(&socket, text.as_bytes()).await.expect("it is read");
    socket
}

async fn write(socket: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        socket.writable().await?;
        match socket.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Everything that comes until the connection ends.
async fn read(socket: &TcpStream) -> io::Result<String> {
    let (mut all, mut part) = (Vec::new(), [0; 4_096]);
    loop {
        socket.readable().await?;
        match socket.try_read(&mut part) {
            Ok(0) => return Ok(String::from_utf8_lossy(&all).into_owned()),
            Ok(n) => all.extend_from_slice(&part[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

const WHOLE: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const HALF: &str = "GET / HTTP/1.1\r\nHost: x\r\n";

#[tokio::test]
async fn half_sent_requests_give_way_to_whole_ones() {
    let server = start(hello(), PATIENT).await;
    let mut halves = Vec::new();
    for _ in 0..PATIENT.connections * 5 {
        halves.push(send(server.address, HALF).await);
    }
    let answer = read(&send(server.address, WHOLE).await).await;
    let answer = answer.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"));
    // The oldest went first.
    let _broken_or_ended = read(&halves[0]).await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_waited_for_a_while_only() {
    let limits = Limits {
        head: SHORT,
        ..PATIENT
    };
    let server = start(hello(), limits).await;
    let half = send(server.address, HALF).await;
    assert!(!read(&half).await.is_ok_and(|answer| answer.contains("200")));
    let kept = send(server.address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let answer = read(&kept).await.expect("an answer");
    assert!(answer.ends_with("hello"), "then it ends: {answer}");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let server = start(hello(), PATIENT).await;
    let long = format!("{HALF}X: {}\r\n\r\n", "x".repeat(2 * BUFFER));
    let socket = TcpStream::connect(server.address).await.expect("listens");
    let _cut_off = write(&socket, long.as_bytes()).await;
    // Some systems lose the answer as the connection breaks.
    let answer = read(&socket).await.unwrap_or_default();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"));
}

/// Routes that say when a request came, and answer when they are told to.
fn slow() -> (Router, mpsc::UnboundedReceiver<()>, Arc<Semaphore>) {
    let (came, coming) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let answer = async move || {
        came.send(()).expect("the test listens");
        let _open = wait.acquire().await;
        "done"
    };
    (Router::new().route("/", get(answer)), coming, gate)
}

#[tokio::test]
async fn when_all_are_at_work_the_next_is_told_to_come_again() {
    let (routes, mut coming, gate) = slow();
    let limits = Limits {
        connections: 1,
        ..PATIENT
    };
    let server = start(routes, limits).await;
    let first = send(server.address, WHOLE).await;
    coming.recv().await.expect("it came");
    let second = read(&send(server.address, WHOLE).await).await;
    let second = second.expect("an answer");
    assert!(second.starts_with("HTTP/1.1 503"), "{second}");
    assert!(second.contains("Retry-After: 2\r\n") && second.contains("application/problem+json"));
    gate.add_permits(1);
    let first = read(&first).await.expect("an answer");
    assert!(first.ends_with("done"), "{first}");
}

#[tokio::test]
async fn who_has_its_share_of_connections_makes_room_by_its_own() {
    let limits = Limits {
        per_address: 3,
        ..PATIENT
    };
    let server = start(hello(), limits).await;
    let mut own = Vec::new();
    for _ in 0..4 {
        own.push(send(server.address, HALF).await);
    }
    // The fourth made the first go; five places were free.
    let _broken_or_ended = read(&own[0]).await;
    for kept in &own[1..] {
        write(kept, b"Connection: close\r\n\r\n")
            .await
            .expect("open");
        assert!(read(kept).await.expect("an answer").ends_with("hello"));
    }
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let limits = Limits {
        requests_per_s: 1,
        ..PATIENT
    };
    let server = start(hello(), limits).await;
    let ten = WHOLE.replace("Connection: close\r\n", "").repeat(10);
    let socket = send(server.address, &format!("{ten}{WHOLE}")).await;
    let answers = read(&socket).await.expect("answers");
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 10, "{answers}");
    let (_, last) = answers.split_once("HTTP/1.1 429").expect("one too often");
    let last = last.to_ascii_lowercase();
    assert!(last.contains("retry-after: 1\r\n") && last.contains("application/problem+json"));
    assert!(last.contains("access-control-allow-origin: *"));
}

#[tokio::test]
async fn stopping_waits_for_a_request_that_runs_and_for_nothing_else() {
    let (routes, mut coming, gate) = slow();
    let server = start(routes, PATIENT).await;
    let kept = send(server.address, "").await;
    let running = send(server.address, WHOLE).await;
    coming.recv().await.expect("it came");
    server.stop.send(()).expect("it runs");
    assert_eq!(read(&kept).await.expect("an end"), "");
    gate.add_permits(1);
    let answer = read(&running).await.expect("an answer");
    assert!(answer.ends_with("done"), "{answer}");
    server.task.await.expect("it ended");
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_body_that_comes_in_drops_keeps_no_place() {
    let routes = Router::new()
        .route("/", post(async |body: String| body))
        .layer(from_fn_with_state(SHORT, in_time));
    let server = start(routes, PATIENT).await;
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this";
    let answer = read(&send(server.address, head).await).await;
    let answer = answer.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn who_is_refused_in_the_middle_of_a_long_body_reads_why() {
    let routes = Router::new().route("/", post(async || StatusCode::PAYLOAD_TOO_LARGE));
    let server = start(routes, PATIENT).await;
    let body = vec![0; 8 << 20];
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let socket = send(server.address, &head).await;
    write(&socket, &body).await.expect("it is read to its end");
    let answer = read(&socket).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

/// A body without an end, which holds a sender until it is dropped.
fn endless(dropped: mpsc::UnboundedSender<()>) -> Body {
    Body::from_stream(stream::unfold(dropped, async |dropped| {
        let part = Ok::<_, Infallible>(Bytes::from_static(&[0; 65_536]));
        Some((part, dropped))
    }))
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_given_up() {
    let (sender, mut dropped) = mpsc::unbounded_channel::<()>();
    let routes = Router::new().route(
        "/",
        get(async move || {
            sender.send(()).expect("the test listens");
            endless(sender.clone())
        }),
    );
    let limits = Limits {
        answer: SHORT,
        ..PATIENT
    };
    let server = start(routes, limits).await;
    let unread = send(server.address, WHOLE).await;
    dropped.recv().await.expect("it came");
    server.stop.send(()).expect("it runs");
    server.task.await.expect("nothing was left to wait for");
    assert!(dropped.recv().await.is_none(), "the body is gone");
    drop(unread);
}

#[tokio::test]
async fn an_answer_that_holds_its_request_may_pause() {
    // One part, a pause in which others would have been given up, and the end.
    let pausing = async |Extension(at_work): Extension<AtWork>| {
        Body::from_stream(stream::unfold((0, at_work), async |(n, at_work)| {
            sleep(SHORT * 5 * n).await;
            let part = Ok::<_, Infallible>(Bytes::from(format!("part {n};")));
            (n < 2).then_some((part, (n + 1, at_work)))
        }))
    };
    let limits = Limits {
        answer: SHORT,
        ..PATIENT
    };
    let server = start(Router::new().route("/", get(pausing)), limits).await;
    let answer = read(&send(server.address, WHOLE).await).await;
    let answer = answer.expect("an answer");
    assert!(
        answer.contains("part 0;") && answer.contains("part 1;"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_answer_that_is_read_goes_on_for_as_long_as_it_takes() {
    // Pieces that come for longer than an answer may stand.
    let slow = async |Extension(at_work): Extension<AtWork>| {
        let reading = at_work.reading();
        Body::from_stream(stream::unfold((0, reading), async |(n, reading)| {
            sleep(SHORT).await;
            reading.goes_on();
            let part = Ok::<_, Infallible>(Bytes::from(format!("part {n};")));
            (n < 40).then_some((part, (n + 1, reading)))
        }))
    };
    let limits = Limits {
        answer: SHORT * 12,
        ..PATIENT
    };
    let server = start(Router::new().route("/", get(slow)), limits).await;
    let answer = read(&send(server.address, WHOLE).await).await;
    let answer = answer.expect("an answer");
    assert!(answer.contains("part 39;"), "{answer}");
}

#[test]
fn the_address_that_is_printed_can_be_opened() {
    let of = |address: &str| url(address.parse().expect("an address"), false);
    assert_eq!(of("127.0.0.1:8080"), "http://127.0.0.1:8080/");
    assert_eq!(of("[::1]:8080"), "http://[::1]:8080/");
    for any in ["0.0.0.0:8080", "[::]:8080"] {
        let url = of(any);
        assert!(url.ends_with(":8080/") && !url.contains("0.0.0.0"), "{url}");
    }
    let secure = url("127.0.0.1:8443".parse().expect("an address"), true);
    assert_eq!(secure, "https://127.0.0.1:8443/");
}
