//! Golden bytes, cuts, wrong sizes, unknown values, round trips.

use super::*;
use crate::network::Ssid;
use crate::secret::Passphrase;
use alloc::format;
use alloc::vec;
use proptest::prelude::*;

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn home() -> Connected {
    Connected {
        ip: Ipv4Addr::new(192, 168, 1, 10),
        auth: Auth::Wpa2Psk,
        ssid: b"home".to_vec(),
        bssid: bytes("010203aa0506"),
        channel: 6,
    }
}

fn goodpass() -> WifiConfig {
    let passphrase = Some(Passphrase::new("goodpass"));
    (&Network::new(Ssid::new("home").unwrap(), passphrase, false).unwrap()).into()
}

const CONNECTED_HOME: &str = "08015a225a200a0c3139322e3136382e312e313010031a04686f6d652206010203aa05062806";

#[test]
fn requests_have_their_golden_bytes() {
    let set = goodpass();
    for (request, golden) in [
        (Request::WifiStatus, "5200"),
        (Request::SetWifi(set), "080262100a04686f6d651208676f6f6470617373"),
        (Request::ApplyWifi, "08047200"),
        (Request::ThreadStatus, "0806820100"),
    ] {
        assert_eq!(hex::encode(request.encode().reveal()), golden);
        assert_eq!(Request::decode(&bytes(golden)), Ok(request));
    }
}

#[test]
fn responses_have_their_golden_bytes() {
    let failed = |reason| Response::WifiStatus(Ok(JoinState::Failed(reason)));
    let connecting = |attempts_left| Response::WifiStatus(Ok(JoinState::Connecting { attempts_left }));
    for (response, golden) in [
        (connecting(None), "08015a021001"),
        (failed(FailReason::AuthError), "08015a0410035000"),
        (failed(FailReason::NetworkNotFound), "08015a0410035001"),
        (connecting(Some(2)), "08015a06100162020802"),
        (
            Response::WifiStatus(Ok(JoinState::Connected(home()))),
            CONNECTED_HOME,
        ),
        (Response::SetWifi(Ok(())), "08036a00"),
        (Response::SetWifi(Err(Refusal::InvalidArgument)), "08036a020804"),
        (Response::ApplyWifi(Ok(())), "08057a00"),
        (Response::ApplyWifi(Err(Refusal::InternalError)), "08057a020805"),
        (Response::ThreadStatus(Refusal::InvalidArgument), "08078a01020804"),
    ] {
        assert_eq!(hex::encode(response.encode()), golden);
        assert_eq!(Response::decode(&bytes(golden)), Ok(response));
    }
}

#[test]
fn connected_is_believed_only_with_status_0_a_body_and_an_address() {
    // "Connected", as an empty or cut reply decodes: status 0, state 0, no body.
    assert_eq!(
        wifi_status(&bytes("08015a00")),
        Err(WireError::ConnectedWithoutAddress)
    );
    // A body without an address.
    assert_eq!(
        wifi_status(&bytes("08015a025a00")),
        Err(WireError::ConnectedWithoutAddress)
    );
    // 0.0.0.0 is no address.
    assert_eq!(
        wifi_status(&bytes("08015a0b5a090a07302e302e302e30")),
        Err(WireError::ConnectedWithoutAddress)
    );
    // Not an address at all.
    assert_eq!(
        wifi_status(&bytes("08015a055a030a0178")),
        Err(WireError::Malformed {
            message: "device's IPv4 address"
        })
    );
    // A good body under a bad status.
    let mut refused = bytes("08015a240805");
    refused.extend(&bytes(CONNECTED_HOME)[4..]);
    assert_eq!(
        wifi_status(&refused),
        Err(WireError::Refused(Refusal::InternalError))
    );
    // A failure reason is no connection either.
    assert_eq!(
        wifi_status(&bytes("08015a025000")),
        Err(WireError::ConnectedWithoutAddress)
    );
    assert_eq!(
        wifi_status(&bytes(CONNECTED_HOME)),
        Ok(JoinState::Connected(home()))
    );
}

#[test]
fn no_cut_of_the_connected_reply_reads_as_connected() {
    let whole = bytes(CONNECTED_HOME);
    for cut in 0..whole.len() {
        assert!(wifi_status(&whole[..cut]).is_err(), "{cut} bytes were believed");
    }
    assert_eq!(wifi_status(&[]), Err(WireError::Empty { message: RESPONSE }));
    assert_eq!(
        wifi_status(&[0x08, 0x01]),
        Err(WireError::Missing {
            message: RESPONSE,
            field: "answer"
        })
    );
}

#[test]
fn a_wrong_passphrase_is_believed_only_when_the_reason_is_on_the_wire() {
    let failed = |reason| Ok(JoinState::Failed(reason));
    assert_eq!(
        wifi_status(&bytes("08015a0410035000")),
        failed(FailReason::AuthError)
    );
    assert_eq!(wifi_status(&bytes("08015a021003")), failed(FailReason::Unstated));
    assert_eq!(
        wifi_status(&bytes("08015a0410035007")),
        failed(FailReason::Other(7))
    );
}

#[test]
fn unknown_values_are_named() {
    assert_eq!(
        wifi_status(&bytes("08015a021009")),
        Err(WireError::Unknown {
            field: "station state",
            value: 9
        })
    );
    assert_eq!(
        wifi_status(&bytes("08015a020809")),
        Err(WireError::Refused(Refusal::Other(9)))
    );
    assert_eq!(
        Request::decode(&bytes("0863")),
        Err(WireError::Unexpected {
            message: REQUEST,
            number: 99
        })
    );
    assert_eq!(
        Response::decode(&bytes("0863")),
        Err(WireError::Unexpected {
            message: RESPONSE,
            number: 99
        })
    );
    // The answer to another question.
    assert_eq!(
        wifi_status(&bytes("08036a00")),
        Err(WireError::Unexpected {
            message: RESPONSE,
            number: 3
        })
    );
    assert_eq!(
        wifi_set(&bytes("08057a00")),
        Err(WireError::Unexpected {
            message: RESPONSE,
            number: 5
        })
    );
    assert_eq!(
        wifi_applied(&bytes("08036a00")),
        Err(WireError::Unexpected {
            message: RESPONSE,
            number: 3
        })
    );
    // A number over another number's body.
    assert_eq!(
        wifi_set(&bytes("08037a00")),
        Err(WireError::Unexpected {
            message: RESPONSE,
            number: 3
        })
    );
    // A number without its body, which would read as success.
    assert_eq!(
        wifi_set(&bytes("0803")),
        Err(WireError::Missing {
            message: RESPONSE,
            field: "answer"
        })
    );
}

#[test]
fn an_auth_mode_beyond_the_protocol_is_passed_on() {
    let mut newer = home();
    newer.auth = Auth::Other(11);
    let response = Response::WifiStatus(Ok(JoinState::Connected(newer.clone())));
    assert_eq!(wifi_status(&response.encode()), Ok(JoinState::Connected(newer)));
}

#[test]
fn a_device_takes_all_that_a_network_can_be() {
    let open = Network::new(Ssid::new(vec![0xff; 32]).unwrap(), None, true).unwrap();
    assert_eq!(WifiConfig::from(&open).check(), Ok(()));
    let longest = Some(Passphrase::new("f".repeat(63)));
    let longest = Network::new(Ssid::new("x").unwrap(), longest, false).unwrap();
    assert_eq!(WifiConfig::from(&longest).check(), Ok(()));
}

#[test]
fn the_device_sees_bad_settings_as_a_status_and_missing_ones_as_an_error() {
    let long = WifiConfig {
        ssid: vec![b'x'; 33],
        passphrase: SecretBytes::new(Vec::new()),
        bssid: Vec::new(),
        channel: 0,
    };
    let Ok(Request::SetWifi(read)) = Request::decode(Request::SetWifi(long).encode().reveal()) else {
        panic!("an SSID of 33 bytes must reach the device's own check");
    };
    assert_eq!(
        read.check(),
        Err(WireError::Length {
            field: "network name (SSID)",
            min: 0,
            max: 32,
            got: 33
        })
    );
    let five = WifiConfig {
        ssid: b"x".to_vec(),
        bssid: vec![1; 5],
        ..read
    };
    assert_eq!(
        five.check(),
        Err(WireError::Length {
            field: "access point address (BSSID)",
            min: 6,
            max: 6,
            got: 5
        })
    );
    let psk = WifiConfig {
        passphrase: SecretBytes::new(vec![b'f'; 64]),
        ..goodpass()
    };
    assert_eq!(
        psk.check(),
        Err(WireError::Length {
            field: "passphrase",
            min: 0,
            max: 63,
            got: 64
        })
    );
    assert_eq!(
        Request::decode(&[0x08, 0x02]),
        Err(WireError::Missing {
            message: REQUEST,
            field: "Wi-Fi settings"
        })
    );
    assert_eq!(Request::decode(&[0x08, 0x04]), Ok(Request::ApplyWifi));
    assert_eq!(Request::decode(&[]), Err(WireError::Empty { message: REQUEST }));
}

#[test]
fn a_set_request_cut_short_is_refused() {
    let whole = bytes("080262100a04686f6d651208676f6f6470617373");
    for cut in 0..whole.len() {
        assert!(
            Request::decode(&whole[..cut]).is_err(),
            "{cut} bytes were read as a request"
        );
    }
}

#[test]
fn debug_shows_no_passphrase() {
    let set = goodpass();
    let raw: raw::WifiConfig = (&set).into();
    let shown = format!("{set:?} {raw:?} {:?}", Request::SetWifi(set.clone()));
    assert!(
        !shown.contains("goodpass") && !shown.contains("103, 111"),
        "{shown}"
    );
}

fn any_join_state() -> impl Strategy<Value = JoinState> {
    prop_oneof![
        any::<Option<u32>>().prop_map(|attempts_left| JoinState::Connecting { attempts_left }),
        Just(JoinState::Disconnected),
        Just(JoinState::Failed(FailReason::Unstated)),
        any::<i32>().prop_map(|code| JoinState::Failed(FailReason::from_code(code))),
        (
            1..=u32::MAX,
            any::<i32>(),
            proptest::collection::vec(any::<u8>(), 0..=32),
            proptest::collection::vec(any::<u8>(), 0..=6),
            any::<i32>()
        )
            .prop_map(
                |(ip, auth, ssid, bssid, channel)| JoinState::Connected(Connected {
                    ip: Ipv4Addr::from_bits(ip),
                    auth: auth_from_code(auth),
                    ssid,
                    bssid,
                    channel,
                })
            ),
    ]
}

proptest! {
    #[test]
    fn every_join_state_survives_the_wire(state in any_join_state()) {
        let response = Response::WifiStatus(Ok(state.clone()));
        prop_assert_eq!(wifi_status(&response.encode()), Ok(state));
    }

    #[test]
    fn all_settings_survive_the_wire(
        ssid in proptest::collection::vec(any::<u8>(), 0..40),
        passphrase in proptest::collection::vec(any::<u8>(), 0..70),
        bssid in proptest::collection::vec(any::<u8>(), 0..8),
        channel in any::<i32>(),
    ) {
        let request = Request::SetWifi(WifiConfig {
            ssid, passphrase: SecretBytes::new(passphrase), bssid, channel,
        });
        prop_assert_eq!(Request::decode(request.encode().reveal()), Ok(request));
    }

    #[test]
    fn every_refusal_survives_the_wire(code in 1..20i32) {
        let refusal = Refusal::check(code).unwrap_err();
        for response in [
            Response::WifiStatus(Err(refusal)), Response::SetWifi(Err(refusal)),
            Response::ApplyWifi(Err(refusal)), Response::ThreadStatus(refusal),
            Response::SetThread(refusal), Response::ApplyThread(refusal),
        ] {
            prop_assert_eq!(Response::decode(&response.encode()), Ok(response));
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Request::decode(&bytes);
        let _ = Response::decode(&bytes);
    }
}
