//! Provisioning templates (AWS IoT developer guide, "Provisioning templates"): read once, worked out per device.
//!
//! Kept of a thing: name and attributes. Types and groups are worked out too, so that a missing parameter is found, but
//! nothing here depends on them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Rejection;
use crate::cloud::registry::CertificateStatus;

/// AWS IoT's limit on a template's body.
const BODY_LIMIT: usize = 10_240;

/// Why a template is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The name.
    #[error("a template's name is 1 to 36 letters, digits, _ or -")]
    Name,
    /// The size.
    #[error("a template's body is at most 10240 characters long")]
    TooLong,
    /// The JSON.
    #[error("the template's body can't be read: {0}")]
    Body(String),
    /// The certificate.
    #[error("a template has exactly one AWS::IoT::Certificate")]
    Certificate,
    /// The certificate of a bulk registration, which may do without.
    #[error(
        "a template of a bulk registration has at most one AWS::IoT::Certificate, and one where it has policies"
    )]
    CertificateOfTask,
    /// The thing.
    #[error("a template has at most one AWS::IoT::Thing")]
    Thing,
}

/// A template that was read.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) name: String,
    text: String,
    body: Body,
}

/// A parameter as a form would show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct TemplateParameter {
    pub(crate) name: String,
    pub(crate) required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<String>,
}

/// What a template says about one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) thing: Option<ThingPlan>,
    pub(crate) policies: Vec<PolicyPlan>,
    /// Where it comes from; of no meaning where a device brings it.
    pub(crate) certificate: Option<CertificatePlan>,
    pub(crate) certificate_status: CertificateStatus,
    pub(crate) device_configuration: BTreeMap<String, String>,
}

/// The certificate that a template gives a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CertificatePlan {
    /// One that is there.
    Id(String),
    /// One that is made of this signing request.
    Request(String),
}

/// A policy that a template gives its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PolicyPlan {
    /// One that has to be there.
    Named(String),
    /// One that the template spells out.
    Document(String),
}

/// The thing that a template wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ThingPlan {
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
    override_attributes: Override,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Override {
    DoNothing,
    Replace,
    Merge,
    #[default]
    Fail,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Body {
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
    #[serde(default)]
    mappings: BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>,
    resources: BTreeMap<String, Resource>,
    #[serde(default)]
    device_configuration: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Parameter {
    #[serde(rename = "Type")]
    _string: StringType,
    default: Option<String>,
}

#[derive(Debug, Deserialize)]
enum StringType {
    String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    #[serde(rename = "Type")]
    kind: Kind,
    #[serde(default)]
    properties: BTreeMap<String, Value>,
    #[serde(default)]
    override_settings: OverrideSettings,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
enum Kind {
    #[serde(rename = "AWS::IoT::Thing")]
    Thing,
    #[serde(rename = "AWS::IoT::Certificate")]
    Certificate,
    #[serde(rename = "AWS::IoT::Policy")]
    Policy,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OverrideSettings {
    #[serde(default)]
    attribute_payload: Override,
}

impl Template {
    pub(crate) fn read(name: &str, body: &str) -> Result<Self, TemplateError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !(1..=36).contains(&name.len()) || !name.chars().all(fits) {
            return Err(TemplateError::Name);
        }
        let template = Self::of_body(name, body)?;
        if template.body.of_kind(&Kind::Certificate).count() != 1 {
            return Err(TemplateError::Certificate);
        }
        Ok(template)
    }

    /// A body that a bulk registration brings along: it has no name, and may register things alone.
    pub(crate) fn of_task(body: &str) -> Result<Self, TemplateError> {
        let template = Self::of_body("", body)?;
        let certificates = template.body.of_kind(&Kind::Certificate).count();
        let policies = template.body.of_kind(&Kind::Policy).count();
        if certificates > 1 || (certificates == 0 && policies > 0) {
            return Err(TemplateError::CertificateOfTask);
        }
        Ok(template)
    }

    fn of_body(name: &str, body: &str) -> Result<Self, TemplateError> {
        if body.chars().count() > BODY_LIMIT {
            return Err(TemplateError::TooLong);
        }
        let text = body.to_owned();
        let body: Body =
            serde_json::from_str(body).map_err(|error| TemplateError::Body(error.to_string()))?;
        if body.of_kind(&Kind::Thing).count() > 1 {
            return Err(TemplateError::Thing);
        }
        Ok(Self {
            name: name.into(),
            text,
            body,
        })
    }

    /// The body as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The policies that it names without asking the device.
    pub(crate) fn named_policies(&self) -> impl Iterator<Item = &str> {
        self.body
            .of_kind(&Kind::Policy)
            .filter_map(|policy| policy.properties.get("PolicyName")?.as_str())
    }

    pub(crate) fn parameters(&self) -> Vec<TemplateParameter> {
        let own = self
            .body
            .parameters
            .iter()
            .filter(|(name, _)| !name.starts_with("AWS::"));
        own.map(|(name, parameter)| TemplateParameter {
            name: name.clone(),
            required: parameter.default.is_none(),
            default: parameter.default.clone(),
        })
        .collect()
    }

    /// Works the template out for a device that sent `parameters`.
    pub(crate) fn plan(
        &self,
        parameters: &BTreeMap<String, String>,
        certificate_id: &str,
    ) -> Result<Plan, Rejection> {
        self.worked_out(parameters, Some(certificate_id))
    }

    /// The same for a line of a bulk registration, which says itself where its certificate comes from.
    pub(crate) fn plan_line(&self, parameters: &BTreeMap<String, String>) -> Result<Plan, Rejection> {
        let plan = self.worked_out(parameters, None)?;
        if plan.certificate.is_none() && self.body.of_kind(&Kind::Certificate).count() > 0 {
            return Err(Rejection::template_body(
                "Its certificate needs a CertificateSigningRequest or a CertificateId here.",
            ));
        }
        Ok(plan)
    }

    fn worked_out(
        &self,
        parameters: &BTreeMap<String, String>,
        certificate_id: Option<&str>,
    ) -> Result<Plan, Rejection> {
        let scope = Scope {
            body: &self.body,
            parameters,
            certificate_id,
        };
        let mut plan = Plan {
            thing: None,
            policies: Vec::new(),
            certificate: None,
            certificate_status: CertificateStatus::Active,
            device_configuration: BTreeMap::new(),
        };
        for resource in self.body.resources.values() {
            let properties = scope.map(&resource.properties)?;
            let text = |name: &str| properties.get(name).and_then(Value::as_str);
            match resource.kind {
                Kind::Policy => {
                    plan.policies
                        .push(match (text("PolicyName"), properties.get("PolicyDocument")) {
                            (Some(name), None) => PolicyPlan::Named(name.into()),
                            (None, Some(Value::String(document))) => PolicyPlan::Document(document.clone()),
                            (None, Some(document)) => PolicyPlan::Document(document.to_string()),
                            _ => {
                                return Err(Rejection::template_body(
                                    "A policy has either PolicyName or PolicyDocument.",
                                ));
                            }
                        })
                }
                Kind::Certificate => {
                    // AWS documents "Active" and "Inactive", and users write them in any case.
                    if text("Status").is_some_and(|status| status.eq_ignore_ascii_case("inactive")) {
                        plan.certificate_status = CertificateStatus::Inactive;
                    }
                    let source = (text("CertificateId"), text("CertificateSigningRequest"));
                    plan.certificate = match source {
                        (Some(id), None) => Some(CertificatePlan::Id(id.into())),
                        (None, Some(request)) => Some(CertificatePlan::Request(request.into())),
                        _ => None,
                    };
                }
                Kind::Thing => {
                    let name = text("ThingName").filter(|name| is_thing_name(name));
                    let name =
                        name.ok_or_else(|| Rejection::invalid_parameters("ThingName is no thing's name."))?;
                    plan.thing = Some(ThingPlan {
                        name: name.into(),
                        attributes: flat(properties.get("AttributePayload"))?,
                        override_attributes: resource.override_settings.attribute_payload,
                    });
                }
            }
        }
        for (name, value) in &self.body.device_configuration {
            plan.device_configuration.insert(name.clone(), scope.text(value)?);
        }
        Ok(plan)
    }
}

impl ThingPlan {
    /// The attributes that a thing has after this, if it had `old` before.
    pub(crate) fn over(self, old: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Rejection> {
        match self.override_attributes {
            Override::DoNothing => Ok(old.clone()),
            Override::Replace => Ok(self.attributes),
            Override::Merge => Ok(old.clone().into_iter().chain(self.attributes).collect()),
            Override::Fail => {
                let differs =
                    |(name, value): (&String, &String)| old.get(name).is_some_and(|old| old != value);
                if self.attributes.iter().any(differs) {
                    let name = &self.name;
                    return Err(Rejection::provisioning_failed(&format!(
                        "ResourceRegistrationFailureException: thing {name} has other attributes already."
                    )));
                }
                Ok(old.clone().into_iter().chain(self.attributes).collect())
            }
        }
    }
}

impl Body {
    fn of_kind<'a>(&'a self, kind: &'a Kind) -> impl Iterator<Item = &'a Resource> {
        self.resources
            .values()
            .filter(move |resource| resource.kind == *kind)
    }
}

struct Scope<'a> {
    body: &'a Body,
    parameters: &'a BTreeMap<String, String>,
    /// None where no device brings one.
    certificate_id: Option<&'a str>,
}

impl Scope<'_> {
    fn map(&self, values: &BTreeMap<String, Value>) -> Result<BTreeMap<String, Value>, Rejection> {
        values
            .iter()
            .map(|(name, value)| Ok((name.clone(), self.value(value)?)))
            .collect()
    }

    /// A value with every function worked out. An object with one member whose name is a function's is a call.
    fn value(&self, value: &Value) -> Result<Value, Rejection> {
        let Value::Object(members) = value else {
            return match value {
                Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
                plain => Ok(plain.clone()),
            };
        };
        let mut calls = members.iter();
        if let (Some((function, argument)), None) = (calls.next(), calls.next())
            && let Some(result) = self.call(function, argument)
        {
            return result;
        }
        members
            .iter()
            .map(|(name, value)| Ok((name.clone(), self.value(value)?)))
            .collect()
    }

    fn call(&self, function: &str, argument: &Value) -> Option<Result<Value, Rejection>> {
        Some(match function {
            "Ref" => self
                .text(argument)
                .and_then(|name| self.parameter(&name))
                .map(Value::from),
            "Fn::Join" => self.join(argument).map(Value::from),
            "Fn::Split" => self.split(argument),
            "Fn::Select" => self.select(argument),
            "Fn::FindInMap" => self.find_in_map(argument).map(Value::from),
            "Fn::Sub" => self.substitute(argument).map(Value::from),
            _ => return None,
        })
    }

    fn text(&self, value: &Value) -> Result<String, Rejection> {
        match self.value(value)? {
            Value::String(text) => Ok(text),
            _ => Err(Rejection::invalid_parameters(
                "The template needs a string where it has none.",
            )),
        }
    }

    fn parameter(&self, name: &str) -> Result<String, Rejection> {
        if let (Some(id), "AWS::IoT::Certificate::Id") = (self.certificate_id, name) {
            return Ok(id.into());
        }
        let declared = self.body.parameters.get(name);
        let sent = self.parameters.get(name).filter(|_| declared.is_some());
        sent.or(declared.and_then(|parameter| parameter.default.as_ref()))
            .cloned()
            .ok_or_else(|| Rejection::invalid_parameters(&format!("Parameter {name} has no value.")))
    }

    fn join(&self, argument: &Value) -> Result<String, Rejection> {
        let [separator, parts] = two(argument)?;
        let parts = list(self.value(parts)?)?;
        let parts = parts
            .iter()
            .map(|part| self.text(part))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(parts.join(&self.text(separator)?))
    }

    fn split(&self, argument: &Value) -> Result<Value, Rejection> {
        let [separator, whole] = two(argument)?;
        Ok(self
            .text(whole)?
            .split(&self.text(separator)?)
            .map(Value::from)
            .collect())
    }

    fn select(&self, argument: &Value) -> Result<Value, Rejection> {
        let [index, items] = two(argument)?;
        let items = list(self.value(items)?)?;
        let index = match self.value(index)? {
            Value::String(text) => text.parse().ok(),
            number => number.as_u64().and_then(|number| usize::try_from(number).ok()),
        };
        let selected = index.and_then(|index: usize| items.get(index).cloned());
        selected.ok_or_else(|| Rejection::invalid_parameters("Fn::Select is out of range."))
    }

    fn find_in_map(&self, argument: &Value) -> Result<String, Rejection> {
        let keys = list(argument.clone())?;
        let keys = keys
            .iter()
            .map(|key| self.text(key))
            .collect::<Result<Vec<_>, _>>()?;
        let [map, first, second] = keys.as_slice() else {
            return Err(Rejection::invalid_parameters("Fn::FindInMap takes three keys."));
        };
        let found = self
            .body
            .mappings
            .get(map)
            .and_then(|map| map.get(first)?.get(second));
        found
            .cloned()
            .ok_or_else(|| Rejection::invalid_parameters("Fn::FindInMap found nothing."))
    }

    /// `${Name}` is a parameter, or a member of the second argument; `${!Name}` stands for `${Name}` itself.
    fn substitute(&self, argument: &Value) -> Result<String, Rejection> {
        let none = Value::Object(serde_json::Map::new());
        let [pattern, own] = match argument {
            Value::Array(_) => two(argument)?,
            pattern => [pattern, &none],
        };
        let pattern = self.text(pattern)?;
        let mut rest = pattern.as_str();
        let mut whole = String::new();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| Rejection::invalid_parameters("Fn::Sub has a ${ without its }."))?;
            whole.push_str(before);
            match (name.strip_prefix('!'), own.get(name)) {
                (Some(literal), _) => whole.extend(["${", literal, "}"]),
                (None, Some(value)) => whole.push_str(&self.text(value)?),
                (None, None) => whole.push_str(&self.parameter(name)?),
            }
            rest = after;
        }
        whole.push_str(rest);
        Ok(whole)
    }
}

/// AWS IoT: 1 to 128 letters, digits, `:`, `_`, `-`.
fn is_thing_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-');
    (1..=128).contains(&name.len()) && name.chars().all(fits)
}

fn flat(value: Option<&Value>) -> Result<BTreeMap<String, String>, Rejection> {
    let Some(value) = value else {
        return Ok(BTreeMap::new());
    };
    serde_json::from_value(value.clone())
        .map_err(|_| Rejection::invalid_parameters("AttributePayload is no map of strings."))
}

fn list(value: Value) -> Result<Vec<Value>, Rejection> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(Rejection::invalid_parameters(
            "The template needs a list where it has none.",
        )),
    }
}

fn two(argument: &Value) -> Result<[&Value; 2], Rejection> {
    match argument.as_array().map(Vec::as_slice) {
        Some([first, second]) => Ok([first, second]),
        _ => Err(Rejection::invalid_parameters(
            "A function of the template takes two arguments.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn template(thing: &Value, override_settings: &Value) -> Template {
        let body = json!({
            "Parameters": {
                "SerialNumber": {"Type": "String"},
                "Site": {"Type": "String", "Default": "yard"},
                "AWS::IoT::Certificate::Id": {"Type": "String"},
            },
            "Mappings": {"Country": {"DE": {"zone": "eu"}}},
            "Resources": {
                "thing": {"Type": "AWS::IoT::Thing", "Properties": thing, "OverrideSettings": override_settings},
                "certificate": {
                    "Type": "AWS::IoT::Certificate",
                    "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
                },
            },
        });
        Template::read("T", &body.to_string()).unwrap()
    }

    fn parameters() -> BTreeMap<String, String> {
        BTreeMap::from([("SerialNumber".to_owned(), "FK-7".to_owned())])
    }

    fn attribute(value: &Value) -> Result<String, Rejection> {
        let template = template(
            &json!({"ThingName": "x", "AttributePayload": {"a": value}}),
            &json!({}),
        );
        let plan = template.plan(&parameters(), "c0ffee")?;
        Ok(plan.thing.unwrap().attributes["a"].clone())
    }

    #[test]
    fn functions_are_worked_out() {
        for (value, expected) in [
            (json!({"Ref": "Site"}), "yard"),
            (json!({"Ref": "AWS::IoT::Certificate::Id"}), "c0ffee"),
            (
                json!({"Fn::Join": ["-", ["a", {"Ref": "SerialNumber"}]]}),
                "a-FK-7",
            ),
            (
                json!({"Fn::Sub": "${Site}/${SerialNumber}/${!Site}"}),
                "yard/FK-7/${Site}",
            ),
            (
                json!({"Fn::Sub": ["${x}.${Site}", {"x": {"Ref": "SerialNumber"}}]}),
                "FK-7.yard",
            ),
            (
                json!({"Fn::Select": ["1", {"Fn::Split": ["-", {"Ref": "SerialNumber"}]}]}),
                "7",
            ),
            (json!({"Fn::Select": [0, ["p", "q"]]}), "p"),
            (json!({"Fn::FindInMap": ["Country", "DE", "zone"]}), "eu"),
            (
                json!({"Fn::Join": ["", {"Fn::Split": ["K", {"Ref": "SerialNumber"}]}]}),
                "F-7",
            ),
        ] {
            assert_eq!(attribute(&value).as_deref(), Ok(expected), "{value}");
        }
    }

    #[test]
    fn what_has_no_value_is_named() {
        let error = attribute(&json!({"Ref": "Nothing"})).unwrap_err();
        assert_eq!(error.error_code, "InvalidParameters");
        assert!(error.error_message.contains("Nothing"), "{error:?}");
        for value in [
            json!({"Fn::Select": ["9", ["p"]]}),
            json!({"Fn::Sub": "${Site"}),
            json!({"Fn::Join": ["-"]}),
            json!({"Fn::FindInMap": ["Country", "FR", "zone"]}),
            json!(7),
        ] {
            assert_eq!(
                attribute(&value).unwrap_err().error_code,
                "InvalidParameters",
                "{value}"
            );
        }
        let template = template(&json!({"ThingName": {"Ref": "SerialNumber"}}), &json!({}));
        let error = template.plan(&BTreeMap::new(), "c0ffee").unwrap_err();
        assert!(error.error_message.contains("SerialNumber"), "{error:?}");
        let bad = BTreeMap::from([("SerialNumber".to_owned(), "a/b".to_owned())]);
        template.plan(&bad, "c0ffee").unwrap_err();
    }

    #[test]
    fn an_old_thing_keeps_or_changes_its_attributes_as_the_template_says() {
        let old = BTreeMap::from([
            ("a".to_owned(), "old".to_owned()),
            ("b".to_owned(), "b".to_owned()),
        ]);
        let over = |setting: Value| {
            let thing = json!({"ThingName": "x", "AttributePayload": {"a": "new"}});
            let plan = template(&thing, &json!({"AttributePayload": setting}))
                .plan(&parameters(), "c")
                .unwrap();
            plan.thing.unwrap().over(&old)
        };
        assert_eq!(over(json!("DO_NOTHING")), Ok(old.clone()));
        assert_eq!(over(json!("REPLACE")).unwrap().len(), 1);
        let merged = over(json!("MERGE")).unwrap();
        assert_eq!((merged["a"].as_str(), merged["b"].as_str()), ("new", "b"));
        assert_eq!(over(json!("FAIL")).unwrap_err().error_code, "ProvisioningFailed");
    }

    #[test]
    fn templates_that_can_never_work_are_refused_at_once() {
        let no_certificate = json!({"Resources": {}}).to_string();
        assert_eq!(
            Template::read("T", &no_certificate).unwrap_err(),
            TemplateError::Certificate
        );
        assert_eq!(Template::read("", "{}").unwrap_err(), TemplateError::Name);
        assert_eq!(
            Template::read(&"x".repeat(37), "{}").unwrap_err(),
            TemplateError::Name
        );
        assert_eq!(
            Template::read("T", &" ".repeat(10_241)).unwrap_err(),
            TemplateError::TooLong
        );
        assert!(matches!(Template::read("T", "{"), Err(TemplateError::Body(_))));
    }

    #[test]
    fn a_task_takes_things_alone_and_certificates_that_lines_bring_and_no_policy_without_one() {
        let thing = json!({"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Name"}}});
        let policy = json!({"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "p"}});
        let body = |resources: &Value| {
            let parameters =
                json!({"Name": {"Type": "String"}, "CSR": {"Type": "String", "Default": "request"}});
            json!({"Parameters": parameters, "Resources": resources}).to_string()
        };
        let given = BTreeMap::from([("Name".to_owned(), "FK-1".to_owned())]);
        let certificate =
            |properties: Value| json!({"Type": "AWS::IoT::Certificate", "Properties": properties});

        let alone = Template::of_task(&body(&json!({"thing": thing}))).unwrap();
        let plan = alone.plan_line(&given).unwrap();
        assert_eq!(
            (plan.thing.unwrap().name.as_str(), plan.certificate),
            ("FK-1", None)
        );

        let source = |properties: Value| {
            let resources = json!({"thing": thing, "certificate": certificate(properties), "policy": policy});
            Template::of_task(&body(&resources)).unwrap().plan_line(&given)
        };
        let made = source(json!({"CertificateSigningRequest": {"Ref": "CSR"}})).unwrap();
        assert_eq!(made.certificate, Some(CertificatePlan::Request("request".into())));
        let there = source(json!({"CertificateId": "c0ffee"})).unwrap();
        assert_eq!(there.certificate, Some(CertificatePlan::Id("c0ffee".into())));
        for of_a_device in [
            json!({}),
            json!({"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}),
        ] {
            source(of_a_device).unwrap_err();
        }

        for resources in [
            json!({"thing": thing, "policy": policy}),
            json!({"a": certificate(json!({})), "b": certificate(json!({}))}),
        ] {
            assert_eq!(
                Template::of_task(&body(&resources)).unwrap_err(),
                TemplateError::CertificateOfTask
            );
        }
    }

    #[test]
    fn parameters_are_shown_as_a_form_needs_them() {
        let shown = template(&json!({"ThingName": "x"}), &json!({})).parameters();
        let shown: Vec<_> = shown
            .iter()
            .map(|it| (it.name.as_str(), it.required, it.default.as_deref()))
            .collect();
        assert_eq!(
            shown,
            [("SerialNumber", true, None), ("Site", false, Some("yard"))]
        );
    }
}
