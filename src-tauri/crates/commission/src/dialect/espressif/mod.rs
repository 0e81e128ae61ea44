//! Espressif unified provisioning over BLE (protocomm), byte-compatible with esp-idf's protocomm,
//! wifi_provisioning and network_provisioning: both the client's half and the device's.
//!
//! A request goes to a named endpoint (one GATT characteristic each), is encrypted by the session's security
//! scheme, and is answered on the same characteristic. [`wire`] knows the messages, [`security`] the schemes.

pub mod advert;
pub mod blink;
pub mod client;
pub mod cloud_cred;
pub mod cloud_status;
pub mod device;
pub mod endpoints;
pub mod identity;
pub mod offer;
pub mod security;
pub mod transcript;
pub mod wire;
