//! Checks a device's proof of identity: its signature, its certificate up to a maker of the profile, its serial.
//!
//! Not in scope: what was to be signed (the dialect builds the message and with it binds challenge and session) and
//! whether the cloud knows the key (the flow compares the fingerprint with the maker's import).

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use commission::device::{DeviceKey, Fingerprint, Identity, IdentityFault, IdentityProof, SignatureScheme};
use commission::proven::{Der, ProvenIdentity, ProvenKeys};
use commission::time::UnixTime;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime as PkiTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error as TlsError};
use sha2::{Digest, Sha256};
use x509_parser::der_parser::oid;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};

use crate::settings::Maker;

/// id-ecPublicKey (RFC 5480, 2.1.1).
const EC_PUBLIC_KEY: Oid<'static> = oid!(1.2.840.10045.2.1);
/// secp256r1, the curve P-256 (RFC 5480, 2.1.1.1).
const P256: Oid<'static> = oid!(1.2.840.10045.3.1.7);
/// id-Ed25519 (RFC 8410, 3).
const ED25519_KEY: Oid<'static> = oid!(1.3.101.112);
/// The attribute serialNumber (X.520, 6.2.9).
const SERIAL_NUMBER: Oid<'static> = oid!(2.5.4.5);
/// A calendar that shows less is wrong: this was written then (2026-01-01).
const WRITTEN: UnixTime = UnixTime(1_767_225_600);
/// Certificates that a device may send; a maker's root, an intermediate or two and the leaf are usual.
const LONGEST_CHAIN: usize = 6;

/// Checks `proof`; a bare key stands for itself, a chain must end in one of `makers` and be valid at `now`.
///
/// # Errors
/// [`IdentityFault`].
pub fn check(
    proof: &IdentityProof,
    makers: &[Maker],
    now: UnixTime,
) -> Result<ProvenIdentity, IdentityFault> {
    let (spki, chain, vouched_by) = match &proof.key {
        DeviceKey::Spki(spki) => (spki.clone(), Vec::new(), None),
        DeviceKey::Chain(chain) => {
            let Path { leaf, issuers, maker } = trusted_path(chain, makers, now)?;
            let (_, certificate) = X509Certificate::from_der(&leaf).map_err(unreadable)?;
            same_serial(&certificate, proof.serial.as_str())?;
            let spki = certificate.public_key().raw.to_vec();
            (spki, iter::once(leaf).chain(issuers).collect(), Some(maker))
        }
    };
    verify_signature(&spki, proof)?;
    let identity = Identity {
        serial: proof.serial.clone(),
        model: proof.model.clone(),
        firmware: proof.firmware.clone(),
        key_sha256: Fingerprint(Sha256::digest(&spki).into()),
    };
    let keys = ProvenKeys {
        spki: Der(spki),
        chain: chain.into_iter().map(Der).collect(),
        endorsement_key: proof.endorsement_key.clone().map(Der),
    };
    Ok(ProvenIdentity {
        identity,
        keys,
        vouched_by,
    })
}

/// [`check`] by this machine's calendar, `laptop`, which may be wrong: a certificate that is out of date by it alone is
/// not held against the device. `ahead` is how many seconds it is ahead of the cloud's, where the cloud has said what
/// time it is; else only a date before this program's own shows that it is wrong.
///
/// # Errors
/// As [`check`]; [`IdentityFault::LaptopDate`] where the laptop's date is the trouble.
pub fn check_here(
    proof: &IdentityProof,
    makers: &[Maker],
    laptop: UnixTime,
    ahead: Option<i64>,
) -> Result<ProvenIdentity, IdentityFault> {
    let here = check(proof, makers, laptop);
    let out_of_date = Err(IdentityFault::OutOfDate);
    match ahead {
        // The cloud's clock decides, and where this one would decide otherwise it has to be set.
        Some(ahead) => {
            let there = check(proof, makers, UnixTime(laptop.0.saturating_sub(ahead)));
            if here == out_of_date && there.is_ok() {
                return Err(IdentityFault::LaptopDate);
            }
            there
        }
        None if here == out_of_date && laptop < WRITTEN => Err(IdentityFault::LaptopDate),
        None => here,
    }
}

/// A chain that leads to a maker, without the root.
struct Path {
    leaf: Vec<u8>,
    /// Over which it does.
    issuers: Vec<Vec<u8>>,
    /// Its name in the profile.
    maker: String,
}

/// The way from a leaf to a maker. A maker's root counts whatever its own dates say: the profile decides whom the
/// organisation trusts.
fn trusted_path(chain: &[Vec<u8>], makers: &[Maker], now: UnixTime) -> Result<Path, IdentityFault> {
    let (leaf, rest) = match chain.split_first() {
        Some(split) if chain.len() <= LONGEST_CHAIN => split,
        Some(_) => {
            return Err(IdentityFault::Unreadable(format!("{} certificates", chain.len())));
        }
        None => return Err(IdentityFault::Unreadable("no certificate".to_owned())),
    };
    let verifier = verifier_of(makers)?;
    let mut issuers: Vec<_> = rest
        .iter()
        .map(|der| CertificateDer::from(der.as_slice()))
        .collect();
    let now = PkiTime::since_unix_epoch(Duration::from_secs(now.0.max(0).unsigned_abs()));
    let end = CertificateDer::from(leaf.as_slice());
    let verify = |issuers: &[CertificateDer<'_>]| verifier.verify_client_cert(&end, issuers, now);
    verify(&issuers).map_err(fault)?;
    // What the path does not need was only sent along: nothing vouches for it, and it may be anything.
    for position in (0..issuers.len()).rev() {
        let mut fewer = issuers.clone();
        fewer.remove(position);
        if verify(&fewer).is_ok() {
            issuers = fewer;
        }
    }
    for maker in makers {
        let alone = std::slice::from_ref(maker);
        if verifier_of(alone).is_ok_and(|own| own.verify_client_cert(&end, &issuers, now).is_ok()) {
            return Ok(Path {
                leaf: leaf.clone(),
                issuers: issuers.iter().map(|issuer| issuer.to_vec()).collect(),
                maker: maker.name.clone(),
            });
        }
    }
    Err(IdentityFault::UntrustedMaker)
}

/// Checks chains up to any of these makers' roots. A device towards us is what a TLS client is towards a server, and is
/// checked by the same code.
fn verifier_of(makers: &[Maker]) -> Result<Arc<dyn ClientCertVerifier>, IdentityFault> {
    let mut roots = RootCertStore::empty();
    for maker in makers {
        for root in CertificateDer::pem_slice_iter(maker.root_pem.as_bytes()) {
            roots.add(root.map_err(unreadable)?).map_err(unreadable)?;
        }
    }
    if roots.is_empty() {
        return Err(IdentityFault::UntrustedMaker);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(unreadable)
}

fn fault(error: TlsError) -> IdentityFault {
    use CertificateError as Certificate;
    match error {
        TlsError::InvalidCertificate(
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. },
        ) => IdentityFault::OutOfDate,
        TlsError::InvalidCertificate(Certificate::UnknownIssuer | Certificate::BadSignature) => {
            IdentityFault::UntrustedMaker
        }
        other => unreadable(other),
    }
}

/// The subject's serialNumber attributes decide; without any, its common names do.
fn same_serial(leaf: &X509Certificate<'_>, stated: &str) -> Result<(), IdentityFault> {
    let subject = leaf.subject();
    let numbers: Vec<_> = subject.iter_by_oid(&SERIAL_NUMBER).collect();
    let names: Vec<_> = subject.iter_common_name().collect();
    let attributes = if numbers.is_empty() { names } else { numbers };
    let certified: Vec<_> = attributes
        .iter()
        .map(|attribute| attribute.as_str().unwrap_or_default())
        .collect();
    if !certified.is_empty() && certified.iter().all(|text| *text == stated) {
        Ok(())
    } else {
        Err(IdentityFault::Serial {
            stated: stated.to_owned(),
            certified: certified.join(", "),
        })
    }
}

fn verify_signature(spki: &[u8], proof: &IdentityProof) -> Result<(), IdentityFault> {
    let (rest, key) = SubjectPublicKeyInfo::from_der(spki).map_err(unreadable)?;
    if !rest.is_empty() {
        // They would change the fingerprint of one and the same key.
        return Err(IdentityFault::Unreadable("bytes after the key".to_owned()));
    }
    let kind = &key.algorithm.algorithm;
    let curve = key
        .algorithm
        .parameters
        .as_ref()
        .and_then(|any| any.as_oid().ok());
    let algorithm: &'static dyn VerificationAlgorithm = match proof.scheme {
        SignatureScheme::EcdsaP256Sha256 if *kind == EC_PUBLIC_KEY && curve == Some(P256) => {
            &ECDSA_P256_SHA256_ASN1
        }
        SignatureScheme::Ed25519 if *kind == ED25519_KEY => &ED25519,
        scheme => {
            return Err(IdentityFault::Unreadable(format!(
                "a key of kind {kind} does not sign by {scheme:?}"
            )));
        }
    };
    UnparsedPublicKey::new(algorithm, &key.subject_public_key.data)
        .verify(&proof.message, &proof.signature)
        .map_err(|_| IdentityFault::Signature)
}

fn unreadable(error: impl std::fmt::Display) -> IdentityFault {
    IdentityFault::Unreadable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use commission::device::{Firmware, Serial};
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
        PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SigningKey, date_time_ymd,
    };

    const NOW: UnixTime = UnixTime(1_767_225_600); // 2026-01-01
    const SERIAL: &str = "SN-000123";

    type Root = CertifiedIssuer<'static, KeyPair>;

    fn authority(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2040, 1, 1);
        params
    }

    fn root(name: &str) -> Root {
        CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap()).unwrap()
    }

    fn maker(root: &Root) -> Maker {
        Maker {
            name: "Lumen".into(),
            root_pem: root.pem(),
        }
    }

    fn leaf() -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, SERIAL);
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = date_time_ymd(2035, 1, 1);
        params
    }

    fn proof(key: DeviceKey, signer: &KeyPair, scheme: SignatureScheme) -> IdentityProof {
        let message = b"challenge, session, facts".to_vec();
        IdentityProof {
            serial: Serial::new(SERIAL).unwrap(),
            model: "Lamp".into(),
            firmware: Firmware("1.2.0".into()),
            key,
            endorsement_key: Some(vec![0x01, 0x3a]),
            scheme,
            signature: signer.sign(&message).unwrap(),
            message,
        }
    }

    /// A proof by chain, and what the root's owner would have to be trusted for.
    fn by_chain(root: &Root, params: &CertificateParams) -> IdentityProof {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, root).unwrap();
        let chain = DeviceKey::Chain(vec![certificate.der().to_vec()]);
        proof(chain, &key, SignatureScheme::EcdsaP256Sha256)
    }

    fn fingerprint(key: &KeyPair) -> Fingerprint {
        Fingerprint(Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(key)).into())
    }

    #[test]
    fn a_bare_key_of_either_kind_proves_itself() {
        for (algorithm, scheme) in [
            (&PKCS_ECDSA_P256_SHA256, SignatureScheme::EcdsaP256Sha256),
            (&PKCS_ED25519, SignatureScheme::Ed25519),
        ] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
            let proof = proof(DeviceKey::Spki(spki.clone()), &key, scheme);
            let ProvenIdentity {
                identity,
                keys,
                vouched_by,
            } = check(&proof, &[], NOW).unwrap();
            assert_eq!(vouched_by, None, "nobody says that it is this device's");
            assert_eq!(identity.key_sha256, fingerprint(&key));
            assert_eq!((keys.spki, keys.chain), (Der(spki), vec![]));
            assert_eq!(keys.endorsement_key, Some(Der(vec![0x01, 0x3a])));
            assert_eq!(
                (identity.serial.as_str(), identity.model.as_str()),
                (SERIAL, "Lamp")
            );
        }
    }

    #[test]
    fn any_change_of_message_or_signature_is_seen() {
        let key = KeyPair::generate().unwrap();
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        let good = proof(DeviceKey::Spki(spki), &key, SignatureScheme::EcdsaP256Sha256);
        let mut other_message = good.clone();
        other_message.message[0] ^= 1;
        let mut other_signature = good.clone();
        *other_signature.signature.last_mut().unwrap() ^= 1;
        let mut none = good.clone();
        none.signature.clear();
        for bad in [other_message, other_signature, none] {
            assert_eq!(check(&bad, &[], NOW), Err(IdentityFault::Signature));
        }
    }

    #[test]
    fn a_key_that_cannot_sign_so_is_unreadable_rather_than_wrong() {
        let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let p256 = KeyPair::generate().unwrap();
        let spki = |key: &KeyPair| rcgen::PublicKeyData::subject_public_key_info(key);
        let mut trailing = spki(&p256);
        trailing.push(0);
        for (spki, scheme) in [
            (spki(&p384), SignatureScheme::EcdsaP256Sha256),
            (spki(&p256), SignatureScheme::Ed25519),
            (trailing, SignatureScheme::EcdsaP256Sha256),
            (vec![], SignatureScheme::EcdsaP256Sha256),
            (vec![0x30, 0x82], SignatureScheme::EcdsaP256Sha256),
        ] {
            let refusal = check(&proof(DeviceKey::Spki(spki), &p256, scheme), &[], NOW);
            assert!(
                matches!(refusal, Err(IdentityFault::Unreadable(_))),
                "{refusal:?}"
            );
        }
    }

    #[test]
    fn a_chain_from_a_trusted_maker_holds_also_over_an_intermediate() {
        let (root, other) = (root("Lumen root"), root("Other root"));
        let other = Maker {
            name: "Other".into(),
            ..maker(&other)
        };
        let proven = check(&by_chain(&root, &leaf()), &[other, maker(&root)], NOW).unwrap();
        assert_eq!(proven.vouched_by.as_deref(), Some("Lumen"));

        let intermediate =
            CertifiedIssuer::signed_by(authority("Lumen line 4"), KeyPair::generate().unwrap(), &root)
                .unwrap();
        let mut proof = by_chain(&intermediate, &leaf());
        assert_eq!(
            check(&proof, &[maker(&root)], NOW),
            Err(IdentityFault::UntrustedMaker),
            "the intermediate is missing"
        );
        if let DeviceKey::Chain(chain) = &mut proof.key {
            chain.push(intermediate.der().to_vec());
        }
        let keys = check(&proof, &[maker(&root)], NOW).unwrap().keys;
        let sent: Vec<Vec<u8>> = keys.chain.into_iter().map(|der| der.0).collect();
        assert_eq!(DeviceKey::Chain(sent.clone()), proof.key);
        let (_, leaf) = X509Certificate::from_der(&sent[0]).unwrap();
        assert_eq!(keys.spki.0, leaf.public_key().raw);
    }

    #[test]
    fn what_a_device_sends_along_with_its_chain_is_not_taken_for_proven() {
        let (root, stranger) = (root("Lumen root"), root("Stranger"));
        let intermediate =
            CertifiedIssuer::signed_by(authority("Lumen line 4"), KeyPair::generate().unwrap(), &root)
                .unwrap();
        let mut proof = by_chain(&intermediate, &leaf());
        let DeviceKey::Chain(chain) = &mut proof.key else {
            panic!("a chain");
        };
        let path = [chain[0].clone(), intermediate.der().to_vec()];
        let other = CertifiedIssuer::signed_by(authority("Line 5"), KeyPair::generate().unwrap(), &stranger);
        chain.extend([
            other.unwrap().der().to_vec(),
            intermediate.der().to_vec(),
            root.der().to_vec(),
            b"no certificate at all".to_vec(),
        ]);
        let keys = check(&proof, &[maker(&root)], NOW).unwrap().keys;
        assert!(keys.chain.iter().map(|der| &der.0).eq(&path), "{:?}", keys.chain);
    }

    #[test]
    fn another_maker_or_none_is_not_trusted() {
        let (lumen, other) = (root("Lumen root"), root("Other root"));
        // Same name, another key.
        let impostor = root("Lumen root");
        let proof = by_chain(&lumen, &leaf());
        for makers in [vec![], vec![maker(&other)], vec![maker(&impostor)]] {
            assert_eq!(check(&proof, &makers, NOW), Err(IdentityFault::UntrustedMaker));
        }
    }

    #[test]
    fn a_device_cannot_vouch_for_another() {
        let root = root("Lumen root");
        let mut params = leaf();
        params.is_ca = IsCa::NoCa;
        let device = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
        let mut proof = by_chain(&device, &leaf());
        if let DeviceKey::Chain(chain) = &mut proof.key {
            chain.push(device.der().to_vec());
        }
        assert!(check(&proof, &[maker(&root)], NOW).is_err());
    }

    #[test]
    fn dates_count() {
        let root = root("Lumen root");
        let mut over = leaf();
        over.not_after = date_time_ymd(2025, 6, 1);
        let mut early = leaf();
        early.not_before = date_time_ymd(2027, 1, 1);
        for params in [over, early] {
            assert_eq!(
                check(&by_chain(&root, &params), &[maker(&root)], NOW),
                Err(IdentityFault::OutOfDate)
            );
        }
    }

    #[test]
    fn a_certificate_that_is_out_of_date_by_the_laptops_wrong_date_alone_is_not_held_against_the_device() {
        const YEAR: i64 = 31_557_600;
        let root = root("Lumen root");
        let judge = |params: &CertificateParams, laptop: i64, ahead: Option<i64>| {
            check_here(
                &by_chain(&root, params),
                &[maker(&root)],
                UnixTime(NOW.0 + laptop),
                ahead,
            )
            .err()
        };
        let (sound, mut over) = (leaf(), leaf());
        over.not_after = date_time_ymd(2025, 6, 1);
        // (the certificate, the laptop's calendar, how far it is ahead by the cloud's word, the verdict)
        for (params, laptop, ahead, verdict) in [
            (&sound, 0, None, None),
            (&sound, 0, Some(0), None),
            (&sound, 3 * YEAR, Some(3 * YEAR), None),
            (
                &sound,
                20 * YEAR,
                Some(20 * YEAR),
                Some(IdentityFault::LaptopDate),
            ),
            (
                &sound,
                -20 * YEAR,
                Some(-20 * YEAR),
                Some(IdentityFault::LaptopDate),
            ),
            (&sound, -20 * YEAR, None, Some(IdentityFault::LaptopDate)),
            (&sound, 20 * YEAR, None, Some(IdentityFault::OutOfDate)),
            (&over, 0, None, Some(IdentityFault::OutOfDate)),
            (&over, 0, Some(0), Some(IdentityFault::OutOfDate)),
            // Only by the wrong date it would still be valid.
            (&over, -YEAR, Some(-YEAR), Some(IdentityFault::OutOfDate)),
        ] {
            assert_eq!(judge(params, laptop, ahead), verdict, "{laptop} {ahead:?}");
        }
    }

    #[test]
    fn a_certificate_without_end_is_valid() {
        // IEEE 802.1AR, 8.7: a device that lives for ever has 99991231235959Z.
        let root = root("Lumen root");
        let mut params = leaf();
        params.not_after = date_time_ymd(9999, 12, 31);
        assert!(check(&by_chain(&root, &params), &[maker(&root)], NOW).is_ok());
    }

    #[test]
    fn the_serial_in_the_certificate_must_be_the_stated_one() {
        let root = root("Lumen root");
        let serial_number = || DnType::CustomDnType(vec![2, 5, 4, 5]);
        let named = |attributes: &[(DnType, &str)]| {
            let mut params = leaf();
            params.distinguished_name = rcgen::DistinguishedName::new();
            for (kind, text) in attributes {
                params.distinguished_name.push(kind.clone(), *text);
            }
            check(&by_chain(&root, &params), &[maker(&root)], NOW)
        };
        assert!(named(&[(DnType::CommonName, "Lamp"), (serial_number(), SERIAL)]).is_ok());
        let differs = |certified: &str| {
            Err(IdentityFault::Serial {
                stated: SERIAL.into(),
                certified: certified.into(),
            })
        };
        assert_eq!(
            named(&[(DnType::CommonName, SERIAL), (serial_number(), "SN-9")]),
            differs("SN-9")
        );
        assert_eq!(named(&[(DnType::CommonName, "SN-9")]), differs("SN-9"));
        assert_eq!(named(&[]), differs(""));
    }

    #[test]
    fn a_sound_certificate_in_foreign_hands_proves_nothing() {
        let root = root("Lumen root");
        let mut stolen = by_chain(&root, &leaf());
        stolen.signature = KeyPair::generate().unwrap().sign(&stolen.message).unwrap();
        assert_eq!(
            check(&stolen, &[maker(&root)], NOW),
            Err(IdentityFault::Signature)
        );
    }

    #[test]
    fn broken_chains_are_unreadable() {
        let root = root("Lumen root");
        let good = by_chain(&root, &leaf());
        let DeviceKey::Chain(chain) = &good.key else {
            panic!("a chain");
        };
        let der = &chain[0];
        for chain in [
            vec![],
            vec![vec![]],
            vec![der[..der.len() - 1].to_vec()],
            vec![der.clone(); 7],
        ] {
            let mut bad = good.clone();
            bad.key = DeviceKey::Chain(chain);
            let refusal = check(&bad, &[maker(&root)], NOW);
            assert!(
                matches!(refusal, Err(IdentityFault::Unreadable(_))),
                "{refusal:?}"
            );
        }
    }
}
