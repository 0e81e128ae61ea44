//! What a line of a bulk registration does: no claim leads to it, and no device is asked.

use super::{Certificate, CertificateStatus, Registry};
use crate::ca::Signed;
use crate::cloud::config::Owner;
use crate::cloud::mqtt::{CertificatePlan, Plan, Rejection};

/// What a line made, or found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Provisioned {
    pub(crate) thing: Option<String>,
    pub(crate) certificate: Option<String>,
}

impl Registry {
    /// Does what a template said of a line in one step, or nothing of it. `signed` is the certificate that was made of
    /// the line's signing request.
    pub(crate) fn provision(
        &self,
        serial: Option<&str>,
        plan: Plan,
        signed: Option<&Signed>,
    ) -> Result<Provisioned, Rejection> {
        let at = self.now();
        let mut state = self.state();
        let name = plan.thing.as_ref().map(|thing| thing.name.clone());
        let policies = state.policies_of(plan.policies, self.0.faults.now().policies_missing)?;
        let certificate = match (&plan.certificate, signed) {
            (Some(CertificatePlan::Id(id)), _) => Some(id.clone()),
            (_, Some(signed)) => Some(signed.id.clone()),
            (_, None) => None,
        };
        if let Some(CertificatePlan::Id(id)) = &plan.certificate {
            let failed = |why: &str| {
                let why = format!("ResourceRegistrationFailureException: the certificate {id} {why}.");
                Rejection::provisioning_failed(&why)
            };
            let made = state
                .certificates
                .get(id)
                .ok_or_else(|| failed("does not exist"))?;
            if name.is_some() && made.thing.is_some() && made.thing != name {
                return Err(failed("is attached to another thing exclusively"));
            }
        }
        // A device is known by its serial number, or else by what it is called in the registry.
        let serial = serial.or(name.as_deref()).unwrap_or_default().to_owned();
        if let Some(thing) = plan.thing {
            state.put_thing(&serial, thing, false)?;
        }
        if let Some(signed) = signed {
            state.made += 1;
            let made = Certificate {
                pem: signed.pem.clone(),
                created_at: at,
                changed_at: at,
                status: CertificateStatus::Inactive,
                direct: true,
                claim: String::new(),
                thing: None,
                leaves: None,
                policies: Default::default(),
                order: state.made,
                last_online: None,
            };
            state.certificates.insert(signed.id.clone(), made);
        }
        if let Some(made) = certificate.as_ref().and_then(|id| state.certificates.get_mut(id)) {
            made.status = plan.certificate_status;
            made.changed_at = at;
            made.policies.extend(policies.keys().cloned());
            if name.is_some() {
                made.thing.clone_from(&name);
                made.leaves = None;
            }
        }
        // A certificate that waited for its registration does so no longer.
        if let Some(id) = &certificate {
            state.ownership.retain(|_, token| token.certificate != *id);
        }
        state.policies.extend(policies);
        if let Some(device) = state.devices.get_mut(&serial) {
            device.import.owner = Owner::Own;
            if name.is_some() {
                device.thing.clone_from(&name);
            }
        }
        drop(state);
        self.changed();
        Ok(Provisioned {
            thing: name,
            certificate,
        })
    }
}
