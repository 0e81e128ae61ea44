//! The part of a registry that outlives its cloud: things and their certificates. Claims are minutes long, and are not.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant};

use super::{Certificate, CertificateStatus, Client, Registry, Release, Thing};
use crate::cloud::config::Owner;

/// What is written down. No secret is in it: the registry holds none of a permanent identity.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    devices: BTreeMap<String, KeptDevice>,
    things: BTreeMap<String, KeptThing>,
    certificates: BTreeMap<String, KeptCertificate>,
    #[serde(default)]
    policies: BTreeMap<String, String>,
    made: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptDevice {
    owner: Owner,
    thing: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptThing {
    serial: String,
    version: u64,
    attributes: BTreeMap<String, String>,
    last_connected_at: Option<i64>,
    #[serde(default)]
    last_disconnected_at: Option<i64>,
    /// Under which claim, and when.
    released: Option<(String, i64)>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptCertificate {
    #[serde(default)]
    pem: String,
    #[serde(default)]
    created_at: i64,
    #[serde(default)]
    changed_at: i64,
    active: bool,
    #[serde(default)]
    direct: bool,
    #[serde(default)]
    revoked: bool,
    #[serde(default)]
    policies: BTreeSet<String>,
    claim: String,
    thing: Option<String>,
    /// In how many milliseconds it leaves the thing; time in which no cloud runs does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leaves_in_ms: Option<u64>,
    order: u64,
}

impl Registry {
    /// What is to be written down now.
    pub(crate) fn keep(&self) -> Kept {
        let state = self.state();
        let now = Instant::now();
        let devices = state.devices.iter().filter(|(_, device)| device.thing.is_some());
        let registered = state
            .certificates
            .iter()
            .filter(|(_, made)| made.status != CertificateStatus::PendingActivation);
        Kept {
            devices: devices
                .map(|(serial, device)| {
                    let (owner, thing) = (device.import.owner, device.thing.clone());
                    (serial.clone(), KeptDevice { owner, thing })
                })
                .collect(),
            things: state
                .things
                .iter()
                .map(|(name, thing)| {
                    let client = state.clients.get(name);
                    let kept = KeptThing {
                        serial: thing.serial.clone(),
                        version: thing.version,
                        attributes: thing.attributes.clone(),
                        last_connected_at: client.and_then(|client| client.last_connected_at),
                        last_disconnected_at: client.and_then(|client| client.last_disconnected_at),
                        released: thing.released.as_ref().map(|own| (own.claim.clone(), own.at)),
                    };
                    (name.clone(), kept)
                })
                .collect(),
            certificates: registered
                .map(|(id, made)| {
                    let kept = KeptCertificate {
                        pem: made.pem.clone(),
                        created_at: made.created_at,
                        changed_at: made.changed_at,
                        revoked: made.status == CertificateStatus::Revoked,
                        policies: made.policies.clone(),
                        direct: made.direct,
                        active: made.status == CertificateStatus::Active,
                        claim: made.claim.clone(),
                        thing: made.thing.clone(),
                        leaves_in_ms: made.leaves.map(|leaves| {
                            let left = leaves.saturating_duration_since(now).as_millis();
                            u64::try_from(left).unwrap_or(u64::MAX)
                        }),
                        order: made.order,
                    };
                    (id.clone(), kept)
                })
                .collect(),
            policies: state.policies.clone(),
            made: state.made,
        }
    }

    /// Puts back what was written down, for the devices that the maker's import still has.
    pub(crate) fn restore(&self, kept: Kept) {
        let now = Instant::now();
        let mut state = self.state();
        for (serial, own) in kept.devices {
            if let Some(device) = state.devices.get_mut(&serial) {
                device.import.owner = own.owner;
                device.thing = own.thing;
            }
        }
        state.clients = kept
            .things
            .iter()
            .map(|(name, own)| {
                let client = Client {
                    connection: None,
                    last_connected_at: own.last_connected_at,
                    last_disconnected_at: own.last_disconnected_at,
                };
                (name.clone(), client)
            })
            .collect();
        state.things = kept
            .things
            .into_iter()
            .map(|(name, own)| {
                let thing = Thing {
                    serial: own.serial,
                    version: own.version,
                    attributes: own.attributes,
                    released: own.released.map(|(claim, at)| Release { claim, at }),
                };
                (name, thing)
            })
            .collect();
        state.certificates = kept
            .certificates
            .into_iter()
            .map(|(id, own)| {
                let status = match (own.active, own.revoked) {
                    (true, _) => CertificateStatus::Active,
                    (false, true) => CertificateStatus::Revoked,
                    (false, false) => CertificateStatus::Inactive,
                };
                let certificate = Certificate {
                    pem: own.pem,
                    created_at: own.created_at,
                    // What was kept before states were dated is as old as it is.
                    changed_at: own.changed_at.max(own.created_at),
                    direct: own.direct,
                    leaves: own
                        .leaves_in_ms
                        .and_then(|left| now.checked_add(Duration::from_millis(left))),
                    policies: own.policies,
                    status,
                    claim: own.claim,
                    thing: own.thing,
                    order: own.order,
                    last_online: None,
                };
                (id, certificate)
            })
            .collect();
        state.policies.extend(kept.policies);
        state.made = kept.made;
        let due: Vec<_> = state
            .certificates
            .values()
            .filter_map(|made| made.leaves)
            .collect();
        drop(state);
        for due in due {
            self.wake_at(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::Authority;
    use crate::cloud::CloudConfig;
    use crate::cloud::clock::CloudClock;
    use crate::cloud::faults::Faults;
    use crate::cloud::mqtt::Template;

    fn registry() -> Registry {
        let faults = Faults::default();
        let clock = CloudClock::new(faults.clone());
        let config = CloudConfig {
            detach_delay: Duration::from_secs(5),
            ..CloudConfig::default()
        };
        Registry::new(&config, BTreeMap::new(), clock, faults)
    }

    /// A thing with a certificate; gives its id.
    fn attached(registry: &Registry) -> String {
        let template = r#"{"Parameters": {"CSR": {"Type": "String"}}, "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "FK-1"}},
            "certificate": {"Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateSigningRequest": {"Ref": "CSR"}}}}}"#;
        let given = [("CSR".to_owned(), "request".to_owned())].into();
        let plan = Template::of_task(template).unwrap().plan_line(&given).unwrap();
        let signed = Authority::new("devices")
            .unwrap()
            .client("FK-1")
            .unwrap()
            .certificate;
        let made = registry.provision(None, plan, Some(&signed)).unwrap();
        made.certificate.unwrap()
    }

    /// Waits for a change; the clock is paused, so that one which never comes is missed at once.
    async fn told(changes: &mut tokio::sync::watch::Receiver<u64>) {
        let change = tokio::time::timeout(Duration::from_secs(60), changes.changed());
        change.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_that_is_being_detached_leaves_after_a_restart_too() {
        let first = registry();
        let id = attached(&first);
        first.detach_thing("FK-1", &id).unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        let kept = serde_json::to_string(&first.keep()).unwrap();
        let again = registry();
        again.restore(serde_json::from_str(&kept).unwrap());
        let mut changes = again.changes();
        changes.mark_unchanged();
        assert_eq!(again.thing_principals("FK-1").unwrap(), [id]);
        told(&mut changes).await;
        assert_eq!(again.thing_principals("FK-1").unwrap(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_hears_of_a_detaching_when_it_is_asked_for_and_when_it_is_done() {
        let registry = registry();
        let id = attached(&registry);
        let mut changes = registry.changes();
        changes.mark_unchanged();
        registry.detach_thing("FK-1", &id).unwrap();
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        told(&mut changes).await;
        assert_eq!(registry.principal_things(&id).unwrap(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_that_came_no_further_than_to_leave_its_thing_is_still_to_be_deleted() {
        use crate::cloud::registry::{Deletion, Touch};
        let registry = registry();
        let id = attached(&registry);
        let left = || {
            let office = Touch {
                claim: None,
                may_claim: true,
                may_transfer: true,
            };
            registry.may_delete("FK-1", &id, office).unwrap()
        };
        registry
            .set_certificate_status(&id, CertificateStatus::Inactive)
            .unwrap();
        assert_eq!(left(), Deletion::Attached);
        let mut changes = registry.changes();
        registry.detach_thing("FK-1", &id).unwrap();
        while left() == Deletion::Attached {
            changes.mark_unchanged();
            told(&mut changes).await;
        }
        assert_eq!(left(), Deletion::Detached);
        registry.delete_certificate(&id, true).unwrap();
        assert_eq!(left(), Deletion::Done);
    }
}
