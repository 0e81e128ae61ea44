//! How devices of an account come to their identity where nobody hands them a claim (AWS IoT developer guide, "Device
//! provisioning"): by a claim that is in their firmware, or by a certificate that they were made with.
//!
//! One account has one strategy. What a device is made with is given out here; what the account makes of it when the
//! device comes is the registry's and the MQTT server's.

use std::sync::Arc;
use std::time::Duration;

pub use engine::settings::Strategy;
use rustls::pki_types::CertificateDer;

use super::mqtt::{Rejection, Template};
use super::{CloudError, Registry};
use crate::ca::{Authority, Identity, certificate_id};

/// The template of a just-in-time account, and what the other accounts without a claim make of a device.
pub const JUST_IN_TIME_TEMPLATE: &str = r#"{
  "Parameters": {
    "AWS::IoT::Certificate::CommonName": { "Type": "String" },
    "AWS::IoT::Certificate::Id": { "Type": "String" }
  },
  "Resources": {
    "thing": {
      "Type": "AWS::IoT::Thing",
      "OverrideSettings": { "AttributePayload": "MERGE" },
      "Properties": {
        "ThingName": { "Ref": "AWS::IoT::Certificate::CommonName" },
        "AttributePayload": { "serial": { "Ref": "AWS::IoT::Certificate::CommonName" } }
      }
    },
    "certificate": {
      "Type": "AWS::IoT::Certificate",
      "Properties": { "CertificateId": { "Ref": "AWS::IoT::Certificate::Id" }, "Status": "ACTIVE" }
    },
    "policy": {
      "Type": "AWS::IoT::Policy",
      "Properties": { "PolicyName": "fieldkey-device" }
    }
  }
}"#;

/// The only parameter that a just-in-time template gets here: the others are fields that the subject has not.
const COMMON_NAME: &str = "AWS::IoT::Certificate::CommonName";

/// What a device was made with, to find its cloud by.
pub(crate) enum MadeWith {
    /// A claim for this template.
    Claim {
        /// The claim.
        claim: Identity,
        /// The template's name.
        template: String,
    },
    /// A certificate of the maker.
    Certificate(Identity),
}

/// An account's strategy with what it takes.
pub(crate) struct Strategies {
    pub(crate) strategy: Strategy,
    pub(crate) registry: Registry,
    /// What the account makes of a device that comes with a certificate.
    pub(crate) template: Arc<Template>,
    /// What signs claims.
    pub(crate) devices: Arc<Authority>,
    /// The maker's authority, which the account knows.
    pub(crate) makers: Arc<Authority>,
    /// How long the organisation's own rule takes.
    pub(crate) rule_delay: Duration,
}

impl Strategies {
    /// The claim that all devices share; none where they do not. A new one each time: an account forgets claims when
    /// it ends.
    pub(crate) fn shared_claim(&self) -> Result<Option<MadeWith>, CloudError> {
        if self.strategy != Strategy::ClaimInDevice {
            return Ok(None);
        }
        let claim = self.devices.client("Fieldkey sandbox claim in firmware")?;
        self.registry.share(&claim).ok_or(CloudError::Random)?;
        let template = self.template.name.clone();
        Ok(Some(MadeWith::Claim { claim, template }))
    }

    /// A certificate for this device alone; none where devices have none. Where the strategy says so, a device that the
    /// maker lists is registered with it at once.
    pub(crate) fn certificate(&self, serial: &str, listed: bool) -> Result<Option<MadeWith>, CloudError> {
        if !self.strategy.has_certificates() {
            return Ok(None);
        }
        let own = self.makers.client(serial)?;
        if self.strategy == Strategy::Registered && listed {
            let made = &own.certificate;
            self.enrol(serial, &made.id, &made.pem)
                .map_err(|refused| CloudError::Strategy(refused.error_message))?;
        }
        Ok(Some(MadeWith::Certificate(own)))
    }

    /// Looks at a certificate that the registry does not let in. AWS refuses the first connection of a device that
    /// comes just in time, and registers it then.
    pub(crate) fn meet(self: &Arc<Self>, leaf: &CertificateDer<'_>) {
        let Some(serial) = self.newcomer(leaf) else { return };
        // A template that is off registers nobody, and the device comes again.
        if self.strategy == Strategy::Jitp && self.registry.template_is_off() {
            return;
        }
        let (id, pem) = (
            certificate_id(leaf),
            pem::encode(&pem::Pem::new("CERTIFICATE", leaf.as_ref())),
        );
        if !self.registry.met(&id, &pem) {
            return;
        }
        let this = Arc::clone(self);
        let register = move || {
            if let Err(refused) = this.enrol(&serial, &id, &pem) {
                tracing::debug!(%serial, refused = %refused.error_message, "not registered just in time");
            }
        };
        if self.strategy == Strategy::Jitp {
            register();
        } else {
            let delay = self.rule_delay;
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                register();
            });
        }
    }

    /// The serial number of a device that comes just in time, with a certificate of the maker's.
    fn newcomer(&self, leaf: &CertificateDer<'_>) -> Option<String> {
        if !matches!(self.strategy, Strategy::Jitp | Strategy::Jitr) {
            return None;
        }
        let maker = self.makers.der();
        let (_, maker) = x509_parser::parse_x509_certificate(&maker).ok()?;
        let (_, leaf) = x509_parser::parse_x509_certificate(leaf).ok()?;
        // That the signature is the authority's, TLS has checked.
        if leaf.issuer().as_raw() != maker.subject().as_raw() {
            return None;
        }
        let name = leaf.subject().iter_common_name().next()?;
        name.as_str().ok().map(str::to_owned)
    }

    fn enrol(&self, serial: &str, id: &str, pem: &str) -> Result<(), Rejection> {
        let parameters = [(COMMON_NAME.to_owned(), serial.to_owned())].into();
        let plan = self.template.plan(&parameters, id)?;
        self.registry.enrol(serial, id, pem, plan)
    }
}

impl MadeWith {
    /// Certificate and key.
    pub(crate) fn identity(&self) -> &Identity {
        match self {
            Self::Claim { claim: own, .. } | Self::Certificate(own) => own,
        }
    }
}
