//! The simulated cloud: an OIDC issuer, the broker and an AWS-IoT-compatible MQTT server, all on loopback.
//!
//! Real servers for real clients: whoever uses them comes over HTTPS or MQTT with TLS, also from the same process.
//! Not for: durability. What is enrolled lives as long as the [`Cloud`].

pub mod broker;
mod clock;
pub mod config;
pub mod faults;
mod http;
mod jwt;
mod oidc;
pub mod tls;
pub mod visitor;

use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::config::{CloudConfig, MakerDevice, Owner, User};
pub use self::faults::{CloudFaults, Faults, HangUp};

use self::clock::CloudClock;
use self::oidc::Issuer;
use self::tls::TlsListener;
use crate::ca::{Authority, CaError};

/// Why a cloud could not start, or a client of it could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    /// No port of 127.0.0.1 could be opened.
    #[error("no port on 127.0.0.1 could be opened: {0}")]
    Bind(std::io::ErrorKind),
    /// A certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] CaError),
    /// A TLS configuration was refused.
    #[error("TLS could not be set up: {0}")]
    Tls(String),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
}

impl CloudError {
    pub(crate) fn tls(error: impl std::fmt::Display) -> Self {
        Self::Tls(error.to_string())
    }
}

/// A running cloud. It stops when it is dropped; [`Cloud::shutdown`] also waits until it has.
pub struct Cloud {
    /// The issuer's address, as in its discovery document.
    pub issuer_url: String,
    /// The client id of the app at the issuer.
    pub client_id: String,
    /// The certificate that all servers here are trusted by, PEM.
    pub ca_pem: String,
    faults: Faults,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Cloud {
    /// Opens all servers on free ports of 127.0.0.1.
    pub async fn start(config: CloudConfig) -> Result<Self, CloudError> {
        let faults = Faults::new(config.faults.clone());
        let clock = CloudClock::new(faults.clone());
        let servers = Authority::new("Fieldkey sandbox")?;
        let server = servers.server()?;
        let https = tls::for_https(&server)?;
        let (stop, stopping) = watch::channel(false);

        let (tcp, port) = bind().await?;
        let issuer_url = format!("https://127.0.0.1:{port}");
        let issuer = Issuer::new(&issuer_url, &config, clock.clone()).ok_or(CloudError::Random)?;
        let listener = TlsListener::new(tcp, https).map_err(|error| CloudError::Bind(error.kind()))?;
        let issuing = http::serve(listener, issuer.router(), clock, stopping);

        Ok(Self {
            issuer_url,
            client_id: config.client_id,
            ca_pem: servers.pem(),
            faults,
            stop,
            tasks: vec![issuing],
        })
    }

    /// The switchboard of what goes wrong.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// Stops all servers and waits until every connection is closed.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        for task in self.tasks.drain(..) {
            // A task that panicked is over as well.
            let _ = task.await;
        }
    }
}

async fn bind() -> Result<(TcpListener, u16), CloudError> {
    let failed = |error: std::io::Error| CloudError::Bind(error.kind());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((listener, port))
}

/// 256 random bits as base64url: a name that nobody guesses.
fn random_name() -> Option<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}
