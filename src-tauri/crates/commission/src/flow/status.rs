//! The device's own word on its enrolment, as long as the link lives: progress for a person, never a proof.

use alloc::string::String;

use crate::dialect::{Command, Enrol, Report};
use crate::evidence::{Fact, Source};
use crate::fault::Fault;
use crate::time::Moment;

use super::context::{Context, Signal};
use super::proving::Proven;

/// The looks at the device over a link that is kept for them.
#[derive(Debug)]
pub(super) struct Status {
    proven: Option<Proven>,
    step: Step,
    last: Option<Enrol>,
}

#[derive(Debug, PartialEq)]
enum Step {
    Off,
    Due(Moment),
    Looking,
}

/// What the device said that changes something.
#[derive(Debug)]
pub(super) enum Said {
    /// The cloud refused it.
    Refused { code: String, message: String },
    /// It could not reach the cloud, and may try again.
    Unreachable(String),
    /// Its claim is dead.
    Expired,
    /// It came further, so that what was in its way is behind it.
    Further,
}

impl Status {
    /// Goes on with this link if the device can tell, and gives it back if not.
    pub(super) fn begin(cx: &mut Context, proven: Option<Proven>) -> Self {
        let keep = proven.is_some() && cx.link_up() && cx.capabilities.enrol_status;
        if !keep {
            cx.unlink();
        }
        Self {
            proven: proven.filter(|_| keep),
            step: if keep { Step::Due(cx.now) } else { Step::Off },
            last: None,
        }
    }

    /// The session that still stands, if any.
    pub(super) fn into_proven(self) -> Option<Proven> {
        self.proven
    }

    /// Whether the device can still be told something.
    pub(super) fn is_live(&self) -> bool {
        self.proven.is_some()
    }

    /// Gives the link back: it is no longer needed.
    pub(super) fn end(&mut self, cx: &mut Context) {
        if self.proven.take().is_some() {
            cx.unlink();
        }
        self.step = Step::Off;
    }

    /// Takes what concerns the link, and looks again when it is time.
    pub(super) fn on(&mut self, cx: &mut Context, signal: Signal) -> Option<Said> {
        let mut said = None;
        match signal {
            Signal::Lost(_) => {
                self.proven = None;
                self.step = Step::Off;
            }
            Signal::Report(report) if self.is_live() => {
                said = self.reported(cx, report);
            }
            _ => {}
        }
        if matches!(self.step, Step::Due(at) if cx.now >= at) && cx.link_free() {
            cx.command(Command::EnrolStatus);
            self.step = Step::Looking;
        }
        said
    }

    /// When to look again.
    pub(super) fn timeout(&self, cx: &Context) -> Option<Moment> {
        match self.step {
            Step::Due(at) if cx.link_free() => Some(at),
            Step::Off | Step::Due(_) | Step::Looking => None,
        }
    }

    fn reported(&mut self, cx: &mut Context, report: Report) -> Option<Said> {
        if !cx.session_stands() {
            self.end(cx);
            return None;
        }
        let pace = cx.plan.limits.enrol_pace;
        self.step = Step::Due(cx.now + pace);
        let Report::Enrol(enrol) = report else {
            return None;
        };
        if self.last.as_ref() == Some(&enrol) {
            return None;
        }
        self.last = Some(enrol.clone());
        self.told(cx, enrol)
    }

    fn told(&mut self, cx: &mut Context, enrol: Enrol) -> Option<Said> {
        let fact = match enrol {
            Enrol::Waiting | Enrol::Connecting => return None,
            Enrol::Unreachable { reason } => return Some(Said::Unreachable(reason)),
            Enrol::ClaimExpired => return Some(Said::Expired),
            Enrol::CloudReached => Fact::CloudReached,
            Enrol::IdentityIssued { principal } => Fact::IdentityIssued {
                principal: Some(principal),
            },
            Enrol::Registered { thing, principal } => Fact::Registered {
                thing,
                principal: Some(principal),
            },
            Enrol::Online { thing, principal } => {
                self.end(cx);
                Fact::SeenOnline {
                    thing,
                    principal: Some(principal),
                }
            }
            Enrol::Refused { code, message } => {
                let fact = Fact::EnrolmentRefused {
                    code: code.clone(),
                    message: message.clone(),
                };
                cx.tell(fact, Source::Device);
                return Some(Said::Refused { code, message });
            }
        };
        cx.tell(fact, Source::Device);
        Some(Said::Further)
    }
}

/// A refusal that a fresh claim cures; the codes are those of the broker's contract.
pub(super) fn is_cured_by_fresh_claim(code: &str) -> bool {
    matches!(code, "ClaimExpired" | "ClaimRetired")
}

/// A refusal after which the device may try again by itself.
pub(super) fn is_passing(code: &str) -> bool {
    code.to_ascii_lowercase().contains("throttl")
}

/// A refusal as the fault of a job.
pub(super) fn refusal(code: String, message: String) -> Fault {
    Fault::EnrolmentRefused { code, message }
}
