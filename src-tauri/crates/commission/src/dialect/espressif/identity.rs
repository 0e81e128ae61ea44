//! `identity`: the device signs our challenge, bound to this session, with the key that its maker registered.
//!
//! The answer is longer than one characteristic value where a certificate chain is in it, so it comes in pages.
//! Not in scope: verifying; what comes out is an [`IdentityProof`] of which nothing is true yet.

use alloc::string::String;
use alloc::vec::Vec;

use prost::Message as _;
use sha2::{Digest, Sha256};

use super::wire::{self, WireError};
use crate::device::{DeviceKey, Firmware, IdentityProof, Serial, SignatureScheme};
use crate::text;

/// What the signed message begins with, so that no signature made for another purpose can be taken for this one.
pub const CONTEXT: &[u8] = b"fieldkey-identity-v1";
/// Most bytes of a whole answer that are collected.
pub const ANSWER_MAX: u32 = 8192;
/// Most bytes of model and firmware version each.
pub const TEXT_MAX: usize = 64;

const REQUEST: &str = "identity request";
const RESPONSE: &str = "identity response";
const ANSWER: &str = "identity answer";

const OK: i32 = 1;
const ECDSA_P256_SHA256: i32 = 1;
const ED25519: i32 = 2;

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Sign this, and send the first page of the answer.
    Prove {
        /// 32 random bytes.
        challenge: [u8; 32],
    },
    /// Send the page that begins at this offset of the answer.
    More {
        /// Bytes already received.
        offset: u32,
    },
}

/// One page of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Length of the whole answer.
    pub total: u32,
    /// Where this page begins.
    pub offset: u32,
    /// Its bytes, at least one.
    pub data: Vec<u8>,
}

/// Why a device gives no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 2: the request cannot be read, or an offset is past the end.
    #[error("the device cannot read the identity request (status 2)")]
    Malformed,
    /// 3: a further page was asked for, and no answer is ready.
    #[error("the device has no answer to continue (status 3)")]
    NothingPending,
    /// 4: it has no key, or signing failed.
    #[error("the device cannot sign (status 4)")]
    CannotSign,
    /// Any other number, 0 among them.
    #[error("the device answers with the unknown status {0}")]
    Other(i32),
}

impl Refusal {
    fn code(self) -> i32 {
        match self {
            Self::Malformed => 2,
            Self::NothingPending => 3,
            Self::CannotSign => 4,
            Self::Other(code) => code,
        }
    }

    fn check(code: i32) -> Result<(), Self> {
        match code {
            OK => Ok(()),
            2 => Err(Self::Malformed),
            3 => Err(Self::NothingPending),
            4 => Err(Self::CannotSign),
            other => Err(Self::Other(other)),
        }
    }
}

impl Request {
    /// The plain bytes, never none.
    pub fn encode(&self) -> Vec<u8> {
        let body = match self {
            Self::Prove { challenge } => raw::RequestBody::Prove(raw::Prove {
                challenge: challenge.to_vec(),
            }),
            Self::More { offset } => raw::RequestBody::More(raw::More { offset: *offset }),
        };
        raw::Request { body: Some(body) }.encode_to_vec()
    }

    /// Reads a request, as the device does.
    ///
    /// # Errors
    /// When the bytes are no request, or the challenge is not 32 bytes long.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        match wire::read::<raw::Request>(REQUEST, bytes)?.body {
            Some(raw::RequestBody::Prove(prove)) => {
                let challenge = wire::exact("challenge", &prove.challenge)?;
                Ok(Self::Prove { challenge })
            }
            Some(raw::RequestBody::More(more)) => Ok(Self::More { offset: more.offset }),
            None => Err(WireError::Missing {
                message: REQUEST,
                field: "body",
            }),
        }
    }
}

/// The plain bytes of a response.
pub fn response(page: &Result<Page, Refusal>) -> Vec<u8> {
    let (status, page) = match page {
        Ok(page) => (OK, Some(page)),
        Err(refusal) => (refusal.code(), None),
    };
    raw::Response {
        status,
        page: page.map(|page| raw::Page {
            total: page.total,
            offset: page.offset,
            data: page.data.clone(),
        }),
    }
    .encode_to_vec()
}

/// Reads a response.
///
/// # Errors
/// When the bytes are no response, or a success has no page with something in it.
pub fn decode_response(bytes: &[u8]) -> Result<Result<Page, Refusal>, WireError> {
    let raw::Response { status, page } = wire::read(RESPONSE, bytes)?;
    if let Err(refusal) = Refusal::check(status) {
        return Ok(Err(refusal));
    }
    match page {
        Some(raw::Page { total, offset, data }) if !data.is_empty() => Ok(Ok(Page { total, offset, data })),
        _ => Err(WireError::Missing {
            message: RESPONSE,
            field: "page",
        }),
    }
}

/// What a device says about itself, and the public half of the key that it signs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Serial number.
    pub serial: Serial,
    /// Model name, at most [`TEXT_MAX`] bytes.
    pub model: String,
    /// Firmware version, at most [`TEXT_MAX`] bytes.
    pub firmware: Firmware,
    /// How it signs.
    pub scheme: SignatureScheme,
    /// Its public key or chain.
    pub key: DeviceKey,
    /// The public part of its TPM's endorsement key.
    pub endorsement_key: Option<Vec<u8>>,
}

impl Statement {
    /// The bytes to sign: [`CONTEXT`], challenge, session binding, serial, model and firmware each behind its length
    /// as two bytes big-endian, the scheme's number as one byte, SHA-256 of the key or leaf certificate as sent, and
    /// SHA-256 of the endorsement key where there is one.
    ///
    /// Fixed lengths or lengths in front: no two statements have the same bytes.
    pub fn message(&self, challenge: &[u8; 32], binding: &[u8; 32]) -> Vec<u8> {
        let mut message = [CONTEXT, challenge, binding].concat();
        for text in [self.serial.as_str(), &self.model, &self.firmware.0] {
            // A longer text cannot come off the wire (TEXT_MAX), so nothing is lost here.
            message.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
            message.extend(text.bytes());
        }
        message.push(match self.scheme {
            SignatureScheme::EcdsaP256Sha256 => 1,
            SignatureScheme::Ed25519 => 2,
        });
        let key = match &self.key {
            DeviceKey::Spki(der) => der.as_slice(),
            DeviceKey::Chain(chain) => chain.first().map_or(&[][..], Vec::as_slice),
        };
        message.extend_from_slice(&Sha256::digest(key));
        if let Some(endorsement_key) = &self.endorsement_key {
            message.extend_from_slice(&Sha256::digest(endorsement_key));
        }
        message
    }

    /// The whole answer, to be sent in pages.
    pub fn answer(&self, signature: &[u8]) -> Vec<u8> {
        let (spki, chain) = match &self.key {
            DeviceKey::Spki(der) => (der.clone(), Vec::new()),
            DeviceKey::Chain(chain) => (Vec::new(), chain.clone()),
        };
        raw::Answer {
            serial: self.serial.as_str().into(),
            model: self.model.clone(),
            firmware: self.firmware.0.clone(),
            scheme: match self.scheme {
                SignatureScheme::EcdsaP256Sha256 => ECDSA_P256_SHA256,
                SignatureScheme::Ed25519 => ED25519,
            },
            spki,
            chain,
            signature: signature.to_vec(),
            endorsement_key: self.endorsement_key.clone().unwrap_or_default(),
        }
        .encode_to_vec()
    }
}

/// Reads the whole answer to this challenge on this session.
///
/// # Errors
/// When the bytes are no answer, or a part is absent or out of its range.
pub fn decode_answer(
    bytes: &[u8],
    challenge: &[u8; 32],
    binding: &[u8; 32],
) -> Result<IdentityProof, WireError> {
    let answer: raw::Answer = wire::read(ANSWER, bytes)?;
    let missing = |field| WireError::Missing {
        message: ANSWER,
        field,
    };
    let scheme = match answer.scheme {
        ECDSA_P256_SHA256 => SignatureScheme::EcdsaP256Sha256,
        ED25519 => SignatureScheme::Ed25519,
        other => {
            return Err(WireError::Unknown {
                field: "signature scheme",
                value: other.into(),
            });
        }
    };
    let key = match (answer.spki.is_empty(), answer.chain.first()) {
        (false, None) => DeviceKey::Spki(answer.spki),
        (true, Some(leaf)) if !leaf.is_empty() => DeviceKey::Chain(answer.chain),
        _ => return Err(missing("key, or has it twice")),
    };
    wire::length("model name", answer.model.as_bytes(), 0, TEXT_MAX)?;
    wire::length("firmware version", answer.firmware.as_bytes(), 0, TEXT_MAX)?;
    if answer.signature.is_empty() {
        return Err(missing("signature"));
    }
    let statement = Statement {
        serial: Serial::new(answer.serial).map_err(|_| missing("proper serial number"))?,
        model: answer.model,
        firmware: Firmware(answer.firmware),
        scheme,
        key,
        endorsement_key: Some(answer.endorsement_key).filter(|key| !key.is_empty()),
    };
    let message = statement.message(challenge, binding);
    Ok(IdentityProof {
        serial: statement.serial,
        // As signed they stand in the message; these are for people.
        model: text::shown(&statement.model, TEXT_MAX),
        firmware: Firmware(text::shown(&statement.firmware.0, TEXT_MAX)),
        key: statement.key,
        endorsement_key: statement.endorsement_key,
        scheme,
        message,
        signature: answer.signature,
    })
}

/// The client's side of the paging.
#[derive(Clone, Debug)]
pub struct Collector {
    challenge: [u8; 32],
    answer: Vec<u8>,
}

impl Collector {
    /// Begins with this challenge.
    pub fn new(challenge: [u8; 32]) -> Self {
        Self {
            challenge,
            answer: Vec::new(),
        }
    }

    /// The request to send now.
    pub fn request(&self) -> Request {
        match u32::try_from(self.answer.len()) {
            Ok(offset) if offset > 0 => Request::More { offset },
            _ => Request::Prove {
                challenge: self.challenge,
            },
        }
    }

    /// Takes a page; the proof, once all of it is there.
    ///
    /// # Errors
    /// When the page does not follow the last one, the answer is longer than [`ANSWER_MAX`], or it makes no sense.
    pub fn take(&mut self, page: &Page, binding: &[u8; 32]) -> Result<Option<IdentityProof>, WireError> {
        let malformed = WireError::Malformed { message: ANSWER };
        let total = usize::try_from(page.total.min(ANSWER_MAX)).unwrap_or(usize::MAX);
        let follows = usize::try_from(page.offset) == Ok(self.answer.len());
        let end = self.answer.len().saturating_add(page.data.len());
        if !follows || end > total || page.total > ANSWER_MAX {
            return Err(malformed);
        }
        self.answer.extend_from_slice(&page.data);
        if end < total {
            return Ok(None);
        }
        decode_answer(&self.answer, &self.challenge, binding).map(Some)
    }
}

/// The page of an answer that begins at `offset`; `None` past its end.
pub fn page(answer: &[u8], offset: u32, size: usize) -> Option<Page> {
    let rest = answer.get(usize::try_from(offset).ok()?..)?;
    let data = rest.get(..size.min(rest.len()))?.to_vec();
    (!data.is_empty()).then_some(Page {
        total: answer.len().try_into().ok()?,
        offset,
        data,
    })
}

mod raw {
    use alloc::string::String;
    use alloc::vec::Vec;
    use prost::{Message, Oneof};

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Request {
        #[prost(oneof = "RequestBody", tags = "10, 11")]
        pub(super) body: Option<RequestBody>,
    }

    #[derive(Clone, PartialEq, Oneof)]
    pub(super) enum RequestBody {
        #[prost(message, tag = "10")]
        Prove(Prove),
        #[prost(message, tag = "11")]
        More(More),
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Prove {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) challenge: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct More {
        #[prost(uint32, tag = "1")]
        pub(super) offset: u32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Response {
        #[prost(int32, tag = "1")]
        pub(super) status: i32,
        #[prost(message, optional, tag = "10")]
        pub(super) page: Option<Page>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Page {
        #[prost(uint32, tag = "1")]
        pub(super) total: u32,
        #[prost(uint32, tag = "2")]
        pub(super) offset: u32,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) data: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Answer {
        #[prost(string, tag = "1")]
        pub(super) serial: String,
        #[prost(string, tag = "2")]
        pub(super) model: String,
        #[prost(string, tag = "3")]
        pub(super) firmware: String,
        #[prost(int32, tag = "4")]
        pub(super) scheme: i32,
        #[prost(bytes = "vec", tag = "5")]
        pub(super) spki: Vec<u8>,
        #[prost(bytes = "vec", repeated, tag = "6")]
        pub(super) chain: Vec<Vec<u8>>,
        #[prost(bytes = "vec", tag = "7")]
        pub(super) signature: Vec<u8>,
        #[prost(bytes = "vec", tag = "8")]
        pub(super) endorsement_key: Vec<u8>,
    }
}

#[cfg(test)]
mod tests;
