//! Released: shown to support and the OTA service, last of all (rule 5 of the design).

use alloc::string::String;

use crate::evidence::{Evidence, Fact, Source};
use crate::fault::{CloudError, Fault};

use super::attempt;
use super::context::{Context, Signal};
use super::io::{Outcome, Stage};
use super::job::State;

/// See the module.
#[derive(Debug)]
pub(super) struct Releasing {
    principal: String,
    released: bool,
}

impl Releasing {
    /// Only who has seen the device online with its one active credential gets here.
    pub(super) fn enter(cx: &mut Context, principal: String) -> State {
        let named = cx.watch.thing_name().is_some();
        if named {
            cx.enter(Stage::Released);
            cx.release();
        }
        // A template that gives no name leaves nothing to release.
        let released = !named;
        Self { principal, released }.advance(cx)
    }

    /// The device was done before; only claims that were replaced on the way are still to be undone.
    pub(super) fn done_before(cx: &mut Context, principal: String) -> State {
        let released = true;
        Self { principal, released }.advance(cx)
    }

    /// Whether only claims that were replaced on the way are still to be undone.
    pub(super) fn is_released(&self) -> bool {
        self.released
    }

    pub(super) fn on(self, cx: &mut Context, signal: &Signal) -> State {
        match signal {
            Signal::News => self.advance(cx),
            _ => State::Releasing(self),
        }
    }

    fn advance(mut self, cx: &mut Context) -> State {
        match cx.releasing.result.take() {
            Some(Ok(())) => {
                self.released = true;
                cx.keep(Evidence {
                    fact: Fact::Released,
                    source: Source::Cloud,
                    at: None,
                });
            }
            Some(Err(error)) => return failed(cx, error),
            None => {}
        }
        // Claims that were replaced on the way are undone before this job is called done.
        if !(self.released && cx.reclaiming.is_idle() && cx.retiring.is_idle()) {
            return State::Releasing(self);
        }
        cx.finish(Outcome::Done {
            thing: cx.watch.thing_name(),
            principal: self.principal,
        });
        State::Ending
    }
}

fn failed(cx: &mut Context, error: CloudError) -> State {
    let stage = cx.stage;
    let outcome = match error {
        CloudError::Refused { code, message } => Outcome::Failed {
            stage,
            fault: Fault::ReleaseRefused { code, message },
            undone: false,
        },
        // It may have been released, or not.
        error => Outcome::Unknown {
            stage,
            fault: attempt::fault(error),
        },
    };
    cx.finish(outcome);
    State::Ending
}
