//! The one claim of a job at a time: wanted, asked for, held, given away to be undone.

use alloc::boxed::Box;
use core::mem;
use core::time::Duration;

use uuid::Uuid;

use crate::claim::{Claim, ClaimRequest, MIN_LIFE_TO_KEEP, Purpose};
use crate::device::Serial;
use crate::dialect::Command;
use crate::evidence::{Evidence, Fact, Source};
use crate::fault::{CloudError, Fault};
use crate::policy::Limits;
use crate::secret::Entropy;
use crate::time::{Moment, UnixTime};

use super::attempt::{Attempt, fault, overdue};
use super::context::{Context, Effect, Intent, Signal};
use super::io::{Action, CallId, Event, Step};
use super::proving::Proven;
use super::reclaiming::none_lives;

/// Claims that one job may use up before it gives up. Each replaced one cost a person's patience or a lost minute.
const MOST_CLAIMS: u8 = 6;

/// Where the claim is.
#[derive(Debug, Default)]
pub(super) enum Purse {
    /// There is none.
    #[default]
    Empty,
    /// It is to be asked for.
    Wanted,
    /// It is asked for.
    Asking(Box<Asking>),
    /// It is here.
    Held(Box<Held>),
    /// The cloud gives none.
    Refused(Fault),
}

#[derive(Debug)]
pub(super) struct Asking {
    request: ClaimRequest,
    attempt: Attempt,
    /// An earlier try may have had an effect.
    tried: bool,
}

/// A claim that came.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) claim: Claim,
    /// The device has, or may have, some of it.
    pub(super) begun: bool,
    /// The device has all of it.
    pub(super) committed: bool,
}

impl Purse {
    pub(super) fn timeout(&self, limits: &Limits) -> Option<Moment> {
        match self {
            Self::Asking(asking) => asking.attempt.timeout(limits),
            Self::Empty | Self::Wanted | Self::Held(_) | Self::Refused(_) => None,
        }
    }

    /// The claim, if it is here.
    pub(super) fn held(&self) -> Option<&Held> {
        match self {
            Self::Held(held) => Some(held),
            Self::Empty | Self::Wanted | Self::Asking(_) | Self::Refused(_) => None,
        }
    }
}

impl Held {
    /// Whether a device that holds it has time enough to use it.
    pub(super) fn may_be_kept(&self, now: Moment) -> bool {
        self.claim.expires.left(now) >= MIN_LIFE_TO_KEEP
    }
}

impl Context {
    /// Asks for a claim unless there is one, or one is coming.
    pub(super) fn want_claim(&mut self) {
        if matches!(self.purse, Purse::Empty) {
            self.retire_remains();
            self.purse = if self.claims_asked >= MOST_CLAIMS {
                Purse::Refused(Fault::ClaimExpired)
            } else {
                Purse::Wanted
            };
            self.signals.push_back(Signal::News);
        }
    }

    /// Asks for a claim early, so that nobody waits for it later: where the policy says so, and where no credential
    /// has to be switched off first. Never where an earlier one may still be used, nor where the cloud has to be asked first.
    pub(super) fn prefetch_claim(&mut self) {
        let early = self.plan.policy.prefetch_claim && self.plan.purpose != Purpose::Transfer;
        if early && !self.plain && !self.ever_applied && !self.recovering {
            self.want_claim();
        }
    }

    /// Gives the claim up: undone in the background, and a fresh one can be asked for at once.
    pub(super) fn discard_claim(&mut self) {
        if let Purse::Held(held) = &self.purse {
            let cleanup = held.claim.cleanup.clone();
            self.purse = Purse::Empty;
            self.retire(cleanup);
        }
    }

    /// Gives up a claim of an earlier run, of which only the name is left.
    pub(super) fn retire_remains(&mut self) {
        if self.claims_asked == 0
            && !self.watch.is_registered()
            && let Some(cleanup) = self.watch.cleanup()
        {
            self.retire(cleanup);
        }
    }

    /// Stops wanting a claim. One that may have been issued is asked for again, to be undone.
    pub(super) fn withdraw_claim(&mut self) {
        let under_way = match &self.purse {
            Purse::Asking(asking) => asking.attempt.under_way(),
            _ => None,
        };
        let taken_back = under_way.is_some_and(|call| self.take_back(call));
        if let Purse::Wanted | Purse::Asking(_) = &self.purse
            && let Purse::Asking(asking) = mem::take(&mut self.purse)
            && (asking.tried || !taken_back)
        {
            let Asking { request, attempt, .. } = *asking;
            self.reclaim_from(request, attempt, taken_back);
        }
    }

    /// A claim that came, in the job's own time, in which nobody sleeps.
    pub(super) fn awake_claim(&self, claim: Claim) -> Claim {
        Claim {
            issued: earlier(claim.issued, self.slept),
            expires: earlier(claim.expires, self.slept),
            ..claim
        }
    }

    /// So long was slept through, in which the claim's life went on.
    pub(super) fn age_claim(&mut self, span: Duration) {
        if let Purse::Held(held) = &mut self.purse {
            held.claim.issued = earlier(held.claim.issued, span);
            held.claim.expires = earlier(held.claim.expires, span);
        }
    }

    /// Sends the claim. Only who holds the proof that the device's possession is proven can ask for it (rule 1).
    pub(super) fn send_claim(&mut self, _: &Proven) {
        if let Purse::Held(held) = &self.purse {
            let claim = held.claim.id.clone();
            self.record(Step::SendingClaim { claim });
            self.intents.push_back(Intent::SendClaim);
        }
    }

    /// The command that sends the claim, if it may still be sent at this very moment.
    pub(super) fn claim_to_send(&mut self) -> Option<Command> {
        let now = self.now;
        let Purse::Held(held) = &mut self.purse else {
            return None;
        };
        if !held.claim.may_be_sent(now) {
            return None;
        }
        held.begun = true;
        let age = i64::try_from(now.since(held.claim.issued).as_secs()).unwrap_or(i64::MAX);
        let command = Command::SendClaim {
            claim: held.claim.clone(),
            now: UnixTime(held.claim.issued_at.0.saturating_add(age)),
        };
        if self.ever_applied {
            // A device that has joined may use it as soon as it has it, whether we hear of that or not.
            self.watch_claim();
        }
        Some(command)
    }

    /// The device has all of the claim.
    pub(super) fn claim_committed(&mut self) {
        if let Purse::Held(held) = &mut self.purse {
            held.committed = true;
            let claim = held.claim.id.clone();
            self.note(Step::ClaimCommitted { claim });
            self.tell(Fact::ClaimCommitted, Source::Device);
        }
    }

    /// [`super::Ended::Issued`]. A claim counts whenever it comes; that there is none counts for the call that is under way
    /// alone.
    pub(super) fn issued(&mut self, call: CallId, key: Uuid, result: Result<Claim, CloudError>) {
        if self.reclaims(key) {
            return self.reclaimed(call, key, result);
        }
        let asking = match &mut self.purse {
            Purse::Asking(asking) if asking.request.idempotency == key => asking,
            _ => {
                if let Ok(claim) = result {
                    self.undo_unwanted(key, claim);
                }
                return;
            }
        };
        match result {
            Err(_) if !asking.attempt.is_answered_by(call) => return,
            Ok(claim) => {
                self.purse = Purse::Empty;
                self.hold(key, claim);
            }
            Err(error) => {
                // What came and could not be read may have been a claim as well.
                asking.tried |= error.is_unclear();
                if asking.attempt.fail(&error, self.now, &self.plan.limits) {
                    return;
                }
                let request = asking.request.clone();
                if asking.tried && !none_lives(&error) {
                    self.reclaim(request.clone());
                } else {
                    self.note(Step::Unclaimed { idempotency: key });
                }
                self.purse = Purse::Refused(refusal(error, request.serial.as_str()));
            }
        }
        self.signals.push_back(Signal::News);
    }

    pub(super) fn pump_claim(&mut self, entropy: &mut dyn Entropy) -> bool {
        let now = self.now;
        match &mut self.purse {
            Purse::Wanted => {
                let Some(serial) = self.serial().cloned() else {
                    return false;
                };
                let mut bytes = [0; 16];
                entropy.fill(&mut bytes);
                let idempotency = uuid::Builder::from_random_bytes(bytes).into_uuid();
                self.ask_for_claim(serial, idempotency);
                true
            }
            Purse::Asking(asking) if asking.attempt.is_due(now) => {
                let request = asking.request.clone();
                let call = self.issue(request);
                if let Purse::Asking(asking) = &mut self.purse {
                    asking.attempt.ask(call, now);
                }
                true
            }
            _ => false,
        }
    }

    pub(super) fn lapse_claim(&mut self) {
        if let Purse::Asking(asking) = &self.purse
            && asking.attempt.is_overdue(self.now, &self.plan.limits)
            && let Some(call) = asking.attempt.under_way()
        {
            let key = asking.request.idempotency;
            self.issued(call, key, Err(overdue()));
        }
    }

    fn ask_for_claim(&mut self, serial: Serial, idempotency: Uuid) {
        self.claims_asked += 1;
        self.record(Step::Claiming {
            idempotency,
            serial: serial.clone(),
        });
        let request = ClaimRequest {
            serial,
            key_sha256: self.identity.as_ref().map(|identity| identity.key_sha256),
            keys: self.keys.clone(),
            idempotency,
            accepts: self.capabilities.claims.clone(),
            purpose: self.plan.purpose,
            parameters: self.plan.parameters.clone(),
        };
        let mut attempt = Attempt::default();
        let call = self.issue(request.clone());
        attempt.ask(call, self.now);
        self.purse = Purse::Asking(Box::new(Asking {
            request,
            attempt,
            tried: false,
        }));
    }

    pub(super) fn issue(&mut self, request: ClaimRequest) -> CallId {
        let effect = Effect::Issue(request.idempotency);
        self.effect(Action::Issue(request), effect)
    }

    fn hold(&mut self, key: Uuid, claim: Claim) {
        self.record_claim(key, &claim, false);
        self.events.push_back(Event::Claim {
            id: claim.id.clone(),
            expires: claim.expires + self.slept,
        });
        self.events.push_back(Event::Evidence(Evidence {
            fact: Fact::ClaimIssued {
                claim: claim.id.clone(),
            },
            source: Source::Cloud,
            at: Some(claim.issued_at),
        }));
        if self.capabilities.claims.contains(&claim.form()) {
            self.purse = Purse::Held(Box::new(Held {
                claim,
                begun: false,
                committed: false,
            }));
        } else {
            self.retire(claim.cleanup);
            self.purse = Purse::Refused(Fault::CredentialsUnsupported);
        }
    }

    /// A claim that came when nobody wanted it any more.
    pub(super) fn undo_unwanted(&mut self, key: Uuid, claim: Claim) {
        if !self.finished {
            self.record_claim(key, &claim, true);
            self.retire(claim.cleanup);
        }
    }

    fn record_claim(&mut self, key: Uuid, claim: &Claim, unwanted: bool) {
        self.record(Step::Claimed {
            idempotency: Some(key),
            claim: claim.id.clone(),
            cleanup: claim.cleanup.clone(),
            issued_at: claim.issued_at,
            unwanted,
        });
    }
}

fn earlier(moment: Moment, span: Duration) -> Moment {
    Moment::new(moment.since_start().saturating_sub(span))
}

/// A refused claim as a fault of the job; the codes are those of the broker's contract.
fn refusal(error: CloudError, serial: &str) -> Fault {
    match error {
        CloudError::Refused { code, message } => match code.as_str() {
            "unknown-device" => Fault::UnknownDevice(serial.into()),
            "clone-suspected" => Fault::CloneSuspected(serial.into()),
            "owned-by-other" => Fault::OwnedByOther,
            "already-enrolled" => Fault::AlreadyCommissioned,
            _ => Fault::ClaimRefused { code, message },
        },
        error => fault(error),
    }
}
