//! What is known to go wrong with the papers of an account, looked for before they are printed, and in papers that
//! somebody has changed.

use serde_json::{Value, json};

use super::papers::{Paper, Part, SERVICE};

/// Longest managed policy of IAM, in characters without blanks.
const LONGEST_POLICY: usize = 6144;
/// Longest policy of AWS IoT.
const LONGEST_IOT_POLICY: usize = 2048;
/// Longest body of a provisioning template.
const LONGEST_TEMPLATE: usize = 10_240;
/// What a template may do with a thing that is there.
const GIVES_WAY: [&str; 2] = ["MERGE", "REPLACE"];
/// Actions for which AWS has nothing narrower than all resources.
const WIDE: [&str; 6] = [
    "iot:DescribeEndpoint",
    "iot:StartThingRegistrationTask",
    "iot:ListThingRegistrationTasks",
    "iot:DescribeThingRegistrationTask",
    "iot:ListThingRegistrationTaskReports",
    "iot:StopThingRegistrationTask",
];

/// What is wrong with a paper, one sentence each; none where nothing is.
pub fn lint(paper: &Paper) -> Vec<String> {
    if paper.part == Part::Hook {
        return hook(&paper.text);
    }
    let Ok(value) = serde_json::from_str::<Value>(&paper.text) else {
        return vec!["This is no JSON.".into()];
    };
    match paper.part {
        Part::Template => template(&value),
        Part::Device => device(&value, true),
        // Nothing tells devices apart before they have an identity of their own.
        Part::Claim => device(&value, false),
        Part::Trust => trust(&value),
        Part::NamedTrust => named_trust(&value),
        Part::Installer | Part::Support | Part::HookRole | Part::Registrar | Part::Registration => {
            policy(&value, LONGEST_POLICY)
        }
        Part::RegistrationTrust => service_trust(&value),
        Part::Hook => Vec::new(),
    }
}

fn many(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn statements(value: &Value) -> Vec<&Value> {
    value
        .get("Statement")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .collect()
}

fn policy(value: &Value, longest: usize) -> Vec<String> {
    let mut faults = Vec::new();
    if value.get("Version").and_then(Value::as_str) != Some("2012-10-17") {
        faults.push("Version must be 2012-10-17; older ones know no policy variables.".into());
    }
    if statements(value).is_empty() {
        faults.push("There is no statement, so that nothing is allowed.".into());
    }
    let length = value.to_string().len();
    if length > longest {
        faults.push(format!("This has {length} characters; AWS takes {longest}."));
    }
    for statement in statements(value) {
        let actions = many(statement.get("Action"));
        for action in &actions {
            if action.contains('*') {
                faults.push(format!("{action} allows more than is needed; name each action."));
            }
        }
        let passed = statement
            .get("Condition")
            .and_then(|all| all.get("StringEquals"))
            .and_then(|equal| equal.get("iam:PassedToService"));
        if actions.contains(&"iam:PassRole") && passed.and_then(Value::as_str) != Some(SERVICE) {
            faults.push(format!(
                "iam:PassRole must be bound to {SERVICE} (iam:PassedToService)."
            ));
        }
        let resources = many(statement.get("Resource"));
        if actions.contains(&"iam:PassRole") && resources.iter().any(|role| role.contains('*')) {
            faults.push("iam:PassRole must name the role that is passed, without a star.".into());
        }
        let wide = actions.iter().all(|action| WIDE.contains(action));
        if resources.contains(&"*") && !wide {
            faults.push(format!(
                "{} is allowed on everything; name the resource.",
                actions.join(", ")
            ));
        }
    }
    faults
}

/// The two classic mistakes, and the open door, where devices can be told apart.
fn device(value: &Value, told_apart: bool) -> Vec<String> {
    let mut faults = policy(value, LONGEST_IOT_POLICY);
    for statement in statements(value) {
        for action in many(statement.get("Action")) {
            let kind = match action {
                "iot:Subscribe" => ":topicfilter/",
                "iot:Publish" | "iot:Receive" => ":topic/",
                "iot:Connect" => ":client/",
                _ => continue,
            };
            for resource in many(statement.get("Resource")) {
                if !resource.contains(kind) {
                    faults.push(format!(
                        "{action} is about {resource}, but wants an ARN with {kind}"
                    ));
                }
                if told_apart && !resource.contains("${iot:") {
                    faults.push(format!(
                        "{action} on {resource} is open to every device; use a policy variable."
                    ));
                }
            }
        }
    }
    faults
}

fn trust(value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for statement in statements(value) {
        let equal = statement.get("Condition").and_then(|all| all.get("StringEquals"));
        let bound = equal
            .and_then(Value::as_object)
            .is_some_and(|equal| equal.keys().any(|key| key.ends_with(":aud")));
        if !bound {
            faults.push(
                "Nothing binds the role to one audience, so that ID tokens of other programs would do."
                    .into(),
            );
        }
        if statement
            .get("Principal")
            .and_then(|who| who.get("Federated"))
            .is_none()
        {
            faults.push("The role trusts no identity provider.".into());
        }
    }
    faults
}

/// As [`trust`], and for named persons.
fn named_trust(value: &Value) -> Vec<String> {
    let mut faults = trust(value);
    for statement in statements(value) {
        let equal = statement
            .get("Condition")
            .and_then(|all| all.get("StringEquals"))
            .and_then(Value::as_object);
        let persons: Vec<&str> = equal
            .into_iter()
            .flatten()
            .filter(|(key, _)| key.ends_with(":sub"))
            .flat_map(|(_, persons)| many(Some(persons)))
            .collect();
        if persons.is_empty()
            || persons
                .iter()
                .any(|person| person.is_empty() || person.contains('*'))
        {
            faults.push(
                "Nothing binds the role to named persons (:sub), so that everybody who signs in could take it.".into(),
            );
        }
    }
    faults
}

fn service_trust(value: &Value) -> Vec<String> {
    let fits = |statement: &&Value| {
        statement.get("Effect").and_then(Value::as_str) == Some("Allow")
            && many(statement.get("Action")) == ["sts:AssumeRole"]
            && statement.get("Principal") == Some(&json!({"Service": SERVICE}))
    };
    let all = statements(value);
    if all.is_empty() || !all.iter().all(fits) {
        return vec![format!("The role must trust {SERVICE} and nobody else.")];
    }
    Vec::new()
}

fn template(value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let length = value.to_string().chars().count();
    if length > LONGEST_TEMPLATE {
        faults.push(format!(
            "The template has {length} characters; AWS takes {LONGEST_TEMPLATE}."
        ));
    }
    let resources: Vec<&Value> = value
        .get("Resources")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|all| all.values())
        .collect();
    let of = |kind: &str| -> Vec<&Value> {
        let named = |resource: &&&Value| resource.get("Type").and_then(Value::as_str) == Some(kind);
        resources.iter().filter(named).copied().collect()
    };
    match of("AWS::IoT::Certificate").len() {
        1 => {}
        other => faults.push(format!(
            "A template has exactly one certificate, this has {other}."
        )),
    }
    match of("AWS::IoT::Thing").as_slice() {
        [] => faults.push(
            "The template registers no thing, so that enrolment cannot be seen in the registry.".into(),
        ),
        things => {
            for thing in things {
                let rule = thing
                    .get("OverrideSettings")
                    .and_then(|rules| rules.get("AttributePayload"));
                if !rule
                    .and_then(Value::as_str)
                    .is_some_and(|rule| GIVES_WAY.contains(&rule))
                {
                    faults.push(
                        "OverrideSettings lack MERGE or REPLACE for AttributePayload, so that a device cannot be \
                         commissioned again with other attributes."
                            .into(),
                    );
                }
            }
        }
    }
    for policy in of("AWS::IoT::Policy") {
        let has = |name: &str| {
            policy
                .get("Properties")
                .is_some_and(|properties| properties.get(name).is_some())
        };
        if has("PolicyName") == has("PolicyDocument") {
            faults.push("A policy has either PolicyName or PolicyDocument.".into());
        }
    }
    let mut names = Vec::new();
    refs(value.get("Resources"), &mut names);
    for name in names {
        let known = value.get("Parameters").is_some_and(|all| all.get(name).is_some());
        if !known && !name.starts_with("AWS::") {
            faults.push(format!("{name} is used, but is no parameter."));
        }
    }
    faults
}

/// All parameters that are referred to.
pub(super) fn refs<'v>(value: Option<&'v Value>, names: &mut Vec<&'v str>) {
    match value {
        Some(Value::Object(members)) => {
            for (key, member) in members {
                match member.as_str() {
                    Some(name) if key == "Ref" => names.push(name),
                    Some(text) if key == "Fn::Sub" => names.extend(substituted(text)),
                    _ => refs(Some(member), names),
                }
            }
        }
        Some(Value::Array(items)) => items.iter().for_each(|item| refs(Some(item), names)),
        _ => {}
    }
}

/// The names in a text of `Fn::Sub`; `${!` stands for itself.
fn substituted(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split("${").skip(1);
    parts
        .filter_map(|part| part.split_once('}'))
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with('!'))
}

/// What makes a hook a hook of ours; not whether it is sound Python, which nothing here can tell.
fn hook(text: &str) -> Vec<String> {
    let needed = [
        ("allowProvisioning", "It answers nothing that AWS understands."),
        (
            "claimCertificateId",
            "It does not look at the claim, so that one claim serves many devices.",
        ),
        (
            "attribute_not_exists",
            "It does not keep a claim from being used twice.",
        ),
        (
            "ConditionExpression",
            "Two uses of one claim at the same time may both pass.",
        ),
    ];
    let mut faults: Vec<String> = needed
        .into_iter()
        .filter(|(word, _)| !text.contains(word))
        .map(|(_, fault)| fault.to_owned())
        .collect();
    if text.contains("certificatePem") {
        faults.push("It handles the certificate itself, which it has no need to.".into());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::papers::{Issuer, paper};
    use super::super::policy::Account;
    use super::*;
    use crate::settings::{AwsSettings, CloudSettings, Profile};

    fn settings(credentials: &str, strategy: &str) -> AwsSettings {
        let text = format!(
            "name = \"Acme\"\n[sign-in]\nissuer = \"https://login.acme.example/tenant\"\nclient-id = \"fieldkey\"\n\
             [cloud]\nkind = \"aws-iot\"\nregion = \"eu-central-1\"\ntemplate = \"acme\"\nthing = \"acme-{{serial}}\"\n\
             strategy = \"{strategy}\"\n[cloud.credentials]\n{credentials}\n"
        );
        match Profile::parse(&text).unwrap().cloud {
            CloudSettings::AwsIot(settings) => *settings,
            other => panic!("{other:?}"),
        }
    }

    fn papers(credentials: &str) -> Vec<Paper> {
        papers_of(credentials, "trusted-user")
    }

    fn papers_of(credentials: &str, strategy: &str) -> Vec<Paper> {
        let settings = settings(credentials, strategy);
        let account = Account::of(&settings, "123456789012");
        let issuer = Issuer {
            address: "https://login.acme.example/tenant".into(),
            client: "fieldkey".into(),
        };
        Part::ALL
            .iter()
            .filter(|part| part.is_for(settings.strategy))
            .map(|part| paper(*part, &settings, &issuer, &account))
            .collect()
    }

    const ROLE: &str = "way = \"sts\"\nrole = \"arn:aws:iam::123456789012:role/FieldkeyInstaller\"";
    const POOL: &str =
        "way = \"cognito\"\nidentity_pool = \"eu-central-1:01234567-89ab-cdef-0123-456789abcdef\"";

    #[test]
    fn every_printed_paper_passes() {
        for credentials in [ROLE, POOL] {
            for strategy in ["trusted-user", "claim-in-device", "jitp", "jitr", "registered"] {
                for paper in papers_of(credentials, strategy) {
                    assert_eq!(lint(&paper), [""; 0], "{strategy}: {:?}", paper.part);
                }
            }
        }
    }

    #[test]
    fn the_papers_follow_the_strategy_of_the_account() {
        let all = Part::ALL.to_vec();
        for (strategy, lacks) in [
            ("trusted-user", vec![Part::Claim]),
            ("claim-in-device", vec![]),
            ("jitp", vec![Part::Claim, Part::Hook, Part::HookRole]),
            (
                "jitr",
                vec![Part::Claim, Part::Template, Part::Hook, Part::HookRole],
            ),
            (
                "registered",
                vec![Part::Claim, Part::Template, Part::Hook, Part::HookRole],
            ),
        ] {
            let papers = papers_of(ROLE, strategy);
            let has: Vec<Part> = papers.iter().map(|paper| paper.part).collect();
            let expected: Vec<Part> = all.iter().copied().filter(|part| !lacks.contains(part)).collect();
            assert_eq!(has, expected, "{strategy}");
            let of = |part: Part| papers.iter().find(|paper| paper.part == part);
            let installer = &of(Part::Installer).unwrap().text;
            let fetches = installer.contains("CreateProvisioningClaim");
            assert_eq!(fetches, strategy == "trusted-user", "{strategy}");
            let shares = of(Part::Hook).is_some_and(|hook| hook.about.contains("SHARED_CLAIM=yes"));
            assert_eq!(shares, strategy == "claim-in-device", "{strategy}");
            if let Some(template) = of(Part::Template) {
                let named = template.text.contains("AWS::IoT::Certificate::CommonName");
                assert_eq!(named, strategy == "jitp", "{strategy}");
            }
        }
    }

    #[test]
    fn each_classic_mistake_is_found() {
        let table = [
            (
                Part::Device,
                ":topicfilter/",
                ":topic/",
                "wants an ARN with :topicfilter/",
            ),
            (
                Part::Device,
                "${iot:Connection.Thing.ThingName}",
                "*",
                "open to every device",
            ),
            (
                Part::Claim,
                ":topicfilter/",
                ":topic/",
                "wants an ARN with :topicfilter/",
            ),
            (Part::Installer, "iot:DescribeThing", "iot:*", "name each action"),
            (
                Part::Installer,
                ":thing/acme-*\"",
                ":thing/acme-*\", \"*\"",
                "no JSON",
            ),
            (Part::Support, "2012-10-17", "2008-10-17", "2012-10-17"),
            (Part::Template, "\"REPLACE\"", "\"FAIL\"", "OverrideSettings"),
            (
                Part::Template,
                "AWS::IoT::Thing",
                "AWS::IoT::BillingGroup",
                "registers no thing",
            ),
            (
                Part::Template,
                "AWS::IoT::Certificate\"",
                "AWS::IoT::Cert\"",
                "exactly one certificate",
            ),
            (
                Part::Template,
                "\"Ref\": \"SerialNumber\"",
                "\"Ref\": \"Serial\"",
                "is no parameter",
            ),
            (Part::Template, "PolicyName", "Policy", "either PolicyName or"),
            (Part::Trust, ":aud\"", ":sub\"", "one audience"),
            (Part::Hook, "attribute_not_exists(#claim) OR ", "", "used twice"),
            (
                Part::Registrar,
                "iot.amazonaws.com",
                "ec2.amazonaws.com",
                "iam:PassedToService",
            ),
            (Part::RegistrationTrust, "iot.amazonaws.com", "*", "nobody else"),
            (Part::RegistrationTrust, "\"Allow\"", "\"Deny\"", "nobody else"),
            (Part::RegistrationTrust, "sts:AssumeRole", "sts:*", "nobody else"),
            (
                Part::Registrar,
                "role/fieldkey-registration",
                "role/*",
                "without a star",
            ),
            (Part::NamedTrust, ":sub\"", ":subject\"", "named persons"),
            (Part::NamedTrust, "SUBJECT-OF-A-PERSON", "*", "named persons"),
            (
                Part::Template,
                "\"Ref\": \"SerialNumber\"",
                "\"Fn::Sub\": \"x-${Serial}\"",
                "is no parameter",
            ),
            (
                Part::HookRole,
                "dynamodb:PutItem",
                "dynamodb:*",
                "name each action",
            ),
        ];
        for (part, from, to, says) in table {
            let strategy = if part == Part::Claim {
                "claim-in-device"
            } else {
                "trusted-user"
            };
            let papers = papers_of(ROLE, strategy);
            let mut paper = papers.into_iter().find(|paper| paper.part == part).unwrap();
            assert!(paper.text.contains(from), "{part:?} {from}: {}", paper.text);
            paper.text = paper.text.replace(from, to);
            let faults = lint(&paper);
            assert!(
                faults.iter().any(|fault| fault.contains(says)),
                "{part:?} {from}: {faults:?}"
            );
        }
    }

    #[test]
    fn a_resource_of_everything_is_found_in_any_statement() {
        let mut paper = papers(ROLE)
            .into_iter()
            .find(|paper| paper.part == Part::Installer)
            .unwrap();
        let mut value: Value = serde_json::from_str(&paper.text).unwrap();
        value["Statement"][0]["Resource"] = Value::String("*".into());
        paper.text = value.to_string();
        assert!(
            lint(&paper)
                .iter()
                .any(|fault| fault.contains("allowed on everything"))
        );
    }

    #[test]
    fn the_printed_template_names_things_as_the_profile_does() {
        let paper = papers(ROLE)
            .into_iter()
            .find(|paper| paper.part == Part::Template)
            .unwrap();
        let value: Value = serde_json::from_str(&paper.text).unwrap();
        let name = &value["Resources"]["thing"]["Properties"]["ThingName"];
        assert_eq!(
            *name,
            serde_json::json!({"Fn::Join": ["", ["acme-", {"Ref": "SerialNumber"}, ""]]})
        );
    }
}
