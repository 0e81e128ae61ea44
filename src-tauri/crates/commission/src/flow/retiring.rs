//! Claims that are to be undone, one after another. One that was asked to be undone may be undone until an answer says
//! so; until then it counts as left.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::claim::CleanupHandle;
use crate::fault::{CloudError, Fault};
use crate::mending::{Kind, holds};
use crate::policy::Limits;
use crate::time::Moment;

use super::attempt::{Attempt, fault};
use super::context::{Context, Effect, Signal};
use super::io::{Action, CallId, Step};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Retiring {
    queue: VecDeque<CleanupHandle>,
    attempt: Attempt,
    /// Those that could not be undone, and why.
    left: Vec<(CleanupHandle, Fault)>,
    /// A claim may be there that cannot be named.
    unnamed: Option<Fault>,
}

impl Retiring {
    pub(super) fn timeout(&self, limits: &Limits) -> Option<Moment> {
        self.attempt.timeout(limits)
    }

    /// Something may be left that cannot be undone, since nothing names it.
    pub(super) fn give_up(&mut self, fault: Fault) {
        self.unnamed = Some(fault);
    }

    /// Whether all that was to be undone is undone.
    pub(super) fn is_clean(&self) -> bool {
        self.queue.is_empty() && self.failure().is_none()
    }

    /// Whether nothing is being undone, well or not.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Why something could not be undone.
    pub(super) fn failure(&self) -> Option<&Fault> {
        let left = self.left.last().map(|(_, fault)| fault);
        self.unnamed.as_ref().or(left)
    }
}

impl Context {
    /// Undoes a claim in the background.
    pub(super) fn retire(&mut self, cleanup: CleanupHandle) {
        if !self.retiring.queue.contains(&cleanup) {
            self.retiring.queue.push_back(cleanup);
            self.retiring.attempt.want();
        }
    }

    /// [`super::Ended::Retired`]. That a claim is undone is news whenever it comes; that it is not counts for the call that
    /// is under way alone.
    pub(super) fn retired(&mut self, call: CallId, asked: CleanupHandle, result: Result<(), CloudError>) {
        let last = self.retiring.queue.front().cloned();
        let asked = last.filter(|_| !holds(Kind::NamedAnswers)).unwrap_or(asked);
        let current = self.retiring.attempt.is_answered_by(call);
        match result {
            Ok(()) => {
                self.retiring.queue.retain(|cleanup| *cleanup != asked);
                self.retiring.left.retain(|(cleanup, _)| *cleanup != asked);
                self.note(Step::Retired { cleanup: asked });
                if current || self.retiring.queue.is_empty() {
                    self.retiring.attempt.end();
                }
            }
            Err(_) if !current => return,
            Err(error) => {
                if self.retiring.attempt.fail(&error, self.now, &self.plan.limits) {
                    return;
                }
                self.retiring.queue.retain(|cleanup| *cleanup != asked);
                self.retiring.left.push((asked, fault(error)));
            }
        }
        if !self.retiring.queue.is_empty() {
            self.retiring.attempt.want();
        }
        self.signals.push_back(Signal::News);
    }

    pub(super) fn pump_retiring(&mut self) -> bool {
        if !self.retiring.attempt.is_due(self.now) {
            return false;
        }
        let Some(cleanup) = self.retiring.queue.front().cloned() else {
            return false;
        };
        if self.retiring.attempt.is_first() {
            let cleanup = cleanup.clone();
            self.record(Step::Retiring { cleanup });
        }
        let call = self.effect(Action::Retire(cleanup.clone()), Effect::Retire(cleanup));
        self.retiring.attempt.ask(call, self.now);
        true
    }

    pub(super) fn lapse_retiring(&mut self, overdue: CloudError) {
        if self.retiring.attempt.is_overdue(self.now, &self.plan.limits)
            && let (Some(call), Some(cleanup)) = (
                self.retiring.attempt.under_way(),
                self.retiring.queue.front().cloned(),
            )
        {
            self.retired(call, cleanup, Err(overdue));
        }
    }
}
