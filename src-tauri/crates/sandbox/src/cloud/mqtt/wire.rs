//! One connection's MQTT bytes, both versions behind one face: what came in, what goes out, when to close.
//!
//! `mqtt-protocol-core` does the protocol without any I/O of its own, so each connection is one object with no
//! broker behind it: what is answered to one can reach no other.

use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::ConnectionOptions;
use mqtt_protocol_core::mqtt::connection::event::Event;
use mqtt_protocol_core::mqtt::packet::{
    GenericPacketTrait as _, MaximumQos, Packet, Properties, Qos, ReasonString, ServerKeepAlive, SubEntry,
    v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, PubackReasonCode,
    SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
};
use mqtt_protocol_core::mqtt::{Connection, Version, role};

/// The largest packet that AWS IoT accepts: 146 KB.
const PACKET_LIMIT: u32 = 149_504;

/// Unacknowledged PUBLISHes that AWS IoT accepts on a connection.
const RECEIVE_MAXIMUM: u16 = 100;

/// A packet that needs a decision.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    Connect {
        client_id: String,
        keep_alive: u16,
    },
    Subscribe {
        id: u16,
        filters: Vec<(String, Grant)>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    Publish {
        id: Option<u16>,
        topic: String,
        payload: Vec<u8>,
    },
    Disconnect,
}

/// The QoS of a subscription. AWS IoT grants 1 where 2 is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant {
    Qos0,
    Qos1,
}

/// Why a connection is refused or ended; each version says it in its own way, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    NotAuthorized,
    BadClientId,
    TakenOver,
    PayloadTooLarge,
    KeepAliveTimeout,
    Administrative,
    ShuttingDown,
}

/// The server's end of one connection.
pub(super) struct Wire {
    connection: Connection<role::Server>,
    out: Vec<u8>,
    closed: bool,
}

impl Wire {
    pub(super) fn new() -> Self {
        let options = ConnectionOptions::new()
            .maximum_packet_size_recv(PACKET_LIMIT)
            .receive_maximum(RECEIVE_MAXIMUM);
        let mut connection = Connection::with_options(Version::Undetermined, options);
        connection.set_auto_ping_response(true);
        Self {
            connection,
            out: Vec::new(),
            closed: false,
        }
    }

    /// Takes bytes from the peer; a packet may be spread over several calls.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Incoming> {
        let mut incoming = Vec::new();
        let mut cursor = Cursor::new(bytes);
        let end = bytes.len() as u64;
        while cursor.position() < end && !self.closed {
            for event in self.connection.recv(&mut cursor) {
                match event {
                    Event::NotifyPacketReceived(packet) => incoming.extend(self.understand(packet)),
                    // A peer that breaks the protocol has nothing more to say.
                    Event::NotifyError(_) => self.closed = true,
                    other => self.handle(other),
                }
            }
        }
        incoming
    }

    /// The bytes that are due to the peer.
    pub(super) fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Whether the connection is over once the due bytes are sent.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn is_v5(&self) -> bool {
        self.connection.get_protocol_version() == Version::V5_0
    }

    /// Accepts the connection; `keep_alive` is what the server holds the peer to.
    pub(super) fn accept(&mut self, keep_alive: u16) {
        let packet = if self.is_v5() {
            let limits = ServerKeepAlive::new(keep_alive).and_then(|keep_alive| {
                let limits: Properties = vec![MaximumQos::new(1)?.into(), keep_alive.into()];
                Ok(limits)
            });
            limits.and_then(|limits| {
                let connack = v5_0::Connack::builder().session_present(false);
                connack
                    .reason_code(ConnectReasonCode::Success)
                    .props(limits)
                    .build()
                    .map(Packet::from)
            })
        } else {
            let connack = v3_1_1::Connack::builder().session_present(false);
            connack
                .return_code(ConnectReturnCode::Accepted)
                .build()
                .map(Packet::from)
        };
        self.send(packet);
    }

    /// Answers CONNECT with a refusal.
    pub(super) fn refuse(&mut self, reason: Reason) {
        let packet = if self.is_v5() {
            let code = match reason {
                Reason::BadClientId => ConnectReasonCode::ClientIdentifierNotValid,
                _ => ConnectReasonCode::NotAuthorized,
            };
            v5_0::Connack::builder()
                .session_present(false)
                .reason_code(code)
                .build()
                .map(Packet::from)
        } else {
            let code = match reason {
                Reason::BadClientId => ConnectReturnCode::IdentifierRejected,
                _ => ConnectReturnCode::NotAuthorized,
            };
            v3_1_1::Connack::builder()
                .session_present(false)
                .return_code(code)
                .build()
                .map(Packet::from)
        };
        self.send(packet);
        self.closed = true;
    }

    /// Ends the connection: with the reason on MQTT 5, without a word on 3.1.1.
    pub(super) fn end(&mut self, reason: Reason) {
        if self.is_v5() {
            let (code, words) = match reason {
                Reason::NotAuthorized | Reason::BadClientId => (
                    DisconnectReasonCode::NotAuthorized,
                    "this certificate may not do that",
                ),
                Reason::TakenOver => (
                    DisconnectReasonCode::SessionTakenOver,
                    "another has this client id now",
                ),
                Reason::PayloadTooLarge => (DisconnectReasonCode::PacketTooLarge, "more than 128 KB"),
                Reason::KeepAliveTimeout => (DisconnectReasonCode::KeepAliveTimeout, "silent for too long"),
                Reason::Administrative => (
                    DisconnectReasonCode::AdministrativeAction,
                    "this certificate was taken back",
                ),
                Reason::ShuttingDown => (DisconnectReasonCode::ServerShuttingDown, "the server stops"),
            };
            // Also because some clients miss a DISCONNECT that has no properties.
            let goodbye = ReasonString::new(words).and_then(|words| {
                let properties: Properties = vec![words.into()];
                v5_0::Disconnect::builder()
                    .reason_code(code)
                    .props(properties)
                    .build()
            });
            self.send(goodbye.map(Packet::from));
        }
        self.closed = true;
    }

    /// Ends the connection without a word in either version.
    pub(super) fn hang_up(&mut self) {
        self.closed = true;
    }

    /// Answers SUBSCRIBE: a grant for each filter, or none where it is forbidden.
    pub(super) fn granted(&mut self, id: u16, grants: &[Option<Grant>]) {
        let packet = if self.is_v5() {
            let codes = grants.iter().map(|grant| match grant {
                Some(Grant::Qos0) => SubackReasonCode::GrantedQos0,
                Some(Grant::Qos1) => SubackReasonCode::GrantedQos1,
                None => SubackReasonCode::NotAuthorized,
            });
            v5_0::Suback::builder()
                .packet_id(id)
                .reason_codes(codes.collect())
                .build()
                .map(Packet::from)
        } else {
            let codes = grants.iter().map(|grant| match grant {
                Some(Grant::Qos0) => SubackReturnCode::SuccessMaximumQos0,
                Some(Grant::Qos1) => SubackReturnCode::SuccessMaximumQos1,
                None => SubackReturnCode::Failure,
            });
            v3_1_1::Suback::builder()
                .packet_id(id)
                .return_codes(codes.collect())
                .build()
                .map(Packet::from)
        };
        self.send(packet);
    }

    /// Answers UNSUBSCRIBE.
    pub(super) fn unsubscribed(&mut self, id: u16, filters: usize) {
        let packet = if self.is_v5() {
            let codes = vec![UnsubackReasonCode::Success; filters];
            v5_0::Unsuback::builder()
                .packet_id(id)
                .reason_codes(codes)
                .build()
                .map(Packet::from)
        } else {
            v3_1_1::Unsuback::builder()
                .packet_id(id)
                .build()
                .map(Packet::from)
        };
        self.send(packet);
    }

    /// Acknowledges a PUBLISH; one of QoS 0 has no id and gets none.
    pub(super) fn acknowledge(&mut self, id: Option<u16>) {
        let Some(id) = id else { return };
        let packet = if self.is_v5() {
            let puback = v5_0::Puback::builder().packet_id(id);
            puback
                .reason_code(PubackReasonCode::Success)
                .build()
                .map(Packet::from)
        } else {
            v3_1_1::Puback::builder().packet_id(id).build().map(Packet::from)
        };
        self.send(packet);
    }

    /// Refuses a PUBLISH: PUBACK 0x87 on MQTT 5 with QoS 1; otherwise there is only hanging up (AWS IoT).
    pub(super) fn forbid(&mut self, id: Option<u16>) {
        match id {
            Some(id) if self.is_v5() => {
                let puback = v5_0::Puback::builder().packet_id(id);
                self.send(
                    puback
                        .reason_code(PubackReasonCode::NotAuthorized)
                        .build()
                        .map(Packet::from),
                );
            }
            _ => self.end(Reason::NotAuthorized),
        }
    }

    pub(super) fn publish(&mut self, topic: &str, payload: &[u8], grant: Grant) {
        let id = match grant {
            Grant::Qos0 => None,
            Grant::Qos1 => match self.connection.acquire_packet_id() {
                Ok(id) => Some(id),
                // The peer has acknowledged nothing for 65535 messages.
                Err(_) => return self.hang_up(),
            },
        };
        let qos = if id.is_some() {
            Qos::AtLeastOnce
        } else {
            Qos::AtMostOnce
        };
        let packet = if self.is_v5() {
            v5_0::Publish::builder().topic_name(topic).and_then(|publish| {
                publish
                    .qos(qos)
                    .packet_id(id)
                    .payload(payload)
                    .build()
                    .map(Packet::from)
            })
        } else {
            v3_1_1::Publish::builder().topic_name(topic).and_then(|publish| {
                publish
                    .qos(qos)
                    .packet_id(id)
                    .payload(payload)
                    .build()
                    .map(Packet::from)
            })
        };
        self.send(packet);
    }

    fn send(&mut self, packet: Result<Packet, MqttError>) {
        match packet {
            Ok(packet) => {
                for event in self.connection.send(packet) {
                    self.handle(event);
                }
            }
            Err(_) => self.closed = true,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::RequestSendPacket { packet, .. } => self.out.extend(packet.to_continuous_buffer()),
            Event::RequestClose | Event::NotifyError(_) => self.closed = true,
            // Keep-alive is counted by the session: only it knows what the server holds the peer to.
            Event::RequestTimerReset { .. }
            | Event::RequestTimerCancel(_)
            | Event::NotifyPacketIdReleased(_)
            | Event::NotifyPacketReceived(_) => {}
        }
    }

    fn understand(&mut self, packet: Packet) -> Option<Incoming> {
        Some(match packet {
            Packet::V3_1_1Connect(connect) => Incoming::Connect {
                client_id: connect.client_id().into(),
                keep_alive: connect.keep_alive(),
            },
            Packet::V5_0Connect(connect) => Incoming::Connect {
                client_id: connect.client_id().into(),
                keep_alive: connect.keep_alive(),
            },
            Packet::V3_1_1Subscribe(subscribe) => Incoming::Subscribe {
                id: subscribe.packet_id(),
                filters: wanted(subscribe.entries()),
            },
            Packet::V5_0Subscribe(subscribe) => Incoming::Subscribe {
                id: subscribe.packet_id(),
                filters: wanted(subscribe.entries()),
            },
            Packet::V3_1_1Unsubscribe(unsubscribe) => Incoming::Unsubscribe {
                id: unsubscribe.packet_id(),
                filters: unsubscribe.entries().iter().map(ToString::to_string).collect(),
            },
            Packet::V5_0Unsubscribe(unsubscribe) => Incoming::Unsubscribe {
                id: unsubscribe.packet_id(),
                filters: unsubscribe.entries().iter().map(ToString::to_string).collect(),
            },
            Packet::V3_1_1Publish(publish) => self.published(
                publish.qos(),
                publish.packet_id(),
                publish.topic_name(),
                publish.payload(),
            )?,
            Packet::V5_0Publish(publish) => self.published(
                publish.qos(),
                publish.packet_id(),
                publish.topic_name(),
                publish.payload(),
            )?,
            Packet::V3_1_1Disconnect(_) | Packet::V5_0Disconnect(_) => Incoming::Disconnect,
            // Pings are answered by the library; acknowledgements need no decision.
            _ => return None,
        })
    }

    fn published(
        &mut self,
        qos: Qos,
        id: Option<u16>,
        topic: &str,
        payload: &mqtt_protocol_core::mqtt::ArcPayload,
    ) -> Option<Incoming> {
        if qos == Qos::ExactlyOnce {
            // AWS IoT has no QoS 2 and closes on it.
            self.hang_up();
            return None;
        }
        Some(Incoming::Publish {
            id,
            topic: topic.into(),
            payload: payload.as_slice().into(),
        })
    }
}

fn wanted(entries: &[SubEntry]) -> Vec<(String, Grant)> {
    let grant = |qos: Qos| {
        if qos == Qos::AtMostOnce {
            Grant::Qos0
        } else {
            Grant::Qos1
        }
    };
    entries
        .iter()
        .map(|entry| (entry.topic_filter().into(), grant(entry.sub_opts().qos())))
        .collect()
}
