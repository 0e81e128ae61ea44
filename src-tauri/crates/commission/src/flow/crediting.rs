//! Crediting: the device gets a claim that lives long enough, and confirms all of it.

use crate::claim::Purpose;
use crate::dialect::Report;
use crate::fault::Fault;

use super::context::{Context, Signal};
use super::enrolling::Enrolling;
use super::io::Stage;
use super::job::State;
use super::joining::Joining;
use super::linking::{lost, trouble};
use super::proving::Proven;
use super::purse::Purse;
use super::switching_off::Off;
use super::undoing::Undoing;

/// What follows once the device has its claim.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    /// The settings are applied.
    Apply,
    /// The settings were written again after a lost link, and may turn out to be applied already.
    ApplyAgain,
    /// The device has joined already and waits for a claim that lives.
    Enrol,
    /// The device holds settings of an earlier job; with its claim it is asked how it stands.
    LookBack,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Crediting {
    proven: Proven,
    then: Then,
    sending: bool,
}

impl Crediting {
    pub(super) fn enter(cx: &mut Context, proven: Proven, then: Then) -> State {
        cx.enter(Stage::Crediting);
        if cx.ever_applied {
            let limits = &cx.plan.limits;
            let by = cx.now + limits.join + limits.enrol;
            cx.settle_by.get_or_insert(by);
        }
        Self {
            proven,
            then,
            sending: false,
        }
        .advance(cx)
    }

    pub(super) fn on(mut self, cx: &mut Context, signal: Signal) -> State {
        match signal {
            // A look at the device that was under way before is over, well or not.
            Signal::Report(_) if !self.sending && cx.session_stands() => self.advance(cx),
            Signal::Report(Report::ClaimCommitted) => {
                self.sending = false;
                cx.claim_committed();
                self.advance(cx)
            }
            Signal::Report(Report::Failed(Fault::ClaimExpired)) if cx.session_stands() => {
                self.sending = false;
                cx.discard_claim();
                self.advance(cx)
            }
            Signal::Report(Report::Failed(fault)) => trouble(cx, fault),
            Signal::Lost(fault) => lost(cx, fault),
            Signal::Stale => {
                self.sending = false;
                cx.discard_claim();
                self.advance(cx)
            }
            Signal::Report(_) | Signal::News => self.advance(cx),
            _ => State::Crediting(self),
        }
    }

    fn advance(mut self, cx: &mut Context) -> State {
        if self.sending {
            return State::Crediting(self);
        }
        if cx.plain || device_has_claim(cx) {
            return self.go_on(cx);
        }
        match &cx.purse {
            Purse::Held(held) if !held.committed && held.claim.may_be_sent(cx.now) => {
                if cx.link_free() {
                    self.sending = true;
                    cx.send_claim(&self.proven);
                }
                State::Crediting(self)
            }
            // Rule 1: too old to be sent, or to be kept by a device that has yet to use it. A fresh one, and no restart.
            Purse::Held(_) => {
                cx.discard_claim();
                self.fetch(cx)
            }
            Purse::Empty => self.fetch(cx),
            Purse::Refused(fault) => {
                let fault = fault.clone();
                Undoing::enter(cx, fault)
            }
            Purse::Wanted | Purse::Asking(_) => State::Crediting(self),
        }
    }

    fn fetch(self, cx: &mut Context) -> State {
        if cx.serial().is_none() {
            return Undoing::enter(cx, Fault::SerialNeeded);
        }
        // While somebody thought, another job may have brought the device online.
        if cx.recovering
            && !cx.off.is_under_way()
            && let Some(serial) = cx.serial().cloned()
        {
            cx.look_afresh(&serial);
            match cx.known(&serial) {
                None => return State::Crediting(self),
                Some(Err(fault)) => return Undoing::enter(cx, fault),
                Some(Ok(shown)) => cx.recall(&shown),
            }
        }
        // Since the job began the device has come to a credential otherwise: a second one is not for it.
        if cx.works_otherwise {
            return Undoing::enter(cx, Fault::AlreadyCommissioned);
        }
        // A device that may have joined, whatever it says, may be using the claim before: the cloud has to say that it
        // did not.
        if cx.ever_applied && cx.watch.claim_id().is_some() && !cx.watch.over {
            cx.watch_claim();
            return State::Crediting(self);
        }
        // Rule 4: on a change of owner the old credential goes off before a new one can come.
        if cx.plan.purpose == Purpose::Transfer {
            match cx.switch_off() {
                Off::All => {}
                Off::Waiting => return State::Crediting(self),
                Off::Failed(fault) => return Undoing::enter(cx, fault),
            }
        }
        cx.want_claim();
        State::Crediting(self)
    }

    fn go_on(self, cx: &mut Context) -> State {
        match self.then {
            Then::Apply => Joining::enter(cx, self.proven, false),
            Then::ApplyAgain => Joining::enter(cx, self.proven, true),
            Then::LookBack => {
                cx.watch_claim();
                Joining::look_back(cx, self.proven)
            }
            Then::Enrol => {
                cx.watch_claim();
                Enrolling::enter(cx, Some(self.proven))
            }
        }
    }
}

/// Whether the device holds a claim that it has time to use. After a restart only the cloud knows its life, unless it
/// was undone.
fn device_has_claim(cx: &Context) -> bool {
    match cx.purse.held() {
        Some(held) => held.committed && held.may_be_kept(cx.now),
        None => cx.applied && cx.watch.cleanup().is_some() && !cx.watch.over && cx.claims_asked == 0,
    }
}
