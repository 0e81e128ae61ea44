//! Simulated devices: their Wi-Fi, their factory identity, what they keep, and how they enrol.
//!
//! They reach the cloud as real devices do, over MQTT with TLS at the endpoint that they were given. Not for: the
//! radio that carries their words (`radio`) and the words themselves (`commission::dialect`).

pub mod enrol;
pub mod firmware;
pub mod maker;
pub mod mqtt;
pub mod pace;
pub mod storage;
pub mod wifi;
