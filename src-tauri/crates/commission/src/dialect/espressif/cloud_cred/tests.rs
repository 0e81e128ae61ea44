//! The two halves of the endpoint that takes a claim, against each other. Not here: the session around them.

use super::*;
use crate::claim::{Claim, ClaimId, ClaimKind, CleanupHandle, Endpoint, Scope};
use crate::fault::Fault;
use crate::secret::{PrivateKeyPem, TenantToken, Token};
use crate::time::Moment;
use alloc::string::{String, ToString};
use alloc::vec;
use base64::Engine as _;
use core::time::Duration;
use proptest::prelude::*;

const NOW: UnixTime = UnixTime(1_800_000_000);

fn pem(kind: &str, der: &[u8]) -> String {
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    alloc::format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n")
}

fn claim() -> Claim {
    Claim {
        id: ClaimId("claim-1".into()),
        kind: ClaimKind::Certificate {
            chain_pem: pem("CERTIFICATE", &[1; 700]) + &pem("CERTIFICATE", &[2; 30]),
            key: PrivateKeyPem::new(pem("EC PARAMETERS", &[9]) + &pem("EC PRIVATE KEY", &[3; 121])),
        },
        endpoint: Endpoint {
            host: "cloud.test".into(),
            port: 8883,
        },
        ca_pem: pem("CERTIFICATE", &[4; 400]),
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

fn bundle() -> ClaimBundle {
    ClaimBundle::try_from(&claim()).unwrap()
}

fn receiver() -> Receiver {
    Receiver::new(BUFFER, CHUNK, vec![ClaimForm::Certificate])
}

/// One exchange over the wire's own bytes.
fn exchange(sender: &mut Sender, receiver: &mut Receiver) -> (Result<Progress, Fault>, Option<Change>) {
    let request = Request::decode(sender.request().encode().reveal()).unwrap();
    let (outcome, change) = receiver.handle(&request, Moment::default(), &mut |_| Ok(()));
    let answer = decode_response(&response(&outcome)).unwrap();
    (sender.handle(answer), change)
}

fn stored(sender: &mut Sender, receiver: &mut Receiver) -> Result<ClaimBundle, Fault> {
    let mut kept = None;
    loop {
        let (progress, change) = exchange(sender, receiver);
        if let Some(Change::Stored { bundle, now }) = change {
            assert_eq!(now, NOW);
            kept = Some(*bundle);
        }
        if progress? == Progress::Committed {
            return Ok(kept.unwrap());
        }
    }
}

#[test]
fn claim_becomes_a_bundle_with_der_and_its_own_end() {
    let bundle = bundle();
    assert_eq!(
        bundle.credential,
        Credential::Certificate {
            chain: vec![vec![1; 700], vec![2; 30]],
            key: Some(SecretBytes::new(vec![3; 121])),
        }
    );
    assert_eq!(bundle.ca, [[4; 400]]);
    assert_eq!(bundle.expires_at, UnixTime(NOW.0 + 300));
}

#[test]
fn claim_that_no_device_could_use_is_not_sent() {
    let with = |chain: &str, key: &str, ca: &str| {
        ClaimBundle::try_from(&Claim {
            kind: ClaimKind::Certificate {
                chain_pem: chain.into(),
                key: PrivateKeyPem::new(key),
            },
            ca_pem: ca.into(),
            ..claim()
        })
        .map(|bundle| bundle.credential)
    };
    let (chain, key) = (pem("CERTIFICATE", &[1]), pem("PRIVATE KEY", &[2]));
    assert_eq!(with("", &key, ""), Err(BundleError::Chain(PemError::NoBlock)));
    assert_eq!(with(&chain, "key", ""), Err(BundleError::Key(PemError::NoBlock)));
    assert_eq!(with(&chain, &key, "ca"), Err(BundleError::Ca(PemError::NoBlock)));
    assert_eq!(
        with(&chain, "", ""),
        Ok(Credential::Certificate {
            chain: vec![vec![1]],
            key: None
        })
    );
}

#[test]
fn whole_claim_arrives_as_it_was_sent() {
    let mut sender = Sender::new(&bundle(), false, NOW);
    assert_eq!(stored(&mut sender, &mut receiver()), Ok(bundle()));
}

#[test]
fn transfer_goes_on_after_a_drop_at_every_request_and_every_answer() {
    let mut sender = Sender::new(&bundle(), false, NOW);
    let mut steps = 1;
    while exchange(&mut sender, &mut receiver_at(steps - 1, false)).0 != Ok(Progress::Committed) {
        steps += 1;
    }
    assert!(steps > 7, "too few steps to be a test: {steps}");

    for step in 0..steps {
        for answer_lost in [false, true] {
            let mut receiver = receiver_at(step, answer_lost);
            let mut fresh = Sender::new(&bundle(), false, NOW);
            let (first, _) = exchange(&mut fresh, &mut receiver);
            let Ok(Progress::Sent(resumed)) = first else {
                panic!("{first:?}")
            };
            let held = (step + usize::from(answer_lost)).saturating_sub(1) * 200;
            let total = usize::try_from(fresh.total()).unwrap();
            assert_eq!(resumed as usize, held.min(total), "at step {step}");
            // The claim is stored once, on whichever side of the drop the commit ran.
            while let Ok(Progress::Sent(_)) = exchange(&mut fresh, &mut receiver).0 {}
            let (again, change) = exchange(&mut fresh, &mut receiver);
            assert_eq!((again, change), (Ok(Progress::Committed), None));
        }
    }
}

/// A receiver that heard `steps` requests of the test's claim, and one more whose answer was lost.
fn receiver_at(steps: usize, answer_lost: bool) -> Receiver {
    let mut receiver = receiver();
    let mut sender = Sender::new(&bundle(), false, NOW);
    for _ in 0..steps {
        exchange(&mut sender, &mut receiver).0.unwrap();
    }
    if answer_lost {
        let _ = receiver.handle(&sender.request(), Moment::default(), &mut |_| Ok(()));
    }
    receiver
}

#[test]
fn piece_size_follows_device_and_announcement() {
    let largest = |max_chunk, large| {
        let mut receiver = Receiver::new(BUFFER, max_chunk, vec![ClaimForm::Certificate]);
        let mut sender = Sender::new(&bundle(), large, NOW);
        exchange(&mut sender, &mut receiver).0.unwrap();
        match sender.request() {
            Request::Chunk { data, .. } => data.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(largest(400, true), 400);
    assert_eq!(largest(400, false), 200);
    assert_eq!(largest(64, true), 64);
    assert_eq!(largest(4000, true), 400);
}

#[test]
fn largest_requests_fit_the_limits_that_they_are_meant_for() {
    for (size, limit) in [(200, 240), (400, 481 - 16)] {
        let bytes = Request::Chunk {
            transfer: [7; 8],
            offset: BUFFER,
            data: SecretBytes::new(vec![0; size]),
        }
        .encode();
        assert!(bytes.len() <= limit, "{} bytes", bytes.len());
    }
}

#[test]
fn every_refusal_becomes_its_fault() {
    let fault = |refusal| {
        Sender::new(&bundle(), false, NOW)
            .handle(Err(refusal))
            .unwrap_err()
    };
    let need = Sender::new(&bundle(), false, NOW).total();
    assert_eq!(
        fault(Refusal::BufferTooSmall { has: 1000 }),
        Fault::BufferTooSmall { need, has: 1000 }
    );
    assert_eq!(fault(Refusal::Unsupported), Fault::CredentialsUnsupported);
    assert_eq!(fault(Refusal::Expired), Fault::ClaimExpired);
    assert_eq!(fault(Refusal::KeyMismatch).code(), "claim-rejected");
    assert_eq!(fault(Refusal::Other(0)).code(), "claim-rejected");
}

#[test]
fn device_that_answers_nonsense_is_given_up() {
    let sender = || Sender::new(&bundle(), false, NOW);
    let begun = |next, max_chunk| {
        Ok(Answer::Begun {
            next,
            max_chunk,
            buffer: BUFFER,
        })
    };
    assert_eq!(sender().handle(begun(0, 0)).unwrap_err().code(), "protocol");
    assert_eq!(
        sender().handle(begun(999_999, 200)).unwrap_err().code(),
        "protocol"
    );
    assert_eq!(
        sender().handle(Ok(Answer::Committed)).unwrap_err().code(),
        "protocol"
    );

    let mut stuck = sender();
    stuck.handle(begun(0, 200)).unwrap();
    assert_eq!(
        stuck.handle(Ok(Answer::Taken { next: 0 })).unwrap_err().code(),
        "protocol"
    );

    let mut forgetful = sender();
    forgetful.handle(begun(0, 200)).unwrap();
    for _ in 0..3 {
        assert_eq!(
            forgetful.handle(Err(Refusal::WrongOffset { next: 0 })),
            Ok(Progress::Sent(0))
        );
    }
    assert_eq!(
        forgetful
            .handle(Err(Refusal::WrongOffset { next: 0 }))
            .unwrap_err()
            .code(),
        "protocol"
    );
}

#[test]
fn transfer_that_the_device_forgot_begins_anew() {
    let mut receiver_before = receiver();
    let mut sender = Sender::new(&bundle(), false, NOW);
    exchange(&mut sender, &mut receiver_before).0.unwrap();
    exchange(&mut sender, &mut receiver_before).0.unwrap();
    assert_eq!(stored(&mut sender, &mut receiver()), Ok(bundle()));
}

fn begin_of(bytes: &SecretBytes) -> Request {
    use sha2::Digest as _;
    Request::Begin {
        transfer: [1; 8],
        form: ClaimForm::Certificate,
        total: bytes.len().try_into().unwrap(),
        sha256: sha2::Sha256::digest(bytes.reveal()).into(),
    }
}

fn chunk(offset: u32, data: &[u8]) -> Request {
    Request::Chunk {
        transfer: [1; 8],
        offset,
        data: SecretBytes::new(data.to_vec()),
    }
}

const COMMIT: Request = Request::Commit {
    transfer: [1; 8],
    now: NOW,
};

#[test]
fn receiver_keeps_its_bounds_whatever_is_asked() {
    let mut receiver = Receiver::new(1000, 200, vec![ClaimForm::Certificate]);
    let mut ask = |request: Request| receiver.handle(&request, Moment::default(), &mut |_| Ok(())).0;
    let bytes = SecretBytes::new(vec![5; 500]);
    assert_eq!(ask(chunk(0, &[1])), Err(Refusal::UnknownTransfer));
    assert_eq!(ask(COMMIT), Err(Refusal::UnknownTransfer));
    assert_eq!(
        ask(begin_of(&SecretBytes::new(vec![5; 1001]))),
        Err(Refusal::BufferTooSmall { has: 1000 })
    );
    assert_eq!(ask(begin_of(&SecretBytes::new(vec![]))), Err(Refusal::Malformed));
    assert!(ask(begin_of(&bytes)).is_ok());
    assert_eq!(ask(chunk(0, &[])), Err(Refusal::Malformed));
    assert_eq!(ask(chunk(0, &[5; 201])), Err(Refusal::Malformed));
    assert_eq!(ask(chunk(400, &[5; 101])), Err(Refusal::Malformed));
    assert_eq!(ask(chunk(u32::MAX, &[5; 2])), Err(Refusal::Malformed));
    assert_eq!(ask(chunk(1, &[5; 10])), Err(Refusal::WrongOffset { next: 0 }));
    assert_eq!(ask(chunk(0, &[5; 200])), Ok(Answer::Taken { next: 200 }));
    assert_eq!(ask(chunk(0, &[5; 200])), Ok(Answer::Taken { next: 200 }));
    assert_eq!(ask(chunk(50, &[5; 100])), Ok(Answer::Taken { next: 200 }));
    assert_eq!(
        ask(chunk(100, &[5; 200])),
        Err(Refusal::WrongOffset { next: 200 })
    );
    assert_eq!(ask(COMMIT), Err(Refusal::Incomplete { next: 200 }));
    assert_eq!(ask(chunk(200, &[5; 200])), Ok(Answer::Taken { next: 400 }));
    assert_eq!(ask(chunk(400, &[5; 100])), Ok(Answer::Taken { next: 500 }));
    assert_eq!(ask(COMMIT), Err(Refusal::Unreadable));
    assert_eq!(ask(COMMIT), Err(Refusal::UnknownTransfer));
    let Request::Begin { total, sha256, .. } = begin_of(&bytes) else {
        panic!()
    };
    let sas = Request::Begin {
        transfer: [1; 8],
        form: ClaimForm::Sas,
        total,
        sha256,
    };
    assert_eq!(ask(sas), Err(Refusal::Unsupported));
}

/// Brings `bytes` to a receiver and commits.
fn commit_of(
    bytes: &SecretBytes,
    announced: &Request,
    now: UnixTime,
    check: Result<(), Refusal>,
) -> (Result<Answer, Refusal>, Option<Change>) {
    let mut receiver = receiver();
    let mut ask = |request: &Request| receiver.handle(request, Moment::default(), &mut |_| check);
    ask(announced).0.unwrap();
    for (index, data) in bytes.reveal().chunks(200).enumerate() {
        ask(&chunk((index * 200).try_into().unwrap(), data)).0.unwrap();
    }
    ask(&Request::Commit {
        transfer: [1; 8],
        now,
    })
}

#[test]
fn commit_answers_with_the_exact_reason() {
    let good = bundle().encode();
    let refused = |bytes: &SecretBytes, announced: &Request, now, check| {
        let (outcome, change) = commit_of(bytes, announced, now, check);
        assert_eq!(change, None);
        outcome.unwrap_err()
    };
    let mut damaged = good.reveal().to_vec();
    damaged[10] ^= 1;
    assert_eq!(
        refused(&SecretBytes::new(damaged), &begin_of(&good), NOW, Ok(())),
        Refusal::HashMismatch
    );
    assert_eq!(
        refused(&good, &begin_of(&good), UnixTime(NOW.0 + 300), Ok(())),
        Refusal::Expired
    );
    assert_eq!(
        refused(&good, &begin_of(&good), NOW, Err(Refusal::KeyMismatch)),
        Refusal::KeyMismatch
    );
    let other = ClaimBundle {
        credential: Credential::Sas {
            registration_id: "sn-1".into(),
            id_scope: "0ne".into(),
            token: Token::new("t"),
        },
        ..bundle()
    }
    .encode();
    assert_eq!(
        refused(&other, &begin_of(&other), NOW, Ok(())),
        Refusal::Unreadable
    );
    assert!(commit_of(&good, &begin_of(&good), NOW, Ok(())).0.is_ok());
}

#[test]
fn abort_and_five_minutes_of_silence_wipe_what_came() {
    let mut receiver = receiver();
    let mut ask = |request: &Request, at| {
        receiver.handle(request, Moment::new(Duration::from_secs(at)), &mut |_| Ok(()))
    };
    let bytes = SecretBytes::new(vec![5; 300]);
    ask(&begin_of(&bytes), 0).0.unwrap();
    ask(&chunk(0, &[5; 200]), 0).0.unwrap();
    assert_eq!(
        ask(&Request::Abort, 1),
        (Ok(Answer::Aborted), Some(Change::Wiped))
    );
    assert_eq!(ask(&chunk(200, &[5; 100]), 1).0, Err(Refusal::UnknownTransfer));
    ask(&begin_of(&bytes), 2).0.unwrap();
    ask(&chunk(0, &[5; 200]), 2).0.unwrap();
    assert_eq!(ask(&chunk(200, &[5; 50]), 302).0, Ok(Answer::Taken { next: 250 }));
    assert_eq!(ask(&chunk(250, &[5; 50]), 603).0, Err(Refusal::UnknownTransfer));
}

#[test]
fn only_an_explicit_status_with_its_answer_is_success() {
    let missing = Err(WireError::Missing {
        message: RESPONSE,
        field: "answer",
    });
    assert_eq!(decode_response(&[]), Err(WireError::Empty { message: RESPONSE }));
    assert_eq!(decode_response(&[0x08, 0x00]), Ok(Err(Refusal::Other(0))));
    assert_eq!(decode_response(&[0x62, 0x00]), Ok(Err(Refusal::Other(0))));
    assert_eq!(decode_response(&[0x08, 0x01]), missing);
    assert_eq!(
        decode_response(&[0x08, 0x01, 0x62, 0x00]),
        Ok(Ok(Answer::Committed))
    );
    assert_eq!(
        decode_response(&[0x08, 0x01, 0x62]),
        Err(WireError::Malformed { message: RESPONSE })
    );
    for code in 2..20 {
        let refusal = Refusal::check(code, 7).unwrap_err();
        assert_eq!(decode_response(&response(&Err(refusal))), Ok(Err(refusal)));
        assert_eq!(refusal.code().0, code);
    }
}

#[test]
fn names_and_hashes_of_a_wrong_length_are_refused() {
    let decode = |body| Request::decode(&raw::Request { body: Some(body) }.encode_to_vec()).unwrap_err();
    let length = |field, size, got| WireError::Length {
        field,
        min: size,
        max: size,
        got,
    };
    let begin = |transfer: usize, sha256: usize, kind| {
        raw::RequestBody::Begin(raw::Begin {
            transfer: vec![0; transfer],
            kind,
            total: 1,
            sha256: vec![0; sha256],
        })
    };
    assert_eq!(decode(begin(7, 32, 1)), length("transfer id", 8, 7));
    assert_eq!(decode(begin(9, 32, 1)), length("transfer id", 8, 9));
    assert_eq!(decode(begin(8, 31, 1)), length("hash", 32, 31));
    assert_eq!(
        decode(begin(8, 32, 6)),
        WireError::Unknown {
            field: "kind of claim",
            value: 6
        }
    );
    assert_eq!(
        Request::decode(&[0x08, 0x01]),
        Err(WireError::Missing {
            message: REQUEST,
            field: "body"
        })
    );
}

#[test]
fn debug_of_all_this_shows_no_key() {
    let text = alloc::format!(
        "{:?} {:?}",
        bundle(),
        Sender::new(&bundle(), false, NOW).request()
    );
    assert!(!text.contains("3, 3, 3"), "{text}");
}

#[test]
fn a_claim_without_what_its_kind_needs_is_no_claim() {
    let (registration_id, id_scope) = (|| "sn-1".to_string(), || "0ne".to_string());
    let token = || Token::new("t");
    let refused = |credential| {
        let bundle = ClaimBundle {
            credential,
            ..bundle()
        };
        ClaimBundle::decode(bundle.encode().reveal()).is_err()
    };
    let nameless = String::new;
    for credential in [
        Credential::PublicKey {
            registration_id: nameless(),
            id_scope: Some(id_scope()),
            tenant_token: None,
        },
        Credential::Sas {
            registration_id: nameless(),
            id_scope: id_scope(),
            token: token(),
        },
        Credential::Sas {
            registration_id: registration_id(),
            id_scope: nameless(),
            token: token(),
        },
        Credential::SymmetricKey {
            registration_id: registration_id(),
            id_scope: id_scope(),
            key: Token::new(""),
        },
        Credential::SymmetricKey {
            registration_id: registration_id(),
            id_scope: nameless(),
            key: token(),
        },
        Credential::Tpm {
            registration_id: registration_id(),
            id_scope: nameless(),
        },
    ] {
        assert!(refused(credential.clone()), "{credential:?}");
    }
    let enough = Credential::PublicKey {
        registration_id: registration_id(),
        id_scope: None,
        tenant_token: None,
    };
    assert!(!refused(enough));
}

fn credential() -> impl Strategy<Value = Credential> {
    let bytes = || prop::collection::vec(any::<u8>(), 1..200);
    let name = || "[ -~]{1,64}";
    prop_oneof![
        (prop::collection::vec(bytes(), 1..4), prop::option::of(bytes())).prop_map(|(chain, key)| {
            Credential::Certificate {
                chain,
                key: key.map(SecretBytes::new),
            }
        }),
        (name(), prop::option::of(name()), prop::option::of("[ -~]{1,300}")).prop_map(
            |(registration_id, id_scope, tenant_token)| Credential::PublicKey {
                registration_id,
                id_scope,
                tenant_token: tenant_token.map(TenantToken::new),
            }
        ),
        (name(), name()).prop_map(|(registration_id, id_scope)| Credential::Tpm {
            registration_id,
            id_scope
        }),
        (name(), name(), "[ -~]{1,300}").prop_map(|(registration_id, id_scope, token)| Credential::Sas {
            registration_id,
            id_scope,
            token: Token::new(token)
        }),
        (name(), name(), name()).prop_map(|(registration_id, id_scope, key)| Credential::SymmetricKey {
            registration_id,
            id_scope,
            key: Token::new(key)
        }),
    ]
}

proptest! {
    #[test]
    fn any_claim_survives_the_transfer(
        credential in credential(), host in "[a-z.]{1,60}", port: u16, template in "[ -~]{0,60}",
        parameters in prop::collection::btree_map("[ -~]{0,20}", "[ -~]{0,40}", 0..5),
        ca in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..3),
        max_chunk in 1u32..500, large: bool,
    ) {
        let bundle = ClaimBundle {
            id: "claim".into(), credential, host, port, ca, template, parameters,
            issued_at: NOW, expires_at: UnixTime(NOW.0 + 300),
        };
        prop_assert_eq!(ClaimBundle::decode(bundle.encode().reveal()), Ok(bundle.clone()));
        let mut receiver = Receiver::new(BUFFER, max_chunk, vec![bundle.credential.form()]);
        let arrived = stored(&mut Sender::new(&bundle, large, NOW), &mut receiver);
        prop_assert_eq!(arrived, Ok(bundle));
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
        let _ = Request::decode(&bytes);
        let _ = decode_response(&bytes);
        let _ = ClaimBundle::decode(&bytes);
    }
}
