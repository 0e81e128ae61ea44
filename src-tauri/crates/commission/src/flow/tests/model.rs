//! Anything at any time: devices, clouds, people, disks and restarts as a generator throws them together. The site is
//! the reference: it knows what is true, checks the rules after every step and the outcome at the end.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::sim::*;
use crate::claim::Purpose;
use crate::dialect::{Join, Report};
use crate::evidence::{Principal, PrincipalStatus, Thing};
use crate::fault::{CloudError, Fault};
use crate::flow::*;
use crate::gatt::LinkError;
use crate::secret::{Passphrase, Pop};

/// What one device and its site are like, and what happens to them.
#[derive(Clone, Debug)]
struct Story {
    pop_known: bool,
    pop_right: bool,
    network_known: bool,
    passphrase_right: bool,
    retry_in_place: bool,
    enrol_status: bool,
    identity: bool,
    auto_stop: bool,
    no_dhcp: bool,
    enrolling: Enrolling,
    purpose: Purpose,
    prefetch: bool,
    life: u64,
    issue_latency: u64,
    troubles: Vec<(usize, Trouble)>,
    failed_connects: usize,
    instead: Vec<(Kind, Report)>,
    cloud: Vec<(Call, CloudTrouble)>,
    down: Vec<Call>,
    answers: Vec<(u64, Answer)>,
    leaves_air_after: Option<usize>,
    cancel_after: Option<usize>,
    journal_breaks_at: Option<usize>,
    crash_after: Option<(usize, bool)>,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        Just(Call::Snapshot),
        Just(Call::Issue),
        Just(Call::Observe),
        Just(Call::Retire),
        Just(Call::Deactivate),
        Just(Call::Release),
    ]
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        Just(Trouble::LostBefore),
        Just(Trouble::LostAfter),
        Just(Trouble::Silence),
        Just(Trouble::Error(LinkError::Att(0x0e))),
        Just(Trouble::Error(LinkError::NotConnected)),
        Just(Trouble::Error(LinkError::NotPermitted)),
    ]
}

fn cloud_trouble() -> impl Strategy<Value = CloudTrouble> {
    prop_oneof![
        Just(CloudTrouble::LostAnswer),
        Just(CloudTrouble::Silence),
        Just(CloudTrouble::Error(CloudError::Unreachable("reset".into()))),
        Just(CloudTrouble::Error(CloudError::Throttled {
            retry_after: Some(3)
        })),
        Just(CloudTrouble::Error(CloudError::SignedOut)),
        Just(CloudTrouble::Error(CloudError::Nonsense("<html>".into()))),
        Just(CloudTrouble::Error(CloudError::Refused {
            code: "not-verified".into(),
            message: String::new(),
        })),
    ]
}

fn instead() -> impl Strategy<Value = (Kind, Report)> {
    let failed = |fault| Report::Failed(fault);
    prop_oneof![
        Just((Kind::Open, failed(Fault::WrongPop))),
        Just((Kind::Scan, failed(Fault::ScanTimeout))),
        Just((Kind::Scan, Report::Networks(Vec::new()))),
        Just((Kind::SetNetwork, failed(Fault::SettingsRefused(4)))),
        Just((Kind::SendClaim, failed(Fault::ClaimExpired))),
        Just((Kind::SendClaim, failed(Fault::ClaimRejected("digest".into())))),
        Just((Kind::Apply, failed(Fault::SettingsRefused(5)))),
        Just((Kind::JoinStatus, failed(Fault::Protocol("empty".into())))),
        Just((Kind::JoinStatus, Report::Join(Join::Refused))),
        Just((Kind::JoinStatus, Report::Join(Join::NotFound))),
        Just((Kind::JoinStatus, Report::Join(Join::Disconnected))),
        Just((
            Kind::EnrolStatus,
            Report::Enrol(crate::dialect::Enrol::ClaimExpired)
        )),
        Just((Kind::ResetNetwork, failed(Fault::SettingsRefused(5)))),
    ]
}

fn answer() -> impl Strategy<Value = (u64, Answer)> {
    let answer = prop_oneof![
        3 => Just(pop(POP)),
        1 => Just(pop("wrong")),
        3 => Just(Answer::Network(network("plant", PASSPHRASE))),
        1 => Just(Answer::Network(network("elsewhere", PASSPHRASE))),
        3 => Just(Answer::Passphrase(Passphrase::new(PASSPHRASE))),
        2 => Just(Answer::GoOn),
        1 => Just(Answer::Passphrase(Passphrase::new("short"))),
        1 => Just(Answer::Skip),
        1 => Just(Answer::Nobody),
    ];
    (0_u64..200, answer)
}

fn enrolling() -> impl Strategy<Value = Enrolling> {
    prop_oneof![
        8 => Just(Enrolling::Works),
        1 => Just(Enrolling::Refused),
        1 => Just(Enrolling::Never),
        1 => Just(Enrolling::Unseen),
        1 => Just(Enrolling::Revoked),
        1 => Just(Enrolling::FromClaim(2)),
    ]
}

fn story() -> impl Strategy<Value = Story> {
    let device = (
        prop::array::uniform8(prop::bool::weighted(0.8)),
        (any::<bool>(), prop::bool::weighted(0.05), enrolling()),
        prop_oneof![
            Just(Purpose::New),
            Just(Purpose::Service),
            Just(Purpose::Transfer)
        ],
        (80_u64..400, 1_u64..4000),
    );
    let air = (
        prop::collection::vec((0_usize..60, trouble()), 0..4),
        0_usize..5,
        prop::collection::vec(instead(), 0..3),
        prop::option::weighted(0.2, 0_usize..40),
    );
    let cloud = (
        prop::collection::vec((call(), cloud_trouble()), 0..4),
        prop::collection::vec(call(), 0..2),
    );
    let person = (
        prop::collection::vec(answer(), 0..6),
        prop::option::weighted(0.2, 0_usize..300),
    );
    let disk = (
        prop::option::weighted(0.1, 1_usize..20),
        prop::option::weighted(0.3, (0_usize..300, any::<bool>())),
    );
    (device, air, cloud, person, disk).prop_map(|(device, air, cloud, person, disk)| {
        let (
            [
                pop_known,
                pop_right,
                network_known,
                passphrase_right,
                retry,
                status,
                identity,
                prefetch,
            ],
            odd,
            purpose,
            times,
        ) = device;
        Story {
            pop_known,
            pop_right,
            network_known,
            passphrase_right,
            retry_in_place: retry,
            enrol_status: status,
            identity,
            auto_stop: odd.0,
            no_dhcp: odd.1,
            enrolling: odd.2,
            purpose,
            prefetch,
            life: times.0,
            issue_latency: times.1,
            troubles: air.0,
            failed_connects: air.1,
            instead: air.2,
            leaves_air_after: air.3,
            cloud: cloud.0,
            down: if odd.0 { cloud.1 } else { Vec::new() },
            answers: person.0,
            cancel_after: person.1,
            journal_breaks_at: disk.0,
            crash_after: disk.1,
        }
    })
}

fn enter(site: &mut Site, number: u64, story: &Story) -> Plan {
    let mut device = Device::new(number);
    let mut plan = plan(number.into(), &device);
    plan.purpose = story.purpose;
    plan.policy.prefetch_claim = story.prefetch;
    plan.pop = story
        .pop_known
        .then(|| Pop::new(if story.pop_right { POP } else { "wrong" }));
    let passphrase = if story.passphrase_right {
        PASSPHRASE
    } else {
        "wrong-pass"
    };
    plan.network = story.network_known.then(|| network("plant", passphrase));
    device.capabilities.retry_in_place = story.retry_in_place;
    device.capabilities.enrol_status = story.enrol_status;
    device.capabilities.identity = story.identity;
    device.auto_stop = story.auto_stop;
    device.capabilities.keep_link = !story.auto_stop && story.retry_in_place && story.identity;
    device.no_dhcp = story.no_dhcp;
    device.enrolling = story.enrolling;
    device.troubles = story.troubles.iter().cloned().collect();
    device.failed_connects = (0..story.failed_connects.saturating_sub(2))
        .map(|_| LinkError::OutOfReach)
        .collect();
    device.instead = story.instead.clone();
    if story.purpose != Purpose::New {
        let name = String::from(device.serial.as_str());
        let old = Principal {
            id: "old".into(),
            status: PrincipalStatus::Active,
        };
        let thing = Thing {
            name: name.clone(),
            version: 1,
            principals: [old].into(),
            connected: Some(true),
            connected_at: None,
            connected_principal: Some("old".into()),
            inferred_principal: None,
        };
        site.cloud.things.insert(name, thing);
    }
    site.start(plan.clone(), device);
    let post = site.posts.get_mut(&plan.job).unwrap();
    post.person.answers = story
        .answers
        .iter()
        .map(|(wait, answer)| (secs(*wait), answer.clone()))
        .collect();
    post.not_recorded_at = story.journal_breaks_at;
    plan
}

fn settle_site(site: &mut Site, story: &Story) {
    site.cloud.life = secs(story.life);
    site.cloud.latency.insert(Call::Issue, ms(story.issue_latency));
    site.cloud.troubles = story.cloud.clone();
    site.cloud.down = story.down.iter().copied().collect();
}

fn finished(site: &Site) -> bool {
    site.posts.values().all(|post| post.outcome.is_some())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_story_breaks_a_rule(story in story()) {
        let mut site = Site::new(1);
        settle_site(&mut site, &story);
        let plan = enter(&mut site, 1, &story);
        let mut steps = 0;
        while !finished(&site) && steps < 400 {
            if story.leaves_air_after == Some(steps) {
                site.post().device.advertises = false;
            }
            if story.cancel_after == Some(steps) {
                site.input(plan.job, Input::Cancel);
            }
            if let Some((after, on_disk)) = story.crash_after && after == steps {
                site.crash(on_disk);
                let remains = Remains::of(&site.post().recorded);
                let ended = site.post().recorded.iter().any(|step| matches!(step, Step::Finished { .. }));
                if ended {
                    return Ok(());
                }
                site.revive(plan.clone(), |plan, dialects| Job::resume(plan, remains, dialects));
            }
            if !finished(&site) {
                prop_assert!(site.step(), "everything waits for ever");
            }
            steps += 1;
        }
        site.run();
    }

    #[test]
    fn no_batch_uses_more_links_than_it_has(stories in prop::collection::vec(story(), 2..7), links in 1_u8..4) {
        let mut site = Site::new(links);
        settle_site(&mut site, &stories[0]);
        for (number, story) in (1..).zip(&stories) {
            enter(&mut site, number, story);
        }
        site.run();
        prop_assert!(site.most_links <= usize::from(links));
    }
}
