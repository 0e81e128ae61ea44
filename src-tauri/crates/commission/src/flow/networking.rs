//! Networking: what the device sees, which network it is to join, the settings written but not yet applied. The
//! claim may be fetched meanwhile, so that nobody waits for it later.

use alloc::vec::Vec;
use core::time::Duration;

use crate::claim::MIN_LIFE_TO_SEND;
use crate::dialect::{Command, Report};
use crate::evidence::{Fact, Source};
use crate::fault::Fault;
use crate::network::{Network, SeenNetwork};
use crate::time::Moment;

use super::context::{Context, Signal};
use super::crediting::{Crediting, Then};
use super::io::{Answer, Event, Question, Stage, Step as Entry};
use super::job::State;
use super::joining::Joining;
use super::linking::{Linking, lost, trouble};
use super::proving::Proven;
use super::purse::Purse;
use super::undoing::Undoing;

/// See the module.
#[derive(Debug)]
pub(super) struct Networking {
    /// Gone with the link, which may end while a person thinks.
    proven: Option<Proven>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Scanning { again: bool },
    Asking { seen: Vec<SeenNetwork> },
    Resetting,
    Writing,
}

impl Networking {
    pub(super) fn enter(cx: &mut Context, proven: Proven) -> State {
        if cx.applied && !cx.needs_reset {
            return Joining::look_back(cx, proven);
        }
        cx.enter(Stage::Networking);
        cx.prefetch_claim();
        let hidden = cx.network.as_ref().is_some_and(|network| network.hidden);
        if cx.network_settled || hidden {
            return Self::write(cx, proven);
        }
        if cx.capabilities.network_scan {
            return Self::scan(cx, proven, false);
        }
        match &cx.network {
            Some(_) => Self::write(cx, proven),
            None => Self::choose(cx, proven, Vec::new()),
        }
    }

    /// Writes the settings, after the device has forgotten refused ones.
    pub(super) fn write(cx: &mut Context, proven: Proven) -> State {
        cx.enter(Stage::Networking);
        cx.network_settled = true;
        let proven = Some(proven);
        if cx.needs_reset {
            cx.record(Entry::Resetting);
            cx.command(Command::ResetNetwork);
            let step = Step::Resetting;
            return State::Networking(Self { proven, step });
        }
        command_settings(cx);
        let step = Step::Writing;
        State::Networking(Self { proven, step })
    }

    pub(super) fn on(self, cx: &mut Context, signal: Signal) -> State {
        if let (Signal::News, Purse::Refused(fault)) = (&signal, &cx.purse) {
            let fault = fault.clone();
            return Undoing::enter(cx, fault);
        }
        if matches!(signal, Signal::Tick) {
            drop_aged_claim(cx);
        }
        let Self { proven, step } = self;
        match (step, signal, proven) {
            (Step::Scanning { again }, Signal::Report(report), Some(proven)) => {
                Self::scanned(cx, proven, again, report)
            }
            (Step::Asking { seen }, Signal::Answer(answer), proven) => {
                match answer {
                    Answer::Network(network) => {
                        cx.network = Some(network);
                        cx.network_settled = false;
                    }
                    _ => cx.network_settled = true,
                }
                match proven {
                    Some(proven) if cx.link_free() => Self::decide(cx, proven, seen, true),
                    _ => Linking::enter(cx),
                }
            }
            (Step::Asking { seen }, Signal::Lost(_), _) => {
                let (proven, step) = (None, Step::Asking { seen });
                State::Networking(Self { proven, step })
            }
            (Step::Resetting, Signal::Report(Report::NetworkReset), Some(proven)) => {
                Self::was_reset(cx, proven)
            }
            // Older firmware that has reset itself refuses this; whether it did shows when the settings are applied.
            (Step::Resetting, Signal::Report(Report::Failed(Fault::SettingsRefused(_))), Some(proven)) => {
                Self::was_reset(cx, proven)
            }
            (Step::Writing, Signal::Report(Report::NetworkSet), Some(proven)) => {
                cx.tell(Fact::SettingsWritten, Source::Device);
                Crediting::enter(cx, proven, Then::Apply)
            }
            (_, Signal::Report(Report::Failed(fault)), _) => trouble(cx, fault),
            (_, Signal::Lost(fault), _) => lost(cx, fault),
            (step, _, proven) => State::Networking(Self { proven, step }),
        }
    }

    pub(super) fn timeout(cx: &Context) -> Option<Moment> {
        let held = cx.purse.held().filter(|held| !held.begun)?;
        let expires = held.claim.expires.since_start();
        // The first moment at which it may no longer be sent.
        Some(Moment::new(
            expires.saturating_sub(MIN_LIFE_TO_SEND) + Duration::from_millis(1),
        ))
    }

    fn scan(cx: &mut Context, proven: Proven, again: bool) -> State {
        cx.command(Command::Scan);
        let (proven, step) = (Some(proven), Step::Scanning { again });
        State::Networking(Self { proven, step })
    }

    fn scanned(cx: &mut Context, proven: Proven, again: bool, report: Report) -> State {
        match report {
            Report::Networks(seen) => {
                cx.tell_networks(&seen);
                Self::decide(cx, proven, seen, again)
            }
            Report::Failed(fault) if !cx.session_stands() => trouble(cx, fault),
            Report::Failed(fault) if !again => Self::rescan(cx, proven, fault),
            Report::Failed(fault) => match &cx.network {
                Some(_) => Self::doubt(cx, proven, Vec::new(), fault),
                None => Self::choose(cx, proven, Vec::new()),
            },
            _ => Self::scan(cx, proven, again),
        }
    }

    /// Goes on with the network if nothing speaks against it. An empty list or a missing network may be a lost race
    /// in the firmware, so the device looks twice before a person is bothered.
    fn decide(cx: &mut Context, proven: Proven, seen: Vec<SeenNetwork>, again: bool) -> State {
        let Some(network) = cx.network.clone() else {
            return if seen.is_empty() && !again {
                Self::rescan(cx, proven, Fault::ScanTimeout)
            } else {
                Self::choose(cx, proven, seen)
            };
        };
        if cx.network_settled {
            return Self::write(cx, proven);
        }
        match judge(&network, &seen, cx) {
            Ok(rssi) => {
                if let Some(rssi) = rssi {
                    cx.tell(Fact::NetworkSeen { rssi }, Source::Device);
                }
                Self::write(cx, proven)
            }
            Err(fault @ Fault::NetworkNotSeen(_)) if !again => Self::rescan(cx, proven, fault),
            Err(fault) => Self::doubt(cx, proven, seen, fault),
        }
    }

    fn rescan(cx: &mut Context, proven: Proven, fault: Fault) -> State {
        cx.events.push_back(Event::Retrying { fault, attempt: 2 });
        Self::scan(cx, proven, true)
    }

    fn choose(cx: &mut Context, proven: Proven, seen: Vec<SeenNetwork>) -> State {
        cx.ask(Question::Network { seen: seen.clone() });
        let (proven, step) = (Some(proven), Step::Asking { seen });
        State::Networking(Self { proven, step })
    }

    fn doubt(cx: &mut Context, proven: Proven, seen: Vec<SeenNetwork>, fault: Fault) -> State {
        cx.ask(Question::NetworkDoubt(fault));
        let (proven, step) = (Some(proven), Step::Asking { seen });
        State::Networking(Self { proven, step })
    }

    fn was_reset(cx: &mut Context, proven: Proven) -> State {
        cx.needs_reset = false;
        cx.applied = false;
        Self::write(cx, proven)
    }
}

/// Records and gives the command that writes the settings; whether there are any.
pub(super) fn command_settings(cx: &mut Context) -> bool {
    let Some(network) = cx.network.clone() else {
        return false;
    };
    cx.record(Entry::WritingSettings {
        ssid: (&network.ssid).into(),
    });
    cx.command(Command::SetNetwork(network));
    true
}

fn judge(network: &Network, seen: &[SeenNetwork], cx: &Context) -> Result<Option<i16>, Fault> {
    if network.hidden || !cx.capabilities.network_scan {
        return Ok(None);
    }
    let ssid = || (&network.ssid).into();
    let strongest = seen
        .iter()
        .filter(|row| row.ssid == network.ssid)
        .map(|row| row.rssi)
        .max();
    match strongest {
        None => Err(Fault::NetworkNotSeen(ssid())),
        Some(rssi) if rssi < cx.plan.policy.weakest_network => Err(Fault::NetworkWeak { ssid: ssid(), rssi }),
        rssi => Ok(rssi),
    }
}

/// A claim that was fetched early and grew too old while a person chose is undone; a fresh one comes when it is due.
fn drop_aged_claim(cx: &mut Context) {
    let aged = cx
        .purse
        .held()
        .is_some_and(|held| !held.begun && !held.claim.may_be_sent(cx.now));
    if aged {
        cx.discard_claim();
    }
}
