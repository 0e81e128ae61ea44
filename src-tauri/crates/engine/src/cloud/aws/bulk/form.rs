//! What a template's body wants of each line: its parameters, and what it makes of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use thiserror::Error;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::lint::refs;
use super::super::template::{
    ATTRIBUTE_SIGNS, LONGEST_THING, LONGEST_VALUE, NAME_SIGNS, USUAL_SERIAL, is_of, is_serial, parameters,
    text,
};
use crate::ports::TemplateParameter;

/// Longest body of a template (StartThingRegistrationTask, `templateBody`).
const LONGEST_BODY: usize = 10_240;
/// Longest name of an attribute.
const LONGEST_NAME: usize = 128;
/// Attributes of a thing without a type, and with one.
const MOST_ATTRIBUTES: (usize, usize) = (3, 50);

/// What a line has to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    pub(super) parameters: Vec<TemplateParameter>,
    /// Without a template only what holds for any can be checked.
    thing: Option<Thing>,
}

#[derive(Clone, Debug, PartialEq)]
struct Thing {
    name: Value,
    attributes: Map<String, Value>,
}

/// Why a template's body is none for bulk registration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormError {
    /// It is longer than AWS takes.
    #[error("the template has {0} characters; AWS takes {LONGEST_BODY}")]
    TooLong(usize),
    /// It cannot be read.
    #[error("the template is no JSON (line {line}, column {column})")]
    NoJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It has no parameters, so that all lines would make the same thing.
    #[error("the template has no Parameters, so that every line would make the same thing")]
    NoParameters,
    /// It registers no thing, or one without a name.
    #[error("the template has no AWS::IoT::Thing with a ThingName")]
    NoThing,
    /// It refers to what is no parameter.
    #[error("the template refers to {0}, which is none of its Parameters")]
    Unknown(String),
    /// Its thing has more attributes than AWS takes.
    #[error("the template gives the thing {has} attributes; AWS takes {most}, or {} with a ThingTypeName", MOST_ATTRIBUTES.1)]
    Attributes {
        /// How many it has.
        has: usize,
        /// How many there may be.
        most: usize,
    },
}

impl Form {
    /// Reads a template's body.
    ///
    /// # Errors
    /// [`FormError`].
    pub fn of_template(body: &str) -> Result<Self, FormError> {
        let length = body.chars().count();
        if length > LONGEST_BODY {
            return Err(FormError::TooLong(length));
        }
        let body: Value = serde_json::from_str(body).map_err(|error| FormError::NoJson {
            line: error.line(),
            column: error.column().max(1),
        })?;
        let parameters = parameters(&body);
        if parameters.is_empty() {
            return Err(FormError::NoParameters);
        }
        let mut names = Vec::new();
        refs(body.get("Resources"), &mut names);
        let known = |name: &str| {
            name.starts_with("AWS::") || parameters.iter().any(|parameter| parameter.name == name)
        };
        if let Some(name) = names.into_iter().find(|name| !known(name)) {
            return Err(FormError::Unknown(name.to_owned()));
        }
        let thing = Thing::read(&body)?;
        Ok(Self {
            parameters,
            thing: Some(thing),
        })
    }

    /// What these columns are taken for where no template tells: each a parameter of its name.
    pub(super) fn of_columns<'c>(columns: impl Iterator<Item = &'c str>) -> Self {
        let parameters = columns.map(|column| TemplateParameter {
            name: if column.eq_ignore_ascii_case("serial") {
                USUAL_SERIAL.to_owned()
            } else {
                column.to_owned()
            },
            required: true,
            default: None,
        });
        Self {
            parameters: parameters.collect(),
            thing: None,
        }
    }

    /// The parameter for the serial number.
    pub(super) fn serial(&self) -> Option<&str> {
        let mut names = self.parameters.iter().map(|parameter| parameter.name.as_str());
        names.find(|name| is_serial(name))
    }

    /// The parameter that a column is for: of its name, in whatever case, or the serial number's.
    pub(super) fn parameter(&self, column: &str) -> Option<&str> {
        let mut names = self.parameters.iter().map(|parameter| parameter.name.as_str());
        let by_name = names.find(|name| name.eq_ignore_ascii_case(column));
        by_name.or_else(|| self.serial().filter(|_| is_serial(column)))
    }

    /// All parameters by name, for a sentence.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self
            .parameters
            .iter()
            .map(|parameter| parameter.name.as_str())
            .collect();
        names.join(", ")
    }

    fn complete(&self, given: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut all = given.clone();
        for parameter in &self.parameters {
            if let Some(default) = &parameter.default {
                all.entry(parameter.name.clone())
                    .or_insert_with(|| default.clone());
            }
        }
        all
    }

    /// What the device of this line is called in the registry; none where that cannot be told from here.
    pub(super) fn thing_name(&self, given: &BTreeMap<String, String>) -> Option<String> {
        text(&self.thing.as_ref()?.name, &self.complete(given))
    }

    /// What is wrong with a line's values, each with its parameter.
    pub(super) fn faults(&self, given: &BTreeMap<String, String>) -> Vec<(Option<String>, String)> {
        let mut faults = Vec::new();
        for parameter in self.parameters.iter().filter(|parameter| parameter.required) {
            if given.get(&parameter.name).is_none_or(String::is_empty) {
                let why = "this is missing, and the template has no default for it; give it";
                faults.push((Some(parameter.name.clone()), why.to_owned()));
            }
        }
        for (name, value) in given {
            if !self.parameters.iter().any(|parameter| parameter.name == *name) {
                let why = format!("the template has no such parameter; it has {}", self.names());
                faults.push((Some(name.clone()), why));
            }
            if let Some(why) = pem_fault(value) {
                faults.push((Some(name.clone()), why.to_owned()));
            }
        }
        if faults.is_empty() {
            faults.extend(self.made(given).into_iter().map(|why| (None, why)));
        }
        faults
    }

    /// What is wrong with what the template makes of the values.
    fn made(&self, given: &BTreeMap<String, String>) -> Vec<String> {
        let mut faults = Vec::new();
        let Some(thing) = &self.thing else {
            return faults;
        };
        let all = self.complete(given);
        if let Some(name) = text(&thing.name, &all)
            && !is_of(&name, 1, LONGEST_THING, NAME_SIGNS)
        {
            faults.push(format!(
                "the thing would be called {}, but its name has 1 to {LONGEST_THING} letters, digits, '-', '_' or ':'",
                shown(&name)
            ));
        }
        for (name, value) in &thing.attributes {
            let Some(value) = text(value, &all) else { continue };
            if !is_of(&value, 0, LONGEST_VALUE, ATTRIBUTE_SIGNS) {
                faults.push(format!(
                    "the attribute {name} would be {}, but it has at most {} letters, digits and signs of {ATTRIBUTE_SIGNS}",
                    shown(&value),
                    LONGEST_VALUE
                ));
            }
            if !is_of(name, 1, LONGEST_NAME, "_.,@/:#-") {
                faults.push(format!(
                    "no attribute can be called {}; correct the template",
                    shown(name)
                ));
            }
        }
        faults
    }
}

impl Thing {
    fn read(body: &Value) -> Result<Self, FormError> {
        let resources = body
            .get("Resources")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(Map::values);
        let properties = resources
            .filter(|resource| resource.get("Type").and_then(Value::as_str) == Some("AWS::IoT::Thing"))
            .find_map(|thing| thing.get("Properties"))
            .ok_or(FormError::NoThing)?;
        let name = properties.get("ThingName").ok_or(FormError::NoThing)?.clone();
        let attributes = properties
            .get("AttributePayload")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let (bare, typed) = MOST_ATTRIBUTES;
        let most = if properties.get("ThingTypeName").is_some() {
            typed
        } else {
            bare
        };
        if attributes.len() > most {
            return Err(FormError::Attributes {
                has: attributes.len(),
                most,
            });
        }
        Ok(Self { name, attributes })
    }
}

/// As much of a text as a sentence bears.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    let rest = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{rest}")
}

/// What is wrong with a value in PEM; nothing with any other. A private key has no place in a file for S3.
fn pem_fault(value: &str) -> Option<&'static str> {
    if value.contains("PRIVATE KEY-----") {
        return Some(
            "this is a private key, which must never leave its device; take it out, and have the key replaced",
        );
    }
    if !value.trim_start().starts_with("-----BEGIN") {
        return None;
    }
    let broken = Some("this PEM is damaged; copy the whole text, with its BEGIN and END lines");
    let Ok((_, pem)) = parse_x509_pem(value.as_bytes()) else {
        return broken;
    };
    let sound = match pem.label.as_str() {
        "CERTIFICATE" => X509Certificate::from_der(&pem.contents).is_ok(),
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
            X509CertificationRequest::from_der(&pem.contents).is_ok()
        }
        _ => return Some("this is neither a certificate nor a signing request; give one of them"),
    };
    if sound { None } else { broken }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"Parameters":{"SerialNumber":{"Type":"String"},"Site":{"Type":"String","Default":"yard"}},
        "Resources":{"thing":{"Type":"AWS::IoT::Thing","Properties":{
        "ThingName":{"Fn::Join":["",["acme-",{"Ref":"SerialNumber"}]]},"AttributePayload":{"site":{"Ref":"Site"}}}}}}"#;

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn each_template_that_cannot_serve_is_refused_for_its_own_reason() {
        let table = [
            ("{".to_owned(), "no JSON (line 1"),
            (BODY.replace("\"Parameters\"", "\"Other\""), "no Parameters"),
            (
                BODY.replace("AWS::IoT::Thing\"", "AWS::IoT::Policy\""),
                "no AWS::IoT::Thing",
            ),
            (
                BODY.replace("\"Ref\":\"Site\"", "\"Ref\":\"Place\""),
                "refers to Place",
            ),
            (
                BODY.replace("\"site\":", "\"a\":\"1\",\"b\":\"2\",\"c\":\"3\",\"site\":"),
                "4 attributes; AWS takes 3",
            ),
            (format!("{BODY}{}", " ".repeat(10_240)), "AWS takes 10240"),
        ];
        for (body, says) in table {
            let error = Form::of_template(&body).unwrap_err().to_string();
            assert!(error.contains(says), "{error:?} does not say {says:?}");
        }
    }

    #[test]
    fn each_value_that_aws_would_refuse_is_found() {
        let form = Form::of_template(BODY).unwrap();
        assert_eq!(form.faults(&given(&[("SerialNumber", "FK-1")])), []);
        let long = "x".repeat(124);
        let table = [
            (given(&[("Site", "yard")]), "no default"),
            (
                given(&[("SerialNumber", "FK-1"), ("Colour", "red")]),
                "no such parameter",
            ),
            (given(&[("SerialNumber", "FK 1")]), "would be called"),
            (given(&[("SerialNumber", long.as_str())]), "1 to 128"),
            (
                given(&[("SerialNumber", "FK-1"), ("Site", "a b")]),
                "the attribute site",
            ),
            (
                given(&[("SerialNumber", "-----BEGIN EC PRIVATE KEY-----")]),
                "private key",
            ),
            (
                given(&[("SerialNumber", "-----BEGIN CERTIFICATE-----\nAAAA")]),
                "damaged",
            ),
        ];
        for (given, says) in table {
            let faults = form.faults(&given);
            assert!(
                faults.iter().any(|(_, why)| why.contains(says)),
                "{faults:?} do not say {says:?}"
            );
        }
    }

    #[test]
    fn a_signing_request_and_a_certificate_are_taken() {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        let request = params.serialize_request(&key).unwrap().pem().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        assert_eq!(pem_fault(&request), None);
        assert_eq!(pem_fault(&certificate), None);
        assert!(pem_fault(&key.serialize_pem()).unwrap().contains("private key"));
    }
}
