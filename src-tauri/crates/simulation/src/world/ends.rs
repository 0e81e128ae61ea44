//! The rules of how jobs and histories end, held against the world.

use commission::claim::Purpose;
use commission::fault::Fault;
use commission::flow::{JobId, Outcome, OutcomeRecord, Step};
use commission::gatt::LinkError;

use crate::rules::Rule;

use super::cloud::Cloud;
use super::device::{Device, serial};
use super::programs::{Kept, Start, job_name, root};
use super::{At, LONGEST_JOB, World};

impl World {
    /// A job says how it ended.
    pub(super) fn check_end(&mut self, at: At, outcome: &Outcome) {
        let Some(post) = self.post(at) else {
            return;
        };
        let (start, told, began, lost) = (post.start, post.told, post.began, post.lost_time);
        let took = (self.now - began).saturating_sub(self.lost_time - lost);
        self.rules.hold(Rule::EveryJobEnds, took < LONGEST_JOB, || {
            format!("{} ran for {} s", job_name(at.job), took / 1000)
        });
        let Some(kept) = self.journal.get(&at.job) else {
            return;
        };
        let (organisation, purpose) = (kept.organisation, kept.purpose);
        let was_done = kept.done().next().is_some() && start != Start::Anew;
        let cloud = &self.clouds[organisation];
        match outcome {
            Outcome::Done { principal, .. } => {
                if was_done {
                    return;
                }
                let truth = cloud.whose(principal).and_then(|serial| cloud.truth.get(&serial));
                let moved = moved(&self.devices, cloud, principal);
                let holds = moved || truth.is_some_and(|truth| truth.held_since(told, principal));
                self.rules.hold(Rule::DoneIsDone, holds, || {
                    let whose = cloud.whose(principal);
                    let active: Vec<&str> = whose
                        .iter()
                        .flat_map(|serial| cloud.active(serial))
                        .map(|own| own.id.as_str())
                        .collect();
                    format!(
                        "{} says done with {principal}; active are {active:?}, and devices hold {:?}",
                        job_name(at.job),
                        self.devices
                            .iter()
                            .map(|device| &device.credential)
                            .collect::<Vec<_>>()
                    )
                });
                if purpose == Purpose::Transfer {
                    let old: Vec<&str> = cloud
                        .whose(principal)
                        .iter()
                        .flat_map(|serial| cloud.active(serial))
                        .filter(|own| own.id != *principal && own.claim.is_none())
                        .map(|own| own.id.as_str())
                        .collect();
                    self.rules.hold(Rule::OldBeforeNew, old.is_empty() || holds, || {
                        format!(
                            "{} is done, and {old:?} of the old owner still work",
                            job_name(at.job)
                        )
                    });
                }
            }
            Outcome::Failed {
                undone: true, fault, ..
            } => {
                let live: Vec<&str> = cloud
                    .claims
                    .iter()
                    .filter(|issued| issued.job == at.job && issued.lives(self.now))
                    .map(|issued| issued.id.0.as_str())
                    .collect();
                let half: Vec<&str> = cloud
                    .credentials()
                    .filter(|own| {
                        own.active && own.claim.is_some_and(|claim| cloud.claims[claim].job == at.job)
                    })
                    .map(|own| own.id.as_str())
                    .collect();
                let off: Vec<&str> = self
                    .switched_off
                    .iter()
                    .filter(|(_, by)| **by == at.job)
                    .map(|(id, _)| id.as_str())
                    // Another job gave the device another one that works: this one is over.
                    .filter(|id| {
                        let same = |done: &str| cloud.whose(done) == cloud.whose(id);
                        let works = |done: &str| same(done) && cloud.is_active(done);
                        let mut others = self.journal.iter().filter(|(job, _)| **job != at.job);
                        let later = done_later(&self.journal, kept.number, same);
                        later.is_none() && !others.any(|(_, other)| other.done().any(works))
                    })
                    .collect();
                let said = fault.code() == "earlier-identity-off";
                let holds = live.is_empty() && half.is_empty() && (off.is_empty() || said);
                self.rules.hold(Rule::UndoneIsUndone, holds, || {
                    format!(
                        "{} says undone; live claims {live:?}, registrations {half:?}, switched off {off:?}",
                        job_name(at.job)
                    )
                });
            }
            Outcome::Failed { .. } | Outcome::Unknown { .. } => {}
        }
        if let Outcome::Failed { fault, .. } | Outcome::Unknown { fault, .. } = outcome {
            let deaf = matches!(root(fault), Fault::Link(LinkError::AdapterOff));
            self.rules.hold(Rule::DeafnessEndsNothing, !deaf, || {
                format!("{} ends since the adapter is off", job_name(at.job))
            });
        }
    }

    /// The history is over: whatever left nothing is settled.
    pub(super) fn check_leftovers(&mut self) {
        let open: Vec<JobId> = (0..self.clouds.len())
            .flat_map(|organisation| self.open_of(organisation))
            .collect();
        for (job, kept) in &self.journal {
            let cloud = &self.clouds[kept.organisation];
            let registered = cloud
                .credentials()
                .any(|own| own.claim.is_some_and(|claim| cloud.claims[claim].job == *job));
            let live = cloud
                .claims
                .iter()
                .any(|issued| issued.job == *job && issued.lives(self.now));
            let asked = cloud.claims.iter().any(|issued| issued.job == *job);
            let says_off = kept.finished().is_some_and(|outcome| match outcome {
                OutcomeRecord::Failed { fault, .. } | OutcomeRecord::Unknown { fault, .. } => {
                    fault.code == "earlier-identity-off"
                }
                OutcomeRecord::Done { .. } => false,
            });
            let off = says_off || self.switched_off.values().any(|by| by == job);
            if !asked || registered || live || off {
                continue;
            }
            self.rules.hold(Rule::LeftoversEnd, !open.contains(job), || {
                let last = kept.finished();
                format!("{} left nothing, and stays open: {last:?}", job_name(*job))
            });
        }
    }

    /// A claim was issued, so the journal has to have its key.
    pub(super) fn remember_claim(&mut self, cloud: usize, number: usize) {
        let issued = &self.clouds[cloud].claims[number];
        let written = self.journal.get(&issued.job).is_some_and(|kept| {
            kept.steps.iter().any(|step| {
                matches!(step, Step::Claiming { idempotency, .. } if *idempotency == issued.request.idempotency)
            })
        });
        self.rules.hold(Rule::NothingIsForgotten, written, || {
            format!(
                "{} is issued, and nothing in the journal knows of it",
                issued.id.0
            )
        });
    }

    /// Whatever is live in a cloud stands in the journal of a job that runs or is open.
    pub(super) fn remember_all(&mut self) {
        let running = self.running();
        let mut forgotten = Vec::new();
        for cloud in &self.clouds {
            for issued in &cloud.claims {
                if !issued.lives(self.now) || running.contains(&issued.job) {
                    continue;
                }
                let remembered = self.journal.get(&issued.job).is_some_and(|kept| {
                    let remains = kept.remains();
                    remains.asked.contains(&issued.request.idempotency)
                        || remains
                            .claim
                            .is_some_and(|(_, cleanup)| cleanup == issued.cleanup)
                        || remains.leftover.contains(&issued.cleanup)
                });
                if !remembered {
                    forgotten.push(issued.id.0.clone());
                }
            }
            for own in cloud.credentials().filter(|own| own.active) {
                let Some(job) = own.claim.map(|claim| cloud.claims[claim].job) else {
                    continue;
                };
                if running.contains(&job) {
                    continue;
                }
                let done = self
                    .journal
                    .values()
                    .any(|kept| kept.done().any(|principal| principal == own.id));
                let open = self
                    .journal
                    .get(&job)
                    .is_some_and(|kept| !kept.remains().is_empty());
                if !done && !open {
                    forgotten.push(own.id.clone());
                }
            }
        }
        self.rules
            .hold(Rule::NothingIsForgotten, forgotten.is_empty(), || {
                format!("{forgotten:?} live in a cloud, and no open job knows of them")
            });
    }
}

/// Whether the device that was online with this credential has gone to another organisation since, which this one's cloud
/// cannot know.
pub(super) fn moved(devices: &[Device], cloud: &Cloud, principal: &str) -> bool {
    let whose = cloud.whose(principal);
    let elsewhere = |device: &Device| {
        let home = device.credential.as_ref().map(|(home, _)| *home);
        Some(serial(device.spec.serial)) == whose && home.is_some_and(|home| home != cloud.number)
    };
    cloud.was_online(principal) && devices.iter().any(elsewhere)
}

/// A later job that is done with a credential of which that holds.
pub(super) fn done_later(
    journal: &std::collections::BTreeMap<JobId, Kept>,
    than: u64,
    of: impl Fn(&str) -> bool,
) -> Option<JobId> {
    journal
        .iter()
        .filter(|(_, kept)| kept.number > than)
        .find(|(_, kept)| kept.done().any(&of))
        .map(|(job, _)| *job)
}
