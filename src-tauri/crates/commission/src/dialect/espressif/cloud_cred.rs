//! `cloud-cred`: handing a claim to the device in pieces that survive a lost link.
//!
//! `begin` names the transfer and its hash, and the device says how much of it it holds already; `chunk` adds to it;
//! `commit` has the device check and store all of it or none; `abort` wipes. This file has the messages,
//! [`bundle`] what is carried, [`Sender`] and [`Receiver`] the two halves.
//!
//! Zero is no status, so an empty or cut answer is never success.

use alloc::vec::Vec;

use prost::Message as _;

use super::wire::{self, WireError};
use crate::claim::ClaimForm;
use crate::secret::SecretBytes;
use crate::time::UnixTime;

pub mod bundle;
mod pem;
mod receiver;
mod sender;

pub use bundle::{BundleError, ClaimBundle, Credential};
pub use pem::PemError;
pub use receiver::{Change, PARTIAL_LIFE, Receiver};
pub use sender::{Progress, Sender};

/// Piece that fits every device: with framing and tag at most 240 bytes, below the 256 that every stack takes.
pub const CHUNK: u32 = 200;
/// Piece for devices that announce `chunk_400`: at most 440 bytes on the wire, below Bluedroid's 481.
pub const CHUNK_LARGE: u32 = 400;
/// What a device of ours takes in all; stock RainMaker buffers have 3072.
pub const BUFFER: u32 = 8192;

const REQUEST: &str = "cloud-cred request";
const RESPONSE: &str = "cloud-cred response";

/// Names a transfer: the first eight bytes of the SHA-256 of what is transferred.
pub type TransferId = [u8; 8];

/// What the client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// 10: a transfer begins, or goes on.
    Begin {
        /// Its name.
        transfer: TransferId,
        /// The kind of claim, so that the device can refuse at once.
        form: ClaimForm,
        /// Bytes in all.
        total: u32,
        /// SHA-256 of all of them.
        sha256: [u8; 32],
    },
    /// 11: a piece.
    Chunk {
        /// Of which transfer.
        transfer: TransferId,
        /// Where it begins.
        offset: u32,
        /// The piece.
        data: SecretBytes,
    },
    /// 12: check and store all of it.
    Commit {
        /// Which transfer.
        transfer: TransferId,
        /// Calendar time by the cloud's clock.
        now: UnixTime,
    },
    /// 13: wipe what came, and a claim that was stored.
    Abort,
}

/// What the device answers when it does as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Request::Begin`].
    Begun {
        /// Where to go on: bytes that it holds.
        next: u32,
        /// Largest piece that it takes.
        max_chunk: u32,
        /// Largest total that it takes.
        buffer: u32,
    },
    /// To [`Request::Chunk`].
    Taken {
        /// Where to go on: bytes that it holds.
        next: u32,
    },
    /// To [`Request::Commit`]: checked and stored.
    Committed,
    /// To [`Request::Abort`]: nothing is left of it.
    Aborted,
}

/// Why the device does not do as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 2: the request cannot be read, or a number in it is out of range.
    #[error("the device cannot read the request (status 2)")]
    Malformed,
    /// 3: no such transfer: it was never begun, timed out, or another one took its place.
    #[error("the device knows no such transfer (status 3)")]
    UnknownTransfer,
    /// 4: the total is larger than the buffer.
    #[error("the device takes {has} bytes only (status 4)")]
    BufferTooSmall {
        /// Its buffer in bytes.
        has: u32,
    },
    /// 5: the piece leaves a gap, or overlaps what is there in part.
    #[error("the device wants to go on at byte {next} (status 5)")]
    WrongOffset {
        /// Where to go on.
        next: u32,
    },
    /// 6: commit came before the last piece.
    #[error("the device has {next} bytes only (status 6)")]
    Incomplete {
        /// Where to go on.
        next: u32,
    },
    /// 7: the bytes are not those that were announced.
    #[error("what arrived is not what was sent (status 7)")]
    HashMismatch,
    /// 8: the private key does not belong to the certificate.
    #[error("key and certificate do not belong together (status 8)")]
    KeyMismatch,
    /// 9: this kind of claim is not taken.
    #[error("the device does not take this kind of claim (status 9)")]
    Unsupported,
    /// 10: it is past its end, by the time that came with the commit.
    #[error("the claim is past its end (status 10)")]
    Expired,
    /// 11: it could not be stored.
    #[error("the device could not store the claim (status 11)")]
    NotStored,
    /// 12: an enrolment is under way.
    #[error("the device is enrolling already (status 12)")]
    Busy,
    /// 13: the session is not encrypted, or no PoP protects it.
    #[error("the device takes no claim on this session (status 13)")]
    Unprotected,
    /// 14: the claim itself cannot be read: no protobuf, a certificate or key that does not parse.
    #[error("the device cannot read the claim (status 14)")]
    Unreadable,
    /// Any other number, 0 among them.
    #[error("the device answers with the unknown status {0}")]
    Other(i32),
}

const OK: i32 = 1;

impl Refusal {
    /// Status and detail on the wire.
    fn code(self) -> (i32, u32) {
        match self {
            Self::Malformed => (2, 0),
            Self::UnknownTransfer => (3, 0),
            Self::BufferTooSmall { has } => (4, has),
            Self::WrongOffset { next } => (5, next),
            Self::Incomplete { next } => (6, next),
            Self::HashMismatch => (7, 0),
            Self::KeyMismatch => (8, 0),
            Self::Unsupported => (9, 0),
            Self::Expired => (10, 0),
            Self::NotStored => (11, 0),
            Self::Busy => (12, 0),
            Self::Unprotected => (13, 0),
            Self::Unreadable => (14, 0),
            Self::Other(code) => (code, 0),
        }
    }

    fn check(code: i32, detail: u32) -> Result<(), Self> {
        Err(match code {
            OK => return Ok(()),
            2 => Self::Malformed,
            3 => Self::UnknownTransfer,
            4 => Self::BufferTooSmall { has: detail },
            5 => Self::WrongOffset { next: detail },
            6 => Self::Incomplete { next: detail },
            7 => Self::HashMismatch,
            8 => Self::KeyMismatch,
            9 => Self::Unsupported,
            10 => Self::Expired,
            11 => Self::NotStored,
            12 => Self::Busy,
            13 => Self::Unprotected,
            14 => Self::Unreadable,
            other => Self::Other(other),
        })
    }
}

/// A form's number on the wire.
fn form_code(form: ClaimForm) -> i32 {
    match form {
        ClaimForm::Certificate => 1,
        ClaimForm::PublicKey => 2,
        ClaimForm::Sas => 3,
        ClaimForm::SymmetricKey => 4,
        ClaimForm::Tpm => 5,
    }
}

fn form_from_code(code: i32) -> Result<ClaimForm, WireError> {
    Ok(match code {
        1 => ClaimForm::Certificate,
        2 => ClaimForm::PublicKey,
        3 => ClaimForm::Sas,
        4 => ClaimForm::SymmetricKey,
        5 => ClaimForm::Tpm,
        other => {
            return Err(WireError::Unknown {
                field: "kind of claim",
                value: other.into(),
            });
        }
    })
}

impl Request {
    /// The plain bytes, never none; they may hold a piece of a private key.
    pub fn encode(&self) -> SecretBytes {
        use raw::RequestBody as Body;
        let body = match self {
            Self::Begin {
                transfer,
                form,
                total,
                sha256,
            } => Body::Begin(raw::Begin {
                transfer: transfer.to_vec(),
                kind: form_code(*form),
                total: *total,
                sha256: sha256.to_vec(),
            }),
            Self::Chunk {
                transfer,
                offset,
                data,
            } => Body::Chunk(raw::Chunk {
                transfer: transfer.to_vec(),
                offset: *offset,
                data: data.reveal().to_vec(),
            }),
            Self::Commit { transfer, now } => Body::Commit(raw::Commit {
                transfer: transfer.to_vec(),
                unix_time: now.0,
            }),
            Self::Abort => Body::Abort(wire::Nothing {}),
        };
        SecretBytes::new(raw::Request { body: Some(body) }.encode_to_vec())
    }

    /// Reads a request, as the device does.
    ///
    /// # Errors
    /// When the bytes are no request, or a name or hash is of a wrong length, or the kind is unknown.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        use raw::RequestBody as Body;
        let request: raw::Request = wire::read(REQUEST, bytes)?;
        Ok(match request.body {
            Some(Body::Begin(begin)) => Self::Begin {
                transfer: wire::exact("transfer id", &begin.transfer)?,
                form: form_from_code(begin.kind)?,
                total: begin.total,
                sha256: wire::exact("hash", &begin.sha256)?,
            },
            Some(Body::Chunk(mut chunk)) => Self::Chunk {
                transfer: wire::exact("transfer id", &chunk.transfer)?,
                offset: chunk.offset,
                data: SecretBytes::new(core::mem::take(&mut chunk.data)),
            },
            Some(Body::Commit(commit)) => Self::Commit {
                transfer: wire::exact("transfer id", &commit.transfer)?,
                now: UnixTime(commit.unix_time),
            },
            Some(Body::Abort(_)) => Self::Abort,
            None => {
                return Err(WireError::Missing {
                    message: REQUEST,
                    field: "body",
                });
            }
        })
    }
}

/// The plain bytes of a response, never none.
pub fn response(outcome: &Result<Answer, Refusal>) -> Vec<u8> {
    use raw::ResponseBody as Body;
    let ((status, detail), body) = match *outcome {
        Ok(Answer::Begun {
            next,
            max_chunk,
            buffer,
        }) => (
            (OK, 0),
            Some(Body::Begun(raw::Begun {
                next,
                max_chunk,
                buffer,
            })),
        ),
        Ok(Answer::Taken { next }) => ((OK, 0), Some(Body::Taken(raw::Taken { next }))),
        Ok(Answer::Committed) => ((OK, 0), Some(Body::Committed(wire::Nothing {}))),
        Ok(Answer::Aborted) => ((OK, 0), Some(Body::Aborted(wire::Nothing {}))),
        Err(refusal) => (refusal.code(), None),
    };
    raw::Response { status, detail, body }.encode_to_vec()
}

/// Reads a response; a success needs its body.
///
/// # Errors
/// When the bytes are no response.
pub fn decode_response(bytes: &[u8]) -> Result<Result<Answer, Refusal>, WireError> {
    use raw::ResponseBody as Body;
    let raw::Response { status, detail, body } = wire::read(RESPONSE, bytes)?;
    if let Err(refusal) = Refusal::check(status, detail) {
        return Ok(Err(refusal));
    }
    Ok(Ok(match body {
        Some(Body::Begun(raw::Begun {
            next,
            max_chunk,
            buffer,
        })) => Answer::Begun {
            next,
            max_chunk,
            buffer,
        },
        Some(Body::Taken(raw::Taken { next })) => Answer::Taken { next },
        Some(Body::Committed(_)) => Answer::Committed,
        Some(Body::Aborted(_)) => Answer::Aborted,
        None => {
            return Err(WireError::Missing {
                message: RESPONSE,
                field: "answer",
            });
        }
    }))
}

/// The messages as protobuf sees them.
mod raw {
    use super::super::wire::Nothing;
    use alloc::vec::Vec;
    use core::fmt;
    use prost::{Message, Oneof};
    use zeroize::Zeroize;

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Request {
        #[prost(oneof = "RequestBody", tags = "10, 11, 12, 13")]
        pub(super) body: Option<RequestBody>,
    }

    #[derive(Clone, PartialEq, Oneof)]
    pub(super) enum RequestBody {
        #[prost(message, tag = "10")]
        Begin(Begin),
        #[prost(message, tag = "11")]
        Chunk(Chunk),
        #[prost(message, tag = "12")]
        Commit(Commit),
        #[prost(message, tag = "13")]
        Abort(Nothing),
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Begin {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) transfer: Vec<u8>,
        #[prost(int32, tag = "2")]
        pub(super) kind: i32,
        #[prost(uint32, tag = "3")]
        pub(super) total: u32,
        #[prost(bytes = "vec", tag = "4")]
        pub(super) sha256: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    #[prost(skip_debug)]
    pub(super) struct Chunk {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) transfer: Vec<u8>,
        #[prost(uint32, tag = "2")]
        pub(super) offset: u32,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) data: Vec<u8>,
    }

    impl fmt::Debug for Chunk {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Chunk(…)")
        }
    }

    impl Drop for Chunk {
        fn drop(&mut self) {
            self.data.zeroize();
        }
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Commit {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) transfer: Vec<u8>,
        #[prost(int64, tag = "2")]
        pub(super) unix_time: i64,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Response {
        #[prost(int32, tag = "1")]
        pub(super) status: i32,
        #[prost(uint32, tag = "2")]
        pub(super) detail: u32,
        #[prost(oneof = "ResponseBody", tags = "10, 11, 12, 13")]
        pub(super) body: Option<ResponseBody>,
    }

    #[derive(Clone, PartialEq, Oneof)]
    pub(super) enum ResponseBody {
        #[prost(message, tag = "10")]
        Begun(Begun),
        #[prost(message, tag = "11")]
        Taken(Taken),
        #[prost(message, tag = "12")]
        Committed(Nothing),
        #[prost(message, tag = "13")]
        Aborted(Nothing),
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Begun {
        #[prost(uint32, tag = "1")]
        pub(super) next: u32,
        #[prost(uint32, tag = "2")]
        pub(super) max_chunk: u32,
        #[prost(uint32, tag = "3")]
        pub(super) buffer: u32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Taken {
        #[prost(uint32, tag = "1")]
        pub(super) next: u32,
    }
}

#[cfg(test)]
mod tests;
