//! The cloud's own word on an enrolment: the four proofs, gathered by long looks at the claim. What a device says of
//! itself never gets in here.

use alloc::string::String;
use alloc::vec::Vec;

use crate::claim::{ClaimId, CleanupHandle};
use crate::evidence::{Evidence, Fact, Observation, Source, Thing};
use crate::fault::{CloudError, Fault};
use crate::policy::Limits;
use crate::time::{Moment, UnixTime};

use super::attempt::{Attempt, fault, overdue};
use super::context::{Context, Signal};
use super::io::{Action, CallId};

/// What is watched, and what was seen.
#[derive(Debug, Default)]
pub(super) struct Watch {
    claim: Option<Watched>,
    attempt: Attempt,
    after: u64,
    /// A device reached the cloud with the claim.
    pub(super) reached: bool,
    registered: Option<Registered>,
    online: Vec<(String, Option<UnixTime>)>,
    one_active: Option<String>,
    /// The last refusal.
    pub(super) refused: Option<(String, String)>,
    /// The claim is over and led to nothing.
    pub(super) over: bool,
    /// The registration as it stands.
    thing: Option<Thing>,
    /// The call whose answer showed it so: one that was asked for before shows nothing newer, whenever it is answered.
    shown_by: CallId,
    trouble: Option<Fault>,
    /// A later job has changed something at the device, so that it has to be seen online now.
    pub(super) overtaken: bool,
}

#[derive(Debug)]
struct Watched {
    id: ClaimId,
    /// None once it is undone, which happens once.
    cleanup: Option<CleanupHandle>,
    issued_at: Option<UnixTime>,
}

#[derive(Debug, Default)]
struct Registered {
    thing: Option<String>,
    principal: Option<String>,
}

impl Watch {
    pub(super) fn timeout(&self, limits: &Limits) -> Option<Moment> {
        self.attempt.timeout(limits)
    }

    /// The claim that is watched.
    pub(super) fn claim_id(&self) -> Option<ClaimId> {
        self.claim.as_ref().map(|claim| claim.id.clone())
    }

    /// How to undo the claim that is watched; none where it is undone.
    pub(super) fn cleanup(&self) -> Option<CleanupHandle> {
        self.claim.as_ref().and_then(|claim| claim.cleanup.clone())
    }

    /// Whether the cloud has registered the device.
    pub(super) fn is_registered(&self) -> bool {
        self.registered.is_some()
    }

    /// Whether the cloud has seen anything of the device.
    pub(super) fn has_news(&self) -> bool {
        self.reached || self.is_registered() || !self.online.is_empty()
    }

    /// The name it is registered under.
    pub(super) fn thing_name(&self) -> Option<String> {
        self.registered
            .as_ref()
            .and_then(|registered| registered.thing.clone())
            .or_else(|| self.thing.as_ref().map(|thing| thing.name.clone()))
    }

    /// The permanent credential that this claim led to: as the registration says, or the only active one that was
    /// not there before.
    pub(super) fn principal(&self, earlier: &[String]) -> Option<String> {
        let registered = self.registered.as_ref()?;
        registered.principal.clone().or_else(|| {
            let mut fresh = self
                .thing
                .as_ref()?
                .active()
                .filter(|principal| !earlier.contains(&principal.id));
            let only = fresh.next()?.id.clone();
            fresh.next().is_none().then_some(only)
        })
    }

    /// Whether the device was seen online with this credential, after the claim was issued.
    pub(super) fn is_online(&self, principal: &str) -> bool {
        let issued_at = self.claim.as_ref().and_then(|claim| claim.issued_at);
        let in_time = |at: Option<UnixTime>| match (at, issued_at) {
            (Some(at), Some(issued_at)) => at >= issued_at,
            _ => true,
        };
        let told = self.online.iter().any(|(id, at)| id == principal && in_time(*at));
        let shown = self
            .thing
            .as_ref()
            .is_some_and(|thing| thing.connected_at.is_some() && thing.is_online_by(principal, issued_at));
        (told && !self.overtaken) || shown
    }

    /// Whether the registry showed this credential as active when it was looked at last.
    pub(super) fn is_active(&self, principal: &str) -> bool {
        self.thing
            .as_ref()
            .is_some_and(|thing| thing.active().any(|active| active.id == principal))
    }

    /// Whether nobody has shown this credential to be off.
    pub(super) fn may_be_active(&self, principal: &str) -> bool {
        self.thing.is_none() || self.is_active(principal)
    }

    /// Whether this credential is the only active one.
    pub(super) fn is_only_active(&self, principal: &str) -> bool {
        match &self.thing {
            Some(thing) => {
                let mut active = thing.active();
                active.next().is_some_and(|only| only.id == principal) && active.next().is_none()
            }
            None => self.one_active.as_deref() == Some(principal),
        }
    }

    /// How many credentials are active, as far as the cloud shows.
    pub(super) fn active(&self) -> usize {
        self.thing.as_ref().map_or(0, |thing| thing.active().count())
    }

    /// Why the cloud could not be asked last time.
    pub(super) fn trouble(&self) -> Option<Fault> {
        self.trouble.clone()
    }

    /// Takes the registration as the answer to this call shows it.
    pub(super) fn take_registration(&mut self, call: CallId, thing: Thing) {
        if call >= self.shown_by {
            self.shown_by = call;
            self.thing = Some(thing);
        }
    }

    fn take(&mut self, evidence: &Evidence) {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        match &evidence.fact {
            Fact::CloudReached | Fact::IdentityIssued { .. } => self.reached = true,
            Fact::Registered { thing, principal } => {
                self.reached = true;
                let known = self.registered.get_or_insert_default();
                known.thing = filled(thing).or(known.thing.take());
                known.principal = filled(principal).or(known.principal.take());
            }
            Fact::SeenOnline { thing, principal } => {
                if let Some(id) = filled(principal) {
                    self.online.push((id, evidence.at));
                }
                if let Some(known) = &mut self.registered {
                    known.thing = known.thing.take().or(filled(thing));
                }
            }
            Fact::EnrolmentRefused { code, message } => {
                self.refused = Some((code.clone(), message.clone()));
            }
            Fact::OneActiveCredential { principal } => self.one_active = Some(principal.clone()),
            _ => {}
        }
    }
}

impl Context {
    /// Watches what becomes of the claim that the device holds. The same claim is not begun anew.
    pub(super) fn watch_claim(&mut self) {
        if let Some(held) = self.purse.held().filter(|held| held.begun) {
            let claim = &held.claim;
            if self.watch.claim.as_ref().map(|watched| &watched.id) != Some(&claim.id) {
                let watched = Watched {
                    id: claim.id.clone(),
                    cleanup: Some(claim.cleanup.clone()),
                    issued_at: Some(claim.issued_at),
                };
                self.watch_anew(watched);
            }
        }
        if self.watch.claim.is_some() && !self.watch.over {
            self.watch.attempt.want();
        }
    }

    /// Watches a claim of which only the name is left, and how to undo it where that is not done.
    pub(super) fn watch_remains(
        &mut self,
        id: ClaimId,
        cleanup: Option<CleanupHandle>,
        issued_at: Option<UnixTime>,
    ) {
        self.watch_anew(Watched {
            id,
            cleanup,
            issued_at,
        });
        self.watch.attempt.want();
    }

    /// What is watched led to nothing and concerns nobody any more.
    pub(super) fn watch_nothing(&mut self) {
        self.watch = Watch {
            overtaken: self.watch.overtaken,
            ..Watch::default()
        };
    }

    /// Takes what the journal says for what the cloud said: the device is registered under this name.
    pub(super) fn registered_before(&mut self, thing: String) {
        self.watch.registered = Some(Registered {
            thing: Some(thing).filter(|name| !name.is_empty()),
            principal: None,
        });
    }

    /// [`super::Ended::Observed`]. A look that was given up may have been at another claim.
    pub(super) fn observed(&mut self, call: CallId, result: Result<Observation, CloudError>) {
        let Some(asked_at) = self
            .watch
            .attempt
            .asked_at()
            .filter(|_| self.watch.attempt.is_answered_by(call))
        else {
            return;
        };
        match result {
            Ok(seen) => self.take_observation(call, seen, asked_at),
            Err(error) => {
                self.watch.attempt.pause(&error, self.now, &self.plan.limits);
                self.watch.trouble = Some(fault(error));
            }
        }
        self.signals.push_back(Signal::News);
    }

    pub(super) fn pump_watch(&mut self) -> bool {
        if !self.watch.attempt.is_due(self.now) {
            return false;
        }
        let Some(claim) = self.watch.claim_id() else {
            return false;
        };
        let after = self.watch.after;
        let call = self.act(Action::Observe { claim, after });
        self.watch.attempt.ask(call, self.now);
        true
    }

    pub(super) fn lapse_watch(&mut self) {
        if self.watch.attempt.is_overdue(self.now, &self.plan.limits)
            && let Some(call) = self.watch.attempt.under_way()
        {
            self.observed(call, Err(overdue()));
        }
    }

    /// Enough is known for now.
    pub(super) fn stop_watching(&mut self) {
        self.watch.attempt.end();
    }

    fn watch_anew(&mut self, claim: Watched) {
        self.stop_watching();
        self.watch = Watch {
            claim: Some(claim),
            overtaken: self.watch.overtaken,
            ..Watch::default()
        };
    }

    fn take_observation(&mut self, call: CallId, seen: Observation, asked_at: Moment) {
        let nothing_new = seen.evidence.is_empty();
        self.watch.trouble = None;
        self.watch.after = self.watch.after.max(seen.next);
        if let Some(thing) = seen.thing {
            self.watch.take_registration(call, thing);
        }
        for evidence in seen.evidence {
            if evidence.source != Source::Cloud {
                continue;
            }
            self.watch.take(&evidence);
            if !self.joined && self.watch.has_news() {
                self.joined = true;
                self.keep(Evidence {
                    fact: Fact::WifiJoined { address: None },
                    source: Source::Cloud,
                    at: evidence.at,
                });
            }
            self.keep(evidence);
        }
        self.watch.over = seen.claim_over && !self.watch.is_registered();
        self.watch.attempt.end();
        if self.watch.over {
            return;
        }
        // A cloud that answers at once without news must not be asked in a loop.
        let hasty = nothing_new && self.now.since(asked_at) < self.plan.limits.cloud_pause;
        if hasty {
            self.watch.attempt.rest(self.now + self.plan.limits.cloud_pause);
        } else {
            self.watch.attempt.want();
        }
    }
}
