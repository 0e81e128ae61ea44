//! Opening a session: what a device describes, scheme by scheme, and possession of it.

use std::vec;

use super::pair::*;
use crate::claim::ClaimForm;
use crate::dialect::espressif::device::{DeviceConfig, Effect, Stack};
use crate::dialect::espressif::offer::Offer;
use crate::dialect::espressif::security::srp::XRule;
use crate::dialect::espressif::security::{Protection, sec2 as scheme2};
use crate::dialect::espressif::wire::version::{App, Patch, Version};
use crate::dialect::{Capabilities, Client, Command, Report, Strength};
use crate::fault::Fault;
use crate::gatt::{GattOp, LinkError};
use crate::secret::Pop;

fn capabilities(config: DeviceConfig) -> Capabilities {
    match Pair::new(config).run(Command::Describe) {
        Report::Described(capabilities) => capabilities,
        other => panic!("{other:?}"),
    }
}

#[test]
fn device_of_ours_and_plain_one_are_told_apart() {
    let ours = capabilities(ours(sec1()));
    assert_eq!(
        ours,
        Capabilities {
            strength: Strength::GuessablePop,
            encrypted: true,
            pop: true,
            nonce_reuse: false,
            network_scan: true,
            retry_in_place: true,
            keep_link: true,
            claims: vec![ClaimForm::Certificate, ClaimForm::PublicKey],
            identity: true,
            enrol_status: true,
            blink: true,
            summary: "Espressif netprov-v1.2, security 1".into(),
        }
    );
    let plain = capabilities(plain(sec1()));
    assert_eq!(plain.claims, vec![]);
    assert!(!plain.identity && !plain.enrol_status && !plain.blink);
    assert!(plain.retry_in_place && plain.network_scan);
}

#[test]
fn old_firmware_is_described_by_what_it_lacks() {
    let bare = DeviceConfig {
        ctrl: false,
        scan: false,
        proto_ver: Some(b"v1.0".to_vec()),
        ..plain(sec1())
    };
    let bare = capabilities(bare);
    assert!(!bare.retry_in_place && !bare.network_scan);
    assert!(bare.encrypted && bare.pop);
    assert_eq!(bare.summary, "Espressif v1.0, security 1");
}

#[test]
fn every_scheme_and_variant_opens() {
    let without_sec_ver = |protection| {
        let mut config = plain(protection);
        let stated = Version {
            sec_ver: None,
            sec_patch_ver: None,
            ..config.version()
        };
        config.proto_ver = Some(stated.encode());
        config
    };
    let no_pop = || Protection::Sec1 { pop: None };
    let table = [
        (plain(Protection::Sec0), "security 0", false, false),
        (without_sec_ver(Protection::Sec0), "security 0", false, false),
        (plain(sec1()), "security 1", true, false),
        (without_sec_ver(sec1()), "security 1", true, false),
        (plain(no_pop()), "security 1", false, false),
        (without_sec_ver(no_pop()), "security 1", false, false),
        (plain(sec2(Patch::Constant)), "security 2 patch 0", true, true),
        (plain(sec2(Patch::Counter)), "security 2 patch 1", true, false),
    ];
    for (config, words, pop, nonce_reuse) in table {
        for (stack, value_limit) in [(Stack::NimBle, 512), (Stack::Bluedroid, 481)] {
            let config = DeviceConfig {
                stack,
                value_limit,
                ..config.clone()
            };
            let mut pair = Pair::new(config);
            let Report::Opened { scheme, capabilities } = pair.open().unwrap() else {
                panic!("{words}")
            };
            assert_eq!(scheme, words);
            assert_eq!((capabilities.pop, capabilities.nonce_reuse), (pop, nonce_reuse));
            assert!(pair.client.session_stands());
            assert_eq!(
                pair.run(Command::JoinStatus),
                Report::Join(crate::dialect::Join::Joining { attempts_left: None })
            );
        }
    }
}

#[test]
fn plain_text_version_opens_as_security_1() {
    let mut pair = Pair::new(DeviceConfig {
        proto_ver: Some(b"SUCCESS".to_vec()),
        ..plain(sec1())
    });
    assert!(pair.open().is_ok());
}

#[test]
fn names_that_cannot_be_read_do_not_stop_a_device_of_ours() {
    let mut pair = Pair::opened(DeviceConfig {
        names: false,
        ..ours(sec1())
    });
    assert_eq!(pair.run(Command::Blink), Report::Blinked);
    assert_eq!(pair.effects, [Effect::Blink]);
}

#[test]
fn a_description_takes_one_read_a_name_and_one_exchange() {
    let mut pair = Pair::new(ours(sec1()));
    pair.run(Command::Describe);
    assert_eq!(pair.ops.len(), 9 + 2);
    // A second description does not read the names again.
    pair.run(Command::Describe);
    assert_eq!(pair.ops.len(), 9 + 2 + 2);
}

#[test]
fn what_is_announced_and_missing_is_named() {
    let mut config = plain(sec1());
    let mut version = config.version();
    version.apps = [("fieldkey".into(), offer().to_app())].into();
    config.proto_ver = Some(version.encode());
    let report = Pair::new(config).run(Command::Describe);
    assert_eq!(report, Report::Failed(Fault::EndpointMissing("identity".into())));
}

#[test]
fn unknown_schemes_and_other_networks_are_refused_by_name() {
    let described = |change: fn(&mut Version)| {
        let mut config = plain(sec1());
        let mut version = config.version();
        change(&mut version);
        config.proto_ver = Some(version.encode());
        Pair::new(config).run(Command::Describe)
    };
    assert_eq!(
        described(|version| version.sec_ver = Some(3)),
        Report::Failed(Fault::UnsupportedScheme(3))
    );
    let thread = described(|version| version.caps = vec!["thread_prov".into()]);
    assert_eq!(code(&thread), "protocol");
    let later = described(|version| {
        let app = App {
            ver: "2.0".into(),
            ..Offer::default().to_app()
        };
        version.apps = [("fieldkey".into(), app)].into();
    });
    assert!(matches!(later, Report::Described(capabilities) if capabilities.claims.is_empty()));
}

#[test]
fn wrong_pop_is_corrected_on_the_same_link() {
    for protection in [sec1(), sec2(Patch::Counter)] {
        let mut pair = Pair::new(plain(protection));
        pair.run(Command::Describe);
        assert_eq!(pair.run(open_with("abcd1235")), Report::Failed(Fault::WrongPop));
        assert!(!pair.client.session_stands());
        assert!(matches!(pair.run(open_with(POP)), Report::Opened { .. }));
        assert!(matches!(pair.run(Command::JoinStatus), Report::Join(_)));
    }
}

#[test]
fn wrong_pop_on_bluedroid_is_named_although_the_link_closes() {
    for protection in [sec1(), sec2(Patch::Counter)] {
        let mut pair = Pair::new(DeviceConfig {
            stack: Stack::Bluedroid,
            ..plain(protection)
        });
        pair.run(Command::Describe);
        assert_eq!(pair.run(open_with("wrong")), Report::Failed(Fault::WrongPop));
        assert!(pair.closed);
        pair.relink();
        assert!(pair.open().is_ok());
    }
}

#[test]
fn wrong_user_name_fails_like_a_wrong_pop() {
    let mut pair = Pair::new(plain(sec2(Patch::Counter)));
    pair.run(Command::Describe);
    let open = Command::Open {
        pop: Some(Pop::new(POP)),
        username: Some("admin".into()),
        refusals: 0,
    };
    assert_eq!(pair.run(open), Report::Failed(Fault::WrongPop));
}

#[test]
fn pop_is_asked_for_where_the_device_wants_one() {
    let open = Command::Open {
        pop: None,
        username: None,
        refusals: 0,
    };
    for (protection, wanted) in [
        (Protection::Sec0, false),
        (Protection::Sec1 { pop: None }, false),
        (sec1(), true),
        (sec2(Patch::Counter), true),
    ] {
        let mut pair = Pair::new(plain(protection));
        pair.run(Command::Describe);
        let report = pair.run(open.clone());
        assert_eq!(report == Report::Failed(Fault::PopNeeded), wanted, "{report:?}");
    }
}

#[test]
fn announced_lock_out_is_named_at_the_last_try() {
    let mut pair = Pair::new(DeviceConfig {
        lockout: Some(2),
        offer: Some(Offer {
            lockout: Some(2),
            ..offer()
        }),
        ..ours(sec1())
    });
    pair.run(Command::Describe);
    assert_eq!(pair.run(open_with("a")), Report::Failed(Fault::WrongPop));
    assert_eq!(pair.run(open_with("b")), Report::Failed(Fault::LockedOut));
    assert_eq!(pair.effects, [Effect::LockedOut]);
    assert!(pair.device.is_locked_out());
}

#[test]
fn lock_out_that_was_not_announced_is_named_once_the_service_is_gone() {
    let mut pair = Pair::new(DeviceConfig {
        lockout: Some(2),
        ..plain(sec1())
    });
    pair.run(Command::Describe);
    pair.run(open_with("a"));
    assert_eq!(pair.run(open_with("b")), Report::Failed(Fault::WrongPop));
    assert_eq!(pair.run(open_with(POP)), Report::Failed(Fault::LockedOut));
}

#[test]
fn device_that_does_not_know_the_pop_itself_is_found_out() {
    for protection in [sec1(), sec2(Patch::Counter)] {
        let mut pair = Pair::new(plain(protection));
        pair.run(Command::Describe);
        pair.radio(|index, _| match index {
            // The response to the second command, with one bit of its proof turned.
            3 => Radio::Change(std::boxed::Box::new(|mut bytes| {
                let proof = 20;
                bytes[proof] ^= 1;
                bytes
            })),
            _ => Radio::Carry,
        });
        assert_eq!(pair.run(open_with(POP)), Report::Failed(Fault::FalseDevice));
        assert!(!pair.client.session_stands());
    }
}

#[test]
fn wrongly_stated_patch_is_corrected_before_anything_is_sent() {
    for (truth, lie) in [(Patch::Constant, Some(1)), (Patch::Counter, None)] {
        let mut config = plain(sec2(truth));
        let stated = Version {
            sec_patch_ver: lie,
            ..config.version()
        };
        config.proto_ver = Some(stated.encode());
        let mut pair = Pair::new(config);
        let Ok(Report::Opened { scheme, capabilities }) = pair.open() else {
            panic!("{truth:?}")
        };
        assert_eq!(capabilities.nonce_reuse, truth == Patch::Constant);
        assert!(capabilities.summary.ends_with(&scheme));
        for _ in 0..3 {
            assert!(matches!(pair.run(Command::JoinStatus), Report::Join(_)));
        }
    }
}

fn with_verifier(salt: &[u8], rule: XRule) -> DeviceConfig {
    plain(Protection::Sec2 {
        verifier: scheme2::Verifier::generate("wifiprov", &Pop::new(POP), salt, rule),
        patch: Patch::Counter,
    })
}

#[test]
fn lost_salt_byte_is_recovered_when_the_same_pop_comes_again() {
    let mut pair = Pair::new(with_verifier(&[0x5a; 16], XRule::ShortSalt));
    pair.run(Command::Describe);
    assert_eq!(pair.run(open_with(POP)), Report::Failed(Fault::WrongPop));
    assert!(matches!(pair.run(open_with(POP)), Report::Opened { .. }));
}

#[test]
fn another_pop_is_not_tried_the_odd_way() {
    let mut pair = Pair::new(with_verifier(&[0x5a; 16], XRule::ShortSalt));
    pair.run(Command::Describe);
    pair.run(open_with("other"));
    assert_eq!(pair.run(open_with(POP)), Report::Failed(Fault::WrongPop));
}

#[test]
fn verifier_of_the_tool_that_drops_zeros_is_recovered_at_once() {
    let mut salt = [0x5a; 16];
    salt[0] = 0;
    let mut pair = Pair::new(with_verifier(&salt, XRule::EspProv));
    assert!(pair.open().is_ok());
    // And it costs a right device of that salt nothing.
    let mut right = Pair::new(with_verifier(&salt, XRule::Rfc));
    assert!(right.open().is_ok());
    assert_eq!(right.count(is_write), 3);
}

#[test]
fn public_value_that_is_a_byte_short_opens() {
    let mut pair = Pair::new(DeviceConfig {
        short_b: true,
        ..plain(sec2(Patch::Counter))
    });
    let before = pair.ops.len();
    assert!(pair.open().is_ok());
    assert!(pair.ops.len() > before);
}

#[test]
fn commands_out_of_order_fail_without_touching_the_device() {
    let mut pair = Pair::new(plain(sec1()));
    assert_eq!(code(&pair.run(open_with(POP))), "protocol");
    pair.run(Command::Describe);
    let ops = pair.ops.len();
    assert_eq!(code(&pair.run(Command::JoinStatus)), "protocol");
    assert_eq!(code(&pair.run(Command::Blink)), "endpoint-missing");
    assert_eq!(pair.ops.len(), ops);
}

#[test]
fn second_command_at_once_is_the_callers_mistake_and_changes_nothing() {
    let mut pair = Pair::new(plain(sec1()));
    let entropy = &mut |_: &mut [u8]| {};
    pair.client.begin(Command::Describe, pair.now, entropy);
    pair.client.begin(Command::Scan, pair.now, entropy);
    assert_eq!(code(&pair.client.poll_report().unwrap()), "protocol");
    assert!(matches!(
        pair.client.poll_gatt(),
        Some(GattOp::ReadDescriptor(..))
    ));
}

#[test]
fn lost_response_is_read_again_and_never_asked_for_again() {
    for error in [LinkError::InProgress, LinkError::Other("?".into())] {
        let mut pair = Pair::opened(plain(sec2(Patch::Counter)));
        let (writes, reads) = (pair.count(is_write), pair.count(is_read));
        pair.radio(move |index, _| match index {
            1 => Radio::Lose(error.clone()),
            2 => Radio::LoseAnswer(error.clone()),
            _ => Radio::Carry,
        });
        assert!(matches!(pair.run(Command::JoinStatus), Report::Join(_)));
        assert_eq!(pair.count(is_write) - writes, 1);
        assert_eq!(pair.count(is_read) - reads, 3);
        assert!(matches!(pair.run(Command::JoinStatus), Report::Join(_)));
    }
}

#[test]
fn session_whose_state_is_unknown_is_over_and_opens_anew_on_the_same_link() {
    let radios: [fn(usize, &GattOp) -> Radio; 4] = [
        |_, _| Radio::Lose(LinkError::Other("?".into())),
        |_, _| Radio::LoseAnswer(LinkError::InProgress),
        |index, _| match index {
            0 => Radio::Carry,
            _ => Radio::Lose(LinkError::Other("?".into())),
        },
        |index, _| match index {
            0 => Radio::Carry,
            _ => Radio::Change(std::boxed::Box::new(|_| vec![])),
        },
    ];
    for radio in radios {
        for protection in [sec1(), sec2(Patch::Counter)] {
            let mut pair = Pair::opened(plain(protection));
            pair.radio(radio);
            assert!(matches!(pair.run(Command::JoinStatus), Report::Failed(_)));
            assert!(!pair.client.session_stands());
            pair.radio(|_, _| Radio::Carry);
            assert!(matches!(pair.run(open_with(POP)), Report::Opened { .. }));
            assert!(matches!(pair.run(Command::JoinStatus), Report::Join(_)));
        }
    }
}

#[test]
fn lost_link_at_any_operation_is_a_link_fault() {
    for lost in 0..15 {
        let mut pair = Pair::new(ours(sec1()));
        pair.radio(move |index, _| match index {
            _ if index >= lost => Radio::Lose(LinkError::NotConnected),
            _ => Radio::Carry,
        });
        assert_eq!(
            pair.open(),
            Err(Fault::Link(LinkError::NotConnected)),
            "at {lost}"
        );
    }
}
