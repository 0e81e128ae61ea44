//! The border between the radio and a simulated device: what a device shows, what it is told, what it may do.
//!
//! A device implements [`Peripheral`] and knows nothing of BlueZ, D-Bus, latency or link faults; the radio knows
//! nothing of a dialect. MTU, long reads and writes, and lost links are the radio's business: a device always sees
//! whole values.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
pub use commission::gatt::{CharacteristicId, Properties};
use serde::{Deserialize, Deserializer};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// UUID of the Characteristic User Description descriptor (Bluetooth Core 5.4, Vol 3, Part G, 3.3.3.2).
pub const USER_DESCRIPTION: Uuid = Uuid::from_u128(0x0000_2901_0000_1000_8000_0080_5f9b_34fb);

/// A simulated Bluetooth LE device.
///
/// The radio calls `connected`, then any number of `read`, `write` and `subscribed`, then `disconnected`; there is at
/// most one link at a time. It never drops a `read` or `write` that it began, as firmware finishes its handler
/// although the link is gone meanwhile; such a call may therefore end after `disconnected`.
#[async_trait]
pub trait Peripheral: Send + Sync {
    /// What the device shows now and from now on. The radio follows every change at once; when the sender is
    /// dropped, the device is gone.
    fn on_air(&self) -> watch::Receiver<OnAir>;

    /// A link is up. `link` stays good until [`Peripheral::disconnected`]; keep it to notify or to drop the link.
    fn connected(&self, link: LinkHandle);

    /// The link with this [`LinkHandle::id`] is gone, whoever ended it.
    fn disconnected(&self, link: u64);

    /// The value of a characteristic, whole; the radio cuts it by MTU. Returns the ATT error that the device answers
    /// otherwise.
    async fn read(&self, characteristic: CharacteristicId) -> Result<Vec<u8>, AttError>;

    /// Takes a whole value and runs what firmware runs inside the write; the Write Response goes out when this ends.
    /// Also used for writes without response, whose refusal nobody hears.
    async fn write(&self, characteristic: CharacteristicId, value: Vec<u8>) -> Result<(), Refusal>;

    /// The client switched notifications of a characteristic on or off.
    fn subscribed(&self, characteristic: CharacteristicId, on: bool) {
        let _ = (characteristic, on);
    }
}

/// All that a device shows to the world at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnAir {
    /// The address that it uses now; a change is an address rotation.
    pub address: Address,
    /// What it advertises; `None` is silence. It is also silent while it has a link.
    pub advertisement: Option<Advertisement>,
    /// What a client finds after connecting. A change during a link shows from the next link on.
    pub gatt: Arc<GattLayout>,
}

/// An advertisement with its scan response, as parts rather than bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Complete local name; arrives with the scan response, a little after the first advertisement.
    pub name_in_scan_response: Option<String>,
    /// Service UUIDs in the advertising PDU.
    pub services: Vec<Uuid>,
    /// Manufacturer data by company identifier.
    pub manufacturer: BTreeMap<u16, Vec<u8>>,
    /// Service data by service UUID.
    pub service_data: BTreeMap<Uuid, Vec<u8>>,
    /// Whether a connection is accepted.
    pub connectable: bool,
    /// Time between two advertisements: 20 ms to 10.24 s in the standard.
    pub interval: Duration,
    /// Mean signal strength at the adapter in dBm; single advertisements vary around it.
    pub rssi: i16,
}

impl Default for Advertisement {
    /// Connectable, nameless, every 160 ms (the default of Espressif's provisioning firmware), -55 dBm.
    fn default() -> Self {
        Self {
            name_in_scan_response: None,
            services: Vec::new(),
            manufacturer: BTreeMap::new(),
            service_data: BTreeMap::new(),
            connectable: true,
            interval: Duration::from_millis(160),
            rssi: -55,
        }
    }
}

/// A device's attribute table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GattLayout {
    /// Primary services, in attribute order.
    pub services: Vec<ServiceLayout>,
    /// The ATT MTU that the device asks for, 23 to 517 bytes.
    pub mtu: u16,
    /// Whether it takes prepared (long) writes. Without them a write over MTU - 3 bytes ends in ATT error 0x06.
    pub long_writes: bool,
}

impl Default for GattLayout {
    /// No services, MTU 256 (the default of Espressif's NimBLE firmware), long writes.
    fn default() -> Self {
        Self {
            services: Vec::new(),
            mtu: 256,
            long_writes: true,
        }
    }
}

impl GattLayout {
    /// The first characteristic with this name.
    pub fn characteristic(&self, id: CharacteristicId) -> Option<&CharacteristicLayout> {
        let mut services = self.services.iter().filter(|s| s.uuid == id.service);
        services.find_map(|s| s.characteristics.iter().find(|c| c.uuid == id.characteristic))
    }
}

/// One primary service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceLayout {
    /// Its UUID.
    pub uuid: Uuid,
    /// Its characteristics, in attribute order.
    pub characteristics: Vec<CharacteristicLayout>,
}

/// One characteristic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharacteristicLayout {
    /// Its UUID.
    pub uuid: Uuid,
    /// What it allows; anything else the stack refuses before it asks the device.
    pub properties: Properties,
    /// Longest value in bytes, at most 512 (Bluetooth Core 5.4, Vol 3, Part F, 3.2.9). A longer write ends in ATT
    /// error 0x0D and never reaches the device.
    pub limit: usize,
    /// Its descriptors with their fixed values; the client configuration descriptor is the stack's own.
    pub descriptors: Vec<DescriptorLayout>,
}

/// One read-only descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorLayout {
    /// Its UUID.
    pub uuid: Uuid,
    /// What a read gives.
    pub value: Vec<u8>,
}

/// Longest value of an attribute in bytes (Bluetooth Core 5.4, Vol 3, Part F, 3.2.9).
pub const LONGEST_VALUE: usize = 512;

/// An ATT error code (Bluetooth Core 5.4, Vol 3, Part F, 3.4.1.1; 0x80 to 0x9F are the application's).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error, Deserialize)]
#[serde(transparent)]
#[error("ATT error 0x{0:02x}")]
pub struct AttError(pub u8);

impl AttError {
    /// The attribute can't be read.
    pub const READ_NOT_PERMITTED: Self = Self(0x02);
    /// The attribute can't be written.
    pub const WRITE_NOT_PERMITTED: Self = Self(0x03);
    /// The PDU was invalid; also what NimBLE says when a handler fails.
    pub const INVALID_PDU: Self = Self(0x04);
    /// The link must be authenticated first.
    pub const INSUFFICIENT_AUTHENTICATION: Self = Self(0x05);
    /// The device does not support the request, prepared writes for example.
    pub const REQUEST_NOT_SUPPORTED: Self = Self(0x06);
    /// The client may not do this.
    pub const INSUFFICIENT_AUTHORIZATION: Self = Self(0x08);
    /// Nothing there.
    pub const ATTRIBUTE_NOT_FOUND: Self = Self(0x0a);
    /// The value has a wrong length.
    pub const INVALID_VALUE_LENGTH: Self = Self(0x0d);
    /// Something unlikely went wrong.
    pub const UNLIKELY: Self = Self(0x0e);
    /// The link must be encrypted first.
    pub const INSUFFICIENT_ENCRYPTION: Self = Self(0x0f);
    /// What Bluedroid says when a handler fails (decimal 133).
    pub const BLUEDROID_ERROR: Self = Self(0x85);
}

/// A device's refusal of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("refused with {error}")]
pub struct Refusal {
    /// The code that it answers.
    pub error: AttError,
    /// Whether it closes the link right after the answer, as Bluedroid does.
    pub closes_link: bool,
}

impl From<AttError> for Refusal {
    /// A refusal that leaves the link up.
    fn from(error: AttError) -> Self {
        Self {
            error,
            closes_link: false,
        }
    }
}

/// What a device can do with its link.
#[derive(Clone, Debug)]
pub struct LinkHandle {
    id: u64,
    mtu: u16,
    to_radio: mpsc::UnboundedSender<FromDevice>,
}

/// What a device asked of its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromDevice {
    /// Notify this value of a characteristic; lost when the client has not subscribed.
    Notify(CharacteristicId, Vec<u8>),
    /// Close the link.
    Drop,
}

impl LinkHandle {
    /// A handle and the end at which its wishes arrive: for the radio, and for tests of a device.
    pub fn new(id: u64, mtu: u16) -> (Self, mpsc::UnboundedReceiver<FromDevice>) {
        let (to_radio, wishes) = mpsc::unbounded_channel();
        (Self { id, mtu, to_radio }, wishes)
    }

    /// Number of this link, never used twice within a radio.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The negotiated ATT MTU in bytes.
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Notifies a value, cut to MTU - 3 bytes on the way. Does nothing once the link is gone.
    pub fn notify(&self, characteristic: CharacteristicId, value: Vec<u8>) {
        let _ = self.to_radio.send(FromDevice::Notify(characteristic, value));
    }

    /// Closes the link from the device's side. Does nothing once the link is gone.
    pub fn drop_link(&self) {
        let _ = self.to_radio.send(FromDevice::Drop);
    }
}

/// A Bluetooth device address, most significant byte first, as it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The six bytes.
    pub bytes: [u8; 6],
    /// Whether it was drawn at random rather than assigned to the maker.
    pub random: bool,
}

impl Address {
    /// A public (assigned) address.
    pub const fn public(bytes: [u8; 6]) -> Self {
        Self { bytes, random: false }
    }

    /// A random address.
    pub const fn random(bytes: [u8; 6]) -> Self {
        Self { bytes, random: true }
    }
}

impl fmt::Display for Address {
    /// `AA:BB:CC:DD:EE:FF`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.bytes;
        write!(f, "{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{g:02X}")
    }
}

/// A text that is no Bluetooth address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("\"{0}\" is no Bluetooth address: write six bytes in hex, as in \"24:0A:C4:12:34:56\"")]
pub struct BadAddress(pub String);

impl FromStr for Address {
    type Err = BadAddress;

    /// Reads `AA:BB:CC:DD:EE:FF`, in either case, as a public address.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadAddress(text.to_owned());
        let mut parts = text.split(':');
        let mut bytes = [0; 6];
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = u8::from_str_radix(part.ok_or_else(bad)?, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(Self::public(bytes))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_what_it_prints() {
        let address = Address::public([0x24, 0x0a, 0xc4, 0x12, 0x34, 0x56]);
        assert_eq!(address.to_string(), "24:0A:C4:12:34:56");
        assert_eq!("24:0a:c4:12:34:56".parse(), Ok(address));
    }

    #[test]
    fn an_address_of_another_shape_is_refused_with_what_to_write() {
        for bad in [
            "",
            "24:0A:C4:12:34",
            "24:0A:C4:12:34:56:78",
            "24:0A:C4:12:34:5G",
            "240AC4123456",
            "+4:0A:C4:12:34:56",
        ] {
            assert_eq!(bad.parse::<Address>(), Err(BadAddress(bad.to_owned())));
        }
    }

    #[tokio::test]
    async fn a_handle_whose_radio_is_gone_is_harmless() {
        let (link, wishes) = LinkHandle::new(1, 23);
        drop(wishes);
        link.notify(
            CharacteristicId {
                service: Uuid::nil(),
                characteristic: Uuid::nil(),
            },
            vec![1],
        );
        link.drop_link();
        assert_eq!((link.id(), link.mtu()), (1, 23));
    }
}
