//! What an account has to be given before Fieldkey can work in it: policies, template and hook, ready to be pasted.
//!
//! Not here: giving it. Who sets an account up does that with their own tools, and sees what they do.

use serde::Serialize;
use serde_json::{Value, json};

use super::operation::Role;
use super::policy::Account;
use crate::settings::{AwsCredentials, AwsSettings, Strategy};

/// The role that reads the line file of a bulk registration and registers its devices, by name.
const REGISTRATION_ROLE: &str = "fieldkey-registration";
/// Where the line file lies.
const REGISTRATION_BUCKET: &str = "fieldkey-registration";
/// The policy that devices get, by name.
const DEVICE_POLICY: &str = "fieldkey-device";
/// AWS IoT, as roles trust it.
pub(super) const SERVICE: &str = "iot.amazonaws.com";
/// Cognito's identity pools, as roles trust them, and as those of GovCloud do.
const POOLS: &str = "cognito-identity.amazonaws.com";
const GOVCLOUD_POOLS: &str = "cognito-identity-us-gov.amazonaws.com";
/// Stands where persons are named.
const SOMEBODY: &str = "SUBJECT-OF-A-PERSON";
const HOOK: &str = include_str!("hook.py");
/// Where the hook keeps which claim was used for what.
const CLAIMS_TABLE: &str = "fieldkey-claims";
/// Where it looks whether a device may be registered.
const DEVICES_TABLE: &str = "fieldkey-devices";

/// One paper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Paper {
    /// What it is called.
    pub part: Part,
    /// What it is for and where it goes.
    pub about: String,
    /// Its text.
    pub text: String,
}

/// The papers of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Whom the role of installers trusts.
    Trust,
    /// What an installer may do.
    Installer,
    /// What support staff may do.
    Support,
    /// The provisioning template.
    Template,
    /// Whom the roles of support and of the registrar trust: named persons.
    NamedTrust,
    /// What a device may do under its permanent identity.
    Device,
    /// What a device may do with the claim in its firmware.
    Claim,
    /// The pre-provisioning hook.
    Hook,
    /// What the hook may do.
    HookRole,
    /// What the registrar may do.
    Registrar,
    /// Whom the role of a bulk registration trusts.
    RegistrationTrust,
    /// What it may do.
    Registration,
}

impl Part {
    /// All of them, in the order in which an account is set up.
    pub const ALL: [Self; 12] = [
        Self::Trust,
        Self::Installer,
        Self::Support,
        Self::NamedTrust,
        Self::Device,
        Self::Claim,
        Self::Template,
        Self::Hook,
        Self::HookRole,
        Self::Registrar,
        Self::RegistrationTrust,
        Self::Registration,
    ];

    /// Whether an account of this strategy has such a paper.
    pub fn is_for(self, strategy: Strategy) -> bool {
        match self {
            Self::Claim => strategy == Strategy::ClaimInDevice,
            Self::Template => strategy.has_template(),
            Self::Hook | Self::HookRole => strategy.has_hook(),
            _ => true,
        }
    }
}

/// The issuer as IAM has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Its address.
    pub address: String,
    /// What it calls this program: the audience of ID tokens.
    pub client: String,
}

/// Makes a paper for this profile and account.
pub fn paper(part: Part, settings: &AwsSettings, issuer: &Issuer, account: &Account) -> Paper {
    let (about, text) = match part {
        Part::Trust => (
            trust_about(settings),
            pretty(&trust(settings, issuer, account, None)),
        ),
        Part::NamedTrust => (
            named_trust_about(settings),
            pretty(&trust(settings, issuer, account, Some(SOMEBODY))),
        ),
        Part::Installer => (
            if account.strategy.is_self_enrolling() {
                "IAM policy of the role that installers get: looking on."
            } else {
                "IAM policy of the role that installers get: claims for one template, and looking on."
            }
            .to_owned(),
            pretty(&account.policy(Role::Installer)),
        ),
        Part::Support => (
            "IAM policy of the role that support staff get: the same, and switching certificates off. IAM cannot keep \
             it to certificates of one device; Fieldkey does, and whoever has this role could go round it."
                .to_owned(),
            pretty(&account.policy(Role::Support)),
        ),
        Part::Template if account.strategy == Strategy::Jitp => (
            format!(
                "Body of the provisioning template {}, for just-in-time provisioning: create it with type JITP, and \
                 register the maker's authority with it and with automatic registration. A device's certificate has to \
                 have the serial number as its common name. The template needs a provisioning role that trusts \
                 iot.amazonaws.com and has the managed policy AWSIoTThingsRegistration.",
                account.template
            ),
            pretty(&template(account, "AWS::IoT::Certificate::CommonName")),
        ),
        Part::Claim => (
            "AWS IoT policy of the claim certificate that is in all devices' firmware: registering by this template, and \
             nothing else."
                .to_owned(),
            pretty(&claim(account)),
        ),
        Part::Template => (
            format!(
                "Body of the provisioning template {}. Create it with type FLEET_PROVISIONING, switch it on (it is off \
                 unless you do), give it the hook, and a provisioning role that trusts iot.amazonaws.com and has the \
                 managed policy AWSIoTThingsRegistration.",
                account.template
            ),
            pretty(&template(account, "SerialNumber")),
        ),
        Part::Device => (
            format!(
                "AWS IoT policy {DEVICE_POLICY}, which the template gives each device: its own topics and no others. \
                 Put your own topics in place of dt/ and cmd/."
            ),
            pretty(&device(account)),
        ),
        Part::Hook => (
            format!(
                "Pre-provisioning hook, a Lambda function in Python (handler: hook.handler). Set its environment: \
                 CLAIMS_TABLE={CLAIMS_TABLE}, DEVICES_TABLE={DEVICES_TABLE}{}. Its resource policy must let \
                 iot.amazonaws.com invoke it; it has five seconds to answer.",
                if account.strategy == Strategy::ClaimInDevice {
                    ", SHARED_CLAIM=yes, since all devices share one claim: whoever has it can register any device that \
                     DEVICES_TABLE lists, so list each for as long as it is to be registered and no longer"
                } else {
                    ""
                }
            ),
            HOOK.to_owned(),
        ),
        Part::HookRole => (
            "IAM policy of the hook's own role. A hook that lacks it refuses every device.".to_owned(),
            pretty(&hook_role(account)),
        ),
        Part::Registrar => (
            format!(
                "IAM policy of the role with which the office registers devices in bulk; none for installers or \
                 support. It passes the role {REGISTRATION_ROLE} on to AWS IoT and to nobody else."
            ),
            pretty(&account.registrar(&account.role(REGISTRATION_ROLE))),
        ),
        Part::RegistrationTrust => (
            format!("Trust policy of the role {REGISTRATION_ROLE}: AWS IoT takes it while a task runs."),
            pretty(&json!({
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Principal": {"Service": SERVICE},
                    "Action": "sts:AssumeRole"
                }]
            })),
        ),
        Part::Registration => (
            format!(
                "IAM policy of the role {REGISTRATION_ROLE}, besides the managed policy \
                 arn:{}:iam::aws:policy/service-role/AWSIoTThingsRegistration: reading the line file. Put your own \
                 bucket in place of {REGISTRATION_BUCKET}.",
                account.partition
            ),
            pretty(&json!({
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Action": ["s3:GetObject"],
                    "Resource": format!("arn:{}:s3:::{REGISTRATION_BUCKET}/*", account.partition)
                }]
            })),
        ),
    };
    Paper { part, about, text }
}

fn trust_about(settings: &AwsSettings) -> String {
    match settings.credentials {
        AwsCredentials::Cognito { .. } => {
            "Trust policy of the roles that the identity pool gives: register the issuer as an OpenID Connect provider in \
             IAM, and the pool with it."
        }
        AwsCredentials::Sts { .. } => {
            "Trust policy of the role: register the issuer as an OpenID Connect provider in IAM first."
        }
    }
    .to_owned()
}

fn named_trust_about(settings: &AwsSettings) -> String {
    let who = match settings.credentials {
        AwsCredentials::Cognito { .. } => {
            "Put the identities that the pool gave to these persons in the place of the one that is there, and leave the \
             pool's classic flow off."
        }
        AwsCredentials::Sts { .. } => {
            "Put the issuer's subjects (sub) of these persons in the place of the one that is there."
        }
    };
    format!(
        "Trust policy of the roles of support and of the registrar. It names persons, since whoever signs in at the issuer \
         could take these roles otherwise. {who}"
    )
}

/// The trust of a role, for everybody who signs in, or for one whose place this is.
fn trust(settings: &AwsSettings, issuer: &Issuer, account: &Account, person: Option<&str>) -> Value {
    let (provider, conditions) = match &settings.credentials {
        AwsCredentials::Cognito { identity_pool } => {
            let pools = match account.partition.as_str() {
                "aws-us-gov" => GOVCLOUD_POOLS,
                _ => POOLS,
            };
            let mut equal = serde_json::Map::new();
            equal.insert(format!("{pools}:aud"), Value::String(identity_pool.clone()));
            if let Some(person) = person {
                equal.insert(format!("{pools}:sub"), json!([person]));
            }
            let conditions = json!({
                "StringEquals": equal,
                "ForAnyValue:StringLike": {format!("{pools}:amr"): "authenticated"}
            });
            (pools.to_owned(), conditions)
        }
        AwsCredentials::Sts { .. } => {
            let name = issuer.address.strip_prefix("https://").unwrap_or(&issuer.address);
            let (mut equal, audience) = (serde_json::Map::new(), format!("{name}:aud"));
            equal.insert(audience, Value::String(issuer.client.clone()));
            if let Some(person) = person {
                equal.insert(format!("{name}:sub"), json!([person]));
            }
            let Account {
                partition, account, ..
            } = account;
            (
                format!("arn:{partition}:iam::{account}:oidc-provider/{name}"),
                json!({ "StringEquals": equal }),
            )
        }
    };
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": provider},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": conditions
        }]
    })
}

/// A template that takes a device in again, too: attributes of an earlier owner or site are replaced.
fn template(account: &Account, parameter: &str) -> Value {
    let serial = json!({ "Ref": parameter });
    let name = match account.things.split_once('*') {
        Some(("", "")) | None => serial.clone(),
        Some((head, tail)) => json!({ "Fn::Join": ["", [head, serial.clone(), tail]] }),
    };
    json!({
        "Parameters": {parameter: {"Type": "String"}, "AWS::IoT::Certificate::Id": {"Type": "String"}},
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "OverrideSettings": {"AttributePayload": "REPLACE", "ThingTypeName": "REPLACE", "ThingGroups": "REPLACE"},
                "Properties": {"ThingName": name, "AttributePayload": {"serial": serial}}
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"}
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": DEVICE_POLICY}}
        }
    })
}

/// What a device needs to register itself by a claim (AWS IoT developer guide, provisioning by claim): subscriptions are to
/// topic filters, and both ways to a certificate are there.
fn claim(account: &Account) -> Value {
    let template = format!("$aws/provisioning-templates/{}/provision/*", account.template);
    let topics = |kind: &str| -> Vec<String> {
        [
            "$aws/certificates/create/*",
            "$aws/certificates/create-from-csr/*",
            &template,
        ]
        .map(|topic| account.resource(kind, topic))
        .into()
    };
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": account.resource("client", "*")},
            {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": topics("topic")},
            {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": topics("topicfilter")}
        ]
    })
}

fn device(account: &Account) -> Value {
    const THING: &str = "${iot:Connection.Thing.ThingName}";
    let topics = |kind: &str, topics: &[&str]| -> Vec<String> {
        topics
            .iter()
            .map(|topic| account.resource(kind, &topic.replace("{thing}", THING)))
            .collect()
    };
    let heard = [
        "cmd/{thing}/*",
        "$aws/things/{thing}/shadow/*",
        "$aws/things/{thing}/jobs/*",
    ];
    let said = [
        "dt/{thing}/*",
        "$aws/things/{thing}/shadow/*",
        "$aws/things/{thing}/jobs/*",
    ];
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": account.resource("client", THING),
                "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}
            },
            {"Effect": "Allow", "Action": "iot:Publish", "Resource": topics("topic", &said)},
            {"Effect": "Allow", "Action": "iot:Receive", "Resource": topics("topic", &heard)},
            {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": topics("topicfilter", &heard)}
        ]
    })
}

fn hook_role(account: &Account) -> Value {
    let Account {
        partition,
        region,
        account,
        ..
    } = account;
    let table = |name: &str| format!("arn:{partition}:dynamodb:{region}:{account}:table/{name}");
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": table(CLAIMS_TABLE)},
            {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": table(DEVICES_TABLE)},
            {
                "Effect": "Allow",
                "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": format!("arn:{partition}:logs:{region}:{account}:log-group:/aws/lambda/*")
            }
        ]
    })
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
