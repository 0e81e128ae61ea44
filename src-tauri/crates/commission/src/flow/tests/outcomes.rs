//! Every outcome is what happened: changes that may have been made, answers that come late, what is true by now instead of
//! what a record says, and devices that are not what they were.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::device::Enrolling;
use super::sim::*;
use crate::claim::{CleanupHandle, Purpose};
use crate::device::Firmware;
use crate::dialect::{Join, Report, Strength};
use crate::evidence::{Principal, PrincipalStatus, Thing};
use crate::fault::Fault;
use crate::flow::context::Context;
use crate::flow::*;
use crate::gatt::{GattTable, PeripheralId};
use crate::policy::IdentityPolicy;
use crate::time::Moment;

fn registered(site: &mut Site, principal: &str) {
    let mut thing = bare("FK-0001");
    thing.principals = vec![Principal {
        id: principal.into(),
        status: PrincipalStatus::Active,
    }];
    site.cloud.things.insert("FK-0001".into(), thing);
}

fn is_active(site: &Site, principal: &str) -> bool {
    let thing: &Thing = &site.cloud.things["FK-0001"];
    thing.active().any(|own| own.id == principal)
}

fn transfer() -> (Site, Plan) {
    let (mut site, mut plan, device) = Site::one();
    plan.purpose = Purpose::Transfer;
    registered(&mut site, "old");
    site.start(plan.clone(), device);
    (site, plan)
}

fn asked(site: &Site, call: Call) -> bool {
    site.cloud.calls.iter().any(|(_, of)| *of == call)
}

fn is_left(site: &mut Site) -> bool {
    !Remains::of(&site.post().recorded).is_empty()
}

/// All the ways in which the answer to switching the old credential off may not come before a person stops the job.
fn stopped_while_switching_off(trouble: Option<CloudTrouble>, down: bool) -> (Site, Outcome) {
    let (mut site, plan) = transfer();
    site.cloud
        .troubles
        .extend(trouble.map(|trouble| (Call::Deactivate, trouble)));
    site.run_while(|site| !asked(site, Call::Deactivate));
    site.input(plan.job, Input::Cancel);
    if down {
        site.cloud.down.extend([Call::Snapshot]);
    }
    let outcome = site.run();
    (site, outcome)
}

#[test]
fn a_transfer_stopped_while_the_old_credential_goes_off_is_never_called_undone() {
    let troubles = [None, Some(CloudTrouble::LostAnswer), Some(CloudTrouble::Silence)];
    for trouble in troubles {
        let (mut site, outcome) = stopped_while_switching_off(trouble.clone(), false);
        assert!(!is_active(&site, "old") || matches!(trouble, Some(CloudTrouble::Silence)));
        match outcome {
            Outcome::Failed { fault, undone, .. } if !is_active(&site, "old") => {
                assert_eq!(fault, Fault::EarlierOff(Fault::Cancelled(None).into()));
                assert!(!undone && is_left(&mut site), "{trouble:?}");
            }
            // The cloud says that it is on: all is as it was.
            Outcome::Failed { fault, undone, .. } => {
                assert_eq!((fault, undone), (Fault::Cancelled(None), true), "{trouble:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn whether_the_old_credential_is_off_is_unknown_while_nobody_can_say_and_stays_to_be_resumed() {
    for trouble in [CloudTrouble::LostAnswer, CloudTrouble::Silence] {
        let (mut site, outcome) = stopped_while_switching_off(Some(trouble.clone()), true);
        assert!(
            matches!(outcome, Outcome::Unknown { .. }),
            "{trouble:?}: {outcome:?}"
        );
        assert!(is_left(&mut site));
    }
}

#[test]
fn a_transfer_that_was_killed_with_the_old_credential_off_is_finished_by_the_next_run() {
    for record_on_disk in [true, false] {
        let (mut site, plan) = transfer();
        site.run_while(|site| !asked(site, Call::Deactivate));
        site.crash(record_on_disk);
        assert!(!is_active(&site, "old"));
        let remains = Remains::of(&site.post().recorded);
        assert!(!remains.is_empty());
        site.revive(plan, |plan, dialects| Job::resume(plan, remains, dialects));
        done(&site.run());
    }
}

#[test]
fn an_old_credential_that_the_cloud_shows_on_was_not_switched_off() {
    let (mut site, plan) = transfer();
    site.cloud.down.insert(Call::Deactivate);
    site.run_while(|site| !asked(site, Call::Deactivate));
    site.input(plan.job, Input::Cancel);
    match site.run() {
        Outcome::Failed { fault, undone, .. } => {
            assert_eq!((fault, undone), (Fault::Cancelled(None), true));
        }
        other => panic!("{other:?}"),
    }
    assert!(is_active(&site, "old"));
}

/// A job with two claims of an earlier run to undo, driven by hand.
struct ByHand {
    job: Job,
    now: Moment,
    calls: Vec<(CallId, CleanupHandle)>,
    recorded: Vec<Step>,
    outcome: Option<Outcome>,
}

impl ByHand {
    fn new(leftover: &[&str]) -> Self {
        let (_, plan, _) = Site::one();
        let remains = Remains {
            done: Some((None, "p".into())),
            leftover: leftover
                .iter()
                .map(|name| CleanupHandle((*name).into()))
                .collect(),
            ..Remains::default()
        };
        let mut hand = Self {
            job: Job::resume(plan, remains, Box::new(|_, _: &GattTable| Err(Fault::WrongPop))),
            now: Moment::new(secs(1000)),
            calls: Vec::new(),
            recorded: Vec::new(),
            outcome: None,
        };
        hand.drain();
        hand
    }

    fn input(&mut self, input: Input) {
        self.job
            .handle(input, self.now, &mut |bytes: &mut [u8]| bytes.fill(7));
        self.drain();
    }

    fn retired(&mut self, call: CallId) {
        self.input(Input::Ended(call, Ended::Retired(Ok(()))));
    }

    fn wait(&mut self) {
        let at = self.job.poll_timeout().expect("it waits for something");
        self.now = self.now.max(at);
        self.job
            .handle_timeout(self.now, &mut |bytes: &mut [u8]| bytes.fill(7));
        self.drain();
    }

    fn drain(&mut self) {
        while let Some((call, action)) = self.job.poll_action() {
            match action {
                Action::Record(step) => {
                    self.recorded.push(step);
                    self.input(Input::Ended(call, Ended::Recorded));
                }
                Action::Retire(cleanup) => self.calls.push((call, cleanup)),
                _ => {}
            }
        }
        while let Some(event) = self.job.poll_event() {
            if let Event::Finished(outcome) = event {
                self.outcome = Some(outcome);
            }
        }
    }

    fn written(&self, name: &str) -> bool {
        let retired = Step::Retired {
            cleanup: CleanupHandle(name.into()),
        };
        self.recorded.contains(&retired)
    }
}

#[test]
fn a_late_answer_about_one_claim_is_not_taken_for_the_answer_about_the_next() {
    let mut hand = ByHand::new(&["first", "second"]);
    let (about_first, _) = hand.calls[0].clone();
    // The first is given up in the end, and the second asked about.
    while hand.calls.last().is_some_and(|(_, cleanup)| cleanup.0 == "first") && hand.outcome.is_none() {
        hand.wait();
    }
    let (about_second, cleanup) = hand.calls.last().cloned().unwrap();
    assert_eq!(cleanup.0, "second");
    hand.retired(about_first);
    assert!(hand.written("first") && !hand.written("second"));
    hand.retired(about_second);
    assert!(hand.written("second"));
    assert!(
        matches!(hand.outcome, Some(Outcome::Done { .. })),
        "{:?}",
        hand.outcome
    );
}

#[test]
fn an_answer_that_comes_twice_counts_once() {
    let mut hand = ByHand::new(&["first", "second"]);
    let (call, _) = hand.calls[0].clone();
    hand.retired(call);
    hand.retired(call);
    assert!(hand.written("first") && !hand.written("second"));
    assert_eq!(hand.outcome, None);
}

#[test]
fn a_late_answer_is_none_to_the_question_that_is_open_by_then() {
    let (mut site, mut plan, device) = Site::one();
    let job = plan.job;
    plan.pop = Some(crate::secret::Pop::new("wrong"));
    plan.network = None;
    site.start(plan, device);
    site.run_while(|site| site.posts[&job].asked == QuestionId(0));
    let first = site.posts[&job].asked;
    site.answer_now(job, pop(POP));
    site.run_while(|site| site.posts[&job].asked == first);
    // Meant for the first question: stop it, since the code is not to be found.
    site.input(job, Input::Answer(first, Answer::Skip));
    site.answer_now(job, Answer::Network(network("plant", PASSPHRASE)));
    done(&site.run());
}

/// A job that was killed once its settings were applied, of a device that has not done anything with them.
fn killed_after_apply(enrolling: Enrolling) -> (Site, Plan, Remains) {
    let (mut site, plan, mut device) = Site::one();
    device.enrolling = enrolling;
    site.start(plan.clone(), device);
    site.run_while(|site| count_of(site, Kind::Apply) == 0);
    site.crash(true);
    let remains = Remains::of(&site.post().recorded);
    assert!(remains.applied);
    (site, plan, remains)
}

fn end_claims(site: &mut Site) {
    for issued in &mut site.cloud.issued {
        issued.retired = true;
    }
}

#[test]
fn a_device_that_another_job_commissioned_since_is_left_alone() {
    let (mut site, plan, remains) = killed_after_apply(Enrolling::Never);
    end_claims(&mut site);
    registered(&mut site, "by-another-job");
    let before = site.post().device.log.len();
    site.revive(plan, |plan, dialects| Job::resume(plan, remains, dialects));
    match site.run() {
        Outcome::Failed { fault, undone, .. } => {
            assert_eq!(fault, Fault::SettingsKept(Fault::AlreadyCommissioned.into()));
            assert!(undone);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(site.post().device.log.len(), before, "the device was touched");
    assert_eq!(site.cloud.issued.len(), 1, "a second claim");
    assert!(is_active(&site, "by-another-job"));
}

#[test]
fn a_job_that_a_later_one_superseded_takes_its_claims_back_and_nothing_else() {
    let (mut site, plan, mut remains) = killed_after_apply(Enrolling::Never);
    registered(&mut site, "by-another-job");
    remains.superseded = true;
    let before = site.post().device.log.len();
    site.revive(plan, |plan, dialects| Job::resume(plan, remains, dialects));
    match site.run() {
        Outcome::Failed { fault, undone, .. } => {
            assert_eq!((fault, undone), (Fault::Superseded, true))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(site.post().device.log.len(), before, "the device was touched");
    assert!(site.cloud.issued.iter().all(|issued| issued.retired));
}

#[test]
fn a_job_that_is_taken_up_takes_no_device_off_its_network_that_came_to_a_credential_since() {
    // Killed before anything was applied; since then another job has commissioned the device, which keeps advertising.
    let (mut site, mut plan, mut device) = Site::one();
    plan.purpose = Purpose::Service;
    device.capabilities.keep_link = true;
    site.start(plan.clone(), device);
    site.run_while(|site| count_of(site, Kind::Scan) == 0);
    site.crash(true);
    let remains = Remains::of(&site.post().recorded);
    registered(&mut site, "by-another-job");
    let joined = Join::Joined {
        address: "10.0.0.7".into(),
        network: None,
    };
    site.post()
        .device
        .instead
        .push((Kind::JoinStatus, Report::Join(joined)));
    site.revive(plan, |plan, dialects| Job::resume(plan, remains, dialects));
    match site.run() {
        Outcome::Failed { fault, undone, .. } => {
            assert_eq!((fault, undone), (Fault::AlreadyCommissioned, true))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(count(&mut site, Kind::ResetNetwork), 0);
}

#[test]
fn the_first_thing_about_a_record_of_an_earlier_run_is_what_the_cloud_says_now() {
    let (mut site, plan, remains) = killed_after_apply(Enrolling::Works);
    let before = site.cloud.calls.len();
    site.revive(plan, |plan, dialects| Job::resume(plan, remains, dialects));
    done(&site.run());
    let first = site.cloud.calls.get(before).map(|(_, call)| *call);
    assert!(matches!(first, Some(Call::Snapshot | Call::Observe)), "{first:?}");
}

/// A device that is another one over its second link.
fn changed_over_the_second_link(change: fn(&mut Device)) -> (Site, Outcome) {
    let (mut site, mut plan, device) = Site::one();
    plan.serial = None;
    site.start(plan.clone(), device);
    site.run_while(|site| count_of(site, Kind::Scan) == 0);
    change(&mut site.post().device);
    site.lose_link(plan.job);
    let outcome = site.run();
    (site, outcome)
}

#[test]
fn what_a_device_proved_over_one_link_is_demanded_over_the_next() {
    type Case = (fn(&mut Device), fn(&Fault) -> bool);
    let cases: [Case; 4] = [
        (
            |device| device.serial = crate::device::Serial::new("FK-0002").unwrap(),
            |fault| matches!(fault, Fault::IdentityForged(_)),
        ),
        (
            |device| device.key.0 = [99; 32],
            |fault| matches!(fault, Fault::CloneSuspected(_)),
        ),
        (
            |device| device.firmware = Firmware("1.0".into()),
            |fault| matches!(fault, Fault::FirmwareTooOld { .. }),
        ),
        (
            |device| device.capabilities.strength = Strength::GuessablePop,
            |fault| matches!(fault, Fault::Downgraded { .. }),
        ),
    ];
    for (change, expected) in cases {
        let (mut site, outcome) = changed_over_the_second_link(change);
        match outcome {
            Outcome::Failed { fault, .. } => assert!(expected(&fault), "{fault:?}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(count(&mut site, Kind::SendClaim), 0, "a claim for another device");
    }
}

#[test]
fn a_namesake_that_offers_less_than_the_label_knows_gets_nothing_to_guess_from() {
    let (mut site, mut plan, mut device) = Site::one();
    plan.least.strength = Strength::ReusedNonces;
    device.capabilities.strength = Strength::GuessablePop;
    site.start(plan, device);
    match site.run() {
        Outcome::Failed { fault, undone, .. } => {
            let (known, offered) = (Strength::ReusedNonces.words(), Strength::GuessablePop.words());
            assert_eq!((fault, undone), (Fault::Downgraded { known, offered }, true));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(count(&mut site, Kind::Open), 0);
}

#[test]
fn a_required_identity_is_one_that_somebody_knows() {
    let (mut site, mut plan, device) = Site::one();
    plan.policy.identity = IdentityPolicy::Required;
    let serial = device.serial.clone();
    site.start(plan, device);
    site.cloud.snapshots.get_mut(&serial).unwrap().identity_key_sha256 = None;
    match site.run() {
        Outcome::Failed { fault, undone, .. } => {
            assert_eq!((fault, undone), (Fault::IdentityUnvouched, true))
        }
        other => panic!("{other:?}"),
    }
    assert!(site.cloud.issued.is_empty());
}

#[test]
fn a_namesake_that_was_sent_wrong_codes_already_is_not_sent_another() {
    let (_, plan, _) = Site::one();
    let none = |_, _: &GattTable| Err(Fault::WrongPop);
    let mut cx = Context::new(plan, Box::new(none));
    cx.find_another();
    let (call, _) = cx.searching.unwrap();
    let other = PeripheralId("radio-2".into());
    let namesake = |wrong_pops| Namesake {
        peripheral: other.clone(),
        wrong_pops,
    };
    cx.another(call, Some(namesake(2)));
    assert!(cx.tried.contains(&other) && cx.searching.is_some_and(|(next, _)| next != call));
    let (call, _) = cx.searching.unwrap();
    cx.another(call, Some(namesake(1)));
    assert_eq!(cx.searching, None);
}

#[test]
fn a_device_is_sent_few_enough_codes_to_stay_unlocked_even_where_no_answer_comes() {
    let (mut site, mut plan, mut device) = Site::one();
    plan.pop = Some(crate::secret::Pop::new("wrong"));
    // Each link ends with the answer to the proof.
    for link in 0..12 {
        device.troubles.insert(2 + link * 3, Trouble::LostAfter);
    }
    site.start(plan, device);
    for _ in 0..6 {
        answer(&mut site, secs(1), pop("wrong"));
    }
    site.run();
    let sent = count(&mut site, Kind::Open);
    assert!(sent <= 4, "{sent} codes were sent");
}
