//! The arithmetic of scheme 2: SRP-6a over RFC 5054's 3072-bit group with SHA-512, padded as the firmware does
//! (esp-idf protocomm `esp_srp.c`), which is not how RFC 5054 or the usual libraries pad.
//!
//! Everything that depends on a secret runs in constant time, save that leading zero bytes of `S` are cut off
//! before hashing, as the protocol demands.
//!
//! Not in scope: messages, and what to do when a proof is refused.

use alloc::vec::Vec;

use crypto_bigint::modular::ConstMontyForm;
use crypto_bigint::{U256, U512, U1024, U3072};
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, Zeroizing};

use super::HandshakeError;
use crate::dialect::espressif::wire::{WireError, length};
use crate::secret::{Entropy, Pop, SecretBytes};

/// The size of `A`, of the verifier, and of padded numbers, in bytes.
pub const PUBLIC_LEN: usize = 384;
/// The size of `K`, `M1` and `M2`, in bytes.
pub const PROOF_LEN: usize = 64;
/// The size of the private exponents `a` and `b`, in bytes.
const EXPONENT_LEN: usize = 32;

/// `g` of the group (RFC 5054, appendix A).
const GENERATOR: u8 = 5;

/// How `x` is formed from user name, password and salt. Devices differ because some verifiers were made by code
/// that loses leading zero bytes; each rule but the first is worth a try only where it can matter, since devices
/// may count wrong proofs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum XRule {
    /// `H(s | H(I | ":" | p))`, as firmware and phone libraries do.
    #[default]
    Rfc,
    /// As `esp_prov` does: leading zero bytes of the salt and of the inner hash are lost. It differs only where
    /// there are any ([`esp_prov_differs`]).
    EspProv,
    /// For verifiers made on the device by firmware that lost its salt's leading zero byte and then hands out
    /// one stray byte at the end: the salt without its last byte. It cannot be seen coming: about one such
    /// device in 256 refuses every right password.
    ShortSalt,
}

/// Makes the verifier that a device stores, 384 bytes. Whoever has it can try passwords without the device.
pub fn verifier(username: &[u8], password: &Pop, salt: &[u8], rule: XRule) -> SecretBytes {
    let x = private_value(username, password, salt, rule);
    let v = Zeroizing::new(generator().pow(&*x));
    SecretBytes::new(padded(&v).to_vec())
}

/// Whether [`XRule::EspProv`] gives another value than [`XRule::Rfc`].
pub fn esp_prov_differs(username: &[u8], password: &Pop, salt: &[u8]) -> bool {
    salt.first() == Some(&0) || identity_hash(username, password).first() == Some(&0)
}

/// What both sides know in the end.
pub(super) struct Agreed {
    /// `K`.
    pub(super) key: Zeroizing<[u8; PROOF_LEN]>,
    /// `M1`: what the client sends.
    pub(super) client_proof: [u8; PROOF_LEN],
    /// `M2`: what the device sends.
    pub(super) device_proof: [u8; PROOF_LEN],
}

/// The client's key pair, `a` and `A`.
pub(super) struct ClientKey {
    secret: Zeroizing<U256>,
    public: [u8; PUBLIC_LEN],
}

impl ClientKey {
    /// Takes 32 random bytes.
    pub(super) fn generate(entropy: &mut dyn Entropy) -> Self {
        let secret = exponent(entropy);
        let public = padded(&generator().pow(&*secret));
        Self { secret, public }
    }

    /// `A`, always 384 bytes.
    pub(super) fn public(&self) -> &[u8; PUBLIC_LEN] {
        &self.public
    }

    /// Takes the device's public key and salt, both as they came.
    pub(super) fn agree(
        &self,
        username: &[u8],
        password: &Pop,
        rule: XRule,
        device_public: &[u8],
        salt: &[u8],
    ) -> Result<Agreed, HandshakeError> {
        let b = number(device_public, "device's public key")?;
        let x = private_value(username, password, salt, rule);
        let u = scrambler(&self.public, &pad(device_public));
        if b == Residue::ZERO || u == U512::ZERO {
            return Err(HandshakeError::WeakPublicValue);
        }
        let verifier = Zeroizing::new(generator().pow(&*x));
        let base = Zeroizing::new(b - multiplier() * *verifier);
        // Both factors have 512 bits and `a` has 256, so the sum stays below 2^1024.
        let product: Zeroizing<U1024> = Zeroizing::new(u.concatenating_mul(&*x));
        let exponent = Zeroizing::new(product.wrapping_add(&self.secret.resize()));
        let s = Zeroizing::new(base.pow(&*exponent));
        Ok(agreed(&s, username, salt, &self.public, device_public))
    }
}

/// The device's key pair, `b` and `B`, for one verifier.
pub(super) struct DeviceKey {
    secret: Zeroizing<U256>,
    verifier: Zeroizing<Residue>,
    public: Vec<u8>,
}

impl DeviceKey {
    /// Takes 32 random bytes.
    pub(super) fn generate(verifier: &SecretBytes, entropy: &mut dyn Entropy) -> Result<Self, WireError> {
        let verifier = Zeroizing::new(number(verifier.reveal(), "verifier")?);
        let secret = exponent(entropy);
        let public = multiplier() * *verifier + generator().pow(&*secret);
        let public = without_leading_zeros(&padded(&public)).to_vec();
        Ok(Self {
            secret,
            verifier,
            public,
        })
    }

    /// `B` without leading zero bytes: 383 bytes about once in 256 times.
    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    /// Takes the client's public key, which must be of 384 bytes.
    pub(super) fn agree(
        &self,
        username: &[u8],
        client_public: &[u8; PUBLIC_LEN],
        salt: &[u8],
    ) -> Result<Agreed, HandshakeError> {
        let a = number(client_public, "client's public key")?;
        let u = scrambler(client_public, &pad(&self.public));
        if a == Residue::ZERO || u == U512::ZERO {
            return Err(HandshakeError::WeakPublicValue);
        }
        let base = Zeroizing::new(a * self.verifier.pow(&u));
        let s = Zeroizing::new(base.pow(&*self.secret));
        Ok(agreed(&s, username, salt, client_public, &self.public))
    }
}

type Residue = ConstMontyForm<group::Modulus, { U3072::LIMBS }>;

mod group {
    use crypto_bigint::U3072;

    crypto_bigint::const_monty_params!(
        Modulus,
        U3072,
        "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
         020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437\
         4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
         EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05\
         98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB\
         9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
         E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718\
         3995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33\
         A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7\
         ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864\
         D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E2\
         08E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF",
        "N of RFC 5054's 3072-bit group (appendix A)."
    );
}

fn generator() -> Residue {
    Residue::new(&U3072::from_u8(GENERATOR))
}

/// `k`, which is the same for all: H(PAD(N) | PAD(g)).
fn multiplier() -> Residue {
    let hash = Sha512::new()
        .chain_update(modulus_bytes())
        .chain_update(pad(&[GENERATOR]))
        .finalize();
    Residue::new(&U512::from_be_slice(&hash).resize())
}

/// `u`: H(PAD(A) | PAD(B)).
fn scrambler(a: &[u8; PUBLIC_LEN], b: &[u8; PUBLIC_LEN]) -> U512 {
    U512::from_be_slice(&Sha512::new().chain_update(a).chain_update(b).finalize())
}

/// `x`.
fn private_value(username: &[u8], password: &Pop, salt: &[u8], rule: XRule) -> Zeroizing<U512> {
    let inner = identity_hash(username, password);
    let (salt, inner) = match rule {
        XRule::Rfc => (salt, inner.as_slice()),
        XRule::EspProv => (
            without_leading_zeros(salt),
            without_leading_zeros(inner.as_slice()),
        ),
        XRule::ShortSalt => (salt.split_last().map_or(salt, |(_, rest)| rest), inner.as_slice()),
    };
    let hash = Zeroizing::new(<[u8; PROOF_LEN]>::from(
        Sha512::new().chain_update(salt).chain_update(inner).finalize(),
    ));
    Zeroizing::new(U512::from_be_slice(&*hash))
}

/// H(I | ":" | p).
fn identity_hash(username: &[u8], password: &Pop) -> Zeroizing<[u8; PROOF_LEN]> {
    let hash = Sha512::new()
        .chain_update(username)
        .chain_update(b":")
        .chain_update(password.reveal());
    Zeroizing::new(hash.finalize().into())
}

/// The key and both proofs. `B` enters as it was sent, `S` without leading zero bytes.
fn agreed(s: &Residue, username: &[u8], salt: &[u8], a: &[u8; PUBLIC_LEN], b: &[u8]) -> Agreed {
    let s = Zeroizing::new(padded(s));
    let key = Zeroizing::new(<[u8; PROOF_LEN]>::from(Sha512::digest(without_leading_zeros(
        &*s,
    ))));
    let mut group = Sha512::digest(modulus_bytes());
    group
        .iter_mut()
        .zip(Sha512::digest(pad(&[GENERATOR])))
        .for_each(|(byte, mask)| *byte ^= mask);
    let client_proof = Sha512::new()
        .chain_update(group)
        .chain_update(Sha512::digest(username))
        .chain_update(salt)
        .chain_update(a)
        .chain_update(b)
        .chain_update(key.as_slice())
        .finalize();
    let device_proof = Sha512::new()
        .chain_update(a)
        .chain_update(client_proof)
        .chain_update(key.as_slice())
        .finalize();
    Agreed {
        key,
        client_proof: client_proof.into(),
        device_proof: device_proof.into(),
    }
}

/// A private exponent of 256 bits.
fn exponent(entropy: &mut dyn Entropy) -> Zeroizing<U256> {
    let mut bytes = Zeroizing::new([0; EXPONENT_LEN]);
    entropy.fill(&mut *bytes);
    Zeroizing::new(U256::from_be_slice(&*bytes))
}

/// A number of the group from 1 to 384 big-endian bytes.
fn number(bytes: &[u8], field: &'static str) -> Result<Residue, WireError> {
    length(field, bytes, 1, PUBLIC_LEN)?;
    Ok(Residue::new(&U3072::from_be_slice(&pad(bytes))))
}

fn modulus_bytes() -> [u8; PUBLIC_LEN] {
    Residue::MODULUS.to_be_bytes().into()
}

fn padded(number: &Residue) -> [u8; PUBLIC_LEN] {
    let mut encoded = number.retrieve().to_be_bytes();
    let mut bytes = [0; PUBLIC_LEN];
    bytes.copy_from_slice(encoded.as_ref());
    encoded.zeroize();
    bytes
}

/// Left-padded to 384 bytes; more than that is the caller's to refuse, and is cut on the left here.
fn pad(bytes: &[u8]) -> [u8; PUBLIC_LEN] {
    let mut padded = [0; PUBLIC_LEN];
    padded
        .iter_mut()
        .rev()
        .zip(bytes.iter().rev())
        .for_each(|(to, from)| *to = *from);
    padded
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.split_at_checked(zeros).map_or(bytes, |(_, rest)| rest)
}

#[cfg(test)]
mod tests;
