//! Proving: what the device offers is held against the policy, then both sides prove the PoP.

use crate::dialect::{Capabilities, Command, Report};
use crate::evidence::Fact;
use crate::fault::Fault;
use crate::gatt::LinkError;
use crate::mending::{Kind, holds};
use crate::policy::PlainDevices;

use super::context::{Context, Signal};
use super::identifying::Identifying;
use super::io::{Answer, Event, Question, Stage};
use super::job::State;
use super::linking::{Linking, lost, trouble};

/// PoPs that one job sends a device without its proof: firmware that counts wrong ones stops at five.
const MOST_UNPROVEN: u8 = 4;

/// That this session is encrypted and its PoP proven, or that the policy waives exactly what is missing. Only this
/// module can make one, and nothing secret can be sent without one (rules 1 and 8 of the design).
#[derive(Debug)]
pub(super) struct Proven(());

/// See the module.
#[derive(Debug)]
pub(super) struct Proving {
    step: Step,
}

#[derive(Debug)]
enum Step {
    Opening,
    /// The PoP may be that of another device of the same name.
    Searching,
    Asking,
}

impl Proving {
    pub(super) fn enter(cx: &mut Context, capabilities: Capabilities) -> State {
        cx.enter(Stage::Proving);
        if let Err(fault) = take(cx, capabilities) {
            return Linking::give_up(cx, fault);
        }
        if cx.capabilities.pop && cx.pop.is_none() {
            return Self::ask(cx, Fault::PopNeeded);
        }
        Self::open(cx)
    }

    fn open(cx: &mut Context) -> State {
        // What was not answered may have been refused as well.
        if cx.capabilities.pop && cx.unproven >= MOST_UNPROVEN && holds(Kind::CountedByDevice) {
            let refused = cx.refusals > 0;
            let lost = Fault::Link(LinkError::NotConnected);
            return Linking::give_up(cx, if refused { Fault::WrongPop } else { lost });
        }
        cx.unproven = cx.unproven.saturating_add(1);
        cx.command(Command::Open {
            pop: cx.pop.clone().filter(|_| cx.capabilities.pop),
            username: cx.plan.username.clone(),
            refusals: cx.refusals,
        });
        let step = Step::Opening;
        State::Proving(Self { step })
    }

    fn ask(cx: &mut Context, fault: Fault) -> State {
        let tries_left = cx.plan.limits.pop_attempts.saturating_sub(cx.wrong_pops);
        cx.ask(Question::Pop { fault, tries_left });
        let step = Step::Asking;
        State::Proving(Self { step })
    }

    /// No device of this name takes the PoP.
    fn refused(cx: &mut Context) -> State {
        cx.pop = None;
        cx.wrong_pops = cx.wrong_pops.saturating_add(1);
        if cx.wrong_pops >= cx.plan.limits.pop_attempts {
            Linking::give_up(cx, Fault::WrongPop)
        } else {
            Self::ask(cx, Fault::WrongPop)
        }
    }

    pub(super) fn on(self, cx: &mut Context, signal: Signal) -> State {
        match (self.step, signal) {
            (Step::Opening, Signal::Report(Report::Opened { scheme, capabilities })) => {
                if let Err(fault) = take(cx, capabilities) {
                    return Linking::give_up(cx, fault);
                }
                (cx.refusals, cx.unproven) = (0, 0);
                cx.least.strength = cx.least.strength.max(cx.capabilities.strength);
                if cx.capabilities.pop {
                    cx.keep_word(Fact::PossessionProven { scheme });
                }
                Identifying::enter(cx, Proven(()))
            }
            (Step::Opening, Signal::Report(Report::Failed(fault @ (Fault::WrongPop | Fault::LockedOut)))) => {
                cx.keep_word(Fact::PossessionRefused);
                cx.refusals = cx.refusals.saturating_add(1);
                if fault == Fault::LockedOut {
                    return trouble(cx, fault);
                }
                // A device that was given settings is the right one, whatever it says now; and a job that is taken up again
                // turns to no other, which may have come to work for somebody meanwhile.
                if cx.ever_applied || cx.recovering || cx.bound.is_some() {
                    return Self::refused(cx);
                }
                cx.find_another();
                let step = Step::Searching;
                State::Proving(Self { step })
            }
            (Step::Searching, Signal::Another(Some(other))) => {
                cx.turn_to(other, Fault::WrongPop);
                Linking::enter(cx)
            }
            (Step::Searching, Signal::Another(None)) => Self::refused(cx),
            (Step::Opening, Signal::Report(Report::Failed(fault))) => trouble(cx, fault),
            (Step::Asking, Signal::Answer(Answer::Pop { pop, username })) => {
                cx.pop = Some(pop);
                // A code that was typed names no user, so that the one of an earlier label stays.
                cx.plan.username = username.or(cx.plan.username.take());
                // A new code may be that of any of them.
                cx.tried.clear();
                if cx.link_idle() {
                    Self::open(cx)
                } else {
                    Linking::enter(cx)
                }
            }
            // A person looks for the label while the device gives up waiting: the link comes back with the answer.
            (Step::Asking, Signal::Lost(_)) => State::Proving(Self { step: Step::Asking }),
            (Step::Opening, Signal::Lost(fault)) => lost(cx, fault),
            (step, _) => State::Proving(Self { step }),
        }
    }
}

/// Takes what the device says it can do, if the policy takes it.
fn take(cx: &mut Context, capabilities: Capabilities) -> Result<(), Fault> {
    let policy = &cx.plan.policy;
    policy.permit(cx.least, &capabilities)?;
    if capabilities.claims.is_empty() && policy.plain_devices == PlainDevices::Refuse {
        return Err(Fault::CredentialsUnsupported);
    }
    cx.plain =
        capabilities.claims.is_empty() || cx.before.as_ref().is_some_and(|before| before.self_enrolling);
    if cx.capabilities != capabilities {
        cx.events.push_back(Event::Capabilities(capabilities.clone()));
        cx.capabilities = capabilities;
    }
    Ok(())
}
