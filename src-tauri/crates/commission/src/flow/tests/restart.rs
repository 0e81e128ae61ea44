//! The program dies at any moment and is started again: its journal tells it what to finish or to undo.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::device::Enrolling;
use super::sim::*;
use crate::claim::Purpose;
use crate::evidence::{Fact, Principal, PrincipalStatus};
use crate::fault::{CloudError, Fault};
use crate::flow::*;
use crate::policy::PlainDevices;

/// Kills a good run after so many steps; none when it ended before.
fn killed(steps: usize, last_record_is_on_disk: bool) -> Option<(Site, Plan, Remains)> {
    let (mut site, plan, device) = Site::one();
    site.start(plan.clone(), device);
    for _ in 0..steps {
        site.step();
    }
    if site.post().outcome.is_some() {
        return None;
    }
    site.crash(last_record_is_on_disk);
    let ended = |step: &Step| matches!(step, Step::Finished { .. });
    if site.post().recorded.iter().any(ended) {
        return None;
    }
    let remains = Remains::of(&site.post().recorded);
    Some((site, plan, remains))
}

#[test]
fn a_job_that_was_killed_at_any_moment_is_finished_by_the_next_run() {
    for on_disk in [true, false] {
        let mut steps = 0;
        while let Some((mut site, plan, remains)) = killed(steps, on_disk) {
            site.revive(plan, |plan, dialects| Job::resume(plan, remains, dialects));
            let outcome = site.run();
            assert!(
                matches!(outcome, Outcome::Done { .. }),
                "after {steps} steps: {outcome:?}"
            );
            steps += 1;
        }
        assert!(steps > 50);
    }
}

#[test]
fn a_job_that_was_killed_at_any_moment_is_undone_by_the_next_run() {
    for on_disk in [true, false] {
        let mut steps = 0;
        while let Some((mut site, plan, remains)) = killed(steps, on_disk) {
            site.revive(plan, |plan, _| Job::undo(plan, remains));
            match site.run() {
                Outcome::Failed { fault, undone, .. } => {
                    // Without a link nothing can be taken back from the device.
                    let stopped = Fault::Cancelled(None);
                    let kept = Fault::SettingsKept(stopped.clone().into());
                    let ready = site.post().device.wifi == Wifi::Ready;
                    let right = fault == kept || ready && fault == stopped;
                    assert!(right && undone, "after {steps} steps: {fault}");
                }
                Outcome::Unknown { .. } => {
                    assert!(
                        site.cloud.issued.iter().any(|issued| issued.used),
                        "after {steps} steps"
                    );
                }
                Outcome::Done { .. } => panic!("undone and done"),
            }
            steps += 1;
        }
    }
}

/// Takes up what each killed run left, in each way, and ends that before its first record is on disk. Gives whether
/// something was left, how it ended, and whether the journal has something left then.
fn taken_up_and_ended_at_once(end: impl Fn(&mut Site, JobId)) -> Vec<(bool, Outcome, bool)> {
    let (mut steps, mut ended) = (0, Vec::new());
    while killed(steps, true).is_some() {
        for only_undo in [true, false] {
            let (mut site, plan, remains) = killed(steps, true).unwrap();
            let (job, left) = (plan.job, !remains.is_empty());
            site.revive(plan, |plan, dialects| {
                if only_undo {
                    Job::undo(plan, remains)
                } else {
                    Job::resume(plan, remains, dialects)
                }
            });
            end(&mut site, job);
            let outcome = site.run();
            let open = !Remains::of(&site.post().recorded).is_empty();
            ended.push((left, outcome, open));
        }
        steps += 1;
    }
    assert!(ended.iter().filter(|(left, ..)| *left).count() > 50);
    ended
}

fn is_undone(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed { undone: true, .. })
}

#[test]
fn a_stop_right_after_a_job_is_taken_up_forgets_nothing_of_what_the_earlier_run_left() {
    // The site holds what is called undone against what is in the cloud.
    for (left, outcome, open) in taken_up_and_ended_at_once(|site, job| site.input(job, Input::Cancel)) {
        assert!(is_undone(&outcome) || left && open, "{left} {outcome:?} {open}");
    }
}

#[test]
fn a_journal_that_fails_right_after_a_job_is_taken_up_calls_nothing_undone_that_is_left() {
    let fails = |site: &mut Site, job| {
        site.post().not_recorded_at = Some(usize::MAX);
        site.input(
            job,
            Input::Ended(
                site.posts[&job].recording_call,
                Ended::NotRecorded("disk full".into()),
            ),
        );
    };
    for (left, outcome, open) in taken_up_and_ended_at_once(fails) {
        assert_eq!((is_undone(&outcome), open), (!left, left), "{outcome:?}");
    }
}

/// A run with a device that takes no claim, killed after so many steps; none when it ended before.
fn killed_plain(steps: usize) -> Option<(Site, Plan)> {
    let (mut site, mut plan, mut device) = Site::one();
    plan.policy.plain_devices = PlainDevices::WifiOnly;
    device.capabilities.claims.clear();
    device.auto_stop = true;
    let mut thing = bare("FK-0001");
    thing.principals = vec![Principal {
        id: "own".into(),
        status: PrincipalStatus::Active,
    }];
    site.cloud.things.insert("FK-0001".into(), thing);
    site.start(plan.clone(), device);
    for _ in 0..steps {
        if site.post().device.joined_at.is_some() {
            comes_back(&mut site);
        }
        site.step();
    }
    if site.post().outcome.is_some() {
        return None;
    }
    site.crash(true);
    Some((site, plan))
}

fn comes_back(site: &mut Site) {
    let at = unix(site.now);
    let thing = site.cloud.things.get_mut("FK-0001").unwrap();
    if thing.connected != Some(true) {
        thing.connected = Some(true);
        thing.connected_at = Some(at);
        thing.connected_principal = Some("own".into());
    }
}

#[test]
fn a_plain_device_that_joined_when_the_program_died_is_done_once_the_cloud_sees_it_or_has_seen_it() {
    let (mut steps, mut joined, mut seen) = (0, 0, 0);
    while let Some((mut site, plan)) = killed_plain(steps) {
        steps += 1;
        let recorded = &site.post().recorded;
        let ended = recorded.iter().any(|step| matches!(step, Step::Finished { .. }));
        let remains = Remains::of(recorded);
        if ended || site.post().device.joined_at.is_none() {
            continue;
        }
        joined += 1;
        site.post().device.advertises = false;
        if remains.single.is_some() {
            // What the cloud said then is not asked for again.
            seen += 1;
            site.cloud.down.insert(Call::Snapshot);
        } else {
            comes_back(&mut site);
        }
        site.revive(plan, |plan, dialects| Job::resume(plan, remains, dialects));
        let (thing, principal) = (Some("FK-0001".into()), "own".into());
        assert_eq!(
            site.run(),
            Outcome::Done { thing, principal },
            "after {steps} steps"
        );
        assert!(site.cloud.issued.is_empty());
    }
    assert!(joined > seen && seen > 0, "{joined} joined, {seen} seen");
}

#[test]
fn a_plain_device_that_is_not_seen_back_stays_unknown_after_a_restart() {
    let mut steps = 0;
    while let Some((mut site, plan)) = killed_plain(steps) {
        steps += 1;
        let remains = Remains::of(&site.post().recorded);
        if !remains.applied || site.post().device.joined_at.is_some() {
            continue;
        }
        site.post().device.advertises = false;
        site.revive(plan, |plan, dialects| Job::resume(plan, remains, dialects));
        let outcome = site.run();
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
        return;
    }
    panic!("it never applied the settings");
}

/// A job that a person stops so many steps after the settings are applied; none when it had ended before. A killed
/// one dies when the undone claim is written down.
fn stopped(steps: usize, case: &Case) -> Option<(Site, Plan)> {
    let (mut site, mut plan, mut device) = Site::one();
    device.enrolling = case.enrolling;
    plan.purpose = case.purpose;
    if case.purpose == Purpose::Service {
        let mut thing = bare("FK-0001");
        thing.principals = vec![Principal {
            id: "old".into(),
            status: PrincipalStatus::Active,
        }];
        site.cloud.things.insert("FK-0001".into(), thing);
    }
    site.cloud.latency.insert(Call::Retire, ms(case.retire));
    site.cloud.latency.insert(Call::Observe, ms(case.observe));
    site.start(plan.clone(), device);
    site.run_while(|site| !wrote(site, |step| matches!(step, Step::Applying)));
    for _ in 0..steps {
        site.step();
    }
    if site.post().outcome.is_some() {
        return None;
    }
    site.input(plan.job, Input::Cancel);
    let killed = case.killed;
    site.run_while(|site| {
        let ended = site.posts.values().all(|post| post.outcome.is_some());
        let retired = || wrote(site, |step| matches!(step, Step::Retired { .. }));
        !(ended || killed && retired())
    });
    site.crash(true);
    Some((site, plan))
}

fn wrote(site: &Site, of: impl Fn(&Step) -> bool) -> bool {
    site.posts.values().any(|post| post.recorded.iter().any(&of))
}

/// Steps between two moments at which a job is stopped: a few hundred moments are enough, and each is a whole story.
const STRIDE: usize = 3;

#[derive(Debug)]
struct Case {
    purpose: Purpose,
    enrolling: Enrolling,
    retire: u64,
    observe: u64,
    killed: bool,
}

/// Each with how long undoing a claim and looking at it take.
fn cases(enrolling: Enrolling, times: &[(u64, u64)]) -> Vec<Case> {
    let mut cases = Vec::new();
    for purpose in [Purpose::New, Purpose::Service] {
        for (retire, observe) in times.iter().copied() {
            cases.extend([false, true].map(|killed| Case {
                purpose,
                enrolling,
                retire,
                observe,
                killed,
            }));
        }
    }
    cases
}

/// A run that was killed with a claim request written down and not sent.
fn asked_and_killed() -> (Site, Plan, Remains) {
    let (mut site, plan, device) = Site::one();
    site.start(plan.clone(), device);
    site.run_while(|site| {
        let mut records = site.posts.values().filter_map(|post| post.recording.as_ref());
        !records.any(|step| matches!(step, Step::Claiming { .. }))
    });
    site.crash(true);
    let remains = Remains::of(&site.post().recorded);
    assert_eq!(remains.asked.len(), 1);
    (site, plan, remains)
}

#[test]
fn a_claim_request_without_answer_is_settled_by_a_refusal_that_says_that_no_claim_came_of_it() {
    for (code, settled) in [
        ("already-enrolled", true),
        ("unknown-device", true),
        ("owned-by-other", true),
        ("clone-suspected", true),
        ("template-disabled", true),
        ("claim-refused", true),
        ("idempotency-mismatch", false),
        ("role-lacks-right", false),
        ("token-invalid", false),
        ("malformed-request", false),
    ] {
        let (mut site, plan, remains) = asked_and_killed();
        let refused = CloudTrouble::Error(CloudError::Refused {
            code: code.into(),
            message: "no".into(),
        });
        site.cloud.troubles.push((Call::Issue, refused));
        site.revive(plan, |plan, _| Job::undo(plan, remains));
        let outcome = site.run();
        assert_eq!(is_undone(&outcome), settled, "{code}: {outcome:?}");
        let left = Remains::of(&site.post().recorded);
        assert_eq!(left.is_empty(), settled, "{code}: {left:?}");
    }
}

#[test]
fn a_transfer_that_the_next_run_undoes_asks_the_cloud_and_says_that_the_old_credential_is_off() {
    for claiming in [true, false] {
        let (mut site, mut plan, device) = Site::one();
        plan.purpose = Purpose::Transfer;
        let mut thing = bare("FK-0001");
        thing.principals = vec![Principal {
            id: "old".into(),
            status: PrincipalStatus::Active,
        }];
        site.cloud.things.insert("FK-0001".into(), thing);
        site.start(plan.clone(), device);
        site.run_while(|site| {
            !wrote(site, |step| match step {
                Step::Claiming { .. } => claiming,
                Step::Deactivating { .. } => !claiming,
                _ => false,
            })
        });
        site.crash(true);
        let remains = Remains::of(&site.post().recorded);
        site.revive(plan, |plan, _| Job::undo(plan, remains));
        let expected = Fault::EarlierOff(Fault::Cancelled(None).into());
        match site.run() {
            Outcome::Failed { fault, undone, .. } => assert_eq!((fault, undone), (expected, true)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_device_that_proved_its_identity_to_an_earlier_run_has_to_prove_the_same_to_the_next_one() {
    for (spoil, fault) in [
        (
            (|device| device.capabilities.identity = false) as fn(&mut Device),
            Fault::IdentityMissing,
        ),
        (
            |device| device.key.0 = [99; 32],
            Fault::CloneSuspected("FK-0001".into()),
        ),
    ] {
        let (mut site, plan, device) = Site::one();
        site.start(plan.clone(), device);
        site.run_while(|site| !wrote(site, |step| matches!(step, Step::Identified { .. })));
        site.crash(true);
        let remains = Remains::of(&site.post().recorded);
        let serial = site.post().device.serial.clone();
        if let Some(snapshot) = site.cloud.snapshots.get_mut(&serial) {
            snapshot.identity_key_sha256 = None;
        }
        spoil(&mut site.post().device);
        site.revive(plan, |plan, dialects| Job::resume(plan, remains, dialects));
        match site.run() {
            Outcome::Failed {
                fault: got, undone, ..
            } => assert_eq!((got, undone), (fault, true)),
            other => panic!("{other:?}"),
        }
    }
}

fn retires(site: &Site) -> usize {
    let calls = site.cloud.calls.iter();
    calls.filter(|(_, call)| *call == Call::Retire).count()
}

#[test]
fn a_device_that_was_quicker_than_the_undoing_of_its_claim_is_finished_by_the_next_run() {
    let (mut told_before, mut told_after, mut not_told) = (0, 0, 0);
    for case in cases(Enrolling::Works, &[(80, 80), (2500, 80), (80, 4000)]) {
        let mut steps = 0;
        while let Some((mut site, plan)) = stopped(steps, &case) {
            steps += STRIDE;
            let recorded = &site.post().recorded;
            let at = |of: &dyn Fn(&Step) -> bool| recorded.iter().position(of);
            let retired = at(&|step| matches!(step, Step::Retired { .. }));
            let registered = at(
                &|step| matches!(step, Step::Evidence { evidence } if matches!(evidence.fact, Fact::Registered { .. })),
            );
            let remains = Remains::of(recorded);
            let quick = site.cloud.issued.iter().any(|issued| issued.used);
            if remains.is_empty() || !quick || retired.is_none() {
                continue;
            }
            match registered {
                Some(at) if Some(at) < retired => told_before += 1,
                Some(_) => told_after += 1,
                None => not_told += 1,
            }
            let undone = retires(&site);
            site.post().device.advertises = false;
            site.revive(plan, |plan, dialects| Job::resume(plan, remains, dialects));
            done(&site.run());
            assert_eq!(retires(&site), undone, "undone twice: {case:?}");
        }
    }
    assert!(
        told_before > 0 && told_after > 0 && not_told > 0,
        "{told_before}, {told_after}, {not_told}"
    );
}

#[test]
fn a_device_that_never_used_its_undone_claim_has_failed_or_gets_a_fresh_one() {
    for case in cases(Enrolling::FromClaim(2), &[(80, 80)]) {
        for at_hand in [false, true] {
            let (mut steps, mut settled) = (0, 0);
            while let Some((mut site, plan)) = stopped(steps, &case) {
                steps += 1;
                let remains = Remains::of(&site.post().recorded);
                if remains.retired.is_none() || remains.is_empty() {
                    continue;
                }
                settled += 1;
                site.post().device.advertises = at_hand;
                site.revive(plan, |plan, dialects| Job::resume(plan, remains, dialects));
                match site.run() {
                    Outcome::Done { .. } => assert!(at_hand, "{case:?}"),
                    Outcome::Failed { undone: true, .. } => assert!(!at_hand, "{case:?}"),
                    other => panic!("{other:?} after {steps} steps of {case:?}"),
                }
            }
            assert!(settled > 0 || !case.killed, "{case:?}");
        }
    }
}

/// A device that was done while the claim that it got first could not be undone.
fn done_with_a_claim_left() -> (Site, Plan) {
    let (mut site, mut plan, device) = Site::one();
    plan.network = None;
    site.cloud.life = secs(120);
    site.cloud.down.insert(Call::Retire);
    site.start(plan.clone(), device);
    answer(&mut site, secs(60), Answer::Network(network("plant", PASSPHRASE)));
    done(&site.run());
    assert!(!site.cloud.issued[0].retired);
    site.crash(true);
    (site, plan)
}

fn take_up(site: &mut Site, plan: &Plan, only_undo: bool) {
    let remains = Remains::of(&site.post().recorded);
    assert!(!remains.is_empty());
    site.revive(plan.clone(), |plan, dialects| {
        if only_undo {
            Job::undo(plan, remains)
        } else {
            Job::resume(plan, remains, dialects)
        }
    });
}

#[test]
fn a_claim_that_a_done_job_could_not_undo_is_undone_by_the_next_run_and_the_job_stays_done() {
    for only_undo in [true, false] {
        for stopped in [true, false] {
            let (mut site, plan) = done_with_a_claim_left();
            let links = site.post().device.links();
            // Still out of order, so it stays open.
            take_up(&mut site, &plan, only_undo);
            done(&site.run());
            site.crash(true);
            site.cloud.down.clear();
            take_up(&mut site, &plan, only_undo);
            if stopped {
                site.input(plan.job, Input::Cancel);
            }
            done(&site.run());
            assert!(site.cloud.issued[0].retired);
            assert!(Remains::of(&site.post().recorded).is_empty());
            assert_eq!(site.post().device.links(), links, "the device is left alone");
        }
    }
}

#[test]
fn a_stop_while_a_done_job_undoes_a_replaced_claim_leaves_it_done() {
    let (mut site, mut plan, device) = Site::one();
    plan.network = None;
    let job = plan.job;
    site.cloud.life = secs(120);
    site.cloud.latency.insert(Call::Retire, secs(55));
    site.start(plan, device);
    answer(&mut site, secs(40), Answer::Network(network("plant", PASSPHRASE)));
    site.run_while(|site| {
        !wrote(
            site,
            |step| matches!(step, Step::Evidence { evidence } if evidence.fact == Fact::Released),
        )
    });
    assert!(site.post().outcome.is_none());
    site.input(job, Input::Cancel);
    done(&site.run());
    assert!(site.cloud.issued[0].retired);
}

#[test]
fn a_job_that_ended_leaves_nothing() {
    let (mut site, plan, device) = Site::one();
    site.start(plan, device);
    site.run();
    assert!(Remains::of(&site.post().recorded).is_empty());
}

#[test]
fn a_job_runs_without_a_batch() {
    let (_, plan, _) = Site::one();
    let none = |_, _: &crate::gatt::GattTable| Err(Fault::EndpointMissing("all".into()));
    let mut job = Job::new(plan, Box::new(none));
    let mut entropy = |bytes: &mut [u8]| bytes.fill(7);
    let now = crate::time::Moment::default();
    let Some((call, Action::Record(Step::Started { .. }))) = job.poll_action() else {
        panic!("the beginning is not written down");
    };
    assert_eq!(
        job.poll_action(),
        None,
        "nothing happens before it is written down"
    );
    job.handle(Input::Ended(call, Ended::Recorded), now, &mut entropy);
    assert!(matches!(job.poll_action(), Some((_, Action::Snapshot { .. }))) || job.poll_timeout().is_some());
}

#[test]
fn a_visit_that_died_before_anybody_looked_is_gone_on_with() {
    for purpose in [Purpose::Service, Purpose::Transfer] {
        let (mut site, mut plan, device) = Site::one();
        plan.purpose = purpose;
        let mut thing = bare("FK-0001");
        thing.principals = vec![Principal {
            id: "old".into(),
            status: PrincipalStatus::Active,
        }];
        site.cloud.things.insert("FK-0001".into(), thing);
        site.start(plan.clone(), device);
        site.run_while(|site| count_of(site, Kind::Open) == 0);
        site.crash(true);
        let remains = Remains::of(&site.post().recorded);
        assert_eq!(remains.before, None);
        site.revive(plan, |plan, dialects| Job::resume(plan, remains, dialects));
        done(&site.run());
    }
}
