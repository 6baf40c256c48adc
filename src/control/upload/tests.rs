use std::convert::Infallible;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use axum::body::Body;
use futures_util::{FutureExt, StreamExt, stream};

use super::*;
use crate::control::form::BESIDE;

const EDGE: &str = "multipart/form-data; boundary=edge";

fn request(kind: &str, body: Body) -> Request {
    Request::post("/")
        .header(header::CONTENT_TYPE, kind)
        .body(body)
        .expect("a request")
}

fn form(name: &str, content: &str) -> String {
    format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
}

/// A body of `parts`, each as it comes from a connection.
fn body(parts: impl IntoIterator<Item = String, IntoIter: Send + 'static>) -> Body {
    Body::from_stream(stream::iter(parts.into_iter().map(Ok::<_, Infallible>)))
}

async fn receive(uploads: &Uploads, kind: &str, body: Body) -> Result<String, Problem> {
    let mut upload = uploads.receive(request(kind, body)).await?;
    let mut text = String::new();
    upload.file.read_to_string(&mut text).expect("text");
    Ok(text)
}

#[tokio::test]
async fn a_file_comes_as_the_body_or_as_a_field_of_a_form() {
    let uploads = Uploads::new(1_000);
    let plain = receive(&uploads, "audio/wav", Body::from("sound")).await;
    assert_eq!(plain.as_deref(), Ok("sound"));
    let text = form("other", "words") + &form("file", "sound") + "--edge--\r\n";
    let whole = receive(&uploads, EDGE, Body::from(text.clone())).await;
    assert_eq!(whole.as_deref(), Ok("sound"));
    let bytewise: Vec<_> = text.chars().map(String::from).collect();
    let bytewise = receive(&uploads, EDGE, body(bytewise)).await;
    assert_eq!(bytewise.as_deref(), Ok("sound"));
}

#[tokio::test]
async fn what_else_a_form_has_is_told_before_and_after_the_file() {
    let uploads = Uploads::new(1_000);
    let text = form("one", "1") + &form("file", "sound") + &form("two", "2") + "--edge--\r\n";
    let upload = uploads.receive(request(EDGE, Body::from(text))).await;
    let fields = upload.expect("a file").fields;
    let wanted = [("one", "1"), ("two", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(fields, wanted.into());
}

#[tokio::test]
async fn what_is_no_file_is_refused() {
    let uploads = Uploads::new(1_000);
    for (kind, text, status) in [
        ("audio/wav", String::new(), 422),
        ("application/json", "{}".into(), 415),
        ("text/plain", "words".into(), 415),
        ("multipart/form-data", "no boundary".into(), 400),
        (EDGE, form("other", "words") + "--edge--\r\n", 422),
        (EDGE, form("file", "it breaks off"), 400),
    ] {
        let problem = receive(&uploads, kind, Body::from(text)).await;
        let problem = problem.expect_err("no file");
        assert_eq!(problem.status, status, "{kind}: {problem:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_in_either_way() {
    let uploads = Uploads::new(1_000);
    let sound = "x".repeat(1_001);
    let plain = receive(&uploads, "audio/wav", Body::from(sound.clone())).await;
    assert_eq!(plain.expect_err("too large").status, 413);
    let text = form("file", &sound) + "--edge--\r\n";
    let form = receive(&uploads, EDGE, Body::from(text)).await;
    assert_eq!(form.expect_err("too large").status, 413);
}

#[tokio::test]
async fn a_form_is_as_long_as_its_file_whatever_the_parser_keeps() {
    let uploads = Uploads::new(4 * BESIDE);
    let sound = "\r\n--edg".repeat(BESIDE as usize * 4 / 7);
    let text = form("file", &sound) + "--edge--\r\n";
    let parts = text.as_bytes().chunks(16 << 10);
    let parts = parts.map(|part| String::from_utf8_lossy(part).into_owned());
    let parts: Vec<_> = parts.collect();
    let received = receive(&uploads, EDGE, body(parts)).await;
    assert!(received.expect("it fits") == sound);
}

#[tokio::test]
async fn what_stands_beside_the_file_is_bounded() {
    let uploads = Uploads::new(1 << 30);
    let begun = "--edge\r\nContent-Disposition: form-data; name=\"file\"\r\n";
    for (name, begun) in [
        ("a head", begun.to_owned()),
        ("a preamble", String::new()),
        ("another field", form("other", "").trim_end().to_owned()),
    ] {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let endless = std::iter::repeat_with(move || {
            count.fetch_add(1_024, Relaxed);
            "X: y\r\n z".repeat(128)
        });
        let body = body(std::iter::once(begun).chain(endless));
        let problem = receive(&uploads, EDGE, body).await.expect_err("no end");
        assert_eq!(problem.status, 400, "{name}: {problem:?}");
        assert!(problem.detail.contains("beside"), "{name}: {problem:?}");
        assert!(taken.load(Relaxed) as u64 <= BESIDE + 2_048, "{name}");
    }
}

#[tokio::test]
async fn a_body_that_pauses_is_given_up() {
    let mut uploads = Uploads::new(1_000);
    uploads.bounds.patience = Duration::from_millis(10);
    for (kind, begun) in [("audio/wav", "so".to_owned()), (EDGE, form("file", "so"))] {
        let begun = stream::iter([Ok::<_, Infallible>(begun)]);
        let pausing = Body::from_stream(begun.chain(stream::pending()));
        let problem = receive(&uploads, kind, pausing).await;
        assert_eq!(problem.expect_err("it pauses").status, 408, "{kind}");
    }
}

#[tokio::test]
async fn one_more_upload_is_told_to_come_again() {
    let uploads = Arc::new(Uploads::new(1_000));
    let pause = || Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
    let mut waiting = Vec::new();
    for _ in 0..AT_ONCE {
        let mut upload = Box::pin(uploads.receive(request("audio/wav", pause())));
        assert!((&mut upload).now_or_never().is_none());
        waiting.push(upload);
    }
    let problem = receive(&uploads, "audio/wav", Body::from("sound")).await;
    let problem = problem.expect_err("no place");
    assert_eq!(
        (problem.status.as_u16(), problem.retry_after),
        (503, Some(AGAIN))
    );
    waiting.pop();
    let sound = receive(&uploads, "audio/wav", Body::from("sound")).await;
    assert_eq!(sound.as_deref(), Ok("sound"));
}
