//! Verifying: the permanent identity is seen online after the claim was issued, earlier credentials are off, and
//! exactly one is active.

use crate::claim::Purpose;
use crate::evidence::{Evidence, Fact, Source};
use crate::fault::Fault;
use crate::time::Moment;

use super::context::{Context, Signal};
use super::io::{Outcome, Stage};
use super::job::State;
use super::releasing::Releasing;
use super::status::Status;
use super::switching_off::Off;
use super::undoing::Undoing;

/// See the module.
#[derive(Debug)]
pub(super) struct Verifying {
    status: Status,
    deadline: Moment,
}

impl Verifying {
    /// The cloud has registered the device. What it takes to be seen gets a time of its own.
    pub(super) fn enter(cx: &mut Context, status: Status) -> State {
        cx.enter(Stage::Verifying);
        cx.settle_by = None;
        let deadline = cx.now + cx.plan.limits.enrol;
        cx.watch_claim();
        Self { status, deadline }.advance(cx)
    }

    pub(super) fn on(mut self, cx: &mut Context, signal: Signal) -> State {
        let news = matches!(signal, Signal::News);
        let tick = matches!(signal, Signal::Tick);
        // What the device says no longer changes anything: the cloud has spoken.
        let _ = self.status.on(cx, signal);
        if tick && cx.now >= self.deadline {
            return Self::overdue(cx);
        }
        if news {
            self.advance(cx)
        } else {
            State::Verifying(self)
        }
    }

    pub(super) fn timeout(&self, cx: &Context) -> Option<Moment> {
        [Some(self.deadline), self.status.timeout(cx)]
            .into_iter()
            .flatten()
            .min()
    }

    fn advance(mut self, cx: &mut Context) -> State {
        let Some(principal) = online(cx) else {
            return State::Verifying(self);
        };
        self.status.end(cx);
        // Rule 4: new before old; now that the new one works, the old ones go off.
        cx.off.earlier.retain(|earlier| *earlier != principal);
        if cx.plan.purpose == Purpose::Service && !cx.watch.is_active(&principal) {
            // Seen online and switched off since: without the old one the device would be left with none.
            cx.withdraw_switching_off();
            return State::Verifying(self);
        }
        if cx.plan.purpose != Purpose::New {
            match cx.switch_off() {
                Off::All => {}
                Off::Waiting => return State::Verifying(self),
                Off::Failed(fault) => return end(cx, fault),
            }
        }
        if !cx.watch.is_only_active(&principal) {
            return State::Verifying(self);
        }
        cx.stop_watching();
        cx.keep(Evidence {
            fact: Fact::OneActiveCredential {
                principal: principal.clone(),
            },
            source: Source::Cloud,
            at: None,
        });
        Releasing::enter(cx, principal)
    }

    fn overdue(cx: &mut Context) -> State {
        if let Some(principal) = online(cx) {
            let active = cx.watch.active();
            let fault = if active == 1 && !cx.watch.is_active(&principal) {
                Fault::CredentialOff
            } else {
                Fault::ActiveCredentials(active)
            };
            end(cx, fault)
        } else {
            let fault = cx.watch.trouble().unwrap_or(Fault::NotSeenOnline);
            Undoing::enter(cx, fault)
        }
    }
}

/// The permanent credential, once the device was seen with it.
fn online(cx: &Context) -> Option<alloc::string::String> {
    let principal = cx.watch.principal(&cx.off.earlier)?;
    cx.watch.is_online(&principal).then_some(principal)
}

/// The device works, and something of the old remains: known, and not as it should be.
fn end(cx: &mut Context, fault: Fault) -> State {
    cx.withdraw();
    let stage = cx.stage;
    cx.finish(if cx.off.is_unclear() {
        Outcome::Unknown { stage, fault }
    } else {
        Outcome::Failed {
            stage,
            fault,
            undone: false,
        }
    });
    State::Ending
}
