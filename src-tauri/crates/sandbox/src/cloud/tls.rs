//! TLS for both sides of the sandbox: server configurations, a listener for axum, and clients that trust one CA.
//!
//! The crypto provider is named in every configuration: a process default may be missing or another.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::CloudError;
use crate::ca::{Authority, Identity};

/// A peer that needs longer for its handshake is not worth a task.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A client configuration that trusts the certificates in `ca_pem` and nothing else, with no client certificate.
pub fn trusting(ca_pem: &str) -> Result<ClientConfig, CloudError> {
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(CloudError::tls)?
            .with_root_certificates(roots(ca_pem)?)
            .with_no_client_auth(),
    )
}

/// As [`trusting`], and shows `certificate_pem` (a chain, leaf first) with its key to servers that ask.
pub fn trusting_as(ca_pem: &str, certificate_pem: &str, key_pem: &str) -> Result<ClientConfig, CloudError> {
    let chain = CertificateDer::pem_slice_iter(certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(CloudError::tls)?;
    let key =
        rustls::pki_types::PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(CloudError::tls)?;
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(CloudError::tls)?
        .with_root_certificates(roots(ca_pem)?)
        .with_client_auth_cert(chain, key)
        .map_err(CloudError::tls)
}

/// An HTTPS client that trusts the certificates in `ca_pem` and follows no redirects by itself.
pub fn https_client(ca_pem: &str) -> Result<reqwest::Client, CloudError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(trusting(ca_pem)?)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(CloudError::tls)
}

/// HTTPS: no client certificate.
pub(crate) fn for_https(server: &Identity) -> Result<Arc<ServerConfig>, CloudError> {
    let (chain, key) = server.for_tls();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(CloudError::tls)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(CloudError::tls)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// MQTT: a client certificate of one of `known` is a must, and a session is never resumed, so that each connection
/// shows its certificate again.
pub(crate) fn for_mqtt(server: &Identity, known: &[&Authority]) -> Result<Arc<ServerConfig>, CloudError> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in known {
        roots.add(authority.der()).map_err(CloudError::tls)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(CloudError::tls)?;
    let (chain, key) = server.for_tls();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(CloudError::tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(CloudError::tls)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn roots(ca_pem: &str) -> Result<RootCertStore, CloudError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots
            .add(certificate.map_err(CloudError::tls)?)
            .map_err(CloudError::tls)?;
    }
    Ok(roots)
}

/// Hands finished TLS connections to axum. Handshakes run beside each other, so a slow one holds up nobody.
pub(crate) struct TlsListener {
    finished: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
    accepting: AbortHandle,
}

impl TlsListener {
    pub(crate) fn new(tcp: TcpListener, config: Arc<ServerConfig>) -> std::io::Result<Self> {
        let address = tcp.local_addr()?;
        let (done, finished) = mpsc::channel(16);
        let acceptor = TlsAcceptor::from(config);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, peer)) = tcp.accept().await {
                let (acceptor, done) = (acceptor.clone(), done.clone());
                tokio::spawn(async move {
                    if let Some(stream) = handshake(&acceptor, stream).await {
                        // The receiver is gone only when the server stops.
                        let _ = done.send((stream, peer)).await;
                    }
                });
            }
        })
        .abort_handle();
        Ok(Self {
            finished,
            address,
            accepting,
        })
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.finished.recv().await {
            Some(connection) => connection,
            None => pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The server's half of a TLS handshake. None if the peer fails or dawdles, which is its own affair.
pub(crate) async fn handshake(acceptor: &TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    // A reply of a few bytes must not wait for more.
    let _ = stream.set_nodelay(true);
    tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream))
        .await
        .ok()?
        .ok()
}
