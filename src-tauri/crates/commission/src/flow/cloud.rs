//! The calls to the cloud that stand beside the link: the snapshot and the release here, undoing claims and switching
//! earlier credentials off in files of their own. Each keeps its own state; the stages look at it whenever there is news.
//! An answer goes to what it answers: one that comes late still says what became of the change that it was asked for.

use crate::device::Serial;
use crate::evidence::Snapshot;
use crate::fault::{CloudError, Fault};
use crate::policy::Limits;
use crate::secret::Entropy;
use crate::time::Moment;

use super::attempt::{Attempt, fault, overdue};
use super::context::{Context, Effect, Signal};
use super::io::{Action, CallId, Ended, Step};

/// What the cloud knows of the device.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    serial: Option<Serial>,
    attempt: Attempt,
    result: Option<Result<Snapshot, Fault>>,
    /// The result is, or will be, of after the last change that was asked for.
    fresh: bool,
}

impl Lookup {
    pub(super) fn timeout(&self, limits: &Limits) -> Option<Moment> {
        self.attempt.timeout(limits)
    }

    /// Whether what it shows is of after the last change.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// A change is asked for, of which it shows nothing.
    pub(super) fn stale(&mut self) {
        self.fresh = false;
    }
}

/// The release to support.
#[derive(Debug, Default)]
pub(super) struct Releasing {
    attempt: Attempt,
    pub(super) result: Option<Result<(), CloudError>>,
}

impl Releasing {
    pub(super) fn timeout(&self, limits: &Limits) -> Option<Moment> {
        self.attempt.timeout(limits)
    }
}

impl Context {
    /// Asks what the cloud knows of the device that the label names, beside connecting to it.
    pub(super) fn look_up_label(&mut self) {
        if let Some(serial) = self.plan.serial.clone()
            && !self.applied
        {
            self.look_up(&serial);
        }
    }

    /// Asks what the cloud knows of this device, unless that is known or asked already.
    pub(super) fn look_up(&mut self, serial: &Serial) {
        let same = self.lookup.serial.as_ref() == Some(serial);
        if same && (self.lookup.result.is_some() || !self.lookup.attempt.is_idle()) {
            return;
        }
        self.lookup = Lookup {
            serial: Some(serial.clone()),
            ..Lookup::default()
        };
        self.lookup.attempt.want();
    }

    /// Asks anew, whatever was shown or is under way.
    pub(super) fn look_afresh(&mut self, serial: &Serial) {
        if !(self.lookup.fresh && self.lookup.serial.as_ref() == Some(serial)) {
            self.lookup = Lookup {
                serial: Some(serial.clone()),
                fresh: true,
                ..Lookup::default()
            };
            self.lookup.attempt.want();
        }
    }

    /// What the cloud knows of this device, once it has said so.
    pub(super) fn known(&self, serial: &Serial) -> Option<Result<Snapshot, Fault>> {
        if self.lookup.serial.as_ref() == Some(serial) {
            self.lookup.result.clone()
        } else {
            None
        }
    }

    /// Asks again after a while.
    pub(super) fn look_up_again(&mut self, serial: &Serial) {
        if self.lookup.attempt.is_idle() {
            self.lookup.serial = Some(serial.clone());
            self.lookup.result = None;
            self.lookup.attempt.rest(self.now + self.plan.limits.cloud_pause);
        }
    }

    /// [`Ended::Snapshot`].
    fn snapshot(&mut self, call: CallId, result: Result<Snapshot, CloudError>) {
        if !self.lookup.attempt.is_answered_by(call) {
            return;
        }
        match result {
            Ok(snapshot) => {
                self.lookup.attempt.end();
                self.lookup.result = Some(Ok(snapshot));
            }
            Err(error) => {
                if self.lookup.attempt.fail(&error, self.now, &self.plan.limits) {
                    return;
                }
                self.lookup.result = Some(Err(fault(error)));
            }
        }
        self.signals.push_back(Signal::News);
    }

    /// Releases the device; the result is news.
    pub(super) fn release(&mut self) {
        self.releasing.attempt.want();
    }

    /// Asks for no release any more. One that was asked for may have happened.
    pub(super) fn withdraw_release(&mut self) {
        match self.releasing.attempt.under_way() {
            Some(call) if !self.take_back(call) => {}
            _ => self.releasing.attempt.end(),
        }
    }

    /// [`Ended::ReleasedToSupport`].
    fn released(&mut self, call: CallId, result: Result<(), CloudError>) {
        let current = self.releasing.attempt.is_answered_by(call);
        match result {
            Ok(()) => {
                self.releasing.attempt.end();
                self.releasing.result = Some(Ok(()));
            }
            Err(_) if !current => return,
            Err(error) => {
                if self
                    .releasing
                    .attempt
                    .fail_early(&error, self.now, &self.plan.limits)
                {
                    return;
                }
                self.releasing.result = Some(Err(error));
            }
        }
        self.signals.push_back(Signal::News);
    }

    /// What the cloud answered, taken to what it answers.
    pub(super) fn cloud_answered(&mut self, call: CallId, ended: Ended) {
        let effect = self.pending.remove(&call);
        match (ended, effect) {
            (Ended::Snapshot(result), _) => self.snapshot(call, result),
            (Ended::Observed(result), _) => self.observed(call, result),
            (Ended::Issued(result), Some(Effect::Issue(key))) => self.issued(call, key, result),
            (Ended::Retired(result), Some(Effect::Retire(cleanup))) => self.retired(call, cleanup, result),
            (Ended::Deactivated(result), Some(Effect::Deactivate(principal))) => {
                self.deactivated(call, &principal, result);
            }
            (Ended::ReleasedToSupport(result), Some(Effect::Release)) => self.released(call, result),
            // An answer that was given already, or one to something else.
            _ => {}
        }
    }

    /// Makes the calls whose time has come.
    pub(super) fn pump_cloud(&mut self, entropy: &mut dyn Entropy) -> bool {
        let now = self.now;
        if self.lookup.attempt.is_due(now)
            && let Some(serial) = self.lookup.serial.clone()
        {
            let parameters = self.plan.parameters.clone();
            let call = self.act(Action::Snapshot { serial, parameters });
            self.lookup.attempt.ask(call, now);
            return true;
        }
        if self.pump_retiring() || self.pump_reclaiming() || self.pump_switching_off() {
            return true;
        }
        if self.releasing.attempt.is_due(now)
            && let (Some(thing), Some(claim)) = (self.watch.thing_name(), self.watch.claim_id())
        {
            if self.releasing.attempt.is_first() {
                let thing = thing.clone();
                self.record(Step::Releasing { thing });
            }
            let call = self.effect(Action::Release { thing, claim }, Effect::Release);
            self.releasing.attempt.ask(call, now);
            return true;
        }
        self.pump_claim(entropy) || self.pump_watch()
    }

    /// Takes silence of the cloud for what it is.
    pub(super) fn lapse_cloud(&mut self) {
        let (now, limits) = (self.now, self.plan.limits.clone());
        if self.lookup.attempt.is_overdue(now, &limits)
            && let Some(call) = self.lookup.attempt.under_way()
        {
            self.snapshot(call, Err(overdue()));
        }
        if self.releasing.attempt.is_overdue(now, &limits)
            && let Some(call) = self.releasing.attempt.under_way()
        {
            self.released(call, Err(overdue()));
        }
        self.lapse_retiring(overdue());
        self.lapse_switching_off(overdue());
        self.lapse_reclaiming();
        self.lapse_claim();
        self.lapse_watch();
    }
}
