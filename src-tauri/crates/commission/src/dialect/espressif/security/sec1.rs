//! Scheme 1: X25519, a key mixed with the proof of possession, and AES-256-CTR (esp-idf protocomm `security1.c`).
//!
//! The key is the shared secret, XORed with SHA-256 of the proof of possession where there is one. One key
//! stream serves both directions: its first block is the device's random bytes, each side shows the key by
//! encrypting the other's public key, and every later message takes its own length from where the last one
//! stopped. Nothing authenticates messages, so a changed or lost one garbles all that follow.

use alloc::boxed::Box;
use alloc::vec::Vec;

use ctr::cipher::{KeyIvInit, StreamCipher};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{Channel, HandshakeError, Session, SessionError};
use crate::dialect::espressif::wire::exact;
use crate::dialect::espressif::wire::session::{Message, Sec1};
use crate::secret::{Entropy, Pop};

const KEY_LEN: usize = 32;
const RANDOM_LEN: usize = 16;

/// The client waits for the device's public key.
pub struct ExpectResponse0 {
    own: StaticSecret,
    pop: Option<Pop>,
}

/// The client has shown that it has the key and waits for the device to do so.
pub struct ExpectResponse1 {
    own_public: [u8; KEY_LEN],
    stream: Stream,
}

/// The device waits for the client to show that it has the key.
pub struct ExpectCommand1 {
    own_public: [u8; KEY_LEN],
    client_public: [u8; KEY_LEN],
    stream: Stream,
}

/// The client's first message; it takes 32 random bytes. A device that wants no proof of possession must be given
/// none, whatever its label says.
pub fn start(pop: Option<Pop>, entropy: &mut dyn Entropy) -> (ExpectResponse0, Vec<u8>) {
    let own = private_key(entropy);
    let client_pubkey = PublicKey::from(&own).to_bytes().to_vec();
    (
        ExpectResponse0 { own, pop },
        Message::Sec1(Sec1::Command0 { client_pubkey }).encode(),
    )
}

impl ExpectResponse0 {
    /// Takes the device's public key and shows it back, encrypted.
    ///
    /// # Errors
    /// When it is another message, a size is wrong, or the public key gives no secret.
    pub fn response0(self, bytes: &[u8]) -> Result<(ExpectResponse1, Vec<u8>), HandshakeError> {
        let (device_public, random) = match Message::decode(bytes)? {
            Message::Sec1(Sec1::Response0 {
                device_pubkey,
                device_random,
            }) => (
                exact("device's public key", &device_pubkey)?,
                exact::<RANDOM_LEN>("device's random bytes", &device_random)?,
            ),
            Message::Sec1(_) => return Err(HandshakeError::OutOfTurn),
            other => return Err(HandshakeError::OtherScheme { got: other.scheme() }),
        };
        let mut stream = Stream::agree(&self.own, device_public, self.pop.as_ref(), &random)?;
        let client_verify_data = stream.apply(device_public.to_vec())?;
        let own_public = PublicKey::from(&self.own).to_bytes();
        Ok((
            ExpectResponse1 { own_public, stream },
            Message::Sec1(Sec1::Command1 { client_verify_data }).encode(),
        ))
    }
}

impl ExpectResponse1 {
    /// Takes the device's proof.
    ///
    /// # Errors
    /// When it is another message, a size is wrong, or the device does not have the key.
    pub fn response1(self, bytes: &[u8]) -> Result<Session, HandshakeError> {
        match Message::decode(bytes)? {
            Message::Sec1(Sec1::Response1 { device_verify_data }) => {
                let proof = exact::<KEY_LEN>("device's verify data", &device_verify_data)?;
                self.stream
                    .verified(&proof, &self.own_public)
                    .map(Stream::into_session)
            }
            Message::Sec1(_) => Err(HandshakeError::OutOfTurn),
            other => Err(HandshakeError::OtherScheme { got: other.scheme() }),
        }
    }
}

/// The device's answer to the client's public key; it takes 32 random bytes for the key, then 16 for the counter.
pub(super) fn command0(
    client_pubkey: &[u8],
    pop: Option<&Pop>,
    entropy: &mut dyn Entropy,
) -> Result<(ExpectCommand1, Vec<u8>), HandshakeError> {
    let client_public = exact("client's public key", client_pubkey)?;
    let own = private_key(entropy);
    let own_public = PublicKey::from(&own).to_bytes();
    let mut random = [0; RANDOM_LEN];
    entropy.fill(&mut random);
    let stream = Stream::agree(&own, client_public, pop, &random)?;
    let response = Sec1::Response0 {
        device_pubkey: own_public.to_vec(),
        device_random: random.to_vec(),
    };
    Ok((
        ExpectCommand1 {
            own_public,
            client_public,
            stream,
        },
        Message::Sec1(response).encode(),
    ))
}

impl ExpectCommand1 {
    /// The device's answer to the client's proof.
    pub(super) fn command1(self, client_verify_data: &[u8]) -> Result<(Session, Vec<u8>), HandshakeError> {
        let proof = exact::<KEY_LEN>("client's verify data", client_verify_data)?;
        let mut stream = self.stream.verified(&proof, &self.own_public)?;
        let device_verify_data = stream.apply(self.client_public.to_vec())?;
        let response = Message::Sec1(Sec1::Response1 { device_verify_data }).encode();
        Ok((stream.into_session(), response))
    }
}

/// The key stream that both directions share.
pub(super) struct Stream(ctr::Ctr128BE<aes::Aes256>);

impl Stream {
    fn agree(
        own: &StaticSecret,
        other_public: [u8; KEY_LEN],
        pop: Option<&Pop>,
        random: &[u8; RANDOM_LEN],
    ) -> Result<Self, HandshakeError> {
        let shared = own.diffie_hellman(&PublicKey::from(other_public));
        if !shared.was_contributory() {
            return Err(HandshakeError::WeakPublicValue);
        }
        let mut key = Zeroizing::new(shared.to_bytes());
        if let Some(pop) = pop.filter(|pop| !pop.is_empty()) {
            let mask = Zeroizing::new(<[u8; KEY_LEN]>::from(Sha256::digest(pop.reveal())));
            key.iter_mut()
                .zip(mask.iter())
                .for_each(|(byte, mask)| *byte ^= mask);
        }
        Ok(Self(ctr::Ctr128BE::new(&(*key).into(), &(*random).into())))
    }

    /// Encrypts or decrypts, which is the same, and moves on by as many bytes.
    pub(super) fn apply(&mut self, mut bytes: Vec<u8>) -> Result<Vec<u8>, SessionError> {
        self.0
            .try_apply_keystream(&mut bytes)
            .map_err(|_| SessionError::Exhausted)?;
        Ok(bytes)
    }

    /// Goes on only if `proof` decrypts to the public key that it should show.
    fn verified(mut self, proof: &[u8; KEY_LEN], public: &[u8; KEY_LEN]) -> Result<Self, HandshakeError> {
        let shown = self.apply(proof.to_vec())?;
        if bool::from(shown.as_slice().ct_eq(public)) {
            Ok(self)
        } else {
            Err(HandshakeError::WrongProof)
        }
    }

    fn into_session(self) -> Session {
        Session(Channel::Stream(Box::new(self)))
    }
}

fn private_key(entropy: &mut dyn Entropy) -> StaticSecret {
    let mut bytes = Zeroizing::new([0; KEY_LEN]);
    entropy.fill(&mut *bytes);
    StaticSecret::from(*bytes)
}
