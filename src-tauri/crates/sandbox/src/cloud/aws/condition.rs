//! Conditions of policies: what a request has to be like besides (IAM user guide, "IAM JSON policy elements:
//! Condition").
//!
//! Operators on texts and on truth. A document with another operator cannot be used, rather than being taken to allow more.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::iam::{OneOrMany, fits};

/// What is known of a request, by the names of conditions' keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Context(BTreeMap<String, Vec<String>>);

impl Context {
    /// The same with this key known. IAM takes names of keys in any case.
    pub(super) fn with(mut self, key: &str, value: &str) -> Self {
        let values = self.0.entry(key.to_ascii_lowercase()).or_default();
        values.push(value.to_owned());
        self
    }

    fn values(&self, key: &str) -> &[String] {
        self.0
            .get(&key.to_ascii_lowercase())
            .map_or(&[], |values| values.as_slice())
    }
}

/// The conditions of a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Conditions(BTreeMap<Operator, BTreeMap<String, OneOrMany<String>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
enum Operator {
    StringEquals,
    StringLike,
    Bool,
    #[serde(rename = "ForAnyValue:StringEquals")]
    AnyEquals,
    #[serde(rename = "ForAnyValue:StringLike")]
    AnyLike,
}

impl Operator {
    fn holds(self, wanted: &str, value: &str) -> bool {
        match self {
            Self::StringEquals | Self::AnyEquals => wanted == value,
            Self::Bool => wanted.eq_ignore_ascii_case(value),
            Self::StringLike | Self::AnyLike => fits(wanted, value),
        }
    }
}

impl Conditions {
    /// Whether all hold: each operator, each of its keys, by any of the values that are written for it. One about a key
    /// that is not known of the request does not.
    pub(super) fn hold(&self, context: &Context) -> bool {
        self.0.iter().all(|(operator, keys)| {
            keys.iter().all(|(key, wanted)| {
                let values = context.values(key);
                wanted
                    .all()
                    .iter()
                    .any(|wanted| values.iter().any(|value| operator.holds(wanted, value)))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(conditions: &str) -> bool {
        let context = Context::default()
            .with("issuer.example:aud", "fieldkey")
            .with("issuer.example:sub", "rita");
        let conditions: Conditions = serde_json::from_str(conditions).unwrap();
        conditions.hold(&context)
    }

    #[test]
    fn every_condition_has_to_hold_by_one_of_its_values() {
        for (conditions, holds) in [
            ("{}", true),
            (r#"{"StringEquals": {"issuer.example:aud": "fieldkey"}}"#, true),
            (r#"{"StringEquals": {"ISSUER.example:AUD": "fieldkey"}}"#, true),
            (
                r#"{"StringEquals": {"issuer.example:sub": ["anna", "rita"]}}"#,
                true,
            ),
            (r#"{"StringEquals": {"issuer.example:sub": []}}"#, false),
            (r#"{"StringEquals": {"issuer.example:sub": "r*"}}"#, false),
            (r#"{"StringLike": {"issuer.example:sub": "r*"}}"#, true),
            (
                r#"{"ForAnyValue:StringLike": {"issuer.example:sub": "r*"}}"#,
                true,
            ),
            (
                r#"{"StringEquals": {"issuer.example:aud": "fieldkey", "issuer.example:sub": "anna"}}"#,
                false,
            ),
            (
                r#"{"StringEquals": {"issuer.example:aud": "fieldkey"}, "StringLike": {"issuer.example:sub": "a*"}}"#,
                false,
            ),
            (r#"{"StringEquals": {"issuer.example:amr": "rita"}}"#, false),
        ] {
            assert_eq!(hold(conditions), holds, "{conditions}");
        }
    }

    #[test]
    fn an_operator_that_is_not_known_is_not_passed_over() {
        let odd = r#"{"StringNotEquals": {"issuer.example:sub": "rita"}}"#;
        assert!(serde_json::from_str::<Conditions>(odd).is_err());
    }
}
