//! The messages of the standard endpoints, as typed values: protobuf for the `prov-…` endpoints, JSON for
//! `proto-ver`. One file per endpoint, request and response together, for both halves.
//!
//! Not in scope: encryption, and the order in which messages make sense.
//!
//! proto3 leaves zeros out, and zero means success (`Status`), connected (station state) and wrong passphrase
//! (failure reason). A reply that is empty, cut short or an error therefore looks like good news to a plain
//! decoder. The types here refuse to read it so: a refusal is an `Err`, and good news needs its own body.

use prost::Message;

use crate::network::Auth;

pub mod config;
pub mod ctrl;
pub mod scan;
pub mod session;
pub mod version;

/// An SSID's largest size in bytes (IEEE 802.11-2020, 9.4.2.2).
pub const SSID_MAX: usize = 32;

/// What a device answered: its answer, or why it would not.
pub type Outcome<T> = Result<T, Refusal>;

/// A `Status` other than success (esp-idf protocomm, `constants.proto`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 1: the security scheme is not the device's.
    #[error("the device does not know this security scheme (status 1)")]
    InvalidSecScheme,
    /// 2: the message is not one of the protocol's.
    #[error("the device does not know this message (status 2)")]
    InvalidProto,
    /// 3: another session is open.
    #[error("the device has too many sessions (status 3)")]
    TooManySessions,
    /// 4: a value is out of its range, or the command is not for this kind of device.
    #[error("the device refuses a value or does not support the command (status 4)")]
    InvalidArgument,
    /// 5: the command does not fit the device's state.
    #[error("the device cannot do this in its present state (status 5)")]
    InternalError,
    /// 6: encryption failed.
    #[error("the device could not decrypt (status 6)")]
    CryptoError,
    /// 7: no such session.
    #[error("the device knows no such session (status 7)")]
    InvalidSession,
    /// Any other number: a firmware newer, or much older, than this program knows.
    #[error(
        "the device answers with status {0}, which is none of the protocol's: its firmware may be unsupported"
    )]
    Other(i32),
}

impl Refusal {
    /// The number on the wire, never 0 unless [`Refusal::Other`] was made so by hand.
    pub fn code(self) -> i32 {
        match self {
            Self::InvalidSecScheme => 1,
            Self::InvalidProto => 2,
            Self::TooManySessions => 3,
            Self::InvalidArgument => 4,
            Self::InternalError => 5,
            Self::CryptoError => 6,
            Self::InvalidSession => 7,
            Self::Other(code) => code,
        }
    }

    fn check(code: i32) -> Outcome<()> {
        Err(match code {
            0 => return Ok(()),
            1 => Self::InvalidSecScheme,
            2 => Self::InvalidProto,
            3 => Self::TooManySessions,
            4 => Self::InvalidArgument,
            5 => Self::InternalError,
            6 => Self::CryptoError,
            7 => Self::InvalidSession,
            other => Self::Other(other),
        })
    }
}

/// The number on the wire for a kind of protection.
fn auth_code(auth: Auth) -> i32 {
    match auth {
        Auth::Open => 0,
        Auth::Wep => 1,
        Auth::WpaPsk => 2,
        Auth::Wpa2Psk => 3,
        Auth::WpaWpa2Psk => 4,
        Auth::Wpa2Enterprise => 5,
        Auth::Wpa3Psk => 6,
        Auth::Wpa2Wpa3Psk => 7,
        Auth::Other(code) => code.cast_signed(),
    }
}

/// The kind of protection for a number from the wire. Newer chips pass their driver's numbers through, of which
/// the protocol's own enum lacks the higher ones, so it stays open.
fn auth_from_code(code: i32) -> Auth {
    match code {
        0 => Auth::Open,
        1 => Auth::Wep,
        2 => Auth::WpaPsk,
        3 => Auth::Wpa2Psk,
        4 => Auth::WpaWpa2Psk,
        5 => Auth::Wpa2Enterprise,
        6 => Auth::Wpa3Psk,
        7 => Auth::Wpa2Wpa3Psk,
        other => Auth::Other(other.cast_unsigned()),
    }
}

/// Why bytes are not the message they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No bytes at all, which proto3 would read as a message of zeros.
    #[error("the {message} is empty")]
    Empty {
        /// Which message was expected.
        message: &'static str,
    },
    /// Not protobuf, or JSON that breaks off.
    #[error("the {message} is damaged or cut short")]
    Malformed {
        /// Which message was expected.
        message: &'static str,
    },
    /// A part is absent without which the message says nothing.
    #[error("the {message} has no {field}")]
    Missing {
        /// Which message was expected.
        message: &'static str,
        /// The absent part.
        field: &'static str,
    },
    /// The message is another one than expected, or its number and its body disagree.
    #[error("the {message} is numbered {number}, which is not expected here or does not fit its body")]
    Unexpected {
        /// Which message was expected.
        message: &'static str,
        /// The message number that came.
        number: i32,
    },
    /// A value that the protocol does not define, where guessing would be wrong.
    #[error("the {field} has the unknown value {value}")]
    Unknown {
        /// Which field.
        field: &'static str,
        /// The value that came.
        value: i64,
    },
    /// A field of a wrong size.
    #[error("the {field} is {got} bytes long; it must be {min} to {max}")]
    Length {
        /// Which field.
        field: &'static str,
        /// The least bytes allowed.
        min: usize,
        /// The most bytes allowed.
        max: usize,
        /// The bytes that came.
        got: usize,
    },
    /// "Connected" with no address, or with 0.0.0.0: what an error reply looks like, and not a success.
    #[error("the device says that it is connected but names no address, so it cannot be believed")]
    ConnectedWithoutAddress,
    /// The device understood and said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Reads a protobuf message; none of the protocol's messages is empty on the wire.
pub(super) fn read<M: Message + Default>(message: &'static str, bytes: &[u8]) -> Result<M, WireError> {
    if bytes.is_empty() {
        return Err(WireError::Empty { message });
    }
    M::decode(bytes).map_err(|_| WireError::Malformed { message })
}

pub(super) fn length(field: &'static str, bytes: &[u8], min: usize, max: usize) -> Result<(), WireError> {
    let got = bytes.len();
    if (min..=max).contains(&got) {
        Ok(())
    } else {
        Err(WireError::Length { field, min, max, got })
    }
}

/// The bytes of a field that has one size only.
pub(super) fn exact<const LEN: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; LEN], WireError> {
    bytes.try_into().map_err(|_| WireError::Length {
        field,
        min: LEN,
        max: LEN,
        got: bytes.len(),
    })
}

fn code_of<T>(outcome: &Outcome<T>) -> i32 {
    outcome.as_ref().err().map_or(0, |refusal| refusal.code())
}

/// A message whose fields, if any, say nothing to this program.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Nothing {}

/// A message that carries a status alone.
#[derive(Clone, PartialEq, Message)]
struct StatusOnly {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_auth_modes_keep_their_numbers() {
        assert_eq!(Refusal::check(0), Ok(()));
        for code in [1, 2, 3, 4, 5, 6, 7, 8, 99, -1, i32::MAX] {
            assert_eq!(Refusal::check(code).map_err(Refusal::code), Err(code));
        }
        for code in [0, 1, 2, 3, 4, 5, 6, 7, 8, 16, -1] {
            assert_eq!(auth_code(auth_from_code(code)), code);
        }
        assert_eq!(Refusal::check(9), Err(Refusal::Other(9)));
        assert_eq!(auth_from_code(9), Auth::Other(9));
    }
}
