//! Wi-Fi settings: written, applied, put right, and what the device says of joining and enrolling.

use core::net::Ipv4Addr;
use std::vec;

use super::pair::*;
use crate::dialect::espressif::client::Task;
use crate::dialect::espressif::device::{
    Connected, DeviceConfig, Effect, FailReason, JoinState, Stack, WifiConfig,
};
use crate::dialect::espressif::endpoints::PROV_SCAN;
use crate::dialect::espressif::wire::scan;
use crate::dialect::espressif::wire::version::Patch;
use crate::dialect::{Client, Command, Enrol, Join, Report};
use crate::fault::Fault;
use crate::network::{Auth, Network, Ssid};
use crate::secret::Passphrase;

fn network(passphrase: &str) -> Network {
    let ssid = Ssid::new("plant").unwrap();
    Network::new(ssid, Some(Passphrase::new(passphrase)), false).unwrap()
}

fn connected() -> JoinState {
    JoinState::Connected(Connected {
        ip: Ipv4Addr::new(192, 168, 1, 10),
        auth: Auth::Wpa2Psk,
        ssid: b"plant".to_vec(),
        bssid: vec![1; 6],
        channel: 6,
    })
}

fn apply(pair: &mut Pair, passphrase: &str) -> Report {
    assert_eq!(
        pair.run(Command::SetNetwork(network(passphrase))),
        Report::NetworkSet
    );
    pair.run(Command::Apply)
}

#[test]
fn every_join_state_is_told_apart() {
    let table = [
        (
            JoinState::Connecting { attempts_left: None },
            Join::Joining { attempts_left: None },
        ),
        (
            JoinState::Connecting {
                attempts_left: Some(2),
            },
            Join::Joining {
                attempts_left: Some(2),
            },
        ),
        (
            connected(),
            Join::Joined {
                address: "192.168.1.10".into(),
                network: Ssid::new("plant").ok(),
            },
        ),
        (JoinState::Failed(FailReason::AuthError), Join::Refused),
        (JoinState::Failed(FailReason::NetworkNotFound), Join::NotFound),
        (JoinState::Failed(FailReason::Unstated), Join::Disconnected),
        (JoinState::Failed(FailReason::Other(7)), Join::Disconnected),
        (JoinState::Disconnected, Join::Disconnected),
    ];
    for (state, join) in table {
        let mut pair = Pair::opened(plain(sec1()));
        assert_eq!(apply(&mut pair, "good pass"), Report::Applied);
        pair.device.join(state);
        assert_eq!(pair.run(Command::JoinStatus), Report::Join(join));
    }
}

#[test]
fn settings_arrive_as_they_were_given_and_connected_is_noticed_once() {
    let mut pair = Pair::opened(plain(sec2(Patch::Counter)));
    assert_eq!(apply(&mut pair, "good pass"), Report::Applied);
    pair.device.join(connected());
    pair.run(Command::JoinStatus);
    pair.run(Command::JoinStatus);
    let settings = WifiConfig::from(&network("good pass"));
    assert_eq!(
        pair.effects,
        [
            Effect::SettingsWritten(settings.clone()),
            Effect::Applied(settings),
            Effect::ConnectedAnswered,
        ]
    );
}

#[test]
fn wrong_passphrase_is_corrected_on_the_same_link() {
    let variants = [
        (false, true), // current firmware
        (true, true),  // resets itself, current
        (true, false), // resets itself, before 1.2.1: refuses our reset
    ];
    for (self_reset, reset_when_ready) in variants {
        let mut pair = Pair::opened(DeviceConfig {
            self_reset,
            reset_when_ready,
            ..plain(sec1())
        });
        assert_eq!(apply(&mut pair, "bad pass"), Report::Applied);
        pair.device.join(JoinState::Failed(FailReason::AuthError));
        assert_eq!(pair.run(Command::JoinStatus), Report::Join(Join::Refused));
        let reset = if self_reset && !reset_when_ready {
            Report::Failed(Fault::SettingsRefused(5))
        } else {
            Report::NetworkReset
        };
        assert_eq!(pair.run(Command::ResetNetwork), reset);
        // The old failure is still reported until the next apply.
        assert_eq!(pair.run(Command::JoinStatus), Report::Join(Join::Refused));
        assert_eq!(apply(&mut pair, "good pass"), Report::Applied);
        assert_eq!(
            pair.run(Command::JoinStatus),
            Report::Join(Join::Joining { attempts_left: None })
        );
    }
}

#[test]
fn apply_needs_settings_and_a_reset_after_a_failure() {
    let mut pair = Pair::opened(plain(sec1()));
    assert_eq!(
        pair.run(Command::Apply),
        Report::Failed(Fault::SettingsRefused(5))
    );
    assert_eq!(apply(&mut pair, "bad pass"), Report::Applied);
    pair.device.join(JoinState::Failed(FailReason::AuthError));
    assert_eq!(
        apply(&mut pair, "good pass"),
        Report::Failed(Fault::SettingsRefused(5))
    );
    assert!(pair.client.session_stands());
}

#[test]
fn only_a_device_that_keeps_its_link_forgets_settings_that_it_joins_with() {
    for protection in [sec1(), sec2(Patch::Counter)] {
        for (keep_link, report) in [
            (true, Report::NetworkReset),
            (false, Report::Failed(Fault::SettingsRefused(5))),
        ] {
            let mut config = ours(protection.clone());
            if let Some(offer) = &mut config.offer {
                offer.keep_link = keep_link;
            }
            config.auto_stop = !keep_link;
            let mut pair = Pair::opened(config);
            assert_eq!(apply(&mut pair, "good pass"), Report::Applied);
            assert_eq!(pair.run(Command::ResetNetwork), report);
            assert!(pair.client.session_stands());
            let again = if keep_link {
                Report::Applied
            } else {
                Report::Failed(Fault::SettingsRefused(5))
            };
            assert_eq!(apply(&mut pair, "good pass"), again);
        }
    }
}

#[test]
fn firmware_without_prov_ctrl_needs_its_power_cycled() {
    let mut pair = Pair::opened(DeviceConfig {
        ctrl: false,
        ..plain(sec1())
    });
    assert_eq!(
        pair.run(Command::ResetNetwork),
        Report::Failed(Fault::PowerCycleNeeded)
    );
}

#[test]
fn every_enrolment_state_comes_over() {
    let (thing, principal) = (Some("lamp-1".into()), "cert-1");
    let states = [
        Enrol::Waiting,
        Enrol::Connecting,
        Enrol::CloudReached,
        Enrol::IdentityIssued {
            principal: principal.into(),
        },
        Enrol::Registered {
            thing: thing.clone(),
            principal: principal.into(),
        },
        Enrol::Online {
            thing,
            principal: principal.into(),
        },
        Enrol::Refused {
            code: "UnauthorizedException".into(),
            message: "no".into(),
        },
        Enrol::Unreachable { reason: "dns".into() },
        Enrol::ClaimExpired,
    ];
    let mut pair = Pair::opened(ours(sec1()));
    for state in states {
        pair.device.enrol(state.clone());
        assert_eq!(pair.run(Command::EnrolStatus), Report::Enrol(state));
    }
    let mut plain = Pair::opened(plain(sec1()));
    assert_eq!(
        plain.run(Command::EnrolStatus),
        Report::Failed(Fault::EndpointMissing("cloud-status".into()))
    );
}

#[test]
fn failing_handler_keeps_the_session_on_nimble_and_ends_it_on_bluedroid() {
    for (stack, stands) in [(Stack::NimBle, true), (Stack::Bluedroid, false)] {
        for protection in [sec1(), sec2(Patch::Counter)] {
            let mut pair = Pair::opened(DeviceConfig {
                stack,
                ..plain(protection)
            });
            // Rows that are not there are an error of the handler, which no well-meant command asks for.
            let beyond = scan::Request::WifiResult {
                start_index: 0,
                count: 1,
            };
            let asked = pair.client.ask(PROV_SCAN, &beyond.encode(), Task::JoinStatus);
            assert_eq!(asked, Ok(()));
            let report = pair.finish();
            assert_eq!(code(&report), "device-refused");
            assert_eq!(pair.client.session_stands(), stands);
            if stands {
                assert!(matches!(pair.run(Command::JoinStatus), Report::Join(_)));
            }
        }
    }
}
