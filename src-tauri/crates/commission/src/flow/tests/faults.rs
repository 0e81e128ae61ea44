//! Every fault at its step, and what the job ends with. The site checks after each step that no rule is broken, and at
//! the end that what is called undone is undone.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::sim::*;
use crate::device::{Firmware, IdentityFault, Serial};
use crate::dialect::{Join, Report};
use crate::evidence::{Owner, Principal, PrincipalStatus, Snapshot, Thing};
use crate::fault::{CloudError, Fault};
use crate::flow::*;
use crate::gatt::LinkError;
use crate::policy::{IdentityPolicy, PlainDevices};

/// What makes a good one bad.
type Spoil<T> = fn(&mut T);

fn failed(outcome: &Outcome) -> (Stage, Fault, bool) {
    match outcome {
        Outcome::Failed { stage, fault, undone } => (*stage, fault.clone(), *undone),
        other => panic!("expected a failure, got {other:?}"),
    }
}

fn ops_of_a_good_run() -> usize {
    let (mut site, plan, device) = Site::one();
    site.start(plan, device);
    done(&site.run());
    site.post().device.ops()
}

#[test]
fn a_link_lost_at_any_operation_ends_well_and_never_wrong() {
    let ops = ops_of_a_good_run();
    assert!(ops > 12, "{ops}");
    for trouble in [
        Trouble::LostBefore,
        Trouble::LostAfter,
        Trouble::Silence,
        Trouble::Error(LinkError::Timeout),
        Trouble::Error(LinkError::Att(0x0e)),
    ] {
        for index in 0..ops {
            let (mut site, plan, mut device) = Site::one();
            device.troubles.insert(index, trouble.clone());
            site.start(plan, device);
            let outcome = site.run();
            assert!(
                matches!(outcome, Outcome::Done { .. }),
                "{trouble:?} at {index}: {outcome:?}"
            );
        }
    }
}

#[test]
fn a_link_lost_at_any_operation_for_good_is_settled_by_the_cloud() {
    for trouble in [Trouble::LostBefore, Trouble::LostAfter] {
        for index in 0..ops_of_a_good_run() {
            let (mut site, plan, mut device) = Site::one();
            device.troubles.insert(index, trouble.clone());
            device.failed_connects = vec![].into();
            site.start(plan, device);
            site.run_while(|site| {
                let post = site.posts.values().next().unwrap();
                post.device.ops() <= index
            });
            site.post().device.advertises = false;
            let applied = site.post().device.kinds().contains(&Kind::Apply);
            let outcome = site.run();
            match outcome {
                Outcome::Done { .. } => assert!(applied),
                Outcome::Failed { undone, .. } => assert!(undone, "{trouble:?} at {index}"),
                Outcome::Unknown { .. } => panic!("the cloud was there to be asked: {trouble:?} at {index}"),
            }
        }
    }
}

#[test]
fn faults_of_the_device_end_the_job_by_name_and_undone() {
    let protocol = || Fault::Protocol("nonsense".into());
    let missing = || Fault::EndpointMissing("prov-config".into());
    let small = || Fault::BufferTooSmall {
        need: 3000,
        has: 2000,
    };
    let rejected = || Fault::ClaimRejected("digest".into());
    let table = [
        (Kind::Describe, missing(), Stage::Linking),
        (Kind::Describe, protocol(), Stage::Linking),
        (Kind::Open, Fault::LockedOut, Stage::Proving),
        (Kind::Open, Fault::FalseDevice, Stage::Proving),
        (Kind::Open, Fault::UnsupportedScheme(9), Stage::Proving),
        (Kind::Identify, protocol(), Stage::Identifying),
        (Kind::SetNetwork, Fault::SettingsRefused(4), Stage::Networking),
        (Kind::SendClaim, small(), Stage::Crediting),
        (Kind::SendClaim, rejected(), Stage::Crediting),
        (Kind::SendClaim, protocol(), Stage::Crediting),
        (
            Kind::SendClaim,
            Fault::Link(LinkError::NotPaired),
            Stage::Crediting,
        ),
        (Kind::Open, Fault::Link(LinkError::NotSupported), Stage::Proving),
    ];
    for (kind, fault, stage) in table {
        let (mut site, plan, mut device) = Site::one();
        device.instead.push((kind, Report::Failed(fault.clone())));
        site.start(plan, device);
        let outcome = site.run();
        assert_eq!(failed(&outcome), (stage, fault, true));
    }
}

#[test]
fn a_radio_that_cannot_link_ends_the_job_after_its_attempts() {
    for (error, tries) in [
        (LinkError::OutOfReach, 3),
        (LinkError::Timeout, 3),
        (LinkError::NoPermission, 1),
    ] {
        let (mut site, plan, mut device) = Site::one();
        device.failed_connects = vec![error.clone(); 5].into();
        site.start(plan, device);
        let outcome = site.run();
        assert_eq!(failed(&outcome), (Stage::Linking, Fault::Link(error), true));
        assert_eq!(site.post().device.failed_connects.len(), 5 - tries);
    }
}

#[test]
fn a_radio_that_is_gone_uses_up_no_attempt_and_the_job_goes_on_when_it_is_back() {
    for error in [LinkError::AdapterOff, LinkError::NoAdapter, LinkError::NoService] {
        let (mut site, plan, mut device) = Site::one();
        device.failed_connects = vec![error; 20].into();
        site.start(plan, device);
        done(&site.run());
        assert_eq!(site.post().device.failed_connects.len(), 0);
    }
}

#[test]
fn a_radio_that_stays_gone_ends_the_job_in_the_end() {
    let (mut site, plan, device) = Site::one();
    site.start(plan, device);
    site.radio(false);
    let began = site.now;
    let outcome = site.run();
    let fault = Fault::Link(LinkError::AdapterOff);
    assert_eq!(failed(&outcome), (Stage::Linking, fault, true));
    assert!(site.now.since(began) >= crate::policy::Limits::default().radio);
    assert_eq!(site.post().device.links(), 0, "nothing was tried");
}

#[test]
fn a_radio_that_goes_in_the_middle_and_comes_back_loses_nothing() {
    for gone_after in 1..40 {
        let (mut site, plan, device) = Site::one();
        let job = plan.job;
        site.start(plan, device);
        for _ in 0..gone_after {
            site.step();
        }
        if site.posts.values().all(|post| post.outcome.is_some()) {
            break;
        }
        site.radio(false);
        site.lose_link(job);
        site.pause(secs(600));
        site.radio(true);
        done(&site.run());
        assert_eq!(site.cloud.issued.iter().filter(|issued| issued.used).count(), 1);
    }
}

#[test]
fn time_that_was_slept_through_ends_nothing_but_the_claim() {
    for asleep_after in 1..120 {
        let (mut site, plan, device) = Site::one();
        let job = plan.job;
        site.start(plan, device);
        for _ in 0..asleep_after {
            site.step();
        }
        if site.posts.values().all(|post| post.outcome.is_some()) {
            break;
        }
        site.sleep(secs(7200));
        site.lose_link(job);
        done(&site.run());
        assert_eq!(site.cloud.issued.iter().filter(|issued| issued.used).count(), 1);
    }
}

#[test]
fn a_link_that_comes_at_the_last_attempt_is_used() {
    let (mut site, plan, mut device) = Site::one();
    device.failed_connects = vec![LinkError::OutOfReach; 2].into();
    site.start(plan, device);
    done(&site.run());
}

#[test]
fn capabilities_are_held_against_the_policy() {
    let table: [(Spoil<Device>, Fault); 5] = [
        (|device| device.capabilities.encrypted = false, Fault::Unencrypted),
        (|device| device.capabilities.pop = false, Fault::Unproven),
        (|device| device.capabilities.nonce_reuse = true, Fault::NonceReuse),
        (
            |device| device.capabilities.claims.clear(),
            Fault::CredentialsUnsupported,
        ),
        (
            |device| device.capabilities.identity = false,
            Fault::IdentityMissing,
        ),
    ];
    for (spoil, fault) in table {
        let (mut site, mut plan, mut device) = Site::one();
        plan.policy.identity = IdentityPolicy::Required;
        spoil(&mut device);
        site.start(plan, device);
        let (_, got, undone) = failed(&site.run());
        assert_eq!((got, undone), (fault, true));
        assert!(
            site.cloud.issued.is_empty(),
            "a claim for a device that is refused"
        );
    }
}

#[test]
fn a_policy_that_waives_a_protection_waives_exactly_that_one() {
    let (mut site, mut plan, mut device) = Site::one();
    plan.policy.allow_unencrypted = true;
    plan.policy.allow_no_pop = true;
    device.capabilities.encrypted = false;
    device.capabilities.pop = false;
    site.start(plan, device);
    done(&site.run());
}

#[test]
fn a_device_that_may_not_be_commissioned_gets_no_claim() {
    let thing = |status| Thing {
        name: "FK-0001".into(),
        version: 1,
        principals: vec![Principal {
            id: "old".into(),
            status,
        }],
        connected: Some(false),
        connected_at: None,
        connected_principal: None,
        inferred_principal: None,
    };
    let name = || "FK-0001".to_string();
    let old_firmware = Fault::FirmwareTooOld {
        found: "1.4.0".into(),
        needed: "2.0".into(),
    };
    let table: Vec<(Spoil<Snapshot>, Option<Thing>, Fault)> = vec![
        (
            |snapshot| snapshot.known = Some(false),
            None,
            Fault::UnknownDevice(name()),
        ),
        (
            |snapshot| snapshot.identity_key_sha256.as_mut().unwrap().0 = [99; 32],
            None,
            Fault::CloneSuspected(name()),
        ),
        (
            |snapshot| snapshot.owner = Owner::Other,
            None,
            Fault::OwnedByOther,
        ),
        (
            |snapshot| snapshot.min_firmware = Some(Firmware("2.0".into())),
            None,
            old_firmware,
        ),
        (
            |_| {},
            Some(thing(PrincipalStatus::Active)),
            Fault::AlreadyCommissioned,
        ),
    ];
    for (spoil, thing, fault) in table {
        let (mut site, plan, device) = Site::one();
        let mut snapshot = Snapshot {
            known: Some(true),
            identity_key_sha256: Some(device.key),
            min_firmware: None,
            owner: Owner::None,
            thing: None,
            self_enrolling: false,
        };
        spoil(&mut snapshot);
        site.cloud.snapshots.insert(device.serial.clone(), snapshot);
        if let Some(thing) = thing {
            site.cloud.things.insert(thing.name.clone(), thing);
        }
        site.start(plan, device);
        assert_eq!(failed(&site.run()), (Stage::Identifying, fault, true));
        assert!(site.cloud.issued.is_empty());
    }
}

#[test]
fn a_forged_identity_and_a_wrong_label_are_told_apart() {
    let (mut site, plan, device) = Site::one();
    site.start(plan, device);
    site.check_fails(IdentityFault::Signature);
    let (stage, fault, _) = failed(&site.run());
    assert_eq!(stage, Stage::Identifying);
    assert!(matches!(fault, Fault::IdentityForged(_)));

    let (mut site, mut plan, device) = Site::one();
    plan.serial = Some(Serial::new("FK-0002").unwrap());
    site.start(plan, device);
    let (_, fault, _) = failed(&site.run());
    let (label, device) = ("FK-0002".into(), "FK-0001".into());
    assert_eq!(fault, Fault::LabelMismatch { label, device });
}

#[test]
fn a_maker_that_nobody_named_and_a_check_that_did_not_end_are_not_held_against_the_device() {
    let why = || String::from("no thread");
    for (check, fault) in [
        (IdentityFault::UntrustedMaker, Fault::MakerUnknown),
        (IdentityFault::Unchecked(why()), Fault::IdentityUnchecked(why())),
        (IdentityFault::LaptopDate, Fault::LaptopDate),
    ] {
        let (mut site, plan, device) = Site::one();
        site.start(plan, device);
        site.check_fails(check);
        assert_eq!(failed(&site.run()), (Stage::Identifying, fault, true));
    }

    let (mut site, plan, device) = Site::one();
    site.start(plan, device);
    site.run_while(|site| site.posts.values().all(|post| !post.identity_checked));
    // The answer never comes.
    site.coming.retain(|_, coming| {
        !matches!(
            coming,
            Coming::Input(_, _, Input::Ended(_, Ended::IdentityChecked(_)))
        )
    });
    let (stage, fault, undone) = failed(&site.run());
    assert!(matches!(fault, Fault::IdentityUnchecked(_)), "{fault}");
    assert_eq!((stage, undone), (Stage::Identifying, true));
}

#[test]
fn a_device_that_nobody_can_name_is_refused() {
    let (mut site, mut plan, mut device) = Site::one();
    plan.serial = None;
    device.capabilities.identity = false;
    site.start(plan, device);
    assert_eq!(failed(&site.run()).1, Fault::SerialNeeded);
}

#[test]
fn a_device_without_a_label_is_known_by_its_identity() {
    let (mut site, mut plan, device) = Site::one();
    plan.serial = None;
    site.start(plan, device);
    done(&site.run());
}

#[test]
fn passing_trouble_with_the_cloud_is_waited_out() {
    let unreachable = || CloudError::Unreachable("reset".into());
    let throttled = || CloudError::Throttled { retry_after: Some(7) };
    for call in [Call::Snapshot, Call::Issue, Call::Observe, Call::Release] {
        for trouble in [
            CloudTrouble::Error(unreachable()),
            CloudTrouble::Error(throttled()),
            CloudTrouble::LostAnswer,
        ] {
            let (mut site, plan, device) = Site::one();
            site.cloud.troubles.push((call, trouble.clone()));
            site.start(plan, device);
            let outcome = site.run();
            assert!(
                matches!(outcome, Outcome::Done { .. }),
                "{call:?} {trouble:?}: {outcome:?}"
            );
        }
    }
}

#[test]
fn a_lost_answer_to_a_claim_request_makes_no_second_claim() {
    let (mut site, plan, device) = Site::one();
    site.cloud.troubles.push((Call::Issue, CloudTrouble::LostAnswer));
    site.start(plan, device);
    done(&site.run());
    assert_eq!(site.cloud.issued.len(), 1);
}

#[test]
fn a_claim_that_came_and_could_not_be_read_is_called_undone_only_once_it_is() {
    for (garbled, expected) in [(1, true), (40, false)] {
        let (mut site, plan, device) = Site::one();
        site.cloud.troubles = vec![(Call::Issue, CloudTrouble::GarbledAnswer); garbled];
        site.start(plan, device);
        let (stage, _, undone) = failed(&site.run());
        assert_eq!((stage, undone), (Stage::Crediting, expected));
        assert_eq!(site.cloud.issued.len(), 1);
        assert_eq!(site.cloud.issued[0].retired, expected);
        assert_eq!(Remains::of(&site.post().recorded).is_empty(), expected);
    }
}

#[test]
fn a_cloud_that_stays_away_ends_the_job_by_name() {
    let table = [
        (Call::Snapshot, true, Stage::Identifying),
        // Whether a claim was issued nobody can say.
        (Call::Issue, false, Stage::Networking),
    ];
    for (call, clean, _) in table {
        let (mut site, plan, device) = Site::one();
        site.cloud.down.insert(call);
        site.start(plan, device);
        let (_, fault, undone) = failed(&site.run());
        assert!(matches!(fault, Fault::CloudUnreachable(_)), "{call:?}: {fault:?}");
        assert_eq!(undone, clean);
    }
    for call in [Call::Observe, Call::Release] {
        let (mut site, plan, device) = Site::one();
        site.cloud.down.insert(call);
        site.start(plan, device);
        let outcome = site.run();
        assert!(
            matches!(outcome, Outcome::Unknown { .. }),
            "{call:?}: {outcome:?}"
        );
    }
}

#[test]
fn a_cloud_that_asks_to_slow_down_for_good_is_not_said_to_be_out_of_reach() {
    let (mut site, plan, device) = Site::one();
    let slower = CloudTrouble::Error(CloudError::Throttled { retry_after: Some(5) });
    site.cloud.troubles = vec![(Call::Snapshot, slower); 50];
    site.start(plan, device);
    let (_, fault, undone) = failed(&site.run());
    assert!(
        matches!(&fault, Fault::Cloud { code, .. } if code == "throttled"),
        "{fault}"
    );
    assert!(undone);
}

#[test]
fn a_cloud_that_never_answers_holds_nobody_for_ever() {
    for call in [
        Call::Snapshot,
        Call::Issue,
        Call::Observe,
        Call::Release,
        Call::Retire,
    ] {
        let (mut site, plan, mut device) = Site::one();
        for _ in 0..50 {
            site.cloud.troubles.push((call, CloudTrouble::Silence));
        }
        if call == Call::Retire {
            let rejected = Fault::ClaimRejected("digest".into());
            device.instead.push((Kind::SendClaim, Report::Failed(rejected)));
        }
        site.start(plan, device);
        let outcome = site.run();
        assert!(!matches!(outcome, Outcome::Done { .. }), "{call:?}");
    }
}

#[test]
fn a_refused_claim_is_named() {
    let refused = |code: &str| {
        CloudTrouble::Error(CloudError::Refused {
            code: code.into(),
            message: "no".into(),
        })
    };
    for (code, fault) in [
        ("already-enrolled", Fault::AlreadyCommissioned),
        ("clone-suspected", Fault::CloneSuspected("FK-0001".into())),
        (
            "template-disabled",
            Fault::ClaimRefused {
                code: "template-disabled".into(),
                message: "no".into(),
            },
        ),
    ] {
        let (mut site, plan, device) = Site::one();
        site.cloud.troubles.push((Call::Issue, refused(code)));
        site.start(plan, device);
        let (_, got, undone) = failed(&site.run());
        assert_eq!((got, undone), (fault, true));
    }
}

#[test]
fn an_enrolment_that_the_cloud_refuses_is_undone() {
    for leaves in [true, false] {
        let (mut site, plan, mut device) = Site::one();
        device.enrolling = Enrolling::Refused;
        device.capabilities.keep_link = leaves;
        site.start(plan, device);
        let refused = Fault::EnrolmentRefused {
            code: "AccessDenied".into(),
            message: "the hook says no".into(),
        };
        let fault = if leaves { refused } else { kept(refused) };
        assert_eq!(failed(&site.run()), (Stage::Enrolling, fault, true));
        assert_eq!(site.post().device.wifi == Wifi::Ready, leaves);
    }
}

#[test]
fn a_device_that_never_enrols_is_undone_and_one_never_seen_is_unknown() {
    let (mut site, plan, mut device) = Site::one();
    device.enrolling = Enrolling::Never;
    site.start(plan, device);
    assert_eq!(
        failed(&site.run()),
        (Stage::Enrolling, kept(Fault::EnrolTimeout), true)
    );

    let (mut site, plan, mut device) = Site::one();
    device.enrolling = Enrolling::Unseen;
    site.start(plan, device);
    let (stage, fault) = (Stage::Verifying, Fault::NotSeenOnline);
    assert_eq!(site.run(), Outcome::Unknown { stage, fault });
    assert!(site.cloud.released.is_empty());
}

#[test]
fn no_address_in_time_is_a_failure_that_is_undone() {
    for leaves in [true, false] {
        let (mut site, plan, mut device) = Site::one();
        device.no_dhcp = true;
        device.capabilities.keep_link = leaves;
        site.start(plan, device);
        let timeout = Fault::JoinTimeout;
        let fault = if leaves { timeout } else { kept(timeout) };
        assert_eq!(failed(&site.run()), (Stage::Joining, fault, true));
        assert_eq!(site.post().device.wifi == Wifi::Ready, leaves);
    }
}

fn kept(fault: Fault) -> Fault {
    Fault::SettingsKept(fault.into())
}

#[test]
fn firmware_that_cannot_be_corrected_must_be_switched_off_and_on() {
    let (mut site, mut plan, mut device) = Site::one();
    plan.network = Some(network("plant", "wrong-pass"));
    device.capabilities.retry_in_place = false;
    site.start(plan, device);
    assert_eq!(
        failed(&site.run()),
        (Stage::Joining, Fault::PowerCycleNeeded, true)
    );
}

#[test]
fn a_join_without_an_address_is_no_join() {
    let (mut site, plan, mut device) = Site::one();
    let empty = Join::Joined {
        address: "".into(),
        network: None,
    };
    device.instead.push((Kind::JoinStatus, Report::Join(empty)));
    site.start(plan, device);
    done(&site.run());
    let looks = site
        .post()
        .device
        .kinds()
        .into_iter()
        .filter(|kind| *kind == Kind::JoinStatus);
    assert!(looks.count() > 1);
}

#[test]
fn a_journal_that_cannot_be_written_stops_everything() {
    for index in 1..14 {
        let (mut site, plan, device) = Site::one();
        site.start(plan, device);
        site.post().not_recorded_at = Some(index);
        let outcome = site.run();
        match outcome {
            Outcome::Failed { fault, .. } | Outcome::Unknown { fault, .. } => {
                assert_eq!(fault, Fault::Journal("disk full".into()), "at {index}");
            }
            Outcome::Done { .. } => panic!("done at {index} without a journal"),
        }
    }
}

#[test]
fn plain_devices_are_given_wifi_only_where_the_cloud_knows_them_already() {
    let (mut site, mut plan, mut device) = Site::one();
    plan.policy.plain_devices = PlainDevices::WifiOnly;
    device.capabilities.claims.clear();
    site.start(plan, device);
    assert_eq!(failed(&site.run()).1, Fault::CredentialsUnsupported);
}
