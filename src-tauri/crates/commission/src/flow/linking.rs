//! Linking: connect, map the endpoints, and connect again when that went wrong.

use core::time::Duration;

use crate::dialect::{Command, Report};
use crate::evidence::{Fact, Source};
use crate::fault::Fault;
use crate::gatt::LinkError;
use crate::time::Moment;

use super::context::{Context, Signal};
use super::enrolling::Enrolling;
use super::io::{Event, Stage, Step as Entry};
use super::job::State;
use super::proving::Proving;
use super::undoing::Undoing;

/// See the module.
#[derive(Debug)]
pub(super) struct Linking {
    step: Step,
}

#[derive(Debug)]
enum Step {
    Coming,
    Describing,
    Pausing(Moment),
}

impl Linking {
    /// The first link of the job, which its first record has announced already.
    pub(super) fn begin(cx: &mut Context) -> State {
        cx.enter(Stage::Linking);
        cx.lookup.stale();
        cx.want_link();
        State::Linking(Self { step: Step::Coming })
    }

    /// A new link after the last one was given back.
    pub(super) fn enter(cx: &mut Context) -> State {
        cx.unlink();
        cx.record(Entry::Linking);
        Self::begin(cx)
    }

    /// Another try after trouble, or the end of trying.
    pub(super) fn again(cx: &mut Context, fault: Fault) -> State {
        let doublings = u32::from(cx.link_tries.saturating_sub(1)).min(6);
        let pause = cx.plan.limits.link_pause * (1 << doublings);
        Self::after(cx, fault, pause)
    }

    /// Another try after this long, or the end of trying.
    pub(super) fn after(cx: &mut Context, fault: Fault, pause: Duration) -> State {
        cx.unlink();
        if cx.link_tries >= cx.plan.limits.link_attempts {
            return Self::give_up(cx, fault);
        }
        cx.enter(Stage::Linking);
        cx.events.push_back(Event::Retrying {
            fault,
            attempt: cx.link_tries + 1,
        });
        let step = Step::Pausing(cx.now + pause);
        State::Linking(Self { step })
    }

    /// The device cannot be reached. Where settings were applied that says nothing: the cloud is asked.
    pub(super) fn give_up(cx: &mut Context, fault: Fault) -> State {
        if cx.applied && !cx.needs_reset && !cx.watch.over {
            Enrolling::alone(cx)
        } else {
            Undoing::enter(cx, fault)
        }
    }

    pub(super) fn on(self, cx: &mut Context, signal: Signal) -> State {
        match (self.step, signal) {
            (Step::Pausing(until), Signal::Tick) if cx.now >= until => Self::enter(cx),
            (Step::Coming, Signal::Linked) => {
                cx.command(Command::Describe);
                let step = Step::Describing;
                State::Linking(Self { step })
            }
            (Step::Describing, Signal::Report(Report::Described(capabilities))) => {
                cx.tell(Fact::Linked, Source::Radio);
                Proving::enter(cx, capabilities)
            }
            (Step::Describing, Signal::Report(Report::Failed(fault))) => trouble(cx, fault),
            (_, Signal::Lost(fault)) => lost(cx, fault),
            (step, _) => State::Linking(Self { step }),
        }
    }

    pub(super) fn timeout(&self) -> Option<Moment> {
        match self.step {
            Step::Pausing(until) => Some(until),
            Step::Coming | Step::Describing => None,
        }
    }
}

/// The link ended before the settings were applied, or before it was found out how they fared.
pub(super) fn lost(cx: &mut Context, fault: Fault) -> State {
    if may_pass(&fault) {
        Linking::again(cx, fault)
    } else {
        Linking::give_up(cx, fault)
    }
}

/// A command failed before the settings were applied: a fresh link helps against some faults and not against others.
pub(super) fn trouble(cx: &mut Context, fault: Fault) -> State {
    let confused = matches!(fault, Fault::Protocol(_)) && !cx.session_stands();
    if confused || may_pass(&fault) {
        Linking::again(cx, fault)
    } else {
        Linking::give_up(cx, fault)
    }
}

/// Whether a fresh link may cure this.
fn may_pass(fault: &Fault) -> bool {
    match fault {
        Fault::ScanTimeout | Fault::NotAdvertising => true,
        Fault::Link(error) => match error {
            LinkError::NotConnected
            | LinkError::Att(_)
            | LinkError::InProgress
            | LinkError::Timeout
            | LinkError::OutOfReach
            | LinkError::Missing
            | LinkError::AdapterOff
            | LinkError::NoAdapter
            | LinkError::NoService
            | LinkError::Other(_) => true,
            LinkError::NotPermitted
            | LinkError::NotPaired
            | LinkError::InvalidLength
            | LinkError::NotSupported
            | LinkError::NoPermission => false,
        },
        _ => false,
    }
}
