//! The maker of the devices: gives each one its factory key, and vouches for it where the scenario wants a chain.
//!
//! Not for: what a device gets from a cloud; that is `enrol`'s.

use std::fmt;
use std::path::Path;

use commission::device::{DeviceKey, Fingerprint, Serial, SignatureScheme};
use commission::secret::PrivateKeyPem;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SerialNumber, SignatureAlgorithm, SigningKey,
    date_time_ymd,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::storage::{StorageError, read_if_there, write_atomically};

/// X.520 serialNumber, 2.5.4.5 (RFC 5280, appendix A.1).
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];

/// How a device can prove who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityKind {
    /// It cannot.
    None,
    /// A P-256 key, handed over as SubjectPublicKeyInfo.
    #[default]
    P256,
    /// An Ed25519 key, handed over as SubjectPublicKeyInfo.
    Ed25519,
    /// A P-256 key in a certificate of the maker.
    P256Chain,
    /// An Ed25519 key in a certificate of the maker.
    Ed25519Chain,
}

impl IdentityKind {
    /// How such a device signs; none where it has no key.
    pub fn scheme(self) -> Option<SignatureScheme> {
        match self {
            Self::None => None,
            Self::P256 | Self::P256Chain => Some(SignatureScheme::EcdsaP256Sha256),
            Self::Ed25519 | Self::Ed25519Chain => Some(SignatureScheme::Ed25519),
        }
    }

    fn has_chain(self) -> bool {
        matches!(self, Self::P256Chain | Self::Ed25519Chain)
    }
}

/// Why a key or certificate of a maker could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum MakerError {
    /// Making or using it failed.
    #[error("a factory key or certificate cannot be used: {0}")]
    Key(#[from] rcgen::Error),
    /// The maker's own files.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
}

/// The maker of all devices of a sandbox; its root stays the same for as long as its directory does.
pub struct Maker {
    issuer: Issuer<'static, KeyPair>,
    root_pem: String,
}

impl Maker {
    /// Takes the root from `dir`, or makes one there.
    ///
    /// # Errors
    /// [`MakerError`] where the directory cannot be used or holds something else.
    pub fn open(dir: &Path) -> Result<Self, MakerError> {
        let (certificate, key) = (dir.join("maker-root.pem"), dir.join("maker-root.key"));
        let kept = (read_if_there(&certificate)?, read_if_there(&key)?);
        let (root_pem, key) = if let (Some(root), Some(key)) = kept {
            (root, KeyPair::from_pem(&key)?)
        } else {
            let made = KeyPair::generate()?;
            let mut params = blank("Fieldkey sandbox maker")?;
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            let root = params.self_signed(&made)?.pem();
            write_atomically(&key, made.serialize_pem().as_bytes())?;
            write_atomically(&certificate, root.as_bytes())?;
            (root, made)
        };
        Ok(Self {
            issuer: Issuer::from_ca_cert_pem(&root_pem, key)?,
            root_pem,
        })
    }

    /// The certificate that chains of devices end in, PEM.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// Makes a device's factory key; none where it has no identity.
    ///
    /// # Errors
    /// [`MakerError`] where no key or certificate could be made.
    pub fn make(&self, serial: &Serial, kind: IdentityKind) -> Result<Option<FactoryKey>, MakerError> {
        let Some(scheme) = kind.scheme() else {
            return Ok(None);
        };
        let key = KeyPair::generate_for(algorithm(scheme))?;
        let chain = if kind.has_chain() {
            let mut params = blank(serial.as_str())?;
            params
                .distinguished_name
                .push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), serial.as_str());
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            vec![params.signed_by(&key, &self.issuer)?.der().to_vec()]
        } else {
            Vec::new()
        };
        Ok(Some(FactoryKey { scheme, key, chain }))
    }
}

/// A device's own key, from the day it was made; a factory reset leaves it.
pub struct FactoryKey {
    scheme: SignatureScheme,
    key: KeyPair,
    chain: Vec<Vec<u8>>,
}

impl fmt::Debug for FactoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FactoryKey({:?}, {})", self.scheme, self.fingerprint())
    }
}

impl FactoryKey {
    /// Takes a stored key (PKCS #8 PEM) and its chain (DER, leaf first; empty for a bare key) up again.
    ///
    /// # Errors
    /// [`MakerError::Key`] where the key is no key of that scheme.
    pub fn restore(
        scheme: SignatureScheme,
        key: &PrivateKeyPem,
        chain: Vec<Vec<u8>>,
    ) -> Result<Self, MakerError> {
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(key.reveal(), algorithm(scheme))?;
        Ok(Self { scheme, key, chain })
    }

    /// How it signs.
    pub fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// The private key, for the device's own store.
    pub fn private_key(&self) -> PrivateKeyPem {
        PrivateKeyPem::new(self.key.serialize_pem())
    }

    /// The chain in DER, leaf first; empty for a bare key.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// What it hands over to whoever asks who it is.
    pub fn public(&self) -> DeviceKey {
        if self.chain.is_empty() {
            DeviceKey::Spki(self.key.subject_public_key_info())
        } else {
            DeviceKey::Chain(self.chain.clone())
        }
    }

    /// What the maker's import lists.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(self.key.subject_public_key_info()).into())
    }

    /// Signs.
    ///
    /// # Errors
    /// [`MakerError::Key`] where the system gives no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, MakerError> {
        Ok(self.key.sign(message)?)
    }
}

fn algorithm(scheme: SignatureScheme) -> &'static SignatureAlgorithm {
    match scheme {
        SignatureScheme::EcdsaP256Sha256 => &PKCS_ECDSA_P256_SHA256,
        SignatureScheme::Ed25519 => &PKCS_ED25519,
    }
}

fn blank(common_name: &str) -> Result<CertificateParams, MakerError> {
    let mut serial = [0_u8; 16];
    getrandom::fill(&mut serial).map_err(|_| MakerError::Random)?;
    // A serial number is positive (RFC 5280, 4.1.2.2).
    if let Some(first) = serial.first_mut() {
        *first &= 0x7f;
    }
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    // Device certificates have no well-defined end (IEEE 802.1AR-2018, 8.7); this is far enough.
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_stays_the_same_when_the_maker_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = Maker::open(dir.path()).unwrap().root_pem().to_owned();
        assert_eq!(Maker::open(dir.path()).unwrap().root_pem(), first);
    }

    #[test]
    fn a_chain_names_the_serial_and_ends_in_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let maker = Maker::open(dir.path()).unwrap();
        let serial = Serial::new("FK-0001").unwrap();
        let key = maker.make(&serial, IdentityKind::Ed25519Chain).unwrap().unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&key.chain()[0]).unwrap();
        let (_, root) = x509_parser::pem::parse_x509_pem(maker.root_pem().as_bytes()).unwrap();
        let root = root.parse_x509().unwrap();
        leaf.verify_signature(Some(root.public_key())).unwrap();
        assert_eq!(leaf.subject().to_string(), "CN=FK-0001, serialNumber=FK-0001");
        assert_eq!(
            Sha256::digest(leaf.public_key().raw).as_slice(),
            key.fingerprint().0
        );
    }

    #[test]
    fn what_it_signs_verifies_under_the_public_key_that_it_shows() {
        let dir = tempfile::tempdir().unwrap();
        let maker = Maker::open(dir.path()).unwrap();
        let serial = Serial::new("FK-0001").unwrap();
        for (kind, verifier) in [
            (
                IdentityKind::P256,
                &ring::signature::ECDSA_P256_SHA256_ASN1
                    as &'static dyn ring::signature::VerificationAlgorithm,
            ),
            (IdentityKind::Ed25519, &ring::signature::ED25519),
        ] {
            let key = maker.make(&serial, kind).unwrap().unwrap();
            let again = FactoryKey::restore(key.scheme(), &key.private_key(), Vec::new()).unwrap();
            assert_eq!(again.fingerprint(), key.fingerprint());
            let DeviceKey::Spki(spki) = again.public() else {
                panic!("a chain for {kind:?}")
            };
            let (_, spki) = x509_parser::prelude::SubjectPublicKeyInfo::from_der(&spki).unwrap();
            let public = spki.subject_public_key.data.to_vec();
            let signature = again.sign(b"challenge").unwrap();
            ring::signature::UnparsedPublicKey::new(verifier, public)
                .verify(b"challenge", &signature)
                .unwrap();
        }
        assert!(maker.make(&serial, IdentityKind::None).unwrap().is_none());
    }

    use x509_parser::prelude::FromDer;
}
