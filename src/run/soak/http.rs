//! Requests to the server under test.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use bytes::Bytes;
use futures_util::stream;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Longer than anything takes, loading a model included.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of the longest answer that is read.
const LONGEST: usize = 1 << 20;
/// Bytes of a file that are sent at a time.
const PIECE: usize = 64 << 10;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server isn't there.
    #[error("{what}: the server can't be reached: {source}")]
    Connect {
        /// The request.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It broke off.
    #[error("{what}: {problem}")]
    Broken {
        /// The request.
        what: String,
        /// What happened.
        problem: String,
    },
    /// It takes too long.
    #[error("{0}: no answer within a minute")]
    Late(String),
    /// It says no.
    #[error("{what}: {status}{detail}")]
    Refused {
        /// The request.
        what: String,
        /// The answer's status.
        status: StatusCode,
        /// What else it says.
        detail: String,
    },
}

impl Error {
    /// Whether this build of the server has no such address, or no such key there.
    pub fn missing(&self) -> bool {
        let Self::Refused { status, detail, .. } = self else {
            return false;
        };
        let gone = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
        gone.contains(status) || detail.contains("unknown field")
    }
}

/// An answer that says yes.
pub struct Reply {
    /// Where what was made is.
    pub location: Option<String>,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Where the server listens. A connection a request: what they leave behind
/// belongs to what is tested.
#[derive(Clone, Copy, Debug)]
pub struct Http(pub SocketAddr);

impl Http {
    /// GET.
    ///
    /// # Errors
    ///
    /// When there is no answer, or one that says no; here and below.
    pub async fn get(&self, path: &str) -> Result<Reply, Error> {
        self.send(Method::GET, path, None, Body::empty()).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Result<Reply, Error> {
        self.send(Method::DELETE, path, None, Body::empty()).await
    }

    /// `method` with JSON.
    pub async fn json(&self, method: Method, path: &str, body: &Value) -> Result<Reply, Error> {
        let body = Body::from(body.to_string());
        self.send(method, path, Some("application/json"), body)
            .await
    }

    /// POST of a file, read as it is sent.
    pub async fn file(&self, path: &str, kind: &str, file: &Path) -> Result<Reply, Error> {
        let opened = tokio::fs::File::open(file).await;
        let file = opened.map_err(|error| Error::Broken {
            what: format!("POST {path}"),
            problem: format!("cannot read {}: {error}", file.display()),
        })?;
        let pieces = stream::try_unfold(file, |mut file| async move {
            let mut piece = vec![0; PIECE];
            let read = file.read(&mut piece).await?;
            piece.truncate(read);
            Ok::<_, std::io::Error>((read > 0).then_some((piece, file)))
        });
        self.send(Method::POST, path, Some(kind), Body::from_stream(pieces))
            .await
    }

    /// Sends a request and reads its whole answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        kind: Option<&str>,
        body: Body,
    ) -> Result<Reply, Error> {
        let what = format!("{method} {path}");
        let talk = self.talk(&what, method, path, kind, body);
        let talked = tokio::time::timeout(PATIENCE, talk).await;
        talked.unwrap_or_else(|_| Err(Error::Late(what.clone())))
    }

    async fn talk(
        &self,
        what: &str,
        method: Method,
        path: &str,
        kind: Option<&str>,
        body: Body,
    ) -> Result<Reply, Error> {
        let broken = |problem: &dyn std::fmt::Display| Error::Broken {
            what: what.to_owned(),
            problem: problem.to_string(),
        };
        let stream = TcpStream::connect(self.0).await;
        let stream = stream.map_err(|source| Error::Connect {
            what: what.to_owned(),
            source,
        })?;
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|e| broken(&e))?;
        // Ends with the sender; what fails in it fails in the request too.
        let connection = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.0.to_string());
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = request.body(body).map_err(|e| broken(&e))?;
        let answer = sender.send_request(request).await.map_err(|e| broken(&e))?;
        let (head, body) = answer.into_parts();
        let body = axum::body::to_bytes(Body::new(body), LONGEST).await;
        let body = body.map_err(|e| broken(&e))?;
        drop(sender);
        // Closed before the next one begins, so that it isn't counted with it.
        let _closed = connection.await;
        if !head.status.is_success() {
            return Err(Error::Refused {
                what: what.to_owned(),
                status: head.status,
                detail: detail(&body),
            });
        }
        let location = head.headers.get(header::LOCATION);
        Ok(Reply {
            location: location.and_then(|l| Some(l.to_str().ok()?.to_owned())),
            body,
        })
    }
}

/// The sentence of an answer that says no, with a colon before it.
fn detail(body: &[u8]) -> String {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let sentence = problem["detail"].as_str().or(problem["title"].as_str());
    sentence.map_or(String::new(), |sentence| format!(": {sentence}"))
}
