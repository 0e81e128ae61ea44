//! Turning what became known into the view, and publishing it at a pace that an eye can follow.

use std::sync::Arc;

use commission::dialect::strength_of;
use commission::evidence::{Evidence, Fact};
use commission::fault::Fault;
use commission::flow::{Event, JobId, Outcome, OutcomeRecord, Stage, Step};
use commission::time::Moment;

use super::{Driver, PUBLISH_PACE};
use crate::failure::Failure;
use crate::request::{Order, Target};
use crate::view::{
    ClaimView, Happening, JobState, JobView, NearbyView, ProofView, ProofsView, StageView, What,
};

impl Driver {
    pub(super) fn show_ordered(&mut self, shown: JobView) {
        match self.view.jobs.iter_mut().find(|job| job.id == shown.id) {
            Some(job) => *job = shown,
            None => self.view.jobs.push(shown),
        }
        self.mark_changed();
    }

    /// What a step of a job settles before any evidence comes: with which device it goes on, and which network is
    /// written to it.
    pub(super) fn show_step(&mut self, id: JobId, step: &Step) {
        let Some(job) = self.view.jobs.iter_mut().find(|job| job.id == id) else {
            return;
        };
        match step {
            Step::Started { peripheral, .. } => job.peripheral = Some(peripheral.clone()),
            Step::WritingSettings { ssid } => job.network = Some(ssid.clone()),
            _ => return,
        }
        self.mark_changed();
    }

    /// A job that ended before anything was begun; nothing of this is in the journal. `undone` is false where an
    /// earlier run may have left something.
    pub(super) fn show_not_begun(&mut self, job: JobId, fault: &Fault, undone: bool) {
        let outcome = Outcome::Failed {
            stage: Stage::Found,
            fault: fault.clone(),
            undone,
        };
        self.show(job, &Event::Finished(outcome));
    }

    /// A job that has come to this end already, as the journal has it.
    pub(super) fn show_ended(&mut self, id: JobId, outcome: OutcomeRecord) {
        let Some(job) = self.view.jobs.iter_mut().find(|job| job.id == id) else {
            return;
        };
        match &outcome {
            OutcomeRecord::Done { thing, principal } => {
                job.state = JobState::Done;
                job.thing.clone_from(thing);
                job.principal = Some(principal.clone());
            }
            OutcomeRecord::Failed { fault, .. } => {
                job.state = JobState::Failed;
                job.failure = Some(Failure::recorded(fault));
            }
            OutcomeRecord::Unknown { fault, .. } => {
                job.state = JobState::Unknown;
                job.failure = Some(Failure::recorded(fault));
            }
        }
        job.outcome = Some(outcome.clone());
        job.happenings.push(Happening {
            at_ms: millis(self.parts.clock.now()),
            what: What::Finished {
                outcome,
                failure: job.failure.clone(),
            },
        });
        self.mark_changed();
    }

    pub(super) fn show_nearby(&mut self) {
        let now = self.parts.clock.now();
        let nearby: Vec<NearbyView> = self
            .around
            .devices()
            .map(|device| NearbyView {
                peripheral: device.peripheral.clone(),
                name: device.name.clone(),
                dialect: device.dialect,
                signal: device.signal(),
                heard_ms: millis(device.heard),
                fading: self.around.is_fading(device, now),
            })
            .collect();
        if nearby != self.view.nearby {
            self.view.nearby = nearby;
            self.mark_changed();
        }
    }

    pub(super) fn show_listening(&mut self, listening: bool, trouble: Option<Failure>) {
        if (self.view.listening, &self.view.radio_trouble) != (listening, &trouble) {
            (self.view.listening, self.view.radio_trouble) = (listening, trouble);
            self.mark_changed();
        }
    }

    pub(super) fn show(&mut self, id: JobId, event: &Event) {
        let at_ms = millis(self.parts.clock.now());
        self.learn_of(id, event);
        if matches!(event, Event::Finished(_)) {
            self.looks.remove(&id);
            self.taken.remove(&id);
            self.twins.remove(id);
            self.wrong_ones.remove(&id);
        }
        let Some(job) = self.view.jobs.iter_mut().find(|job| job.id == id) else {
            return;
        };
        if let Some(what) = apply(job, event, at_ms) {
            job.happenings.push(Happening { at_ms, what });
        }
        self.mark_changed();
    }

    /// What an event of a job says of its device, whichever of one name that is.
    fn learn_of(&mut self, id: JobId, event: &Event) {
        let Event::Evidence(evidence) = event else { return };
        let device = self.taken.get(&id).or_else(|| self.wrong_ones.get(&id));
        let Some(device) = device else { return };
        match &evidence.fact {
            Fact::PossessionProven { scheme } => {
                let kind = self.around.get(device).map(|heard| heard.dialect);
                let strength = kind.map(|kind| strength_of(kind, scheme));
                self.acquaintances.accepted(device, strength.unwrap_or_default());
            }
            Fact::PossessionRefused => {
                let pop = self.looks.get(&id).and_then(|looks| looks.pop.as_ref());
                self.acquaintances.refused(device, pop);
            }
            Fact::IdentityProven { identity } => self.acquaintances.proved(device, &identity.serial),
            _ => {}
        }
    }

    fn mark_changed(&mut self) {
        if self.publish_at.is_none() {
            self.publish_at = Some(self.parts.clock.now() + PUBLISH_PACE);
        }
    }

    pub(super) fn publish_when_due(&mut self, now: Moment) {
        if self.publish_at.is_some_and(|moment| moment <= now) {
            self.publish_at = None;
            let mut view = self.view.clone();
            view.paused = self.reception.trouble().is_some() && view.jobs.iter().any(|job| !job.is_over());
            for job in &mut view.jobs {
                // Nothing happens to it until a link is free, so no event says so.
                if job.state == JobState::Working && self.batch.is_waiting(job.id) {
                    job.state = JobState::Waiting;
                }
            }
            self.publish.send_replace(Arc::new(view));
        }
    }
}

/// A job as it was ordered.
pub(super) fn ordered(id: JobId, name: String, order: &Order) -> JobView {
    let serial = order.serial.as_ref().map(ToString::to_string);
    JobView {
        peripheral: match &order.target {
            Target::Peripheral(peripheral) => Some(peripheral.clone()),
            Target::Name(_) => None,
        },
        site: order.site.clone(),
        network: order.network.as_ref().map(|network| String::from(&network.ssid)),
        purpose: Some(order.purpose),
        ..JobView::new(id, name, serial)
    }
}

fn apply(job: &mut JobView, event: &Event, at_ms: u64) -> Option<What> {
    match event {
        Event::Stage(stage) => {
            if let Some(last) = job.stages.last_mut() {
                last.ended_ms = Some(at_ms);
            }
            job.stages.push(StageView {
                stage: *stage,
                began_ms: at_ms,
                ended_ms: None,
            });
            job.state = JobState::Working;
            Some(What::Stage { stage: *stage })
        }
        Event::Evidence(evidence) => {
            prove(&mut job.proofs, evidence, at_ms);
            learn(job, evidence);
            Some(What::Evidence {
                evidence: evidence.clone(),
            })
        }
        Event::Capabilities(capabilities) => Some(What::Capabilities {
            summary: capabilities.summary.clone(),
        }),
        Event::Networks(seen) => {
            job.networks = seen.iter().map(Into::into).collect();
            None
        }
        Event::Claim { id, expires } => {
            job.claim = Some(ClaimView {
                id: id.0.clone(),
                expires_ms: millis(*expires),
                sent: 0,
                total: 0,
            });
            None
        }
        Event::ClaimProgress { sent, total } => {
            if let Some(claim) = &mut job.claim {
                (claim.sent, claim.total) = (*sent, *total);
            }
            None
        }
        Event::Question(id, question) => {
            job.state = JobState::Attention;
            job.asked = Some(*id);
            job.question = Some(question.into());
            Some(What::Asked {
                asked: *id,
                question: question.into(),
            })
        }
        Event::QuestionOver => {
            job.state = JobState::Working;
            (job.question, job.asked) = (None, None);
            None
        }
        Event::Retrying { fault, attempt } => Some(What::Retrying {
            failure: fault.into(),
            attempt: *attempt,
        }),
        Event::Finished(outcome) => Some(finish(job, outcome, at_ms)),
    }
}

fn finish(job: &mut JobView, outcome: &Outcome, at_ms: u64) -> What {
    if let Some(last) = job.stages.last_mut() {
        last.ended_ms = Some(at_ms);
    }
    (job.question, job.asked, job.claim) = (None, None, None);
    let failure = match outcome {
        Outcome::Done { thing, principal } => {
            job.state = JobState::Done;
            job.thing.clone_from(thing);
            job.principal = Some(principal.clone());
            None
        }
        Outcome::Failed { fault, .. } => {
            job.state = JobState::Failed;
            Some(Failure::from(fault))
        }
        Outcome::Unknown { fault, .. } => {
            job.state = JobState::Unknown;
            Some(Failure::unknown(fault))
        }
    };
    job.failure.clone_from(&failure);
    job.outcome = Some(OutcomeRecord::from(outcome));
    What::Finished {
        outcome: OutcomeRecord::from(outcome),
        failure,
    }
}

fn prove(proofs: &mut ProofsView, evidence: &Evidence, at_ms: u64) {
    let slot = match &evidence.fact {
        Fact::WifiJoined { .. } => &mut proofs.wifi_joined,
        Fact::CloudReached => &mut proofs.cloud_reached,
        Fact::Registered { .. } => &mut proofs.identity_accepted,
        Fact::SeenOnline { .. } => &mut proofs.seen_online,
        _ => return,
    };
    // The cloud's word replaces the device's own; an earlier word of the same rank stays.
    if slot.as_ref().is_none_or(|proof| proof.source < evidence.source) {
        *slot = Some(ProofView {
            source: evidence.source,
            at_ms,
        });
    }
}

fn learn(job: &mut JobView, evidence: &Evidence) {
    match &evidence.fact {
        Fact::PossessionProven { scheme } => job.scheme = Some(scheme.clone()),
        Fact::IdentityProven { identity } => {
            job.serial = Some(identity.serial.as_str().to_owned());
            job.model = Some(identity.model.clone());
            job.firmware = Some(identity.firmware.to_string());
        }
        Fact::Registered { thing, principal } | Fact::SeenOnline { thing, principal } => {
            if thing.is_some() {
                job.thing.clone_from(thing);
            }
            if principal.is_some() {
                job.principal.clone_from(principal);
            }
        }
        _ => {}
    }
}

fn millis(moment: Moment) -> u64 {
    u64::try_from(moment.since_start().as_millis()).unwrap_or(u64::MAX)
}
