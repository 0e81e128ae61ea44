use alloc::string::{String, ToString};
use alloc::vec;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::claim::{ClaimId, CleanupHandle, Purpose};
use crate::device::{DialectKind, Firmware, Identity};
use crate::fault::FaultRecord;
use crate::flow::Stage;
use crate::gatt::PeripheralId;
use crate::time::UnixTime;

fn job(number: u8) -> JobId {
    JobId(Uuid::from_u128(u128::from(number)))
}

fn harbour() -> OrganisationId {
    organisation("harbour")
}

fn organisation(client: &str) -> OrganisationId {
    OrganisationId {
        issuer: "https://id.example".into(),
        client: client.into(),
        cloud: "broker https://claims.example/".into(),
    }
}

fn begun(serial: Option<&str>, organisation: Option<OrganisationId>) -> Step {
    Step::Started {
        peripheral: PeripheralId("one".into()),
        name: "PROV_1".into(),
        dialect: DialectKind::Espressif,
        serial: serial.map(|serial| Serial::new(serial).unwrap()),
        purpose: Purpose::New,
        site: None,
        parameters: BTreeMap::new(),
        organisation,
    }
}

fn identified(serial: &str, key: u8) -> Step {
    Step::Identified {
        identity: Identity {
            serial: Serial::new(serial).unwrap(),
            model: "FK-SENSE".into(),
            firmware: Firmware("2.1.0".into()),
            key_sha256: Fingerprint([key; 32]),
        },
        keys: None,
    }
}

fn claimed(number: u8) -> Step {
    Step::Claimed {
        unwanted: false,
        idempotency: None,
        claim: ClaimId(handle(number)),
        cleanup: CleanupHandle(handle(number)),
        issued_at: UnixTime(1000),
    }
}

fn handle(number: u8) -> String {
    let number = number.to_string();
    ["clm_", &number].concat()
}

fn done() -> Step {
    let outcome = OutcomeRecord::Done {
        thing: None,
        principal: "p".into(),
    };
    Step::Finished { outcome }
}

fn failed(undone: bool) -> Step {
    let fault = FaultRecord {
        code: "x".into(),
        detail: String::new(),
    };
    let stage = Stage::Joining;
    Step::Finished {
        outcome: OutcomeRecord::Failed { stage, fault, undone },
    }
}

fn unknown() -> Step {
    let fault = FaultRecord {
        code: "x".into(),
        detail: String::new(),
    };
    let stage = Stage::Joining;
    Step::Finished {
        outcome: OutcomeRecord::Unknown { stage, fault },
    }
}

fn ledger(steps: impl IntoIterator<Item = (u8, Step)>) -> Ledger {
    Ledger::of(steps.into_iter().map(|(number, step)| (job(number), step)))
}

fn open(ledger: &Ledger) -> Vec<(JobId, bool)> {
    let open = ledger.open();
    open.map(|open| (open.record.job, open.remains.superseded))
        .collect()
}

/// A job that was killed after its settings were applied.
fn applied(number: u8, serial: &str) -> Vec<(u8, Step)> {
    let steps = [
        begun(None, Some(harbour())),
        identified(serial, 1),
        claimed(number),
        Step::Applying,
    ];
    steps.into_iter().map(|step| (number, step)).collect()
}

#[test]
fn a_job_that_is_done_or_undone_is_never_offered_and_an_unknown_one_is() {
    let history = ledger([
        (1, begun(None, None)),
        (2, begun(None, None)),
        (3, begun(None, None)),
        (4, begun(None, None)),
        (5, begun(None, None)),
        (1, done()),
        (2, failed(true)),
        (3, failed(false)),
        (4, unknown()),
    ]);
    assert_eq!(
        open(&history),
        [(job(3), false), (job(4), false), (job(5), false)]
    );
    assert_eq!(history.open_job(job(1)), None);
    assert_eq!(history.open_job(job(9)), None);
}

#[test]
fn a_later_done_job_of_the_same_device_settles_an_earlier_one_but_for_its_claim() {
    let mut steps = applied(1, "A");
    steps.extend([(2, begun(Some("A"), Some(harbour()))), (2, identified("A", 1))]);
    let before = ledger(steps.clone());
    assert_eq!(open(&before), [(job(1), false), (job(2), false)]);

    steps.push((2, done()));
    let history = ledger(steps.clone());
    assert_eq!(open(&history), [(job(1), true)]);
    assert_eq!(history.open_job(job(1)).unwrap().superseded_by, Some(job(2)));
    // Nothing is left of it once its claim is taken back, whether its own end was written or not.
    let cleanup = CleanupHandle(handle(1));
    steps.push((1, Step::Retired { cleanup }));
    assert_eq!(open(&ledger(steps)), []);
}

#[test]
fn an_earlier_done_job_settles_nothing_nor_does_one_that_was_done_before_the_other_changed_anything_more() {
    let earlier = [(1, begun(Some("A"), None)), (1, done())];
    let history = ledger(earlier.into_iter().chain(applied(2, "A")));
    assert_eq!(open(&history), [(job(2), false)]);

    let mut crossed = applied(1, "A");
    crossed.extend([(2, begun(Some("A"), None)), (2, done()), (1, Step::Resetting)]);
    assert_eq!(open(&ledger(crossed)), [(job(1), false)]);
}

#[test]
fn devices_are_the_same_by_serial_number_and_key_and_never_by_name_or_address() {
    let settled_by = |other: Vec<Step>| {
        let steps = applied(1, "A").into_iter();
        let history = ledger(steps.chain(other.into_iter().map(|step| (2, step))));
        let remains = history.open_job(job(1)).unwrap().remains;
        remains.superseded || remains.elsewhere
    };
    assert!(settled_by(vec![begun(None, None), identified("A", 1), done()]));
    assert!(settled_by(vec![begun(Some("A"), None), done()]), "by the label");
    assert!(!settled_by(vec![begun(None, None), done()]), "by its name alone");
    assert!(!settled_by(vec![begun(None, None), identified("B", 2), done()]));
    assert!(
        settled_by(vec![begun(None, None), identified("B", 1), done()]),
        "the same key under another serial number"
    );
    assert!(
        !settled_by(vec![begun(Some("A"), None), identified("B", 2), done()]),
        "what it proved goes before its label"
    );
    assert!(
        !settled_by(vec![begun(None, None), identified("A", 2), done()]),
        "another key under this serial number"
    );
    assert!(
        !settled_by(vec![
            begun(None, None),
            identified("A", 2),
            identified("B", 2),
            done()
        ]),
        "it stated two serial numbers"
    );
}

#[test]
fn a_job_belongs_to_the_organisation_that_began_it_or_to_the_first_that_a_person_named() {
    let mut history = ledger([(1, begun(None, Some(harbour()))), (2, begun(None, None))]);
    let quarry = organisation("quarry");
    let whose = |history: &Ledger, number, own: &OrganisationId| match history
        .record(job(number))
        .unwrap()
        .whose(Some(own))
    {
        Whose::Own => "own",
        Whose::Other(_) => "other",
        Whose::Unknown => "unknown",
    };
    assert_eq!(whose(&history, 1, &harbour()), "own");
    assert_eq!(whose(&history, 1, &quarry), "other");
    assert_eq!(whose(&history, 2, &harbour()), "unknown");

    for organisation in [quarry.clone(), harbour()] {
        history.take(job(2), Step::Adopted { organisation });
    }
    history.take(
        job(1),
        Step::Adopted {
            organisation: quarry.clone(),
        },
    );
    assert_eq!(whose(&history, 2, &quarry), "own");
    assert_eq!(whose(&history, 2, &harbour()), "other");
    assert_eq!(whose(&history, 1, &harbour()), "own");
    assert_eq!(
        history.record(job(1)).unwrap().whose(None),
        Whose::Other(&harbour())
    );
}

#[test]
fn to_say_whose_a_job_is_changes_nothing_of_how_it_ended() {
    let organisation = harbour();
    let history = ledger([
        (1, begun(None, None)),
        (1, failed(true)),
        (1, Step::Adopted { organisation }),
    ]);
    assert_eq!(open(&history), []);
}

#[test]
fn two_jobs_are_of_one_device_only_where_both_say_so() {
    let other = vec![(2, begun(None, Some(harbour()))), (2, identified("B", 2))];
    let steps = [applied(1, "A"), other, applied(3, "A")];
    let history = ledger(steps.concat());
    assert!(history.are_of_one_device(job(1), job(3)));
    assert!(!history.are_of_one_device(job(1), job(2)));
    assert!(!history.are_of_one_device(job(1), job(9)));
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_u8).prop_map(|number| begun(["A", "B"].get(usize::from(number)).copied(), None)),
        (0..2_u8, 1..3_u8).prop_map(|(serial, key)| identified(if serial == 0 { "A" } else { "B" }, key)),
        (0..3_u8).prop_map(claimed),
        Just(Step::Applying),
        Just(Step::Resetting),
        Just(done()),
        any::<bool>().prop_map(failed),
        Just(unknown()),
        (0..3_u8).prop_map(|number| Step::Retired {
            cleanup: CleanupHandle(handle(number)),
        }),
    ]
}

proptest! {
    #[test]
    fn whatever_the_journal_holds_settled_jobs_stay_settled_and_only_later_ones_settle(
        steps in proptest::collection::vec((0..4_u8, any_step()), 0..40)
    ) {
        let history = ledger(steps.clone());
        let order: Vec<JobId> = history.records.iter().map(|record| record.job).collect();
        let at = |job: JobId| order.iter().position(|other| *other == job);
        let open: Vec<Open<'_>> = history.open().collect();
        for pair in open.windows(2) {
            prop_assert!(at(pair[0].record.job) < at(pair[1].record.job), "oldest first");
        }
        for open in &open {
            let undone = matches!(open.record.end(), Some(OutcomeRecord::Failed { undone: true, .. }));
            prop_assert!(!undone);
            if let Some(OutcomeRecord::Done { .. }) = open.record.end() {
                prop_assert!(!open.remains.is_empty());
            }
            if let Some(later) = open.superseded_by {
                let later = history.record(later).unwrap();
                prop_assert!(later.done > Some(open.record.first));
                let keys = later.keys();
                if !keys.is_empty() && keys == open.record.keys() {
                    // Whatever serial numbers it stated.
                } else if open.record.serial().is_some() {
                    prop_assert_eq!(later.serial(), open.record.serial());
                } else {
                    prop_assert_eq!(later.peripheral(), open.record.peripheral());
                    prop_assert!(!open.record.steps.iter().any(is_effect), "it changed nothing");
                }
                let ends = steps.iter().filter(|(number, _)| job(*number) == later.job);
                let was_done = ends.into_iter().any(|(_, step)| *step == done());
                prop_assert!(was_done);
            }
        }
        // A job that left nothing of its own is not opened by what others do.
        for record in &history.records {
            let alone = Ledger::of(record.steps.iter().map(|step| (record.job, step.clone())));
            if alone.open_job(record.job).is_none() {
                prop_assert_eq!(history.open_job(record.job), None);
            }
        }
    }
}

#[test]
fn what_another_organisation_did_with_the_device_leaves_it_alone_and_settles_nothing_in_this_ones_cloud() {
    let other = [
        begun(Some("A"), Some(organisation("quarry"))),
        identified("A", 1),
        done(),
    ];
    let steps = applied(1, "A").into_iter();
    let history = ledger(steps.chain(other.map(|step| (2, step))));
    let remains = history.open_job(job(1)).unwrap().remains;
    assert_eq!((remains.superseded, remains.elsewhere), (false, true));
}

#[test]
fn a_job_that_ended_before_it_knew_its_device_is_settled_by_what_the_radio_calls_it() {
    let served = [begun(None, None), identified("A", 1), done()];
    let steps = [(1, begun(None, None))].into_iter();
    let history = ledger(steps.chain(served.map(|step| (2, step))));
    assert_eq!(history.open_job(job(1)), None, "nothing is left of it");
}
