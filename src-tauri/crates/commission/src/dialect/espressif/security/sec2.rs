//! Scheme 2: SRP-6a proves on both sides that they know the password without showing it, then AES-256-GCM
//! (esp-idf protocomm `security2.c`).
//!
//! The device does not look the user name up: it only enters the hashes, so a wrong name fails exactly like a
//! wrong password. The key of the encryption is the first half of SRP's `K`.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::gcm::{Gcm, KEY_LEN, NONCE_LEN, PREFIX_LEN};
use super::srp::{Agreed, ClientKey, DeviceKey, PROOF_LEN, PUBLIC_LEN, XRule, esp_prov_differs, verifier};
use super::{Channel, HandshakeError, Session};
use crate::dialect::espressif::wire::session::{Message, Sec2};
use crate::dialect::espressif::wire::version::Patch;
use crate::dialect::espressif::wire::{exact, length};
use crate::secret::{Entropy, Pop, SecretBytes};

/// The longest user name that firmware takes, in bytes.
pub const USERNAME_MAX: usize = 65_535;
/// The longest salt that can come: no GATT value is longer.
const SALT_MAX: usize = 512;

/// What the client opens a session with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name, at least one byte; usually `wifiprov`.
    pub username: String,
    /// The password: what the label calls its proof of possession.
    pub password: Pop,
    /// The nonce rule that the device is said to follow.
    pub patch: Patch,
    /// How the device's verifier was made.
    pub rule: XRule,
}

/// The client waits for the device's public key and salt.
pub struct ExpectResponse0 {
    credentials: Credentials,
    key: ClientKey,
}

/// The client has proved itself and waits for the device's proof.
pub struct ExpectResponse1 {
    agreed: Agreed,
    patch: Patch,
    esp_prov_differs: bool,
}

/// The client's first message; it takes 32 random bytes.
pub fn start(credentials: Credentials, entropy: &mut dyn Entropy) -> (ExpectResponse0, Vec<u8>) {
    let key = ClientKey::generate(entropy);
    let command = Sec2::Command0 {
        client_username: credentials.username.as_bytes().to_vec(),
        client_pubkey: key.public().to_vec(),
    };
    (
        ExpectResponse0 { credentials, key },
        Message::Sec2(command).encode(),
    )
}

impl ExpectResponse0 {
    /// Takes the device's public key and salt, and proves that the password is known.
    ///
    /// # Errors
    /// When it is another message, a size is wrong, or the public key breaks the exchange.
    pub fn response0(self, bytes: &[u8]) -> Result<(ExpectResponse1, Vec<u8>), HandshakeError> {
        let (device_pubkey, salt) = match Message::decode(bytes)? {
            Message::Sec2(Sec2::Response0 {
                device_pubkey,
                device_salt,
            }) => (device_pubkey, device_salt),
            Message::Sec2(_) => return Err(HandshakeError::OutOfTurn),
            other => return Err(HandshakeError::OtherScheme { got: other.scheme() }),
        };
        length("device's salt", &salt, 1, SALT_MAX)?;
        let Credentials {
            username,
            password,
            patch,
            rule,
        } = &self.credentials;
        let username = username.as_bytes();
        let agreed = self.key.agree(username, password, *rule, &device_pubkey, &salt)?;
        let command = Sec2::Command1 {
            client_proof: agreed.client_proof.to_vec(),
        };
        let esp_prov_differs = esp_prov_differs(username, password, &salt);
        Ok((
            ExpectResponse1 {
                agreed,
                patch: *patch,
                esp_prov_differs,
            },
            Message::Sec2(command).encode(),
        ))
    }
}

impl ExpectResponse1 {
    /// Takes the device's proof.
    ///
    /// # Errors
    /// When it is another message, a size is wrong, or the device does not hold the password's verifier.
    pub fn response1(self, bytes: &[u8]) -> Result<Session, HandshakeError> {
        let (proof, nonce) = match Message::decode(bytes)? {
            Message::Sec2(Sec2::Response1 {
                device_proof,
                device_nonce,
            }) => (device_proof, device_nonce),
            Message::Sec2(_) => return Err(HandshakeError::OutOfTurn),
            other => return Err(HandshakeError::OtherScheme { got: other.scheme() }),
        };
        length("device's proof", &proof, PROOF_LEN, PROOF_LEN)?;
        let nonce = exact("device's nonce", &nonce)?;
        if !bool::from(proof.as_slice().ct_eq(&self.agreed.device_proof)) {
            return Err(HandshakeError::WrongProof);
        }
        Ok(session(Gcm::client(
            &self.agreed.encryption_key(),
            nonce,
            self.patch,
        )))
    }

    /// Whether a refused proof is worth one more try with [`XRule::EspProv`].
    pub fn esp_prov_differs(&self) -> bool {
        self.esp_prov_differs
    }
}

/// What a device stores instead of its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    /// The salt as the device hands it out, usually 16 bytes.
    pub salt: Vec<u8>,
    /// SRP's `v`, 384 bytes.
    pub verifier: SecretBytes,
}

impl Verifier {
    /// Makes the verifier as the firmware's tools do, or, by another rule than [`XRule::Rfc`], as faulty ones do.
    pub fn generate(username: &str, password: &Pop, salt: &[u8], rule: XRule) -> Self {
        Self {
            salt: salt.to_vec(),
            verifier: verifier(username.as_bytes(), password, salt, rule),
        }
    }
}

/// The device has sent its public key and waits for the client's proof.
pub struct ExpectCommand1 {
    agreed: Agreed,
    patch: Patch,
}

/// The device's answer to the client's public key; it takes 32 random bytes.
pub(super) fn command0(
    username: &[u8],
    client_pubkey: &[u8],
    stored: &Verifier,
    patch: Patch,
    entropy: &mut dyn Entropy,
) -> Result<(ExpectCommand1, Vec<u8>), HandshakeError> {
    length("user name", username, 1, USERNAME_MAX)?;
    let client_public = exact::<PUBLIC_LEN>("client's public key", client_pubkey)?;
    let key = DeviceKey::generate(&stored.verifier, entropy)?;
    let agreed = key.agree(username, &client_public, &stored.salt)?;
    let response = Sec2::Response0 {
        device_pubkey: key.public().to_vec(),
        device_salt: stored.salt.clone(),
    };
    Ok((ExpectCommand1 { agreed, patch }, Message::Sec2(response).encode()))
}

impl ExpectCommand1 {
    /// The device's answer to the client's proof; it takes 12 random bytes for the nonce under patch 0, and 8
    /// under patch 1.
    pub(super) fn command1(
        self,
        client_proof: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Result<(Session, Vec<u8>), HandshakeError> {
        length("client's proof", client_proof, PROOF_LEN, PROOF_LEN)?;
        if !bool::from(client_proof.ct_eq(&self.agreed.client_proof)) {
            return Err(HandshakeError::WrongProof);
        }
        let nonce = first_nonce(self.patch, entropy);
        let response = Sec2::Response1 {
            device_proof: self.agreed.device_proof.to_vec(),
            device_nonce: nonce.to_vec(),
        };
        let session = session(Gcm::device(&self.agreed.encryption_key(), nonce, self.patch));
        Ok((session, Message::Sec2(response).encode()))
    }
}

impl Agreed {
    /// The first half of `K`.
    fn encryption_key(&self) -> Zeroizing<[u8; KEY_LEN]> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        key.iter_mut()
            .zip(self.key.iter())
            .for_each(|(to, from)| *to = *from);
        key
    }
}

/// Under patch 1 the counter starts at 1, behind eight random bytes.
fn first_nonce(patch: Patch, entropy: &mut dyn Entropy) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    match patch {
        Patch::Constant => entropy.fill(&mut nonce),
        Patch::Counter => {
            let (prefix, counter) = nonce.split_at_mut(PREFIX_LEN);
            entropy.fill(prefix);
            counter.copy_from_slice(&1_u32.to_be_bytes());
        }
    }
    nonce
}

fn session(gcm: Gcm) -> Session {
    Session(Channel::Gcm(Box::new(gcm)))
}
