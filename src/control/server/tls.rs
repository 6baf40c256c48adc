//! TLS by certificate files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::{Limits, send_last};
use crate::control::problem::{Kind, Problem};

/// The first byte of every TLS connection: a record of the handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// Why the files can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read, or isn't what it should be.
    #[error("{key} is {path}, in which {what} can't be read: {source}")]
    Read {
        /// Which key of the configuration names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What was found.
        source: pem::Error,
    },
    /// Key and certificate aren't each other's, or are of a kind that isn't known.
    #[error("http.tls_cert ({cert}) and http.tls_key ({key}) can't be used together: {source}")]
    Pair {
        /// The certificates' file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// TLS 1.3 with the chain of certificates in `cert`, the server's own first, and its
/// private key in `key`; both PEM, the key without a passphrase.
pub(in crate::control) fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, Error> {
    let wrong_cert = |source| Error::Read {
        key: "http.tls_cert",
        path: cert.to_owned(),
        what: "a certificate (PEM)",
        source,
    };
    let chain = CertificateDer::pem_file_iter(cert).map_err(wrong_cert)?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(wrong_cert)?;
    if chain.is_empty() {
        return Err(wrong_cert(pem::Error::NoItemsFound));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| Error::Read {
        key: "http.tls_key",
        path: key.to_owned(),
        what: "a private key (PEM, without a passphrase)",
        source,
    })?;
    let pair = |source| Error::Pair {
        cert: cert.to_owned(),
        key: key.to_owned(),
        source,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// `socket` after its handshake, if it comes in time. Who speaks HTTP without TLS
/// is told so in words.
pub(super) async fn open(
    tls: TlsAcceptor,
    socket: TcpStream,
    limits: &Limits,
) -> Option<TlsStream<TcpStream>> {
    let opened = timeout(limits.head, async {
        let mut first = [0];
        // Looked at, not taken.
        match socket.peek(&mut first).await.ok()? {
            0 => None,
            _ if first[0] == HANDSHAKE => tls.accept(socket).await.ok(),
            _ => {
                let problem = Problem::of(
                    Kind::PlainHttp,
                    "This port speaks HTTPS: write https:// in place of http://.",
                );
                send_last(socket, problem, limits.linger).await;
                None
            }
        }
    });
    // Who took too long, or broke off, is gone.
    opened.await.ok().flatten()
}
