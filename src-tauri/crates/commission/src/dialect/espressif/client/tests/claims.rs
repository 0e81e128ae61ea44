//! Claims and proofs of identity over a session, on each scheme and over lost links. The pieces themselves: `cloud_cred`.

use core::time::Duration;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use base64::Engine as _;
use sha2::{Digest, Sha256};

use super::pair::*;
use crate::claim::{Claim, ClaimId, ClaimKind, CleanupHandle, Endpoint, Scope};
use crate::device::IdentityProof;
use crate::dialect::espressif::cloud_cred::{ClaimBundle, Refusal};
use crate::dialect::espressif::device::{DeviceConfig, Effect};
use crate::dialect::espressif::offer::Offer;
use crate::dialect::espressif::security::Protection;
use crate::dialect::espressif::wire::version::Patch;
use crate::dialect::{Client, Command, Report};
use crate::fault::Fault;
use crate::gatt::LinkError;
use crate::secret::{PrivateKeyPem, TenantToken, Token};
use crate::time::{Moment, UnixTime};

const NOW: UnixTime = UnixTime(1_800_000_000);

fn pem(kind: &str, der: &[u8]) -> String {
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n")
}

fn claim() -> Claim {
    Claim {
        id: ClaimId("claim-1".into()),
        kind: ClaimKind::Certificate {
            chain_pem: pem("CERTIFICATE", &[1; 600]),
            key: PrivateKeyPem::new(pem("PRIVATE KEY", &[3; 121])),
        },
        endpoint: Endpoint {
            host: "cloud.test".into(),
            port: 8883,
        },
        ca_pem: pem("CERTIFICATE", &[4; 300]),
        scope: Scope {
            template: "lamps".into(),
            parameters: [("Serial".to_string(), "SN-1".to_string())].into(),
        },
        issued: Moment::default(),
        expires: Moment::new(Duration::from_secs(300)),
        issued_at: NOW,
        cleanup: CleanupHandle("c".into()),
    }
}

fn send() -> Command {
    Command::SendClaim {
        claim: claim(),
        now: NOW,
    }
}

fn stored(pair: &Pair) -> Vec<&ClaimBundle> {
    let stored = pair.effects.iter().filter_map(|effect| match effect {
        Effect::ClaimStored { bundle, now } => {
            assert_eq!(*now, NOW);
            Some(&**bundle)
        }
        _ => None,
    });
    stored.collect()
}

#[test]
fn claim_arrives_on_every_scheme_that_protects_it() {
    for protection in [sec1(), sec2(Patch::Constant), sec2(Patch::Counter)] {
        for chunk_400 in [false, true] {
            let mut config = ours(protection.clone());
            config.offer = Some(Offer { chunk_400, ..offer() });
            config.chunk = if chunk_400 { 400 } else { 200 };
            config.value_limit = 481;
            let mut pair = Pair::opened(config);
            assert_eq!(pair.run(send()), Report::ClaimCommitted);
            assert_eq!(stored(&pair), [&ClaimBundle::try_from(&claim()).unwrap()]);
            let total = u32::try_from(stored(&pair)[0].encode().len()).unwrap();
            let pieces = total.div_ceil(if chunk_400 { 400 } else { 200 });
            assert_eq!(pair.progress.len(), 1 + pieces as usize);
            assert_eq!(
                pair.progress.last(),
                Some(&Report::ClaimProgress { sent: total, total })
            );
        }
    }
}

#[test]
fn pieces_of_200_bytes_fit_the_universal_limit() {
    let mut pair = Pair::opened(DeviceConfig {
        value_limit: 512,
        ..ours(sec2(Patch::Counter))
    });
    let before = pair.ops.len();
    pair.run(send());
    let longest = pair.ops[before..].iter().map(|op| match op {
        crate::gatt::GattOp::Write(_, bytes) => bytes.len(),
        _ => 0,
    });
    let longest = longest.max().unwrap();
    assert!((200..=256).contains(&longest), "{longest} bytes");
}

#[test]
fn transfer_goes_on_after_the_link_is_lost_at_every_operation() {
    let mut whole = Pair::opened(ours(sec1()));
    let before = whole.ops.len();
    whole.run(send());
    let ops = whole.ops.len() - before;
    assert!(ops > 14, "too few operations to be a test: {ops}");

    for lost in 0..ops {
        for heard in [false, true] {
            let mut pair = Pair::opened(ours(sec1()));
            pair.radio(move |index, _| match index {
                _ if index != lost => Radio::Carry,
                _ if heard => Radio::LoseAnswer(LinkError::NotConnected),
                _ => Radio::Lose(LinkError::NotConnected),
            });
            let first = pair.run(send());
            assert_eq!(first, Report::Failed(Fault::Link(LinkError::NotConnected)));
            pair.relink();
            pair.open().unwrap();
            let written = pair.count(is_write);
            assert_eq!(pair.run(send()), Report::ClaimCommitted);
            assert_eq!(stored(&pair).len(), 1, "lost at {lost}, heard: {heard}");
            // Begin, what was missing, commit: nothing that had arrived goes over again.
            let pieces_left = (ops / 2 - 2).saturating_sub((lost.saturating_sub(1)) / 2);
            assert!(pair.count(is_write) - written <= 2 + pieces_left);
        }
    }
}

#[test]
fn each_kind_of_claim_is_carried_where_it_is_offered() {
    let (registration_id, id_scope) = (|| "SN-1".to_string(), || "0ne000A0A0A".to_string());
    let kinds = [
        ClaimKind::PublicKey {
            registration_id: registration_id(),
            id_scope: Some(id_scope()),
            tenant_token: None,
        },
        ClaimKind::PublicKey {
            registration_id: registration_id(),
            id_scope: None,
            tenant_token: Some(TenantToken::new("eyJtZW5kZXI")),
        },
        ClaimKind::Sas {
            registration_id: registration_id(),
            id_scope: id_scope(),
            token: Token::new("SharedAccessSignature sr=x"),
        },
        ClaimKind::SymmetricKey {
            registration_id: registration_id(),
            id_scope: id_scope(),
            key: Token::new("c2VjcmV0"),
        },
        ClaimKind::Tpm {
            registration_id: registration_id(),
            id_scope: id_scope(),
        },
    ];
    for kind in kinds {
        let claim = Claim {
            kind,
            ca_pem: String::new(),
            ..claim()
        };
        let command = || Command::SendClaim {
            claim: claim.clone(),
            now: NOW,
        };
        let offer = Offer {
            claims: [claim.form()].to_vec(),
            ..offer()
        };
        let mut pair = Pair::opened(DeviceConfig {
            offer: Some(offer),
            ..ours(sec1())
        });
        assert_eq!(pair.run(command()), Report::ClaimCommitted);
        assert_eq!(stored(&pair), [&ClaimBundle::try_from(&claim).unwrap()]);

        let mut other = Pair::opened(ours(sec1()));
        if !offer_has(&claim) {
            assert_eq!(
                other.run(command()),
                Report::Failed(Fault::CredentialsUnsupported)
            );
        }
    }
}

fn offer_has(claim: &Claim) -> bool {
    offer().claims.contains(&claim.form())
}

#[test]
fn refusals_reach_the_caller_as_exact_faults() {
    let mut small = Pair::opened(DeviceConfig {
        buffer: 500,
        ..ours(sec1())
    });
    let need = u32::try_from(ClaimBundle::try_from(&claim()).unwrap().encode().len()).unwrap();
    assert_eq!(
        small.run(send()),
        Report::Failed(Fault::BufferTooSmall { need, has: 500 })
    );

    let mut mismatched = Pair::opened(ours(sec1()));
    mismatched.firmware.refuse = Some(Refusal::KeyMismatch);
    assert_eq!(code(&mismatched.run(send())), "claim-rejected");
    assert!(mismatched.client.session_stands());
    assert_eq!(stored(&mismatched).len(), 0);
    mismatched.firmware.refuse = None;
    assert_eq!(mismatched.run(send()), Report::ClaimCommitted);

    let late = Command::SendClaim {
        claim: claim(),
        now: UnixTime(NOW.0 + 300),
    };
    let mut expired = Pair::opened(ours(sec1()));
    assert_eq!(expired.run(late), Report::Failed(Fault::ClaimExpired));

    let mut plain = Pair::opened(plain(sec1()));
    assert_eq!(plain.run(send()), Report::Failed(Fault::CredentialsUnsupported));
    assert_eq!(
        plain.run(Command::AbortClaim),
        Report::Failed(Fault::CredentialsUnsupported)
    );

    let unusable = Command::SendClaim {
        claim: Claim {
            ca_pem: "x".into(),
            ..claim()
        },
        now: NOW,
    };
    assert_eq!(code(&Pair::opened(ours(sec1())).run(unusable)), "cloud-error");
}

#[test]
fn claim_needs_a_protected_session_unless_the_firmware_says_otherwise() {
    for protection in [
        Protection::Sec0,
        Protection::Sec1 { pop: None },
        Protection::Sec1 {
            pop: Some(crate::secret::Pop::new("")),
        },
    ] {
        let empty_pop = Command::Open {
            pop: Some(crate::secret::Pop::new("")),
            username: None,
            refusals: 0,
        };
        for (claims_unprotected, expected) in
            [(false, "claim-rejected"), (true, "no failure: ClaimCommitted")]
        {
            let mut pair = Pair::new(DeviceConfig {
                claims_unprotected,
                ..ours(protection.clone())
            });
            pair.run(Command::Describe);
            pair.run(empty_pop.clone());
            assert_eq!(code(&pair.run(send())), expected);
        }
    }
}

#[test]
fn abort_wipes_a_stored_claim_also_on_a_later_link() {
    let mut pair = Pair::opened(ours(sec1()));
    pair.run(send());
    pair.relink();
    pair.open().unwrap();
    assert_eq!(pair.run(Command::AbortClaim), Report::ClaimAborted);
    assert_eq!(pair.effects.last(), Some(&Effect::ClaimWiped));
}

fn proof(pair: &mut Pair) -> IdentityProof {
    match pair.run(Command::Identify { challenge: [9; 32] }) {
        Report::Identified(proof) => proof,
        other => panic!("{other:?}"),
    }
}

#[test]
fn proof_of_identity_comes_in_pages_and_is_good_for_its_session_alone() {
    for protection in [sec1(), sec2(Patch::Counter)] {
        let mut pair = Pair::opened(ours(protection));
        let first = proof(&mut pair);
        assert_eq!(first.serial, statement().serial);
        assert_eq!(first.key, statement().key);
        assert_eq!(first.signature, Sha256::digest(&first.message).to_vec());
        assert_eq!(proof(&mut pair).message, first.message);
        assert!(matches!(pair.run(open_with(POP)), Report::Opened { .. }));
        let second = proof(&mut pair);
        assert_ne!(second.message, first.message);
        assert_eq!(second.signature, Sha256::digest(&second.message).to_vec());
    }
}

#[test]
fn proof_of_identity_without_a_session_binds_to_nothing() {
    let mut pair = Pair::opened(ours(Protection::Sec0));
    assert_eq!(proof(&mut pair).message, statement().message(&[9; 32], &[0; 32]));
}

#[test]
fn device_that_cannot_prove_itself_says_so() {
    let identify = || Command::Identify { challenge: [9; 32] };
    let mut dumb = Pair::opened(ours(sec1()));
    dumb.firmware.cannot_sign = true;
    assert_eq!(dumb.run(identify()), Report::Failed(Fault::IdentityMissing));
    assert_eq!(
        Pair::opened(plain(sec1())).run(identify()),
        Report::Failed(Fault::IdentityMissing)
    );
}

#[test]
fn device_blinks() {
    let mut pair = Pair::opened(ours(sec2(Patch::Counter)));
    assert_eq!(pair.run(Command::Blink), Report::Blinked);
    assert_eq!(pair.effects, [Effect::Blink]);
}
