//! CreateKeysAndCertificate, CreateCertificateFromCsr and RegisterThing, as the AWS IoT developer guide has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::payload::Format;
use super::template::Template;
use super::topic::Operation;
use super::{Rejection, hook};
use crate::ca::{Authority, CaError, Signed};
use crate::cloud::faults::{Faults, HangUp};
use crate::cloud::registry::{Registration, Registry};
use crate::cloud::strategy::Strategies;

/// What the three operations need.
pub(crate) struct Provisioning {
    pub(crate) registry: Registry,
    pub(crate) template: Arc<Template>,
    pub(crate) devices: Arc<Authority>,
    pub(crate) faults: Faults,
    pub(crate) strategies: Arc<Strategies>,
    /// How ARNs of clients begin, up to their names.
    pub(crate) clients: String,
}

/// How an operation ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// To `/accepted`.
    Accepted(Vec<u8>),
    /// To `/rejected`.
    Rejected(Vec<u8>),
    /// The fault that is switched on: nothing, and the connection is gone.
    HangUp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    certificate_id: &'a str,
    certificate_pem: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<&'a str>,
    certificate_ownership_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FromCsr {
    certificate_signing_request: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Register {
    certificate_ownership_token: String,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Registered {
    #[serde(skip_serializing_if = "Option::is_none")]
    thing_name: Option<String>,
    device_configuration: BTreeMap<String, String>,
}

impl Provisioning {
    /// Does what a connection with this claim asks for.
    pub(super) async fn answer(
        &self,
        claim_id: &str,
        operation: Operation,
        format: Format,
        payload: &[u8],
    ) -> Answer {
        let done = match operation {
            Operation::RegisterThing => {
                if self.faults.hangs_up(HangUp::RegisterBefore) {
                    return Answer::HangUp;
                }
                tokio::time::sleep(self.faults.enrol_delay()).await;
                self.register(claim_id, format, payload)
            }
            _ if self.faults.hangs_up(HangUp::Create) => return Answer::HangUp,
            Operation::CreateKeysAndCertificate => self.create(claim_id, format, payload),
            Operation::CreateCertificateFromCsr => self.create_from_csr(claim_id, format, payload),
        };
        match done {
            Ok(_) if operation == Operation::RegisterThing && self.faults.hangs_up(HangUp::RegisterAfter) => {
                Answer::HangUp
            }
            Ok(accepted) => Answer::Accepted(accepted),
            Err(rejection) => {
                self.registry
                    .refused(claim_id, &rejection.error_code, &rejection.error_message);
                Answer::Rejected(format.write(&rejection))
            }
        }
    }

    fn create(&self, claim_id: &str, format: Format, payload: &[u8]) -> Result<Vec<u8>, Rejection> {
        // The guide asks for an empty payload; SDKs send an empty map.
        let empty = payload.is_empty() || format.read::<BTreeMap<String, String>>(payload).is_some();
        if !empty {
            return Err(Rejection::payload(
                "The request is neither empty nor a map of this topic's format.",
            ));
        }
        let identity = self
            .devices
            .client("AWS IoT Certificate")
            .map_err(|_| Rejection::internal())?;
        let key = Some(identity.private_key.reveal());
        self.created(claim_id, &identity.certificate, key, format)
    }

    fn create_from_csr(&self, claim_id: &str, format: Format, payload: &[u8]) -> Result<Vec<u8>, Rejection> {
        let request: FromCsr = format
            .read(payload)
            .ok_or_else(|| Rejection::payload("The request has no certificateSigningRequest."))?;
        let signed = self.devices.sign_request(&request.certificate_signing_request);
        let signed = signed.map_err(|error| match error {
            CaError::Request(_) => Rejection::signing_request(&error.to_string()),
            CaError::Make(_) | CaError::Random => Rejection::internal(),
        })?;
        self.created(claim_id, &signed, None, format)
    }

    fn created(
        &self,
        claim_id: &str,
        signed: &Signed,
        private_key: Option<&str>,
        format: Format,
    ) -> Result<Vec<u8>, Rejection> {
        let token = self.registry.certificate_created(claim_id, signed);
        let created = Created {
            certificate_id: &signed.id,
            certificate_pem: &signed.pem,
            private_key,
            certificate_ownership_token: token.ok_or_else(Rejection::internal)?,
        };
        Ok(format.write(&created))
    }

    fn register(&self, claim_id: &str, format: Format, payload: &[u8]) -> Result<Vec<u8>, Rejection> {
        let faults = self.faults.now();
        if let Some(code) = &faults.register_rejected {
            return Err(Rejection::new(400, code, "RegisterThing is refused on purpose."));
        }
        let request: Register = format
            .read(payload)
            .ok_or_else(|| Rejection::payload("The request has no certificateOwnershipToken."))?;
        if faults.template_disabled {
            return Err(Rejection::template(&self.template.name));
        }
        let token = &request.certificate_ownership_token;
        let certificate_id = self
            .registry
            .owned(token)
            .ok_or_else(Rejection::ownership_token)?;
        hook::allow(&self.registry, &self.faults, claim_id, &request.parameters)?;
        let plan = self.template.plan(&request.parameters, &certificate_id)?;
        let serial = request.parameters.get("SerialNumber").map_or("", String::as_str);
        let Registration {
            thing,
            device_configuration,
        } = self.registry.register(claim_id, token, serial, plan)?;
        Ok(format.write(&Registered {
            thing_name: thing,
            device_configuration,
        }))
    }
}
