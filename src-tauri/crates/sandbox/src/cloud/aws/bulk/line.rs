//! A line of a line file: worked out by the template, registered, and told in a report.
//!
//! AWS does not describe the form of its reports. Here each line of one is an object with the line's number and place in
//! the file, and much of what RegisterThing answers: the certificate that was made, and ARNs of thing and certificate.

use std::collections::BTreeMap;

use engine::cloud::aws::policy::Account;
use serde_json::{Value, json};

use crate::ca::{Authority, CaError};
use crate::cloud::mqtt::{CertificatePlan, Rejection, Template};
use crate::cloud::registry::{Provisioned, Registry};

/// Longest name of an attribute.
const LONGEST_NAME: usize = 128;
/// Longest value of one.
const LONGEST_VALUE: usize = 800;

/// What lines are registered with.
pub(super) struct Registering<'a> {
    pub(super) account: &'a Account,
    pub(super) registry: &'a Registry,
    pub(super) devices: &'a Authority,
    pub(super) template: &'a Template,
}

/// Where a line stands: its number, from 1, and its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) offset: usize,
}

impl Registering<'_> {
    /// Registers the device of a line. Gives the line of the report, in either case.
    pub(super) fn line(&self, place: Place, text: &str) -> Result<String, String> {
        let Place { number, offset } = place;
        match self.registered(text) {
            Ok(response) => {
                Ok(json!({ "lineNumber": number, "offset": offset, "response": response }).to_string())
            }
            Err(rejection) => {
                let told = told(&rejection);
                Err(json!({ "lineNumber": number, "offset": offset, "errorResponse": told }).to_string())
            }
        }
    }

    fn registered(&self, text: &str) -> Result<Value, Rejection> {
        let given: BTreeMap<String, String> = serde_json::from_str(text).map_err(|error| {
            Rejection::invalid_parameters(&format!("The line is no JSON object of texts: {error}"))
        })?;
        let plan = self.template.plan_line(&given)?;
        if let Some(thing) = &plan.thing {
            attributes_fit(&thing.attributes)?;
        }
        let signed = match &plan.certificate {
            Some(CertificatePlan::Request(pem)) => {
                let signed = self.devices.sign_request(pem).map_err(|error| match error {
                    CaError::Request(_) => Rejection::signing_request(&error.to_string()),
                    CaError::Make(_) | CaError::Random => Rejection::internal(),
                })?;
                Some(signed)
            }
            Some(CertificatePlan::Id(_)) | None => None,
        };
        let serial = given.get("SerialNumber").map(String::as_str);
        let made = self.registry.provision(serial, plan, signed.as_ref())?;
        Ok(self.response(&made, signed.map(|signed| signed.pem)))
    }

    fn response(&self, made: &Provisioned, pem: Option<String>) -> Value {
        let named = [
            ("thing", "thing", &made.thing),
            ("certificate", "cert", &made.certificate),
        ];
        let arns: BTreeMap<&str, String> = named
            .into_iter()
            .filter_map(|(resource, kind, name)| {
                Some((resource, self.account.resource(kind, name.as_ref()?)))
            })
            .collect();
        match pem {
            Some(pem) => json!({ "certificatePem": pem, "resourceArns": arns }),
            None => json!({ "resourceArns": arns }),
        }
    }
}

/// What the registry takes as attributes (AWS IoT API reference, `AttributePayload`).
fn attributes_fit(attributes: &BTreeMap<String, String>) -> Result<(), Rejection> {
    let plain = |text: &str, signs: &str| {
        let fits = |sign: char| sign.is_ascii_alphanumeric() || signs.contains(sign);
        text.chars().all(fits)
    };
    for (name, value) in attributes {
        let named = (1..=LONGEST_NAME).contains(&name.len()) && plain(name, "_.,@/:#-");
        if !named || value.len() > LONGEST_VALUE || !plain(value, "_.,@/:#=[]-") {
            return Err(Rejection::invalid_parameters(&format!(
                "1 validation error detected: the attribute {name:?} failed to satisfy constraint: Member must satisfy \
                 regular expression pattern: [a-zA-Z0-9_.,@/:#=\\[\\]-]*"
            )));
        }
    }
    Ok(())
}

/// A refusal as the control plane has it, of which devices get another form.
fn told(rejection: &Rejection) -> Value {
    const REGISTRY: &str = "ResourceRegistrationFailureException";
    let message = rejection.error_message.as_str();
    let inner = message
        .strip_prefix(REGISTRY)
        .and_then(|rest| rest.strip_prefix(": "));
    let (code, message) = match (inner, rejection.status_code) {
        (Some(inner), _) => (REGISTRY, inner),
        (None, 500..) => ("InternalFailureException", message),
        (None, _) => ("InvalidRequestException", message),
    };
    json!({ "errorCode": code, "errorMessage": message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_the_registry_does_not_take_are_refused_by_their_name() {
        let fit = |name: &str, value: &str| attributes_fit(&[(name.to_owned(), value.to_owned())].into());
        assert_eq!(fit("site", "north/yard:7"), Ok(()));
        assert_eq!(fit("site", &"x".repeat(800)), Ok(()));
        for (name, value) in [
            ("site", "a b"),
            ("a b", "x"),
            ("", "x"),
            ("site", &"x".repeat(801)),
        ] {
            let refused = fit(name, value).unwrap_err();
            assert!(
                refused.error_message.contains(&format!("{name:?}")),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_refusal_of_the_registry_has_its_own_code_in_a_report() {
        for (rejection, code, message) in [
            (
                Rejection::provisioning_failed("ResourceRegistrationFailureException: no policy."),
                "ResourceRegistrationFailureException",
                "no policy.",
            ),
            (
                Rejection::invalid_parameters("Parameter A has no value."),
                "InvalidRequestException",
                "Parameter A has no value.",
            ),
        ] {
            assert_eq!(
                told(&rejection),
                json!({ "errorCode": code, "errorMessage": message })
            );
        }
        assert_eq!(
            told(&Rejection::internal())["errorCode"],
            "InternalFailureException"
        );
    }
}
