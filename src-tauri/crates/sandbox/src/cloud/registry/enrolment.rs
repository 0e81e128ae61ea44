//! The MQTT server's side: who may connect, what a claim leads to, who is online.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::view::EventView;
use super::{
    Certificate, CertificateStatus, Claim, Connection, EventKind, Ownership, Purpose, Registry, State, Thing,
};
use crate::ca::Signed;
use crate::cloud::config::Owner;
use crate::cloud::mqtt::{Plan, PolicyPlan, Rejection, ThingPlan};
use crate::cloud::random_name;

/// What a client certificate is good for when it connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admission {
    /// A claim that is alive.
    Claim(String),
    /// A permanent certificate and its thing, if the template made one.
    Device {
        principal: String,
        thing: Option<String>,
    },
    /// Nothing.
    Refused,
}

/// A RegisterThing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registration {
    pub(crate) thing: Option<String>,
    pub(crate) device_configuration: BTreeMap<String, String>,
}

impl Registry {
    /// Looks at a certificate that TLS has checked. A dead claim that knocks is an event of that claim.
    pub(crate) fn admit(&self, certificate_id: &str) -> Admission {
        let at = self.now();
        let never_online = self.0.faults.now().never_online;
        let mut state = self.state();
        if let Some(certificate) = state.certificates.get(certificate_id) {
            return if certificate.status == CertificateStatus::Active && !never_online {
                Admission::Device {
                    principal: certificate_id.into(),
                    thing: certificate.thing.clone(),
                }
            } else {
                Admission::Refused
            };
        }
        let mut claims = state.claims.iter_mut();
        match claims.find(|(_, claim)| claim.certificate.id == certificate_id) {
            None => Admission::Refused,
            Some((id, claim)) if claim.is_alive() => Admission::Claim(id.clone()),
            Some((_, claim)) => {
                claim.push_death(at);
                drop(state);
                self.changed();
                Admission::Refused
            }
        }
    }

    /// Whether an open connection must be closed now. A claim that merely ran out may stay until it speaks.
    pub(crate) fn must_close(&self, admission: &Admission) -> bool {
        let state = self.state();
        match admission {
            Admission::Claim(id) => state.claims.get(id).is_none_or(|claim| claim.retired),
            Admission::Device { principal, .. } => {
                let made = state.certificates.get(principal);
                made.is_none_or(|made| made.status != CertificateStatus::Active)
            }
            Admission::Refused => true,
        }
    }

    /// Whether the claim still works. A word from a dead one is an event.
    pub(crate) fn claim_may_speak(&self, claim_id: &str) -> bool {
        let at = self.now();
        let mut state = self.state();
        let Some(claim) = state.claims.get_mut(claim_id) else {
            return false;
        };
        if claim.is_alive() {
            return true;
        }
        claim.push_death(at);
        drop(state);
        self.changed();
        false
    }

    /// A device connected with the claim.
    pub(crate) fn cloud_reached(&self, claim_id: &str) {
        self.claim_event(claim_id, EventView::new(EventKind::CloudReached, self.now()));
    }

    /// Something that a claim's connection asked for was refused.
    pub(crate) fn refused(&self, claim_id: &str, code: &str, message: &str) {
        self.claim_event(claim_id, EventView::refused(self.now(), code, message));
    }

    /// Keeps a new certificate as PENDING_ACTIVATION and gives its ownership token.
    /// None if the claim is dead or the system gives no randomness.
    pub(crate) fn certificate_created(&self, claim_id: &str, signed: &Signed) -> Option<String> {
        let token = random_name()?;
        let at = self.now();
        let mut state = self.state();
        let claim = state.claims.get_mut(claim_id).filter(|claim| claim.is_alive())?;
        claim.push(EventView::of(EventKind::IdentityIssued, at, &signed.id, None));
        let direct = claim.serial.is_none();
        state.made += 1;
        let certificate = Certificate {
            pem: signed.pem.clone(),
            created_at: at,
            changed_at: at,
            direct,
            status: CertificateStatus::PendingActivation,
            claim: claim_id.into(),
            thing: None,
            leaves: None,
            policies: BTreeSet::new(),
            order: state.made,
            last_online: None,
        };
        state.certificates.insert(signed.id.clone(), certificate);
        let deadline = Instant::now() + self.0.ownership_token_life;
        let ownership = Ownership {
            certificate: signed.id.clone(),
            deadline,
        };
        state.ownership.insert(fingerprint(&token), ownership);
        drop(state);
        self.changed();
        Some(token)
    }

    /// The certificate that an ownership token stands for.
    pub(crate) fn owned(&self, token: &str) -> Option<String> {
        self.state()
            .ownership
            .get(&fingerprint(token))
            .map(|owned| owned.certificate.clone())
    }

    /// What the hook asks about a claim: its serial, if it has one, and whether it was used.
    pub(crate) fn claim_for_hook(&self, claim_id: &str) -> Option<(Option<String>, bool)> {
        self.state()
            .claims
            .get(claim_id)
            .map(|claim| (claim.serial.clone(), claim.used))
    }

    /// Whether the maker's import has this device, and it is not another organisation's.
    pub(crate) fn may_be_ours(&self, serial: &str) -> bool {
        let state = self.state();
        let device = state.devices.get(serial);
        device.is_some_and(|device| device.import.owner != Owner::Other)
    }

    /// Does what a template said in one step, or nothing of it: thing, policies, certificate, claim used up, token gone.
    /// A claim for no device in particular is for `serial` from now on.
    pub(crate) fn register(
        &self,
        claim_id: &str,
        token: &str,
        serial: &str,
        plan: Plan,
    ) -> Result<Registration, Rejection> {
        let at = self.now();
        let mut state = self.state();
        let key = fingerprint(token);
        let owned = state.ownership.get(&key).ok_or_else(Rejection::ownership_token)?;
        let principal = owned.certificate.clone();
        let claim = state
            .claims
            .get(claim_id)
            .filter(|claim| !claim.used && !claim.retired);
        let claim = claim.ok_or_else(|| Rejection::access_denied("The claim was used or taken back."))?;
        let serial = claim.serial.clone().unwrap_or_else(|| serial.to_owned());
        let new_owner = claim.purpose == Purpose::Transfer;
        let name = plan.thing.as_ref().map(|thing| thing.name.clone());
        let policies = state.policies_of(plan.policies, self.0.faults.now().policies_missing)?;
        if let Some(thing) = plan.thing {
            state.put_thing(&serial, thing, new_owner)?;
        }
        if let Some(made) = state.certificates.get_mut(&principal) {
            made.status = plan.certificate_status;
            made.changed_at = at;
            made.thing.clone_from(&name);
            made.policies.extend(policies.keys().cloned());
        }
        state.policies.extend(policies);
        state.ownership.remove(&key);
        if let Some(device) = state.devices.get_mut(&serial) {
            device.import.owner = Owner::Own;
            if name.is_some() {
                device.thing.clone_from(&name);
            }
        }
        let own = state.claims.get_mut(claim_id).filter(|claim| !claim.shared);
        if let Some(claim) = own {
            claim.used = true;
            claim.serial = Some(serial);
            claim.key = None;
            claim.push(EventView::of(
                EventKind::Registered,
                at,
                &principal,
                name.as_deref(),
            ));
            claim.principal = Some(principal);
        }
        drop(state);
        self.changed();
        Ok(Registration {
            thing: name,
            device_configuration: plan.device_configuration,
        })
    }

    /// A client is connected with this certificate, a claim's or a permanent one.
    pub(crate) fn connected(&self, session: u64, client_id: &str, principal: &str) {
        let at = self.now();
        let mut state = self.state();
        if let Some(made) = state.certificates.get_mut(principal) {
            made.last_online = Some(Instant::now());
        }
        let client = state.clients.entry(client_id.to_owned()).or_default();
        client.last_connected_at = Some(at);
        client.connection = Some(Connection {
            session,
            principal: principal.into(),
            at,
            data_seen: false,
        });
        state.presence(EventKind::Online, at, principal);
        drop(state);
        self.changed();
    }

    /// It sent data. Only the first of a connection is news.
    pub(crate) fn data_seen(&self, session: u64, client_id: &str, principal: &str) {
        let at = self.now();
        let mut state = self.state();
        let connection = state
            .clients
            .get_mut(client_id)
            .and_then(|client| client.connection.as_mut());
        let first = connection.filter(|connection| connection.session == session && !connection.data_seen);
        let Some(connection) = first else { return };
        connection.data_seen = true;
        state.presence(EventKind::DataSeen, at, principal);
        drop(state);
        self.changed();
    }

    /// Its connection ended. A newer connection of the same client is not touched, and one with the same certificate
    /// makes the end of the older no news: the device is online.
    pub(crate) fn disconnected(&self, session: u64, client_id: &str, principal: &str) {
        let at = self.now();
        let mut state = self.state();
        let known = state.clients.get_mut(client_id);
        let taken_over = known.is_some_and(|client| {
            let ended = client
                .connection
                .take_if(|connection| connection.session == session);
            if ended.is_some() {
                client.last_disconnected_at = Some(at);
            }
            client
                .connection
                .as_ref()
                .is_some_and(|newer| newer.principal == principal)
        });
        if !taken_over {
            state.presence(EventKind::Offline, at, principal);
        }
        drop(state);
        self.changed();
    }

    fn claim_event(&self, claim_id: &str, event: EventView) {
        if let Some(claim) = self.state().claims.get_mut(claim_id) {
            claim.push(event);
        }
        self.changed();
    }
}

impl State {
    pub(super) fn put_thing(
        &mut self,
        serial: &str,
        plan: ThingPlan,
        new_owner: bool,
    ) -> Result<(), Rejection> {
        match self.things.entry(plan.name.clone()) {
            Entry::Vacant(place) => {
                place.insert(Thing {
                    serial: serial.into(),
                    version: 1,
                    attributes: plan.attributes,
                    released: None,
                });
            }
            Entry::Occupied(mut place) => {
                let thing = place.get_mut();
                thing.attributes = plan.over(&thing.attributes)?;
                thing.version += 1;
                // What the last owner released is not the new owner's to see.
                if new_owner {
                    thing.released = None;
                }
            }
        }
        Ok(())
    }

    /// The policies that a template gives, with their documents. One that it names must be there; one that it spells
    /// out is called after its content.
    pub(super) fn policies_of(
        &self,
        plans: Vec<PolicyPlan>,
        none_there: bool,
    ) -> Result<BTreeMap<String, String>, Rejection> {
        let found = plans.into_iter().map(|plan| match plan {
            PolicyPlan::Document(document) => Ok((hex::encode(fingerprint(&document)), document)),
            PolicyPlan::Named(name) => match self.policies.get(&name).filter(|_| !none_there) {
                Some(document) => Ok((name, document.clone())),
                None => Err(Rejection::provisioning_failed(&format!(
                    "ResourceRegistrationFailureException: policy {name} does not exist."
                ))),
            },
        });
        found.collect()
    }

    /// News of a connection, for the claims that led to its certificate; presence events name it.
    fn presence(&mut self, kind: EventKind, at: i64, principal: &str) {
        let thing = self
            .certificates
            .get(principal)
            .and_then(|made| made.thing.clone());
        let led = self
            .claims
            .values_mut()
            .filter(|claim| claim.principal.as_deref() == Some(principal));
        for claim in led {
            claim.push(EventView::of(kind, at, principal, thing.as_deref()));
        }
    }
}

impl Claim {
    fn push_death(&mut self, at: i64) {
        let (code, message) = match self.retired {
            true => ("ClaimRetired", "The claim was taken back."),
            false => ("ClaimExpired", "The claim's life is over."),
        };
        self.push(EventView::refused(at, code, message));
    }
}

fn fingerprint(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
