//! The flow's own types, as the world uses them: the one place that knows how a call is named and answered.

use commission::claim::{Claim, ClaimId, ClaimRequest, CleanupHandle};
use commission::device::Serial;
use commission::evidence::{Observation, Snapshot, Thing};
use commission::fault::CloudError;
use commission::flow::{Action, CallId, Ended, Input, Step};

use crate::fate::{Call, Entry};

/// What a cloud is asked.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Snapshot(Serial),
    Issue(Box<ClaimRequest>),
    Observe(ClaimId, u64),
    Retire(CleanupHandle),
    Deactivate { principal: String },
    Release { thing: String },
}

/// What a cloud answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Snapshot(Result<Snapshot, CloudError>),
    Issued(Result<Claim, CloudError>),
    Observed(Result<Observation, CloudError>),
    Retired(Result<(), CloudError>),
    Deactivated(Result<Thing, CloudError>),
    Released(Result<(), CloudError>),
}

impl Ask {
    /// What of the flow's actions is for a cloud.
    pub(crate) fn of(action: &Action) -> Option<Self> {
        let ask = match action {
            Action::Snapshot { serial, .. } => Self::Snapshot(serial.clone()),
            Action::Issue(request) => Self::Issue(Box::new(request.clone())),
            Action::Observe { claim, after } => Self::Observe(claim.clone(), *after),
            Action::Retire(cleanup) => Self::Retire(cleanup.clone()),
            Action::Deactivate { principal, .. } => Self::Deactivate {
                principal: principal.clone(),
            },
            Action::Release { thing, .. } => Self::Release { thing: thing.clone() },
            _ => return None,
        };
        Some(ask)
    }

    pub(crate) const fn call(&self) -> Call {
        match self {
            Self::Snapshot(_) => Call::Snapshot,
            Self::Issue(_) => Call::Issue,
            Self::Observe(..) => Call::Observe,
            Self::Retire(_) => Call::Retire,
            Self::Deactivate { .. } => Call::Deactivate,
            Self::Release { .. } => Call::Release,
        }
    }

    /// The answer that it failed.
    pub(crate) fn failed(&self, error: CloudError) -> Reply {
        match self {
            Self::Snapshot(_) => Reply::Snapshot(Err(error)),
            Self::Issue(_) => Reply::Issued(Err(error)),
            Self::Observe(..) => Reply::Observed(Err(error)),
            Self::Retire(_) => Reply::Retired(Err(error)),
            Self::Deactivate { .. } => Reply::Deactivated(Err(error)),
            Self::Release { .. } => Reply::Released(Err(error)),
        }
    }

    /// In words, for the story.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Snapshot(serial) => format!("what do you know of {serial}?"),
            Self::Issue(request) => format!("a claim for {} ({:?})", request.serial, request.purpose),
            Self::Observe(claim, after) => format!("what became of {}? (after {after})", claim.0),
            Self::Retire(cleanup) => cleanup.0.clone(),
            Self::Deactivate { principal } => format!("switch {principal} off"),
            Self::Release { thing } => format!("release {thing}"),
        }
    }
}

impl Reply {
    /// As the flow takes it.
    pub(crate) fn input(self, call: CallId) -> Input {
        let ended = match self {
            Self::Snapshot(result) => Ended::Snapshot(result),
            Self::Issued(result) => Ended::Issued(result),
            Self::Observed(result) => Ended::Observed(result),
            Self::Retired(result) => Ended::Retired(result),
            Self::Deactivated(result) => Ended::Deactivated(result),
            Self::Released(result) => Ended::ReleasedToSupport(result),
        };
        Input::Ended(call, ended)
    }

    /// In words, for the story.
    pub(crate) fn words(&self) -> String {
        fn failed<T>(result: &Result<T, CloudError>, well: impl FnOnce(&T) -> String) -> String {
            match result {
                Ok(value) => well(value),
                Err(error) => format!("{error}"),
            }
        }
        let thing = |thing: &Thing| {
            let active: Vec<&str> = thing.active().map(|own| own.id.as_str()).collect();
            format!(
                "{} with {active:?} active{}",
                thing.name,
                if thing.connected == Some(true) {
                    format!(
                        ", connected since {} by {}",
                        thing.connected_at.map_or(0, |at| at.0 - 1_700_000_000),
                        thing.online_by().unwrap_or("something")
                    )
                } else {
                    String::new()
                }
            )
        };
        match self {
            Self::Snapshot(result) => failed(result, |snapshot| {
                let shown = snapshot.thing.as_ref().map(thing);
                format!(
                    "owner {:?}, {}",
                    snapshot.owner,
                    shown.unwrap_or("not registered".into())
                )
            }),
            Self::Issued(result) => failed(result, |claim| format!("{} is issued", claim.id.0)),
            Self::Observed(result) => failed(result, |seen| {
                let facts: Vec<String> = seen
                    .evidence
                    .iter()
                    .map(|evidence| format!("{:?}", evidence.fact))
                    .collect();
                let shown = seen.thing.as_ref().map(thing);
                format!(
                    "{facts:?}, {}{}",
                    shown.unwrap_or("not registered".into()),
                    if seen.claim_over {
                        ", the claim is over"
                    } else {
                        ""
                    }
                )
            }),
            Self::Retired(result) => failed(result, |()| "retired".into()),
            Self::Deactivated(result) => failed(result, thing),
            Self::Released(result) => failed(result, |()| "released".into()),
        }
    }
}

/// The kind of an entry.
pub(crate) const fn entry(step: &Step) -> Entry {
    match step {
        Step::Started { .. } => Entry::Started,
        Step::Claiming { .. } => Entry::Claiming,
        Step::Claimed { .. } => Entry::Claimed,
        Step::SendingClaim { .. } => Entry::SendingClaim,
        Step::Applying => Entry::Applying,
        Step::Resetting => Entry::Resetting,
        Step::Evidence { .. } => Entry::Evidence,
        Step::Deactivating { .. } => Entry::Deactivating,
        Step::Releasing { .. } => Entry::Releasing,
        Step::Retiring { .. } => Entry::Retiring,
        Step::Retired { .. } => Entry::Retired,
        Step::Finished { .. } => Entry::Finished,
        _ => Entry::Other,
    }
}
