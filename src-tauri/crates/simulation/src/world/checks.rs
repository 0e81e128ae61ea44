//! The rules, held against the world.

use commission::claim::Purpose;
use commission::device::{Fingerprint, Serial};
use commission::dialect::Command;
use commission::evidence::{Fact, Source};
use commission::flow::{OutcomeRecord, Step};
use commission::gatt::PeripheralId;
use commission::policy::IdentityPolicy;

use uuid::Uuid;

use crate::adapter::Ask;
use crate::rules::Rule;

use super::air::carries_secret;
use super::calls::Request;
use super::client::kind;
use super::device::{LOCKS_AFTER, Wifi, called, serial};
use super::ends::{done_later, moved};
use super::programs::{Kept, Start, job_name};
use super::{At, World};

impl World {
    /// An entry is on disk.
    pub(super) fn check_step(&mut self, at: At, step: &Step) {
        let Some((organisation, told)) = self.scope(at) else {
            return;
        };
        let cloud = &self.clouds[organisation];
        let (now, rules) = (self.now, &mut self.rules);
        match step {
            Step::Unclaimed { idempotency } => {
                let live = cloud
                    .claims
                    .iter()
                    .any(|issued| issued.request.idempotency == *idempotency && issued.lives(now));
                rules.hold(Rule::JournalIsTrue, !live, || {
                    format!("the journal says that no claim lives under {idempotency}, and one does")
                });
            }
            Step::Retired { cleanup } => {
                let live = cloud
                    .claims
                    .iter()
                    .any(|issued| issued.cleanup == *cleanup && issued.lives(now));
                rules.hold(Rule::JournalIsTrue, !live, || {
                    format!("the journal says that it did {}, and that claim lives", cleanup.0)
                });
            }
            Step::Evidence { evidence } if evidence.source == Source::Cloud => {
                match &evidence.fact {
                    Fact::SeenOnline {
                        principal: Some(principal),
                        ..
                    } => rules.hold(Rule::JournalIsTrue, cloud.was_online(principal), || {
                        format!("the journal says that {principal} was online, and it never was")
                    }),
                    Fact::OneActiveCredential { principal } => {
                        let truth = cloud.whose(principal).and_then(|serial| cloud.truth.get(&serial));
                        let holds = truth.is_some_and(|truth| truth.held_since(told, principal));
                        rules.hold(Rule::JournalIsTrue, holds || moved(&self.devices, cloud, principal), || {
                        format!("the journal says that {principal} is the only active one, which is not so")
                    });
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn scope(&self, at: At) -> Option<(usize, u64)> {
        let told = self.post(at)?.told;
        Some((self.journal.get(&at.job)?.organisation, told))
    }

    /// A job calls a cloud.
    pub(super) fn check_call(&mut self, at: At, ask: &Ask) {
        let Some(post) = self.post(at) else {
            return;
        };
        let (device, person) = (post.device, post.person);
        let program = &self.programs[at.program];
        let Some(kept) = self.journal.get(&at.job) else {
            return;
        };
        self.rules.hold(Rule::OwnPerson, person == program.person, || {
            format!("{} calls with another person's sign-in", job_name(at.job))
        });
        let own = kept.organisation == program.organisation;
        self.rules.hold(Rule::OwnOrganisation, own, || {
            format!(
                "{} of organisation {} asks that of {}: {}",
                job_name(at.job),
                kept.organisation,
                program.organisation,
                ask.words()
            )
        });
        let Ask::Issue(request) = ask else {
            return;
        };
        if !is_asked_now(kept, request.idempotency) {
            return;
        }
        let (serial, key) = (request.serial.clone(), request.key_sha256);
        let why = self.why_not(at, device, &serial, key);
        self.rules.hold(Rule::ClaimForTheAccepted, why.is_none(), || {
            format!(
                "{} asks for a claim for {serial} at {}: {}",
                job_name(at.job),
                called(device),
                why.unwrap_or_default()
            )
        });
    }

    /// Why no claim may be asked for this device, as far as its identity goes.
    fn why_not(&self, at: At, device: usize, serial: &Serial, key: Option<Fingerprint>) -> Option<String> {
        let kept = self.journal.get(&at.job)?;
        let cloud = &self.clouds[kept.organisation];
        let device = &self.devices[device];
        if let Some((first, first_key)) = first_identity(kept)
            && (first != *serial || Some(first_key) != key)
        {
            return Some(format!("it proved to be {first} first"));
        }
        let registered = cloud.known.get(serial).filter(|_| cloud.spec.knows_keys);
        let vouched = key.is_some() && (device.spec.certified || registered == key.as_ref());
        if let (Some(key), Some(registered)) = (key, registered)
            && key != *registered
        {
            return Some("its key is not the one that its maker registered".into());
        }
        match self.scene.identity {
            IdentityPolicy::Required if key.is_none() => Some("it proved nothing, and must".into()),
            IdentityPolicy::Required if !vouched => {
                Some("nobody vouches for its key, and somebody must".into())
            }
            IdentityPolicy::WhenOffered if key.is_none() && device.signs() => {
                Some("it can prove its identity and was not asked".into())
            }
            IdentityPolicy::WhenOffered | IdentityPolicy::Required | IdentityPolicy::Off => None,
        }
    }

    /// A call is done in its cloud.
    pub(super) fn check_execution(&mut self, request: &Request) {
        let Request { at, cloud, ask, .. } = request;
        let Some(kept) = self.journal.get(&at.job) else {
            return;
        };
        let cloud = &self.clouds[*cloud];
        let recovers = self.post(*at).is_some_and(|post| post.start != Start::Anew);
        let began = self.post(*at).map_or(0, |post| post.began);
        let held = self
            .post(*at)
            .and_then(|post| self.devices[post.device].credential.clone());
        let rules = &mut self.rules;
        match ask {
            Ask::Deactivate { principal, .. } => {
                // A clone's own visit may harm the one that it passes for, where the cloud knows no keys.
                let several = self
                    .devices
                    .iter()
                    .filter(|device| Some(serial(device.spec.serial)) == cloud.whose(principal))
                    .count()
                    > 1;
                let held = held.is_some_and(|(_, id)| id == *principal);
                let works = held && cloud.is_active(principal) && !several;
                if kept.purpose != Purpose::Transfer {
                    rules.hold(Rule::ServiceKeepsOneWorking, !works, || {
                        format!(
                            "{} switches off {principal}, which a device works with",
                            job_name(at.job)
                        )
                    });
                }
                let later = done_later(&self.journal, kept.number, |done| done == principal)
                    .filter(|_| recovers && !several);
                rules.hold(Rule::DoneStaysDone, later.is_none(), || {
                    let later = later.map(job_name).unwrap_or_default();
                    format!(
                        "{} switches off {principal}, with which {later} is done",
                        job_name(at.job)
                    )
                });
            }
            Ask::Issue(asked) => {
                // To take a claim back it is asked for again, and nobody gets it.
                if !is_asked_now(kept, asked.idempotency) {
                    return;
                }
                if kept.purpose == Purpose::Transfer {
                    let active: Vec<&str> = cloud
                        .active(&asked.serial)
                        .iter()
                        .filter(|own| own.made < began)
                        .map(|own| own.id.as_str())
                        .collect();
                    rules.hold(Rule::OldBeforeNew, active.is_empty(), || {
                        format!(
                            "{} asks for a claim while {active:?} are active",
                            job_name(at.job)
                        )
                    });
                }
                let several = self
                    .devices
                    .iter()
                    .filter(|device| serial(device.spec.serial) == asked.serial)
                    .count()
                    > 1;
                if recovers && !several {
                    let later = done_later(&self.journal, kept.number, |done| {
                        cloud.whose(done).as_ref() == Some(&asked.serial)
                    });
                    rules.hold(Rule::DoneStaysDone, later.is_none(), || {
                        let later = later.map(job_name).unwrap_or_default();
                        format!(
                            "{} asks for a claim for a device that {later} brought online",
                            job_name(at.job)
                        )
                    });
                }
                // A key that made its claim makes no other.
                let repeated = cloud
                    .claims
                    .iter()
                    .any(|issued| issued.request.idempotency == asked.idempotency);
                let over =
                    !repeated && matches!(kept.finished(), Some(OutcomeRecord::Failed { undone: true, .. }));
                rules.hold(Rule::UndoneIsUndone, !over, || {
                    format!(
                        "{} gets a claim after it said that all is undone",
                        job_name(at.job)
                    )
                });
            }
            _ => {}
        }
    }

    /// An operation of a command reaches a device.
    pub(super) fn check_command(&mut self, at: At, index: usize, command: &Command) {
        let of = kind(command);
        let secret = carries_secret(of);
        let opens = matches!(command, Command::Open { pop: Some(_), .. });
        if !secret && !opens {
            return;
        }
        let Some(post) = self.post(at) else {
            return;
        };
        let known = if post.start == Start::Anew {
            Some(self.devices[post.label].spec.scheme)
        } else {
            self.journal.get(&at.job).and_then(proven_scheme)
        };
        let device = &self.devices[index];
        let (offers, session) = (device.scheme(), device.session);
        if secret {
            self.rules
                .hold(Rule::SecretsToTheProven, session && offers > 0, || {
                    format!(
                        "{} sends {of:?} to {}, which proved nothing",
                        job_name(at.job),
                        called(index)
                    )
                });
        }
        self.rules.hold(
            Rule::NoDowngrade,
            known.is_none_or(|known| offers >= known),
            || {
                format!(
                    "{} does {of:?} with {}, which offers security {offers} and should have {}",
                    job_name(at.job),
                    called(index),
                    known.unwrap_or_default()
                )
            },
        );
    }

    /// A device is about to carry a command out.
    pub(super) fn check_carried_out(&mut self, at: At, index: usize, command: &Command) {
        let Some(recovers) = self.post(at).map(|post| post.start != Start::Anew) else {
            return;
        };
        let device = &self.devices[index];
        match command {
            Command::SendClaim { claim, .. } => {
                let issued = self
                    .clouds
                    .iter()
                    .flat_map(|cloud| &cloud.claims)
                    .find(|issued| issued.id == claim.id);
                let Some(asked) = issued.map(|issued| &issued.request) else {
                    return;
                };
                let holds = match asked.key_sha256 {
                    Some(key) => key == device.key() && asked.serial == device.serial(),
                    None => true,
                };
                let serial = asked.serial.clone();
                self.rules.hold(Rule::ClaimToTheAccepted, holds, || {
                    format!(
                        "{} gives a claim for {serial} to {}, which states {}",
                        job_name(at.job),
                        called(index),
                        device.serial()
                    )
                });
            }
            Command::ResetNetwork => {
                let kept = self.journal.get(&at.job);
                // Beside a device that worked before the job began stands a person who wants just that, now as then.
                let visit = self.post(at).is_some_and(|post| post.start == Start::Resumed);
                let began = kept.map_or(0, |kept| kept.began);
                let works = device.wifi == Wifi::Joined
                    && device.credential.as_ref().is_some_and(|(cloud, id)| {
                        let cloud = &self.clouds[*cloud];
                        let earlier = cloud.credentials().any(|own| own.id == *id && own.made < began);
                        cloud.is_active(id) && cloud.is_online(id) && !(visit && earlier)
                    });
                self.rules
                    .hold(Rule::RecoveryKeepsTheNetwork, !(works && recovers), || {
                        format!(
                            "{} takes {} off its network, which works",
                            job_name(at.job),
                            called(index)
                        )
                    });
            }
            _ => {}
        }
    }

    /// A device refused a proof of possession.
    pub(super) fn check_wrong_pop(&mut self, at: At, index: usize) {
        let Some(post) = self.post_mut(at) else {
            return;
        };
        let wrong = post.wrong_pops.entry(index).or_default();
        *wrong += 1;
        let holds = *wrong < LOCKS_AFTER;
        self.rules.hold(Rule::NoLockOut, holds, || {
            format!(
                "{} locks {} with wrong proofs of possession",
                job_name(at.job),
                called(index)
            )
        });
    }
}

/// What the device that a job is at proved first, over all of its runs.
fn first_identity(kept: &Kept) -> Option<(Serial, Fingerprint)> {
    let mut at: Option<&PeripheralId> = None;
    let mut first = None;
    for step in &kept.steps {
        match step {
            Step::Started { peripheral, .. } => {
                if at != Some(peripheral) {
                    first = None;
                }
                at = Some(peripheral);
            }
            Step::Identified { identity, .. } if first.is_none() => {
                first = Some((identity.serial.clone(), identity.key_sha256));
            }
            _ => {}
        }
    }
    first
}

/// Whether a claim is asked for to be used: under a key that this run of the job wrote down.
fn is_asked_now(kept: &Kept, key: Uuid) -> bool {
    let run = kept.steps.iter().rev();
    let mut run = run.take_while(|step| !matches!(step, Step::Started { .. }));
    run.any(|step| matches!(step, Step::Claiming { idempotency, .. } if *idempotency == key))
}

/// The scheme over which the device that a job is at proved the proof of possession.
fn proven_scheme(kept: &Kept) -> Option<u8> {
    let mut at: Option<&PeripheralId> = None;
    let mut most = None;
    for step in &kept.steps {
        match step {
            Step::Started { peripheral, .. } => {
                if at != Some(peripheral) {
                    most = None;
                }
                at = Some(peripheral);
            }
            Step::Evidence { evidence } => {
                if let Fact::PossessionProven { scheme } = &evidence.fact {
                    most = most.max(scheme.split(' ').nth(1).and_then(|scheme| scheme.parse().ok()));
                }
            }
            _ => {}
        }
    }
    most
}
