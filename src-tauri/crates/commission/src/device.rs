//! What is known of a device: how it was seen, which dialect it speaks, what it proved about itself.
//!
//! A device is known by what it proves (serial, key, label), never by its Bluetooth address.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::gatt::PeripheralId;
use crate::time::Moment;

/// One advertisement, or what a stack merged from several (Bluetooth Core 5.4, Vol 3, Part C, 11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// What the radio calls it.
    pub peripheral: PeripheralId,
    /// The local name, which many devices send in the scan response only.
    pub name: Option<String>,
    /// Advertised service UUIDs.
    pub services: Vec<Uuid>,
    /// Manufacturer data by Bluetooth company identifier.
    pub manufacturer: BTreeMap<u16, Vec<u8>>,
    /// Service data by service UUID.
    pub service_data: BTreeMap<Uuid, Vec<u8>>,
    /// Received signal strength in dBm; absent where the stack only remembers the device.
    pub rssi: Option<i16>,
    /// When it was seen.
    pub at: Moment,
}

/// A BLE provisioning protocol that a device speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum DialectKind {
    /// Espressif unified provisioning (protocomm).
    Espressif,
}

/// A device's serial number: 1 to 64 of letters, digits and `_ : -`, the common ground of the clouds' name rules. AWS
/// IoT thing names take `[a-zA-Z0-9:_-]`; Azure DPS registration ids would take a dot as well.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(type = "string"))]
pub struct Serial(String);

/// Why a text is no serial number.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SerialError {
    /// It has no characters or more than 64.
    #[error("a serial number has 1 to 64 characters, this has {0}")]
    Length(usize),
    /// It has a character that clouds do not take.
    #[error("a serial number has letters, digits and _ : - only, this has {0:?}")]
    Character(char),
}

impl Serial {
    /// Checks and takes a serial number.
    ///
    /// # Errors
    /// [`SerialError`] names what is wrong with it.
    pub fn new(text: impl Into<String>) -> Result<Self, SerialError> {
        let text = text.into();
        let length = text.chars().count();
        if !(1..=64).contains(&length) {
            return Err(SerialError::Length(length));
        }
        match text
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-')))
        {
            Some(c) => Err(SerialError::Character(c)),
            None => Ok(Self(text)),
        }
    }

    /// The serial number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Serial {
    type Error = SerialError;

    fn try_from(text: String) -> Result<Self, SerialError> {
        Self::new(text)
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> Self {
        serial.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of a public key in its SubjectPublicKeyInfo form (RFC 5280, 4.1.2.7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(type = "string"))]
pub struct Fingerprint(pub [u8; 32]);

impl TryFrom<String> for Fingerprint {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, hex::FromHexError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        hex::encode(fingerprint.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A firmware version as the device states it, ordered by its leading dotted numbers: 2.10 is newer than 2.9.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Firmware(pub String);

impl Firmware {
    /// Compares by the dotted numbers; `None` where one of the two has no leading number.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        let (mut own, mut others) = (self.numbers()?, other.numbers()?);
        let length = own.len().max(others.len());
        own.resize(length, 0);
        others.resize(length, 0);
        Some(own.cmp(&others))
    }

    fn numbers(&self) -> Option<Vec<u64>> {
        let text = self.0.trim_start_matches(['v', 'V']);
        let end = text
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(text.len());
        let numbers: Vec<u64> = text
            .get(..end)?
            .split('.')
            .map_while(|part| part.parse().ok())
            .collect();
        (!numbers.is_empty()).then_some(numbers)
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a device signs (the `identity` endpoint names it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureScheme {
    /// ECDSA on P-256 with SHA-256, signature as ASN.1 DER (RFC 3279, 2.2.3).
    EcdsaP256Sha256,
    /// Ed25519 (RFC 8032), 64 bytes.
    Ed25519,
}

/// The public half of a device's key, as the device hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceKey {
    /// SubjectPublicKeyInfo, DER.
    Spki(Vec<u8>),
    /// Certificates in DER, leaf first, up to but without the maker's root.
    Chain(Vec<Vec<u8>>),
}

/// What a device claims about itself, with its signature; nothing in it is true before the signature is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityProof {
    /// Serial number.
    pub serial: Serial,
    /// Model name.
    pub model: String,
    /// Firmware version.
    pub firmware: Firmware,
    /// Public key or certificate chain.
    pub key: DeviceKey,
    /// The public part of its TPM's endorsement key, where it has a TPM.
    pub endorsement_key: Option<Vec<u8>>,
    /// How it signed.
    pub scheme: SignatureScheme,
    /// The bytes that had to be signed: our challenge, this session and the facts above (see DEVICE.md).
    pub message: Vec<u8>,
    /// The signature over `message`.
    pub signature: Vec<u8>,
}

/// What a device has proven about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Identity {
    /// Serial number.
    pub serial: Serial,
    /// Model name.
    pub model: String,
    /// Firmware version.
    pub firmware: Firmware,
    /// SHA-256 of its public key.
    pub key_sha256: Fingerprint,
}

/// Why an [`IdentityProof`] does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdentityFault {
    /// The signature does not verify under the key.
    #[error("the device's signature over our challenge is wrong")]
    Signature,
    /// Key or certificate cannot be read.
    #[error("the device's key or certificate cannot be read: {0}")]
    Unreadable(String),
    /// The chain does not end in one of the profile's makers.
    #[error("the device's certificate is not from a maker that the organisation trusts")]
    UntrustedMaker,
    /// A certificate of the chain is out of date.
    #[error("a certificate of the device is not valid now")]
    OutOfDate,
    /// A certificate of the chain is out of date by this laptop's calendar alone, which is wrong.
    #[error("a certificate of the device is not valid by this laptop's date, which is wrong")]
    LaptopDate,
    /// The check itself came to no end, which says nothing of the device.
    #[error("the check did not end: {0}")]
    Unchecked(String),
    /// The serial in the certificate is another than the stated one.
    #[error("the device says it is {stated}, its certificate says {certified}")]
    Serial {
        /// What the device said.
        stated: String,
        /// What its certificate says.
        certified: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_refuses_what_a_cloud_would_refuse() {
        assert_eq!(Serial::new(""), Err(SerialError::Length(0)));
        assert_eq!(Serial::new("A".repeat(65)), Err(SerialError::Length(65)));
        assert_eq!(Serial::new("SN 1"), Err(SerialError::Character(' ')));
        assert_eq!(Serial::new("SN.1"), Err(SerialError::Character('.')));
        assert_eq!(
            Serial::new("SN-1-a_b:c").map(String::from),
            Ok("SN-1-a_b:c".into())
        );
    }

    #[test]
    fn firmware_compares_by_number_not_by_letter() {
        let version = |text: &str| Firmware(text.into());
        assert_eq!(version("2.10").compare(&version("2.9")), Some(Ordering::Greater));
        assert_eq!(
            version("v2.4.1-rc1").compare(&version("2.4.1")),
            Some(Ordering::Equal)
        );
        assert_eq!(version("2").compare(&version("2.0.0")), Some(Ordering::Equal));
        assert_eq!(version("nightly").compare(&version("2.0")), None);
    }
}
