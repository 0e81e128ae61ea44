//! What a `/rejected` topic carries, with the codes seen in the field.

use serde::Serialize;

/// The payload of a rejection (AWS IoT developer guide, "Device provisioning MQTT API").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rejection {
    pub(crate) status_code: u16,
    pub(crate) error_code: String,
    pub(crate) error_message: String,
}

impl Rejection {
    pub(crate) fn new(status_code: u16, error_code: &str, error_message: &str) -> Self {
        Self {
            status_code,
            error_code: error_code.into(),
            error_message: error_message.into(),
        }
    }

    /// Wrong, used or over.
    pub(crate) fn ownership_token() -> Self {
        let message = "The certificate ownership token is wrong, used or has expired.";
        Self::new(400, "InvalidCertificateOwnershipToken", message)
    }

    /// Missing, or not enabled: AWS IoT makes no difference.
    pub(crate) fn template(name: &str) -> Self {
        Self::new(
            400,
            "InvalidTemplate",
            &format!("Template {name} doesn't exist or is not enabled."),
        )
    }

    /// The template cannot be worked out.
    pub(crate) fn template_body(message: &str) -> Self {
        Self::new(400, "InvalidTemplate", message)
    }

    /// A `Ref` has no value, or a value is of no use.
    pub(crate) fn invalid_parameters(message: &str) -> Self {
        Self::new(400, "InvalidParameters", message)
    }

    /// Not parseable.
    pub(crate) fn payload(message: &str) -> Self {
        Self::new(400, "InvalidPayload", message)
    }

    /// The signing request is none, or its signature is wrong.
    pub(crate) fn signing_request(message: &str) -> Self {
        Self::new(400, "InvalidCertificateSigningRequest", message)
    }

    /// The registry's own refusal.
    pub(crate) fn provisioning_failed(message: &str) -> Self {
        Self::new(400, "ProvisioningFailed", message)
    }

    /// The hook said no.
    pub(crate) fn access_denied(message: &str) -> Self {
        Self::new(403, "AccessDenied", message)
    }

    /// The cloud's own fault.
    pub(crate) fn internal() -> Self {
        Self::new(
            500,
            "InternalError",
            "The cloud could not make what was asked for.",
        )
    }
}
