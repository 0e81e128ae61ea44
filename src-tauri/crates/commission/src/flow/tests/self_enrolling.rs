//! Devices that come to their identity by what they were made with: Wi-Fi, no claim, and the cloud's own word.

use alloc::vec;

use super::sim::*;
use crate::claim::Purpose;
use crate::dialect::{Enrol, Report};
use crate::evidence::{Fact, Owner, Principal, PrincipalStatus, Snapshot, Thing};
use crate::fault::Fault;
use crate::flow::*;
use crate::policy::PlainDevices;

/// A site whose one device takes claims and is to get none; the cloud has never seen it.
fn site() -> (Site, Plan, Device) {
    let (mut site, plan, mut device) = Site::one();
    device.auto_stop = true;
    let snapshot = Snapshot {
        known: Some(true),
        identity_key_sha256: Some(device.key),
        min_firmware: None,
        owner: Owner::None,
        thing: None,
        self_enrolling: true,
    };
    site.cloud.snapshots.insert(device.serial.clone(), snapshot);
    (site, plan, device)
}

/// The cloud has registered it by the certificate that it came with, and sees it now if it is online.
fn registers(site: &mut Site, online: bool) {
    let at = unix(site.now);
    let thing = site
        .cloud
        .things
        .entry("FK-0001".into())
        .or_insert_with(|| Thing {
            name: "FK-0001".into(),
            version: 1,
            principals: vec![Principal {
                id: "factory".into(),
                status: PrincipalStatus::Active,
            }],
            connected: Some(false),
            connected_at: None,
            connected_principal: None,
            inferred_principal: None,
        });
    if online && thing.connected != Some(true) {
        thing.connected = Some(true);
        thing.connected_at = Some(at);
        thing.connected_principal = Some("factory".into());
    }
}

fn enrolled() -> Outcome {
    Outcome::Done {
        thing: Some("FK-0001".into()),
        principal: "factory".into(),
    }
}

fn facts(site: &mut Site) -> vec::Vec<Fact> {
    let events = &site.post().events;
    let facts = events.iter().filter_map(|event| match event {
        Event::Evidence(evidence) => Some(evidence.fact.clone()),
        _ => None,
    });
    facts.collect()
}

#[test]
fn a_device_that_enrols_itself_gets_wifi_alone_and_is_done_once_the_cloud_sees_it() {
    for plain in [false, true] {
        let (mut site, mut plan, mut device) = site();
        if plain {
            plan.policy.plain_devices = PlainDevices::WifiOnly;
            device.capabilities.claims.clear();
        }
        site.start(plan, device);
        site.run_while(|site| count_of(site, Kind::JoinStatus) < 8);
        registers(&mut site, true);
        assert_eq!(site.run(), enrolled(), "plain: {plain}");
        assert!(site.cloud.issued.is_empty(), "no claim is spent");
        assert_eq!(count(&mut site, Kind::SendClaim), 0);
        let registered = Fact::Registered {
            thing: Some("FK-0001".into()),
            principal: Some("factory".into()),
        };
        assert!(facts(&mut site).contains(&registered), "it is new to the cloud");
    }
}

#[test]
fn one_that_the_cloud_knew_before_is_done_without_being_registered_anew() {
    let (mut site, plan, device) = site();
    registers(&mut site, false);
    site.start(plan, device);
    site.run_while(|site| count_of(site, Kind::JoinStatus) < 8);
    registers(&mut site, true);
    assert_eq!(site.run(), enrolled());
    let anew = |fact: &Fact| matches!(fact, Fact::Registered { .. });
    assert!(!facts(&mut site).iter().any(anew));
}

#[test]
fn one_that_is_registered_and_never_seen_online_is_unknown_and_not_done() {
    let (mut site, plan, device) = site();
    site.start(plan, device);
    site.run_while(|site| count_of(site, Kind::JoinStatus) < 8);
    registers(&mut site, false);
    let (stage, fault) = (Stage::Enrolling, Fault::NotSeenOnline);
    assert_eq!(site.run(), Outcome::Unknown { stage, fault });
    assert!(site.cloud.issued.is_empty());
}

/// The cloud has given it another certificate in place of the one that it came with, which stays active beside it.
fn registers_anew(site: &mut Site, online: bool) {
    let at = unix(site.now);
    let thing = site.cloud.things.get_mut("FK-0001").unwrap();
    if thing.principals.iter().all(|own| own.id != "fresh") {
        thing.principals.push(Principal {
            id: "fresh".into(),
            status: PrincipalStatus::Active,
        });
    }
    if online {
        thing.connected = Some(true);
        thing.connected_at = Some(at);
        thing.connected_principal = Some("fresh".into());
    }
}

#[test]
fn a_new_credential_on_a_service_visit_puts_the_old_one_off_once_it_works() {
    let (mut site, mut plan, device) = site();
    plan.purpose = Purpose::Service;
    registers(&mut site, false);
    site.start(plan, device);
    site.run_while(|site| count_of(site, Kind::JoinStatus) < 8);
    registers_anew(&mut site, false);
    let later = site.now + secs(20);
    site.run_while(|site| site.now < later);
    let active = |site: &Site| site.cloud.things["FK-0001"].active().count();
    assert_eq!(
        active(&site),
        2,
        "the old one stays until the new one is seen online"
    );
    registers_anew(&mut site, true);
    let outcome = Outcome::Done {
        thing: Some("FK-0001".into()),
        principal: "fresh".into(),
    };
    assert_eq!(site.run(), outcome);
    assert_eq!(active(&site), 1);
}

#[test]
fn a_service_visit_without_a_new_credential_puts_nothing_off() {
    let (mut site, mut plan, device) = site();
    plan.purpose = Purpose::Service;
    registers(&mut site, false);
    site.start(plan, device);
    site.run_while(|site| count_of(site, Kind::JoinStatus) < 8);
    registers(&mut site, true);
    assert_eq!(site.run(), enrolled());
    assert_eq!(site.cloud.things["FK-0001"].active().count(), 1);
}

#[test]
fn two_active_credentials_on_a_first_visit_are_named_and_left_to_people() {
    let (mut site, plan, device) = site();
    registers(&mut site, false);
    site.start(plan, device);
    site.run_while(|site| count_of(site, Kind::JoinStatus) < 8);
    registers_anew(&mut site, true);
    let (stage, fault) = (Stage::Enrolling, Fault::ActiveCredentials(2));
    assert_eq!(site.run(), Outcome::Unknown { stage, fault });
    assert_eq!(site.cloud.things["FK-0001"].active().count(), 2);
}

#[test]
fn it_cannot_be_moved_to_another_owner_from_here() {
    let (mut site, mut plan, device) = site();
    plan.purpose = Purpose::Transfer;
    site.start(plan, device);
    let outcome = site.run();
    assert!(
        matches!(
            &outcome,
            Outcome::Failed {
                fault: Fault::EnrolsItself,
                undone: true,
                ..
            }
        ),
        "{outcome:?}"
    );
    assert_eq!(
        count(&mut site, Kind::SetNetwork),
        0,
        "its settings are as they were"
    );
}

#[test]
fn what_it_said_to_be_in_its_way_is_told_unless_it_came_further() {
    let refused = || Enrol::Refused {
        code: "HookRefused".into(),
        message: "no".into(),
    };
    let unreachable = || Enrol::Unreachable { reason: "dns".into() };
    let registered = || Enrol::Registered {
        thing: None,
        principal: "factory".into(),
    };
    let told = Fault::EnrolmentRefused {
        code: "HookRefused".into(),
        message: "no".into(),
    };
    let cut_off = Fault::CloudUnreachableFromDevice("dns".into());
    for (says, in_registry, fault) in [
        (vec![refused()], false, told),
        (vec![refused()], true, Fault::NotSeenOnline),
        (vec![unreachable()], false, cut_off.clone()),
        (vec![unreachable()], true, cut_off),
        (vec![unreachable(), registered()], true, Fault::NotSeenOnline),
        (vec![refused(), registered()], false, Fault::NotSeenOnline),
    ] {
        let (mut site, plan, mut device) = site();
        device.auto_stop = false;
        let case = alloc::format!("{says:?}, registered: {in_registry}");
        let says = says.into_iter();
        device
            .instead
            .extend(says.map(|says| (Kind::EnrolStatus, Report::Enrol(says))));
        site.start(plan, device);
        site.run_while(|site| !site.posts.values().all(|post| post.device.joined_at.is_some()));
        if in_registry {
            registers(&mut site, false);
        }
        let stage = Stage::Enrolling;
        assert_eq!(site.run(), Outcome::Unknown { stage, fault }, "{case}");
    }
}

#[test]
fn a_wrong_passphrase_is_corrected_on_the_same_link_with_no_claim_either() {
    let (mut site, mut plan, mut device) = site();
    device.auto_stop = false;
    plan.network = Some(network("plant", "wrong-pass"));
    site.start(plan, device);
    answer(&mut site, secs(20), passphrase(PASSPHRASE));
    site.run_while(|site| !site.posts.values().all(|post| post.device.joined_at.is_some()));
    registers(&mut site, true);
    assert_eq!(site.run(), enrolled());
    assert_eq!(site.post().device.links(), 1);
    assert!(site.cloud.issued.is_empty());
}

/// The program dies and takes the job up again, until the device is on its network. Whether it was there before; none where
/// the end stands in the journal already.
fn restarts(site: &mut Site, plan: Plan) -> Option<bool> {
    site.crash(true);
    let remains = Remains::of(&site.post().recorded);
    let had_joined = site.post().device.joined_at.is_some();
    if had_joined && remains.is_empty() {
        return None;
    }
    site.post().device.advertises = !had_joined;
    site.revive(plan, |plan, dialects| Job::resume(plan, remains, dialects));
    site.run_while(|site| !site.posts.values().all(|post| post.device.joined_at.is_some()));
    Some(had_joined)
}

#[test]
fn after_a_restart_it_is_watched_on_and_gets_no_claim_at_any_moment() {
    let (mut steps, mut joined) = (0, 0);
    loop {
        let (mut site, plan, device) = site();
        site.start(plan.clone(), device);
        for _ in 0..steps {
            site.step();
        }
        if site.post().outcome.is_some() {
            break;
        }
        steps += 1;
        joined += usize::from(restarts(&mut site, plan).unwrap());
        registers(&mut site, true);
        assert_eq!(site.run(), enrolled(), "after {steps} steps");
        assert!(site.cloud.issued.is_empty(), "after {steps} steps");
    }
    assert!(joined > 0 && steps > joined, "{steps} steps, {joined} joined");
}

#[test]
fn after_a_restart_the_one_credential_of_a_device_that_was_known_before_stays_on() {
    let mut steps = 0;
    for purpose in [Purpose::New, Purpose::Service] {
        for crash in 0.. {
            let (mut site, mut plan, device) = site();
            plan.purpose = purpose;
            registers(&mut site, false);
            site.start(plan.clone(), device);
            for _ in 0..crash {
                site.step();
            }
            if site.post().outcome.is_some() {
                break;
            }
            steps += 1;
            restarts(&mut site, plan).unwrap();
            registers(&mut site, true);
            assert_eq!(site.run(), enrolled(), "{purpose:?} after {crash} steps");
            assert_eq!(site.cloud.things["FK-0001"].active().count(), 1);
        }
    }
    assert!(steps > 40, "{steps}");
}

#[test]
fn after_a_restart_on_a_service_visit_the_old_credential_alone_goes_off() {
    let (mut steps, mut joined) = (0, 0);
    loop {
        let (mut site, mut plan, device) = site();
        plan.purpose = Purpose::Service;
        registers(&mut site, false);
        site.start(plan.clone(), device);
        for _ in 0..steps {
            site.step();
            if site.post().device.joined_at.is_some() {
                registers_anew(&mut site, true);
            }
        }
        steps += 1;
        let Some(had_joined) = restarts(&mut site, plan) else {
            break;
        };
        joined += usize::from(had_joined);
        registers_anew(&mut site, true);
        let outcome = Outcome::Done {
            thing: Some("FK-0001".into()),
            principal: "fresh".into(),
        };
        assert_eq!(site.run(), outcome, "after {steps} steps");
        let active: vec::Vec<_> = site.cloud.things["FK-0001"].active().collect();
        assert!(
            matches!(active.as_slice(), [only] if only.id == "fresh"),
            "after {steps} steps"
        );
    }
    assert!(joined > 0 && steps > joined, "{steps} steps, {joined} joined");
}
