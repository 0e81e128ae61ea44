//! A device with which nothing goes wrong, and what the flow itself costs it.

use alloc::vec::Vec;

use super::sim::*;
use crate::evidence::Source;
use crate::flow::*;

#[test]
fn a_device_goes_from_found_to_released() {
    let (mut site, plan, device) = Site::one();
    site.start(plan, device);
    let outcome = site.run();
    assert_eq!(
        outcome,
        Outcome::Done {
            thing: Some("FK-0001".into()),
            principal: "p-clm_1".into()
        }
    );
    let post = site.post();
    let stages: Vec<Stage> = post
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Stage(stage) => Some(*stage),
            _ => None,
        })
        .collect();
    assert_eq!(
        stages,
        [
            Stage::Linking,
            Stage::Proving,
            Stage::Identifying,
            Stage::Networking,
            Stage::Crediting,
            Stage::Joining,
            Stage::Enrolling,
            Stage::Verifying,
            Stage::Released
        ]
    );
    let proofs = post
        .events
        .iter()
        .filter(|event| matches!(event, Event::Evidence(evidence) if evidence.source == Source::Cloud));
    assert!(proofs.count() >= 5);
    assert!(site.cloud.released.contains("FK-0001"));
}

#[test]
fn the_flow_adds_next_to_no_time_of_its_own() {
    let (mut site, plan, device) = Site::one();
    site.start(plan, device);
    let began = site.now;
    site.run();
    let took = site.now - began;
    let log = &site.post().device.log;
    let applied = log.iter().find(|(_, kind)| *kind == Kind::Apply).unwrap().0;
    // What the device and the radio take: link, operations up to apply, joining, enrolling until seen online; then
    // the cloud's answer to the look, and the release.
    let before: Vec<Kind> = log
        .iter()
        .take_while(|(at, _)| *at <= applied)
        .map(|(_, kind)| *kind)
        .collect();
    let operations = before.len() + 1 + 2;
    let floor = ms(400) + ms(40) * u32::try_from(operations).unwrap() + secs(4) + secs(4) + ms(80) * 2;
    assert!(took <= floor.mul_f64(1.1), "{took:?} over {floor:?}");
}
