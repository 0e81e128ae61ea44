//! The provisioning template as far as it can be known before a claim is spent: whether it is on, what it wants of a
//! device, and what it will do with a thing that is there already.
//!
//! Not here: running it. AWS does that when the device registers, and what is told here is told only where it is sure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::lint::refs;
use crate::ports::{FieldRule, FillError, FormField, TemplateParameter};
use crate::settings::Strategy;

/// Longest value of an attribute, in characters.
pub(super) const LONGEST_VALUE: usize = 800;
/// Longest name of a thing.
pub(super) const LONGEST_THING: usize = 128;
/// What an attribute's value may have beside letters and digits (AWS IoT API reference, AttributePayload).
pub(super) const ATTRIBUTE_SIGNS: &str = "_.,@/:#=[]-";
/// What a thing's name may have beside letters and digits.
pub(super) const NAME_SIGNS: &str = "_:-";

/// Values for parameters, by name.
pub(super) type Values = BTreeMap<String, String>;

/// What a parameter for the serial number may be called; compared without case and signs.
const SERIALS: [&str; 4] = ["serialnumber", "serial", "deviceserial", "deviceserialnumber"];
/// The name for it where the template may not be read.
pub(super) const USUAL_SERIAL: &str = "SerialNumber";

/// The answer of DescribeProvisioningTemplate.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TemplateAnswer {
    pub(super) template_name: String,
    #[serde(default)]
    template_arn: Option<String>,
    /// Off unless somebody switched it on.
    #[serde(default)]
    pub(super) enabled: bool,
    template_body: String,
    #[serde(default)]
    pre_provisioning_hook: Option<Value>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

/// A template that was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) enabled: bool,
    /// The account, as the template's own name tells it.
    pub(super) account: Option<String>,
    hook: bool,
    jitp: bool,
    pub(super) parameters: Vec<TemplateParameter>,
    thing: Option<ThingPlan>,
}

#[derive(Clone, Debug, PartialEq)]
struct ThingPlan {
    name: Option<Value>,
    attributes: Map<String, Value>,
    /// Whether attributes of a thing that is there may change.
    gives_way: bool,
}

impl TemplateAnswer {
    /// # Errors
    /// What is wrong with its body.
    pub(super) fn plan(&self) -> Result<Plan, String> {
        let body: Value = serde_json::from_str(&self.template_body)
            .map_err(|_| "the template's body is no JSON".to_owned())?;
        let things = body
            .get("Resources")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(Map::values);
        let thing = things
            .filter(|resource| resource.get("Type").and_then(Value::as_str) == Some("AWS::IoT::Thing"))
            .map(ThingPlan::read)
            .next();
        Ok(Plan {
            enabled: self.enabled,
            account: self
                .template_arn
                .as_deref()
                .and_then(|arn| arn.split(':').nth(4))
                .filter(|account| !account.is_empty())
                .map(str::to_owned),
            hook: self
                .pre_provisioning_hook
                .as_ref()
                .is_some_and(|hook| !hook.is_null()),
            jitp: self.kind.as_deref() == Some("JITP"),
            parameters: parameters(&body),
            thing,
        })
    }
}

impl ThingPlan {
    fn read(resource: &Value) -> Self {
        let properties = resource.get("Properties");
        let rule = resource
            .get("OverrideSettings")
            .and_then(|rules| rules.get("AttributePayload"));
        Self {
            name: properties
                .and_then(|properties| properties.get("ThingName"))
                .cloned(),
            attributes: properties
                .and_then(|properties| properties.get("AttributePayload"))
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default(),
            gives_way: matches!(
                rule.and_then(Value::as_str),
                Some("REPLACE" | "MERGE" | "DO_NOTHING")
            ),
        }
    }
}

/// The parameters that somebody has to give; those of AWS itself come from the certificate.
pub(super) fn parameters(body: &Value) -> Vec<TemplateParameter> {
    let all = body
        .get("Parameters")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    all.filter(|(name, _)| !name.starts_with("AWS::"))
        .map(|(name, parameter)| {
            let default = parameter
                .get("Default")
                .and_then(Value::as_str)
                .map(str::to_owned);
            TemplateParameter {
                name: name.clone(),
                required: default.is_none(),
                default,
            }
        })
        .collect()
}

pub(super) fn is_serial(parameter: &str) -> bool {
    let plain: String = parameter
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|sign| sign.to_ascii_lowercase())
        .collect();
    SERIALS.contains(&plain.as_str())
}

impl Plan {
    /// What a device with this serial number has to hand back when it registers: the serial, and what was given.
    pub(super) fn given(&self, serial: &str, values: &Values) -> BTreeMap<String, String> {
        let known = |parameter: &TemplateParameter| {
            let value = if is_serial(&parameter.name) {
                Some(serial.to_owned())
            } else {
                values.get(&parameter.name).cloned()
            };
            value.map(|value| (parameter.name.clone(), value))
        };
        self.parameters.iter().filter_map(known).collect()
    }

    /// The parameters that somebody may give, where the profile gives these and names those that come with the device.
    pub(super) fn form(&self, of_profile: &Values, supplied: &[String]) -> Vec<FormField> {
        let field = |parameter: &TemplateParameter| {
            let usual = of_profile.get(&parameter.name).or(parameter.default.as_ref());
            let rule = self.rule(&parameter.name);
            FormField {
                name: parameter.name.clone(),
                required: usual.is_none() && !supplied.contains(&parameter.name),
                usual: usual.cloned(),
                rule,
                pattern: pattern(rule),
            }
        };
        self.open().map(field).collect()
    }

    /// Whether somebody may give this parameter.
    pub(super) fn asks_for(&self, name: &str) -> bool {
        self.open().any(|parameter| parameter.name == name)
    }

    /// Whether a template like this takes such values, where others come with the device or from the hook.
    pub(super) fn takes(&self, values: &Values, supplied: &[String]) -> Result<(), FillError> {
        for (name, value) in values {
            if !self.asks_for(name) {
                return Err(FillError::Unknown(name.clone()));
            }
            fits(name, value, self.rule(name))?;
        }
        let lacks = |parameter: &&TemplateParameter| {
            let name = &parameter.name;
            parameter.required && !values.contains_key(name) && !supplied.contains(name)
        };
        let missing: Vec<String> = self
            .open()
            .filter(lacks)
            .map(|parameter| parameter.name.clone())
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(FillError::Missing(missing))
        }
    }

    /// All but the serial number.
    fn open(&self) -> impl Iterator<Item = &TemplateParameter> {
        self.parameters
            .iter()
            .filter(|parameter| !is_serial(&parameter.name))
    }

    /// What a value of this parameter has to be.
    fn rule(&self, name: &str) -> FieldRule {
        let Some(thing) = &self.thing else {
            return FieldRule::Line;
        };
        if thing.name.as_ref().is_some_and(|made| refers(made, name)) {
            FieldRule::Name
        } else if thing.attributes.values().any(|made| refers(made, name)) {
            FieldRule::Attribute
        } else {
            FieldRule::Line
        }
    }

    /// What AWS would not take of what this template makes of such values; none where all is well, or not certain.
    pub(super) fn unfit(&self, serial: &str, values: &Values) -> Option<String> {
        let thing = self.thing.as_ref()?;
        let given = self.given(serial, values);
        let name = thing.name.as_ref().and_then(|name| text(name, &given));
        if let Some(name) = name
            && !is_of(&name, 1, LONGEST_THING, NAME_SIGNS)
        {
            return Some(format!(
                "the device would be called {name:?}, and a thing's name has 1 to {LONGEST_THING} letters, digits and \
                 signs of {NAME_SIGNS}"
            ));
        }
        let mut made = thing
            .attributes
            .iter()
            .filter_map(|(name, value)| Some((name, text(value, &given)?)));
        let (name, value) = made.find(|(_, value)| !is_of(value, 0, LONGEST_VALUE, ATTRIBUTE_SIGNS))?;
        Some(format!(
            "the attribute {name} would be {value:?}, and an attribute has at most {LONGEST_VALUE} letters, digits and \
             signs of {ATTRIBUTE_SIGNS}"
        ))
    }

    /// What is odd about what the profile says of the parameters, one sentence each.
    pub(super) fn remarks_about(&self, of_profile: &Values, supplied: &[String]) -> Vec<String> {
        let unknown = of_profile
            .keys()
            .chain(supplied)
            .filter(|name| !self.asks_for(name));
        let unknown = unknown.map(|name| {
            format!(
                "The organisation profile speaks of the parameter {name}, which nobody gives to this template; take it \
                 out of the profile."
            )
        });
        let known = of_profile.iter().filter(|(name, _)| self.asks_for(name));
        let unfit = known.filter_map(|(name, value)| {
            let error = fits(name, value, self.rule(name)).err()?;
            Some(format!(
                "A value of the organisation profile is of no use: {error}."
            ))
        });
        unknown.chain(unfit).collect()
    }

    /// The name that the template gives the thing of this serial number; none where it has no thing, or makes the name
    /// of what only the device or AWS knows.
    pub(super) fn thing_name(&self, serial: &str, values: &Values) -> Option<String> {
        let name = self.thing.as_ref()?.name.as_ref()?;
        text(name, &self.given(serial, values))
    }

    /// Which attributes of a thing that is there stand in the way of this serial number's device, with what it has and
    /// what it would get. Only what is certain to be refused.
    pub(super) fn clashes(
        &self,
        serial: &str,
        values: &Values,
        present: &BTreeMap<String, String>,
    ) -> Vec<String> {
        let Some(thing) = self.thing.as_ref().filter(|thing| !thing.gives_way) else {
            return Vec::new();
        };
        let given = self.given(serial, values);
        let differs = |(name, value): (&String, &Value)| {
            let (wanted, has) = (text(value, &given)?, present.get(name)?);
            (wanted != *has).then(|| format!("{name} is {has:?} and would become {wanted:?}"))
        };
        thing.attributes.iter().filter_map(differs).collect()
    }

    /// What is unwise about it, one sentence each.
    pub(super) fn remarks(&self, strategy: Strategy) -> Vec<String> {
        let mut remarks = Vec::new();
        match &self.thing {
            None => remarks.push(
                "The template registers no thing, so that the registry cannot show that a device is enrolled; add an \
                 AWS::IoT::Thing resource."
                    .to_owned(),
            ),
            Some(thing) if !thing.gives_way && !thing.attributes.is_empty() => remarks.push(
                "The template has no OverrideSettings for AttributePayload, so that a device that was registered \
                 before with other attributes will be refused; set MERGE or REPLACE."
                    .to_owned(),
            ),
            Some(_) => {}
        }
        // Its parameters come from the device's certificate, and it has no hook.
        if strategy == Strategy::Jitp {
            if !self.jitp {
                remarks.push(
                    "The template is none for just-in-time provisioning, which the profile names.".to_owned(),
                );
            }
            return remarks;
        }
        if !self.hook {
            remarks.push(
                "The template has no pre-provisioning hook, so that a claim may be used for any device and more than \
                 once until it expires; fieldkey aws policy prints one."
                    .to_owned(),
            );
        }
        if self.jitp {
            remarks.push(
                "The template is for just-in-time provisioning, and AWS gives no claims for it.".to_owned(),
            );
        }
        remarks
    }
}

/// Whether AWS would take this value.
pub(super) fn fits(name: &str, value: &str, rule: FieldRule) -> Result<(), FillError> {
    let unfit = |why| {
        Err(FillError::Unfit {
            name: name.to_owned(),
            value: value.to_owned(),
            why,
        })
    };
    if value.is_empty() {
        return unfit("it needs a value");
    }
    if value.chars().count() > LONGEST_VALUE || value.chars().any(char::is_control) {
        return unfit("a value has at most 800 characters, in one line");
    }
    match rule {
        FieldRule::Attribute if !is_of(value, 1, LONGEST_VALUE, ATTRIBUTE_SIGNS) => unfit(
            "as part of an attribute it may have letters, digits and _ . , @ / : # = [ ] - alone, and no spaces",
        ),
        FieldRule::Name if !is_of(value, 1, LONGEST_THING, NAME_SIGNS) => unfit(
            "as part of the device's name it may have 1 to 128 letters, digits and _ : - alone, and no spaces",
        ),
        _ => Ok(()),
    }
}

/// The same for a window, in the syntax of HTML's `pattern`, which has to have these four signs escaped in a class.
fn pattern(rule: FieldRule) -> String {
    let class = |signs: &str| {
        let escaped = signs.chars().map(|sign| match sign {
            '/' | '[' | ']' | '-' => format!("\\{sign}"),
            sign => sign.to_string(),
        });
        format!("[A-Za-z0-9{}]", escaped.collect::<String>())
    };
    match rule {
        FieldRule::Line => format!(".{{1,{LONGEST_VALUE}}}"),
        FieldRule::Attribute => format!("{}{{1,{LONGEST_VALUE}}}", class(ATTRIBUTE_SIGNS)),
        FieldRule::Name => format!("{}{{1,{LONGEST_THING}}}", class(NAME_SIGNS)),
    }
}

/// Whether a text has letters, digits and these signs alone, and is of this length.
pub(super) fn is_of(text: &str, least: usize, most: usize, signs: &str) -> bool {
    (least..=most).contains(&text.len())
        && text
            .chars()
            .all(|sign| sign.is_ascii_alphanumeric() || signs.contains(sign))
}

/// Whether an expression of the template has this parameter somewhere in it.
fn refers(made: &Value, parameter: &str) -> bool {
    let mut names = Vec::new();
    refs(Some(made), &mut names);
    names.contains(&parameter)
}

/// What an expression of the template comes to, where that is certain. A default is no certainty: the device may send
/// another value.
pub(super) fn text(value: &Value, given: &BTreeMap<String, String>) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let (function, argument) = value
        .as_object()
        .filter(|object| object.len() == 1)?
        .iter()
        .next()?;
    match function.as_str() {
        "Ref" => given.get(argument.as_str()?).cloned(),
        "Fn::Join" => {
            let [glue, parts] = argument.as_array()?.as_slice() else {
                return None;
            };
            let parts: Option<Vec<String>> = parts.as_array()?.iter().map(|part| text(part, given)).collect();
            Some(parts?.join(glue.as_str()?))
        }
        "Fn::Sub" => substituted(argument.as_str()?, given),
        _ => None,
    }
}

fn substituted(text: &str, given: &BTreeMap<String, String>) -> Option<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) = after.split_once('}')?;
        out.push_str(before);
        match name.strip_prefix('!') {
            Some(literal) => out.push_str(&format!("${{{literal}}}")),
            None => out.push_str(given.get(name)?),
        }
        rest = behind;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(thing: &Value, parameters: &Value) -> Plan {
        let body = json!({
            "Parameters": parameters,
            "Resources": {
                "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {}},
                "thing": thing,
            }
        });
        let answer = json!({
            "templateName": "acme",
            "templateArn": "arn:aws:iot:eu-central-1:123456789012:provisioningtemplate/acme",
            "enabled": true,
            "templateBody": body.to_string(),
            "preProvisioningHook": {"targetArn": "arn:aws:lambda:x"},
            "type": "FLEET_PROVISIONING"
        });
        serde_json::from_value::<TemplateAnswer>(answer)
            .unwrap()
            .plan()
            .unwrap()
    }

    fn thing(name: &Value, rules: &Value) -> Value {
        json!({
            "Type": "AWS::IoT::Thing",
            "OverrideSettings": rules,
            "Properties": {"ThingName": name, "AttributePayload": {"serial": {"Ref": "SerialNumber"}, "site": {"Ref": "Site"}, "line": "4"}}
        })
    }

    fn values(given: &[(&str, &str)]) -> Values {
        given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn usual() -> Value {
        json!({"SerialNumber": {"Type": "String"}, "Site": {"Type": "String", "Default": "yard"}})
    }

    #[test]
    fn names_are_worked_out_only_where_they_are_certain() {
        let table = [
            (json!({"Ref": "SerialNumber"}), Some("FK-7")),
            (json!("fixed"), Some("fixed")),
            (
                json!({"Fn::Join": ["_", ["acme", {"Ref": "SerialNumber"}]]}),
                Some("acme_FK-7"),
            ),
            (
                json!({"Fn::Sub": "acme-${SerialNumber}${!x}"}),
                Some("acme-FK-7${x}"),
            ),
            (json!({"Ref": "Site"}), None),
            (json!({"Ref": "AWS::IoT::Certificate::Id"}), None),
            (json!({"Fn::Sub": "${SerialNumber"}), None),
            (json!({"Fn::Select": ["0", ["a"]]}), None),
            (json!({"Fn::Join": ["-"]}), None),
            (json!(7), None),
        ];
        for (name, expected) in table {
            let plan = plan(&thing(&name, &json!({})), &usual());
            assert_eq!(
                plan.thing_name("FK-7", &Values::new()).as_deref(),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn parameters_are_told_and_the_serial_number_is_given_under_its_own_name() {
        let parameters = json!({
            "device_serial": {"Type": "String"},
            "Zone": {"Type": "String"},
            "Site": {"Type": "String", "Default": "yard"},
            "AWS::IoT::Certificate::CommonName": {"Type": "String"}
        });
        let plan = plan(
            &thing(&json!("x"), &json!({"AttributePayload": "MERGE"})),
            &parameters,
        );
        assert_eq!(
            plan.given("FK-7", &Values::new()),
            BTreeMap::from([("device_serial".into(), "FK-7".into())])
        );
        let names: Vec<(&str, bool)> = plan
            .parameters
            .iter()
            .map(|parameter| (parameter.name.as_str(), parameter.required))
            .collect();
        assert_eq!(names, [("Site", false), ("Zone", true), ("device_serial", true)]);
        assert_eq!(plan.remarks(Strategy::TrustedUser), [""; 0]);
        let form = |of_profile: &[(&str, &str)], supplied: &[String]| -> Vec<(bool, Option<String>)> {
            let fields = plan.form(&values(of_profile), supplied);
            fields
                .into_iter()
                .map(|field| (field.required, field.usual))
                .collect()
        };
        let yard = (false, Some("yard".to_owned()));
        assert_eq!(form(&[], &[]), [yard.clone(), (true, None)]);
        assert_eq!(form(&[], &["Zone".into()]), [yard.clone(), (false, None)]);
        let north = (false, Some("north".to_owned()));
        assert_eq!(form(&[("Zone", "north")], &[]), [yard, north]);
        assert_eq!(plan.account.as_deref(), Some("123456789012"));
    }

    #[test]
    fn a_thing_that_would_be_refused_is_known_before_and_only_where_that_is_certain() {
        let present = BTreeMap::from([
            ("serial".to_owned(), "FK-8".to_owned()),
            ("site".to_owned(), "pier".to_owned()),
            ("line".to_owned(), "4".to_owned()),
        ]);
        let name = json!({"Ref": "SerialNumber"});
        let strict = plan(&thing(&name, &json!({})), &usual());
        assert_eq!(
            strict.clashes("FK-7", &Values::new(), &present),
            [r#"serial is "FK-8" and would become "FK-7""#],
            "the site may be sent by the device"
        );
        assert!(strict.clashes("FK-8", &Values::new(), &present).is_empty());
        assert!(
            strict
                .remarks(Strategy::TrustedUser)
                .iter()
                .any(|remark| remark.contains("OverrideSettings"))
        );
        for rule in ["REPLACE", "MERGE", "DO_NOTHING"] {
            let mild = plan(&thing(&name, &json!({"AttributePayload": rule})), &usual());
            assert!(
                mild.clashes("FK-7", &Values::new(), &present).is_empty(),
                "{rule}"
            );
            assert!(mild.remarks(Strategy::TrustedUser).is_empty(), "{rule}");
        }
        let fail = plan(&thing(&name, &json!({"AttributePayload": "FAIL"})), &usual());
        assert_eq!(fail.clashes("FK-7", &Values::new(), &present).len(), 1);
    }

    #[test]
    fn values_that_aws_would_refuse_are_refused_first_and_the_others_go_along() {
        let parameters = json!({
            "SerialNumber": {"Type": "String"},
            "Zone": {"Type": "String"},
            "Note": {"Type": "String", "Default": "none"}
        });
        let body = json!({
            "Type": "AWS::IoT::Thing",
            "Properties": {"ThingName": {"Ref": "SerialNumber"}, "AttributePayload": {"zone": {"Ref": "Zone"}}}
        });
        let plan = plan(&body, &parameters);
        let takes = |given: &[(&str, &str)]| plan.takes(&values(given), &[]);
        assert_eq!(takes(&[]), Err(FillError::Missing(vec!["Zone".into()])));
        let supplied = plan.takes(&Values::new(), &["Zone".into()]);
        assert_eq!(supplied, Ok(()), "the device brings it along");
        assert_eq!(
            takes(&[("Zone", "n"), ("Hue", "red")]),
            Err(FillError::Unknown("Hue".into()))
        );
        let serial = [("Zone", "n"), ("SerialNumber", "FK-8")];
        assert_eq!(takes(&serial), Err(FillError::Unknown("SerialNumber".into())));
        let long = "n".repeat(801);
        for unfit in ["", "north hall", "Nörd", "a\nb", long.as_str()] {
            let told = takes(&[("Zone", unfit)]);
            assert!(
                matches!(told, Err(FillError::Unfit { .. })),
                "{unfit:?}: {told:?}"
            );
        }
        let sound = [("Zone", "north-2/a"), ("Note", "not an attribute, so spaces do")];
        assert_eq!(takes(&sound), Ok(()));
        let given = plan.given("FK-7", &values(&sound));
        assert_eq!(
            (given["Zone"].as_str(), given["SerialNumber"].as_str()),
            ("north-2/a", "FK-7")
        );
    }

    #[test]
    fn what_a_value_has_to_be_follows_from_what_the_template_makes_of_it() {
        let parameters = json!({
            "SerialNumber": {"Type": "String"}, "Line": {"Type": "String"}, "Hall": {"Type": "String"},
            "Zone": {"Type": "String"}, "Site": {"Type": "String"}
        });
        let body = json!({"Type": "AWS::IoT::Thing", "Properties": {
            "ThingName": {"Fn::Join": ["-", ["acme", {"Ref": "Site"}, {"Ref": "SerialNumber"}]]},
            "AttributePayload": {
                "place": {"Fn::Sub": "hall/${Hall}"},
                "zone": {"Fn::Select": ["0", {"Fn::Split": [",", {"Ref": "Zone"}]}]}
            }
        }});
        let plan = plan(&body, &parameters);
        let rules: Vec<(String, FieldRule)> = plan
            .form(&Values::new(), &[])
            .into_iter()
            .map(|field| (field.name, field.rule))
            .collect();
        let expected = [
            ("Hall", FieldRule::Attribute),
            ("Line", FieldRule::Line),
            ("Site", FieldRule::Name),
            ("Zone", FieldRule::Attribute),
        ];
        assert_eq!(rules, expected.map(|(name, rule)| (name.to_owned(), rule)));
        assert_eq!(pattern(FieldRule::Line), ".{1,800}");
        assert_eq!(
            pattern(FieldRule::Attribute),
            r"[A-Za-z0-9_.,@\/:#=\[\]\-]{1,800}"
        );
        assert_eq!(pattern(FieldRule::Name), r"[A-Za-z0-9_:\-]{1,128}");
        let whole = |site: &str, hall: &str| {
            values(&[
                ("Site", site),
                ("Hall", hall),
                ("Line", "any thing"),
                ("Zone", "z"),
            ])
        };
        for (given, sound) in [
            (whole("north", "4=[a]"), true),
            (whole("north.", "4"), false),
            (whole("north", "4 a"), false),
        ] {
            assert_eq!(plan.takes(&given, &[]).is_ok(), sound, "{given:?}");
        }
        assert_eq!(plan.unfit("FK-7", &whole("north", "4")), None);
        let long = plan.unfit("FK-7", &whole(&"n".repeat(120), "4")).unwrap();
        assert!(long.contains("would be called"), "{long}");
        let wide = plan.unfit("FK-7", &whole("north", &"4".repeat(799))).unwrap();
        assert!(wide.contains("the attribute place"), "{wide}");
    }

    #[test]
    fn what_the_profile_says_of_parameters_that_are_not_there_is_remarked_and_not_used() {
        let plan = plan(&thing(&json!("x"), &json!({})), &usual());
        let told = |of_profile: &[(&str, &str)], supplied: &[String]| {
            plan.remarks_about(&values(of_profile), supplied)
        };
        assert_eq!(told(&[("Site", "pier")], &["Site".into()]), [""; 0]);
        assert!(told(&[("Colour", "red")], &[])[0].contains("Colour"));
        assert!(told(&[], &["Batch".into()])[0].contains("Batch"));
        assert!(told(&[("Site", "the pier")], &[])[0].contains("no spaces"));
    }

    #[test]
    fn a_template_without_a_thing_is_told() {
        let plan = plan(&json!({"Type": "AWS::IoT::Policy"}), &usual());
        assert_eq!(plan.thing_name("FK-7", &Values::new()), None);
        assert!(
            plan.remarks(Strategy::TrustedUser)
                .iter()
                .any(|remark| remark.contains("registers no thing"))
        );
    }

    #[test]
    fn a_body_that_is_no_json_is_refused_and_one_that_is_odd_has_nothing() {
        let answer = |body: &str| TemplateAnswer {
            template_name: "acme".into(),
            template_arn: None,
            enabled: false,
            template_body: body.into(),
            pre_provisioning_hook: None,
            kind: Some("JITP".into()),
        };
        assert!(answer("{").plan().is_err());
        for odd in ["null", "[]", r#"{"Parameters":7,"Resources":[]}"#] {
            let plan = answer(odd).plan().unwrap();
            assert!(plan.parameters.is_empty() && !plan.enabled, "{odd}");
            assert!(
                plan.remarks(Strategy::TrustedUser)
                    .iter()
                    .any(|remark| remark.contains("just-in-time"))
            );
        }
    }
}
