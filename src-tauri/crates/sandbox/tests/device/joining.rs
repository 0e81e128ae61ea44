//! How devices are found, proven and joined, and how they fail.

use std::time::Duration;

use commission::device::DeviceKey;
use commission::dialect::{Command, Enrol, Join, Report};
use commission::fault::Fault;
use commission::gatt::LinkError;
use commission::secret::Pop;
use commission::time::UnixTime;
use sandbox::device::wifi::Joining;

use crate::bench::Bench;
use crate::phone::{Phone, advertises};

fn opened(report: &Report) -> &str {
    match report {
        Report::Opened { scheme, .. } => scheme,
        report => panic!("{report:?}"),
    }
}

#[tokio::test]
async fn every_scheme_is_opened_with_the_label_and_with_nothing_else() {
    let bench = Bench::new(
        "[[device]]\nsecurity = 2\n[[device]]\npatch = 0\n[[device]]\nsecurity = 1\n[[device]]\nsecurity = 1\n\
         no_pop = true\n[[device]]\nversion = \"v1.1\"\nno_control = true\n",
    );
    for device in &bench.devices {
        let security = &device.spec().provisioning.security;
        let mut phone = Phone::connect(device, 1);
        assert!(matches!(phone.run(Command::Describe).await, Report::Described(_)));
        if security.pop().is_some() {
            let wrong = phone.prove(Some(Pop::new("wrong")), security.username()).await;
            assert_eq!(wrong, Report::Failed(Fault::WrongPop), "{security:?}");
        }
        let report = phone.prove(security.pop().cloned(), security.username()).await;
        let scheme = opened(&report);
        assert!(scheme.contains(&security.number().to_string()), "{scheme}");
    }
}

#[tokio::test]
async fn a_right_passphrase_joins_and_the_device_falls_silent_for_good() {
    let mut bench = Bench::new("[[device]]\nsecurity = 1\nplain = true\n");
    let mut phone = Phone::open(&bench.devices[0], 1).await;
    phone.apply("plant", "goodpass").await;
    assert!(matches!(phone.joined().await, Ok(Join::Joined { .. })));
    phone.closed().await;
    advertises(&bench.devices[0], false).await;

    bench.restart();
    let mut wifi = bench.devices[0].wifi();
    wifi.wait_for(|now| matches!(now, Joining::Connected(_)))
        .await
        .unwrap();
    assert!(
        !bench.devices[0].state().provisioning,
        "a provisioned device advertises after a restart"
    );
}

#[tokio::test]
async fn a_wrong_passphrase_is_put_right_on_the_same_link() {
    let bench = Bench::new("[[device]]\n");
    let mut phone = Phone::open(&bench.devices[0], 1).await;
    phone.apply("plant", "wrongpass").await;
    assert_eq!(phone.joined().await, Ok(Join::Refused));
    assert_eq!(phone.run(Command::ResetNetwork).await, Report::NetworkReset);
    phone.apply("plant", "goodpass").await;
    assert!(matches!(phone.joined().await, Ok(Join::Joined { .. })));
}

#[tokio::test]
async fn old_firmware_must_be_switched_off_and_on_after_a_wrong_passphrase() {
    let bench = Bench::new("[[device]]\nno_control = true\nversion = \"v1.1\"\n");
    let device = &bench.devices[0];
    let mut phone = Phone::open(device, 1).await;
    phone.apply("plant", "wrongpass").await;
    assert_eq!(phone.joined().await, Ok(Join::Refused));
    assert_eq!(
        phone.run(Command::ResetNetwork).await,
        Report::Failed(Fault::PowerCycleNeeded)
    );

    device.power_cycle();
    phone.closed().await;
    let mut phone = Phone::open(device, 2).await;
    phone.apply("plant", "goodpass").await;
    assert!(matches!(phone.joined().await, Ok(Join::Joined { .. })));
}

#[tokio::test]
async fn a_network_that_the_device_does_not_hear_is_not_found() {
    let bench = Bench::new("[[device]]\ndeaf_to = [\"plant\"]\n");
    let mut phone = Phone::open(&bench.devices[0], 1).await;
    phone.apply("plant", "goodpass").await;
    assert_eq!(phone.joined().await, Ok(Join::NotFound));
}

#[tokio::test]
async fn limited_attempts_are_counted_down_over_the_link() {
    let bench = Bench::new("[[device]]\nattempts = 3\n");
    let mut phone = Phone::open(&bench.devices[0], 1).await;
    phone.apply("plant", "wrongpass").await;
    let mut seen = Vec::new();
    loop {
        match phone.run(Command::JoinStatus).await {
            Report::Join(Join::Joining { attempts_left }) => seen.extend(attempts_left),
            report => {
                assert_eq!(report, Report::Join(Join::Refused));
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    seen.dedup();
    assert_eq!(seen, [2, 1]);
}

/// The two joins that firmware never ends look the same from outside: no failure, however long one waits.
#[tokio::test(start_paused = true)]
async fn an_odd_refusal_or_a_missing_address_never_ends() {
    for manner in ["refuses-oddly", "no-address"] {
        let bench = Bench::new(&format!(
            "[[network]]\nssid = \"bad\"\npassphrase = \"goodpass\"\nmanner = \"{manner}\"\n[[device]]\n"
        ));
        let mut phone = Phone::open(&bench.devices[0], 1).await;
        phone.apply("bad", "goodpass").await;
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let report = phone.run(Command::JoinStatus).await;
            assert_eq!(
                report,
                Report::Join(Join::Joining { attempts_left: None }),
                "{manner}"
            );
        }
    }
}

#[tokio::test]
async fn five_wrong_pops_end_provisioning_until_the_device_is_switched_off_and_on() {
    let bench = Bench::new("[[device]]\nlockout = 5\nsecurity = 2\n");
    let device = &bench.devices[0];
    let mut phone = Phone::connect(device, 1);
    assert!(matches!(phone.run(Command::Describe).await, Report::Described(_)));
    for _ in 0..4 {
        let report = phone.prove(Some(Pop::new("wrong")), None).await;
        assert_eq!(report, Report::Failed(Fault::WrongPop));
    }
    let report = phone.prove(Some(Pop::new("wrong")), None).await;
    assert!(
        matches!(report, Report::Failed(Fault::WrongPop | Fault::LockedOut)),
        "{report:?}"
    );
    phone.closed().await;
    advertises(device, false).await;
    assert!(device.state().locked_out);

    device.power_cycle();
    Phone::open(device, 2).await;
}

#[tokio::test]
async fn bluedroid_closes_the_link_on_a_wrong_pop_and_nimble_does_not() {
    let bench = Bench::new("[[device]]\n[[device]]\nstack = \"bluedroid\"\nvalue_limit = 481\n");
    for (device, stays) in bench.devices.iter().zip([true, false]) {
        let mut phone = Phone::connect(device, 1);
        assert!(matches!(phone.run(Command::Describe).await, Report::Described(_)));
        let report = phone.prove(Some(Pop::new("wrong")), None).await;
        assert_eq!(report, Report::Failed(Fault::WrongPop));
        assert_eq!(phone.is_up(), stays);
        phone.disconnect();
        Phone::open(device, 2).await;
    }
}

#[tokio::test]
async fn the_device_sees_its_networks_strongest_first_and_an_empty_room_only_once() {
    let bench = Bench::new(
        "[[network]]\nssid = \"near\"\nrssi = -30\n[[network]]\nssid = \"five\"\nchannel = 36\n[[network]]\n\
         ssid_hex = \"ff00fe\"\nrssi = -60\n[[device]]\nempty_scans = 1\nhears = { plant = -80 }\n",
    );
    let mut phone = Phone::open(&bench.devices[0], 1).await;
    let Report::Networks(networks) = phone.run(Command::Scan).await else {
        panic!()
    };
    let seen: Vec<_> = networks
        .iter()
        .map(|seen| (seen.ssid.to_string(), seen.rssi))
        .collect();
    assert_eq!(
        seen,
        [
            ("near".into(), -30),
            ("\\xff\\u{0}\\xfe".into(), -60),
            ("plant".into(), -80)
        ]
    );
}

#[tokio::test]
async fn more_networks_than_the_firmware_lists_are_cut_at_sixteen() {
    let many: String = (0..24)
        .map(|n| format!("[[network]]\nssid = \"net{n}\"\nrssi = -{}\n", 40 + n))
        .collect();
    let bench = Bench::new(&format!("{many}[[device]]\nhears = {{ plant = -99 }}\n"));
    let mut phone = Phone::open(&bench.devices[0], 1).await;
    let Report::Networks(networks) = phone.run(Command::Scan).await else {
        panic!()
    };
    assert_eq!(networks.len(), 16);
    assert_eq!(networks[0].ssid.to_string(), "net0");
}

#[tokio::test]
async fn every_kind_of_identity_holds_before_the_maker_that_made_it() {
    let bench = Bench::new(
        "[[device]]\n[[device]]\nidentity = \"ed25519\"\n[[device]]\nidentity = \"p256-chain\"\nvalue_limit = 257\nsecurity = 1\n\
         [[device]]\nidentity = \"ed25519-chain\"\nchunk = 400\n",
    );
    let makers = [engine::settings::Maker {
        name: "sandbox".into(),
        root_pem: bench.maker().root_pem().to_owned(),
    }];
    for device in &bench.devices {
        let mut phone = Phone::open(device, 1).await;
        let report = phone.run(Command::Identify { challenge: [7; 32] }).await;
        let Report::Identified(proof) = report else {
            panic!("{report:?}")
        };
        let chained = matches!(proof.key, DeviceKey::Chain(_));
        let identity = engine::identity::check(&proof, &makers, UnixTime(1_800_000_000))
            .unwrap()
            .identity;
        assert_eq!(identity.serial, device.spec().serial);
        assert_eq!(Some(identity.key_sha256), device.fingerprint());
        assert_eq!(chained, device.spec().number > 2);
    }
}

#[tokio::test]
async fn a_plain_device_is_told_apart_from_one_with_our_endpoints() {
    let bench = Bench::new(
        "[[device]]\nplain = true\n[[device]]\n[[device]]\nbare_version = true\nversion = \"v1.0\"\nsecurity = 1\n",
    );
    let mut claims = Vec::new();
    for device in &bench.devices {
        let mut phone = Phone::connect(device, 1);
        let Report::Described(can) = phone.run(Command::Describe).await else {
            panic!()
        };
        claims.push((can.claims.len(), can.identity, can.enrol_status));
    }
    assert_eq!(claims, [(0, false, false), (1, true, true), (0, false, false)]);
}

#[tokio::test]
async fn a_dropped_request_ends_the_link_and_the_device_advertises_again() {
    let bench = Bench::new("[[device]]\ndrop = [{ endpoint = \"prov-config\", request = 1 }]\n");
    let device = &bench.devices[0];
    let mut phone = Phone::open(device, 1).await;
    let network = commission::network::Network::new(
        commission::network::Ssid::new("plant").unwrap(),
        Some(commission::secret::Passphrase::new("goodpass")),
        false,
    );
    assert_eq!(
        phone.run(Command::SetNetwork(network.unwrap())).await,
        Report::NetworkSet
    );
    let report = phone.run(Command::Apply).await;
    assert!(matches!(report, Report::Failed(Fault::Link(_))), "{report:?}");
    phone.closed().await;
    advertises(device, true).await;
    assert_eq!(*device.wifi().borrow(), Joining::Idle);
}

#[tokio::test]
async fn a_request_that_fails_or_is_garbled_is_a_fault_and_never_a_success() {
    let bench = Bench::new(
        "[[device]]\nfail = [{ endpoint = \"prov-config\", request = 0 }]\n\
         [[device]]\nsecurity = 2\ngarble = [{ endpoint = \"prov-config\", request = 0 }]\n",
    );
    for device in &bench.devices {
        let mut phone = Phone::open(device, 1).await;
        let report = phone.run(Command::JoinStatus).await;
        assert!(matches!(report, Report::Failed(_)), "{report:?}");
        assert!(!matches!(
            report,
            Report::Failed(Fault::Link(LinkError::NotConnected))
        ));
    }
}

#[tokio::test]
async fn blinking_is_seen_and_a_closed_window_is_silence() {
    let bench = Bench::new("[[device]]\nwindow_ms = 60000\n");
    let device = &bench.devices[0];
    let mut phone = Phone::open(device, 1).await;
    assert_eq!(phone.run(Command::Blink).await, Report::Blinked);
    assert_eq!(device.state().blinks, 1);
    phone.closed().await;
    advertises(device, false).await;
    device.press_button();
    advertises(device, true).await;
}

#[tokio::test]
async fn nothing_is_enrolled_without_a_claim() {
    let bench = Bench::new("[[device]]\nkeep_link = true\n");
    let mut phone = Phone::open(&bench.devices[0], 1).await;
    phone.apply("plant", "goodpass").await;
    assert!(matches!(phone.joined().await, Ok(Join::Joined { .. })));
    assert_eq!(
        phone.run(Command::EnrolStatus).await,
        Report::Enrol(Enrol::Waiting)
    );
    assert!(phone.is_up(), "a firmware that keeps its link closed it");
    assert_eq!(bench.devices[0].state().principal, None);
}
