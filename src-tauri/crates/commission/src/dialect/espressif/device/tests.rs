//! What firmware does where no well-meant client would go; the client's tests walk the rest.

use super::*;
use crate::dialect::espressif::security::{Credentials, Handshake, Session, Step};
use crate::dialect::espressif::wire::config::{Request, Response};
use crate::dialect::espressif::wire::{Refusal, ctrl, scan};
use crate::gatt::CharacteristicId;
use crate::network::Auth;
use crate::secret::{Pop, SecretBytes};
use alloc::vec;
use uuid::Uuid;

struct Nobody;

impl Firmware for Nobody {
    fn sign(&mut self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn check_claim(&mut self, _: &ClaimBundle) -> Result<(), cloud_cred::Refusal> {
        Ok(())
    }
}

fn device(protection: Protection) -> Device {
    Device::new(DeviceConfig::new(protection, None))
}

fn id(device: &Device, name: &str) -> CharacteristicId {
    let gatt = device.gatt();
    gatt.iter().find(|endpoint| endpoint.name == name).unwrap().id
}

fn dice(bytes: &mut [u8]) {
    bytes.fill(0x11);
}

fn write(device: &mut Device, name: &str, bytes: &[u8]) -> Result<(), DeviceError> {
    let id = id(device, name);
    device.write(id, bytes, Moment::default(), &mut dice, &mut Nobody)
}

fn exchange(device: &mut Device, name: &str, bytes: &[u8]) -> Result<Vec<u8>, DeviceError> {
    write(device, name, bytes)?;
    device.read(id(device, name))
}

fn open(device: &mut Device, pop: &str) -> Result<Session, DeviceError> {
    let pop = Some(Pop::new(pop));
    let (mut handshake, mut request) =
        Handshake::start(Credentials::Sec1 { pop }, &mut |bytes: &mut [u8]| {
            bytes.fill(0x22);
        });
    loop {
        let response = exchange(device, "prov-session", &request)?;
        match handshake.response(&response).unwrap() {
            Step::Send(next, bytes) => (handshake, request) = (next, bytes),
            Step::Done(session) => return Ok(session),
        }
    }
}

fn sec1() -> Protection {
    Protection::Sec1 {
        pop: Some(Pop::new("abcd1234")),
    }
}

const NIMBLE: DeviceError = DeviceError {
    att: 0x04,
    close: false,
};
const BLUEDROID: DeviceError = DeviceError {
    att: 0x85,
    close: true,
};

#[test]
fn characteristics_come_in_attribute_order_with_names_and_ids() {
    let offer = Offer {
        credentials: true,
        identity: true,
        ..Offer::default()
    };
    let device = Device::new(DeviceConfig::new(sec1(), Some(offer)));
    let gatt = device.gatt();
    let rows: Vec<_> = gatt
        .iter()
        .map(|endpoint| (endpoint.name, endpoints::id_of(endpoint.id).unwrap()))
        .collect();
    assert_eq!(
        rows,
        [
            ("prov-ctrl", 0xff4f),
            ("prov-scan", 0xff50),
            ("prov-session", 0xff51),
            ("prov-config", 0xff52),
            ("proto-ver", 0xff53),
            ("identity", 0xff54),
            ("cloud-cred", 0xff55),
        ]
    );
    assert_eq!(gatt[2].description, Some(b"prov-session".to_vec()));
}

#[test]
fn empty_write_runs_nothing_and_leaves_the_last_response() {
    let mut device = device(Protection::Sec0);
    let before = exchange(&mut device, "proto-ver", b"x").unwrap();
    assert_eq!(exchange(&mut device, "proto-ver", b""), Ok(before));
}

#[test]
fn response_waits_for_any_number_of_reads_until_the_next_write() {
    let mut device = device(Protection::Sec0);
    let first = exchange(&mut device, "prov-config", &[0x52, 0x00]).unwrap();
    let config = id(&device, "prov-config");
    assert_eq!(device.read(config), Ok(first.clone()));
    assert_eq!(device.read(config), Ok(first));
    assert_eq!(device.read(id(&device, "prov-scan")), Ok(vec![]));
}

#[test]
fn refusals_look_like_their_stack() {
    for (stack, failure, unmapped) in [(Stack::NimBle, NIMBLE, 0x0e), (Stack::Bluedroid, BLUEDROID, 0x0a)] {
        let mut device = Device::new(DeviceConfig {
            stack,
            value_limit: 257,
            lockout: Some(1),
            ..DeviceConfig::new(sec1(), None)
        });
        assert_eq!(write(&mut device, "prov-config", &[0x52, 0]), Err(failure));
        assert_eq!(write(&mut device, "prov-session", b"nonsense"), Err(failure));
        let too_long = write(&mut device, "prov-config", &[1; 258]);
        assert_eq!(too_long.map_err(|error| error.att), Err(0x0d));
        let nowhere = CharacteristicId {
            characteristic: Uuid::nil(),
            ..id(&device, "proto-ver")
        };
        let outcome = device.write(nowhere, &[1], Moment::default(), &mut dice, &mut Nobody);
        assert_eq!(outcome.map_err(|error| error.att), Err(unmapped));
        assert_eq!(open(&mut device, "wrong").err(), Some(failure));
        assert_eq!(device.poll_effect(), Some(Effect::LockedOut));
        let stopped = write(&mut device, "proto-ver", b"x").unwrap_err();
        assert_eq!(stopped, stack.stopped());
    }
}

#[test]
fn disconnect_wipes_session_and_responses() {
    let mut device = device(sec1());
    let mut session = open(&mut device, "abcd1234").unwrap();
    device.disconnected();
    assert_eq!(device.read(id(&device, "prov-session")), Ok(vec![]));
    let request = session.seal(Request::WifiStatus.encode().reveal()).unwrap();
    assert_eq!(write(&mut device, "prov-config", &request), Err(NIMBLE));
}

#[test]
fn right_pop_after_a_wrong_one_needs_a_new_handshake_and_no_new_link() {
    let mut device = device(sec1());
    assert_eq!(open(&mut device, "wrong").err(), Some(NIMBLE));
    assert!(open(&mut device, "abcd1234").is_ok());
}

/// Over Security 0, where bytes are what they are.
fn configure(device: &mut Device, request: &Request) -> Result<Response, DeviceError> {
    let bytes = exchange(device, "prov-config", request.encode().reveal())?;
    Ok(Response::decode(&bytes).unwrap())
}

fn settings(ssid: usize, passphrase: usize) -> Request {
    Request::SetWifi(WifiConfig {
        ssid: vec![b's'; ssid],
        passphrase: SecretBytes::new(vec![b'p'; passphrase]),
        bssid: vec![],
        channel: 0,
    })
}

#[test]
fn settings_out_of_range_are_a_status_and_leave_what_was_there() {
    let mut device = device(Protection::Sec0);
    assert_eq!(
        configure(&mut device, &settings(32, 63)),
        Ok(Response::SetWifi(Ok(())))
    );
    for wrong in [settings(33, 8), settings(4, 64)] {
        assert_eq!(
            configure(&mut device, &wrong),
            Ok(Response::SetWifi(Err(Refusal::InvalidArgument)))
        );
    }
    assert_eq!(
        configure(&mut device, &Request::ApplyWifi),
        Ok(Response::ApplyWifi(Ok(())))
    );
    assert_eq!(
        configure(&mut device, &Request::ApplyWifi),
        Ok(Response::ApplyWifi(Err(Refusal::InternalError)))
    );
}

#[test]
fn thread_command_on_a_wifi_build_has_the_published_answer() {
    let mut device = device(Protection::Sec0);
    let request = Request::ThreadStatus.encode();
    let bytes = exchange(&mut device, "prov-config", request.reveal()).unwrap();
    assert_eq!(hex::encode(bytes), "08078a01020804");
}

fn control(device: &mut Device, request: ctrl::Request) -> ctrl::Response {
    let bytes = exchange(device, "prov-ctrl", &request.encode()).unwrap();
    ctrl::Response::decode(&bytes).unwrap()
}

#[test]
fn reset_and_reprov_work_only_in_their_states() {
    let reset = |outcome| ctrl::Response::WifiReset(outcome);
    let reprov = |outcome| ctrl::Response::WifiReprov(outcome);
    let refused = Err(Refusal::InternalError);
    let joined = JoinState::Connected(Connected {
        ip: [10, 0, 0, 2].into(),
        auth: Auth::Open,
        ssid: b"s".to_vec(),
        bssid: vec![],
        channel: 1,
    });
    for (auto_stop, reset_when_ready) in [(true, true), (false, false)] {
        let mut device = Device::new(DeviceConfig {
            auto_stop,
            reset_when_ready,
            ..DeviceConfig::new(Protection::Sec0, None)
        });
        let ready = if reset_when_ready { Ok(()) } else { refused };
        assert_eq!(control(&mut device, ctrl::Request::WifiReset), reset(ready));
        configure(&mut device, &settings(4, 8)).unwrap();
        configure(&mut device, &Request::ApplyWifi).unwrap();
        assert_eq!(control(&mut device, ctrl::Request::WifiReset), reset(refused));
        device.join(joined.clone());
        assert_eq!(control(&mut device, ctrl::Request::WifiReset), reset(refused));
        let stays = if auto_stop { refused } else { Ok(()) };
        assert_eq!(control(&mut device, ctrl::Request::WifiReprov), reprov(stays));
        configure(&mut device, &settings(4, 8)).unwrap();
        let applied = configure(&mut device, &Request::ApplyWifi);
        assert_eq!(applied, Ok(Response::ApplyWifi(stays)), "{auto_stop}");
        assert_eq!(control(&mut device, ctrl::Request::WifiReprov), reprov(stays));
    }
}

#[test]
fn rows_beyond_the_count_are_an_att_error() {
    let mut device = device(Protection::Sec0);
    let rows = |start_index, count| scan::Request::WifiResult { start_index, count }.encode();
    assert_eq!(write(&mut device, "prov-scan", &rows(0, 1)), Err(NIMBLE));
    write(
        &mut device,
        "prov-scan",
        &scan::Request::wifi_start(false).encode(),
    )
    .unwrap();
    assert_eq!(device.poll_effect(), Some(Effect::ScanRequested));
    let row = AccessPoint {
        ssid: b"s".to_vec(),
        channel: 1,
        rssi: -50,
        bssid: [0; 6],
        auth: Auth::Open,
    };
    device.scan_finished(vec![row; 20]);
    assert!(write(&mut device, "prov-scan", &rows(12, 4)).is_ok());
    assert_eq!(write(&mut device, "prov-scan", &rows(13, 4)), Err(NIMBLE));
    assert_eq!(write(&mut device, "prov-scan", &rows(u32::MAX, 2)), Err(NIMBLE));
}

#[test]
fn response_over_the_limit_cannot_be_read() {
    let mut device = Device::new(DeviceConfig {
        value_limit: 20,
        ..DeviceConfig::new(Protection::Sec0, None)
    });
    write(&mut device, "proto-ver", b"x").unwrap();
    assert_eq!(
        device.read(id(&device, "proto-ver")).map_err(|error| error.att),
        Err(0x0d)
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_to_any_endpoint_are_survived(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80), which in 0usize..9,
    ) {
        let offer = Offer { credentials: true, identity: true, status: true, blink: true, ..Offer::default() };
        for protection in [Protection::Sec0, sec1()] {
            let mut device = Device::new(DeviceConfig::new(protection, Some(offer.clone())));
            let id = device.gatt()[which].id;
            let _ = device.write(id, &bytes, Moment::default(), &mut dice, &mut Nobody);
            let _ = device.read(id);
        }
    }
}
