//! The registry as AWS IoT's control plane shows and changes it, with the refusals that AWS documents.
//!
//! A certificate hangs on one thing at most here, as with AWS's EXCLUSIVE_THING.

use std::collections::BTreeMap;

use tokio::time::{Duration, Instant};

use super::{Certificate, CertificateStatus, Claim, DeviceKeys, Purpose, Registry, State, Thing};
use crate::ca::Identity;
use crate::cloud::aws::Refusal;
use crate::cloud::random_name;

/// A thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ThingRecord {
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// A permanent certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateRecord {
    pub(crate) id: String,
    pub(crate) pem: String,
    pub(crate) status: CertificateStatus,
    pub(crate) created_at: i64,
    pub(crate) changed_at: i64,
}

/// Whether a device is online, and since when, or when it was last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectionRecord {
    pub(crate) connected: bool,
    pub(crate) at: i64,
    /// The thing that its certificate belongs to; a claim's belongs to none.
    pub(crate) thing: Option<String>,
}

impl Registry {
    /// Takes `identity` as a claim for no device in particular. Gives when it ends, in Unix seconds.
    pub(crate) fn free_claim(&self, identity: &Identity) -> Result<i64, Refusal> {
        let id = random_name().ok_or_else(Refusal::internal)?;
        let life = self.0.faults.now().claim_life_ms;
        let life = life.map_or(self.0.claim_life, Duration::from_millis);
        let (issued, issued_at) = (Instant::now(), self.now());
        if let Some(witness) = &self.0.witness {
            witness.saw(identity.private_key.reveal());
        }
        let expires_at = issued_at.saturating_add_unsigned(life.as_secs());
        let claim = Claim {
            serial: None,
            purpose: Purpose::New,
            keys: DeviceKeys::default(),
            certificate: identity.certificate.clone(),
            // AWS gives a claim's key once.
            key: None,
            issued_at,
            expires_at,
            issued,
            deadline: if self.0.faults.expires() {
                issued
            } else {
                issued + life
            },
            shared: false,
            used: false,
            retired: false,
            principal: None,
            events: Vec::new(),
        };
        self.state().claims.insert(id, claim);
        self.changed();
        Ok(expires_at)
    }

    /// A thing as an earlier owner of the account may have left it; one that is there is not touched.
    pub fn import_thing(&self, name: &str, attributes: BTreeMap<String, String>) {
        // That there is another of this name is the refusal that is ignored.
        let _ = self.create_thing(name, attributes);
    }

    pub(crate) fn thing(&self, name: &str) -> Result<ThingRecord, Refusal> {
        let state = self.state();
        let thing = state.thing(name)?;
        Ok(thing.record(name))
    }

    /// By name.
    pub(crate) fn things(&self) -> Vec<ThingRecord> {
        let state = self.state();
        state
            .things
            .iter()
            .map(|(name, thing)| thing.record(name))
            .collect()
    }

    /// Does nothing where the same thing is there already.
    pub(crate) fn create_thing(
        &self,
        name: &str,
        attributes: BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        if let Some(there) = state.things.get(name) {
            return if there.attributes == attributes {
                Ok(())
            } else {
                Err(Refusal::exists(format!(
                    "Thing {name} already exists in account with different attributes"
                )))
            };
        }
        let thing = Thing {
            serial: name.into(),
            version: 1,
            attributes,
            released: None,
        };
        state.things.insert(name.into(), thing);
        drop(state);
        self.changed();
        Ok(())
    }

    /// Merged over what is there, or in its place; an empty value takes an attribute away.
    pub(crate) fn update_thing(
        &self,
        name: &str,
        attributes: BTreeMap<String, String>,
        merge: bool,
        version: Option<u64>,
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        state.is_of_version(name, version)?;
        let thing = state.things.get_mut(name).ok_or_else(|| no_thing(name))?;
        if merge {
            thing.attributes.extend(attributes);
        } else {
            thing.attributes = attributes;
        }
        thing.attributes.retain(|_, value| !value.is_empty());
        thing.version += 1;
        drop(state);
        self.changed();
        Ok(())
    }

    /// Succeeds where there is no such thing.
    pub(crate) fn delete_thing(&self, name: &str, version: Option<u64>) -> Result<(), Refusal> {
        let mut state = self.state();
        if !state.things.contains_key(name) {
            return Ok(());
        }
        if !state.principals(name).is_empty() {
            return Err(Refusal::invalid(format!(
                "Cannot delete. Thing {name} is still attached to one or more principals"
            )));
        }
        state.is_of_version(name, version)?;
        state.things.remove(name);
        state.shadows.retain(|(thing, _), _| thing != name);
        for device in state.devices.values_mut() {
            device.thing.take_if(|thing| thing == name);
        }
        drop(state);
        self.changed();
        Ok(())
    }

    /// The ids of a thing's certificates, oldest first.
    pub(crate) fn thing_principals(&self, name: &str) -> Result<Vec<String>, Refusal> {
        let state = self.state();
        state.thing(name)?;
        let principals = state.principals(name).into_iter();
        Ok(principals.map(|(id, _)| id.clone()).collect())
    }

    pub(crate) fn principal_things(&self, id: &str) -> Result<Vec<String>, Refusal> {
        let state = self.state();
        Ok(state.made(id)?.thing.iter().cloned().collect())
    }

    pub(crate) fn attach_thing(&self, name: &str, id: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        state.thing(name)?;
        let made = state.made_mut(id)?;
        match &made.thing {
            Some(own) if own != name => {
                return Err(Refusal::invalid(format!(
                    "Principal {id} is attached to another thing exclusively"
                )));
            }
            // Also one that was about to leave.
            Some(_) => made.leaves = None,
            None => {
                made.thing = Some(name.into());
                state.touched(name);
            }
        }
        drop(state);
        self.changed();
        Ok(())
    }

    /// Asynchronous, as on AWS: the certificate hangs on the thing for a while yet.
    pub(crate) fn detach_thing(&self, name: &str, id: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        state.thing(name)?;
        let leaves = Instant::now() + self.0.detach_delay;
        let made = state.made_mut(id)?;
        if made.thing.as_deref() != Some(name) {
            return Err(Refusal::not_found(format!(
                "The principal is not attached to thing {name}"
            )));
        }
        let leaves = *made.leaves.get_or_insert(leaves);
        drop(state);
        self.changed();
        self.wake_at(leaves);
        Ok(())
    }

    pub(crate) fn certificate(&self, id: &str) -> Result<CertificateRecord, Refusal> {
        Ok(self.state().made(id)?.record(id))
    }

    /// Oldest first.
    pub(crate) fn certificates(&self) -> Vec<CertificateRecord> {
        let state = self.state();
        let mut all: Vec<_> = state.certificates.iter().collect();
        all.sort_by_key(|(_, made)| made.order);
        all.into_iter().map(|(id, made)| made.record(id)).collect()
    }

    pub(crate) fn set_certificate_status(&self, id: &str, status: CertificateStatus) -> Result<(), Refusal> {
        let at = self.now();
        let mut state = self.state();
        let made = state.made_mut(id)?;
        if made.status != status {
            made.status = status;
            made.changed_at = at;
        }
        // One that waited for its registration does so no longer.
        state.ownership.retain(|_, token| token.certificate != id);
        drop(state);
        self.changed();
        Ok(())
    }

    /// `force` goes over attached policies, and over nothing else.
    pub(crate) fn delete_certificate(&self, id: &str, force: bool) -> Result<(), Refusal> {
        let mut state = self.state();
        let made = state.made(id)?;
        if made.status == CertificateStatus::Active {
            return Err(Refusal::certificate_state(
                "Certificate must be deactivated (not ACTIVE) before deletion.",
            ));
        }
        if made.thing.is_some() {
            return Err(Refusal::delete_conflict(format!(
                "Things must be detached before deletion ({id})"
            )));
        }
        if !made.policies.is_empty() && !force {
            return Err(Refusal::delete_conflict(format!(
                "Certificate policies must be detached before deletion ({id})"
            )));
        }
        state.certificates.remove(id);
        drop(state);
        self.changed();
        Ok(())
    }

    /// Names, in their order.
    pub(crate) fn policies(&self) -> Vec<String> {
        self.state().policies.keys().cloned().collect()
    }

    /// The document.
    pub(crate) fn policy(&self, name: &str) -> Result<String, Refusal> {
        let state = self.state();
        state.policies.get(name).cloned().ok_or_else(|| no_policy(name))
    }

    pub(crate) fn create_policy(&self, name: &str, document: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.policies.contains_key(name) {
            return Err(Refusal::exists(format!(
                "Policy cannot be created - name already exists (name={name})"
            )));
        }
        state.policies.insert(name.into(), document.into());
        drop(state);
        self.changed();
        Ok(())
    }

    pub(crate) fn delete_policy(&self, name: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        if !state.policies.contains_key(name) {
            return Err(no_policy(name));
        }
        if state
            .certificates
            .values()
            .any(|made| made.policies.contains(name))
        {
            return Err(Refusal::delete_conflict(format!(
                "The policy cannot be deleted as the policy is attached to one or more principals (name={name})"
            )));
        }
        state.policies.remove(name);
        drop(state);
        self.changed();
        Ok(())
    }

    pub(crate) fn attach_policy(&self, name: &str, id: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        if !state.policies.contains_key(name) {
            return Err(no_policy(name));
        }
        state.made_mut(id)?.policies.insert(name.into());
        drop(state);
        self.changed();
        Ok(())
    }

    pub(crate) fn detach_policy(&self, name: &str, id: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        if !state.policies.contains_key(name) {
            return Err(no_policy(name));
        }
        state.made_mut(id)?.policies.remove(name);
        drop(state);
        self.changed();
        Ok(())
    }

    /// The documents of the policies that a certificate has.
    pub(crate) fn policies_on(&self, id: &str) -> Vec<String> {
        let state = self.state();
        let made = state.certificates.get(id);
        let names = made.into_iter().flat_map(|made| &made.policies);
        names
            .filter_map(|name| state.policies.get(name).cloned())
            .collect()
    }

    pub(crate) fn attached_policies(&self, id: &str) -> Result<Vec<String>, Refusal> {
        Ok(self.state().made(id)?.policies.iter().cloned().collect())
    }

    /// The ids of the certificates that have it.
    pub(crate) fn policy_targets(&self, name: &str) -> Result<Vec<String>, Refusal> {
        let state = self.state();
        if !state.policies.contains_key(name) {
            return Err(no_policy(name));
        }
        let has = |(_, made): &(&String, &Certificate)| made.policies.contains(name);
        Ok(state
            .certificates
            .iter()
            .filter(has)
            .map(|(id, _)| id.clone())
            .collect())
    }

    /// What is known of the client of this name; none where it was never online.
    pub(crate) fn connection(&self, client_id: &str) -> Option<ConnectionRecord> {
        let state = self.state();
        let client = state.clients.get(client_id)?;
        let connection = client.connection.as_ref();
        let since = connection.map(|connection| connection.at);
        let last = client.last_disconnected_at.or(client.last_connected_at);
        let certificate = connection.and_then(|connection| state.certificates.get(&connection.principal));
        Some(ConnectionRecord {
            connected: since.is_some(),
            at: since.or(last)?,
            thing: certificate.and_then(|made| made.thing.clone()),
        })
    }
}

impl State {
    pub(super) fn thing(&self, name: &str) -> Result<&Thing, Refusal> {
        self.things.get(name).ok_or_else(|| no_thing(name))
    }

    fn made(&self, id: &str) -> Result<&Certificate, Refusal> {
        self.certificates.get(id).ok_or_else(|| no_certificate(id))
    }

    fn made_mut(&mut self, id: &str) -> Result<&mut Certificate, Refusal> {
        self.certificates.get_mut(id).ok_or_else(|| no_certificate(id))
    }

    fn is_of_version(&self, name: &str, expected: Option<u64>) -> Result<(), Refusal> {
        let version = self.thing(name)?.version;
        match expected {
            Some(expected) if expected != version => Err(Refusal::version_conflict(format!(
                "The version of {name} is {version} and not {expected}"
            ))),
            _ => Ok(()),
        }
    }
}

impl Thing {
    fn record(&self, name: &str) -> ThingRecord {
        ThingRecord {
            name: name.into(),
            version: self.version,
            attributes: self.attributes.clone(),
        }
    }
}

impl Certificate {
    fn record(&self, id: &str) -> CertificateRecord {
        CertificateRecord {
            id: id.into(),
            pem: self.pem.clone(),
            status: self.status,
            created_at: self.created_at,
            changed_at: self.changed_at,
        }
    }
}

fn no_thing(name: &str) -> Refusal {
    Refusal::not_found(format!("Thing {name} not found."))
}

fn no_certificate(id: &str) -> Refusal {
    Refusal::not_found(format!("The certificate {id} does not exist."))
}

fn no_policy(name: &str) -> Refusal {
    Refusal::not_found(format!("Policy not found (name={name})"))
}
