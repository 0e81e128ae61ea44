//! Identifying: who the device is, by its own signature where it can give one, and whether it may be commissioned.

use core::cmp::Ordering;

use crate::claim::Purpose;
use crate::device::{IdentityFault, Serial};
use crate::dialect::Report;
use crate::evidence::{Fact, Owner, Snapshot, Source};
use crate::fault::Fault;
use crate::mending::{Kind, holds};
use crate::policy::IdentityPolicy;
use crate::proven::ProvenIdentity;
use crate::time::Moment;

use super::context::{Context, Intent, Signal};
use super::io::{Action, CallId, Stage, Step as Entry};
use super::job::State;
use super::linking::{Linking, lost, trouble};
use super::networking::Networking;
use super::proving::Proven;
use super::undoing::Undoing;

/// See the module.
#[derive(Debug)]
pub(super) struct Identifying {
    proven: Proven,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Challenged,
    /// The proof is being checked; until when.
    Checking(CallId, Moment),
    /// The label may be that of another device of the same name.
    Searching(Fault),
    /// The cloud is asked about this device.
    LookingUp(Serial),
}

impl Identifying {
    pub(super) fn enter(cx: &mut Context, proven: Proven) -> State {
        cx.enter(Stage::Identifying);
        match (cx.plan.policy.identity, cx.capabilities.identity) {
            (IdentityPolicy::Required, false) => Undoing::enter(cx, Fault::IdentityMissing),
            // A device that has proved itself can: over this session it is not known to be the same.
            (IdentityPolicy::WhenOffered, false) if cx.bound.is_some() => {
                Undoing::enter(cx, Fault::IdentityMissing)
            }
            (IdentityPolicy::Required | IdentityPolicy::WhenOffered, true) => {
                cx.intents.push_back(Intent::Challenge);
                let step = Step::Challenged;
                State::Identifying(Self { proven, step })
            }
            (IdentityPolicy::WhenOffered, false) | (IdentityPolicy::Off, _) => Self::look_up(cx, proven),
        }
    }

    pub(super) fn on(self, cx: &mut Context, signal: Signal) -> State {
        let Self { proven, step } = self;
        match (step, signal) {
            (Step::Challenged, Signal::Report(Report::Identified(proof))) => {
                cx.look_up(&proof.serial);
                let call = cx.act(Action::CheckIdentity(proof));
                let step = Step::Checking(call, cx.now + cx.plan.limits.command);
                State::Identifying(Self { proven, step })
            }
            (Step::Challenged, Signal::Report(Report::Failed(fault))) => trouble(cx, fault),
            (Step::Checking(asked, _), Signal::Checked(call, Ok(proven_identity))) if call == asked => {
                match accept(cx, proven_identity) {
                    Ok(()) => Self::look_up(cx, proven),
                    Err(fault @ Fault::LabelMismatch { .. }) if !cx.ever_applied && !cx.recovering => {
                        cx.find_another();
                        let step = Step::Searching(fault);
                        State::Identifying(Self { proven, step })
                    }
                    Err(fault) => Undoing::enter(cx, fault),
                }
            }
            (Step::Searching(fault), Signal::Another(Some(other))) => {
                cx.turn_to(other, fault);
                Linking::enter(cx)
            }
            (Step::Searching(fault), Signal::Another(None)) => Undoing::enter(cx, fault),
            (Step::Searching(fault), Signal::Lost(_)) => {
                let step = Step::Searching(fault);
                State::Identifying(Self { proven, step })
            }
            (Step::Checking(asked, _), Signal::Checked(call, Err(fault))) if call == asked => {
                Undoing::enter(cx, unproven(fault))
            }
            (Step::Checking(_, until), Signal::Tick) if cx.now >= until => {
                Undoing::enter(cx, Fault::IdentityUnchecked("no answer in time".into()))
            }
            (_, Signal::Lost(fault)) => lost(cx, fault),
            (Step::LookingUp(serial), Signal::News) => Self::judge(cx, proven, serial),
            (step, _) => State::Identifying(Self { proven, step }),
        }
    }

    pub(super) fn timeout(&self) -> Option<Moment> {
        match self.step {
            Step::Checking(_, until) => Some(until),
            Step::Challenged | Step::Searching(_) | Step::LookingUp(_) => None,
        }
    }

    fn look_up(cx: &mut Context, proven: Proven) -> State {
        if let Some(before) = cx.before.clone()
            && (cx.applied || !cx.recovering)
        {
            // Whether it may be commissioned was settled over an earlier link; who it is is settled over each.
            return match vouch(cx, &before) {
                Ok(()) => Networking::enter(cx, proven),
                Err(fault) => Undoing::enter(cx, fault),
            };
        }
        if cx.applied {
            return Networking::enter(cx, proven);
        }
        match cx.serial().cloned() {
            Some(serial) => {
                if cx.recovering {
                    cx.look_afresh(&serial);
                } else {
                    cx.look_up(&serial);
                }
                Self::judge(cx, proven, serial)
            }
            None => Undoing::enter(cx, Fault::SerialNeeded),
        }
    }

    fn judge(cx: &mut Context, proven: Proven, serial: Serial) -> State {
        let snapshot = match cx.known(&serial) {
            None => {
                let step = Step::LookingUp(serial);
                return State::Identifying(Self { proven, step });
            }
            Some(Err(fault)) => return Undoing::enter(cx, fault),
            Some(Ok(snapshot)) => snapshot,
        };
        cx.plain |= snapshot.self_enrolling;
        if let Err(fault) = permit(cx, &serial, &snapshot) {
            return Undoing::enter(cx, fault);
        }
        if let Some(identity) = cx.identity.clone() {
            let known = snapshot.identity_key_sha256 == Some(identity.key_sha256);
            let source = if known { Source::Cloud } else { Source::Device };
            cx.tell(Fact::IdentityProven { identity }, source);
        }
        cx.recall(&snapshot);
        cx.note(Entry::Snapshot {
            snapshot: snapshot.clone(),
        });
        if let Some(thing) = &snapshot.thing
            && !cx.plain
        {
            cx.off.thing = Some(thing.name.clone());
            cx.off.earlier = thing.active().map(|principal| principal.id.clone()).collect();
        }
        cx.before = Some(snapshot);
        Networking::enter(cx, proven)
    }
}

/// Takes a proven identity, if it is the one that the label and earlier links of this job showed, in earlier runs
/// too.
fn accept(cx: &mut Context, proven: ProvenIdentity) -> Result<(), Fault> {
    let ProvenIdentity {
        identity,
        keys,
        vouched_by,
    } = proven;
    let serial = || identity.serial.as_str().into();
    if let Some(bound) = cx.bound.as_ref().filter(|_| holds(Kind::ProvenBinds)) {
        if bound.key_sha256 != identity.key_sha256 {
            return Err(Fault::CloneSuspected(serial()));
        }
        if (&bound.serial, &bound.model) != (&identity.serial, &identity.model) {
            return Err(Fault::IdentityForged(alloc::format!(
                "it was {} {} over an earlier link and is {} {} now",
                bound.model,
                bound.serial,
                identity.model,
                identity.serial
            )));
        }
        if cx.vouched_by.is_some() && cx.vouched_by != vouched_by {
            return Err(Fault::IdentityForged(
                "its maker's certificates are not those of the earlier link".into(),
            ));
        }
    }
    if let Some(label) = &cx.plan.serial
        && *label != identity.serial
    {
        return Err(Fault::LabelMismatch {
            label: label.as_str().into(),
            device: identity.serial.as_str().into(),
        });
    }
    cx.bound = Some(identity.clone());
    if cx.identity.is_none() {
        cx.note(Entry::Identified {
            identity: identity.clone(),
            keys: Some(keys.clone()),
        });
    }
    cx.identity = Some(identity);
    cx.keys = Some(keys);
    cx.vouched_by = vouched_by.or(cx.vouched_by.take());
    Ok(())
}

/// Why an identity is not proven. Only what the device itself did is held against it.
fn unproven(fault: IdentityFault) -> Fault {
    match fault {
        IdentityFault::UntrustedMaker => Fault::MakerUnknown,
        IdentityFault::Unchecked(why) => Fault::IdentityUnchecked(why),
        IdentityFault::LaptopDate => Fault::LaptopDate,
        IdentityFault::Signature
        | IdentityFault::Unreadable(_)
        | IdentityFault::OutOfDate
        | IdentityFault::Serial { .. } => Fault::IdentityForged(alloc::format!("{fault}")),
    }
}

/// Whether the proven key is one that somebody knows, as the policy wants it, and the firmware one that may be
/// commissioned.
fn vouch(cx: &Context, snapshot: &Snapshot) -> Result<(), Fault> {
    let Some(identity) = &cx.identity else {
        return Ok(());
    };
    let known = match snapshot.identity_key_sha256 {
        Some(key) if key != identity.key_sha256 => {
            return Err(Fault::CloneSuspected(identity.serial.as_str().into()));
        }
        key => key.is_some() || cx.vouched_by.is_some(),
    };
    if cx.plan.policy.identity == IdentityPolicy::Required && !known && holds(Kind::KnownIdentity) {
        return Err(Fault::IdentityUnvouched);
    }
    if !cx.plain
        && let Some(needed) = &snapshot.min_firmware
        && !matches!(
            identity.firmware.compare(needed),
            Some(Ordering::Equal | Ordering::Greater)
        )
    {
        return Err(Fault::FirmwareTooOld {
            found: identity.firmware.0.clone(),
            needed: needed.0.clone(),
        });
    }
    Ok(())
}

/// Whether this device may be commissioned for this purpose.
fn permit(cx: &Context, serial: &Serial, snapshot: &Snapshot) -> Result<(), Fault> {
    if snapshot.known == Some(false) {
        return Err(Fault::UnknownDevice(serial.as_str().into()));
    }
    if snapshot.self_enrolling && cx.plan.purpose == Purpose::Transfer {
        return Err(Fault::EnrolsItself);
    }
    if snapshot.owner == Owner::Other && cx.plan.purpose != Purpose::Transfer {
        return Err(Fault::OwnedByOther);
    }
    vouch(cx, snapshot)?;
    let active = snapshot
        .thing
        .as_ref()
        .is_some_and(|thing| thing.active().next().is_some());
    if cx.plain {
        // Wi-Fi alone leads nowhere unless the device has a credential already: one that the cloud knows, or one that it
        // takes as it comes.
        return if active || snapshot.self_enrolling {
            Ok(())
        } else {
            Err(Fault::CredentialsUnsupported)
        };
    }
    if active && cx.plan.purpose == Purpose::New {
        return Err(Fault::AlreadyCommissioned);
    }
    Ok(())
}
