//! A device that an earlier job gave up can be commissioned again: it was brought back, or it is found out what it holds.

use super::sim::*;
use crate::fault::Fault;
use crate::flow::*;

/// What an earlier job left on the device.
#[derive(Clone, Copy, Debug)]
enum Left {
    Joining,
    Joined,
    Refused,
}

fn keep_link(device: &mut Device, keeps: bool) {
    device.capabilities.keep_link = keeps;
    device.auto_stop = !keeps;
}

/// A device whose earlier job ended without being able to say anything to it.
fn held(left: Left, keeps: bool) -> (Site, Plan, Device) {
    let (site, plan, mut device) = Site::one();
    keep_link(&mut device, keeps);
    device.settings = Some(network("plant", PASSPHRASE));
    let at = site.now;
    match left {
        Left::Joining => device.wifi = Wifi::Connecting(at),
        Left::Joined => {
            device.wifi = Wifi::Connecting(at);
            device.joined_at = Some(at);
        }
        Left::Refused => device.wifi = Wifi::Failed(crate::dialect::Join::Refused),
    }
    (site, plan, device)
}

#[test]
fn a_job_that_is_given_up_leaves_a_device_that_takes_the_next_one() {
    for keeps in [true, false] {
        let (mut site, mut plan, mut device) = Site::one();
        keep_link(&mut device, keeps);
        plan.network = Some(network("plant", "wrong-pass"));
        site.start(plan, device);
        answer(&mut site, secs(5), Answer::Skip);
        let asked = Fault::PassphraseRefused;
        let (stage, fault) = (Stage::Joining, Fault::Cancelled(Some(asked.into())));
        let undone = true;
        assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
        assert_eq!(site.post().device.wifi, Wifi::Ready);
        let (mut site, device) = next(&mut site);
        let before = device.kinds().len();
        site.start(super::sim::plan(2, &device), device);
        done(&site.run());
        let kinds = site.post().device.kinds();
        let again = kinds.iter().skip(before).filter(|kind| **kind == Kind::Scan);
        assert_eq!(again.count(), 1, "nothing had to be tried twice");
    }
}

#[test]
fn a_job_that_is_stopped_while_the_device_joins_says_whether_the_device_could_be_brought_back() {
    for keeps in [true, false] {
        let (mut site, plan, mut device) = Site::one();
        keep_link(&mut device, keeps);
        let job = plan.job;
        site.start(plan, device);
        site.run_while(|site| count_of(site, Kind::Apply) == 0);
        site.run_while(|site| {
            let mut recorded = site.posts.values().flat_map(|post| &post.events);
            !recorded.any(|event| *event == Event::Stage(Stage::Joining))
        });
        site.input(job, Input::Cancel);
        let stopped = Fault::Cancelled(None);
        let (stage, undone) = (Stage::Joining, true);
        let fault = if keeps {
            stopped
        } else {
            Fault::SettingsKept(stopped.into())
        };
        assert_eq!(site.run(), Outcome::Failed { stage, fault, undone });
        assert_eq!(site.post().device.wifi == Wifi::Ready, keeps);
        let (mut site, device) = next(&mut site);
        site.start(super::sim::plan(2, &device), device);
        done(&site.run());
    }
}

#[test]
fn a_device_that_still_holds_settings_of_an_earlier_job_is_commissioned_all_the_same() {
    for keeps in [true, false] {
        for left in [Left::Joining, Left::Joined, Left::Refused] {
            let (mut site, plan, device) = held(left, keeps);
            site.start(plan, device);
            let outcome = site.run();
            assert!(
                matches!(outcome, Outcome::Done { .. }),
                "{left:?} {keeps}: {outcome:?}"
            );
            assert_eq!(questions(&mut site), [], "{left:?} {keeps}");
        }
    }
}

#[test]
fn a_device_in_another_network_that_it_cannot_leave_is_said_to_hold_settings() {
    let (mut site, mut plan, mut device) = held(Left::Joined, false);
    device.settings = Some(network("elsewhere", PASSPHRASE));
    device.enrolling = Enrolling::Never;
    plan.network = Some(network("plant", PASSPHRASE));
    site.start(plan, device);
    match site.run() {
        Outcome::Failed { fault, undone, .. } => assert_eq!((fault, undone), (Fault::SettingsHeld, true)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_taken_back_from_a_device_that_has_registered() {
    let (mut site, plan, mut device) = Site::one();
    keep_link(&mut device, true);
    device.enrolling = Enrolling::Unseen;
    let job = plan.job;
    site.start(plan, device);
    site.run_while(|site| site.cloud.issued.iter().all(|issued| !issued.used));
    site.input(job, Input::Cancel);
    assert!(matches!(site.run(), Outcome::Unknown { .. }));
    assert_eq!(count(&mut site, Kind::ResetNetwork), 0);
}

/// The same device at a later time, for another job.
fn next(site: &mut Site) -> (Site, Device) {
    let device = core::mem::replace(&mut site.post().device, Device::new(1));
    let mut later = Site::new(1);
    later.now = site.now + secs(1);
    (later, device)
}
