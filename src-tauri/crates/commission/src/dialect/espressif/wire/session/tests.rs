//! Golden bytes, cuts, wrong sizes, unknown values, round trips.

use super::*;
use alloc::vec;
use proptest::prelude::*;

fn any_message() -> impl Strategy<Value = Message> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..400);
    prop_oneof![
        Just(Message::Sec0(Sec0::Command)),
        Just(Message::Sec0(Sec0::Response)),
        bytes().prop_map(|client_pubkey| Message::Sec1(Sec1::Command0 { client_pubkey })),
        (bytes(), bytes()).prop_map(|(device_pubkey, device_random)| Message::Sec1(Sec1::Response0 {
            device_pubkey,
            device_random
        })),
        bytes().prop_map(|client_verify_data| Message::Sec1(Sec1::Command1 { client_verify_data })),
        bytes().prop_map(|device_verify_data| Message::Sec1(Sec1::Response1 { device_verify_data })),
        (bytes(), bytes()).prop_map(|(client_username, client_pubkey)| Message::Sec2(Sec2::Command0 {
            client_username,
            client_pubkey
        })),
        (bytes(), bytes()).prop_map(|(device_pubkey, device_salt)| Message::Sec2(Sec2::Response0 {
            device_pubkey,
            device_salt
        })),
        bytes().prop_map(|client_proof| Message::Sec2(Sec2::Command1 { client_proof })),
        (bytes(), bytes()).prop_map(|(device_proof, device_nonce)| Message::Sec2(Sec2::Response1 {
            device_proof,
            device_nonce
        })),
    ]
}

proptest! {
    #[test]
    fn every_message_survives_the_wire(message in any_message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Message::decode(&bytes);
    }
}

#[test]
fn scheme_0_has_its_golden_bytes() {
    assert_eq!(hex::encode(Message::Sec0(Sec0::Command).encode()), "5203a20100");
    assert_eq!(
        hex::encode(Message::Sec0(Sec0::Response).encode()),
        "52050801aa0100"
    );
    assert_eq!(
        Message::decode(&hex::decode("5203a20100").unwrap()),
        Ok(Message::Sec0(Sec0::Command))
    );
    assert_eq!(
        Message::decode(&hex::decode("52050801aa0100").unwrap()),
        Ok(Message::Sec0(Sec0::Response))
    );
}

#[test]
fn scheme_2_messages_have_the_sizes_seen_on_real_devices() {
    let command0 = Sec2::Command0 {
        client_username: b"wifiprov".to_vec(),
        client_pubkey: vec![0x80; 384],
    };
    let response0 = Sec2::Response0 {
        device_pubkey: vec![0x80; 384],
        device_salt: vec![1; 16],
    };
    assert_eq!(Message::Sec2(command0).encode().len(), 406);
    assert_eq!(Message::Sec2(response0).encode().len(), 416);
}

#[test]
fn a_message_cut_short_is_refused() {
    let whole = Message::Sec1(Sec1::Response0 {
        device_pubkey: vec![7; 32],
        device_random: vec![9; 16],
    });
    let bytes = whole.encode();
    for cut in 0..bytes.len() {
        assert!(
            Message::decode(&bytes[..cut]).is_err(),
            "{cut} bytes were read as a message"
        );
    }
    assert_eq!(Message::decode(&[]), Err(WireError::Empty { message: NAME }));
}

#[test]
fn scheme_and_body_must_agree() {
    // Scheme 1's number over scheme 0's body.
    assert_eq!(
        Message::decode(&hex::decode("10015203a20100").unwrap()),
        Err(WireError::Unknown {
            field: "security scheme",
            value: 1
        })
    );
    // A number with no body at all.
    assert_eq!(
        Message::decode(&[0x10, 0x01]),
        Err(WireError::Missing {
            message: NAME,
            field: "security scheme's part"
        })
    );
    // Numbered as a response, with a command's body.
    assert_eq!(
        Message::decode(&hex::decode("52050801a20100").unwrap()),
        Err(WireError::Unexpected {
            message: NAME,
            number: 1
        })
    );
    // A message number that does not exist.
    assert_eq!(
        Message::decode(&hex::decode("52050809a20100").unwrap()),
        Err(WireError::Unexpected {
            message: NAME,
            number: 9
        })
    );
}

#[test]
fn a_status_in_a_response_is_a_refusal() {
    assert_eq!(
        Message::decode(&hex::decode("52070801aa01020801").unwrap()),
        Err(WireError::Refused(Refusal::InvalidSecScheme))
    );
    assert_eq!(
        Message::decode(&hex::decode("10015a070801aa01020863").unwrap()),
        Err(WireError::Refused(Refusal::Other(99)))
    );
}
