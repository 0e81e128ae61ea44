//! Answers that a plain decoder would take for good news, and hostile ones. Over Security 0, so that any bytes pass.

use std::boxed::Box;
use std::vec::Vec;

use proptest::prelude::*;

use super::pair::*;
use crate::dialect::espressif::security::Protection;
use crate::dialect::{Command, Join, Report};
use crate::fault::Fault;
use crate::network::{Network, Ssid};

/// What a command comes to when the device's next answer is `bytes`.
fn answered(command: Command, bytes: &[u8]) -> Report {
    let mut pair = Pair::opened(ours(Protection::Sec0));
    let bytes = bytes.to_vec();
    pair.radio(move |_, op| {
        let bytes = bytes.clone();
        if is_read(op) {
            Radio::Change(Box::new(move |_| bytes.clone()))
        } else {
            Radio::Carry
        }
    });
    pair.run(command)
}

fn from_hex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn network() -> Network {
    Network::new(Ssid::new("plant").unwrap(), None, false).unwrap()
}

#[test]
fn nothing_but_a_full_answer_is_joined() {
    let good = from_hex("08015a225a200a0c3139322e3136382e312e313010031a04686f6d652206010203aa05062806");
    let joined = Report::Join(Join::Joined {
        address: "192.168.1.10".into(),
        network: Ssid::new("home").ok(),
    });
    assert_eq!(answered(Command::JoinStatus, &good), joined);
    for end in 0..good.len() {
        let report = answered(Command::JoinStatus, &good[..end]);
        assert_eq!(code(&report), "protocol", "{end} bytes: {report:?}");
    }
    for bad in [
        "5200",                           // our own request, echoed
        "08015a00",                       // no state: zero is "connected"
        "08015a0408001000",               // status and state zero, no body
        "08015a025a00",                   // connected, empty body
        "08015a04080510005a00",           // an error
        "08015a0b5a090a07302e302e302e30", // 0.0.0.0
        "08036a00",                       // the answer to another request
    ] {
        let report = answered(Command::JoinStatus, &from_hex(bad));
        assert!(matches!(report, Report::Failed(_)), "{bad}: {report:?}");
    }
}

#[test]
fn failure_without_a_reason_is_not_a_wrong_passphrase() {
    assert_eq!(
        answered(Command::JoinStatus, &from_hex("08015a021003")),
        Report::Join(Join::Disconnected)
    );
    assert_eq!(
        answered(Command::JoinStatus, &from_hex("08015a0410035000")),
        Report::Join(Join::Refused)
    );
}

#[test]
fn settings_need_an_explicit_answer() {
    let set = || Command::SetNetwork(network());
    assert_eq!(answered(set(), &from_hex("08036a00")), Report::NetworkSet);
    assert_eq!(
        answered(set(), &from_hex("08036a020804")),
        Report::Failed(Fault::SettingsRefused(4))
    );
    assert_eq!(
        answered(Command::Apply, &from_hex("08057a020805")),
        Report::Failed(Fault::SettingsRefused(5))
    );
    for bad in ["", "08", "0803", "0804", "08057a00"] {
        let report = answered(set(), &from_hex(bad));
        assert_eq!(code(&report), "protocol", "{bad}: {report:?}");
    }
}

#[test]
fn zero_status_of_our_own_endpoints_is_never_success() {
    for bytes in ["", "0800", "08016200", "620a", "1001"] {
        for command in [
            Command::Blink,
            Command::EnrolStatus,
            Command::AbortClaim,
            Command::Identify { challenge: [0; 32] },
        ] {
            if bytes == "08016200" && command == Command::Blink {
                continue; // an explicit yes, with something unknown behind it
            }
            let report = answered(command, &from_hex(bytes));
            let good = matches!(report, Report::Enrol(crate::dialect::Enrol::Waiting));
            assert!(matches!(report, Report::Failed(_)) || good, "{bytes}: {report:?}");
        }
    }
}

#[test]
fn scan_that_promises_more_than_it_has_ends() {
    // Finished with six rows; then, again and again, the same bytes, which are no rows.
    let report = answered(Command::Scan, &from_hex("08036a0408011006"));
    assert_eq!(code(&report), "protocol");
    let mut pair = Pair::opened(ours(Protection::Sec0));
    let answers = ["08015a00", "08036a05080110ff01", "08057a00"];
    let mut next = answers.into_iter();
    pair.radio(move |_, op| {
        let bytes = if is_read(op) { next.next().unwrap() } else { "" };
        Radio::Invent(from_hex(bytes))
    });
    assert_eq!(pair.run(Command::Scan), Report::Networks(Vec::new()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn hostile_answers_end_every_command_without_panic_or_success(
        bytes in prop::collection::vec(any::<u8>(), 0..64), which in 0usize..6,
    ) {
        let command = [
            Command::JoinStatus, Command::Apply, Command::Scan, Command::ResetNetwork,
            Command::AbortClaim, Command::Identify { challenge: [0; 32] },
        ][which].clone();
        let _ = answered(command, &bytes);
    }

    #[test]
    fn hostile_first_words_end_without_panic(
        version in prop::collection::vec(any::<u8>(), 0..64),
        handshake in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut pair = Pair::new(ours(sec1()));
        let mut answers = [version, handshake].into_iter();
        pair.radio(move |_, op| match answers.len() {
            0 => Radio::Carry,
            _ if is_read(op) => {
                let bytes = answers.next().unwrap();
                Radio::Change(Box::new(move |_| bytes.clone()))
            }
            _ => Radio::Carry,
        });
        let _ = pair.run(Command::Describe);
        let _ = pair.run(open_with(POP));
    }
}
