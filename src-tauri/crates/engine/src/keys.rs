//! Checks that a claim's private key belongs to its certificate, before both are sent to a device over a slow radio.
//!
//! Not in scope: making keys. Where a device makes its own, nothing secret crosses the air; where a cloud makes them,
//! they arrive with the claim.
//!
//! Keys come as clouds write them: PKCS #8, SEC1, and PKCS #1 from AWS IoT. rustls reads all three, and compares whole
//! SubjectPublicKeyInfos.

use std::sync::Arc;

use commission::secret::PrivateKeyPem;
use rustls::InconsistentKeys;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a certificate and a private key do not go together. Holds nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// There is no certificate, or one that cannot be read.
    #[error("the claim's certificate cannot be read")]
    Certificate,
    /// There is no private key, or one that cannot be read.
    #[error("the claim's private key cannot be read")]
    Key,
    /// A key of a kind or size that TLS does not use.
    #[error("the claim's private key is of a kind or size that is not supported")]
    Unsupported,
    /// Both are sound and do not belong together.
    #[error("the claim's private key does not belong to its certificate")]
    Mismatch,
}

/// Checks a PEM chain, leaf first, against its private key.
///
/// # Errors
/// [`KeyError`].
pub fn check_pair(chain_pem: &str, key: &PrivateKeyPem) -> Result<(), KeyError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| KeyError::Certificate)?;
    if chain.is_empty() {
        return Err(KeyError::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes()).map_err(|_| KeyError::Key)?;
    let key = Zeroizing::new(key);
    let signer = any_supported_type(&key).map_err(|_| KeyError::Unsupported)?;
    match CertifiedKey::new(chain, Arc::clone(&signer)).keys_match() {
        Ok(()) => Ok(()),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(KeyError::Mismatch),
        Err(_) => Err(KeyError::Certificate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    fn certificate(key: &KeyPair) -> String {
        CertificateParams::new(Vec::new())
            .unwrap()
            .self_signed(key)
            .unwrap()
            .pem()
    }

    fn secret(pem: impl Into<String>) -> PrivateKeyPem {
        PrivateKeyPem::new(pem)
    }

    #[test]
    fn a_key_goes_with_its_own_certificate_only() {
        for algorithm in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &PKCS_ECDSA_P384_SHA384,
            &PKCS_ED25519,
        ] {
            let (own, other) = (
                KeyPair::generate_for(algorithm).unwrap(),
                KeyPair::generate_for(algorithm).unwrap(),
            );
            let pem = certificate(&own);
            assert_eq!(check_pair(&pem, &secret(own.serialize_pem())), Ok(()));
            assert_eq!(
                check_pair(&pem, &secret(other.serialize_pem())),
                Err(KeyError::Mismatch)
            );
        }
    }

    #[test]
    fn rsa_keys_are_read_in_the_form_that_aws_writes() {
        let (certificate, pkcs1, other) = (
            include_str!("../testdata/rsa.crt"),
            include_str!("../testdata/rsa-pkcs1.key"),
            KeyPair::generate().unwrap(),
        );
        assert!(pkcs1.contains("BEGIN RSA PRIVATE KEY"));
        assert_eq!(check_pair(certificate, &secret(pkcs1)), Ok(()));
        assert_eq!(
            check_pair(certificate, &secret(other.serialize_pem())),
            Err(KeyError::Mismatch)
        );
    }

    #[test]
    fn sec1_keys_are_read() {
        let (certificate, sec1) = (
            include_str!("../testdata/ec.crt"),
            include_str!("../testdata/ec-sec1.key"),
        );
        assert!(sec1.contains("BEGIN EC PRIVATE KEY"));
        assert_eq!(check_pair(certificate, &secret(sec1)), Ok(()));
    }

    #[test]
    fn the_leaf_counts_not_what_follows() {
        let (leaf, issuer) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let chain = certificate(&leaf) + &certificate(&issuer);
        assert_eq!(check_pair(&chain, &secret(leaf.serialize_pem())), Ok(()));
        assert_eq!(
            check_pair(&chain, &secret(issuer.serialize_pem())),
            Err(KeyError::Mismatch)
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_and_not_shown() {
        let key = KeyPair::generate().unwrap();
        let (pem, sound) = (key.serialize_pem(), certificate(&key));
        for bad in ["", "no PEM", &pem] {
            assert_eq!(check_pair(bad, &secret(pem.clone())), Err(KeyError::Certificate));
        }
        for bad in ["", "no PEM", &sound] {
            assert_eq!(check_pair(&sound, &secret(bad)), Err(KeyError::Key));
        }
        let cut = pem.replacen("MIG", "AAA", 1);
        assert!(matches!(
            check_pair(&sound, &secret(cut)),
            Err(KeyError::Key | KeyError::Unsupported)
        ));
    }
}
