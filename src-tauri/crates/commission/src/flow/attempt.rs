//! One kind of call to the cloud: at most one under way, tried again after a pause while the trouble is passing.

use core::time::Duration;

use crate::fault::{CloudError, Fault};
use crate::policy::Limits;
use crate::time::Moment;

use super::io::CallId;

/// The broker's code for "wait for what is missing"; the registry lags behind the events.
const NOT_VERIFIED: &str = "not-verified";

/// Where the call stands.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    phase: Phase,
    failures: u32,
    since: Option<Moment>,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Idle,
    Due,
    UnderWay(Moment, CallId),
    Pausing(Moment),
}

impl Attempt {
    /// Asks for the call, unless it is on its way already.
    pub(super) fn want(&mut self) {
        if matches!(self.phase, Phase::Idle) {
            self.phase = Phase::Due;
        }
    }

    /// Whether the call should be made now.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        match self.phase {
            Phase::Due => true,
            Phase::Pausing(until) => now >= until,
            Phase::Idle | Phase::UnderWay(..) => false,
        }
    }

    /// Whether nothing was asked for.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Whether this is the call that is under way: an earlier one that is answered late is not.
    pub(super) fn is_answered_by(&self, call: CallId) -> bool {
        self.under_way() == Some(call)
    }

    /// The call whose answer is awaited.
    pub(super) fn under_way(&self) -> Option<CallId> {
        match self.phase {
            Phase::UnderWay(_, call) => Some(call),
            Phase::Idle | Phase::Due | Phase::Pausing(_) => None,
        }
    }

    /// Whether this is the first try, so that it has to be written down first.
    pub(super) fn is_first(&self) -> bool {
        self.since.is_none()
    }

    /// The call is made.
    pub(super) fn ask(&mut self, call: CallId, now: Moment) {
        self.phase = Phase::UnderWay(now, call);
        self.since.get_or_insert(now);
    }

    /// The call went well, or is no longer wanted.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    /// The call failed: pauses and says yes while trying again makes sense.
    pub(super) fn fail(&mut self, error: &CloudError, now: Moment, limits: &Limits) -> bool {
        self.fail_for_now(error.is_passing(), error, now, limits)
    }

    /// As [`Attempt::fail`], of a call for which the cloud may say that it comes too early.
    pub(super) fn fail_early(&mut self, error: &CloudError, now: Moment, limits: &Limits) -> bool {
        let early = matches!(error, CloudError::Refused { code, .. } if code == NOT_VERIFIED);
        self.fail_for_now(early || error.is_passing(), error, now, limits)
    }

    fn fail_for_now(&mut self, passing: bool, error: &CloudError, now: Moment, limits: &Limits) -> bool {
        let began = self.since.unwrap_or(now);
        let again = passing && now.since(began) < limits.cloud;
        if again {
            self.pause(error, now, limits);
        } else {
            self.end();
        }
        again
    }

    /// The call failed, and is tried again however often that happens: somebody else keeps the deadline.
    pub(super) fn pause(&mut self, error: &CloudError, now: Moment, limits: &Limits) {
        let own = limits.cloud_pause * (1 << self.failures.min(3));
        let stated = match error {
            CloudError::Throttled {
                retry_after: Some(seconds),
            } => Duration::from_secs((*seconds).into()),
            _ => Duration::ZERO,
        };
        self.failures += 1;
        self.phase = Phase::Pausing(now + own.max(stated).min(limits.cloud));
    }

    /// Waits until then before the next call.
    pub(super) fn rest(&mut self, until: Moment) {
        self.failures = 0;
        self.since = None;
        self.phase = Phase::Pausing(until);
    }

    /// When the call was made, while its answer is awaited.
    pub(super) fn asked_at(&self) -> Option<Moment> {
        match self.phase {
            Phase::UnderWay(at, _) => Some(at),
            Phase::Idle | Phase::Due | Phase::Pausing(_) => None,
        }
    }

    /// Whether the answer is overdue; one that still comes is taken for what it says.
    pub(super) fn is_overdue(&self, now: Moment, limits: &Limits) -> bool {
        self.asked_at().is_some_and(|at| now >= at + limits.cloud)
    }

    /// When to look again.
    pub(super) fn timeout(&self, limits: &Limits) -> Option<Moment> {
        match self.phase {
            Phase::Idle | Phase::Due => None,
            Phase::UnderWay(at, _) => Some(at + limits.cloud),
            Phase::Pausing(until) => Some(until),
        }
    }
}

/// What stands for an answer that did not come.
pub(super) fn overdue() -> CloudError {
    CloudError::Unreachable("no answer in time".into())
}

/// A failed call as a fault of the job.
pub(super) fn fault(error: CloudError) -> Fault {
    match error {
        CloudError::SignedOut => Fault::SignedOut,
        CloudError::Unreachable(words) => Fault::CloudUnreachable(words),
        CloudError::Throttled { .. } => Fault::Cloud {
            code: "throttled".into(),
            message: "too many requests for now".into(),
        },
        CloudError::Refused { code, message } => Fault::Cloud { code, message },
        CloudError::Nonsense(message) => Fault::Cloud {
            code: "unreadable-answer".into(),
            message,
        },
    }
}
