//! Golden bytes, cuts, wrong sizes, unknown values, round trips.

use super::*;
use alloc::vec;
use proptest::prelude::*;

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

#[test]
fn requests_have_their_golden_bytes() {
    for (request, golden) in [
        (Request::wifi_start(true), "520408012078"),
        (Request::wifi_start(false), "52022078"),
        (Request::WifiStatus, "08026200"),
        (
            Request::WifiResult {
                start_index: 0,
                count: 4,
            },
            "080472021004",
        ),
    ] {
        assert_eq!(hex::encode(request.encode()), golden);
        assert_eq!(Request::decode(&bytes(golden)), Ok(request));
    }
    // The status request as the firmware's test sends it: a number alone.
    assert_eq!(Request::decode(&bytes("0802")), Ok(Request::WifiStatus));
}

#[test]
fn responses_have_their_golden_bytes() {
    for (response, golden) in [
        (Response::WifiStart(Ok(())), "08015a00"),
        (
            Response::WifiStatus(Ok(Progress {
                finished: true,
                count: 6,
            })),
            "08036a0408011006",
        ),
        (
            Response::WifiStatus(Ok(Progress {
                finished: false,
                count: 0,
            })),
            "08036a00",
        ),
        (Response::WifiResult(Ok(vec![])), "08057a00"),
    ] {
        assert_eq!(hex::encode(response.encode()), golden);
        assert_eq!(Response::decode(&bytes(golden)), Ok(response));
    }
}

fn point(ssid: &[u8]) -> AccessPoint {
    AccessPoint {
        ssid: ssid.to_vec(),
        channel: 11,
        rssi: -61,
        bssid: [1, 2, 3, 4, 5, 6],
        auth: Auth::Wpa2Psk,
    }
}

#[test]
fn four_rows_with_the_longest_names_fit_the_smallest_device() {
    let rows = vec![point(&[b'x'; SSID_MAX]); ROWS_AT_ONCE as usize];
    assert_eq!(Response::WifiResult(Ok(rows)).encode().len(), 241);
}

#[test]
fn a_reply_cut_short_is_never_an_answer_to_another_number_of_rows() {
    let whole = Response::WifiResult(Ok(vec![point(b"one"), point(b"two")])).encode();
    for cut in 0..whole.len() {
        assert!(wifi_rows(&whole[..cut]).is_err(), "{cut} bytes were read as rows");
    }
    assert_eq!(wifi_rows(&whole).map(|rows| rows.len()), Ok(2));
    assert_eq!(wifi_started(&[]), Err(WireError::Empty { message: RESPONSE }));
    assert_eq!(
        wifi_progress(&[8, 3]),
        Err(WireError::Missing {
            message: RESPONSE,
            field: "answer"
        })
    );
    assert_eq!(
        Request::decode(&[8, 4]),
        Err(WireError::Missing {
            message: REQUEST,
            field: "body"
        })
    );
}

#[test]
fn rows_of_a_wrong_size_are_refused() {
    // One row whose address has 5 bytes.
    assert_eq!(
        wifi_rows(&bytes("08057a090a0722050102030405")),
        Err(WireError::Length {
            field: "access point address (BSSID)",
            min: 6,
            max: 6,
            got: 5
        })
    );
    let long = Response::WifiResult(Ok(vec![point(&[b'x'; 33])]));
    assert_eq!(
        wifi_rows(&long.encode()),
        Err(WireError::Length {
            field: "seen network's name (SSID)",
            min: 0,
            max: 32,
            got: 33
        })
    );
}

#[test]
fn unknown_and_unexpected_numbers_are_named() {
    let unexpected = |message, number| WireError::Unexpected { message, number };
    assert_eq!(Request::decode(&bytes("0863")), Err(unexpected(REQUEST, 99)));
    assert_eq!(Response::decode(&bytes("0863")), Err(unexpected(RESPONSE, 99)));
    assert_eq!(
        Response::decode(&bytes("08631005")),
        Err(unexpected(RESPONSE, 99))
    );
    assert_eq!(wifi_rows(&bytes("08036a00")), Err(unexpected(RESPONSE, 3)));
    assert_eq!(wifi_started(&bytes("08016a00")), Err(unexpected(RESPONSE, 1)));
    assert_eq!(
        wifi_started(&bytes("080110055a00")),
        Err(WireError::Refused(Refusal::InternalError))
    );
    assert_eq!(
        wifi_progress(&bytes("08031063")),
        Err(WireError::Refused(Refusal::Other(99)))
    );
}

#[test]
fn a_wifi_device_refuses_thread_scans_with_status_4() {
    for (request, response) in [
        (
            Request::ThreadStart,
            Response::ThreadStart(Refusal::InvalidArgument),
        ),
        (
            Request::ThreadStatus,
            Response::ThreadStatus(Refusal::InvalidArgument),
        ),
        (
            Request::ThreadResult,
            Response::ThreadResult(Refusal::InvalidArgument),
        ),
    ] {
        assert_eq!(Request::decode(&request.encode()), Ok(request));
        assert_eq!(Response::decode(&response.encode()), Ok(response));
    }
    assert_eq!(
        hex::encode(Response::ThreadStart(Refusal::InvalidArgument).encode()),
        "080710048a0100"
    );
}

proptest! {
    #[test]
    fn every_request_survives_the_wire(
        blocking: bool, passive: bool, group_channels: u32, period_ms: u32, start_index: u32, count: u32,
    ) {
        for request in [
            Request::WifiStart { blocking, passive, group_channels, period_ms },
            Request::WifiResult { start_index, count },
        ] {
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }

    #[test]
    fn every_row_survives_the_wire(
        ssid in proptest::collection::vec(any::<u8>(), 0..=32),
        channel: u32, rssi: i32, bssid: [u8; 6], auth: i32,
    ) {
        let row = AccessPoint { ssid, channel, rssi, bssid, auth: auth_from_code(auth) };
        prop_assert_eq!(wifi_rows(&Response::WifiResult(Ok(vec![row.clone()])).encode()), Ok(vec![row]));
    }

    #[test]
    fn every_refusal_survives_the_wire(code in 1..20i32) {
        let refusal = Refusal::check(code).unwrap_err();
        for response in [
            Response::WifiStart(Err(refusal)), Response::WifiStatus(Err(refusal)),
            Response::WifiResult(Err(refusal)),
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
