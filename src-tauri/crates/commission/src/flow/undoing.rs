//! Undoing: a job that cannot go on takes back what it made, settles with the cloud what is unclear, and ends by name.

use alloc::boxed::Box;

use crate::dialect::{Command, Report};
use crate::fault::Fault;
use crate::time::Moment;

use super::context::{Context, Signal};
use super::io::{Outcome, Stage, Step};
use super::job::State;
use super::status::Status;
use super::verifying::Verifying;

/// See the module.
#[derive(Debug)]
pub(super) struct Undoing {
    stage: Stage,
    fault: Fault,
    device: Device,
    deadline: Moment,
    /// Somebody said to stop while it was being undone for another reason.
    stopped: Option<Fault>,
}

/// What is still wanted of the device.
#[derive(Debug)]
enum Device {
    /// Nothing; the link is given back.
    Left,
    /// That it wipes the claim; until when.
    Aborting(Moment),
    /// That it forgets its settings, once the cloud has said that nothing came of them: a device that has registered
    /// must not be taken off its network.
    Holding,
    /// It was told to forget them; until when.
    Freeing(Moment),
}

impl Undoing {
    /// Ends the job for this reason, wherever it stands.
    pub(super) fn enter(cx: &mut Context, fault: Fault) -> State {
        cx.close_question();
        cx.withdraw();
        let holds_claim = cx.purse.held().is_some_and(|held| held.begun);
        let device = if holds_claim && !cx.ever_applied && cx.link_free() {
            cx.command(Command::AbortClaim);
            Device::Aborting(cx.now + cx.plan.limits.settle)
        } else if may_free(cx) {
            Device::Holding
        } else {
            cx.unlink();
            Device::Left
        };
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
            device,
            deadline: cx.now + cx.plan.limits.cloud,
            stopped: None,
        }
        .advance(cx)
    }

    pub(super) fn on(mut self, cx: &mut Context, signal: &Signal) -> State {
        let over = match (&self.device, signal) {
            (_, Signal::Lost(_))
            | (Device::Aborting(_), Signal::Report(Report::ClaimAborted | Report::Failed(_)))
            | (Device::Freeing(_), Signal::Report(Report::Failed(_))) => true,
            (Device::Freeing(_), Signal::Report(Report::NetworkReset)) => {
                (cx.applied, cx.needs_reset) = (false, false);
                true
            }
            (Device::Aborting(until) | Device::Freeing(until), Signal::Tick) => cx.now >= *until,
            _ => false,
        };
        if over {
            self.leave(cx);
        }
        if let Signal::Stop(fault) = signal {
            self.stopped.get_or_insert_with(|| fault.clone());
        }
        self.advance(cx)
    }

    pub(super) fn timeout(&self, cx: &Context) -> Option<Moment> {
        let device = match self.device {
            Device::Aborting(until) | Device::Freeing(until) => Some(until),
            Device::Left | Device::Holding => None,
        };
        // What is still asked about then has an end of its own.
        let deadline = Some(self.deadline).filter(|at| *at > cx.now);
        [device, deadline].into_iter().flatten().min()
    }

    fn leave(&mut self, cx: &mut Context) {
        self.device = Device::Left;
        cx.unlink();
    }

    /// Has the device forget its settings, where the cloud has said that nothing came of them; whether that goes on.
    fn free(&mut self, cx: &mut Context) -> bool {
        if !matches!(self.device, Device::Holding) || !nothing_came(cx) {
            return false;
        }
        if !may_free(cx) {
            self.leave(cx);
            return false;
        }
        // A look at the device that was under way ends first.
        if cx.link_free() {
            cx.record(Step::Resetting);
            cx.command(Command::ResetNetwork);
            self.device = Device::Freeing(cx.now + cx.plan.limits.settle);
        }
        true
    }

    fn advance(mut self, cx: &mut Context) -> State {
        let overdue = cx.now >= self.deadline;
        // Those of the earlier credentials that may be off are asked about: nobody may be told that all is as it was.
        let clearing = cx.clear_up_switching_off();
        let asked = matches!(self.device, Device::Aborting(_) | Device::Freeing(_));
        let busy = !cx.reclaiming.is_idle() || !cx.retiring.is_idle() || asked;
        if clearing || !overdue && (busy || self.free(cx)) {
            return State::Undoing(self);
        }
        let settled = cx.watch.is_registered() || nothing_came(cx) || cx.watch.claim_id().is_none();
        let outcome = if cx.superseded && settled {
            self.failed(cx)
        } else if cx.watch.is_registered() {
            if may_go_on(&self.fault) && self.stage < Stage::Verifying {
                let Some(stop) = self.stopped.take() else {
                    let status = Status::begin(cx, None);
                    return Verifying::enter(cx, status);
                };
                self.fault = stop;
            }
            self.unknown()
        } else if nothing_came(cx) && !cx.off.is_unclear() {
            self.failed(cx)
        } else if cx.off.is_unclear()
            || cx.plain
            || overdue
            || cx.watch.claim_id().is_none()
            || cx.retiring.failure().is_some()
        {
            self.unknown()
        } else {
            return State::Undoing(self);
        };
        cx.stop_watching();
        cx.finish(outcome);
        State::Ending
    }

    fn failed(self, cx: &Context) -> Outcome {
        let Self { stage, mut fault, .. } = self;
        let says_so = matches!(fault, Fault::SettingsHeld | Fault::PowerCycleNeeded);
        if cx.applied && !says_so && !cx.left_alone {
            fault = Fault::SettingsKept(Box::new(fault));
        }
        // What this job registered may be what the device works with.
        let mut undone = cx.nothing_left() && !cx.registered_is_active();
        if cx.off.any_off() && !cx.superseded {
            fault = Fault::EarlierOff(Box::new(fault));
            // The device has no identity, which another try can give it; who only wants it undone has been told.
            undone &= cx.only_undo;
        }
        Outcome::Failed { stage, fault, undone }
    }

    fn unknown(self) -> Outcome {
        let Self { stage, fault, .. } = self;
        Outcome::Unknown { stage, fault }
    }
}

/// Whether the settings that were applied, if any, are known to have led to nothing.
fn nothing_came(cx: &Context) -> bool {
    let none_sent = cx.held && cx.watch.claim_id().is_none();
    !cx.ever_applied || cx.watch.over || none_sent
}

/// Whether the device may be able to forget the settings that it was given.
fn may_free(cx: &Context) -> bool {
    let can = cx.needs_reset || cx.capabilities.keep_link;
    let session = cx.link_up() && cx.session_stands();
    session && cx.applied && !cx.plain && cx.capabilities.retry_in_place && can && cx.may_reset()
}

/// A device that turns out to be registered after all is worth going on with, unless somebody said to stop.
fn may_go_on(fault: &Fault) -> bool {
    !matches!(fault, Fault::Cancelled(_) | Fault::Unanswered(_))
}
