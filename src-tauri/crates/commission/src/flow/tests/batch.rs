//! Several devices over few links.

use alloc::vec::Vec;

use super::sim::*;
use crate::dialect::Report;
use crate::fault::Fault;
use crate::flow::*;

fn site(links: u8, devices: u64, spoil: impl Fn(u64, &mut Plan, &mut Device)) -> Site {
    let mut site = Site::new(links);
    for number in 1..=devices {
        let mut device = Device::new(number);
        let mut plan = plan(number.into(), &device);
        spoil(number, &mut plan, &mut device);
        site.start(plan, device);
    }
    site
}

fn outcomes(site: &Site) -> Vec<bool> {
    site.posts
        .values()
        .map(|post| matches!(post.outcome, Some(Outcome::Done { .. })))
        .collect()
}

#[test]
fn twenty_devices_share_four_links() {
    let mut site = site(4, 20, |_, _, _| {});
    site.run();
    assert!(outcomes(&site).iter().all(|done| *done));
    assert_eq!(site.most_links, 4);
}

#[test]
fn one_devices_trouble_stays_its_own() {
    let mut site = site(2, 6, |number, _, device| match number {
        1 => device.locked = true,
        2 => device.advertises = false,
        3 => device
            .instead
            .push((Kind::SendClaim, Report::Failed(Fault::ClaimRejected("no".into())))),
        4 => {
            device.troubles.insert(5, Trouble::Silence);
        }
        _ => {}
    });
    site.run();
    assert_eq!(outcomes(&site), [false, false, false, true, true, true]);
}

#[test]
fn a_device_that_is_gone_does_not_use_up_the_time_of_those_behind_it() {
    let mut site = site(4, 4, |number, plan, device| {
        if number == 1 {
            device.advertises = false;
            device.connect_takes = plan.limits.link - ms(1);
        }
    });
    site.radio_free = Some(site.now);
    site.run();
    assert_eq!(outcomes(&site), [false, true, true, true]);
    for number in 2..=4 {
        let events = &site.posts.get(&job_id(number)).unwrap().events;
        assert!(
            !events.iter().any(|event| matches!(event, Event::Retrying { .. })),
            "device {number} lost its attempt to another's: {events:?}"
        );
    }
}

#[test]
fn a_link_is_free_for_the_next_while_a_device_enrols() {
    let mut site = site(1, 2, |_, _, device| device.capabilities.enrol_status = false);
    site.run_while(|site| {
        let second = site.posts.get(&job_id(2)).unwrap();
        second.device.links() == 0
    });
    assert!(site.posts.get(&job_id(1)).unwrap().outcome.is_none());
    site.run();
    assert!(outcomes(&site).iter().all(|done| *done));
}

#[test]
fn a_device_is_said_to_wait_until_a_link_is_free_for_it() {
    let mut site = site(1, 2, |_, _, _| {});
    let linked = |site: &Site, number| site.posts.get(&job_id(number)).unwrap().device.links() > 0;
    site.run_while(|site| !linked(site, 1));
    assert!(!site.batch.is_waiting(job_id(1)));
    assert!(site.batch.is_waiting(job_id(2)));
    site.run_while(|site| !linked(site, 2));
    assert!(!site.batch.is_waiting(job_id(2)));
    site.run();
}

#[test]
fn a_person_who_thinks_holds_one_link_only() {
    let mut site = site(2, 3, |number, plan, _| {
        if number == 1 {
            plan.network = None;
        }
    });
    site.run();
    assert_eq!(outcomes(&site), [false, true, true]);
}

#[test]
fn stopping_all_stops_also_those_that_wait() {
    let mut site = site(2, 5, |_, _, _| {});
    for _ in 0..40 {
        site.step();
    }
    let now = site.now;
    site.batch.cancel_all(now, &mut |bytes: &mut [u8]| bytes.fill(1));
    site.input(job_id(9), Input::Cancel);
    site.run();
    assert_eq!(site.batch.running().count(), 0);
    assert!(site.posts.values().all(|post| matches!(
        post.outcome,
        Some(Outcome::Failed {
            fault: Fault::Cancelled(None),
            undone: true,
            ..
        })
    )));
}

#[test]
fn the_same_job_is_not_run_twice() {
    let mut site = site(1, 1, |_, _, _| {});
    let again = Job::undo(plan(1, &Device::new(1)), Remains::default());
    assert!(!site.batch.add(again));
    site.run();
}
