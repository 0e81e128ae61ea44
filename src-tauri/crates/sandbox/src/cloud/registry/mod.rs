//! What the cloud knows: the maker's devices, claims, certificates, things, who is connected, and since when.
//!
//! One lock holds it all, so that every question gets one moment's answer. Nothing here speaks a protocol.

mod account;
mod bulk;
mod claims;
mod enrolment;
mod inspect;
mod keep;
mod shadows;
mod strategies;
mod things;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use commission::secret::PrivateKeyPem;
use tokio::sync::watch;
use tokio::time::{Duration, Instant};

pub use self::claims::DeviceKeys;
pub use self::inspect::{ClaimSnapshot, Orphan, RegistrySnapshot, ThingSnapshot};
pub use self::view::{CertificateStatus, ClaimState, EventKind};

pub(crate) use self::account::{CertificateRecord, ConnectionRecord, ThingRecord};
pub(crate) use self::bulk::Provisioned;
pub(crate) use self::claims::{ClaimRequest, IssuedClaim, Purpose};
pub(crate) use self::enrolment::{Admission, Registration};
pub(crate) use self::shadows::ShadowRecord;
pub(crate) use self::things::{Deletion, Touch};
pub(crate) use self::view::{DeviceView, EnrolmentView, ReleasedView, ThingView};

use self::view::{EventView, PrincipalView};
use super::CloudConfig;
use super::clock::CloudClock;
use super::config::MakerDevice;
use super::faults::Faults;
use crate::ca::Signed;

/// The registry of one cloud. Cheap to clone; clones are the same registry.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    clock: CloudClock,
    faults: Faults,
    witness: Option<crate::cloud::Witness>,
    claim_life: Duration,
    ownership_token_life: Duration,
    detach_delay: Duration,
    state: Mutex<State>,
    /// Counts changes, so that watchers wake.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    devices: BTreeMap<String, Device>,
    claims: BTreeMap<String, Claim>,
    /// By key: the request, and the claim that it made.
    idempotency: BTreeMap<String, (ClaimRequest, String)>,
    certificates: BTreeMap<String, Certificate>,
    things: BTreeMap<String, Thing>,
    /// Who is connected, by the name that a client gives itself, whoever's certificate it came with.
    clients: BTreeMap<String, Client>,
    ownership: BTreeMap<[u8; 32], Ownership>,
    /// Documents by name.
    policies: BTreeMap<String, String>,
    /// By thing and by the shadow's own name, which is empty for the classic one.
    shadows: BTreeMap<(String, String), Shadow>,
    /// Counts certificates, to keep them in order of age.
    made: u64,
}

struct Device {
    import: MakerDevice,
    thing: Option<String>,
}

struct Claim {
    /// None where it was issued for no device in particular, until one registers with it.
    serial: Option<String>,
    purpose: Purpose,
    keys: DeviceKeys,
    certificate: Signed,
    /// Gone as soon as nobody may ask for it again.
    key: Option<PrivateKeyPem>,
    issued_at: i64,
    expires_at: i64,
    issued: Instant,
    deadline: Instant,
    /// Whether it is in the firmware of many devices, so that using it uses it up for nobody.
    shared: bool,
    used: bool,
    retired: bool,
    /// The permanent certificate that it led to.
    principal: Option<String>,
    events: Vec<EventView>,
}

/// A permanent certificate. Claim certificates are no part of an account's list on AWS IoT, nor here.
struct Certificate {
    pem: String,
    created_at: i64,
    /// When its state was changed last.
    changed_at: i64,
    status: CertificateStatus,
    /// Whether AWS gave its claim directly, with no broker that would release what it leads to.
    direct: bool,
    claim: String,
    thing: Option<String>,
    /// When it leaves the thing: detaching takes its time (AWS IoT: seconds).
    leaves: Option<Instant>,
    policies: BTreeSet<String>,
    order: u64,
    last_online: Option<Instant>,
}

/// What a thing was asked to be and said that it is.
struct Shadow {
    version: u64,
    at: i64,
    document: serde_json::Map<String, serde_json::Value>,
}

struct Thing {
    serial: String,
    version: u64,
    attributes: BTreeMap<String, String>,
    released: Option<Release>,
}

/// A client of the MQTT server, as AWS IoT's fleet index counts it. What it shows of a thing is what it knows of the
/// client that is called as the thing is.
#[derive(Default)]
struct Client {
    connection: Option<Connection>,
    last_connected_at: Option<i64>,
    last_disconnected_at: Option<i64>,
}

struct Connection {
    session: u64,
    /// The certificate that it came with: a claim's, or a permanent one.
    principal: String,
    at: i64,
    data_seen: bool,
}

struct Release {
    claim: String,
    at: i64,
}

/// What an ownership token stands for (AWS IoT: one hour, one use).
struct Ownership {
    certificate: String,
    deadline: Instant,
}

impl Registry {
    pub(crate) fn new(
        config: &CloudConfig,
        policies: BTreeMap<String, String>,
        clock: CloudClock,
        faults: Faults,
    ) -> Self {
        let import = |device: &MakerDevice| {
            (
                device.serial.clone(),
                Device {
                    import: device.clone(),
                    thing: None,
                },
            )
        };
        let devices = config.devices.iter().map(import).collect();
        Self(Arc::new(Inner {
            clock,
            faults,
            claim_life: config.claim_life,
            witness: config.witness.clone(),
            ownership_token_life: config.ownership_token_life,
            detach_delay: config.detach_delay,
            state: Mutex::new(State {
                devices,
                policies,
                ..State::default()
            }),
            changes: watch::Sender::new(0),
        }))
    }

    /// Wakes whenever something changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The state of this moment: certificates whose ownership token has run out are gone (AWS IoT deletes them), and
    /// those that were detached a while ago have left their things.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let State {
            ownership,
            certificates,
            ..
        } = &mut *state;
        ownership.retain(|_, token| {
            let alive = token.deadline > now;
            if !alive {
                certificates.remove(&token.certificate);
            }
            alive
        });
        let mut left = Vec::new();
        for made in certificates.values_mut() {
            if made.leaves.take_if(|leaves| *leaves <= now).is_some() {
                left.extend(made.thing.take());
            }
        }
        for thing in left {
            state.touched(&thing);
        }
        state
    }

    /// Tells whoever waits that something leaves then: it does so by itself, when the registry is next looked at.
    fn wake_at(&self, due: Instant) {
        // Outside a runtime nobody waits.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let inner = Arc::downgrade(&self.0);
        runtime.spawn(async move {
            tokio::time::sleep_until(due).await;
            if let Some(inner) = inner.upgrade() {
                Self(inner).changed();
            }
        });
    }

    fn changed(&self) {
        self.0.changes.send_modify(|count| *count += 1);
    }

    fn now(&self) -> i64 {
        self.0.clock.now()
    }
}

impl State {
    /// The certificates of a thing, oldest first.
    fn principals(&self, thing: &str) -> Vec<(&String, &Certificate)> {
        let attached = |(_, made): &(&String, &Certificate)| made.thing.as_deref() == Some(thing);
        let mut principals: Vec<_> = self.certificates.iter().filter(attached).collect();
        principals.sort_by_key(|(_, made)| made.order);
        principals
    }

    fn active(&self, thing: &str) -> Vec<(&String, &Certificate)> {
        let mut principals = self.principals(thing);
        principals.retain(|(_, made)| made.status == CertificateStatus::Active);
        principals
    }
}

impl Claim {
    fn is_alive(&self) -> bool {
        !self.retired && self.deadline > Instant::now()
    }

    fn state(&self) -> ClaimState {
        match (self.used, self.retired, self.is_alive()) {
            (true, _, _) => ClaimState::Used,
            (false, true, _) => ClaimState::Retired,
            (false, false, true) => ClaimState::Issued,
            (false, false, false) => ClaimState::Expired,
        }
    }

    fn push(&mut self, event: EventView) {
        let seq = self.events.len() + 1;
        self.events.push(EventView { seq, ..event });
    }
}
