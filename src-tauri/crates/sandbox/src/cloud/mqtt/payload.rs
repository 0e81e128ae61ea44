//! Payloads in the two encodings of the provisioning topics: JSON, and CBOR with the same keys (RFC 8949).

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The last level of a provisioning topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Cbor,
}

impl Format {
    pub(super) fn named(level: &str) -> Option<Self> {
        match level {
            "json" => Some(Self::Json),
            "cbor" => Some(Self::Cbor),
            _ => None,
        }
    }

    /// None if the bytes are not one value of this encoding that has the shape of `T`.
    pub(super) fn read<T: DeserializeOwned>(self, bytes: &[u8]) -> Option<T> {
        match self {
            Self::Json => serde_json::from_slice(bytes).ok(),
            Self::Cbor => {
                let mut rest = bytes;
                let value = ciborium::from_reader(&mut rest).ok()?;
                rest.is_empty().then_some(value)
            }
        }
    }

    pub(super) fn write(self, value: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing strings and numbers into memory has no way to fail.
        match self {
            Self::Json => drop(serde_json::to_writer(&mut bytes, value)),
            Self::Cbor => drop(ciborium::into_writer(value, &mut bytes)),
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn both_encodings_carry_the_same_and_refuse_each_other() {
        let value = BTreeMap::from([("certificateId".to_owned(), "ab".to_owned())]);
        for (format, other) in [(Format::Json, Format::Cbor), (Format::Cbor, Format::Json)] {
            let bytes = format.write(&value);
            assert_eq!(format.read(&bytes), Some(value.clone()));
            assert_eq!(other.read::<BTreeMap<String, String>>(&bytes), None);
            let mut more = bytes.clone();
            more.push(0x7d);
            assert_eq!(format.read::<BTreeMap<String, String>>(&more), None);
            assert_eq!(
                format.read::<BTreeMap<String, String>>(&bytes[..bytes.len() - 1]),
                None
            );
        }
    }
}
