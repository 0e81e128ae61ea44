//! The session binding: what a proof of identity signs so that it is good for this session alone.
//!
//! SHA-256 over a label and the four handshake messages as they crossed the air, each behind its length. Whoever sits
//! between two handshakes has other public values on either side, so other bindings; and no one can have a session
//! with the same public values without one of the two private ones. Only bytes that a firmware can see by wrapping
//! protocomm's handshake handler go in, so nobody needs to patch protocomm for it.

use sha2::{Digest, Sha256};

use super::wire::session::{Message, Sec1, Sec2};

/// What the hash begins with.
pub const CONTEXT: &[u8] = b"fieldkey-binding-v1";

/// The handshake so far.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    hash: Option<Sha256>,
}

impl Transcript {
    /// Takes a request to `prov-session` and the device's response. A first command begins anew.
    pub fn exchange(&mut self, request: &[u8], response: &[u8]) {
        match Message::decode(request) {
            Ok(Message::Sec1(Sec1::Command0 { .. }) | Message::Sec2(Sec2::Command0 { .. })) => {
                self.hash = Some(Sha256::new_with_prefix(CONTEXT));
            }
            // Security 0 secures nothing, so there is nothing to bind to.
            Ok(Message::Sec0(_)) => self.hash = None,
            _ => {}
        }
        for message in [request, response] {
            if let Some(hash) = &mut self.hash {
                // A GATT value has 512 bytes at most, so the length always fits.
                hash.update(u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes());
                hash.update(message);
            }
        }
    }

    /// The binding; all zeros where there is no session to bind to.
    pub fn binding(&self) -> [u8; 32] {
        self.hash.clone().map_or([0; 32], |hash| hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command0(key: u8) -> alloc::vec::Vec<u8> {
        let client_pubkey = [key; 32].to_vec();
        Message::Sec1(Sec1::Command0 { client_pubkey }).encode()
    }

    #[test]
    fn binding_is_the_hash_of_the_four_messages_behind_their_lengths() {
        let mut transcript = Transcript::default();
        transcript.exchange(&command0(1), b"two");
        transcript.exchange(b"three", b"four");
        let first = command0(1);
        let bytes = [
            CONTEXT,
            &[0, 41],
            &first,
            b"\x00\x03two",
            b"\x00\x05three",
            b"\x00\x04four",
        ]
        .concat();
        assert_eq!(transcript.binding(), <[u8; 32]>::from(Sha256::digest(bytes)));
    }

    #[test]
    fn a_new_handshake_forgets_the_last_one() {
        let mut once = Transcript::default();
        once.exchange(&command0(1), b"two");
        let mut twice = once.clone();
        twice.exchange(&command0(1), b"two");
        assert_eq!(once.binding(), twice.binding());
        twice.exchange(&command0(2), b"two");
        assert_ne!(once.binding(), twice.binding());
    }

    #[test]
    fn security_0_binds_to_nothing() {
        let mut transcript = Transcript::default();
        assert_eq!(transcript.binding(), [0; 32]);
        transcript.exchange(&command0(1), b"two");
        transcript.exchange(
            &Message::Sec0(crate::dialect::espressif::wire::session::Sec0::Command).encode(),
            b"x",
        );
        assert_eq!(transcript.binding(), [0; 32]);
    }
}
