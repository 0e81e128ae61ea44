//! A device: an MQTT client that nobody here wrote, over TLS, in both versions of the protocol.

use std::sync::Arc;

use rumqttc::v5::mqttbytes::v5 as five;
use rumqttc::v5::{ConnectionError, StateError};
use rumqttc::{QoS, TlsConfiguration, Transport, v5};
use sandbox::cloud::Cloud;
use sandbox::cloud::tls::trusting_as;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::app::PATIENCE;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V3,
    V5,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Cbor,
}

pub(crate) struct Device {
    client: Client,
    pub(crate) encoding: Encoding,
    /// The template that it enrols with.
    pub(crate) template: String,
}

enum Client {
    Three(rumqttc::AsyncClient, Box<rumqttc::EventLoop>),
    Five(v5::AsyncClient, Box<v5::EventLoop>),
}

/// What the server said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Connected,
    Granted(bool),
    Acknowledged,
    Forbidden,
    Message { topic: String, payload: Vec<u8> },
    Goodbye(String),
    Closed(String),
}

/// Certificate and key in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Keys {
    pub(crate) fn of_claim(claim: &Value) -> Self {
        Self {
            certificate: claim["certificatePem"].as_str().unwrap().into(),
            key: claim["privateKeyPem"].as_str().unwrap().into(),
        }
    }
}

impl Device {
    /// Connects, or says what came instead.
    pub(crate) async fn connect(
        cloud: &Cloud,
        version: Version,
        client_id: &str,
        keys: &Keys,
    ) -> Result<Self, Seen> {
        let tls = trusting_as(&cloud.ca_pem, &keys.certificate, &keys.key).unwrap();
        let transport = Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls)));
        let (host, port) = (cloud.mqtt.host.clone(), cloud.mqtt.port);
        let client = match version {
            Version::V3 => {
                let mut options = rumqttc::MqttOptions::new(client_id, host, port);
                options
                    .set_transport(transport)
                    .set_max_packet_size(1 << 18, 1 << 18);
                let (client, events) = rumqttc::AsyncClient::new(options, 8);
                Client::Three(client, Box::new(events))
            }
            Version::V5 => {
                let mut options = v5::MqttOptions::new(client_id, host, port);
                options.set_transport(transport);
                let (client, events) = v5::AsyncClient::new(options, 8);
                Client::Five(client, Box::new(events))
            }
        };
        let template = "FieldkeyTemplate".into();
        let mut device = Self {
            client,
            encoding: Encoding::Json,
            template,
        };
        match device.next().await {
            Seen::Connected => Ok(device),
            other => Err(other),
        }
    }

    /// The next thing that the server says.
    pub(crate) async fn next(&mut self) -> Seen {
        timeout(PATIENCE, async {
            loop {
                let seen = match &mut self.client {
                    Client::Three(_, events) => match events.poll().await {
                        Ok(event) => three(event),
                        Err(error) => Some(Seen::Closed(error.to_string())),
                    },
                    Client::Five(_, events) => match events.poll().await {
                        Ok(event) => five(event),
                        Err(ConnectionError::MqttState(StateError::ServerDisconnect {
                            reason_code, ..
                        })) => Some(Seen::Goodbye(format!("{reason_code:?}"))),
                        Err(error) => Some(Seen::Closed(error.to_string())),
                    },
                };
                if let Some(seen) = seen {
                    return seen;
                }
            }
        })
        .await
        .unwrap()
    }

    pub(crate) async fn subscribe(&mut self, filter: &str) -> Seen {
        match &self.client {
            Client::Three(client, _) => client.subscribe(filter, QoS::AtLeastOnce).await.unwrap(),
            Client::Five(client, _) => {
                client
                    .subscribe(filter, v5::mqttbytes::QoS::AtLeastOnce)
                    .await
                    .unwrap();
            }
        }
        self.next().await
    }

    /// QoS 1; what the server says to the PUBLISH itself.
    pub(crate) async fn publish(&mut self, topic: &str, payload: Vec<u8>) -> Seen {
        match &self.client {
            Client::Three(client, _) => {
                client
                    .publish(topic, QoS::AtLeastOnce, false, payload)
                    .await
                    .unwrap();
            }
            Client::Five(client, _) => {
                client
                    .publish(topic, v5::mqttbytes::QoS::AtLeastOnce, false, payload)
                    .await
                    .unwrap();
            }
        }
        self.next().await
    }

    pub(crate) async fn disconnect(mut self) {
        match &self.client {
            Client::Three(client, _) => client.disconnect().await.unwrap(),
            Client::Five(client, _) => client.disconnect().await.unwrap(),
        }
        while !matches!(self.next().await, Seen::Closed(_)) {}
    }

    /// Subscribes to both answers of an operation, asks, and gives the answer: Ok accepted, Err rejected.
    pub(crate) async fn operate(&mut self, operation: &str, request: Value) -> Result<Value, Value> {
        let (level, payload) = match self.encoding {
            Encoding::Json => ("json", serde_json::to_vec(&request).unwrap()),
            Encoding::Cbor => {
                let mut payload = Vec::new();
                ciborium::into_writer(&request, &mut payload).unwrap();
                ("cbor", payload)
            }
        };
        let topic = format!("$aws/{operation}/{level}");
        assert_eq!(
            self.subscribe(&format!("{topic}/accepted")).await,
            Seen::Granted(true)
        );
        assert_eq!(
            self.subscribe(&format!("{topic}/rejected")).await,
            Seen::Granted(true)
        );
        assert_eq!(self.publish(&topic, payload).await, Seen::Acknowledged);
        let Seen::Message {
            topic: answered,
            payload,
        } = self.next().await
        else {
            panic!("no answer")
        };
        let answer = match self.encoding {
            Encoding::Json => serde_json::from_slice(&payload).unwrap(),
            Encoding::Cbor => ciborium::from_reader(&payload[..]).unwrap(),
        };
        match answered.strip_prefix(&topic) {
            Some("/accepted") => Ok(answer),
            Some("/rejected") => Err(answer),
            _ => panic!("answer on {answered}"),
        }
    }

    pub(crate) async fn create(&mut self) -> Result<Value, Value> {
        self.operate("certificates/create", json!({})).await
    }

    pub(crate) async fn create_from(&mut self, csr: &str) -> Result<Value, Value> {
        self.operate(
            "certificates/create-from-csr",
            json!({ "certificateSigningRequest": csr }),
        )
        .await
    }

    pub(crate) async fn register(&mut self, token: &Value, serial: &str) -> Result<Value, Value> {
        let operation = format!("provisioning-templates/{}/provision", self.template);
        let parameters = json!({ "SerialNumber": serial });
        self.operate(
            &operation,
            json!({ "certificateOwnershipToken": token, "parameters": parameters }),
        )
        .await
    }
}

/// The whole of enrolment with a claim: its permanent keys.
pub(crate) async fn enrol(cloud: &Cloud, claim: &Value, serial: &str) -> Keys {
    let keys = Keys::of_claim(claim);
    let mut device = Device::connect(cloud, Version::V5, &format!("{serial}-claim"), &keys)
        .await
        .ok()
        .unwrap();
    let created = device.create().await.unwrap();
    device
        .register(&created["certificateOwnershipToken"], serial)
        .await
        .unwrap();
    device.disconnect().await;
    Keys {
        certificate: created["certificatePem"].as_str().unwrap().into(),
        key: created["privateKey"].as_str().unwrap().into(),
    }
}

fn three(event: rumqttc::Event) -> Option<Seen> {
    use rumqttc::{Packet, SubscribeReasonCode};
    let rumqttc::Event::Incoming(packet) = event else {
        return None;
    };
    Some(match packet {
        Packet::ConnAck(_) => Seen::Connected,
        Packet::SubAck(ack) => Seen::Granted(
            ack.return_codes
                .iter()
                .all(|code| *code != SubscribeReasonCode::Failure),
        ),
        Packet::PubAck(_) => Seen::Acknowledged,
        Packet::Publish(message) => Seen::Message {
            topic: message.topic,
            payload: message.payload.to_vec(),
        },
        _ => return None,
    })
}

fn five(event: v5::Event) -> Option<Seen> {
    let v5::Event::Incoming(packet) = event else {
        return None;
    };
    Some(match packet {
        five::Packet::ConnAck(_) => Seen::Connected,
        five::Packet::SubAck(ack) => Seen::Granted(
            ack.return_codes
                .iter()
                .all(|code| matches!(code, five::SubscribeReasonCode::Success(_))),
        ),
        five::Packet::PubAck(ack) if ack.reason == five::PubAckReason::Success => Seen::Acknowledged,
        five::Packet::PubAck(_) => Seen::Forbidden,
        five::Packet::Publish(message) => Seen::Message {
            topic: String::from_utf8(message.topic.to_vec()).unwrap(),
            payload: message.payload.to_vec(),
        },
        _ => return None,
    })
}
