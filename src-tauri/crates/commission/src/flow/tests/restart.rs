//! The program dies at any moment and is started again: its journal tells it what to finish or to undo.

use alloc::boxed::Box;

use super::sim::*;
use crate::fault::Fault;
use crate::flow::*;

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
                    assert_eq!((fault, undone), (Fault::Cancelled, true), "after {steps} steps");
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
    assert!(matches!(
        job.poll_action(),
        Some(Action::Record(Step::Started { .. }))
    ));
    assert_eq!(
        job.poll_action(),
        None,
        "nothing happens before it is written down"
    );
    job.handle(Input::Recorded, now, &mut entropy);
    assert!(matches!(job.poll_action(), Some(Action::Snapshot(_))) || job.poll_timeout().is_some());
}
