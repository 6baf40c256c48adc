//! Section `[http]`: the page and the control API.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

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
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            token: String::new(),
            viewer_token: String::new(),
            insecure: false,
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
    /// When the tokens guard nothing.
    pub fn check(&self) -> Result<(), Error> {
        match self.viewer_token.as_str() {
            "" => Ok(()),
            _ if self.token.is_empty() => Err(Error::OnlyViewers),
            viewers if viewers == self.token => Err(Error::SameTokens),
            _ => Ok(()),
        }
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
