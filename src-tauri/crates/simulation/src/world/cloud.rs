//! An organisation's cloud as it is: what it issued, what came of it, which credentials devices have, who is online.

use std::collections::{BTreeMap, BTreeSet};

use commission::claim::{Claim, ClaimId, ClaimKind, ClaimRequest, CleanupHandle, Endpoint, Purpose, Scope};
use commission::device::{Fingerprint, Firmware, Serial};
use commission::evidence::{
    Evidence, Fact, Observation, Owner, Principal, PrincipalStatus, Snapshot, Source, Thing,
};
use commission::fault::CloudError;
use commission::flow::JobId;
use commission::presence::{self, By, Connection, Looks, Whose, whose};
use commission::secret::PrivateKeyPem;
use commission::time::{Moment, UnixTime};

use crate::scene::{CloudSpec, Tells};

use super::{moment, unix};

/// A claim as the cloud knows it.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) id: ClaimId,
    pub(super) cleanup: CleanupHandle,
    pub(super) request: ClaimRequest,
    pub(super) job: JobId,
    pub(super) issued: u64,
    pub(super) expires: u64,
    pub(super) retired: bool,
    pub(super) used: bool,
    pub(super) events: Vec<Evidence>,
}

impl Issued {
    /// Whether a device could still use it.
    pub(super) const fn lives(&self, now: u64) -> bool {
        !self.used && !self.retired && now < self.expires
    }
}

/// A credential as the cloud knows it.
#[derive(Debug)]
pub(super) struct Credential {
    pub(super) id: String,
    pub(super) active: bool,
    /// The claim that it came from; none where a device had it before, or came by it otherwise.
    pub(super) claim: Option<usize>,
    pub(super) made: u64,
    /// It was online with it.
    pub(super) was_online: bool,
}

/// A session that stands, or stood last.
#[derive(Clone, Debug)]
pub(super) struct Presence {
    /// By which credential; none for the session of a claim.
    pub(super) credential: Option<String>,
    pub(super) since: u64,
    pub(super) stands: bool,
}

/// A registered device.
#[derive(Debug, Default)]
pub(super) struct Registration {
    pub(super) credentials: Vec<Credential>,
    pub(super) presence: Option<Presence>,
    version: u64,
}

/// What was true of one serial, from when on: its only active credential, if a device works with it.
#[derive(Debug, Default)]
pub(super) struct Truth(Vec<(u64, Option<String>)>);

impl Truth {
    /// Whether at some time since then this was the one that a device worked with.
    pub(super) fn held_since(&self, then: u64, credential: &str) -> bool {
        let holds = |one: &Option<String>| one.as_deref() == Some(credential);
        let mut standing = None;
        for (from, one) in &self.0 {
            if *from <= then {
                standing = Some(one);
            } else if holds(one) {
                return true;
            }
        }
        standing.is_some_and(holds)
    }

    pub(super) fn note(&mut self, now: u64, one: Option<String>) {
        if self.0.last().map(|(_, last)| last) != Some(&one) {
            self.0.push((now, one));
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Cloud {
    pub(super) number: usize,
    pub(super) spec: CloudSpec,
    /// Keys that makers registered, by serial.
    pub(super) known: BTreeMap<Serial, Fingerprint>,
    pub(super) self_enrolling: BTreeSet<Serial>,
    /// Devices that belong to the other organisation.
    pub(super) foreign: BTreeSet<Serial>,
    pub(super) claims: Vec<Issued>,
    pub(super) registrations: BTreeMap<Serial, Registration>,
    pub(super) released: BTreeSet<String>,
    pub(super) truth: BTreeMap<Serial, Truth>,
    made: u64,
}

impl Cloud {
    pub(super) fn new(number: usize, spec: CloudSpec) -> Self {
        Self {
            number,
            spec,
            known: BTreeMap::new(),
            self_enrolling: BTreeSet::new(),
            foreign: BTreeSet::new(),
            claims: Vec::new(),
            registrations: BTreeMap::new(),
            released: BTreeSet::new(),
            truth: BTreeMap::new(),
            made: 0,
        }
    }

    /// What people call it.
    pub(super) const fn called(&self) -> &'static str {
        if self.number == 0 { "Harbour" } else { "Foreland" }
    }

    /// Makes an active credential.
    pub(super) fn enrol(&mut self, serial: &Serial, claim: Option<usize>, now: u64) -> String {
        self.made += 1;
        let id = format!("{}-{}", self.called(), self.made);
        let registration = self.registrations.entry(serial.clone()).or_default();
        registration.version += 1;
        registration.credentials.push(Credential {
            id: id.clone(),
            active: true,
            claim,
            made: now,
            was_online: false,
        });
        id
    }

    /// Whether a credential may connect.
    pub(super) fn is_active(&self, id: &str) -> bool {
        self.credentials()
            .any(|credential| credential.active && credential.id == id)
    }

    pub(super) fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.registrations
            .values()
            .flat_map(|registration| &registration.credentials)
    }

    /// Whether a device is connected with this credential now.
    pub(super) fn is_online(&self, id: &str) -> bool {
        self.registrations.values().any(|registration| {
            registration
                .presence
                .as_ref()
                .is_some_and(|presence| presence.stands && presence.credential.as_deref() == Some(id))
        })
    }

    /// Whether a device was ever connected with this credential.
    pub(super) fn was_online(&self, id: &str) -> bool {
        self.credentials()
            .any(|credential| credential.id == id && credential.was_online)
    }

    /// The credentials of a serial that may connect.
    pub(super) fn active(&self, serial: &Serial) -> Vec<&Credential> {
        let registration = self.registrations.get(serial);
        registration
            .into_iter()
            .flat_map(|registration| &registration.credentials)
            .filter(|credential| credential.active)
            .collect()
    }

    /// A session of a device begins: with a credential, or with a claim under the registration's name.
    pub(super) fn connect(&mut self, serial: &Serial, credential: Option<&str>, now: u64) {
        let registration = self.registrations.entry(serial.clone()).or_default();
        for own in &mut registration.credentials {
            own.was_online |= credential == Some(own.id.as_str());
        }
        registration.presence = Some(Presence {
            credential: credential.map(Into::into),
            since: now,
            stands: true,
        });
    }

    /// Sessions with this credential end.
    pub(super) fn hang_up(&mut self, id: &str) {
        for registration in self.registrations.values_mut() {
            if let Some(presence) = &mut registration.presence
                && presence.credential.as_deref() == Some(id)
            {
                presence.stands = false;
            }
        }
    }

    /// Switches a credential off; whose it is.
    pub(super) fn switch_off(&mut self, id: &str) -> Option<Serial> {
        let (serial, registration) = self
            .registrations
            .iter_mut()
            .find(|(_, registration)| registration.credentials.iter().any(|own| own.id == id))?;
        let serial = serial.clone();
        registration.version += 1;
        for own in &mut registration.credentials {
            own.active &= own.id != id;
        }
        self.hang_up(id);
        Some(serial)
    }

    /// Whose a credential is.
    pub(super) fn whose(&self, id: &str) -> Option<Serial> {
        let holds = |registration: &Registration| registration.credentials.iter().any(|own| own.id == id);
        let found = self
            .registrations
            .iter()
            .find(|(_, registration)| holds(registration));
        found.map(|(serial, _)| serial.clone())
    }

    /// The claim that a credential came from.
    pub(super) fn claim_of(&self, id: &str) -> Option<usize> {
        self.credentials().find(|own| own.id == id)?.claim
    }

    /// The registration as its adapter shows it, with what earlier looks of the same program showed.
    pub(super) fn thing(&self, serial: &Serial, looks: &mut Looks, now: u64) -> Option<Thing> {
        let registration = self.registrations.get(serial)?;
        if registration.credentials.is_empty() {
            return None;
        }
        let status = |active: bool| {
            if active {
                PrincipalStatus::Active
            } else {
                PrincipalStatus::Inactive
            }
        };
        let credentials: Vec<presence::Credential<'_>> = registration
            .credentials
            .iter()
            .map(|own| presence::Credential {
                id: &own.id,
                status: status(own.active),
                active_since: Some(unix(own.made)),
            })
            .collect();
        let standing = registration.presence.as_ref();
        let connection = standing
            .filter(|standing| standing.stands)
            .map(|standing| Connection {
                since: Some(self.stated(standing.since)),
                by: match (&standing.credential, self.spec.tells) {
                    (_, Tells::Nothing) => By::Untold,
                    (None, _) => By::Foreign,
                    (Some(_), Tells::Own) => By::OneOfItsOwn,
                    (Some(id), Tells::Credential) => By::Told(id.clone()),
                },
            });
        looks.take(unix(now), &credentials, connection.as_ref(), true);
        let whose = connection
            .as_ref()
            .and_then(|connection| whose(connection, &credentials, looks));
        let (told, inferred) = match whose {
            Some(Whose::Told(id)) => (Some(id), None),
            Some(Whose::Inferred(id)) => (None, Some(id)),
            None => (None, None),
        };
        Some(Thing {
            name: serial.as_str().into(),
            version: registration.version,
            principals: registration
                .credentials
                .iter()
                .map(|own| Principal {
                    id: own.id.clone(),
                    status: status(own.active),
                })
                .collect(),
            connected: Some(connection.is_some()),
            connected_at: standing.map(|standing| self.stated(standing.since)),
            connected_principal: told,
            inferred_principal: inferred,
        })
    }

    /// The time that the cloud states for what happened then, which may be two minutes off where it says nothing else.
    fn stated(&self, then: u64) -> UnixTime {
        let exact = unix(then);
        if self.spec.tells != Tells::Nothing {
            return exact;
        }
        UnixTime(exact.0 - exact.0 * 7 % presence::LEEWAY)
    }

    /// What it knows of a device.
    pub(super) fn snapshot(&self, serial: &Serial, looks: &mut Looks, now: u64) -> Snapshot {
        Snapshot {
            thing: self.thing(serial, looks, now),
            ..self.import(serial)
        }
    }

    /// What it knows of a device, its registration apart.
    fn import(&self, serial: &Serial) -> Snapshot {
        Snapshot {
            known: self.spec.knows_keys.then(|| self.known.contains_key(serial)),
            identity_key_sha256: self.known.get(serial).copied().filter(|_| self.spec.knows_keys),
            min_firmware: Some(Firmware("1.2".into())),
            owner: if self.foreign.contains(serial) {
                Owner::Other
            } else if self.registrations.contains_key(serial) {
                Owner::Us
            } else {
                Owner::None
            },
            thing: None,
            self_enrolling: self.self_enrolling.contains(serial),
        }
    }

    /// Issues a claim, or answers with the one that lives under the same key; which.
    pub(super) fn issue(
        &mut self,
        request: &ClaimRequest,
        job: JobId,
        now: u64,
    ) -> Result<usize, CloudError> {
        let same = |issued: &&Issued| issued.request.idempotency == request.idempotency;
        let last = self.claims.iter().rev().find(same);
        let refused = |code: &str| {
            Err(CloudError::Refused {
                code: code.into(),
                message: String::new(),
            })
        };
        if let Some(issued) = last {
            if issued.lives(now) {
                return self.numbered(&issued.id).ok_or(CloudError::SignedOut);
            }
            // A key makes one claim: whoever comes with it after that comes late.
            return refused("claim-retired");
        }
        if !self.known.contains_key(&request.serial) {
            return refused("unknown-device");
        }
        if self.spec.strict {
            let known = self.import(&request.serial);
            if let (Some(key), Some(known)) = (request.key_sha256, known.identity_key_sha256)
                && key != known
            {
                return refused("clone-suspected");
            }
            if known.owner == Owner::Other && request.purpose != Purpose::Transfer {
                return refused("owned-by-other");
            }
            if request.purpose == Purpose::New && !self.active(&request.serial).is_empty() {
                return refused("already-enrolled");
            }
        }
        let number = self.claims.len();
        let name = format!("{}-claim-{}", self.called(), number + 1);
        self.claims.push(Issued {
            id: ClaimId(name.clone()),
            cleanup: CleanupHandle(format!("retire {name}")),
            request: request.clone(),
            job,
            issued: now,
            expires: now + self.spec.life * 1000,
            retired: false,
            used: false,
            events: Vec::new(),
        });
        Ok(number)
    }

    /// A claim as it is handed out, when its answer arrives.
    pub(super) fn claim(&self, number: usize, answered: u64, arrived: u64) -> Claim {
        let issued = &self.claims[number];
        Claim {
            id: issued.id.clone(),
            kind: ClaimKind::Certificate {
                chain_pem: "chain".into(),
                key: PrivateKeyPem::new("key"),
            },
            endpoint: Endpoint {
                host: self.called().into(),
                port: 8883,
            },
            ca_pem: "ca".into(),
            scope: Scope {
                template: "t".into(),
                parameters: BTreeMap::new(),
            },
            issued: moment(arrived.saturating_sub(answered.saturating_sub(issued.issued))),
            expires: moment(arrived + issued.expires.saturating_sub(answered)),
            issued_at: unix(issued.issued),
            cleanup: issued.cleanup.clone(),
        }
    }

    /// The number of a claim.
    pub(super) fn numbered(&self, id: &ClaimId) -> Option<usize> {
        self.claims.iter().position(|issued| issued.id == *id)
    }

    /// Tells a fact of a claim.
    pub(super) fn tell(&mut self, claim: usize, fact: Fact, now: u64) {
        self.claims[claim].events.push(Evidence {
            fact,
            source: Source::Cloud,
            at: Some(unix(now)),
        });
    }

    /// How an enrolment stands, with news after so many; none where there is none and the asker should wait.
    pub(super) fn observe(
        &mut self,
        id: &ClaimId,
        after: u64,
        looks: &mut Looks,
        now: u64,
    ) -> Option<Observation> {
        let Some(number) = self.numbered(id) else {
            // It forgets a claim only when that is long dead, and so it is as good as over.
            return Some(Observation {
                next: after,
                claim_over: true,
                ..Observation::default()
            });
        };
        self.infer(number, looks, now);
        let issued = &self.claims[number];
        let skipped = usize::try_from(after).unwrap_or(usize::MAX);
        let evidence: Vec<Evidence> = issued.events.iter().skip(skipped).cloned().collect();
        let over = !issued.used && !issued.lives(now);
        (!evidence.is_empty() || over).then(|| self.shown(number, evidence, over, looks, now))
    }

    /// How an enrolment stands, without news.
    pub(super) fn still(&self, id: &ClaimId, looks: &mut Looks, now: u64) -> Observation {
        self.numbered(id)
            .map(|number| self.shown(number, Vec::new(), false, looks, now))
            .unwrap_or_default()
    }

    /// A cloud that does not tell who is online has that told by its adapter, once it can be inferred.
    fn infer(&mut self, number: usize, looks: &mut Looks, now: u64) {
        let serial = self.claims[number].request.serial.clone();
        let Some(thing) = self.thing(&serial, looks, now) else {
            return;
        };
        let Some(principal) = thing.inferred_principal else {
            return;
        };
        let told = self.claims[number]
            .events
            .iter()
            .any(|evidence| matches!(evidence.fact, Fact::SeenOnline { .. }));
        if !told && self.claim_of(&principal) == Some(number) {
            let fact = Fact::SeenOnline {
                thing: Some(thing.name),
                principal: Some(principal),
            };
            self.claims[number].events.push(Evidence {
                fact,
                source: Source::Cloud,
                at: thing.connected_at,
            });
        }
    }

    fn shown(
        &self,
        number: usize,
        evidence: Vec<Evidence>,
        claim_over: bool,
        looks: &mut Looks,
        now: u64,
    ) -> Observation {
        let issued = &self.claims[number];
        Observation {
            evidence,
            next: u64::try_from(issued.events.len()).unwrap_or_default(),
            claim_over,
            thing: self.thing(&issued.request.serial, looks, now),
        }
    }
}

/// Calendar time as the cloud has it.
pub(super) const fn calendar(now: Moment) -> UnixTime {
    #[expect(clippy::cast_possible_wrap, reason = "a history lasts hours")]
    UnixTime(1_700_000_000 + now.since_start().as_secs() as i64)
}
