//! `[cloud]` with `kind = "aws-iot"`: an AWS account that is asked directly, with no broker in between.
//!
//! Whatever AWS itself would refuse by its form is refused here, by line and field, since an installer who stands
//! before a device cannot correct a profile.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::DeValue;
use url::Url;

use super::check::Check;
use super::document::{ProfileError, ProfileProblem};

/// MQTT over TLS, where an endpoint names no port.
const MQTT_PORT: u16 = 8883;
/// How long keys of STS may live, in seconds (AssumeRoleWithWebIdentity, `DurationSeconds`).
const SECONDS: (u32, u32) = (900, 43_200);
/// And how long they do where the profile says nothing; AWS's own default.
const USUAL_SECONDS: u32 = 3600;
/// Longest name of a provisioning template.
const LONGEST_TEMPLATE: usize = 36;
/// Longest value of a parameter, in characters.
const LONGEST_VALUE: usize = 800;
/// Longest name of a thing.
const LONGEST_THING: usize = 128;
/// What stands for the serial number in the pattern of a thing's name.
const SERIAL: &str = "{serial}";

/// An AWS account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AwsSettings {
    /// The region, such as `eu-central-1`.
    pub region: String,
    /// The provisioning template; empty where the strategy has none.
    pub template: String,
    /// A thing's name with `{serial}` in it, for whoever may not read the template.
    pub thing: Option<String>,
    /// How devices come to their identity.
    pub strategy: Strategy,
    /// What devices check the endpoint against, PEM; Amazon's own authority where absent.
    pub device_ca: Option<String>,
    /// Where devices go; AWS is asked where absent.
    pub device_endpoint: Option<HostPort>,
    /// Authorities trusted for the calls to AWS besides the usual ones, PEM.
    pub ca: Option<String>,
    /// Values for the template's parameters, unless whoever commissions gives others.
    pub parameters: BTreeMap<String, String>,
    /// Parameters that the device's firmware or the account's hook supplies, so that nobody is asked for them.
    pub supplied_parameters: Vec<String>,
    /// How a sign-in becomes AWS keys.
    pub credentials: AwsCredentials,
    /// Where AWS is reached instead of at its own addresses.
    pub endpoints: AwsEndpoints,
}

impl AwsSettings {
    /// The name of this serial number's thing, by the profile's pattern.
    pub fn thing_name(&self, serial: &str) -> Option<String> {
        self.thing.as_ref().map(|pattern| pattern.replace(SERIAL, serial))
    }

    /// `aws`, `aws-cn` or `aws-us-gov`, as names of resources begin.
    pub fn partition(&self) -> &'static str {
        if self.region.starts_with("cn-") {
            "aws-cn"
        } else if self.region.starts_with("us-gov-") {
            "aws-us-gov"
        } else {
            "aws"
        }
    }

    /// The account, where the profile names a role of it.
    pub fn account(&self) -> Option<&str> {
        match &self.credentials {
            AwsCredentials::Sts { role, .. } => role.split(':').nth(4),
            AwsCredentials::Cognito { .. } => None,
        }
    }
}

/// How devices come to their permanent identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Fieldkey fetches a claim for each.
    #[default]
    TrustedUser,
    /// A claim that all devices share is in their firmware.
    ClaimInDevice,
    /// Just-in-time provisioning: a certificate of the maker's authority, and a template. The first connection is
    /// refused by design.
    Jitp,
    /// Just-in-time registration: the same, with the account's own code in place of a template.
    Jitr,
    /// The device's certificate was registered beforehand.
    Registered,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::TrustedUser,
        Self::ClaimInDevice,
        Self::Jitp,
        Self::Jitr,
        Self::Registered,
    ];

    /// Whether a pre-provisioning hook is asked about each device: AWS knows hooks for claims alone.
    pub fn has_hook(self) -> bool {
        matches!(self, Self::TrustedUser | Self::ClaimInDevice)
    }

    /// Whether a provisioning template is part of it.
    pub fn has_template(self) -> bool {
        match self {
            Self::TrustedUser | Self::ClaimInDevice | Self::Jitp => true,
            Self::Jitr | Self::Registered => false,
        }
    }

    /// Whether the profile has to say how things are called: there is no template, or one that makes their names of what is
    /// in a device's certificate.
    pub fn needs_thing(self) -> bool {
        !self.has_template() || self == Self::Jitp
    }

    /// Whether devices are made with a certificate of the maker's that is for them alone.
    pub fn has_certificates(self) -> bool {
        matches!(self, Self::Jitp | Self::Jitr | Self::Registered)
    }

    /// Whether devices come to their identity without a claim of Fieldkey's.
    pub fn is_self_enrolling(self) -> bool {
        self != Self::TrustedUser
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostPort {
    /// DNS name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl HostPort {
    /// Reads `host` or `host:port`; MQTT's port where none is named.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
            None => (text, MQTT_PORT),
        };
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        (!host.is_empty() && host.len() <= 253 && host.bytes().all(sound)).then(|| Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// `[cloud.credentials]`: how the issuer's statement about a person becomes AWS keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "way", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum AwsCredentials {
    /// By a Cognito identity pool.
    Cognito {
        /// `region:guid`.
        identity_pool: String,
    },
    /// By AssumeRoleWithWebIdentity.
    Sts {
        /// The role's ARN.
        role: String,
        /// How long keys live.
        seconds: u32,
    },
}

/// `[cloud.endpoints]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AwsEndpoints {
    /// The control plane of AWS IoT.
    pub iot: Option<Url>,
    /// The data plane.
    pub iot_data: Option<Url>,
    /// Cognito's identity pools.
    pub cognito_identity: Option<Url>,
    /// The security token service.
    pub sts: Option<Url>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAws {
    #[serde(rename = "kind")]
    _kind: String,
    region: String,
    template: Option<String>,
    thing: Option<String>,
    #[serde(default)]
    strategy: Strategy,
    device_ca: Option<String>,
    device_endpoint: Option<String>,
    ca: Option<String>,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    #[serde(default)]
    supplied_parameters: Vec<String>,
    credentials: RawCredentials,
    #[serde(default)]
    endpoints: RawEndpoints,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCredentials {
    way: String,
    identity_pool: Option<String>,
    role: Option<String>,
    seconds: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEndpoints {
    iot: Option<String>,
    iot_data: Option<String>,
    cognito_identity: Option<String>,
    sts: Option<String>,
}

impl<'t> Check<'_, 't> {
    pub(super) fn aws(&self, value: Spanned<DeValue<'t>>) -> Result<AwsSettings, ProfileError> {
        let raw: RawAws = self.document.read_value(value)?;
        self.parameters(&raw)?;
        self.matches(
            "cloud.region",
            is_region(&raw.region),
            "a region such as eu-central-1",
        )?;
        let template = match raw.template {
            Some(template) => {
                self.matches(
                    "cloud.template",
                    is_template(&template),
                    "a template's name: 1 to 36 letters, digits, _ and -",
                )?;
                template
            }
            None if raw.strategy.has_template() => {
                let problem = ProfileProblem::Shape("missing field `template`".to_owned());
                return self.fail("cloud", problem);
            }
            None => String::new(),
        };
        if raw.thing.is_none() && raw.strategy.needs_thing() {
            // Nothing else tells what to look for in the registry.
            let problem = ProfileProblem::Shape("missing field `thing`".to_owned());
            return self.fail("cloud", problem);
        }
        if let Some(thing) = &raw.thing {
            self.matches(
                "cloud.thing",
                is_thing(thing),
                "a thing's name with {serial} in it: letters, digits, :, _ and -, at most 128",
            )?;
        }
        for (path, pem) in [("cloud.device_ca", &raw.device_ca), ("cloud.ca", &raw.ca)] {
            if let Some(pem) = pem {
                self.certificates(path, pem, false)?;
            }
        }
        let device_endpoint = raw.device_endpoint.as_deref().map(HostPort::parse);
        self.matches(
            "cloud.device_endpoint",
            device_endpoint != Some(None),
            "a host such as a1b2c3-ats.iot.eu-central-1.amazonaws.com, with :port where it is not 8883",
        )?;
        Ok(AwsSettings {
            credentials: self.credentials(raw.credentials)?,
            endpoints: self.endpoints(&raw.endpoints)?,
            region: raw.region,
            template,
            thing: raw.thing,
            strategy: raw.strategy,
            device_ca: raw.device_ca,
            device_endpoint: device_endpoint.flatten(),
            ca: raw.ca,
            parameters: raw.parameters,
            supplied_parameters: raw.supplied_parameters,
        })
    }

    fn parameters(&self, raw: &RawAws) -> Result<(), ProfileError> {
        let strategy = raw.strategy;
        for (path, empty) in [
            ("cloud.parameters", raw.parameters.is_empty()),
            ("cloud.supplied_parameters", raw.supplied_parameters.is_empty()),
        ] {
            if strategy.is_self_enrolling() && !empty {
                return self.fail(path, ProfileProblem::NoParameters);
            }
        }
        for (name, value) in &raw.parameters {
            let sound = (1..=LONGEST_VALUE).contains(&value.chars().count());
            self.matches(
                &format!("cloud.parameters.{name}"),
                sound && !value.chars().any(char::is_control),
                "a value of 1 to 800 characters, in one line",
            )?;
        }
        Ok(())
    }

    fn credentials(&self, raw: RawCredentials) -> Result<AwsCredentials, ProfileError> {
        let foreign = |field: &'static str| {
            let path = format!("cloud.credentials.{field}");
            self.fail(&path, ProfileProblem::OtherWay { way: raw.way.clone() })
        };
        let missing = |field: &str| {
            let problem = ProfileProblem::Shape(format!("missing field `{field}`"));
            self.fail("cloud.credentials", problem)
        };
        match (raw.way.as_str(), raw.identity_pool, raw.role, raw.seconds) {
            ("cognito", _, Some(_), _) => foreign("role"),
            ("cognito", _, _, Some(_)) => foreign("seconds"),
            ("cognito", None, ..) => missing("identity_pool"),
            ("cognito", Some(identity_pool), None, None) => {
                self.matches(
                    "cloud.credentials.identity_pool",
                    is_pool(&identity_pool),
                    "an identity pool such as eu-central-1:01234567-89ab-cdef-0123-456789abcdef",
                )?;
                Ok(AwsCredentials::Cognito { identity_pool })
            }
            ("sts", Some(_), ..) => foreign("identity_pool"),
            ("sts", None, None, _) => missing("role"),
            ("sts", None, Some(role), seconds) => {
                self.matches(
                    "cloud.credentials.role",
                    is_role(&role),
                    "a role such as arn:aws:iam::123456789012:role/FieldkeyInstaller",
                )?;
                let seconds = seconds.unwrap_or(USUAL_SECONDS);
                let (least, most) = SECONDS;
                if !(least..=most).contains(&seconds) {
                    let problem = ProfileProblem::Range {
                        least: least.into(),
                        most: most.into(),
                    };
                    return self.fail("cloud.credentials.seconds", problem);
                }
                Ok(AwsCredentials::Sts { role, seconds })
            }
            (other, ..) => self.fail(
                "cloud.credentials.way",
                ProfileProblem::UnknownWay(other.to_owned()),
            ),
        }
    }

    fn endpoints(&self, raw: &RawEndpoints) -> Result<AwsEndpoints, ProfileError> {
        let url = |name: &str, text: &Option<String>| match text {
            Some(text) => self.url(&format!("cloud.endpoints.{name}"), text).map(Some),
            None => Ok(None),
        };
        Ok(AwsEndpoints {
            iot: url("iot", &raw.iot)?,
            iot_data: url("iot_data", &raw.iot_data)?,
            cognito_identity: url("cognito_identity", &raw.cognito_identity)?,
            sts: url("sts", &raw.sts)?,
        })
    }

    fn matches(&self, path: &str, sound: bool, form: &'static str) -> Result<(), ProfileError> {
        if sound {
            Ok(())
        } else {
            self.fail(path, ProfileProblem::NotOfForm(form))
        }
    }
}

fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lower = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    match parts.split_last() {
        Some((number, words)) => {
            (2..=4).contains(&words.len())
                && words.iter().all(lower)
                && (1..=2).contains(&number.len())
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        None => false,
    }
}

/// Whether AWS would take this as a template's name; its own clients leave the check to the server.
fn is_template(text: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=LONGEST_TEMPLATE).contains(&text.len()) && text.bytes().all(sound)
}

fn is_thing(pattern: &str) -> bool {
    let rest = pattern.replacen(SERIAL, "", 1);
    rest.len() < pattern.len() && rest.len() < LONGEST_THING && rest.bytes().all(is_thing_byte)
}

/// What may stand in a thing's name.
fn is_thing_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-')
}

fn is_pool(text: &str) -> bool {
    text.len() <= 55
        && text.split_once(':').is_some_and(|(region, guid)| {
            let sound = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
            is_region(region) && !guid.is_empty() && guid.bytes().all(sound)
        })
}

fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [head, partition, service, region, account, name] = parts.as_slice() else {
        return false;
    };
    *head == "arn"
        && matches!(*partition, "aws" | "aws-cn" | "aws-us-gov")
        && *service == "iam"
        && region.is_empty()
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && name.strip_prefix("role/").is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*')
        })
        && arn.len() <= 2048
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{CloudSettings, Profile};

    const WHOLE: &str = r#"name = "Acme"
[sign-in]
issuer = "https://login.acme.example"
client-id = "fieldkey"
[cloud]
kind = "aws-iot"
region = "eu-central-1"
template = "acme-fleet_1"
thing = "acme-{serial}"
device_endpoint = "localhost:18883"
[cloud.credentials]
way = "sts"
role = "arn:aws:iam::123456789012:role/FieldkeyInstaller"
seconds = 900
[cloud.endpoints]
iot = "https://localhost:8443"
"#;

    fn read(text: &str) -> AwsSettings {
        match Profile::parse(text).unwrap().cloud {
            CloudSettings::AwsIot(settings) => *settings,
            other => panic!("{other:?}"),
        }
    }

    fn refusal(from: &str, to: &str) -> (usize, String, ProfileProblem) {
        assert!(WHOLE.contains(from), "{from}");
        let error = Profile::parse(&WHOLE.replacen(from, to, 1)).unwrap_err();
        (error.line, error.field, error.problem)
    }

    #[test]
    fn a_whole_account_is_read() {
        let aws = read(WHOLE);
        assert_eq!((aws.region.as_str(), aws.partition()), ("eu-central-1", "aws"));
        assert_eq!(aws.thing_name("FK-7").as_deref(), Some("acme-FK-7"));
        assert_eq!(aws.account(), Some("123456789012"));
        assert_eq!(aws.strategy, Strategy::TrustedUser);
        assert_eq!(
            aws.device_endpoint,
            Some(HostPort {
                host: "localhost".into(),
                port: 18883
            })
        );
        assert_eq!(aws.endpoints.iot.unwrap().as_str(), "https://localhost:8443/");
        assert_eq!(aws.endpoints.sts, None);
    }

    #[test]
    fn a_pool_takes_the_place_of_a_role_and_the_rest_may_be_left_out() {
        let text = WHOLE
            .replace("way = \"sts\"\n", "way = \"cognito\"\n")
            .replace(
                "role = \"arn:aws:iam::123456789012:role/FieldkeyInstaller\"\nseconds = 900\n",
                "identity_pool = \"eu-central-1:01234567-89ab-cdef-0123-456789abcdef\"\n",
            )
            .replace(
                "thing = \"acme-{serial}\"\ndevice_endpoint = \"localhost:18883\"\n",
                "strategy = \"claim-in-device\"\n",
            );
        let aws = read(&text);
        assert_eq!((aws.thing_name("x"), aws.account()), (None, None));
        assert_eq!(aws.strategy, Strategy::ClaimInDevice);
        assert!(matches!(aws.credentials, AwsCredentials::Cognito { .. }));
    }

    #[test]
    fn each_field_that_aws_would_refuse_is_named_by_line_and_path() {
        let table = [
            ("eu-central-1\"", "Frankfurt\"", 7, "cloud.region"),
            ("acme-fleet_1", "acme fleet", 8, "cloud.template"),
            ("acme-fleet_1", "", 8, "cloud.template"),
            (
                "acme-fleet_1",
                "a123456789b123456789c123456789d123456",
                8,
                "cloud.template",
            ),
            ("acme-{serial}", "acme", 9, "cloud.thing"),
            ("acme-{serial}", "acme/{serial}", 9, "cloud.thing"),
            ("localhost:18883", "localhost:0", 10, "cloud.device_endpoint"),
            (
                "localhost:18883",
                "mqtts://localhost",
                10,
                "cloud.device_endpoint",
            ),
            (
                "arn:aws:iam::123456789012:role/FieldkeyInstaller",
                "FieldkeyInstaller",
                13,
                "cloud.credentials.role",
            ),
            ("123456789012", "1234", 13, "cloud.credentials.role"),
        ];
        for (from, to, line, field) in table {
            let (at, named, problem) = refusal(from, to);
            assert_eq!((at, named.as_str()), (line, field), "{to}");
            assert!(
                matches!(problem, ProfileProblem::NotOfForm(_)),
                "{to}: {problem:?}"
            );
        }
        assert_eq!(
            refusal("seconds = 900", "seconds = 899"),
            (
                14,
                "cloud.credentials.seconds".into(),
                ProfileProblem::Range {
                    least: 900,
                    most: 43_200
                }
            )
        );
        assert_eq!(
            refusal("\"sts\"", "\"keys\"").2,
            ProfileProblem::UnknownWay("keys".into())
        );
        let (line, field, problem) = refusal("way = \"sts\"", "way = \"cognito\"");
        assert_eq!((line, field.as_str()), (13, "cloud.credentials.role"));
        assert_eq!(
            problem,
            ProfileProblem::OtherWay {
                way: "cognito".into()
            }
        );
        assert_eq!(
            refusal("https://localhost:8443", "http://localhost").1,
            "cloud.endpoints.iot"
        );
        assert_eq!(
            refusal("seconds = 900", "minutes = 15").1,
            "cloud.credentials.minutes"
        );
    }

    #[test]
    fn values_for_parameters_are_checked_and_only_where_claims_come_from_here() {
        let read_with = |value: &str, more: &str| {
            let parameters = format!("{more}\n[cloud.parameters]\nZone = \"{value}\"\n[cloud.credentials]");
            Profile::parse(&WHOLE.replace("[cloud.credentials]", &parameters)).map(|profile| profile.cloud)
        };
        assert!(read_with("north", "supplied_parameters = [\"Batch\"]").is_ok());
        let error = read_with("", "").unwrap_err();
        assert_eq!(error.field, "cloud.parameters.Zone");
        assert!(matches!(error.problem, ProfileProblem::NotOfForm(_)), "{error:?}");
        let error = read_with("north", "strategy = \"jitp\"").unwrap_err();
        assert_eq!(
            (error.field.as_str(), error.problem),
            ("cloud.parameters", ProfileProblem::NoParameters)
        );
    }

    #[test]
    fn a_strategy_without_a_template_needs_a_things_name_in_its_place() {
        for (strategy, template) in [
            ("trusted-user", true),
            ("claim-in-device", true),
            ("jitp", true),
            ("jitr", false),
            ("registered", false),
        ] {
            let of = |text: &str| {
                text.replacen(
                    "[cloud.credentials]",
                    &format!("strategy = \"{strategy}\"\n[cloud.credentials]"),
                    1,
                )
            };
            let without = of(WHOLE).replacen("template = \"acme-fleet_1\"\n", "", 1);
            let read_without = Profile::parse(&without);
            assert_eq!(read_without.is_err(), template, "{strategy}");
            if let Err(error) = read_without {
                let missing = ProfileProblem::Shape("missing field `template`".into());
                assert_eq!((error.field.as_str(), error.problem), ("cloud", missing));
            }
            let nameless = of(WHOLE).replacen("thing = \"acme-{serial}\"\n", "", 1);
            let needs_one = matches!(strategy, "jitp" | "jitr" | "registered");
            assert_eq!(Profile::parse(&nameless).is_err(), needs_one, "{strategy}");
            assert_eq!(
                read(&of(WHOLE)).strategy.is_self_enrolling(),
                strategy != "trusted-user"
            );
        }
    }

    #[test]
    fn a_profile_holds_no_keys_of_aws() {
        for key in ["secret_access_key", "access_key_id", "session_token"] {
            let (_, field, problem) = refusal("seconds = 900", &format!("{key} = \"AKIDEXAMPLE\""));
            assert_eq!(
                (field, problem),
                (format!("cloud.credentials.{key}"), ProfileProblem::AwsKey)
            );
        }
    }
}
