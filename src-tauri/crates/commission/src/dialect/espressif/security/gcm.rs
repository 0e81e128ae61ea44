//! Scheme 2's encryption after its handshake: AES-256-GCM with a nonce rule that depends on the firmware's patch,
//! and the healing of a wrong guess about it.
//!
//! Under patch 0 every message has the nonce that the device sent. Under patch 1 its last four bytes are a
//! big-endian counter that both directions share: it goes up after every message, either way. The first request
//! has the same nonce under both rules, so a wrong guess shows in the first response alone, and can be put right
//! there and nowhere later.

use alloc::vec::Vec;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};

use super::SessionError;
use crate::dialect::espressif::wire::version::Patch;
use crate::secret::SecretBytes;

/// The tag's size in bytes; it follows the ciphertext.
pub(super) const TAG_LEN: usize = 16;
/// The nonce's size in bytes.
pub(super) const NONCE_LEN: usize = 12;
/// The part of the nonce that stays under patch 1, in bytes.
pub(super) const PREFIX_LEN: usize = 8;
/// The key's size in bytes.
pub(super) const KEY_LEN: usize = 32;

pub(super) struct Gcm {
    cipher: Aes256Gcm,
    patch: Patch,
    nonces: Nonces,
    healing: Healing,
}

/// The nonce as the device sent it, apart: under patch 1 the counter goes on from there.
struct Nonces {
    prefix: [u8; PREFIX_LEN],
    first: u32,
    /// `None` when the counter would wrap.
    next: Option<u32>,
}

/// Whether the nonce rule can still be corrected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Healing {
    /// Nothing was sent yet.
    Ready,
    /// The first request is out, and its response is awaited.
    FirstResponse,
    /// Too late, or never asked for.
    Over,
    /// It was corrected.
    Done,
}

impl Gcm {
    pub(super) fn client(key: &[u8; KEY_LEN], nonce: [u8; NONCE_LEN], patch: Patch) -> Self {
        Self::new(key, nonce, patch, Healing::Ready)
    }

    pub(super) fn device(key: &[u8; KEY_LEN], nonce: [u8; NONCE_LEN], patch: Patch) -> Self {
        Self::new(key, nonce, patch, Healing::Over)
    }

    fn new(key: &[u8; KEY_LEN], nonce: [u8; NONCE_LEN], patch: Patch, healing: Healing) -> Self {
        let [p0, p1, p2, p3, p4, p5, p6, p7, c0, c1, c2, c3] = nonce;
        let first = u32::from_be_bytes([c0, c1, c2, c3]);
        let nonces = Nonces {
            prefix: [p0, p1, p2, p3, p4, p5, p6, p7],
            first,
            next: Some(first),
        };
        Self {
            cipher: Aes256Gcm::new(&(*key).into()),
            patch,
            nonces,
            healing,
        }
    }

    pub(super) fn patch(&self) -> Patch {
        self.patch
    }

    pub(super) fn healed(&self) -> bool {
        self.healing == Healing::Done
    }

    pub(super) fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, SessionError> {
        let nonce = self.nonces.current(self.patch)?;
        let mut sealed = Vec::with_capacity(plain.len().saturating_add(TAG_LEN));
        sealed.extend_from_slice(plain);
        self.cipher
            .encrypt_in_place(&nonce.into(), b"", &mut sealed)
            .map_err(|_| SessionError::Exhausted)?;
        self.nonces.advance(self.patch);
        self.healing = match self.healing {
            Healing::Ready => Healing::FirstResponse,
            Healing::FirstResponse | Healing::Over => Healing::Over,
            Healing::Done => Healing::Done,
        };
        Ok(sealed)
    }

    pub(super) fn open(&mut self, sealed: &[u8]) -> Result<SecretBytes, SessionError> {
        if sealed.len() < TAG_LEN {
            return Err(SessionError::TooShort { got: sealed.len() });
        }
        let opened = self
            .nonces
            .current(self.patch)
            .and_then(|nonce| self.decrypt(nonce, sealed));
        match (opened, self.healing) {
            (Ok(plain), healing) => {
                self.nonces.advance(self.patch);
                if healing != Healing::Done {
                    self.healing = Healing::Over;
                }
                Ok(plain)
            }
            (Err(error), Healing::FirstResponse) => self.heal(sealed).ok_or(error),
            (Err(error), _) => Err(error),
        }
    }

    /// Tries the other rule on the first response, and stays with it if the tag is right.
    fn heal(&mut self, sealed: &[u8]) -> Option<SecretBytes> {
        let patch = match self.patch {
            Patch::Constant => Patch::Counter,
            Patch::Counter => Patch::Constant,
        };
        let mut nonces = Nonces {
            prefix: self.nonces.prefix,
            first: self.nonces.first,
            next: Some(self.nonces.first),
        };
        nonces.advance(patch); // the request
        let plain = self.decrypt(nonces.current(patch).ok()?, sealed).ok()?;
        nonces.advance(patch); // this response
        self.patch = patch;
        self.nonces = nonces;
        self.healing = Healing::Done;
        Some(plain)
    }

    fn decrypt(&self, nonce: [u8; NONCE_LEN], sealed: &[u8]) -> Result<SecretBytes, SessionError> {
        // The tag is checked before anything is decrypted, so a forged message leaves no plain bytes behind.
        let mut bytes = sealed.to_vec();
        self.cipher
            .decrypt_in_place(&nonce.into(), b"", &mut bytes)
            .map_err(|_| SessionError::Forged)?;
        Ok(SecretBytes::new(bytes))
    }
}

impl Nonces {
    fn current(&self, patch: Patch) -> Result<[u8; NONCE_LEN], SessionError> {
        let counter = match patch {
            Patch::Constant => self.first,
            Patch::Counter => self.next.ok_or(SessionError::Exhausted)?,
        };
        let [p0, p1, p2, p3, p4, p5, p6, p7] = self.prefix;
        let [c0, c1, c2, c3] = counter.to_be_bytes();
        Ok([p0, p1, p2, p3, p4, p5, p6, p7, c0, c1, c2, c3])
    }

    fn advance(&mut self, patch: Patch) {
        if patch == Patch::Counter {
            self.next = self.next.and_then(|counter| counter.checked_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; KEY_LEN] = [7; KEY_LEN];

    fn nonce(counter: u32) -> [u8; NONCE_LEN] {
        let mut nonce = [0xa0; NONCE_LEN];
        nonce[PREFIX_LEN..].copy_from_slice(&counter.to_be_bytes());
        nonce
    }

    fn pair(client: Patch, device: Patch, counter: u32) -> (Gcm, Gcm) {
        (
            Gcm::client(&KEY, nonce(counter), client),
            Gcm::device(&KEY, nonce(counter), device),
        )
    }

    fn exchange(client: &mut Gcm, device: &mut Gcm) -> Result<(), SessionError> {
        let request = client.seal(b"request")?;
        assert_eq!(device.open(&request)?.reveal(), b"request");
        let response = device.seal(b"response")?;
        assert_eq!(client.open(&response)?.reveal(), b"response");
        Ok(())
    }

    #[test]
    fn both_rules_carry_messages_both_ways() {
        for patch in [Patch::Constant, Patch::Counter] {
            let (mut client, mut device) = pair(patch, patch, 1);
            for _ in 0..5 {
                assert_eq!(exchange(&mut client, &mut device), Ok(()));
            }
            assert!(!client.healed());
        }
    }

    #[test]
    fn a_wrong_guess_is_healed_on_the_first_response() {
        for (guess, truth) in [
            (Patch::Constant, Patch::Counter),
            (Patch::Counter, Patch::Constant),
        ] {
            let (mut client, mut device) = pair(guess, truth, 1);
            for _ in 0..5 {
                assert_eq!(exchange(&mut client, &mut device), Ok(()));
                assert!(client.healed());
                assert_eq!(client.patch(), truth);
            }
        }
    }

    #[test]
    fn a_wrong_guess_of_the_counter_heals_whatever_the_random_nonce_is() {
        for counter in [0, u32::MAX - 1, u32::MAX] {
            let (mut client, mut device) = pair(Patch::Counter, Patch::Constant, counter);
            assert_eq!(exchange(&mut client, &mut device), Ok(()));
            assert_eq!(exchange(&mut client, &mut device), Ok(()));
            assert!(client.healed());
        }
    }

    #[test]
    fn a_forged_first_response_heals_nothing_and_changes_nothing() {
        let (mut client, mut device) = pair(Patch::Counter, Patch::Counter, 1);
        let request = client.seal(b"request").unwrap();
        device.open(&request).unwrap();
        let response = device.seal(b"response").unwrap();
        let mut forged = response.clone();
        forged[0] ^= 1;
        assert_eq!(client.open(&forged), Err(SessionError::Forged));
        assert!(!client.healed());
        assert_eq!(client.open(&response).map(|plain| plain.len()), Ok(8));
    }

    #[test]
    fn a_wrong_guess_is_not_healed_later() {
        // The first response is lost and the client asks again.
        let (mut client, mut device) = pair(Patch::Constant, Patch::Counter, 1);
        let request = client.seal(b"one").unwrap();
        device.open(&request).unwrap();
        device.seal(b"lost").unwrap();
        let request = client.seal(b"two").unwrap();
        assert_eq!(device.open(&request), Err(SessionError::Forged));
        let response = device.seal(b"other").unwrap();
        assert_eq!(client.open(&response), Err(SessionError::Forged));
        assert!(!client.healed());
    }

    #[test]
    fn a_device_never_changes_its_rule() {
        let (mut client, mut device) = pair(Patch::Counter, Patch::Constant, 1);
        let greeting = device.seal(b"unasked").unwrap();
        assert_eq!(greeting.len(), 7 + TAG_LEN);
        client.seal(b"one").unwrap();
        let second = client.seal(b"two").unwrap();
        assert_eq!(device.open(&second), Err(SessionError::Forged));
        assert_eq!(device.patch(), Patch::Constant);
    }

    #[test]
    fn the_counter_never_wraps() {
        let (mut client, mut device) = pair(Patch::Counter, Patch::Counter, u32::MAX - 1);
        assert_eq!(exchange(&mut client, &mut device), Ok(()));
        assert_eq!(client.seal(b"more"), Err(SessionError::Exhausted));
        assert_eq!(device.seal(b"more"), Err(SessionError::Exhausted));
        assert_eq!(device.open(&[0; 20]), Err(SessionError::Exhausted));
    }

    #[test]
    fn a_refused_request_keeps_both_sides_in_step() {
        // The device decrypts, its handler fails, and it answers with an ATT error instead of a response.
        let (mut client, mut device) = pair(Patch::Counter, Patch::Counter, 1);
        let request = client.seal(b"unknown command").unwrap();
        device.open(&request).unwrap();
        assert_eq!(exchange(&mut client, &mut device), Ok(()));
    }

    #[test]
    fn a_lost_request_puts_the_sides_out_of_step_for_good() {
        let (mut client, mut device) = pair(Patch::Counter, Patch::Counter, 1);
        client.seal(b"lost").unwrap();
        for _ in 0..3 {
            let request = client.seal(b"next").unwrap();
            assert_eq!(device.open(&request), Err(SessionError::Forged));
        }
    }

    #[test]
    fn a_message_shorter_than_its_tag_is_refused() {
        let (mut client, _) = pair(Patch::Counter, Patch::Counter, 1);
        assert_eq!(client.open(&[0; 15]), Err(SessionError::TooShort { got: 15 }));
        assert_eq!(client.open(&[]), Err(SessionError::TooShort { got: 0 }));
        assert_eq!(client.open(&[0; 16]), Err(SessionError::Forged));
    }
}
