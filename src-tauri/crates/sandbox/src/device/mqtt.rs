//! One MQTT connection of a device, version 3.1.1 or 5, over mutual TLS.
//!
//! Small on purpose: subscribe, publish at least once, take messages, leave. Not for: what the messages say.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use commission::claim::Endpoint;
use commission::secret::SecretBytes;
use rumqttc::{self as v3, QoS, TlsConfiguration, Transport, v5};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};

/// AWS IoT takes packets up to 128 KB of payload; twice that leaves room for topics and headers.
const LARGEST_PACKET: u32 = 256 * 1024;
/// AWS IoT moves anything shorter to this.
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Requests that may wait for the connection; one operation is under way at a time.
const QUEUE: usize = 8;
/// A refused client that hangs is a fault too; firmware waits about this long.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The protocol version that a firmware speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// MQTT 3.1.1.
    #[default]
    #[serde(rename = "3.1.1")]
    V3,
    /// MQTT 5.
    #[serde(rename = "5")]
    V5,
}

/// A credential and whom to trust with it, in DER as devices keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Material {
    /// Authorities that vouch for the endpoint.
    pub ca: Vec<Vec<u8>>,
    /// Certificate chain, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// Its private key: PKCS #8, SEC1 or PKCS #1.
    pub key: SecretBytes,
}

impl Material {
    /// The same from PEM, as clouds send it.
    ///
    /// # Errors
    /// [`MqttError::Material`] where a text is no PEM of its kind.
    pub fn from_pem(ca: Vec<Vec<u8>>, chain_pem: &str, key_pem: &str) -> Result<Self, MqttError> {
        let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
            .map(|der| der.map(|der| der.to_vec()).map_err(|e| unfit(&e)))
            .collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|e| unfit(&e))?;
        Ok(Self {
            ca,
            chain,
            key: SecretBytes::new(key.secret_der().to_vec()),
        })
    }

    /// Whether the key is the leaf certificate's.
    ///
    /// # Errors
    /// [`MqttError::Material`] where one of the two cannot be read, or they are no pair.
    pub fn check_pair(&self) -> Result<(), MqttError> {
        let (chain, key) = self.parsed()?;
        let key = ring::sign::any_supported_type(&key).map_err(|e| unfit(&e))?;
        CertifiedKey::new(chain, key).keys_match().map_err(|e| unfit(&e))
    }

    fn parsed(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), MqttError> {
        let key = PrivateKeyDer::try_from(self.key.reveal().to_vec())
            .map_err(|why| MqttError::Material(why.to_owned()))?;
        Ok((
            self.chain.iter().cloned().map(CertificateDer::from).collect(),
            key,
        ))
    }
}

fn unfit(error: &dyn StdError) -> MqttError {
    MqttError::Material(error.to_string())
}

/// Why a connection did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MqttError {
    /// CA, certificate or key cannot be used.
    #[error("the credential cannot be used: {0}")]
    Material(String),
    /// No connection: name, network, or a server that the CA does not vouch for.
    #[error("{0}")]
    Unreachable(String),
    /// The server said that the certificate is out of date.
    #[error("the server says that the certificate has expired")]
    Expired,
    /// The server said no, in TLS or MQTT.
    #[error("{code}: {message}")]
    Refused {
        /// A short stable word.
        code: String,
        /// What was refused.
        message: String,
    },
    /// The server ended the connection without a word.
    #[error("the server closed the connection")]
    HungUp,
    /// The server did not answer.
    #[error("the server did not answer within {} s", .0.as_secs())]
    Silent(Duration),
}

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its content.
    pub payload: Vec<u8>,
}

/// A connection that stands.
pub struct Session {
    client: Client,
    events: Events,
    inbox: VecDeque<Message>,
    limit: Duration,
}

enum Client {
    V3(v3::AsyncClient),
    V5(v5::AsyncClient),
}

enum Events {
    V3(Box<v3::EventLoop>),
    V5(Box<v5::EventLoop>),
}

/// What an event means for us; the rest of MQTT is the library's business.
enum Happened {
    Connected,
    Subscribed(Result<(), String>),
    Published(Result<(), String>),
    Arrived(Message),
    Left,
    Nothing,
}

impl Session {
    /// Connects; `limit` bounds this and every later operation.
    ///
    /// # Errors
    /// [`MqttError`].
    pub async fn open(
        version: Version,
        client_id: &str,
        keep_alive: Duration,
        endpoint: &Endpoint,
        material: &Material,
        limit: Duration,
    ) -> Result<Self, MqttError> {
        let tls = Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls(material)?)));
        let Endpoint { host, port } = endpoint;
        let keep_alive = keep_alive.max(SHORTEST_KEEP_ALIVE);
        let (client, events) = match version {
            Version::V3 => {
                let mut options = v3::MqttOptions::new(client_id, host, *port);
                options
                    .set_transport(tls)
                    .set_keep_alive(keep_alive)
                    .set_clean_session(true);
                let largest = usize::try_from(LARGEST_PACKET).unwrap_or(usize::MAX);
                options.set_max_packet_size(largest, largest);
                let (client, mut events) = v3::AsyncClient::new(options, QUEUE);
                let mut network = v3::NetworkOptions::new();
                network.set_connection_timeout(CONNECT_LIMIT.as_secs());
                network.set_tcp_nodelay(true);
                events.set_network_options(network);
                (Client::V3(client), Events::V3(Box::new(events)))
            }
            Version::V5 => {
                let mut options = v5::MqttOptions::new(client_id, host, *port);
                options
                    .set_transport(tls)
                    .set_keep_alive(keep_alive)
                    .set_clean_start(true);
                options.set_connection_timeout(CONNECT_LIMIT.as_secs());
                options.set_max_packet_size(Some(LARGEST_PACKET));
                let mut network = v3::NetworkOptions::new();
                network.set_tcp_nodelay(true);
                options.set_network_options(network);
                let (client, events) = v5::AsyncClient::new(options, QUEUE);
                (Client::V5(client), Events::V5(Box::new(events)))
            }
        };
        let mut session = Self {
            client,
            events,
            inbox: VecDeque::new(),
            limit,
        };
        session
            .until(|happened| matches!(happened, Happened::Connected).then_some(Ok(())))
            .await?;
        Ok(session)
    }

    /// Subscribes to all of these, at least once, and waits until the server agreed.
    ///
    /// # Errors
    /// [`MqttError`].
    pub async fn subscribe(&mut self, topics: &[String]) -> Result<(), MqttError> {
        for topic in topics {
            let sent = match &self.client {
                Client::V3(client) => client.try_subscribe(topic.as_str(), QoS::AtLeastOnce).is_ok(),
                Client::V5(client) => client
                    .try_subscribe(topic.as_str(), v5::mqttbytes::QoS::AtLeastOnce)
                    .is_ok(),
            };
            self.queued(sent)?;
            let refused = |code| MqttError::Refused {
                code,
                message: format!("subscribing to {topic}"),
            };
            self.until(|happened| match happened {
                Happened::Subscribed(outcome) => Some(outcome.clone().map_err(refused)),
                _ => None,
            })
            .await?;
        }
        Ok(())
    }

    /// Publishes at least once and waits until the server has it.
    ///
    /// # Errors
    /// [`MqttError`].
    pub async fn publish(&mut self, topic: &str, payload: Vec<u8>) -> Result<(), MqttError> {
        let sent = match &self.client {
            Client::V3(client) => client
                .try_publish(topic, QoS::AtLeastOnce, false, payload)
                .is_ok(),
            Client::V5(client) => client
                .try_publish(topic.to_owned(), v5::mqttbytes::QoS::AtLeastOnce, false, payload)
                .is_ok(),
        };
        self.queued(sent)?;
        let refused = |code| MqttError::Refused {
            code,
            message: format!("publishing to {topic}"),
        };
        self.until(|happened| match happened {
            Happened::Published(outcome) => Some(outcome.clone().map_err(refused)),
            _ => None,
        })
        .await
    }

    /// The next message.
    ///
    /// # Errors
    /// [`MqttError`]; [`MqttError::Silent`] where none comes.
    pub async fn message(&mut self) -> Result<Message, MqttError> {
        loop {
            if let Some(message) = self.inbox.pop_front() {
                return Ok(message);
            }
            self.until(|happened| matches!(happened, Happened::Arrived(_)).then_some(Ok(())))
                .await?;
        }
    }

    /// Keeps the connection alive until it ends or `span` has passed.
    ///
    /// # Errors
    /// [`MqttError`] once it has ended.
    pub async fn idle(&mut self, span: Duration) -> Result<(), MqttError> {
        let never_ends = async {
            loop {
                next(&mut self.events).await?;
                self.inbox.clear();
            }
        };
        tokio::time::timeout(span, never_ends).await.unwrap_or(Ok(()))
    }

    /// Says goodbye and goes; a server that is gone already is no trouble.
    pub async fn close(mut self) {
        let asked = match &self.client {
            Client::V3(client) => client.try_disconnect().is_ok(),
            Client::V5(client) => client.try_disconnect().is_ok(),
        };
        if !asked {
            return;
        }
        let _ = self
            .until(|happened| matches!(happened, Happened::Left).then_some(Ok(())))
            .await;
    }

    fn queued(&self, sent: bool) -> Result<(), MqttError> {
        if sent { Ok(()) } else { Err(MqttError::HungUp) }
    }

    /// Runs the connection until `done` has an answer; messages that arrive meanwhile are kept.
    async fn until(
        &mut self,
        done: impl Fn(&Happened) -> Option<Result<(), MqttError>>,
    ) -> Result<(), MqttError> {
        let work = async {
            loop {
                let happened = next(&mut self.events).await?;
                let answer = done(&happened);
                if let Happened::Arrived(message) = happened {
                    self.inbox.push_back(message);
                }
                if let Some(answer) = answer {
                    return answer;
                }
            }
        };
        tokio::time::timeout(self.limit, work)
            .await
            .unwrap_or(Err(MqttError::Silent(self.limit)))
    }
}

async fn next(events: &mut Events) -> Result<Happened, MqttError> {
    match events {
        Events::V3(events) => events
            .poll()
            .await
            .map(|event| from_v3(&event))
            .map_err(|e| fault_v3(&e)),
        Events::V5(events) => events
            .poll()
            .await
            .map(|event| from_v5(&event))
            .map_err(|e| fault_v5(&e)),
    }
}

fn from_v3(event: &v3::Event) -> Happened {
    use v3::{Outgoing, Packet, SubscribeReasonCode};
    match event {
        v3::Event::Incoming(Packet::ConnAck(_)) => Happened::Connected,
        v3::Event::Incoming(Packet::SubAck(ack)) => {
            let refused = ack.return_codes.contains(&SubscribeReasonCode::Failure);
            Happened::Subscribed(if refused { Err("Failure".into()) } else { Ok(()) })
        }
        v3::Event::Incoming(Packet::PubAck(_)) => Happened::Published(Ok(())),
        v3::Event::Incoming(Packet::Publish(publish)) => Happened::Arrived(Message {
            topic: publish.topic.clone(),
            payload: publish.payload.to_vec(),
        }),
        v3::Event::Outgoing(Outgoing::Disconnect) => Happened::Left,
        _ => Happened::Nothing,
    }
}

fn from_v5(event: &v5::Event) -> Happened {
    use v5::mqttbytes::v5::{Packet, PubAckReason, SubscribeReasonCode};
    match event {
        v5::Event::Incoming(Packet::ConnAck(_)) => Happened::Connected,
        v5::Event::Incoming(Packet::SubAck(ack)) => {
            let refused = ack
                .return_codes
                .iter()
                .find(|code| !matches!(code, SubscribeReasonCode::Success(_)));
            Happened::Subscribed(refused.map_or(Ok(()), |code| Err(format!("{code:?}"))))
        }
        v5::Event::Incoming(Packet::PubAck(ack)) => Happened::Published(match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
            reason => Err(format!("{reason:?}")),
        }),
        v5::Event::Incoming(Packet::Publish(publish)) => Happened::Arrived(Message {
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: publish.payload.to_vec(),
        }),
        v5::Event::Outgoing(v3::Outgoing::Disconnect) => Happened::Left,
        _ => Happened::Nothing,
    }
}

fn fault_v3(error: &v3::ConnectionError) -> MqttError {
    use v3::ConnectionError as E;
    match error {
        E::ConnectionRefused(code) => not_let_in(format!("{code:?}")),
        E::MqttState(v3::StateError::ConnectionAborted) => MqttError::HungUp,
        E::NetworkTimeout => MqttError::Unreachable("no answer from the endpoint".into()),
        other => fault(other),
    }
}

fn fault_v5(error: &v5::ConnectionError) -> MqttError {
    use v5::ConnectionError as E;
    match error {
        E::ConnectionRefused(code) | E::MqttState(v5::StateError::ConnFail { reason: code }) => {
            not_let_in(format!("{code:?}"))
        }
        E::MqttState(v5::StateError::ServerDisconnect {
            reason_code,
            reason_string,
        }) => MqttError::Refused {
            code: format!("{reason_code:?}"),
            message: reason_string
                .clone()
                .unwrap_or_else(|| "the server ended the connection".into()),
        },
        E::MqttState(v5::StateError::ConnectionAborted) => MqttError::HungUp,
        // Has its cause in it, but does not name it as its source.
        E::MqttState(v5::StateError::Deserialization(cause)) => fault(cause),
        E::Timeout(_) => MqttError::Unreachable("no answer from the endpoint".into()),
        other => fault(other),
    }
}

fn not_let_in(code: String) -> MqttError {
    MqttError::Refused {
        code,
        message: "the server did not let the device in".into(),
    }
}

/// Looks below the library's error for what TLS or the system said.
fn fault(error: &(dyn StdError + 'static)) -> MqttError {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return of_tls(tls);
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let tls = io
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>());
            return tls.map_or_else(|| of_io(io), of_tls);
        }
        next = error.source();
    }
    MqttError::Unreachable(error.to_string())
}

fn of_tls(error: &rustls::Error) -> MqttError {
    match error {
        rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => MqttError::Expired,
        rustls::Error::AlertReceived(alert) => MqttError::Refused {
            code: format!("Tls{alert:?}"),
            message: "the server refused the certificate".into(),
        },
        rustls::Error::InvalidCertificate(why) => {
            MqttError::Unreachable(format!("the server is not the one that was meant: {why}"))
        }
        other => MqttError::Unreachable(other.to_string()),
    }
}

fn of_io(error: &io::Error) -> MqttError {
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => MqttError::HungUp,
        _ => MqttError::Unreachable(error.to_string()),
    }
}

fn tls(material: &Material) -> Result<ClientConfig, MqttError> {
    let mut roots = RootCertStore::empty();
    for root in &material.ca {
        roots
            .add(CertificateDer::from(root.clone()))
            .map_err(|e| unfit(&e))?;
    }
    let (chain, key) = material.parsed()?;
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| unfit(&e))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|e| unfit(&e))
}
