use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const SSE: &str = "text/event-stream; charset=utf-8";

/// Chat with a server that answers one request with `body`, and what it was asked.
async fn chat(
    status: &'static str,
    kind: &'static str,
    body: &'static str,
) -> (Chat, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("bound"));
    let asked = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("a request");
        let mut asked = Vec::new();
        while !asked.ends_with(b"}") {
            let read = socket.read_buf(&mut asked).await.expect("a request");
            assert!(read > 0, "a whole one");
        }
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n");
        socket.write_all(head.as_bytes()).await.expect("taken");
        for piece in body.as_bytes().chunks(5) {
            // Whoever asked may have heard enough.
            let _left = socket.write_all(piece).await;
        }
        String::from_utf8(asked).expect("text")
    });
    let config = Config {
        url,
        model: "m".into(),
        key: "secret".into(),
        system: "Be short.".into(),
        extra: r#"{"temperature":0.5}"#.into(),
        ..Config::default()
    };
    (Chat::new(&config).expect("it can work"), asked)
}

async fn answered(chat: &Chat) -> (String, Result<(), Error>) {
    let question = Message {
        role: Role::User,
        content: "Who?".into(),
    };
    let mut answer = match chat.ask(&[question]).await {
        Ok(answer) => answer,
        Err(error) => return (String::new(), Err(error)),
    };
    let mut all = String::new();
    loop {
        match answer.next().await {
            Ok(Some(text)) => all += &text,
            Ok(None) => return (all, Ok(())),
            Err(error) => return (all, Err(error)),
        }
    }
}

#[tokio::test]
async fn an_answer_comes_in_pieces_and_ends() {
    let (chat, asked) = chat(
        "200 OK",
        SSE,
        concat!(
            ": hello\n\n",
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"It is \"},\"finish_reason\":null}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":null,\"reasoning\":\"hm\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"me ✓\"},\"finish_reason\":\"stop\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{}}\n\n",
            "data: [DONE]\n\ndata: never read\n\n",
        ),
    )
    .await;
    let (said, end) = answered(&chat).await;
    assert!(end.is_ok(), "{end:?}");
    assert_eq!(said, "It is me ✓");
    let asked = asked.await.expect("asked").to_lowercase();
    assert!(
        asked.starts_with("post /v1/chat/completions http/1.1\r\n"),
        "{asked}"
    );
    assert!(
        asked.contains("authorization: bearer secret\r\n"),
        "{asked}"
    );
    let body: Value =
        serde_json::from_str(asked.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
    let wanted = json!({
        "model": "m", "stream": true, "temperature": 0.5,
        "messages": [
            {"role": "system", "content": "be short."},
            {"role": "user", "content": "who?"},
        ],
    });
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn what_ends_with_its_reason_needs_no_other_mark() {
    let body =
        "data: {\"choices\":[{\"delta\":{\"content\":\"Yes.\"},\"finish_reason\":\"length\"}]}\n\n";
    let (chat, _) = chat("200 OK", SSE, body).await;
    let (said, end) = answered(&chat).await;
    assert_eq!((said.as_str(), end.is_ok()), ("Yes.", true));
}

#[tokio::test]
async fn trouble_is_told_with_what_came_before_it() {
    let first = "data: {\"choices\":[{\"delta\":{\"content\":\"Well\"}}]}\n\n";
    let cases: [(&str, &str, &str, &str, &str); 7] = [
        ("200 OK", SSE, first, "Well", "without its end"),
        ("200 OK", SSE, "", "", "without its end"),
        (
            "200 OK",
            SSE,
            "data: words\n\n",
            "",
            "no piece of an answer",
        ),
        (
            "200 OK",
            SSE,
            "data: {\"error\":{\"message\":\"out of memory\"}}\n\n",
            "",
            "out of memory",
        ),
        ("200 OK", "text/html", "<p>", "", "is no stream (text/html)"),
        (
            "401 Unauthorized",
            "application/json",
            "{\"error\": \"wrong  key\"}",
            "",
            "answers 401: {\"error\": \"wrong key\"}",
        ),
        ("302 Found", SSE, "", "", "answers 302"),
    ];
    for (status, kind, body, before, why) in cases {
        let (chat, _) = chat(status, kind, body).await;
        let (said, end) = answered(&chat).await;
        let error = end.expect_err(why).to_string();
        assert!(said == before && error.contains(why), "{said:?} {error}");
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_where_it_is_too_long() {
    let long: &'static str = Box::leak(
        format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
            "ä".repeat(MOST_ANSWER - 10)
        )
        .repeat(3)
        .into_boxed_str(),
    );
    let (chat, _) = chat("200 OK", SSE, long).await;
    let (said, end) = answered(&chat).await;
    assert!(end.is_ok(), "{end:?}");
    assert_eq!(said.chars().count(), MOST_ANSWER);
}

#[tokio::test]
async fn nobody_there_and_nobody_configured_are_told_apart() {
    let off = Chat::new(&Config::default()).expect("it can work");
    assert!(!off.on());
    let (_, end) = answered(&off).await;
    assert!(matches!(end, Err(Error::Off)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let config = Config {
        url: format!("http://{}", listener.local_addr().expect("bound")),
        patience_s: 1,
        ..Config::default()
    };
    let chat = Chat::new(&config).expect("it can work");
    let (_, end) = answered(&chat).await;
    assert!(
        matches!(end, Err(Error::Slow(_))),
        "it is never answered: {end:?}"
    );
    drop(listener);
    let (_, end) = answered(&chat).await;
    let error = end.expect_err("nobody listens").to_string();
    assert!(
        error.contains("can't be reached") && error.contains("chat.url"),
        "{error}"
    );
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let with = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        config.check().expect_err("it can't work").to_string()
    };
    for (key, error) in [
        ("chat.url", with(|c| c.url = "localhost:8000".into())),
        ("chat.extra", with(|c| c.extra = "[]".into())),
        ("chat.turns", with(|c| c.turns = 1_000)),
        ("chat.patience_s", with(|c| c.patience_s = 0)),
    ] {
        assert!(error.contains(key), "{error}");
    }
}
