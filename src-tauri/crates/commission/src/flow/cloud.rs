//! The calls to the cloud that stand beside the link: the snapshot, undoing claims, switching earlier credentials
//! off, the release. Each keeps its own state here; the stages look at it whenever there is news.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use crate::claim::CleanupHandle;
use crate::device::Serial;
use crate::evidence::{PrincipalStatus, Snapshot, Thing};
use crate::fault::{CloudError, Fault};
use crate::policy::Limits;
use crate::secret::Entropy;
use crate::time::Moment;

use super::attempt::{Attempt, fault, overdue};
use super::context::{Context, Intent, Signal};
use super::io::{Action, Step};

/// The broker's codes for a credential that is not there any more, which is as good as off.
const GONE: [&str; 2] = ["principal-not-found", "thing-not-found"];

/// What the cloud knows of the device.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    serial: Option<Serial>,
    /// About which device the last question was; a snapshot does not say.
    asked: Option<Serial>,
    attempt: Attempt,
    result: Option<Result<Snapshot, Fault>>,
}

impl Lookup {
    pub(super) fn timeout(&self, limits: &Limits) -> Option<Moment> {
        self.attempt.timeout(limits)
    }
}

/// Claims that are to be undone, one after another.
#[derive(Debug, Default)]
pub(super) struct Retiring {
    queue: VecDeque<CleanupHandle>,
    attempt: Attempt,
    /// Some could not be undone.
    failed: Option<Fault>,
}

impl Retiring {
    pub(super) fn timeout(&self, limits: &Limits) -> Option<Moment> {
        self.attempt.timeout(limits)
    }

    /// Something may be left that cannot be undone.
    pub(super) fn give_up(&mut self, fault: Fault) {
        self.failed = Some(fault);
    }

    /// Whether all that was to be undone is undone.
    pub(super) fn is_clean(&self) -> bool {
        self.queue.is_empty() && self.failed.is_none()
    }

    /// Whether nothing is being undone, well or not.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Why something could not be undone.
    pub(super) fn failure(&self) -> Option<&Fault> {
        self.failed.as_ref()
    }
}

/// Earlier credentials that are to be switched off, one after another.
#[derive(Debug, Default)]
pub(super) struct SwitchOff {
    pub(super) thing: Option<String>,
    /// Those that are still on, as far as is known.
    pub(super) earlier: Vec<String>,
    /// Which of them the call is about; what the list holds may change while it is under way.
    asked: Option<String>,
    attempt: Attempt,
    failed: Option<Fault>,
    /// One of them is off for this job, whatever becomes of the rest.
    pub(super) any_off: bool,
}

impl SwitchOff {
    pub(super) fn timeout(&self, limits: &Limits) -> Option<Moment> {
        self.attempt.timeout(limits)
    }

    /// One that was asked for is off.
    fn gone(&mut self, asked: &str) {
        self.earlier.retain(|earlier| earlier != asked);
        self.any_off = true;
        self.attempt.end();
    }

    /// What is said of those that cannot be switched off, beside the one that the device has or is to get.
    fn still_on(&self) -> Fault {
        Fault::ActiveCredentials(self.earlier.len() + 1)
    }

    pub(super) fn withdraw(&mut self, intents: &mut VecDeque<Intent>) {
        let before = intents.len();
        intents.retain(|intent| !matches!(intent, Intent::Act(Action::Deactivate { .. })));
        if intents.len() != before || !self.attempt.is_under_way() {
            self.attempt.end();
        }
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

    pub(super) fn withdraw(&mut self, intents: &mut VecDeque<Intent>) {
        let before = intents.len();
        intents.retain(|intent| !matches!(intent, Intent::Act(Action::Release { .. })));
        if intents.len() != before || !self.attempt.is_under_way() {
            self.attempt.end();
        }
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
        self.lookup.serial = Some(serial.clone());
        self.lookup.result = None;
        self.lookup.attempt.want();
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

    /// [`super::Input::Snapshot`].
    pub(super) fn snapshot(&mut self, result: Result<Snapshot, CloudError>) {
        if !self.lookup.attempt.is_under_way() {
            return;
        }
        if self.lookup.asked != self.lookup.serial {
            self.lookup.attempt.end();
            self.lookup.attempt.want();
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

    /// Undoes a claim in the background.
    pub(super) fn retire(&mut self, cleanup: CleanupHandle) {
        if !self.retiring.queue.contains(&cleanup) {
            self.retiring.queue.push_back(cleanup);
            self.retiring.attempt.want();
        }
    }

    /// [`super::Input::Retired`].
    pub(super) fn retired(&mut self, result: Result<(), CloudError>) {
        if !self.retiring.attempt.is_under_way() {
            return;
        }
        match result {
            Ok(()) => {
                if let Some(cleanup) = self.retiring.queue.pop_front() {
                    self.note(Step::Retired { cleanup });
                }
                self.retiring.attempt.end();
            }
            Err(error) => {
                if self.retiring.attempt.fail(&error, self.now, &self.plan.limits) {
                    return;
                }
                self.retiring.queue.pop_front();
                self.retiring.failed = Some(fault(error));
            }
        }
        if !self.retiring.queue.is_empty() {
            self.retiring.attempt.want();
        }
        self.signals.push_back(Signal::News);
    }

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
        self.off.attempt.want();
        Off::Waiting
    }

    /// [`super::Input::Deactivated`]. Only a registry that shows the credential off is believed.
    pub(super) fn deactivated(&mut self, result: Result<Thing, CloudError>) {
        if !self.off.attempt.is_under_way() {
            return;
        }
        let Some(asked) = self.off.asked.take() else {
            return;
        };
        let is_off = |thing: &Thing, id: &str| {
            !thing
                .principals
                .iter()
                .any(|principal| principal.id == id && principal.status == PrincipalStatus::Active)
        };
        // While it pauses, the stage may come to see that it must not be tried again.
        let (now, limits) = (self.now, &self.plan.limits);
        match result {
            Ok(thing) => {
                let off = is_off(&thing, &asked);
                self.watch.thing = Some(thing);
                if off {
                    self.off.gone(&asked);
                } else {
                    let early = CloudError::Unreachable("the earlier credential is still on".into());
                    if !self.off.attempt.fail(&early, now, limits) {
                        self.off.failed = Some(self.off.still_on());
                    }
                }
            }
            Err(CloudError::Refused { code, .. }) if GONE.contains(&code.as_str()) => self.off.gone(&asked),
            Err(error) => {
                if !self.off.attempt.fail_early(&error, now, limits) {
                    self.off.failed = Some(fault(error));
                }
            }
        }
        self.signals.push_back(Signal::News);
    }

    /// Releases the device; the result is news.
    pub(super) fn release(&mut self) {
        self.releasing.attempt.want();
    }

    /// [`super::Input::ReleasedToSupport`].
    pub(super) fn released(&mut self, result: Result<(), CloudError>) {
        if !self.releasing.attempt.is_under_way() {
            return;
        }
        match result {
            Ok(()) => {
                self.releasing.attempt.end();
                self.releasing.result = Some(Ok(()));
            }
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

    /// Makes the calls whose time has come.
    pub(super) fn pump_cloud(&mut self, entropy: &mut dyn Entropy) -> bool {
        let now = self.now;
        if self.lookup.attempt.is_due(now)
            && let Some(serial) = self.lookup.serial.clone()
        {
            self.lookup.attempt.ask(now);
            self.lookup.asked = Some(serial.clone());
            let parameters = self.plan.parameters.clone();
            self.act(Action::Snapshot { serial, parameters });
            return true;
        }
        if self.retiring.attempt.is_due(now)
            && let Some(cleanup) = self.retiring.queue.front().cloned()
        {
            if self.retiring.attempt.is_first() {
                let cleanup = cleanup.clone();
                self.record(Step::Retiring { cleanup });
            }
            self.retiring.attempt.ask(now);
            self.act(Action::Retire(cleanup));
            return true;
        }
        if self.off.attempt.is_due(now)
            && let (Some(thing), Some(principal)) =
                (self.off.thing.clone(), self.off.earlier.first().cloned())
        {
            if self.off.attempt.is_first() {
                let (thing, principal) = (thing.clone(), principal.clone());
                self.record(Step::Deactivating { thing, principal });
            }
            self.off.attempt.ask(now);
            self.off.asked = Some(principal.clone());
            self.act(Action::Deactivate { thing, principal });
            return true;
        }
        if self.releasing.attempt.is_due(now)
            && let (Some(thing), Some(claim)) = (self.watch.thing_name(), self.watch.claim_id())
        {
            if self.releasing.attempt.is_first() {
                let thing = thing.clone();
                self.record(Step::Releasing { thing });
            }
            self.releasing.attempt.ask(now);
            self.act(Action::Release { thing, claim });
            return true;
        }
        self.pump_claim(entropy) || self.pump_watch()
    }

    /// Takes silence of the cloud for what it is.
    pub(super) fn lapse_cloud(&mut self) {
        let (now, limits) = (self.now, self.plan.limits.clone());
        if self.lookup.attempt.is_overdue(now, &limits) {
            self.snapshot(Err(overdue()));
        }
        if self.retiring.attempt.is_overdue(now, &limits) {
            self.retired(Err(overdue()));
        }
        if self.off.attempt.is_overdue(now, &limits) {
            self.deactivated(Err(overdue()));
        }
        if self.releasing.attempt.is_overdue(now, &limits) {
            self.released(Err(overdue()));
        }
        self.lapse_claim();
        self.lapse_watch();
    }
}
