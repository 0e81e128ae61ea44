//! The broker's side of a claim: issue, watch, retire.

use commission::secret::PrivateKeyPem;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Claim, Device, DeviceView, EnrolmentView, Registry, State};
use crate::cloud::broker::{Code, Problem};
use crate::cloud::config::Owner;

/// Why a claim is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Purpose {
    New,
    Service,
    Transfer,
}

/// What a repeated request must be equal in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimRequest {
    pub(crate) serial: String,
    pub(crate) identity_key_sha256: Option<String>,
    pub(crate) purpose: Purpose,
}

/// What the device proved to hold, as the claim's request said: public, and what a cloud enrols that knows devices by
/// their own keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceKeys {
    /// SubjectPublicKeyInfo, DER.
    pub public_key: Option<Vec<u8>>,
    /// Certificates in DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// The public part of the TPM's endorsement key.
    pub endorsement_key: Option<Vec<u8>>,
}

/// A claim as its owner gets it.
pub(crate) struct IssuedClaim {
    pub(crate) id: String,
    pub(crate) serial: String,
    pub(crate) certificate_id: String,
    pub(crate) certificate_pem: String,
    pub(crate) private_key: PrivateKeyPem,
    pub(crate) issued_at: i64,
    pub(crate) expires_at: i64,
    /// Whether an earlier request made it.
    pub(crate) repeated: bool,
}

impl Registry {
    pub(crate) fn device(&self, serial: &str) -> DeviceView {
        let state = self.state();
        let Some(Device { import, thing }) = state.devices.get(serial) else {
            return DeviceView {
                serial: serial.into(),
                known: false,
                identity_key_sha256: None,
                min_firmware: None,
                owner: Owner::None,
                thing: None,
            };
        };
        // Another organisation's things are not this one's to look at.
        let thing = thing.as_ref().filter(|_| import.owner != Owner::Other);
        DeviceView {
            serial: serial.into(),
            known: true,
            identity_key_sha256: import.identity_key_sha256.clone(),
            min_firmware: import.min_firmware.clone(),
            owner: import.owner,
            thing: thing.and_then(|name| state.thing_view(name)),
        }
    }

    /// The claim that this key made before; none where one is to be made, which is allowed then.
    pub(crate) fn may_issue(
        &self,
        idempotency_key: &str,
        request: &ClaimRequest,
    ) -> Result<Option<IssuedClaim>, Problem> {
        let template_disabled = self.0.faults.now().template_disabled;
        let state = self.state();
        if let Some(earlier) = state.repeated(idempotency_key, request)? {
            return Ok(Some(earlier));
        }
        state.admissible(request, template_disabled)?;
        Ok(None)
    }

    /// Binds a claim that AWS gave for no device in particular to one, under the key that it was asked for with.
    pub(crate) fn bind(
        &self,
        idempotency_key: &str,
        request: ClaimRequest,
        keys: DeviceKeys,
        certificate_id: &str,
        private_key: &PrivateKeyPem,
    ) -> Result<IssuedClaim, Problem> {
        let mut state = self.state();
        let mut claims = state.claims.iter_mut();
        let made = claims.find(|(_, claim)| claim.certificate.id == certificate_id);
        let (claim_id, claim) = made.ok_or_else(Problem::internal)?;
        claim.serial = Some(request.serial.clone());
        claim.purpose = request.purpose;
        claim.keys = keys;
        claim.key = Some(private_key.clone());
        let (answer, claim_id) = (
            claim.answer(claim_id, &request.serial, private_key, false),
            claim_id.clone(),
        );
        state
            .idempotency
            .insert(idempotency_key.to_owned(), (request, claim_id));
        drop(state);
        self.changed();
        Ok(answer)
    }

    /// State, events after `after`, and the device's thing; None if there is no such claim.
    pub(crate) fn enrolment(&self, claim_id: &str, after: usize) -> Option<EnrolmentView> {
        let state = self.state();
        let claim = state.claims.get(claim_id)?;
        let thing = state
            .devices
            .get(claim.serial.as_ref()?)
            .and_then(|device| device.thing.as_ref());
        Some(EnrolmentView {
            state: claim.state(),
            server_time: self.now(),
            events: claim
                .events
                .iter()
                .filter(|event| event.seq > after)
                .cloned()
                .collect(),
            thing: thing.and_then(|name| state.thing_view(name)),
        })
    }

    /// When the claim's life ends by itself, for whoever waits for that. None if there is no such claim.
    pub(crate) fn claim_deadline(&self, claim_id: &str) -> Option<Instant> {
        self.state().claims.get(claim_id).map(|claim| claim.deadline)
    }

    /// Makes a claim worthless and removes the certificates that it made but that were never registered.
    /// False if there is no such claim.
    pub(crate) fn retire(&self, claim_id: &str) -> bool {
        let mut state = self.state();
        let State {
            claims,
            certificates,
            ownership,
            ..
        } = &mut *state;
        let Some(claim) = claims.get_mut(claim_id) else {
            return false;
        };
        claim.retired = true;
        claim.key = None;
        ownership.retain(|_, token| {
            let keep = certificates
                .get(&token.certificate)
                .is_some_and(|made| made.claim != claim_id);
            if !keep {
                certificates.remove(&token.certificate);
            }
            keep
        });
        drop(state);
        self.changed();
        true
    }
}

impl State {
    fn repeated(
        &self,
        idempotency_key: &str,
        request: &ClaimRequest,
    ) -> Result<Option<IssuedClaim>, Problem> {
        let Some((earlier, claim_id)) = self.idempotency.get(idempotency_key) else {
            return Ok(None);
        };
        if earlier != request {
            let detail = "This idempotency key was used for another serial, purpose or identity key.";
            return Err(Problem::new(Code::IdempotencyMismatch, detail));
        }
        let alive = self
            .claims
            .get(claim_id)
            .filter(|claim| !claim.used && claim.is_alive());
        let answer = |claim: &Claim| Some(claim.answer(claim_id, &request.serial, claim.key.as_ref()?, true));
        match alive.and_then(answer) {
            Some(claim) => Ok(Some(claim)),
            None => {
                let detail = "The claim of this key was used, has expired or was retired.";
                Err(Problem::new(Code::ClaimRetired, detail))
            }
        }
    }

    fn admissible(&self, request: &ClaimRequest, template_disabled: bool) -> Result<(), Problem> {
        let refuse = |code, detail: String| Err(Problem::new(code, detail));
        let serial = &request.serial;
        let Some(device) = self.devices.get(serial) else {
            let detail = format!("The maker's import has no {serial}. Check the serial, or ask the maker.");
            return refuse(Code::UnknownDevice, detail);
        };
        if let (Some(proven), Some(made)) = (&request.identity_key_sha256, &device.import.identity_key_sha256)
            && proven != made
        {
            let detail = format!("{serial} proved another key than the one that the maker registered.");
            return refuse(Code::CloneSuspected, detail);
        }
        if device.import.owner == Owner::Other && request.purpose != Purpose::Transfer {
            let detail = format!("{serial} is another organisation's. Support can transfer it.");
            return refuse(Code::OwnedByOther, detail);
        }
        let thing = device.thing.as_ref().and_then(|name| self.things.get(name));
        if request.purpose == Purpose::New && thing.is_some_and(|thing| thing.released.is_some()) {
            let detail = format!("{serial} is enrolled and released. Make it a service visit.");
            return refuse(Code::AlreadyEnrolled, detail);
        }
        if template_disabled {
            let detail = "An administrator must enable the provisioning template.".into();
            return refuse(Code::TemplateDisabled, detail);
        }
        Ok(())
    }
}

impl Claim {
    fn answer(&self, id: &str, serial: &str, key: &PrivateKeyPem, repeated: bool) -> IssuedClaim {
        IssuedClaim {
            id: id.into(),
            serial: serial.into(),
            certificate_id: self.certificate.id.clone(),
            certificate_pem: self.certificate.pem.clone(),
            private_key: key.clone(),
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            repeated,
        }
    }
}
