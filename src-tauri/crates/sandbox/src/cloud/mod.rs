//! The simulated cloud: an OIDC issuer, the broker, an AWS account and an AWS-IoT-compatible MQTT server, all on loopback.
//!
//! Real servers for real clients: whoever uses them comes over HTTPS or MQTT with TLS, also from the same process.
//! What is enrolled lives as long as the [`Cloud`], or, with [`CloudConfig::keep`], as long as that directory.

mod aws;
pub mod broker;
mod clock;
pub mod config;
pub mod faults;
mod http;
mod jwt;
mod keep;
pub mod mqtt;
mod oidc;
pub mod registry;
pub mod strategy;
pub mod tls;
mod trust;
pub mod visitor;
pub mod witness;

use std::iter;
use std::net::Ipv4Addr;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::aws::AwsAccess;
pub use self::config::{CloudConfig, MakerDevice, Owner, User};
pub use self::faults::{CloudFaults, Faults, HangUp};
pub use self::registry::Registry;
pub use self::strategy::Strategy;
pub use self::witness::Witness;

use self::aws::{Aws, DEVICE_POLICY, Make};
use self::broker::{Account, Broker, BrokerParts, TokenVerifier};
use self::clock::CloudClock;
use self::keep::{Keep, Ports};
use self::mqtt::{Provisioning, Template, TemplateError};
use self::oidc::Issuer;
pub(crate) use self::strategy::MadeWith;
use self::strategy::{JUST_IN_TIME_TEMPLATE, Strategies};
use self::tls::TlsListener;
use crate::ca::{Authority, CaError, Identity};
use crate::device::storage::StorageError;

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
    /// The provisioning template is of no use.
    #[error("the provisioning template is of no use: {0}")]
    Template(#[from] TemplateError),
    /// What an earlier cloud kept cannot be used, or nothing can be kept.
    #[error(transparent)]
    Keep(#[from] StorageError),
    /// A device could not be registered before it left the maker.
    #[error("a device could not be registered beforehand: {0}")]
    Strategy(String),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
}

impl CloudError {
    pub(crate) fn tls(error: impl std::fmt::Display) -> Self {
        Self::Tls(error.to_string())
    }
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The name that the server's certificate is for, too.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// A running cloud. It stops when it is dropped; [`Cloud::shutdown`] also waits until it has.
pub struct Cloud {
    /// The issuer's address, as in its discovery document.
    pub issuer_url: String,
    /// The client id of the app at the issuer.
    pub client_id: String,
    /// The broker's address; paths of its contract begin with `/v1`.
    pub broker_url: String,
    /// The AWS account.
    pub aws: AwsAccess,
    /// Where devices go.
    pub mqtt: Endpoint,
    /// The certificate that all servers here are trusted by, PEM.
    pub ca_pem: String,
    faults: Faults,
    registry: Registry,
    strategies: Arc<Strategies>,
    account: Aws,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Cloud {
    /// Opens all servers on free ports of 127.0.0.1, or on those that an earlier cloud had where they are still free.
    pub async fn start(config: CloudConfig) -> Result<Self, CloudError> {
        let faults = Faults::new(config.faults.clone());
        let clock = CloudClock::new(faults.clone());
        let template = Arc::new(Template::read(&config.template_name, &config.template_body)?);
        let own_way = match config.strategy.has_template() {
            true => Arc::clone(&template),
            false => Arc::new(Template::read(&config.template_name, JUST_IN_TIME_TEMPLATE)?),
        };
        // Policies that templates name are part of an account that is set up.
        let policies = template.named_policies().chain(own_way.named_policies());
        let policies = policies.map(|name| (name.to_owned(), DEVICE_POLICY.to_owned()));
        let registry = Registry::new(&config, policies.collect(), clock.clone(), faults.clone());
        let keep = Keep::open(config.keep.as_deref())?;
        let servers = keep.authority("servers", "Fieldkey sandbox")?;
        let devices = Arc::new(keep.authority("devices", "Fieldkey sandbox devices")?);
        let makers = Arc::new(keep.authority("makers", "Fieldkey sandbox maker of devices")?);
        keep.restore(&registry)?;
        let before = keep.ports()?;
        let server = servers.server()?;
        let ca_pem = servers.pem();
        let (stop, stopping) = watch::channel(false);

        let (tcp, port) = bind(before.issuer).await?;
        let issuer_port = port;
        let issuer_url = format!("https://127.0.0.1:{port}");
        let issuer = Issuer::new(&issuer_url, &config, clock.clone()).ok_or(CloudError::Random)?;
        let listener = listen(tcp, &server)?;
        let issuing = http::serve(listener, issuer.router(), clock.clone(), stopping.clone());

        let (tcp, port) = bind(before.mqtt).await?;
        let mqtt = Endpoint {
            host: "localhost".into(),
            port,
        };
        let strategies = Arc::new(Strategies {
            strategy: config.strategy,
            registry: registry.clone(),
            template: own_way,
            devices: Arc::clone(&devices),
            makers: Arc::clone(&makers),
            rule_delay: config.detach_delay,
        });
        let provisioning = Provisioning {
            registry: registry.clone(),
            template: Arc::clone(&template),
            devices: Arc::clone(&devices),
            faults: faults.clone(),
            strategies: Arc::clone(&strategies),
            clients: aws::clients(&config.region),
        };
        let known: &[&Authority] = match config.strategy.has_certificates() {
            true => &[&devices, &makers],
            false => &[&devices],
        };
        let tls = tls::for_mqtt(&server, known)?;
        let enrolling = mqtt::serve(
            tcp,
            tls,
            provisioning,
            config.keep_alive.clone(),
            stopping.clone(),
        );

        let https = tls::https_client(&ca_pem)?;
        let (tcp, aws_port) = bind(before.aws).await?;
        let aws_url = format!("https://127.0.0.1:{aws_port}");
        let account = Aws::new(Make {
            config: &config,
            issuer: &issuer_url,
            https: https.clone(),
            registry: registry.clone(),
            faults: faults.clone(),
            clock: clock.clone(),
            template: Arc::clone(&template),
            devices: Arc::clone(&devices),
            endpoint: mqtt.clone(),
            url: aws_url.clone(),
            stop: stopping.clone(),
        })
        .ok_or(CloudError::Random)?;
        let aws = account.access(aws_url).ok_or(CloudError::Random)?;
        let listener = listen(tcp, &server)?;
        let controlling = http::serve(listener, account.router(), clock.clone(), stopping.clone());

        let (tcp, port) = bind(before.broker).await?;
        keep.set_ports(Ports {
            issuer: issuer_port,
            mqtt: mqtt.port,
            broker: port,
            aws: aws_port,
        })?;
        let (keys, certificates) = account.broker().ok_or(CloudError::Random)?;
        let broker = Broker(Arc::new(BrokerParts {
            account: Account {
                https: https.clone(),
                url: aws.url.clone(),
                region: aws.region.clone(),
                certificates,
                keys,
                clock: clock.clone(),
            },
            issuing: tokio::sync::Mutex::default(),
            registry: registry.clone(),
            faults: faults.clone(),
            clock: clock.clone(),
            verifier: TokenVerifier::new(&issuer_url, &config.client_id, https, clock.clone()),
            template,
            endpoint: mqtt.clone(),
            ca_pem: ca_pem.clone(),
            claim_life_seconds: config.claim_life.as_secs(),
            stop: stopping.clone(),
        }));
        let listener = listen(tcp, &server)?;
        let brokering = http::serve(listener, broker.router(), clock, stopping.clone());
        let keeping = tokio::spawn(keep.follow(registry.clone(), stopping));

        Ok(Self {
            issuer_url,
            client_id: config.client_id,
            broker_url: format!("https://127.0.0.1:{port}"),
            aws,
            mqtt,
            ca_pem,
            faults,
            registry,
            strategies,
            account,
            stop,
            tasks: vec![issuing, enrolling, controlling, brokering, keeping],
        })
    }

    /// What the cloud knows, to look at.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What devices of this account are made with.
    pub(crate) fn strategies(&self) -> &Strategies {
        &self.strategies
    }

    /// Puts a line file into the account's bucket, as the office's own tools do over HTTPS. Whether there was room for it.
    pub fn put_line_file(&self, key: &str, text: &str) -> bool {
        self.account.put(key, text)
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

fn listen(tcp: TcpListener, server: &Identity) -> Result<TlsListener, CloudError> {
    TlsListener::new(tcp, tls::for_https(server)?).map_err(|error| CloudError::Bind(error.kind()))
}

/// Random ports that are tried before the system is asked for one.
const TRIES: usize = 16;

/// A port of 127.0.0.1: the wanted one (0 for none) where it is free, any other where not.
async fn bind(wanted: u16) -> Result<(TcpListener, u16), CloudError> {
    let failed = |error: std::io::Error| CloudError::Bind(error.kind());
    let random = (0..TRIES).filter_map(|_| random_port());
    let ports = iter::once(wanted).filter(|port| *port != 0).chain(random);
    for port in ports {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return Ok((listener, port));
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((listener, port))
}

/// A port below those that systems give to connections that go out (Linux from 32768 on, others from 49152, RFC 6335,
/// 6), so that hardly anybody takes it between two runs: devices remember their cloud by it.
fn random_port() -> Option<u16> {
    let mut bytes = [0_u8; 2];
    getrandom::fill(&mut bytes).ok()?;
    Some(20_000 + u16::from_ne_bytes(bytes) % 12_000)
}

/// 256 random bits as base64url: a name that nobody guesses.
fn random_name() -> Option<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}
