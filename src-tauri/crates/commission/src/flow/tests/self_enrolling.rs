//! Devices that come to their identity by what they were made with: Wi-Fi, no claim, and the cloud's own word.

use alloc::vec;

use super::sim::*;
use crate::evidence::{Fact, Owner, Principal, PrincipalStatus, Snapshot, Thing};
use crate::fault::Fault;
use crate::flow::*;
use crate::policy::PlainDevices;

/// A site whose one device takes claims and is to get none; the cloud has never seen it.
fn site() -> (Site, Plan, Device) {
    let (mut site, plan, mut device) = Site::one();
    device.auto_stop = true;
    let snapshot = Snapshot {
        known: true,
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
        site.crash(true);
        let remains = Remains::of(&site.post().recorded);
        if site.post().device.joined_at.is_some() {
            joined += 1;
            site.post().device.advertises = false;
            registers(&mut site, true);
            site.revive(plan, |plan, dialects| Job::resume(plan, remains, dialects));
            assert_eq!(site.run(), enrolled(), "after {steps} steps");
        } else {
            site.revive(plan, |plan, dialects| Job::resume(plan, remains, dialects));
            site.run_while(|site| !site.posts.values().all(|post| post.device.joined_at.is_some()));
            registers(&mut site, true);
            assert_eq!(site.run(), enrolled(), "after {steps} steps");
        }
        assert!(site.cloud.issued.is_empty(), "after {steps} steps");
    }
    assert!(joined > 0 && steps > joined, "{steps} steps, {joined} joined");
}
