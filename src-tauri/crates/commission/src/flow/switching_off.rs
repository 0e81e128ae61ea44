//! Earlier credentials that are to be switched off, one after another.
//!
//! Each is on, maybe off from the moment at which that is asked for, or off as the cloud has shown. A job that ends asks
//! about those that may be off; what stays unclear is said to be unknown.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::evidence::{Snapshot, Thing};
use crate::fault::{CloudError, Fault};
use crate::mending::{Kind, holds};
use crate::policy::Limits;
use crate::time::Moment;

use super::attempt::{Attempt, fault};
use super::context::{Context, Effect, Signal};
use super::io::{Action, CallId, Step};

/// The broker's codes for a credential that is not there any more, which is as good as off.
const GONE: [&str; 2] = ["principal-not-found", "thing-not-found"];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct SwitchOff {
    pub(super) thing: Option<String>,
    /// Those that are still on, as far as is known.
    pub(super) earlier: Vec<String>,
    /// Those of which only the cloud can say whether they are off: the answer was lost, or was none.
    unclear: BTreeSet<String>,
    /// Those that this job has switched off.
    off: BTreeSet<String>,
    attempt: Attempt,
    /// Nobody wants them off any more; what is under way is waited for and not tried again.
    withdrawn: bool,
    failed: Option<Fault>,
}

impl SwitchOff {
    pub(super) fn timeout(&self, limits: &Limits) -> Option<Moment> {
        self.attempt.timeout(limits)
    }

    /// Whether one of them is off for this job, whatever becomes of the rest.
    pub(super) fn any_off(&self) -> bool {
        !self.off.is_empty()
    }

    /// Whether one of them may be off, and nobody knows.
    pub(super) fn is_unclear(&self) -> bool {
        holds(Kind::MaybeDone) && (!self.unclear.is_empty() || self.is_under_way())
    }

    /// Whether an answer may still come that says so.
    pub(super) fn is_under_way(&self) -> bool {
        self.attempt.under_way().is_some()
    }

    /// What an earlier run left: those to switch off, those of which it asked that, those that it saw off.
    pub(super) fn recall(&mut self, earlier: &[String], asked: &[String], off: &[String]) {
        self.earlier = earlier.to_vec();
        self.unclear = asked.iter().cloned().collect();
        self.off = off.iter().cloned().collect();
    }

    /// What is said of those that cannot be switched off, beside the one that the device has or is to get.
    fn still_on(&self) -> Fault {
        Fault::ActiveCredentials(self.earlier.len() + 1)
    }
}

/// How switching earlier credentials off stands.
pub(super) enum Off {
    /// All are off.
    All,
    /// Under way.
    Waiting,
    /// It cannot be done.
    Failed(Fault),
}

impl Context {
    /// Goes on switching earlier credentials off and says how that stands.
    pub(super) fn switch_off(&mut self) -> Off {
        if let Some(fault) = &self.off.failed {
            return Off::Failed(fault.clone());
        }
        if self.off.earlier.is_empty() {
            return Off::All;
        }
        self.off.thing = self.off.thing.take().or_else(|| self.watch.thing_name());
        if self.off.thing.is_none() {
            return Off::Failed(self.off.still_on());
        }
        self.off.withdrawn = false;
        self.off.attempt.want();
        Off::Waiting
    }

    /// Asks for no more of them to be switched off. The one that was asked for is waited for.
    pub(super) fn withdraw_switching_off(&mut self) {
        self.off.withdrawn = true;
        match self.off.attempt.under_way() {
            Some(call) if !self.take_back(call) => {}
            _ => self.off.attempt.end(),
        }
    }

    /// Takes what the cloud shows of the device's credentials for what it says of those that may be off.
    pub(super) fn settle_switching_off(&mut self, shown: Option<&Thing>) {
        for asked in core::mem::take(&mut self.off.unclear) {
            if shown.is_none_or(|thing| !is_active(thing, &asked)) {
                self.gone(&asked);
            }
        }
    }

    /// This one is off.
    fn gone(&mut self, asked: &str) {
        self.off.earlier.retain(|earlier| earlier != asked);
        self.off.unclear.remove(asked);
        if self.off.earlier.is_empty() {
            self.off.attempt.end();
        }
        if self.off.off.insert(asked.into()) {
            let principal = asked.into();
            self.note(Step::Deactivated { principal });
        }
    }

    /// [`super::Ended::Deactivated`]. Only a registry that shows the credential off is believed, and it is whenever its
    /// answer comes.
    pub(super) fn deactivated(&mut self, call: CallId, asked: &str, result: Result<Thing, CloudError>) {
        let current = self.off.attempt.is_answered_by(call);
        // While it pauses, the stage may come to see that it must not be tried again.
        let (now, limits) = (self.now, &self.plan.limits);
        match result {
            Ok(thing) => {
                let off = !is_active(&thing, asked);
                self.watch.take_registration(call, thing);
                if off {
                    self.gone(asked);
                    if current {
                        self.off.attempt.end();
                    }
                } else if current && self.off.withdrawn {
                    self.off.unclear.remove(asked);
                    self.off.attempt.end();
                } else if current {
                    self.off.unclear.remove(asked);
                    let early = CloudError::Unreachable("the earlier credential is still on".into());
                    if !self.off.attempt.fail_early(&early, now, limits) {
                        self.off.failed = Some(self.off.still_on());
                    }
                }
            }
            Err(CloudError::Refused { code, .. }) if GONE.contains(&code.as_str()) => {
                self.gone(asked);
                if current {
                    self.off.attempt.end();
                }
            }
            Err(_) if !current => return,
            Err(error) => {
                if error.is_unclear() {
                    self.off.unclear.insert(asked.into());
                    self.lookup.stale();
                }
                if self.off.withdrawn {
                    self.off.attempt.end();
                } else if !self.off.attempt.fail_early(&error, now, limits) {
                    self.off.failed = Some(fault(error));
                }
            }
        }
        self.signals.push_back(Signal::News);
    }

    /// Asks the cloud about those that may be off, where no answer is awaited; whether that goes on.
    pub(super) fn clear_up_switching_off(&mut self) -> bool {
        if !self.off.is_unclear() {
            return false;
        }
        if self.off.is_under_way() {
            return true;
        }
        let Some(serial) = self.serial().cloned() else {
            return false;
        };
        match self.known(&serial) {
            Some(Ok(Snapshot { thing, .. })) if self.lookup.is_fresh() => {
                self.settle_switching_off(thing.as_ref());
                false
            }
            Some(Err(_)) if self.lookup.is_fresh() => false,
            _ => {
                self.look_afresh(&serial);
                true
            }
        }
    }

    pub(super) fn pump_switching_off(&mut self) -> bool {
        if !self.off.attempt.is_due(self.now) {
            return false;
        }
        let (Some(thing), Some(principal)) = (self.off.thing.clone(), self.off.earlier.first().cloned())
        else {
            return false;
        };
        if self.off.attempt.is_first() {
            let (thing, principal) = (thing.clone(), principal.clone());
            self.record(Step::Deactivating { thing, principal });
        }
        // What the cloud showed before this says nothing of it.
        self.lookup.stale();
        let effect = Effect::Deactivate(principal.clone());
        let call = self.effect(Action::Deactivate { thing, principal }, effect);
        self.off.attempt.ask(call, self.now);
        true
    }

    pub(super) fn lapse_switching_off(&mut self, overdue: CloudError) {
        if self.off.attempt.is_overdue(self.now, &self.plan.limits)
            && let Some(call) = self.off.attempt.under_way()
            && let Some(Effect::Deactivate(asked)) = self.pending.get(&call).cloned()
        {
            self.deactivated(call, &asked, Err(overdue));
        }
    }
}

fn is_active(thing: &Thing, id: &str) -> bool {
    thing.active().any(|principal| principal.id == id)
}
