//! What an earlier run left, read from its journal.
//!
//! A step is written before it is done, so at the end of the journal it may or may not have happened. Each is read as
//! the case that needs more care: asked for means maybe issued, applying means maybe applied, retiring means maybe
//! not retired. Only the end of the job, or word that a thing was undone, takes something away.

use super::io::{OutcomeRecord, Remains, Step};
use crate::claim::CleanupHandle;
use crate::evidence::{Fact, Source};
use crate::gatt::PeripheralId;

impl Remains {
    /// What the steps of one job, in their order, leave to be finished or undone.
    pub fn of<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Self {
        let mut remains = Self::default();
        for step in steps {
            remains.take(step);
        }
        remains
    }

    /// Whether nothing is left to do. An undone claim alone leaves nothing: without settings no device can have used it.
    pub fn is_empty(&self) -> bool {
        let nothing_asked = self.asked.is_empty() && self.claim.is_none() && self.leftover.is_empty();
        let all_on = self.switching_off.is_empty() && self.off.is_empty();
        nothing_asked && all_on && !self.applied && self.thing.is_none()
    }

    /// Whether no claim was ever asked for.
    pub(super) fn is_claimless(&self) -> bool {
        let none_alive = self.asked.is_empty() && self.claim.is_none() && self.leftover.is_empty();
        none_alive && self.retired.is_none()
    }

    /// Whether the device may use the last claim, though nothing was applied.
    pub(super) fn may_be_used(&self) -> bool {
        self.sent && self.claim.is_some()
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Started { peripheral, .. } => {
                let same = |(device, _): &(PeripheralId, bool)| device == peripheral;
                let again = self.begun.as_ref().is_some_and(same);
                self.begun = Some((peripheral.clone(), again));
            }
            Step::Identified { identity, keys } => {
                self.keys.clone_from(keys);
                self.serial = Some(identity.serial.clone());
                self.identity = Some(identity.clone());
            }
            // Taken again after a restart, it may show our own new credential, or one that another job gave the device since:
            // neither is an earlier one.
            Step::Snapshot { snapshot } if self.before.is_none() && !self.may_be_enrolled() => {
                self.before = Some(snapshot.clone());
                if self.begun.as_ref().is_some_and(|(_, again)| *again) {
                    return;
                }
                self.saw_earlier = true;
                self.earlier = snapshot
                    .thing
                    .iter()
                    .flat_map(|thing| thing.active())
                    .map(|principal| principal.id.clone())
                    .collect();
            }
            Step::Claiming { idempotency, serial } => {
                // A claim that must not come before they are off was asked for.
                self.off.append(&mut self.switching_off);
                self.asked.push(*idempotency);
                self.serial = Some(serial.clone());
            }
            Step::Unclaimed { idempotency } => self.asked.retain(|key| key != idempotency),
            Step::Claimed {
                idempotency,
                cleanup,
                unwanted: true,
                ..
            } => {
                self.asked.retain(|key| Some(*key) != *idempotency);
                self.leftover.push(cleanup.clone());
            }
            Step::Claimed {
                idempotency,
                claim,
                cleanup,
                issued_at,
                unwanted: false,
            } => {
                let last = self.asked.last().copied();
                self.asked.retain(|key| Some(*key) != idempotency.or(last));
                self.issued_at = Some(*issued_at);
                self.sent = false;
                // The flow asks for no other while the cloud has not said that the one before led to nothing.
                self.retired = None;
                let replaced = self.claim.replace((claim.clone(), cleanup.clone()));
                self.leftover.extend(replaced.map(|(_, cleanup)| cleanup));
            }
            Step::SendingClaim { .. } => self.sent = true,
            Step::Applying => self.applied = true,
            Step::Evidence { evidence } if evidence.source == Source::Cloud => self.learn(&evidence.fact),
            Step::Deactivating { thing, principal } => {
                self.off_thing = Some(thing.clone());
                if !self.switching_off.contains(principal) {
                    self.switching_off.push(principal.clone());
                }
            }
            Step::Deactivated { principal } => {
                self.switching_off.retain(|asked| asked != principal);
                self.earlier.retain(|earlier| earlier != principal);
                self.off.push(principal.clone());
            }
            Step::Retired { cleanup } => self.forget(cleanup),
            Step::Finished { outcome } => match outcome {
                // A replaced claim that could not be undone is all that a finished job may leave.
                OutcomeRecord::Done { thing, principal } => {
                    let leftover = core::mem::take(&mut self.leftover);
                    let asked = core::mem::take(&mut self.asked);
                    let open = !(leftover.is_empty() && asked.is_empty());
                    *self = Self {
                        done: open.then(|| (thing.clone(), principal.clone())),
                        leftover,
                        // What is under a key is asked about as it was asked for.
                        serial: self.serial.take().filter(|_| !asked.is_empty()),
                        identity: self.identity.take().filter(|_| !asked.is_empty()),
                        keys: self.keys.take().filter(|_| !asked.is_empty()),
                        asked,
                        ..Self::default()
                    };
                }
                OutcomeRecord::Failed { undone: true, .. } => *self = Self::default(),
                OutcomeRecord::Failed { .. } | OutcomeRecord::Unknown { .. } => {}
            },
            Step::Adopted { .. }
            | Step::Linking
            | Step::Snapshot { .. }
            | Step::WritingSettings { .. }
            | Step::Resetting
            | Step::ClaimCommitted { .. }
            | Step::Evidence { .. }
            | Step::Releasing { .. }
            | Step::Retiring { .. } => {}
        }
    }

    fn learn(&mut self, fact: &Fact) {
        match fact {
            Fact::WifiJoined { .. } | Fact::CloudReached | Fact::IdentityIssued { .. } => self.applied = true,
            Fact::Registered { thing, .. } | Fact::SeenOnline { thing, .. } => {
                self.applied = true;
                if let Some(name) = thing.as_ref().filter(|name| !name.is_empty()) {
                    self.thing = Some(name.clone());
                }
            }
            Fact::OneActiveCredential { principal } => {
                self.earlier.clear();
                self.off.append(&mut self.switching_off);
                self.single = self.thing.clone().map(|thing| (thing, principal.clone()));
            }
            _ => {}
        }
    }

    fn forget(&mut self, retired: &CleanupHandle) {
        self.leftover.retain(|cleanup| cleanup != retired);
        if let Some((claim, _)) = self.claim.take_if(|(_, cleanup)| cleanup == retired) {
            self.retired = Some((claim, self.issued_at.take()));
        }
    }

    fn may_be_enrolled(&self) -> bool {
        self.applied || self.thing.is_some() || self.issued_at.is_some()
    }
}
