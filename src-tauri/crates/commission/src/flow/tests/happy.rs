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
