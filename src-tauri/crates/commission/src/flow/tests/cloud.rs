//! The cloud as it is: what it issued, what came of it, and how its answers go wrong.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use uuid::Uuid;

use super::device::Enrolling;
use super::sim::*;
use crate::claim::{Claim, ClaimId, ClaimKind, CleanupHandle, Endpoint, Scope};
use crate::device::Serial;
use crate::dialect::Enrol;
use crate::evidence::{
    Evidence, Fact, Observation, Owner, Principal, PrincipalStatus, Snapshot, Source, Thing,
};
use crate::fault::CloudError;
use crate::flow::*;
use crate::secret::PrivateKeyPem;
use crate::time::Moment;

/// Calls to the cloud without their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    Snapshot,
    Issue,
    Observe,
    Retire,
    Deactivate,
    Release,
}

#[derive(Clone, Debug)]
pub(super) enum CloudTrouble {
    /// Nothing was done.
    Error(CloudError),
    /// It was done, and the answer is lost.
    LostAnswer,
    /// It was done, and the answer cannot be read.
    GarbledAnswer,
    /// Nothing ever comes back.
    Silence,
}

/// A claim as the cloud knows it.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) claim: Claim,
    pub(super) serial: Serial,
    pub(super) key: Uuid,
    pub(super) retired: bool,
    pub(super) used: bool,
    pub(super) reached: bool,
    pub(super) events: Vec<Evidence>,
}

impl Issued {
    pub(super) fn is_over(&self, now: Moment) -> bool {
        !self.used && (self.retired || now >= self.claim.expires)
    }
}

/// The cloud as it is.
#[derive(Debug, Default)]
pub(super) struct Cloud {
    pub(super) life: Duration,
    pub(super) snapshots: BTreeMap<Serial, Snapshot>,
    pub(super) issued: Vec<Issued>,
    pub(super) things: BTreeMap<String, Thing>,
    pub(super) released: BTreeSet<String>,
    pub(super) troubles: Vec<(Call, CloudTrouble)>,
    /// Refused for good from here on, such as when the network of the laptop is gone.
    pub(super) down: BTreeSet<Call>,
    pub(super) latency: BTreeMap<Call, Duration>,
    pub(super) calls: Vec<(Moment, Call)>,
    /// Somebody else gives every new thing a second credential.
    pub(super) stray: bool,
    /// Says yes to switching a credential off and leaves it on.
    pub(super) stubborn: bool,
    /// A request to undo a claim failed.
    pub(super) retire_failed: bool,
}

impl Cloud {
    /// Has something to tell once more, so that whoever watches sees how things are by now.
    pub(super) fn tell_again(&mut self) {
        for issued in &mut self.issued {
            let first = issued.events.first().cloned();
            issued.events.extend(first);
        }
    }
}

impl Site {
    pub(super) fn enrol_device(&mut self, job: JobId) {
        let now = self.now;
        let post = self.posts.get_mut(&job).unwrap();
        let device = &mut post.device;
        device.live(now);
        let (Some(joined_at), Some(claim)) = (device.joined_at, device.claim.clone()) else {
            return;
        };
        let Some(issued) = self
            .cloud
            .issued
            .iter_mut()
            .find(|issued| issued.claim.id == claim.id)
        else {
            return;
        };
        // As the cloud has it: a job counts in a time of its own, in which nobody sleeps.
        let claim = issued.claim.clone();
        let at = |wait| joined_at.max(claim.issued) + wait;
        let alive_at = |moment: Moment, retired: bool| !retired && moment < claim.expires;
        let told = |fact, moment| Evidence {
            fact,
            source: Source::Cloud,
            at: Some(unix(moment)),
        };
        let lazy = matches!(device.enrolling, Enrolling::FromClaim(first)
            if claim.id < ClaimId(format!("clm_{first}")));
        if lazy
            || device.enrolling == Enrolling::Never
            || !alive_at(at(secs(2)), issued.retired) && !issued.used
        {
            return;
        }
        if now >= at(secs(2)) && !issued.reached {
            issued.reached = true;
            device.enrol = Enrol::CloudReached;
            issued.events.push(told(Fact::CloudReached, at(secs(2))));
            if device.enrolling == Enrolling::Refused {
                issued.events.push(told(
                    Fact::EnrolmentRefused {
                        code: "AccessDenied".into(),
                        message: "the hook says no".into(),
                    },
                    at(secs(2)),
                ));
            }
        }
        if device.enrolling == Enrolling::Refused {
            return;
        }
        let principal = format!("p-{}", claim.id.0);
        let name = device.serial.as_str().to_string();
        if now >= at(secs(3)) && !issued.used && alive_at(at(secs(3)), issued.retired) {
            issued.used = true;
            if self.cloud.stray {
                let thing = self
                    .cloud
                    .things
                    .entry(name.clone())
                    .or_insert_with(|| bare(&name));
                thing.principals.push(Principal {
                    id: "stray".into(),
                    status: PrincipalStatus::Active,
                });
            }
            device.enrol = Enrol::Registered {
                thing: Some(name.clone()),
                principal: principal.clone(),
            };
            issued.events.push(told(
                Fact::Registered {
                    thing: Some(name.clone()),
                    principal: Some(principal.clone()),
                },
                at(secs(3)),
            ));
            let thing = self
                .cloud
                .things
                .entry(name.clone())
                .or_insert_with(|| bare(&name));
            thing.version += 1;
            thing.principals.push(Principal {
                id: principal.clone(),
                status: PrincipalStatus::Active,
            });
        }
        let online_at = at(secs(4));
        let seen = issued
            .events
            .iter()
            .any(|evidence| matches!(evidence.fact, Fact::SeenOnline { .. }));
        if now >= online_at && issued.used && !seen && device.enrolling != Enrolling::Unseen {
            issued.events.push(told(
                Fact::SeenOnline {
                    thing: Some(name.clone()),
                    principal: Some(principal.clone()),
                },
                online_at,
            ));
            if let Some(thing) = self.cloud.things.get_mut(&name) {
                thing.connected = Some(true);
                thing.connected_at = Some(unix(online_at));
                thing.connected_principal = Some(principal.clone());
                if device.enrolling == Enrolling::Revoked {
                    thing.connected = Some(false);
                    for credential in &mut thing.principals {
                        if credential.id == principal {
                            credential.status = PrincipalStatus::Inactive;
                        }
                    }
                }
            }
            device.enrol = Enrol::Online {
                thing: Some(name),
                principal,
            };
        }
    }

    pub(super) fn call(&mut self, job: JobId, id: CallId, call: Call, action: Action) {
        self.cloud.calls.push((self.now, call));
        let wait = self.cloud.latency.get(&call).copied().unwrap_or(ms(80));
        self.after(wait, Coming::Cloud(job, id, action));
    }

    pub(super) fn answer_cloud(&mut self, job: JobId, id: CallId, action: Action) {
        self.live();
        let pass = |ended| Coming::Input(job, 0, Input::Ended(id, ended));
        let call = match &action {
            Action::Snapshot { .. } => Call::Snapshot,
            Action::Issue(_) => Call::Issue,
            Action::Retire(_) => Call::Retire,
            Action::Deactivate { .. } => Call::Deactivate,
            Action::Release { .. } => Call::Release,
            _ => Call::Observe,
        };
        let trouble = self
            .cloud
            .troubles
            .iter()
            .position(|(of, _)| *of == call)
            .map(|at| self.cloud.troubles.remove(at).1);
        let trouble = if self.cloud.down.contains(&call) {
            Some(CloudTrouble::Error(CloudError::Unreachable("no route".into())))
        } else {
            trouble
        };
        self.cloud.retire_failed |= call == Call::Retire && trouble.is_some();
        let failure = match trouble {
            None => None,
            Some(CloudTrouble::Silence) => return,
            Some(CloudTrouble::Error(error)) => Some((error, false)),
            Some(CloudTrouble::LostAnswer) => Some((CloudError::Unreachable("reset".into()), true)),
            Some(CloudTrouble::GarbledAnswer) => Some((CloudError::Nonsense("no JSON".into()), true)),
        };
        if let Some((error, false)) = &failure {
            return self.pass(pass(failed(call, error.clone())));
        }
        let ended = match action {
            Action::Snapshot { serial, .. } => {
                let snapshot = self.cloud.snapshots.get(&serial).cloned();
                let mut snapshot = snapshot.unwrap_or(Snapshot {
                    known: Some(false),
                    identity_key_sha256: None,
                    min_firmware: None,
                    owner: Owner::None,
                    thing: None,
                    self_enrolling: false,
                });
                if let Some(thing) = self.cloud.things.get(serial.as_str()) {
                    snapshot.thing = Some(thing.clone());
                }
                Ended::Snapshot(Ok(snapshot))
            }
            Action::Issue(request) => Ended::Issued(Ok(self.issue(&request))),
            Action::Retire(handle) => {
                for issued in &mut self.cloud.issued {
                    if issued.claim.cleanup == handle {
                        issued.retired = true;
                    }
                }
                self.wake_observers();
                Ended::Retired(Ok(()))
            }
            Action::Deactivate { thing, principal } => {
                let thing = self.cloud.things.get_mut(&thing).unwrap();
                for credential in &mut thing.principals {
                    if credential.id == principal && !self.cloud.stubborn {
                        credential.status = PrincipalStatus::Inactive;
                    }
                }
                Ended::Deactivated(Ok(thing.clone()))
            }
            Action::Release { thing, .. } => {
                self.cloud.released.insert(thing);
                Ended::ReleasedToSupport(Ok(()))
            }
            Action::Observe { claim, after } => {
                let now = self.now;
                return self.observe(job, id, claim, after, now);
            }
            _ => return,
        };
        match failure {
            Some((error, _)) => self.pass(pass(failed(call, error))),
            None => self.pass(pass(ended)),
        }
    }

    pub(super) fn issue(&mut self, request: &crate::claim::ClaimRequest) -> Claim {
        let now = self.now;
        let known = self
            .cloud
            .issued
            .iter()
            .find(|issued| issued.key == request.idempotency && !issued.used && !issued.is_over(now));
        if let Some(issued) = known {
            return issued.claim.clone();
        }
        let number = self.cloud.issued.len() + 1;
        let claim = Claim {
            id: ClaimId(format!("clm_{number}")),
            kind: ClaimKind::Certificate {
                chain_pem: "chain".into(),
                key: PrivateKeyPem::new("key"),
            },
            endpoint: Endpoint {
                host: "iot.example".into(),
                port: 8883,
            },
            ca_pem: "ca".into(),
            scope: Scope {
                template: "t".into(),
                parameters: BTreeMap::new(),
            },
            issued: now,
            expires: now + self.cloud.life,
            issued_at: unix(now),
            cleanup: CleanupHandle(format!("/v1/claims/clm_{number}/retire")),
        };
        self.cloud.issued.push(Issued {
            claim: claim.clone(),
            serial: request.serial.clone(),
            key: request.idempotency,
            retired: false,
            used: false,
            reached: false,
            events: Vec::new(),
        });
        claim
    }

    pub(super) fn wake_observers(&mut self) {
        let now = self.now;
        let held: Vec<(Moment, u64)> = self
            .coming
            .iter()
            .filter(|(_, coming)| matches!(coming, Coming::Observe(..)))
            .map(|(at, _)| *at)
            .collect();
        for at in held {
            let coming = self.coming.remove(&at).unwrap();
            self.coming.insert((now, at.1), coming);
        }
    }

    /// A long look: answered with news, on a change of state, or after twenty seconds.
    pub(super) fn observe(&mut self, job: JobId, id: CallId, claim: ClaimId, after: u64, since: Moment) {
        self.live();
        let pass = |ended| Coming::Input(job, 0, Input::Ended(id, ended));
        let now = self.now;
        let Some(issued) = self.cloud.issued.iter().find(|issued| issued.claim.id == claim) else {
            let gone = CloudError::Refused {
                code: "claim-not-found".into(),
                message: String::new(),
            };
            return self.pass(pass(Ended::Observed(Err(gone))));
        };
        let skipped = usize::try_from(after).unwrap();
        let evidence: Vec<Evidence> = issued.events.iter().skip(skipped).cloned().collect();
        let over = issued.is_over(now);
        if evidence.is_empty() && !over && now.since(since) < secs(20) {
            return self.after(ms(250), Coming::Observe(job, id, claim, after, since));
        }
        let observation = Observation {
            next: u64::try_from(issued.events.len()).unwrap(),
            evidence,
            claim_over: over,
            thing: self.cloud.things.get(issued.serial.as_str()).cloned(),
        };
        self.pass(pass(Ended::Observed(Ok(observation))));
    }
}

pub(super) fn bare(name: &str) -> Thing {
    Thing {
        name: name.into(),
        version: 0,
        principals: Vec::new(),
        connected: Some(false),
        connected_at: None,
        connected_principal: None,
        inferred_principal: None,
    }
}

pub(super) fn failed(call: Call, error: CloudError) -> Ended {
    match call {
        Call::Snapshot => Ended::Snapshot(Err(error)),
        Call::Issue => Ended::Issued(Err(error)),
        Call::Observe => Ended::Observed(Err(error)),
        Call::Retire => Ended::Retired(Err(error)),
        Call::Deactivate => Ended::Deactivated(Err(error)),
        Call::Release => Ended::ReleasedToSupport(Err(error)),
    }
}
