//! Claims that may have been issued and that nobody wants: each is asked for again under its key, so that it has a name,
//! and is undone. Until the cloud has said what is under a key, something of ours may be left there.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use uuid::Uuid;

use crate::claim::{Claim, ClaimForm, ClaimRequest};
use crate::fault::{CloudError, Fault};
use crate::mending::{Kind, holds};
use crate::policy::Limits;
use crate::time::Moment;

use super::attempt::{Attempt, overdue};
use super::context::{Context, Signal};
use super::io::{CallId, Remains, Step};

/// The broker's codes for a claim that it does not issue. A live claim under the same key is answered with that claim
/// whatever else holds, so each of them says that there is none.
const NONE_LIVES: [&str; 7] = [
    "unknown-device",
    "owned-by-other",
    "clone-suspected",
    "already-enrolled",
    "template-disabled",
    "claim-refused",
    "claim-retired",
];

/// All forms there are, for asking again for a claim that is only to be undone.
const ANY_FORM: [ClaimForm; 5] = [
    ClaimForm::Certificate,
    ClaimForm::PublicKey,
    ClaimForm::Sas,
    ClaimForm::SymmetricKey,
    ClaimForm::Tpm,
];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reclaiming {
    queue: VecDeque<ClaimRequest>,
    attempt: Attempt,
    /// Keys of which the cloud has not said what is under them.
    left: Vec<Uuid>,
}

impl Reclaiming {
    pub(super) fn timeout(&self, limits: &Limits) -> Option<Moment> {
        self.attempt.timeout(limits)
    }

    /// Whether nothing is asked about.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the cloud has said what is under each key.
    pub(super) fn is_clean(&self) -> bool {
        self.queue.is_empty() && self.left.is_empty() || !holds(Kind::MaybeDone)
    }

    fn settled(&mut self, key: Uuid) {
        self.queue.retain(|request| request.idempotency != key);
        self.left.retain(|left| *left != key);
    }
}

impl Context {
    /// Takes up the requests of an earlier run of which nothing says what came of them.
    pub(super) fn reclaim_remains(&mut self, remains: &Remains) {
        let Some(serial) = remains.serial.clone().or_else(|| self.plan.serial.clone()) else {
            if !remains.asked.is_empty() {
                self.retiring.give_up(Fault::SerialNeeded);
            }
            return;
        };
        for key in &remains.asked {
            self.reclaim(ClaimRequest {
                serial: serial.clone(),
                key_sha256: remains.identity.as_ref().map(|identity| identity.key_sha256),
                keys: remains.keys.clone(),
                idempotency: *key,
                accepts: Vec::new(),
                purpose: self.plan.purpose,
                parameters: self.plan.parameters.clone(),
            });
        }
    }

    /// What may be under this request's key is undone in the background.
    pub(super) fn reclaim(&mut self, request: ClaimRequest) {
        self.reclaiming.queue.push_back(ClaimRequest {
            accepts: ANY_FORM.to_vec(),
            ..request
        });
        self.reclaiming.attempt.want();
    }

    /// The same, of a request whose answer may be on its way.
    pub(super) fn reclaim_from(&mut self, request: ClaimRequest, attempt: Attempt, taken_back: bool) {
        if self.reclaiming.queue.is_empty() {
            self.reclaiming.attempt = attempt;
            if taken_back {
                self.reclaiming.attempt.rest(self.now);
            }
        }
        self.reclaim(request);
    }

    /// Whether this key is asked about here.
    pub(super) fn reclaims(&self, key: Uuid) -> bool {
        let mut queue = self.reclaiming.queue.iter();
        queue.any(|request| request.idempotency == key) || self.reclaiming.left.contains(&key)
    }

    /// [`super::Ended::Issued`], of a claim that nobody wants.
    pub(super) fn reclaimed(&mut self, call: CallId, key: Uuid, result: Result<Claim, CloudError>) {
        let current = self.reclaiming.attempt.is_answered_by(call);
        match result {
            Ok(claim) => {
                self.reclaiming.settled(key);
                self.undo_unwanted(key, claim);
            }
            Err(_) if !current => return,
            Err(error) if none_lives(&error) => {
                self.reclaiming.settled(key);
                self.note(Step::Unclaimed { idempotency: key });
            }
            Err(error) => {
                if self.reclaiming.attempt.fail(&error, self.now, &self.plan.limits) {
                    return;
                }
                self.reclaiming.settled(key);
                self.reclaiming.left.push(key);
            }
        }
        if current || self.reclaiming.queue.is_empty() {
            self.reclaiming.attempt.end();
        }
        if !self.reclaiming.queue.is_empty() {
            self.reclaiming.attempt.want();
        }
        self.signals.push_back(Signal::News);
    }

    pub(super) fn pump_reclaiming(&mut self) -> bool {
        if !self.reclaiming.attempt.is_due(self.now) {
            return false;
        }
        let Some(request) = self.reclaiming.queue.front().cloned() else {
            return false;
        };
        let call = self.issue(request);
        self.reclaiming.attempt.ask(call, self.now);
        true
    }

    pub(super) fn lapse_reclaiming(&mut self) {
        if self.reclaiming.attempt.is_overdue(self.now, &self.plan.limits)
            && let (Some(call), Some(request)) =
                (self.reclaiming.attempt.under_way(), self.reclaiming.queue.front())
        {
            let key = request.idempotency;
            self.reclaimed(call, key, Err(overdue()));
        }
    }
}

/// Whether the cloud has said that no claim lives under the key that was asked with.
pub(super) fn none_lives(error: &CloudError) -> bool {
    matches!(error, CloudError::Refused { code, .. } if NONE_LIVES.contains(&code.as_str()))
}
