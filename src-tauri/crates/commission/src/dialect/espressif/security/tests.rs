//! Whole handshakes, both ends in one process, and the vectors of scheme 1.

use super::*;
use crate::dialect::espressif::wire::session::{Message, Sec0, Sec1, Sec2};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use proptest::prelude::*;

static_assertions::assert_not_impl_any!(Session: Clone);
static_assertions::assert_not_impl_any!(sec1::ExpectResponse0: fmt::Debug, Clone);
static_assertions::assert_not_impl_any!(sec1::ExpectResponse1: fmt::Debug, Clone);
static_assertions::assert_not_impl_any!(sec2::ExpectResponse0: fmt::Debug, Clone);
static_assertions::assert_not_impl_any!(sec2::ExpectResponse1: fmt::Debug, Clone);

const SALT: &str = "036ee0c7bcb9eda84c9eac97d93decf4";
const RANDOM: &str = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf";

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn pop(text: &str) -> Option<Pop> {
    Some(Pop::new(text))
}

/// Gives these bytes out in order, and fails the test when they run out.
fn given(all: impl IntoIterator<Item = u8>) -> impl FnMut(&mut [u8]) {
    let mut all: Vec<u8> = all.into_iter().collect();
    move |out: &mut [u8]| {
        let rest = all.split_off(out.len());
        out.copy_from_slice(&all);
        all = rest;
    }
}

/// Unlike bytes each time, the same in each run.
fn counting() -> impl FnMut(&mut [u8]) {
    let mut next = 0_u32;
    move |out: &mut [u8]| {
        for byte in out {
            next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = next.to_be_bytes()[0];
        }
    }
}

fn sec2_credentials(password: &str, patch: Patch) -> sec2::Credentials {
    sec2::Credentials {
        username: "wifiprov".into(),
        password: Pop::new(password),
        patch,
        rule: srp::XRule::Rfc,
    }
}

fn sec2_device(password: &str, patch: Patch, rule: srp::XRule) -> Responder {
    let verifier = sec2::Verifier::generate("wifiprov", &Pop::new(password), &bytes(SALT), rule);
    Responder::new(Protection::Sec2 { verifier, patch })
}

/// Carries a handshake through; an error is the side's that made it.
fn connect(credentials: Credentials, device: &mut Responder) -> Result<Session, HandshakeError> {
    let mut entropy = counting();
    let (mut handshake, mut command) = Handshake::start(credentials, &mut entropy);
    loop {
        let response = device.handle(&command, &mut entropy)?;
        match handshake.response(&response)? {
            Step::Send(next, bytes) => (handshake, command) = (next, bytes),
            Step::Done(session) => return Ok(session),
        }
    }
}

fn exchange(client: &mut Session, device: &mut Responder) -> Result<(), SessionError> {
    let device = device.session().expect("the device has a session");
    let request = client.seal(b"request")?;
    assert_eq!(device.open(&request)?.reveal(), b"request");
    let response = device.seal(b"and response")?;
    assert_eq!(client.open(&response)?.reveal(), b"and response");
    Ok(())
}

// Scheme 0

#[test]
fn scheme_0_greets_and_sends_plain() {
    let mut device = Responder::new(Protection::Sec0);
    assert!(
        device.session().is_some(),
        "requests are taken without the greeting"
    );
    let mut client = connect(Credentials::Sec0, &mut device).unwrap();
    assert_eq!(client.seal(b"\x52\x00"), Ok(vec![0x52, 0]));
    assert_eq!(exchange(&mut client, &mut device), Ok(()));
    assert_eq!(
        (client.scheme(), client.patch(), client.overhead()),
        (Scheme::Sec0, None, 0)
    );
}

// Scheme 1

const COMMAND0: &str = "10015a25a201220a2007a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c";
const RESPONSE0: &str = "10015a390801aa013412205869aff450549732cbaaed5e5df9b30a6da31cb0e5742bad5ad4a1a768f1a67b\
                         1a10a0a1a2a3a4a5a6a7a8a9aaabacadaeaf";
const COMMAND1: &str =
    "10015a270802b201221220527d5d0604ab390e387edfb2edd69291a9f5d3bc2486b9bfaf469157071f4eee";
const RESPONSE1: &str =
    "10015a270803ba01221a202269f29d63597181e5a9ccb15dc0acde206674f74dbc91b1a0ad13a412d8403d";

#[test]
fn scheme_1_is_the_vectors_on_both_sides() {
    let (client, command0) = sec1::start(pop("abcd1234"), &mut given(0x01..=0x20));
    assert_eq!(hex::encode(&command0), COMMAND0);

    let mut device = Responder::new(Protection::Sec1 { pop: pop("abcd1234") });
    let mut entropy = given((0x21..=0x40).chain(bytes(RANDOM)));
    let response0 = device.handle(&command0, &mut entropy).unwrap();
    assert_eq!(hex::encode(&response0), RESPONSE0);

    let (client, command1) = client.response0(&response0).unwrap();
    assert_eq!(hex::encode(&command1), COMMAND1);

    let response1 = device.handle(&command1, &mut entropy).unwrap();
    assert_eq!(hex::encode(&response1), RESPONSE1);

    let mut client = client.response1(&response1).unwrap();
    let device = device.session().unwrap();
    assert_eq!(hex::encode(client.seal(&bytes("5200")).unwrap()), "51c4");
    assert_eq!(device.open(&bytes("51c4")).unwrap().reveal(), bytes("5200"));
    assert_eq!(
        hex::encode(device.seal(&bytes("08015a021001")).unwrap()),
        "ac48196642f9"
    );
    assert_eq!(
        client.open(&bytes("ac48196642f9")).unwrap().reveal(),
        bytes("08015a021001")
    );
    assert_eq!(
        (client.scheme(), client.patch(), client.overhead()),
        (Scheme::Sec1, None, 0)
    );
}

#[test]
fn scheme_1_works_without_a_proof_of_possession() {
    // An empty one counts as none, on either side.
    for (ours, theirs) in [(None, None), (pop(""), None), (None, pop("")), (pop(""), pop(""))] {
        let mut device = Responder::new(Protection::Sec1 { pop: theirs });
        let mut client = connect(Credentials::Sec1 { pop: ours }, &mut device).unwrap();
        assert_eq!(exchange(&mut client, &mut device), Ok(()));
    }
}

#[test]
fn a_device_without_a_proof_of_possession_refuses_one() {
    let mut device = Responder::new(Protection::Sec1 { pop: None });
    let outcome = connect(Credentials::Sec1 { pop: pop("abcd1234") }, &mut device);
    assert_eq!(outcome.map(|_| ()), Err(HandshakeError::WrongProof));
}

#[test]
fn a_wrong_proof_of_possession_can_be_corrected_on_the_same_device() {
    let mut device = Responder::new(Protection::Sec1 { pop: pop("abcd1234") });
    let wrong = connect(Credentials::Sec1 { pop: pop("abcd1235") }, &mut device);
    assert_eq!(wrong.map(|_| ()), Err(HandshakeError::WrongProof));
    assert!(device.session().is_none());
    let mut client = connect(Credentials::Sec1 { pop: pop("abcd1234") }, &mut device).unwrap();
    assert_eq!(exchange(&mut client, &mut device), Ok(()));
}

#[test]
fn the_client_refuses_a_device_that_does_not_show_the_key() {
    let (client, _) = sec1::start(pop("abcd1234"), &mut given(0x01..=0x20));
    let (client, _) = client.response0(&bytes(RESPONSE0)).unwrap();
    let mut forged = bytes(RESPONSE1);
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(
        client.response1(&forged).map(|_| ()),
        Err(HandshakeError::WrongProof)
    );
}

#[test]
fn public_keys_that_give_no_secret_are_refused() {
    let zero = vec![0; 32];
    let (client, _) = sec1::start(None, &mut given(0x01..=0x20));
    let response = Message::Sec1(Sec1::Response0 {
        device_pubkey: zero.clone(),
        device_random: vec![0; 16],
    });
    assert_eq!(
        client.response0(&response.encode()).map(|_| ()),
        Err(HandshakeError::WeakPublicValue)
    );
    let mut device = Responder::new(Protection::Sec1 { pop: None });
    let command = Message::Sec1(Sec1::Command0 { client_pubkey: zero });
    assert_eq!(
        device.handle(&command.encode(), &mut counting()),
        Err(HandshakeError::WeakPublicValue)
    );
}

#[test]
fn scheme_1_sizes_are_exact() {
    let wrong = |field, len: usize, got| {
        Some(HandshakeError::Wire(WireError::Length {
            field,
            min: len,
            max: len,
            got,
        }))
    };
    for off in [31, 33] {
        let response = |key: usize, random: usize| {
            let (client, _) = sec1::start(None, &mut given(0x01..=0x20));
            let (device_pubkey, device_random) = (vec![9; key], vec![9; random]);
            let response = Message::Sec1(Sec1::Response0 {
                device_pubkey,
                device_random,
            });
            client.response0(&response.encode()).err()
        };
        assert_eq!(response(off, 16), wrong("device's public key", 32, off));
        assert_eq!(
            response(32, off - 16),
            wrong("device's random bytes", 16, off - 16)
        );

        let (client, _) = sec1::start(pop("abcd1234"), &mut given(0x01..=0x20));
        let (client, _) = client.response0(&bytes(RESPONSE0)).unwrap();
        let response = Message::Sec1(Sec1::Response1 {
            device_verify_data: vec![9; off],
        });
        assert_eq!(
            client.response1(&response.encode()).err(),
            wrong("device's verify data", 32, off)
        );

        let mut device = Responder::new(Protection::Sec1 { pop: None });
        let command = Message::Sec1(Sec1::Command0 {
            client_pubkey: vec![9; off],
        });
        let outcome = device.handle(&command.encode(), &mut counting());
        assert_eq!(outcome.err(), wrong("client's public key", 32, off));
        device.handle(&bytes(COMMAND0), &mut counting()).unwrap();
        let command = Message::Sec1(Sec1::Command1 {
            client_verify_data: vec![9; off],
        });
        let outcome = device.handle(&command.encode(), &mut counting());
        assert_eq!(outcome.err(), wrong("client's verify data", 32, off));
    }
}

#[test]
fn scheme_1_garbles_all_that_follows_a_lost_message_and_cannot_tell() {
    let mut device = Responder::new(Protection::Sec1 { pop: None });
    let mut client = connect(Credentials::Sec1 { pop: None }, &mut device).unwrap();
    client.seal(b"lost").unwrap();
    let request = client.seal(b"request").unwrap();
    let garbled = device.session().unwrap().open(&request).unwrap();
    assert_ne!(garbled.reveal(), b"request");
    assert_eq!(garbled.len(), 7);
}

#[test]
fn scheme_1_stays_in_step_when_the_device_refuses_a_request() {
    let mut device = Responder::new(Protection::Sec1 { pop: None });
    let mut client = connect(Credentials::Sec1 { pop: None }, &mut device).unwrap();
    let request = client.seal(b"unknown command").unwrap();
    device.session().unwrap().open(&request).unwrap();
    assert_eq!(exchange(&mut client, &mut device), Ok(()));
}

// Scheme 2

#[test]
fn scheme_2_is_the_vectors_on_both_sides() {
    let credentials = sec2_credentials("abcd1234", Patch::Counter);
    let (client, command0) = sec2::start(credentials, &mut given(0x80..=0x9f));
    assert_eq!(command0.len(), 406);

    let mut device = sec2_device("abcd1234", Patch::Counter, srp::XRule::Rfc);
    let mut entropy = given((0x41..=0x60).chain(0xa0..=0xa7));
    let response0 = device.handle(&command0, &mut entropy).unwrap();
    assert_eq!(response0.len(), 416);

    let (client, command1) = client.response0(&response0).unwrap();
    assert!(!client.esp_prov_differs());
    let Ok(Message::Sec2(Sec2::Command1 { client_proof })) = Message::decode(&command1) else {
        panic!("the client proves itself next");
    };
    assert_eq!(hex::encode(&client_proof[..8]), "02a3793107bd47b0");

    let response1 = device.handle(&command1, &mut entropy).unwrap();
    let Ok(Message::Sec2(Sec2::Response1 {
        device_proof,
        device_nonce,
    })) = Message::decode(&response1)
    else {
        panic!("the device proves itself next");
    };
    assert_eq!(hex::encode(&device_proof[..8]), "485c81d3f4b7119d");
    assert_eq!(hex::encode(device_nonce), "a0a1a2a3a4a5a6a700000001");

    let mut client = client.response1(&response1).unwrap();
    let device = device.session().unwrap();
    let request = client.seal(&bytes("5200")).unwrap();
    assert_eq!(hex::encode(&request), "02a90b75d8e7e110353eb8a099607cc2ffbd");
    assert_eq!(device.open(&request).unwrap().reveal(), bytes("5200"));
    let response = device.seal(&bytes("08015a021001")).unwrap();
    assert_eq!(
        hex::encode(&response),
        "44890ec8dcff10893c63bed32ca8cd4cac517966d54a"
    );
    assert_eq!(client.open(&response).unwrap().reveal(), bytes("08015a021001"));
    assert_eq!(client.overhead(), 16);
    assert_eq!(
        (client.scheme(), client.patch()),
        (Scheme::Sec2, Some(Patch::Counter))
    );
}

#[test]
fn scheme_2_heals_a_wrong_guess_of_the_patch_and_says_so() {
    for guess in [Patch::Constant, Patch::Counter] {
        for truth in [Patch::Constant, Patch::Counter] {
            let mut device = sec2_device("abcd1234", truth, srp::XRule::Rfc);
            let credentials = Credentials::Sec2(sec2_credentials("abcd1234", guess));
            let mut client = connect(credentials, &mut device).unwrap();
            assert!(!client.healed());
            for _ in 0..3 {
                assert_eq!(exchange(&mut client, &mut device), Ok(()));
            }
            assert_eq!((client.healed(), client.patch()), (guess != truth, Some(truth)));
        }
    }
}

#[test]
fn scheme_2_refuses_a_wrong_password_and_a_wrong_name_alike_and_takes_the_right_ones_next() {
    let mut device = sec2_device("abcd1234", Patch::Counter, srp::XRule::Rfc);
    let mut wrong_name = sec2_credentials("abcd1234", Patch::Counter);
    wrong_name.username = "wifiprow".into();
    for wrong in [sec2_credentials("abcd1235", Patch::Counter), wrong_name] {
        let outcome = connect(Credentials::Sec2(wrong), &mut device);
        assert_eq!(outcome.map(|_| ()), Err(HandshakeError::WrongProof));
        assert!(device.session().is_none());
    }
    let right = Credentials::Sec2(sec2_credentials("abcd1234", Patch::Counter));
    let mut client = connect(right, &mut device).unwrap();
    assert_eq!(exchange(&mut client, &mut device), Ok(()));
}

#[test]
fn a_device_with_a_faulty_verifier_opens_by_its_own_rule_alone() {
    for rule in [srp::XRule::EspProv, srp::XRule::ShortSalt] {
        // The hash of this password starts with a zero byte, so the rules differ.
        let mut device = sec2_device("pop212", Patch::Counter, rule);
        let strict = sec2_credentials("pop212", Patch::Counter);
        let outcome = connect(Credentials::Sec2(strict.clone()), &mut device);
        assert_eq!(outcome.map(|_| ()), Err(HandshakeError::WrongProof));
        let mut client = connect(
            Credentials::Sec2(sec2::Credentials { rule, ..strict }),
            &mut device,
        )
        .unwrap();
        assert_eq!(exchange(&mut client, &mut device), Ok(()));
    }
}

#[test]
fn the_client_sees_when_the_other_rule_is_worth_a_try() {
    for (password, differs) in [("pop212", true), ("abcd1234", false)] {
        let mut device = sec2_device(password, Patch::Counter, srp::XRule::Rfc);
        let mut entropy = counting();
        let credentials = Credentials::Sec2(sec2_credentials(password, Patch::Counter));
        let (handshake, command0) = Handshake::start(credentials, &mut entropy);
        assert!(!handshake.esp_prov_differs() && !handshake.is_proving());
        let response0 = device.handle(&command0, &mut entropy).unwrap();
        let Ok(Step::Send(handshake, _)) = handshake.response(&response0) else {
            panic!("the proof is next");
        };
        assert_eq!(
            (handshake.esp_prov_differs(), handshake.is_proving()),
            (differs, true)
        );
    }
}

#[test]
fn the_client_refuses_a_device_that_does_not_hold_the_verifier() {
    let mut device = sec2_device("abcd1234", Patch::Counter, srp::XRule::Rfc);
    let mut entropy = counting();
    let (client, command0) = sec2::start(sec2_credentials("abcd1234", Patch::Counter), &mut entropy);
    let (client, command1) = client
        .response0(&device.handle(&command0, &mut entropy).unwrap())
        .unwrap();
    let Ok(Message::Sec2(Sec2::Response1 {
        mut device_proof,
        device_nonce,
    })) = Message::decode(&device.handle(&command1, &mut entropy).unwrap())
    else {
        panic!("the device proves itself next");
    };
    device_proof[63] ^= 1;
    let forged = Message::Sec2(Sec2::Response1 {
        device_proof,
        device_nonce,
    });
    assert_eq!(
        client.response1(&forged.encode()).map(|_| ()),
        Err(HandshakeError::WrongProof)
    );
}

#[test]
fn scheme_2_sizes_are_checked() {
    let wrong = |field, min: usize, max: usize, got| {
        Some(HandshakeError::Wire(WireError::Length { field, min, max, got }))
    };
    let response0 = |device_pubkey: Vec<u8>, device_salt: Vec<u8>| {
        let (client, _) = sec2::start(sec2_credentials("abcd1234", Patch::Counter), &mut counting());
        client.response0(
            &Message::Sec2(Sec2::Response0 {
                device_pubkey,
                device_salt,
            })
            .encode(),
        )
    };
    assert_eq!(
        response0(vec![], vec![1; 16]).err(),
        wrong("device's public key", 1, 384, 0)
    );
    assert_eq!(
        response0(vec![1; 385], vec![1; 16]).err(),
        wrong("device's public key", 1, 384, 385)
    );
    assert_eq!(
        response0(vec![1; 384], vec![]).err(),
        wrong("device's salt", 1, 512, 0)
    );
    assert_eq!(
        response0(vec![1; 384], vec![1; 513]).err(),
        wrong("device's salt", 1, 512, 513)
    );
    assert_eq!(
        response0(vec![0; 384], vec![1; 16]).err(),
        Some(HandshakeError::WeakPublicValue)
    );

    let response1 = |proof: usize, nonce: usize| {
        let (client, _) = response0(vec![1; 384], vec![1; 16]).unwrap();
        let (device_proof, device_nonce) = (vec![1; proof], vec![1; nonce]);
        client
            .response1(
                &Message::Sec2(Sec2::Response1 {
                    device_proof,
                    device_nonce,
                })
                .encode(),
            )
            .err()
    };
    assert_eq!(response1(63, 12), wrong("device's proof", 64, 64, 63));
    assert_eq!(response1(65, 12), wrong("device's proof", 64, 64, 65));
    assert_eq!(response1(64, 11), wrong("device's nonce", 12, 12, 11));
    assert_eq!(response1(64, 13), wrong("device's nonce", 12, 12, 13));
    assert_eq!(response1(64, 12), Some(HandshakeError::WrongProof));

    let mut device = sec2_device("abcd1234", Patch::Counter, srp::XRule::Rfc);
    let mut command0 = |name: usize, client_pubkey: Vec<u8>| {
        let command = Sec2::Command0 {
            client_username: vec![b'x'; name],
            client_pubkey,
        };
        device
            .handle(&Message::Sec2(command).encode(), &mut counting())
            .err()
    };
    assert_eq!(command0(0, vec![1; 384]), wrong("user name", 1, 65_535, 0));
    assert_eq!(
        command0(65_536, vec![1; 384]),
        wrong("user name", 1, 65_535, 65_536)
    );
    assert_eq!(
        command0(8, vec![1; 383]),
        wrong("client's public key", 384, 384, 383)
    );
    assert_eq!(
        command0(8, vec![1; 385]),
        wrong("client's public key", 384, 384, 385)
    );
    assert_eq!(command0(8, vec![0; 384]), Some(HandshakeError::WeakPublicValue));
    assert_eq!(command0(8, vec![1; 384]), None);
    for off in [0, 63, 65] {
        let command0 = Sec2::Command0 {
            client_username: b"x".to_vec(),
            client_pubkey: vec![1; 384],
        };
        device
            .handle(&Message::Sec2(command0).encode(), &mut counting())
            .unwrap();
        let command1 = Message::Sec2(Sec2::Command1 {
            client_proof: vec![1; off],
        });
        let outcome = device.handle(&command1.encode(), &mut counting());
        assert_eq!(outcome.err(), wrong("client's proof", 64, 64, off));
    }
}

#[test]
fn scheme_2_notices_a_changed_message() {
    let mut device = sec2_device("abcd1234", Patch::Counter, srp::XRule::Rfc);
    let credentials = Credentials::Sec2(sec2_credentials("abcd1234", Patch::Counter));
    let mut client = connect(credentials, &mut device).unwrap();
    let mut request = client.seal(b"request").unwrap();
    request[2] ^= 1;
    assert_eq!(
        device.session().unwrap().open(&request),
        Err(SessionError::Forged)
    );
    // The device's counter stood still and the client's moved on: only a new session helps.
    let request = client.seal(b"request").unwrap();
    assert_eq!(
        device.session().unwrap().open(&request),
        Err(SessionError::Forged)
    );
}

// Any scheme

/// One device of each scheme, with what opens it.
fn each_scheme() -> Vec<(Credentials, Responder)> {
    vec![
        (Credentials::Sec0, Responder::new(Protection::Sec0)),
        (
            Credentials::Sec1 { pop: pop("abcd1234") },
            Responder::new(Protection::Sec1 { pop: pop("abcd1234") }),
        ),
        (
            Credentials::Sec2(sec2_credentials("abcd1234", Patch::Counter)),
            sec2_device("abcd1234", Patch::Counter, srp::XRule::Rfc),
        ),
    ]
}

#[test]
fn a_new_first_command_replaces_the_session_in_any_state() {
    for (credentials, mut device) in each_scheme() {
        let mut entropy = counting();
        // In the middle of a handshake.
        let (_, command0) = Handshake::start(credentials.clone(), &mut entropy);
        device.handle(&command0, &mut entropy).unwrap();
        let mut first = connect(credentials.clone(), &mut device).unwrap();
        assert_eq!(exchange(&mut first, &mut device), Ok(()));
        // In an open session.
        let mut second = connect(credentials, &mut device).unwrap();
        assert_eq!(exchange(&mut second, &mut device), Ok(()));
    }
}

#[test]
fn a_proof_that_nobody_waits_for_is_refused_and_changes_nothing() {
    let proofs = [
        (Protection::Sec1 { pop: pop("abcd1234") }, bytes(COMMAND1)),
        (
            Protection::Sec2 {
                verifier: sec2::Verifier::generate("wifiprov", &Pop::new("x"), b"salt", srp::XRule::Rfc),
                patch: Patch::Counter,
            },
            Message::Sec2(Sec2::Command1 {
                client_proof: vec![1; 64],
            })
            .encode(),
        ),
    ];
    for (protection, proof) in proofs {
        let mut device = Responder::new(protection);
        assert_eq!(
            device.handle(&proof, &mut counting()),
            Err(HandshakeError::OutOfTurn)
        );
        assert!(device.session().is_none());
    }
    for (credentials, mut device) in each_scheme().into_iter().skip(1) {
        let mut client = connect(credentials.clone(), &mut device).unwrap();
        let proof = match credentials {
            Credentials::Sec1 { .. } => bytes(COMMAND1),
            _ => Message::Sec2(Sec2::Command1 {
                client_proof: vec![1; 64],
            })
            .encode(),
        };
        assert_eq!(
            device.handle(&proof, &mut counting()),
            Err(HandshakeError::OutOfTurn)
        );
        assert_eq!(exchange(&mut client, &mut device), Ok(()));
    }
}

#[test]
fn a_disconnect_forgets_the_session() {
    for (credentials, mut device) in each_scheme() {
        connect(credentials.clone(), &mut device).unwrap();
        device.reset();
        assert_eq!(device.session().is_some(), credentials == Credentials::Sec0);
    }
}

#[test]
fn another_schemes_messages_are_refused_on_both_sides() {
    let commands: Vec<Vec<u8>> = each_scheme()
        .into_iter()
        .map(|(own, _)| Handshake::start(own, &mut counting()).1)
        .collect();
    for (own, (_, mut device)) in each_scheme().into_iter().enumerate() {
        for (other, command) in commands.iter().enumerate().filter(|(other, _)| *other != own) {
            let got = other.try_into().unwrap();
            let outcome = device.handle(command, &mut counting());
            assert_eq!(outcome, Err(HandshakeError::OtherScheme { got }));
        }
    }
    let responses = [
        Message::Sec0(Sec0::Response),
        Message::Sec1(Sec1::Response0 {
            device_pubkey: vec![9; 32],
            device_random: vec![9; 16],
        }),
        Message::Sec2(Sec2::Response0 {
            device_pubkey: vec![9; 384],
            device_salt: vec![9; 16],
        }),
    ];
    for (own, (credentials, _)) in each_scheme().into_iter().enumerate() {
        for (other, response) in responses.iter().enumerate().filter(|(other, _)| *other != own) {
            let (handshake, command) = Handshake::start(credentials.clone(), &mut counting());
            let got = other.try_into().unwrap();
            let outcome = handshake.response(&response.encode());
            assert_eq!(outcome.err(), Some(HandshakeError::OtherScheme { got }));
            // Its own command, sent back by a device that only echoes.
            let (handshake, _) = Handshake::start(credentials.clone(), &mut counting());
            assert_eq!(
                handshake.response(&command).err(),
                Some(HandshakeError::OutOfTurn)
            );
        }
    }
}

#[test]
fn a_response_cut_short_opens_no_session() {
    for (credentials, mut device) in each_scheme() {
        let mut entropy = counting();
        let (_, command0) = Handshake::start(credentials.clone(), &mut entropy);
        let response = device.handle(&command0, &mut entropy).unwrap();
        for cut in 0..response.len() {
            let (handshake, _) = Handshake::start(credentials.clone(), &mut counting());
            assert!(
                handshake.response(&response[..cut]).is_err(),
                "{cut} bytes were taken"
            );
        }
    }
}

#[test]
fn nothing_is_never_sent() {
    for (credentials, mut device) in each_scheme() {
        let mut client = connect(credentials, &mut device).unwrap();
        assert_eq!(client.seal(b""), Err(SessionError::Empty));
        assert_eq!(exchange(&mut client, &mut device), Ok(()));
    }
}

#[test]
fn debug_shows_states_and_no_keys() {
    let shown: Vec<String> = each_scheme()
        .into_iter()
        .map(|(credentials, mut device)| {
            let (handshake, _) = Handshake::start(credentials.clone(), &mut counting());
            let session = connect(credentials.clone(), &mut device).unwrap();
            format!("{credentials:?} {handshake:?} {session:?}")
        })
        .collect();
    assert_eq!(
        shown,
        [
            "Sec0 Handshake(Sec0) Session(Sec0)",
            "Sec1 { pop: Some(Pop(…)) } Handshake(Sec1Response0) Session(Sec1)",
            "Sec2(Credentials { username: \"wifiprov\", password: Pop(…), patch: Counter, rule: Rfc }) \
             Handshake(Sec2Response0) Session(Sec2(Counter))",
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_messages_pass_in_order(
        messages in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 1..300)), 1..20),
    ) {
        for (credentials, mut device) in each_scheme() {
            let mut client = connect(credentials, &mut device).unwrap();
            let device = device.session().unwrap();
            for (up, plain) in &messages {
                let (from, to) = if *up { (&mut client, &mut *device) } else { (&mut *device, &mut client) };
                let sealed = from.seal(plain).unwrap();
                prop_assert_eq!(sealed.len(), plain.len() + from.overhead());
                let opened = to.open(&sealed).unwrap();
                prop_assert_eq!(opened.reveal(), plain.as_slice());
            }
        }
    }

    #[test]
    fn any_bytes_are_taken_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        for (credentials, mut device) in each_scheme() {
            let (handshake, _) = Handshake::start(credentials, &mut counting());
            let _ = handshake.response(&bytes);
            let _ = device.handle(&bytes, &mut counting());
        }
    }
}
