//! The journal of an earlier run, read as the case that needs more care.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::claim::{ClaimId, CleanupHandle, Purpose};
use crate::device::{DialectKind, Fingerprint, Firmware, Identity, Serial};
use crate::evidence::{Evidence, Fact, Owner, Principal, PrincipalStatus, Snapshot, Source, Thing};
use crate::fault::FaultRecord;
use crate::flow::*;
use crate::gatt::PeripheralId;
use crate::proven::{Der, ProvenKeys};
use crate::time::UnixTime;
use uuid::Uuid;

fn serial() -> Serial {
    Serial::new("SN-1").unwrap()
}

fn claim(number: u8) -> ClaimId {
    ClaimId(format!("claim-{number}"))
}

fn cleanup(number: u8) -> CleanupHandle {
    CleanupHandle(format!("cleanup-{number}"))
}

fn key(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn keys() -> ProvenKeys {
    ProvenKeys {
        spki: Der(vec![0x30, 0x00]),
        chain: vec![],
        endorsement_key: None,
    }
}

fn claiming(number: u8) -> Step {
    Step::Claiming {
        idempotency: key(number.into()),
        serial: serial(),
    }
}

fn claimed(number: u8) -> Step {
    Step::Claimed {
        unwanted: false,
        idempotency: Some(key(number.into())),
        claim: claim(number),
        cleanup: cleanup(number),
        issued_at: UnixTime(1000 + i64::from(number)),
    }
}

fn evidence(fact: Fact) -> Step {
    Step::Evidence {
        evidence: Evidence {
            fact,
            source: Source::Cloud,
            at: None,
        },
    }
}

fn snapshot() -> Step {
    let principal = |id: &str, status| Principal {
        id: id.to_owned(),
        status,
    };
    Step::Snapshot {
        snapshot: Snapshot {
            known: Some(true),
            identity_key_sha256: None,
            min_firmware: None,
            owner: Owner::Us,
            thing: Some(Thing {
                name: "thing-1".into(),
                version: 1,
                principals: vec![
                    principal("old", PrincipalStatus::Active),
                    principal("older", PrincipalStatus::Revoked),
                ],
                connected: None,
                connected_at: None,
                connected_principal: None,
                inferred_principal: None,
            }),
            self_enrolling: false,
        },
    }
}

fn snapshot_of(active: &str) -> Step {
    Step::Snapshot {
        snapshot: Snapshot {
            known: Some(true),
            identity_key_sha256: None,
            min_firmware: None,
            owner: Owner::Us,
            thing: Some(Thing {
                name: "thing-1".into(),
                version: 2,
                principals: vec![Principal {
                    id: active.into(),
                    status: PrincipalStatus::Active,
                }],
                connected: None,
                connected_at: None,
                connected_principal: None,
                inferred_principal: None,
            }),
            self_enrolling: false,
        },
    }
}

fn finished(outcome: OutcomeRecord) -> Step {
    Step::Finished { outcome }
}

fn fault() -> FaultRecord {
    FaultRecord {
        code: "x".into(),
        detail: String::new(),
    }
}

/// A whole service visit, in the order in which the flow writes it.
fn journey() -> Vec<Step> {
    vec![
        Step::Started {
            organisation: None,
            peripheral: PeripheralId("p".into()),
            name: "PROV_1".into(),
            dialect: DialectKind::Espressif,
            serial: Some(serial()),
            purpose: Purpose::Service,
            site: None,
            parameters: BTreeMap::new(),
        },
        Step::Linking,
        Step::Identified {
            identity: identity(),
            keys: Some(keys()),
        },
        snapshot(),
        Step::WritingSettings { ssid: "plant".into() },
        claiming(1),
        claimed(1),
        Step::SendingClaim { claim: claim(1) },
        Step::ClaimCommitted { claim: claim(1) },
        Step::Applying,
        evidence(Fact::WifiJoined { address: None }),
        evidence(Fact::Registered {
            thing: Some("thing-1".into()),
            principal: Some("new".into()),
        }),
        Step::Deactivating {
            thing: "thing-1".into(),
            principal: "old".into(),
        },
        evidence(Fact::OneActiveCredential {
            principal: "new".into(),
        }),
        Step::Releasing {
            thing: "thing-1".into(),
        },
        evidence(Fact::Released),
        finished(OutcomeRecord::Done {
            thing: Some("thing-1".into()),
            principal: "new".into(),
        }),
    ]
}

fn identity() -> Identity {
    Identity {
        serial: serial(),
        model: "m".into(),
        firmware: Firmware("1.0".into()),
        key_sha256: Fingerprint([1; 32]),
    }
}

fn left_after(steps: &[Step]) -> Remains {
    Remains::of(steps)
}

#[test]
fn a_crash_after_each_step_leaves_what_may_have_happened() {
    let begun = Some((PeripheralId("p".into()), false));
    let nothing = Remains {
        begun,
        ..Remains::default()
    };
    let identified = Remains {
        serial: Some(serial()),
        identity: Some(identity()),
        keys: Some(keys()),
        ..nothing.clone()
    };
    let Step::Snapshot { snapshot: before } = snapshot() else {
        panic!("a snapshot");
    };
    let seen = Remains {
        before: Some(before),
        earlier: vec!["old".into()],
        saw_earlier: true,
        ..identified.clone()
    };
    let asked = Remains {
        asked: vec![key(1)],
        ..seen.clone()
    };
    let issued = Remains {
        asked: vec![],
        claim: Some((claim(1), cleanup(1))),
        issued_at: Some(UnixTime(1001)),
        ..seen.clone()
    };
    let sent = Remains {
        sent: true,
        ..issued.clone()
    };
    let applied = Remains {
        applied: true,
        ..sent.clone()
    };
    let registered = Remains {
        thing: Some("thing-1".into()),
        ..applied.clone()
    };
    let switching = Remains {
        switching_off: vec!["old".into()],
        off_thing: Some("thing-1".into()),
        ..registered.clone()
    };
    let single = Remains {
        earlier: vec![],
        switching_off: vec![],
        off: vec!["old".into()],
        single: Some(("thing-1".into(), "new".into())),
        ..switching.clone()
    };
    let expected = [
        &nothing,    // started
        &nothing,    // linking
        &identified, // identified
        &seen,       // snapshot
        &seen,       // writing settings
        &asked,      // claiming
        &issued,     // claimed
        &sent,       // sending the claim
        &sent,       // claim committed
        &applied,    // applying
        &applied,    // joined
        &registered,
        &switching, // deactivating
        &single,
        &single,             // releasing
        &single,             // released, not yet ended
        &Remains::default(), // done
    ];
    let journey = journey();
    assert_eq!(journey.len(), expected.len());
    for (index, expected) in expected.into_iter().enumerate() {
        let steps = &journey[..=index];
        assert_eq!(&left_after(steps), expected, "after {:?}", steps[index]);
    }
}

#[test]
fn a_claim_being_undone_is_left_until_it_is_undone() {
    let mut steps = vec![claiming(1), claimed(1), Step::Retiring { cleanup: cleanup(1) }];
    assert_eq!(left_after(&steps).claim, Some((claim(1), cleanup(1))));
    steps.push(Step::Retired { cleanup: cleanup(1) });
    assert!(left_after(&steps).is_empty());
}

#[test]
fn an_undone_claim_is_remembered_for_what_it_may_have_led_to() {
    let registered = evidence(Fact::Registered {
        thing: Some("thing-1".into()),
        principal: Some("new".into()),
    });
    let retired = Step::Retired { cleanup: cleanup(1) };
    let left = |end: &[&Step]| {
        let journey = journey();
        left_after(&[&journey[..10], &end.iter().copied().cloned().collect::<Vec<_>>()].concat())
    };
    let undone = left(&[&retired]);
    assert_eq!(undone.retired, Some((claim(1), Some(UnixTime(1001)))));
    assert_eq!((undone.claim, undone.issued_at, undone.thing), (None, None, None));
    assert_eq!(undone.earlier, ["old"]);
    // Whichever of the two comes first.
    let both = left(&[&retired, &registered]);
    assert_eq!(both, left(&[&registered, &retired]));
    assert_eq!(both.thing.as_deref(), Some("thing-1"));
    assert_eq!(both.retired, undone.retired);
    assert!(!both.is_empty());
    // What the cloud shows from here on may be our own new credential.
    assert_eq!(left(&[&retired, &snapshot_of("new")]).earlier, ["old"]);
}

#[test]
fn a_claim_that_follows_an_undone_one_takes_its_place() {
    let steps = [claimed(1), Step::Retired { cleanup: cleanup(1) }, claimed(2)];
    let left = left_after(&steps);
    assert_eq!((left.claim, left.retired), (Some((claim(2), cleanup(2))), None));
}

#[test]
fn a_journal_that_names_no_keys_is_read_all_the_same() {
    let identified = journal_line(&journey()[2]);
    assert!(identified.contains(r#""keys":{"spki":"MAA="}"#), "{identified}");
    let before = identified.replace(r#","keys":{"spki":"MAA="}"#, "");
    let left = left_after(&[serde_json::from_str(&before).unwrap()]);
    assert_eq!((left.serial, left.keys), (Some(serial()), None));
}

fn journal_line(step: &Step) -> String {
    serde_json::to_string(step).unwrap()
}

#[test]
fn undoing_the_first_claim_does_not_forget_the_second() {
    let steps = [
        claiming(1),
        claimed(1),
        claiming(2),
        claimed(2),
        Step::Retired { cleanup: cleanup(1) },
    ];
    let left = left_after(&steps);
    assert_eq!(left.claim, Some((claim(2), cleanup(2))));
    assert!(left.leftover.is_empty());
    assert_eq!(left_after(&steps[..4]).leftover, [cleanup(1)]);
}

#[test]
fn a_second_request_without_answer_keeps_the_first_claim_too() {
    let left = left_after(&[claiming(1), claimed(1), claiming(2)]);
    assert_eq!(left.asked, [key(2)]);
    assert_eq!(left.claim, Some((claim(1), cleanup(1))));
}

#[test]
fn refused_settings_are_looked_back_at() {
    // The device's refusal may be a guess, and its failed state has to be found and reset by the next run too.
    let steps = [claimed(1), Step::Applying, Step::Resetting];
    assert!(left_after(&steps).applied);
}

#[test]
fn what_a_device_says_of_itself_registers_nothing() {
    let fact = Fact::Registered {
        thing: Some("thing-1".into()),
        principal: None,
    };
    let (source, at) = (Source::Device, None);
    let evidence = Evidence { fact, source, at };
    assert_eq!(left_after(&[Step::Evidence { evidence }]), Remains::default());
}

#[test]
fn our_own_new_credential_is_no_earlier_one() {
    let mut steps = journey()[..11].to_vec();
    steps.push(snapshot_of("new"));
    assert_eq!(left_after(&steps).earlier, ["old"]);
}

#[test]
fn a_done_job_leaves_the_replaced_claim_that_could_not_be_undone_and_nothing_else() {
    let done = finished(OutcomeRecord::Done {
        thing: Some("thing-1".into()),
        principal: "new".into(),
    });
    let mut steps = vec![claimed(1), claimed(2), Step::Applying, done.clone()];
    let expected = Remains {
        leftover: vec![cleanup(1)],
        done: Some((Some("thing-1".into()), "new".into())),
        ..Remains::default()
    };
    assert_eq!(left_after(&steps), expected);
    assert!(!expected.is_empty());
    steps.push(Step::Retired { cleanup: cleanup(1) });
    assert!(left_after(&steps).is_empty());
    // Killed in between, the next run has to know that it is done.
    assert_eq!(left_after(&steps).done, expected.done);
    steps.push(done);
    assert_eq!(left_after(&steps), Remains::default());
}

#[test]
fn only_an_end_with_everything_settled_leaves_nothing() {
    let failed = |undone| {
        finished(OutcomeRecord::Failed {
            stage: Stage::Crediting,
            fault: fault(),
            undone,
        })
    };
    let unknown = finished(OutcomeRecord::Unknown {
        stage: Stage::Joining,
        fault: fault(),
    });
    let after = |end: Step| left_after(&[claimed(1), Step::Applying, end]);
    assert_eq!(after(failed(true)), Remains::default());
    for end in [failed(false), unknown] {
        let left = after(end);
        assert!(left.applied && left.claim.is_some());
    }
}

#[test]
fn a_claim_that_was_asked_for_only_to_be_undone_takes_no_others_place() {
    let unwanted = match claimed(1) {
        Step::Claimed {
            idempotency,
            claim,
            cleanup,
            issued_at,
            ..
        } => Step::Claimed {
            idempotency,
            claim,
            cleanup,
            issued_at,
            unwanted: true,
        },
        other => panic!("{other:?}"),
    };
    let steps = [
        claiming(1),
        claiming(2),
        claimed(2),
        Step::SendingClaim { claim: claim(2) },
        Step::Applying,
        unwanted,
        Step::Retired { cleanup: cleanup(1) },
    ];
    let left = left_after(&steps);
    assert_eq!(left.claim, Some((claim(2), cleanup(2))));
    assert_eq!((left.sent, left.leftover, left.retired), (true, vec![], None));
    // One that could not be undone stays known, also of a job that is done.
    let before_retired = steps.len() - 1;
    let done = finished(OutcomeRecord::Done {
        thing: None,
        principal: "new".into(),
    });
    let steps: Vec<Step> = steps.into_iter().take(before_retired).chain([done]).collect();
    assert_eq!(left_after(&steps).leftover, [cleanup(1)]);
}
