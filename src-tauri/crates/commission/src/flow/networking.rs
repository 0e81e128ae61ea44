//! Networking: what the device sees, which network it is to join, the settings written but not yet applied. The
//! claim may be fetched meanwhile, so that nobody waits for it later.

use alloc::vec::Vec;
use core::time::Duration;

use crate::claim::MIN_LIFE_TO_SEND;
use crate::dialect::{Command, Join, Report};
use crate::evidence::{Fact, Source};
use crate::fault::Fault;
use crate::network::{Auth, Network, SeenNetwork};
use crate::secret::Passphrase;
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
    /// The device is asked whether it still holds settings of an earlier job.
    Looking,
    Scanning(Looks),
    Asking {
        seen: Vec<SeenNetwork>,
    },
    /// The cloud is asked whether the device works, before its settings go.
    AskingTheCloud(Option<Looks>),
    /// Settings of an earlier job are to go; a scan that hung for them is tried again.
    Freeing(Option<Looks>),
    Resetting,
    Writing,
}

/// What was tried already before a person is bothered: one scan that fails and one list that lacks the network.
#[derive(Clone, Copy, Debug, Default)]
struct Looks {
    failed: bool,
    missed: bool,
}

impl Networking {
    pub(super) fn enter(cx: &mut Context, proven: Proven) -> State {
        if cx.applied && !cx.needs_reset {
            return Joining::look_back(cx, proven);
        }
        cx.enter(Stage::Networking);
        cx.prefetch_claim();
        // Where "connected" ends the service, asking would take the device away.
        if cx.capabilities.keep_link && !cx.looked && !cx.ever_applied {
            cx.command(Command::JoinStatus);
            let (proven, step) = (Some(proven), Step::Looking);
            return State::Networking(Self { proven, step });
        }
        Self::begin(cx, proven)
    }

    fn begin(cx: &mut Context, proven: Proven) -> State {
        let hidden = cx.network.as_ref().is_some_and(|network| network.hidden);
        if cx.network_settled || hidden {
            return Self::write(cx, proven);
        }
        if cx.capabilities.network_scan {
            return Self::scan(cx, proven, Looks::default());
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
        if cx.needs_reset && !cx.may_reset() {
            return Undoing::enter(cx, Fault::AlreadyCommissioned);
        }
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
            (Step::Looking, Signal::Report(report), Some(proven)) => Self::looked(cx, proven, report),
            (Step::AskingTheCloud(looks), Signal::News, Some(proven)) => {
                match cx.serial().cloned().and_then(|serial| cx.known(&serial)) {
                    Some(Ok(shown)) => {
                        cx.recall(&shown);
                        Self::reset(cx, proven, looks)
                    }
                    Some(Err(fault)) => Undoing::enter(cx, fault),
                    None => {
                        let (proven, step) = (Some(proven), Step::AskingTheCloud(looks));
                        State::Networking(Self { proven, step })
                    }
                }
            }
            (Step::Freeing(looks), Signal::Report(report), Some(proven)) => {
                Self::freed(cx, proven, looks, report)
            }
            (Step::Scanning(looks), Signal::Report(report), Some(proven)) => {
                Self::scanned(cx, proven, looks, report)
            }
            (Step::Asking { seen }, Signal::Answer(answer), proven) => {
                match answer {
                    Answer::Network(network) => {
                        cx.network = Some(network);
                        cx.network_settled = false;
                    }
                    Answer::Passphrase(passphrase) => {
                        if let Err(question) = correct(cx, passphrase) {
                            cx.ask(question);
                            let step = Step::Asking { seen };
                            return State::Networking(Self { proven, step });
                        }
                    }
                    _ => cx.network_settled = true,
                }
                match proven {
                    Some(proven) if cx.link_free() => Self::decide(cx, proven, seen, Looks::ALL),
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

    fn looked(cx: &mut Context, proven: Proven, report: Report) -> State {
        // A look that came to nothing is made again over the next link.
        cx.looked = !matches!(&report, Report::Failed(Fault::Link(_))) && cx.session_stands();
        match report {
            Report::Join(Join::Joined { .. } | Join::Refused | Join::NotFound) => {
                Self::free(cx, proven, None)
            }
            // A stack that refuses a request may have lost step with us: a fresh link costs little this early.
            Report::Failed(fault @ Fault::Link(_)) => trouble(cx, fault),
            Report::Failed(fault) if !cx.session_stands() => trouble(cx, fault),
            // "Joining" is also said where nothing was applied; whether it is true shows in the scan.
            _ => Self::begin(cx, proven),
        }
    }

    /// Has the device forget what an earlier job gave it. A job that was taken up again asks the cloud first whether the
    /// device has come to work meanwhile.
    fn free(cx: &mut Context, proven: Proven, looks: Option<Looks>) -> State {
        if cx.recovering
            && let Some(serial) = cx.serial().cloned()
        {
            cx.lookup.stale();
            cx.look_afresh(&serial);
            let (proven, step) = (Some(proven), Step::AskingTheCloud(looks));
            return State::Networking(Self { proven, step });
        }
        Self::reset(cx, proven, looks)
    }

    fn reset(cx: &mut Context, proven: Proven, looks: Option<Looks>) -> State {
        if !cx.may_reset() {
            return Undoing::enter(cx, Fault::AlreadyCommissioned);
        }
        // Unless it is answered, the device may be in its network still.
        cx.looked = false;
        cx.record(Entry::Resetting);
        cx.command(Command::ResetNetwork);
        let (proven, step) = (Some(proven), Step::Freeing(looks));
        State::Networking(Self { proven, step })
    }

    fn freed(cx: &mut Context, proven: Proven, looks: Option<Looks>, report: Report) -> State {
        if let Report::Failed(fault) = &report
            && !cx.session_stands()
        {
            return trouble(cx, fault.clone());
        }
        cx.looked = true;
        match (report, looks) {
            (Report::Failed(Fault::SettingsRefused(_)), Some(_)) if cx.capabilities.keep_link => {
                Undoing::enter(cx, Fault::SettingsHeld)
            }
            (Report::Failed(Fault::SettingsRefused(_)), Some(_)) if !cx.plain => {
                Self::take_as_applied(cx, proven)
            }
            (_, Some(looks)) => Self::scan(cx, proven, looks),
            (_, None) => Self::begin(cx, proven),
        }
    }

    /// A device that joins, or has joined, by settings of an earlier job and cannot leave: a claim is all that it
    /// lacks, and it must have that before it is asked how it stands, since "connected" ends its service.
    fn take_as_applied(cx: &mut Context, proven: Proven) -> State {
        cx.record(Entry::Applying);
        (cx.applied, cx.ever_applied, cx.held) = (true, true, true);
        Crediting::enter(cx, proven, Then::LookBack)
    }

    fn scan(cx: &mut Context, proven: Proven, looks: Looks) -> State {
        cx.command(Command::Scan);
        let (proven, step) = (Some(proven), Step::Scanning(looks));
        State::Networking(Self { proven, step })
    }

    fn scanned(cx: &mut Context, proven: Proven, looks: Looks, report: Report) -> State {
        match report {
            Report::Networks(seen) => {
                cx.tell_networks(&seen);
                Self::decide(cx, proven, seen, looks)
            }
            Report::Failed(fault) if !cx.session_stands() => trouble(cx, fault),
            // After a request that its stack refused, the next one on this session may fail for that alone.
            Report::Failed(fault @ Fault::Link(_)) if !cx.scan_relinked => {
                cx.scan_relinked = true;
                trouble(cx, fault)
            }
            Report::Failed(fault) if !looks.failed => {
                let looks = Looks {
                    failed: true,
                    ..looks
                };
                // No scan ends while settings of an earlier job stand.
                if fault == Fault::ScanTimeout && cx.capabilities.retry_in_place {
                    cx.events.push_back(Event::Retrying { fault, attempt: 2 });
                    return Self::free(cx, proven, Some(looks));
                }
                Self::rescan(cx, proven, looks, fault)
            }
            Report::Failed(fault) => match &cx.network {
                Some(_) => Self::doubt(cx, proven, Vec::new(), fault),
                None => Self::choose(cx, proven, Vec::new()),
            },
            _ => Self::scan(cx, proven, looks),
        }
    }

    /// Goes on with the network if nothing speaks against it. An empty list or a missing network may be a lost race
    /// in the firmware, so the device looks twice before a person is bothered.
    fn decide(cx: &mut Context, proven: Proven, seen: Vec<SeenNetwork>, looks: Looks) -> State {
        let missed = Looks {
            missed: true,
            ..looks
        };
        let Some(network) = cx.network.clone() else {
            return if seen.is_empty() && !looks.missed {
                Self::rescan(cx, proven, missed, Fault::ScanTimeout)
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
            Err(fault @ Fault::NetworkNotSeen(_)) if !looks.missed => Self::rescan(cx, proven, missed, fault),
            Err(fault @ Fault::PassphraseNeeded(_)) => {
                cx.ask(Question::Passphrase {
                    fault,
                    network: (&network.ssid).into(),
                });
                let (proven, step) = (Some(proven), Step::Asking { seen });
                State::Networking(Self { proven, step })
            }
            Err(fault) => Self::doubt(cx, proven, seen, fault),
        }
    }

    fn rescan(cx: &mut Context, proven: Proven, looks: Looks, fault: Fault) -> State {
        cx.events.push_back(Event::Retrying { fault, attempt: 2 });
        Self::scan(cx, proven, looks)
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

impl Looks {
    /// A person has seen the list.
    const ALL: Self = Self {
        failed: true,
        missed: true,
    };
}

/// Takes a passphrase for the same network, or says what to ask again.
pub(super) fn correct(cx: &mut Context, passphrase: Passphrase) -> Result<(), Question> {
    let Some(network) = cx.network.clone() else {
        return Ok(());
    };
    let name = (&network.ssid).into();
    let corrected = Some(passphrase)
        .filter(|text| !text.is_empty())
        .and_then(|text| Network::new(network.ssid, Some(text), network.hidden).ok());
    match corrected {
        Some(network) => {
            cx.network = Some(network);
            Ok(())
        }
        None => Err(Question::Passphrase {
            fault: Fault::PassphraseInvalid,
            network: name,
        }),
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
    let rows = || seen.iter().filter(|row| row.ssid == network.ssid);
    if network.passphrase.is_none()
        && rows().next().is_some()
        && rows().all(|row| row.auth.wants_passphrase())
    {
        return Err(Fault::PassphraseNeeded(ssid()));
    }
    let any = rows().next().is_some();
    if any && rows().all(|row| row.auth == Auth::Wpa2Enterprise) {
        return Err(Fault::NetworkEnterprise(ssid()));
    }
    if any && network.passphrase.is_some() && rows().all(|row| row.auth == Auth::Open) {
        return Err(Fault::NetworkOpen(ssid()));
    }
    match rows().map(|row| row.rssi).max() {
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
