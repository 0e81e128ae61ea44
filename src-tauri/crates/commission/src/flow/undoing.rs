//! Undoing: a job that cannot go on takes back what it made, settles with the cloud what is unclear, and ends by name.

use crate::dialect::{Command, Report};
use crate::fault::Fault;
use crate::time::Moment;

use super::context::{Context, Signal};
use super::io::{Outcome, Stage};
use super::job::State;
use super::purse::Purse;
use super::status::Status;
use super::verifying::Verifying;

/// See the module.
#[derive(Debug)]
pub(super) struct Undoing {
    stage: Stage,
    fault: Fault,
    /// The device is asked to wipe the claim; until when.
    aborting: Option<Moment>,
    deadline: Moment,
}

impl Undoing {
    /// Ends the job for this reason, wherever it stands.
    pub(super) fn enter(cx: &mut Context, fault: Fault) -> State {
        cx.close_question();
        cx.withdraw();
        let holds_claim = cx.purse.held().is_some_and(|held| held.begun);
        let aborting =
            (holds_claim && !cx.ever_applied && cx.link_free()).then(|| cx.now + cx.plan.limits.settle);
        if aborting.is_some() {
            cx.command(Command::AbortClaim);
        } else {
            cx.unlink();
        }
        if cx.ever_applied && !cx.watch.is_registered() {
            cx.watch_claim();
        } else {
            cx.stop_watching();
        }
        if !cx.watch.is_registered() {
            cx.retire_remains();
            cx.discard_claim();
        }
        Self {
            stage: cx.stage,
            fault,
            aborting,
            deadline: cx.now + cx.plan.limits.cloud,
        }
        .advance(cx)
    }

    pub(super) fn on(mut self, cx: &mut Context, signal: &Signal) -> State {
        match signal {
            Signal::Report(Report::ClaimAborted | Report::Failed(_)) | Signal::Lost(_) => {
                self.aborting = None;
                cx.unlink();
            }
            Signal::Tick if self.aborting.is_some_and(|until| cx.now >= until) => {
                self.aborting = None;
                cx.unlink();
            }
            _ => {}
        }
        self.advance(cx)
    }

    pub(super) fn timeout(&self) -> Option<Moment> {
        [self.aborting, Some(self.deadline)].into_iter().flatten().min()
    }

    fn advance(self, cx: &mut Context) -> State {
        let overdue = cx.now >= self.deadline;
        let busy = matches!(cx.purse, Purse::Asking(_)) || !cx.retiring.is_idle() || self.aborting.is_some();
        if busy && !overdue {
            return State::Undoing(self);
        }
        let outcome = if cx.watch.is_registered() {
            if may_go_on(&self.fault) && self.stage < Stage::Verifying {
                let status = Status::begin(cx, None);
                return Verifying::enter(cx, status);
            }
            self.unknown()
        } else if !cx.ever_applied || cx.watch.over {
            self.failed(cx.nothing_left())
        } else if cx.plain || overdue || cx.watch.claim_id().is_none() || cx.retiring.failure().is_some() {
            self.unknown()
        } else {
            return State::Undoing(self);
        };
        cx.stop_watching();
        cx.finish(outcome);
        State::Ending
    }

    fn failed(self, undone: bool) -> Outcome {
        let Self { stage, fault, .. } = self;
        Outcome::Failed { stage, fault, undone }
    }

    fn unknown(self) -> Outcome {
        let Self { stage, fault, .. } = self;
        Outcome::Unknown { stage, fault }
    }
}

/// A device that turns out to be registered after all is worth going on with, unless somebody said to stop.
fn may_go_on(fault: &Fault) -> bool {
    !matches!(fault, Fault::Cancelled | Fault::Unanswered)
}
