//! Devices that come to their identity without a claim of somebody's: shared claims, and certificates of a maker.

use std::collections::BTreeSet;

use tokio::time::{Duration, Instant};

use super::{Certificate, CertificateStatus, Claim, DeviceKeys, Purpose, Registry};
use crate::ca::Identity;
use crate::cloud::config::Owner;
use crate::cloud::mqtt::{Plan, Rejection};
use crate::cloud::random_name;

/// How long a claim in a firmware lives: longer than the firmware.
const FIRMWARE_LIFE: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

impl Registry {
    /// Takes `identity` as a claim that any number of devices may use. None if the system gives no randomness.
    pub(crate) fn share(&self, identity: &Identity) -> Option<()> {
        let id = random_name()?;
        let (issued, issued_at) = (Instant::now(), self.now());
        if let Some(witness) = &self.0.witness {
            witness.saw(identity.private_key.reveal());
        }
        let claim = Claim {
            serial: None,
            purpose: Purpose::New,
            keys: DeviceKeys::default(),
            certificate: identity.certificate.clone(),
            key: None,
            issued_at,
            expires_at: issued_at.saturating_add_unsigned(FIRMWARE_LIFE.as_secs()),
            issued,
            deadline: issued + FIRMWARE_LIFE,
            shared: true,
            used: false,
            retired: false,
            principal: None,
            events: Vec::new(),
        };
        self.state().claims.insert(id, claim);
        self.changed();
        Some(())
    }

    /// Whether the account's template is switched off.
    pub(crate) fn template_is_off(&self) -> bool {
        self.0.faults.now().template_disabled
    }

    /// Keeps a certificate of a known authority as PENDING_ACTIVATION, when its device comes for the first time.
    /// Whether it did.
    pub(crate) fn met(&self, id: &str, pem: &str) -> bool {
        let at = self.now();
        let mut state = self.state();
        if state.certificates.contains_key(id) {
            return false;
        }
        state.made += 1;
        let certificate = Certificate::of_maker(pem, at, state.made);
        state.certificates.insert(id.into(), certificate);
        drop(state);
        self.changed();
        true
    }

    /// Does what a plan says for a device that comes with a certificate of its own, in one step, or nothing of it.
    pub(crate) fn enrol(&self, serial: &str, id: &str, pem: &str, plan: Plan) -> Result<(), Rejection> {
        let at = self.now();
        let mut state = self.state();
        let name = plan.thing.as_ref().map(|thing| thing.name.clone());
        let policies = state.policies_of(plan.policies, self.0.faults.now().policies_missing)?;
        if let Some(thing) = plan.thing {
            state.put_thing(serial, thing, false)?;
        }
        let order = state.made + 1;
        let made = state.certificates.entry(id.into());
        let made = made.or_insert_with(|| Certificate::of_maker(pem, at, order));
        made.status = plan.certificate_status;
        made.changed_at = at;
        made.thing.clone_from(&name);
        made.policies.extend(policies.keys().cloned());
        state.made = order;
        state.policies.extend(policies);
        if let Some(device) = state.devices.get_mut(serial) {
            device.import.owner = Owner::Own;
            device.thing = name;
        }
        drop(state);
        self.changed();
        Ok(())
    }
}

impl Certificate {
    fn of_maker(pem: &str, at: i64, order: u64) -> Self {
        Self {
            pem: pem.into(),
            created_at: at,
            changed_at: at,
            status: CertificateStatus::PendingActivation,
            direct: true,
            claim: String::new(),
            thing: None,
            leaves: None,
            policies: BTreeSet::new(),
            order,
            last_online: None,
        }
    }
}
