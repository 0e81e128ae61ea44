//! Proofs of identity as messages. Not here: whose key is trusted.

use super::*;
use alloc::vec;
use proptest::prelude::*;

const CHALLENGE: [u8; 32] = [0xc4; 32];
const BINDING: [u8; 32] = [0xb1; 32];

fn statement() -> Statement {
    Statement {
        serial: Serial::new("SN-1").unwrap(),
        model: "lamp".into(),
        firmware: Firmware("1.2.3".into()),
        scheme: SignatureScheme::Ed25519,
        key: DeviceKey::Spki(vec![0x30, 0x00]),
        endorsement_key: None,
    }
}

/// Carries an answer over in pages of `size`.
fn carry(answer: &[u8], size: usize) -> Result<IdentityProof, WireError> {
    let mut collector = Collector::new(CHALLENGE);
    loop {
        let offset = match Request::decode(&collector.request().encode())? {
            Request::Prove { challenge } => {
                assert_eq!(challenge, CHALLENGE);
                0
            }
            Request::More { offset } => offset,
        };
        let page = page(answer, offset, size).ok_or(Refusal::Malformed);
        let page = decode_response(&response(&page))?.unwrap();
        if let Some(proof) = collector.take(&page, &BINDING)? {
            return Ok(proof);
        }
    }
}

#[test]
fn message_has_every_part_behind_its_length() {
    let expected = [
        b"fieldkey-identity-v1".as_slice(),
        &CHALLENGE,
        &BINDING,
        b"\x00\x04SN-1",
        b"\x00\x04lamp",
        b"\x00\x051.2.3",
        &[2],
        &Sha256::digest([0x30, 0x00]),
    ]
    .concat();
    assert_eq!(statement().message(&CHALLENGE, &BINDING), expected);
}

#[test]
fn texts_that_touch_do_not_run_into_each_other() {
    let moved = Statement {
        model: "lamp1".into(),
        firmware: Firmware(".2.3".into()),
        ..statement()
    };
    assert_ne!(
        moved.message(&CHALLENGE, &BINDING),
        statement().message(&CHALLENGE, &BINDING)
    );
}

#[test]
fn an_endorsement_key_is_signed_for_and_comes_over() {
    let plain = statement();
    let with_tpm = Statement {
        endorsement_key: Some(vec![0x01, 0x3a, 0x00]),
        ..statement()
    };
    let expected = [
        plain.message(&CHALLENGE, &BINDING),
        Sha256::digest([0x01, 0x3a, 0x00]).to_vec(),
    ]
    .concat();
    let proof = carry(&with_tpm.answer(&[9; 64]), 200).unwrap();
    assert_eq!(proof.message, expected);
    assert_eq!(proof.endorsement_key, with_tpm.endorsement_key);
    let proof = carry(&plain.answer(&[9; 64]), 200).unwrap();
    assert_eq!(proof.endorsement_key, None);
}

#[test]
fn answer_comes_over_in_pages_of_any_size() {
    let chain = Statement {
        key: DeviceKey::Chain(vec![vec![1; 700], vec![2; 600]]),
        scheme: SignatureScheme::EcdsaP256Sha256,
        ..statement()
    };
    let answer = chain.answer(&[9; 70]);
    for size in [1, 199, 200, answer.len() - 1, answer.len(), 4096] {
        let proof = carry(&answer, size).unwrap();
        assert_eq!(proof.key, chain.key);
        assert_eq!(proof.message, chain.message(&CHALLENGE, &BINDING));
        assert_eq!(proof.signature, [9; 70]);
    }
}

#[test]
fn answer_without_one_of_its_parts_is_refused() {
    let good = raw::Answer::decode(statement().answer(&[1]).as_slice()).unwrap();
    let spoil = |change: fn(&mut raw::Answer)| {
        let mut answer = good.clone();
        change(&mut answer);
        decode_answer(&answer.encode_to_vec(), &CHALLENGE, &BINDING).unwrap_err()
    };
    let missing = |field| WireError::Missing {
        message: ANSWER,
        field,
    };
    assert_eq!(
        spoil(|answer| answer.serial.clear()),
        missing("proper serial number")
    );
    assert_eq!(
        spoil(|answer| answer.serial = "a b".into()),
        missing("proper serial number")
    );
    assert_eq!(spoil(|answer| answer.signature.clear()), missing("signature"));
    assert_eq!(
        spoil(|answer| answer.spki.clear()),
        missing("key, or has it twice")
    );
    assert_eq!(
        spoil(|answer| answer.chain.push(vec![1])),
        missing("key, or has it twice")
    );
    assert_eq!(
        spoil(|answer| answer.scheme = 0),
        WireError::Unknown {
            field: "signature scheme",
            value: 0
        }
    );
    assert_eq!(
        spoil(|answer| answer.model = "m".repeat(65)),
        WireError::Length {
            field: "model name",
            min: 0,
            max: 64,
            got: 65
        }
    );
    assert_eq!(
        decode_answer(&[], &CHALLENGE, &BINDING),
        Err(WireError::Empty { message: ANSWER })
    );
}

#[test]
fn pages_that_do_not_follow_are_refused() {
    let take = |total, offset, length| {
        let page = Page {
            total,
            offset,
            data: vec![0; length],
        };
        Collector::new(CHALLENGE).take(&page, &BINDING)
    };
    let malformed = Err(WireError::Malformed { message: ANSWER });
    assert_eq!(take(100, 1, 10), malformed);
    assert_eq!(take(100, 0, 101), malformed);
    assert_eq!(take(ANSWER_MAX + 1, 0, 10), malformed);
    assert_eq!(take(100, 0, 10), Ok(None));
    assert_eq!(page(&[1, 2], 2, 200), None);
    assert_eq!(page(&[1, 2], 3, 200), None);
}

#[test]
fn only_an_explicit_status_with_a_page_is_success() {
    let missing = Err(WireError::Missing {
        message: RESPONSE,
        field: "page",
    });
    assert_eq!(decode_response(&[]), Err(WireError::Empty { message: RESPONSE }));
    assert_eq!(decode_response(&[0x08, 0x00]), Ok(Err(Refusal::Other(0))));
    assert_eq!(decode_response(&[0x08, 0x01]), missing);
    assert_eq!(decode_response(&[0x08, 0x01, 0x52, 0x00]), missing);
    for refusal in [
        Refusal::Malformed,
        Refusal::NothingPending,
        Refusal::CannotSign,
        Refusal::Other(9),
    ] {
        assert_eq!(decode_response(&response(&Err(refusal))), Ok(Err(refusal)));
    }
}

#[test]
fn challenge_of_another_length_is_refused() {
    for got in [0, 31, 33] {
        let bytes = raw::Request {
            body: Some(raw::RequestBody::Prove(raw::Prove {
                challenge: vec![0; got],
            })),
        }
        .encode_to_vec();
        assert_eq!(
            Request::decode(&bytes),
            Err(WireError::Length {
                field: "challenge",
                min: 32,
                max: 32,
                got
            })
        );
    }
}

proptest! {
    #[test]
    fn any_statement_survives_the_wire(
        serial in "[A-Za-z0-9_:-]{1,64}", model in "[ -~]{0,64}", firmware in "[ -~]{0,64}",
        chain in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..4),
        signature in prop::collection::vec(any::<u8>(), 1..80), size in 1usize..500,
        endorsement_key in prop::option::of(prop::collection::vec(any::<u8>(), 1..400)),
    ) {
        let statement = Statement {
            serial: Serial::new(serial).unwrap(),
            model,
            firmware: Firmware(firmware),
            scheme: SignatureScheme::EcdsaP256Sha256,
            key: DeviceKey::Chain(chain),
            endorsement_key,
        };
        let proof = carry(&statement.answer(&signature), size).unwrap();
        prop_assert_eq!(&proof.message, &statement.message(&CHALLENGE, &BINDING));
        prop_assert_eq!(proof.signature, signature);
        prop_assert_eq!(proof.key, statement.key);
        prop_assert_eq!(proof.endorsement_key, statement.endorsement_key);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
        let _ = Request::decode(&bytes);
        let _ = decode_response(&bytes);
        let _ = decode_answer(&bytes, &CHALLENGE, &BINDING);
    }
}
