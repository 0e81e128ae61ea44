//! Scheme 0: a greeting, and no encryption. Devices take requests without it; all known clients send it.

use alloc::vec::Vec;

use super::{Channel, HandshakeError, Session};
use crate::dialect::espressif::wire::session::{Message, Sec0};

/// The client waits for the greeting's answer.
pub struct ExpectResponse(());

/// The client's greeting.
pub fn start() -> (ExpectResponse, Vec<u8>) {
    (ExpectResponse(()), Message::Sec0(Sec0::Command).encode())
}

impl ExpectResponse {
    /// Takes the device's answer.
    ///
    /// # Errors
    /// When it is anything but the greeting's answer.
    pub fn response(self, bytes: &[u8]) -> Result<Session, HandshakeError> {
        match Message::decode(bytes)? {
            Message::Sec0(Sec0::Response) => Ok(session()),
            Message::Sec0(Sec0::Command) => Err(HandshakeError::OutOfTurn),
            other => Err(HandshakeError::OtherScheme { got: other.scheme() }),
        }
    }
}

/// The device's answer.
pub(super) fn command() -> Vec<u8> {
    Message::Sec0(Sec0::Response).encode()
}

/// A session without encryption.
pub(super) fn session() -> Session {
    Session(Channel::Plain)
}
