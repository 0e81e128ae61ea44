//! What a device proved to hold, in full. Clouds that know a device by its own key (Azure DPS, Mender) enrol the key
//! itself; its fingerprint, which is enough to tell devices apart, is part of [`Identity`].

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::device::Identity;

/// Characters of a line of PEM (RFC 7468, 2).
const PEM_LINE: usize = 64;

/// Bytes of ASN.1 DER or of another binary form that is public; as text they are base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Der(pub Vec<u8>);

impl Der {
    /// As PEM under this label (RFC 7468).
    pub fn to_pem(&self, label: &str) -> String {
        let text = STANDARD.encode(&self.0);
        let mut pem = alloc::format!("-----BEGIN {label}-----\n");
        for (index, character) in text.chars().enumerate() {
            if index > 0 && index % PEM_LINE == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str(&alloc::format!("\n-----END {label}-----\n"));
        pem
    }
}

impl TryFrom<String> for Der {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, base64::DecodeError> {
        STANDARD.decode(text).map(Self)
    }
}

impl From<Der> for String {
    fn from(der: Der) -> Self {
        STANDARD.encode(der.0)
    }
}

/// The public halves of the keys of one device. Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvenKeys {
    /// The key that it signed with, as SubjectPublicKeyInfo (RFC 5280, 4.1.2.7).
    pub spki: Der,
    /// The certificates of that key, leaf first, without the maker's root; none where it handed over a bare key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Der>,
    /// The public part of its TPM's endorsement key (TPM2B_PUBLIC), which it signed for; only the maker's import or an
    /// endorsement certificate can say that it is a real TPM's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endorsement_key: Option<Der>,
}

/// Who a device proved to be, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenIdentity {
    /// Who it is.
    pub identity: Identity,
    /// By what.
    pub keys: ProvenKeys,
    /// The maker whose certificates vouch for the key; none for a bare key, which somebody else has to know.
    pub vouched_by: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn der_is_base64_in_text_and_comes_back() {
        let keys = ProvenKeys {
            spki: Der(vec![0x30, 0x00, 0xff]),
            chain: vec![Der(vec![1]), Der(vec![2])],
            endorsement_key: Some(Der(vec![3])),
        };
        let text = serde_json::to_string(&keys).unwrap();
        assert_eq!(
            text,
            r#"{"spki":"MAD/","chain":["AQ==","Ag=="],"endorsementKey":"Aw=="}"#
        );
        assert_eq!(serde_json::from_str::<ProvenKeys>(&text).unwrap(), keys);
        let bare = r#"{"spki":"MAD/"}"#;
        let read: ProvenKeys = serde_json::from_str(bare).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), bare);
        assert!(serde_json::from_str::<ProvenKeys>(r#"{"spki":"M"}"#).is_err());
    }

    #[test]
    fn pem_has_lines_of_64_characters() {
        let line = "AAAA".repeat(16);
        assert_eq!(
            Der(vec![0; 49]).to_pem("PUBLIC KEY"),
            alloc::format!("-----BEGIN PUBLIC KEY-----\n{line}\nAA==\n-----END PUBLIC KEY-----\n")
        );
        assert_eq!(
            Der(vec![0; 48]).to_pem("X"),
            alloc::format!("-----BEGIN X-----\n{line}\n-----END X-----\n")
        );
    }
}
