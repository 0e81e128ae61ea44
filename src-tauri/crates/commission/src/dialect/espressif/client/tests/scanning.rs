//! The networks that a device sees. Not here: which of them is chosen.

use std::format;
use std::vec::Vec;

use super::pair::*;
use crate::dialect::espressif::device::{DeviceConfig, Effect};
use crate::dialect::espressif::wire::scan::AccessPoint;
use crate::dialect::espressif::wire::version::Patch;
use crate::dialect::{Client, Command, Report};
use crate::fault::Fault;
use crate::network::{Auth, Network, SeenNetwork, Ssid};
use crate::policy::Limits;

fn row(ssid: &[u8], rssi: i32) -> AccessPoint {
    AccessPoint {
        ssid: ssid.to_vec(),
        channel: 6,
        rssi,
        bssid: [2, 0, 0, 0, 0, 1],
        auth: Auth::Wpa2Psk,
    }
}

fn names(report: &Report) -> Vec<(alloc::string::String, i16)> {
    match report {
        Report::Networks(seen) => seen
            .iter()
            .map(|SeenNetwork { ssid, rssi, .. }| (format!("{ssid}"), *rssi))
            .collect(),
        other => panic!("{other:?}"),
    }
}

/// A scan in a place with these access points.
fn scan_of(pair: &mut Pair, rows: &[AccessPoint]) -> Report {
    pair.run_with(Command::Scan, |device, effect| {
        if *effect == Effect::ScanRequested {
            device.scan_finished(rows.to_vec());
        }
    })
}

#[test]
fn networks_come_strongest_first_one_row_a_name() {
    let mut pair = Pair::opened(plain(sec1()));
    let report = scan_of(
        &mut pair,
        &[
            row(b"plant", -70),
            row(b"office", -60),
            row(b"plant", -40),
            row(b"", -30),
            row(b"caf\xe9", -90),
            row(b"plant", -80),
        ],
    );
    assert_eq!(
        names(&report),
        [
            ("plant".into(), -40),
            ("office".into(), -60),
            ("caf\\xe9".into(), -90)
        ]
    );
}

#[test]
fn any_number_of_rows_fits_the_smallest_limit_and_none_is_asked_for_too_much() {
    // A device answers with an ATT error when it is asked beyond its count, so a report is the proof.
    for count in 1..=20_u8 {
        let mut pair = Pair::opened(DeviceConfig {
            value_limit: 481,
            ..plain(sec1())
        });
        let rows: Vec<_> = (0..count)
            .map(|index| row(&[b'a' + index; 32], -i32::from(index)))
            .collect();
        let report = scan_of(&mut pair, &rows);
        assert_eq!(names(&report).len(), usize::from(count.min(16)));
    }
    let mut smallest = Pair::opened(DeviceConfig {
        value_limit: 257,
        ..plain(sec1())
    });
    let rows: Vec<_> = (0..4).map(|index| row(&[b'a' + index; 32], -120)).collect();
    assert_eq!(names(&scan_of(&mut smallest, &rows)).len(), 4);
}

#[test]
fn empty_result_is_doubted_once() {
    for empty in [1, 2, 3] {
        let mut pair = Pair::opened(plain(sec1()));
        let mut scans = 0;
        let report = pair.run_with(Command::Scan, |device, effect| {
            if *effect == Effect::ScanRequested {
                scans += 1;
                let rows = if scans <= empty {
                    Vec::new()
                } else {
                    [row(b"plant", -50)].to_vec()
                };
                device.scan_finished(rows);
            }
        });
        assert_eq!(scans, 2);
        assert_eq!(names(&report).len(), usize::from(empty == 1));
    }
}

#[test]
fn scan_is_looked_at_in_its_pace_and_given_up_at_its_end() {
    let mut pair = Pair::opened(plain(sec2(Patch::Counter)));
    let begun = pair.now;
    let report = pair.run(Command::Scan);
    assert_eq!(report, Report::Failed(Fault::ScanTimeout));
    assert_eq!(pair.now - begun, Limits::default().scan);
    // One start, then a look at each pace, and none at the end itself.
    let Limits { scan, scan_pace, .. } = Limits::default();
    let looks = scan.as_millis() / scan_pace.as_millis() - 1;
    assert_eq!(pair.count(is_write) as u128, 1 + 2 + 1 + looks);
    assert!(pair.client.session_stands());
    assert!(matches!(pair.run(Command::JoinStatus), Report::Join(_)));
}

#[test]
fn scan_after_apply_never_ends() {
    let mut pair = Pair::opened(plain(sec1()));
    let network = Network::new(Ssid::new("plant").unwrap(), None, false).unwrap();
    assert_eq!(pair.run(Command::SetNetwork(network)), Report::NetworkSet);
    assert_eq!(pair.run(Command::Apply), Report::Applied);
    let report = scan_of(&mut pair, &[row(b"plant", -50)]);
    assert_eq!(report, Report::Failed(Fault::ScanTimeout));
}

#[test]
fn device_without_scan_says_so() {
    let mut pair = Pair::opened(DeviceConfig {
        scan: false,
        ..plain(sec1())
    });
    assert_eq!(
        pair.run(Command::Scan),
        Report::Failed(Fault::EndpointMissing("prov-scan".into()))
    );
}
