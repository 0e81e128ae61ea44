//! Joining: the settings are applied and the device joins. A link that ends here leaves it unknown how that went, so
//! the cloud is watched while the device is looked for again.

use alloc::vec::Vec;

use crate::dialect::{Command, Join, Report};
use crate::evidence::{Fact, Source};
use crate::fault::Fault;
use crate::time::Moment;

use super::context::{Context, Signal};
use super::crediting::{Crediting, Then};
use super::enrolling::Enrolling;
use super::io::{Answer, Question, Stage, Step as Entry};
use super::job::State;
use super::linking::{Linking, lost};
use super::networking::{Networking, command_settings, correct};
use super::proving::Proven;
use super::undoing::Undoing;

/// See the module.
#[derive(Debug)]
pub(super) struct Joining {
    /// Gone with the link, which may end while a person thinks.
    proven: Option<Proven>,
    step: Step,
    /// The settings may have been applied over an earlier link already.
    again: bool,
    deadline: Option<Moment>,
}

#[derive(Debug)]
enum Step {
    LookingBack,
    Rewriting,
    Applying,
    Waiting(Moment),
    Looking,
    Asking(Question),
}

impl Joining {
    /// Applies the settings.
    pub(super) fn enter(cx: &mut Context, proven: Proven, again: bool) -> State {
        cx.enter(Stage::Joining);
        cx.record(Entry::Applying);
        cx.command(Command::Apply);
        Self::at(Some(proven), Step::Applying, again)
    }

    /// Asks, over a new link, how the join went.
    pub(super) fn look_back(cx: &mut Context, proven: Proven) -> State {
        cx.command(Command::JoinStatus);
        Self::at(Some(proven), Step::LookingBack, true)
    }

    /// The link ended although settings were, or may have been, applied (rule 2 of the design).
    pub(super) fn lost(cx: &mut Context, fault: Fault) -> State {
        cx.watch_claim();
        if cx.settle_by.is_none() {
            let limits = &cx.plan.limits;
            cx.settle_by = Some(cx.now + limits.join + limits.enrol);
            cx.link_tries = 0;
        }
        let pause = cx.plan.limits.settle;
        Linking::after(cx, fault, pause)
    }

    pub(super) fn on(self, cx: &mut Context, signal: Signal) -> State {
        let overdue = self.deadline.is_some_and(|deadline| cx.now >= deadline);
        match (self.step, signal, self.proven) {
            (_, Signal::News, proven) if cx.ever_applied && cx.watch.has_news() => {
                Enrolling::enter(cx, proven)
            }
            (Step::Asking(_), Signal::Answer(answer), proven) => answered(cx, answer, proven),
            (Step::Asking(question), Signal::Lost(_), _) => {
                Self::at(None, Step::Asking(question), self.again)
            }
            (Step::Applying, Signal::Lost(fault), _) if !cx.applied => lost(cx, fault),
            (_, Signal::Lost(fault), _) => Self::lost(cx, fault),
            (_, Signal::Tick, _) if overdue => Undoing::enter(cx, Fault::JoinTimeout),
            (Step::Waiting(until), Signal::Tick, proven) if cx.now >= until => {
                cx.command(Command::JoinStatus);
                Self {
                    proven,
                    step: Step::Looking,
                    ..self
                }
                .state()
            }
            (step, Signal::Report(report), Some(proven)) => Self {
                proven: None,
                step: Step::Looking,
                ..self
            }
            .reported(cx, proven, &step, report),
            (step, _, proven) => Self { proven, step, ..self }.state(),
        }
    }

    pub(super) fn timeout(&self) -> Option<Moment> {
        let look = match self.step {
            Step::Waiting(until) => Some(until),
            _ => None,
        };
        [look, self.deadline].into_iter().flatten().min()
    }

    fn at(proven: Option<Proven>, step: Step, again: bool) -> State {
        State::Joining(Self {
            proven,
            step,
            again,
            deadline: None,
        })
    }

    fn state(self) -> State {
        State::Joining(self)
    }

    fn reported(self, cx: &mut Context, proven: Proven, step: &Step, report: Report) -> State {
        match (step, report) {
            (Step::LookingBack | Step::Looking, Report::Join(join)) => self.looked(cx, proven, step, join),
            (Step::Applying, Report::Applied) => {
                cx.tell(Fact::SettingsApplied, Source::Device);
                self.applied(cx, proven)
            }
            // Devices apply once, so a refusal now says that they did.
            (Step::Applying, Report::Failed(Fault::SettingsRefused(_))) if self.again => {
                self.applied(cx, proven)
            }
            (Step::Applying, Report::Failed(fault @ Fault::SettingsRefused(_))) => {
                cx.applied = false;
                // It may refuse since it is in a network by settings of before, and use the claim there.
                cx.watch_claim();
                if cx.capabilities.retry_in_place && !cx.reset_tried {
                    cx.reset_tried = true;
                    cx.needs_reset = true;
                    Networking::write(cx, proven)
                } else {
                    Undoing::enter(cx, fault)
                }
            }
            (Step::Rewriting, Report::NetworkSet) => Crediting::enter(cx, proven, Then::ApplyAgain),
            (Step::Rewriting, Report::Failed(fault)) if !cx.session_stands() => Self::lost(cx, fault),
            (Step::Rewriting, Report::Failed(_)) => self.wait(cx, proven),
            (Step::Looking | Step::LookingBack, Report::Failed(_)) if cx.session_stands() => {
                self.wait(cx, proven)
            }
            (_, Report::Failed(fault)) => Self::lost(cx, fault),
            _ => self.wait(cx, proven),
        }
    }

    fn applied(mut self, cx: &mut Context, proven: Proven) -> State {
        cx.watch_claim();
        self.deadline = Some(cx.now + cx.plan.limits.join);
        self.wait(cx, proven)
    }

    fn wait(mut self, cx: &mut Context, proven: Proven) -> State {
        self.proven = Some(proven);
        self.step = Step::Waiting(cx.now + cx.plan.limits.join_pace);
        self.deadline.get_or_insert(cx.now + cx.plan.limits.join);
        self.state()
    }

    fn looked(self, cx: &mut Context, proven: Proven, step: &Step, join: Join) -> State {
        match join {
            Join::Joined { address, network } if !address.is_empty() => {
                // Settings of an earlier job may lead elsewhere than a person wants now.
                let wanted = cx.network.as_ref().map(|network| &network.ssid);
                if cx.held
                    && wanted
                        .zip(network.as_ref())
                        .is_some_and(|(wanted, found)| wanted != found)
                {
                    return Undoing::enter(cx, Fault::SettingsHeld);
                }
                cx.joined = true;
                cx.settle_by = None;
                let address = Some(address);
                cx.keep_word(Fact::WifiJoined { address });
                if cx.watch.over {
                    return Crediting::enter(cx, proven, Then::Enrol);
                }
                Enrolling::enter(cx, Some(proven))
            }
            Join::Refused => {
                cx.keep_word(Fact::PassphraseRefused);
                refused(cx, proven, Fault::PassphraseRefused)
            }
            Join::NotFound => refused(cx, proven, Fault::NetworkNotFound),
            Join::Joined { .. } | Join::Joining { .. } | Join::Disconnected => {
                // Firmware also says "joining" when nothing was applied, so that is made sure of.
                if matches!(step, Step::LookingBack) && command_settings(cx) {
                    Self::at(Some(proven), Step::Rewriting, true)
                } else {
                    self.wait(cx, proven)
                }
            }
        }
    }
}

/// The device says that it did not get in. Some firmware only guesses that, so the cloud is watched on.
fn refused(cx: &mut Context, proven: Proven, fault: Fault) -> State {
    cx.settle_by = None;
    cx.stranded = true;
    if !cx.capabilities.retry_in_place {
        return Undoing::enter(cx, Fault::PowerCycleNeeded);
    }
    cx.needs_reset = true;
    let question = match (&cx.network, fault) {
        (None, _) => Question::Network { seen: Vec::new() },
        (Some(_), fault @ Fault::NetworkNotFound) => Question::NetworkDoubt(fault),
        (Some(network), fault) => Question::Passphrase {
            fault,
            network: (&network.ssid).into(),
        },
    };
    cx.ask(question.clone());
    Joining::at(Some(proven), Step::Asking(question), false)
}

fn answered(cx: &mut Context, answer: Answer, proven: Option<Proven>) -> State {
    match answer {
        Answer::Network(network) => cx.network = Some(network),
        Answer::Passphrase(passphrase) => {
            if let Err(question) = correct(cx, passphrase) {
                cx.ask(question.clone());
                return Joining::at(proven, Step::Asking(question), false);
            }
        }
        Answer::GoOn | Answer::Pop { .. } | Answer::Skip | Answer::Nobody => {}
    }
    cx.network_settled = true;
    match proven {
        Some(proven) if cx.link_free() => Networking::write(cx, proven),
        _ => Linking::enter(cx),
    }
}
