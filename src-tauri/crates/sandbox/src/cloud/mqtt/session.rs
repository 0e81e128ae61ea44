//! One connection from TLS handshake to close: who it is, what it may, what it is told.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_rustls::server::TlsStream;

use super::Server;
use super::provisioning::Answer;
use super::topic::{Operation, matches, may_publish, may_subscribe};
use super::wire::{Grant, Incoming, Reason, Wire};
use crate::ca::certificate_id;
use crate::cloud::aws::may_connect;
use crate::cloud::faults::HangUp;
use crate::cloud::http::stopped;
use crate::cloud::registry::Admission;

/// A peer that connects and says nothing is let go.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A peer that takes none of its bytes for so long is gone.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// How long a peer has to take the last bytes in. Some clients forget what they just read when the close comes with it.
const LINGER_LIMIT: Duration = Duration::from_millis(250);

/// AWS IoT's limit on a message's payload: 128 KB.
const PAYLOAD_LIMIT: usize = 131_072;

/// AWS IoT's limit on subscriptions of one connection.
const SUBSCRIPTION_LIMIT: usize = 50;

pub(super) struct Session {
    server: Arc<Server>,
    number: u64,
    who: Admission,
    /// The id of the certificate that it came with.
    certificate: String,
    /// What the peer calls itself; empty until it has said so.
    client_id: String,
    wire: Wire,
    stream: TlsStream<TcpStream>,
    subscriptions: BTreeMap<String, Grant>,
    keep_alive: Duration,
    /// Whether the peer said goodbye and waits for the close.
    peer_left: bool,
}

impl Session {
    /// Serves the connection until either side ends it.
    pub(super) async fn run(server: Arc<Server>, stream: TlsStream<TcpStream>, stop: watch::Receiver<bool>) {
        let (_, tls) = stream.get_ref();
        let Some(leaf) = tls.peer_certificates().and_then(|chain| chain.first()) else {
            return;
        };
        let certificate = certificate_id(leaf);
        let who = server.provisioning.registry.admit(&certificate);
        if who == Admission::Refused {
            server.provisioning.strategies.meet(leaf);
            return;
        }
        let number = server.next_session();
        let mut session = Self {
            server,
            number,
            who,
            certificate,
            client_id: String::new(),
            wire: Wire::new(),
            stream,
            subscriptions: BTreeMap::new(),
            keep_alive: CONNECT_LIMIT,
            peer_left: false,
        };
        if let Some(client_id) = session.connect().await {
            let evictions = session.server.enter(&client_id, number);
            session.client_id.clone_from(&client_id);
            session.present(true);
            session.serve(evictions, stop).await;
            session.present(false);
            session.server.leave(&client_id, number);
        }
        if !session.peer_left {
            session.linger().await;
        }
        // The peer may be gone already; then there is nobody to say goodbye to.
        let _ = timeout(WRITE_LIMIT, session.stream.shutdown()).await;
    }

    /// Waits for CONNECT and answers it. The client id, if the connection stands.
    async fn connect(&mut self) -> Option<String> {
        let first = timeout(CONNECT_LIMIT, self.receive()).await.ok()??;
        // Whatever follows CONNECT before CONNACK is rare; a client that does so must wait its turn.
        let mut packets = first.into_iter();
        let Some(Incoming::Connect {
            client_id,
            keep_alive,
        }) = packets.next()
        else {
            self.flush().await?;
            return None;
        };
        if self.is_claim() && self.server.provisioning.faults.hangs_up(HangUp::ClaimConnect) {
            return None;
        }
        let named_right = match &self.who {
            Admission::Device {
                thing: Some(thing), ..
            } => client_id == *thing,
            _ => !client_id.is_empty(),
        };
        if !named_right {
            self.wire.refuse(Reason::BadClientId);
            self.flush().await;
            return None;
        }
        if let Admission::Device { principal, thing } = &self.who {
            let registry = &self.server.provisioning.registry;
            let policies = registry.policies_on(principal);
            if !may_connect(
                &policies,
                &self.server.provisioning.clients,
                &client_id,
                thing.as_deref(),
            ) {
                self.wire.refuse(Reason::NotAuthorized);
                self.flush().await;
                return None;
            }
        }
        let asked = if keep_alive == 0 { u16::MAX } else { keep_alive };
        let held = asked.clamp(*self.server.keep_alive.start(), *self.server.keep_alive.end());
        // MQTT 5.0, 3.1.2.10: one and a half times.
        self.keep_alive = Duration::from_secs(u64::from(held)) * 3 / 2;
        self.wire.accept(held);
        for packet in packets {
            if self.take(packet).await.is_break() {
                self.flush().await;
                return None;
            }
        }
        self.flush().await?;
        Some(client_id)
    }

    async fn serve(&mut self, mut evictions: mpsc::Receiver<()>, stop: watch::Receiver<bool>) {
        let mut changes = self.server.provisioning.registry.changes();
        let mut stopping = Box::pin(stopped(stop));
        let mut silent_until = Instant::now() + self.keep_alive;
        let mut buffer = vec![0; 4096];
        // What changed before anybody listened is looked at once.
        changes.mark_changed();
        while !self.wire.is_closed() {
            tokio::select! {
                read = self.stream.read(&mut buffer) => {
                    let Some(bytes) = read.ok().filter(|count| *count > 0).and_then(|count| buffer.get(..count))
                    else { return };
                    silent_until = Instant::now() + self.keep_alive;
                    for packet in self.wire.feed(bytes) {
                        if self.take(packet).await.is_break() {
                            break;
                        }
                    }
                }
                () = tokio::time::sleep_until(silent_until) => self.wire.end(Reason::KeepAliveTimeout),
                _ = changes.changed() => {
                    if self.server.provisioning.registry.must_close(&self.who) {
                        self.wire.end(Reason::Administrative);
                    }
                }
                _ = evictions.recv() => self.wire.end(Reason::TakenOver),
                () = &mut stopping => self.wire.end(Reason::ShuttingDown),
            }
            if self.flush().await.is_none() {
                return;
            }
        }
    }

    async fn take(&mut self, packet: Incoming) -> ControlFlow<()> {
        match packet {
            // A second CONNECT never gets here: the wire has closed on it.
            Incoming::Connect { .. } => {}
            Incoming::Disconnect => {
                self.peer_left = true;
                self.wire.hang_up();
            }
            Incoming::Unsubscribe { id, filters } => {
                self.subscriptions.retain(|filter, _| !filters.contains(filter));
                self.wire.unsubscribed(id, filters.len());
            }
            Incoming::Subscribe { id, filters } => self.subscribe(id, filters),
            Incoming::Publish { id, topic, payload } => self.publish(id, &topic, &payload).await,
        }
        if self.wire.is_closed() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn subscribe(&mut self, id: u16, filters: Vec<(String, Grant)>) {
        let template = &self.server.provisioning.template.name;
        let mut grants = Vec::with_capacity(filters.len());
        for (filter, grant) in filters {
            let room =
                self.subscriptions.len() < SUBSCRIPTION_LIMIT || self.subscriptions.contains_key(&filter);
            let allowed = may_subscribe(&self.who, &filter, template);
            if !allowed {
                self.forbidden("subscribe to", &filter);
            }
            if allowed && room {
                self.subscriptions.insert(filter, grant);
                grants.push(Some(grant));
            } else if !allowed && !self.wire.is_v5() {
                return self.wire.hang_up();
            } else {
                grants.push(None);
            }
        }
        self.wire.granted(id, &grants);
    }

    async fn publish(&mut self, id: Option<u16>, topic: &str, payload: &[u8]) {
        if payload.len() > PAYLOAD_LIMIT {
            return self.wire.end(Reason::PayloadTooLarge);
        }
        let provisioning = &self.server.provisioning;
        if let Admission::Claim(claim_id) = &self.who
            && !provisioning.registry.claim_may_speak(claim_id)
        {
            // AWS IoT takes a last word from a dead claim, and then closes.
            self.wire.acknowledge(id);
            return self.wire.hang_up();
        }
        if !may_publish(&self.who, topic, &provisioning.template.name) {
            self.forbidden("publish to", topic);
            return self.wire.forbid(id);
        }
        self.wire.acknowledge(id);
        match &self.who {
            Admission::Claim(claim_id) => {
                let Some((operation, format)) = Operation::requested(topic, &provisioning.template.name)
                else {
                    return;
                };
                match provisioning.answer(claim_id, operation, format, payload).await {
                    Answer::Accepted(answer) => self.reply(&format!("{topic}/accepted"), &answer),
                    Answer::Rejected(answer) => self.reply(&format!("{topic}/rejected"), &answer),
                    Answer::HangUp => self.wire.hang_up(),
                }
            }
            Admission::Device { principal, .. } => {
                provisioning
                    .registry
                    .data_seen(self.number, &self.client_id, principal);
            }
            Admission::Refused => {}
        }
    }

    /// To this connection alone, and only if it subscribed before: what comes too early is lost, as on AWS IoT.
    fn reply(&mut self, topic: &str, payload: &[u8]) {
        let grants = self
            .subscriptions
            .iter()
            .filter(|(filter, _)| matches(filter, topic));
        let grant = grants.fold(None, |best, (_, grant)| match (best, grant) {
            (Some(Grant::Qos1), _) | (_, Grant::Qos1) => Some(Grant::Qos1),
            _ => Some(Grant::Qos0),
        });
        if let Some(grant) = grant {
            self.wire.publish(topic, payload, grant);
        }
    }

    fn forbidden(&self, what: &str, topic: &str) {
        if let Admission::Claim(claim_id) = &self.who {
            let message = format!("The claim may not {what} {topic}.");
            self.server
                .provisioning
                .registry
                .refused(claim_id, "TopicForbidden", &message);
        }
    }

    fn present(&self, arrives: bool) {
        let registry = &self.server.provisioning.registry;
        if !arrives {
            return registry.disconnected(self.number, &self.client_id, &self.certificate);
        }
        registry.connected(self.number, &self.client_id, &self.certificate);
        if let Admission::Claim(claim_id) = &self.who {
            registry.cloud_reached(claim_id);
        }
    }

    fn is_claim(&self) -> bool {
        matches!(self.who, Admission::Claim(_))
    }

    /// Reads until at least one packet is there, or None if the connection is over.
    async fn receive(&mut self) -> Option<Vec<Incoming>> {
        let mut buffer = [0; 1024];
        loop {
            let count = self
                .stream
                .read(&mut buffer)
                .await
                .ok()
                .filter(|count| *count > 0)?;
            let packets = self.wire.feed(buffer.get(..count)?);
            if !packets.is_empty() || self.wire.is_closed() {
                return Some(packets);
            }
        }
    }

    /// Waits for the peer to close first, but not for long.
    async fn linger(&mut self) {
        let mut ignored = [0; 1024];
        let closed = async { while self.stream.read(&mut ignored).await.is_ok_and(|count| count > 0) {} };
        let _ = timeout(LINGER_LIMIT, closed).await;
    }

    async fn flush(&mut self) -> Option<()> {
        let due = self.wire.take_out();
        if due.is_empty() {
            return Some(());
        }
        let sent = timeout(WRITE_LIMIT, async {
            self.stream.write_all(&due).await?;
            self.stream.flush().await
        });
        sent.await.ok()?.ok()
    }
}
