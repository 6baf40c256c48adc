//! Section `[http]`: the page and the control API.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;

use super::compat::Api;
use super::origin;
use super::server::{self, Limits, tls};
use crate::bounds::{OutOfBounds, within};

/// Most connections at a time: a hundredth of what a server's system gives a process.
const MOST_CONNECTIONS: usize = 10_000;

/// Section `[http]`: the page and the control API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port. Another one than loopback wants a token.
    pub listen: SocketAddr,
    /// Whoever asks must show it, as `Authorization: Bearer …`. Empty: everybody may.
    pub token: String,
    /// Whoever shows this one may watch, and nothing else. Empty: there is none.
    pub viewer_token: String,
    /// Listen on other addresses than loopback without a token.
    pub insecure: bool,
    /// The other sites whose pages may control, as `https://example.org`; `*` for all.
    pub cors_origins: Vec<String>,
    /// Requests a second from one address, on the mean of ten. 0: as many as come.
    pub requests_per_s: u32,
    /// Connections at a time.
    pub connections: usize,
    /// Of those, from one address.
    pub connections_per_address: usize,
    /// The file of the certificates for TLS, the server's own first. Empty: no TLS.
    pub tls_cert: String,
    /// The file of its private key.
    pub tls_key: String,
    /// Other programs whose clients are understood too.
    pub compat: BTreeSet<Api>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            token: String::new(),
            viewer_token: String::new(),
            insecure: false,
            cors_origins: Vec::new(),
            requests_per_s: 1_000,
            // 200 viewers' pages in a hurry, and a quarter of the 1,024 descriptors
            // that a process usually has.
            connections: 256,
            // One address alone never holds them all.
            connections_per_address: 128,
            tls_cert: String::new(),
            tls_key: String::new(),
            compat: BTreeSet::new(),
        }
    }
}

/// Why the control API can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Everybody in the network could control it.
    #[error(
        "http.listen is {0}, which others can reach: set http.token, or http.insecure = true if everybody may control this"
    )]
    Open(SocketAddr),
    /// The port is taken or not ours.
    #[error(
        "cannot listen on {listen}: {source}. Stop the other program, or set http.listen to another port"
    )]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// An origin that no page has.
    #[error(
        "http.cors_origins has {0:?}, which is no origin: write it as browsers do, https://example.org or http://example.org:8000, or * for all"
    )]
    Origin(String),
    /// Every page could control it.
    #[error(
        "http.cors_origins has *, and there is no http.token: every page that somebody at this machine opens could control this. Set http.token, or name the origins"
    )]
    EveryPage,
    /// A bound that can't be kept.
    #[error(transparent)]
    Bounds(#[from] OutOfBounds),
    /// A certificate without its key, or the other way round.
    #[error("{set} is set, and {missing} isn't: TLS wants both, as PEM files")]
    HalfTls {
        /// The key that is set.
        set: &'static str,
        /// The one that isn't.
        missing: &'static str,
    },
    /// The certificate or its key can't be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// Watching would be guarded, and control open.
    #[error(
        "http.viewer_token is set without http.token, so everybody could control this: set both"
    )]
    OnlyViewers,
    /// Who watches could control.
    #[error(
        "http.viewer_token is the same as http.token, so viewers could control this: set another one"
    )]
    SameTokens,
}

impl Config {
    /// Refuses what can't work.
    ///
    /// # Errors
    ///
    /// When the tokens guard nothing, or a value is out of bounds.
    pub fn check(&self) -> Result<(), Error> {
        match self.viewer_token.as_str() {
            "" => {}
            _ if self.token.is_empty() => return Err(Error::OnlyViewers),
            viewers if viewers == self.token => return Err(Error::SameTokens),
            _ => {}
        }
        for origin in &self.cors_origins {
            if origin == origin::ANY {
                if self.token.is_empty() {
                    return Err(Error::EveryPage);
                }
            } else if !origin::is_origin(origin) {
                return Err(Error::Origin(origin.clone()));
            }
        }
        within("http.requests_per_s", self.requests_per_s, 0..=1_000_000)?;
        within("http.connections", self.connections, 8..=MOST_CONNECTIONS)?;
        within(
            "http.connections_per_address",
            self.connections_per_address,
            1..=self.connections,
        )
        .map_err(|e| e.not_above("http.connections"))?;
        let half = |set, missing| Err(Error::HalfTls { set, missing });
        match (self.tls_cert.as_str(), self.tls_key.as_str()) {
            ("", "") => Ok(()),
            (_, "") => half("http.tls_cert", "http.tls_key"),
            ("", _) => half("http.tls_key", "http.tls_cert"),
            _ => Ok(()),
        }
    }

    /// Whether it is served over TLS.
    pub fn secure(&self) -> bool {
        !self.tls_cert.is_empty()
    }

    /// Reads certificate and key, if there are any.
    ///
    /// # Errors
    ///
    /// When they can't be read, or not be used together.
    pub fn tls(&self) -> Result<Option<TlsAcceptor>, Error> {
        if !self.secure() {
            return Ok(None);
        }
        let (cert, key) = (Path::new(&self.tls_cert), Path::new(&self.tls_key));
        Ok(Some(tls::acceptor(cert, key)?))
    }

    /// How much the server takes.
    pub fn limits(&self) -> Limits {
        Limits {
            connections: self.connections,
            per_address: self.connections_per_address,
            requests_per_s: self.requests_per_s,
            head: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            linger: Duration::from_secs(2),
        }
    }

    /// The address to open in a browser for a server that listens on `address`.
    pub fn url(&self, address: SocketAddr) -> String {
        server::url(address, self.secure())
    }

    /// Opens the port.
    ///
    /// # Errors
    ///
    /// When the port is taken, or others could reach it without a token.
    pub fn bind(&self) -> Result<std::net::TcpListener, Error> {
        if !self.listen.ip().is_loopback() && self.token.is_empty() && !self.insecure {
            return Err(Error::Open(self.listen));
        }
        let listen = |source| Error::Listen {
            listen: self.listen,
            source,
        };
        let listener = std::net::TcpListener::bind(self.listen).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        Ok(listener)
    }
}
