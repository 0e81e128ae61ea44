//! What an earlier run left, read from a job's entries.
//!
//! An entry is written before its step, so at the end of the journal a step may or may not have happened. Each is read
//! as the case that needs more care: asked for means maybe issued, applying means maybe applied, retiring means
//! maybe not retired. Only the end of the job, or word that a thing was undone, takes something away.

use commission::evidence::Fact;
use commission::flow::{OutcomeRecord, Remains, Step};

use crate::ports::JournalEntry;

/// What is left of a job, given its entries in order.
///
/// The claim stays with a registered device until the job ends: release and observation go by it. Releasing is
/// idempotent, so a job that was interrupted there releases again and then ends as done.
pub fn remains(entries: &[JournalEntry]) -> Remains {
    entries
        .iter()
        .fold(Remains::default(), |left, entry| after(left, &entry.step))
}

/// Whether a job with this last step has nothing left: done, or failed with all effects undone. Unknown is no end, nor
/// is a failure that left something in the cloud.
pub(super) fn settles(step: &Step) -> bool {
    matches!(
        step,
        Step::Finished {
            outcome: OutcomeRecord::Done { .. } | OutcomeRecord::Failed { undone: true, .. }
        }
    )
}

fn after(mut left: Remains, step: &Step) -> Remains {
    match step {
        // Nothing outside the device, or nothing that outlives the link.
        Step::Started { .. }
        | Step::Linking
        | Step::Identified { .. }
        | Step::WritingSettings { .. }
        | Step::SendingClaim { .. }
        | Step::ClaimCommitted { .. } => {}
        Step::Snapshot { snapshot } => {
            // Taken again after a restart, it may show our own new credential, which is not an earlier one.
            if left.thing.is_none() && left.issued_at.is_none() {
                let active = snapshot.thing.iter().flat_map(|thing| thing.active());
                left.earlier = active.map(|principal| principal.id.clone()).collect();
            }
        }
        Step::Claiming { idempotency, .. } => left.idempotency = Some(*idempotency),
        Step::Claimed {
            claim,
            cleanup,
            issued_at,
        } => {
            left.idempotency = None;
            left.claim = Some((claim.clone(), cleanup.clone()));
            left.issued_at = Some(*issued_at);
        }
        Step::Applying => left.applied = true,
        // The device said that it did not join; until the next Applying it has nothing to join with.
        Step::Resetting => left.applied = false,
        Step::Evidence { evidence } => learnt(&mut left, &evidence.fact),
        // Idempotent, and what is off already may be switched off again.
        Step::Deactivating { .. } | Step::Releasing { .. } | Step::Retiring { .. } => {}
        Step::Retired { cleanup } => {
            if left.claim.as_ref().is_some_and(|(_, handle)| handle == cleanup) {
                left.claim = None;
                left.issued_at = None;
            }
        }
        Step::Finished { .. } if settles(step) => left = Remains::default(),
        Step::Finished { .. } => {}
    }
    left
}

fn learnt(left: &mut Remains, fact: &Fact) {
    match fact {
        Fact::SettingsApplied
        | Fact::WifiJoined { .. }
        | Fact::CloudReached
        | Fact::IdentityIssued { .. } => left.applied = true,
        Fact::Registered { thing, .. } | Fact::SeenOnline { thing, .. } => {
            left.applied = true;
            if thing.is_some() {
                left.thing.clone_from(thing);
            }
        }
        Fact::OneActiveCredential { .. } => left.earlier.clear(),
        Fact::Linked
        | Fact::PossessionProven { .. }
        | Fact::IdentityProven { .. }
        | Fact::NetworkSeen { .. }
        | Fact::SettingsWritten
        | Fact::ClaimIssued { .. }
        | Fact::ClaimCommitted
        | Fact::EnrolmentRefused { .. }
        | Fact::Released => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commission::claim::{ClaimId, CleanupHandle, Purpose};
    use commission::device::{DialectKind, Fingerprint, Firmware, Identity, Serial};
    use commission::evidence::{Evidence, Owner, Principal, PrincipalStatus, Snapshot, Source, Thing};
    use commission::fault::FaultRecord;
    use commission::flow::{JobId, Stage};
    use commission::gatt::PeripheralId;
    use commission::time::UnixTime;
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

    fn claiming(number: u8) -> Step {
        Step::Claiming {
            idempotency: key(number.into()),
            serial: serial(),
        }
    }

    fn claimed(number: u8) -> Step {
        Step::Claimed {
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
                known: true,
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
                }),
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
                peripheral: PeripheralId("p".into()),
                name: "PROV_1".into(),
                dialect: DialectKind::Espressif,
                serial: Some(serial()),
                purpose: Purpose::Service,
            },
            Step::Linking,
            Step::Identified {
                identity: Identity {
                    serial: serial(),
                    model: "m".into(),
                    firmware: Firmware("1.0".into()),
                    key_sha256: Fingerprint([1; 32]),
                },
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

    fn left_after(steps: &[Step]) -> Remains {
        let entries: Vec<_> = steps
            .iter()
            .zip(1..)
            .map(|(step, number)| JournalEntry {
                number,
                job: JobId(key(7)),
                at: UnixTime(0),
                person: "ann".into(),
                step: step.clone(),
            })
            .collect();
        remains(&entries)
    }

    #[test]
    fn a_crash_after_each_step_leaves_what_may_have_happened() {
        let nothing = Remains::default();
        let seen = Remains {
            earlier: vec!["old".into()],
            ..nothing.clone()
        };
        let asked = Remains {
            idempotency: Some(key(1)),
            ..seen.clone()
        };
        let issued = Remains {
            idempotency: None,
            claim: Some((claim(1), cleanup(1))),
            issued_at: Some(UnixTime(1001)),
            ..seen.clone()
        };
        let applied = Remains {
            applied: true,
            ..issued.clone()
        };
        let registered = Remains {
            thing: Some("thing-1".into()),
            ..applied.clone()
        };
        let single = Remains {
            earlier: vec![],
            ..registered.clone()
        };
        let expected = [
            &nothing, // started
            &nothing, // linking
            &nothing, // identified
            &seen,    // snapshot
            &seen,    // writing settings
            &asked,   // claiming
            &issued,  // claimed
            &issued,  // sending the claim
            &issued,  // claim committed
            &applied, // applying
            &applied, // joined
            &registered,
            &registered, // deactivating
            &single,
            &single,  // releasing
            &single,  // released, not yet ended
            &nothing, // done
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
        assert_eq!(left_after(&steps), Remains::default());
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
        assert_eq!(left_after(&steps).claim, Some((claim(2), cleanup(2))));
    }

    #[test]
    fn a_second_request_without_answer_keeps_the_first_claim_too() {
        let left = left_after(&[claiming(1), claimed(1), claiming(2)]);
        assert_eq!(left.idempotency, Some(key(2)));
        assert_eq!(left.claim, Some((claim(1), cleanup(1))));
    }

    #[test]
    fn refused_settings_are_not_applied_until_they_are_applied_again() {
        let mut steps = vec![claimed(1), Step::Applying, Step::Resetting];
        assert!(!left_after(&steps).applied);
        steps.push(Step::Applying);
        assert!(left_after(&steps).applied);
    }

    #[test]
    fn our_own_new_credential_is_no_earlier_one() {
        let mut steps = journey()[..11].to_vec();
        steps.push(Step::Snapshot {
            snapshot: Snapshot {
                known: true,
                identity_key_sha256: None,
                min_firmware: None,
                owner: Owner::Us,
                thing: Some(Thing {
                    name: "thing-1".into(),
                    version: 2,
                    principals: vec![Principal {
                        id: "new".into(),
                        status: PrincipalStatus::Active,
                    }],
                    connected: None,
                    connected_at: None,
                    connected_principal: None,
                }),
            },
        });
        assert_eq!(left_after(&steps).earlier, ["old"]);
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
}
