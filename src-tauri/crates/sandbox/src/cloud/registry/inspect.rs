//! What tests and the demo's last page look at: everything of one moment, without secrets.

use std::collections::BTreeMap;

use super::{CertificateStatus, ClaimState, DeviceKeys, EventKind, Registry};

/// The registry at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySnapshot {
    /// By name.
    pub things: Vec<ThingSnapshot>,
    /// In no order of time.
    pub claims: Vec<ClaimSnapshot>,
    /// What no working device uses.
    pub orphans: Vec<Orphan>,
}

/// A thing and its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThingSnapshot {
    /// The thing's name.
    pub name: String,
    /// The device behind it.
    pub serial: String,
    /// Grows with every change.
    pub version: u64,
    /// As the template said.
    pub attributes: BTreeMap<String, String>,
    /// Certificate ids and what they are good for, oldest first.
    pub certificates: Vec<(String, CertificateStatus)>,
    /// The ids of the ACTIVE ones among them.
    pub active: Vec<String>,
    /// The certificate that a client of the thing's name is online with now; it may be a claim's.
    pub connected: Option<String>,
    /// Whether support sees it: with no broker in between, as soon as it is registered.
    pub released: bool,
}

/// A claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimSnapshot {
    /// The broker's name for it.
    pub id: String,
    /// The device that it is for; none where it was issued for no device in particular and none has used it yet.
    pub serial: Option<String>,
    /// How it stands.
    pub state: ClaimState,
    /// What the device proved to hold.
    pub keys: DeviceKeys,
    /// The claim certificate's id; never among the things' certificates.
    pub certificate_id: String,
    /// What happened, in order.
    pub events: Vec<EventKind>,
}

/// Something that no working device uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Orphan {
    /// A thing with more than one ACTIVE certificate.
    SeveralActive {
        /// The thing's name.
        thing: String,
        /// Their ids.
        certificates: Vec<String>,
    },
    /// A thing with no certificate at all.
    NoCertificate {
        /// The thing's name.
        thing: String,
    },
    /// A certificate that waits for RegisterThing; it goes by itself when its ownership token runs out.
    Pending {
        /// Its id.
        certificate: String,
    },
    /// Any other certificate that hangs on no thing.
    Unattached {
        /// Its id.
        certificate: String,
    },
}

impl Registry {
    /// Everything as it is now.
    pub fn inspect(&self) -> RegistrySnapshot {
        let state = self.state();
        let mut orphans = Vec::new();
        let mut things = Vec::new();
        for (name, thing) in &state.things {
            let principals = state.principals(name).into_iter();
            let certificates: Vec<_> = principals.map(|(id, made)| (id.clone(), made.status)).collect();
            let direct = state.active(name).iter().any(|(_, made)| made.direct);
            let active: Vec<_> = state.active(name).into_iter().map(|(id, _)| id.clone()).collect();
            if certificates.is_empty() {
                orphans.push(Orphan::NoCertificate { thing: name.clone() });
            }
            if active.len() > 1 {
                orphans.push(Orphan::SeveralActive {
                    thing: name.clone(),
                    certificates: active.clone(),
                });
            }
            things.push(ThingSnapshot {
                name: name.clone(),
                serial: thing.serial.clone(),
                version: thing.version,
                attributes: thing.attributes.clone(),
                certificates,
                active,
                connected: state
                    .clients
                    .get(name)
                    .and_then(|client| client.connection.as_ref())
                    .map(|connection| connection.principal.clone()),
                released: thing.released.is_some() || direct,
            });
        }
        for (id, made) in state.certificates.iter().filter(|(_, made)| made.thing.is_none()) {
            let certificate = id.clone();
            orphans.push(match made.status {
                CertificateStatus::PendingActivation => Orphan::Pending { certificate },
                _ => Orphan::Unattached { certificate },
            });
        }
        let claims = state.claims.iter().map(|(id, claim)| ClaimSnapshot {
            id: id.clone(),
            serial: claim.serial.clone(),
            state: claim.state(),
            keys: claim.keys.clone(),
            certificate_id: claim.certificate.id.clone(),
            events: claim.events.iter().map(|event| event.kind).collect(),
        });
        RegistrySnapshot {
            claims: claims.collect(),
            things,
            orphans,
        }
    }
}
