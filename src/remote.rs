//! A request to a server that the configuration names, on a connection of its own,
//! which ends with whoever reads the answer. No redirect is followed: text and key
//! go to the address that was configured and no other.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Bytes of a complaint that are told.
const COMPLAINT: usize = 500;

/// What a server is for, as errors have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// What it is, for example `speech server`.
    pub name: &'static str,
    /// The key of the configuration that says where it is.
    pub key: &'static str,
    /// The route that is asked, behind what the key says.
    pub route: &'static str,
}

/// Why a server doesn't answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its address is none.
    #[error(
        "{} is {url:?}; set it to http:// or https://, a host, and the path before {}",
        service.key,
        service.route
    )]
    Url {
        /// What was to be asked.
        service: Service,
        /// What is configured.
        url: String,
    },
    /// It can't be talked to.
    #[error("The {} {server} can't be reached: {why}. See that it runs, and {}.", service.name, service.key)]
    Unreachable {
        /// What was asked.
        service: Service,
        /// Which.
        server: String,
        /// What the system, or the other side, said.
        why: String,
    },
    /// It says no.
    #[error("The {} {server} answers {status}: {said}", service.name)]
    Refused {
        /// What was asked.
        service: Service,
        /// Which.
        server: String,
        /// Its status.
        status: u16,
        /// The first lines of its complaint.
        said: String,
    },
    /// Its answer broke off.
    #[error("The answer of the {} broke off: {why}.", service.name)]
    Broken {
        /// What was asked.
        service: Service,
        /// What the system, or the other side, said.
        why: String,
    },
}

/// A server.
pub struct Server {
    service: Service,
    secure: bool,
    host: String,
    port: u16,
    /// As the address has it: with a port, if that is unusual.
    authority: String,
    /// What stands before every route.
    path: String,
    /// Built with the first request: it reads the system's certificates.
    tls: OnceLock<TlsConnector>,
}

/// Both kinds of connections.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl Server {
    /// The server at `url`. Nothing is asked before there is a request.
    ///
    /// # Errors
    ///
    /// When `url` is no address of a server.
    pub fn at(url: &str, service: Service) -> Result<Self, Error> {
        let wrong = || Error::Url {
            service,
            url: url.to_owned(),
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(wrong)?;
        let authority = uri.authority().ok_or_else(wrong)?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(wrong());
        }
        Ok(Self {
            service,
            secure,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: authority.to_string(),
            path: uri.path().trim_end_matches('/').to_owned(),
            tls: OnceLock::new(),
        })
    }

    /// Posts a JSON `body`, with `key` unless it is empty. Returns when the answer
    /// begins.
    ///
    /// # Errors
    ///
    /// When the server isn't there, or says no.
    pub async fn post(&self, body: String, key: &str) -> Result<Reply, Error> {
        let connection = self.connect().await?;
        let shaken = http1::handshake(TokioIo::new(connection)).await;
        let (mut sender, connection) = shaken.map_err(|e| self.unreachable(&e))?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // Whoever reads the answer is told of its errors.
            let _told_there = connection.await;
        });
        let mut request = Request::post(format!("{}{}", self.path, self.service.route))
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json");
        if !key.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|e| self.unreachable(&e))?;
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|e| self.unreachable(&e))?;
        let (head, body) = answer.into_parts();
        let kind = head.headers.get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let mut reply = Reply {
            service: self.service,
            kind: kind.to_owned(),
            body,
            _connection: tasks,
        };
        if !head.status.is_success() {
            return Err(Error::Refused {
                service: self.service,
                server: self.authority.clone(),
                status: head.status.as_u16(),
                said: reply.complaint().await,
            });
        }
        Ok(reply)
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, Error> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await;
        let tcp = tcp.map_err(|e| self.unreachable(&e))?;
        // A request is small and wanted now.
        tcp.set_nodelay(true).map_err(|e| self.unreachable(&e))?;
        if !self.secure {
            return Ok(Box::new(tcp));
        }
        let name = ServerName::try_from(self.host.clone()).map_err(|e| self.unreachable(&e))?;
        let tls = match self.tls.get() {
            Some(tls) => tls.clone(),
            None => {
                let built = tokio::task::spawn_blocking(trusted).await;
                let built = built.map_err(|e| self.unreachable(&e))?;
                self.tls.get_or_init(|| built).clone()
            }
        };
        let secured = tls.connect(name, tcp).await;
        Ok(Box::new(secured.map_err(|e| self.unreachable(&e))?))
    }

    /// The error and all its causes: the outermost says little.
    fn unreachable(&self, error: &dyn std::error::Error) -> Error {
        let mut why = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            why = format!("{why}: {error}");
            cause = error.source();
        }
        Error::Unreachable {
            service: self.service,
            server: self.authority.clone(),
            why,
        }
    }
}

/// TLS 1.3 with whom the system trusts.
fn trusted() -> TlsConnector {
    let mut roots = RootCertStore::empty();
    // One that can't be read isn't trusted; without any the handshake says so.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// An answer as it comes. Dropping it closes the connection.
pub struct Reply {
    service: Service,
    /// Its media type. Empty: it says none.
    pub kind: String,
    body: Incoming,
    _connection: JoinSet<()>,
}

impl Reply {
    /// The next bytes; `None` after the last.
    ///
    /// # Errors
    ///
    /// When it breaks off.
    pub async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|e| Error::Broken {
                service: self.service,
                why: e.to_string(),
            })?;
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// The beginning of an answer that is an error, on one line.
    async fn complaint(&mut self) -> String {
        let mut said = Vec::new();
        while said.len() < COMPLAINT {
            let Ok(Some(bytes)) = self.read().await else {
                break;
            };
            said.extend_from_slice(&bytes);
        }
        said.truncate(COMPLAINT);
        let said = String::from_utf8_lossy(&said);
        let words: Vec<_> = said.split_whitespace().collect();
        match words.join(" ").as_str() {
            "" => "nothing more".to_owned(),
            said => said.to_owned(),
        }
    }
}
