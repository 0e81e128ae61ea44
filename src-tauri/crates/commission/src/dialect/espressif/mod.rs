//! Espressif unified provisioning over BLE (protocomm), byte-compatible with esp-idf's protocomm,
//! wifi_provisioning and network_provisioning: both the client's half and the device's.
//!
//! A request goes to a named endpoint (one GATT characteristic each), is encrypted by the session's security
//! scheme, and is answered on the same characteristic. [`wire`] knows the standard messages, [`security`] the schemes,
//! [`endpoints`] which characteristic is which; [`client`] and [`device`] are the two halves.
//!
//! On top of it are endpoints of our own, described for firmware makers in this crate's `DEVICE.md`: [`offer`] says
//! which a device has, then [`identity`], [`cloud_cred`], [`cloud_status`] and [`blink`].

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

pub(super) use self::client::strength_of;

#[cfg(test)]
mod document;
