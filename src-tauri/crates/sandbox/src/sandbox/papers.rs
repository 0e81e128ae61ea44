//! What the sandbox lays out for people and programs: the organisation profile, the labels, the passwords.

use std::path::{Path, PathBuf};

use commission::secret::Token;
use serde::{Deserialize, Serialize};

use super::SandboxError;
use crate::cloud::{Cloud, Strategy};
use crate::device::maker::Maker;
use crate::device::storage::{read_if_there, write_atomically};
use crate::scenario::{DeviceSpec, Scenario};

/// The organisation profile.
pub const PROFILE_FILE: &str = "profile.toml";
/// The same with the AWS account in place of the broker, and keys by the identity pool.
pub const COGNITO_PROFILE_FILE: &str = "profile-cognito.toml";
/// And with keys by the security token service.
pub const STS_PROFILE_FILE: &str = "profile-sts.toml";
/// The same as the office has it, which registers devices in bulk and can do nothing else.
pub const REGISTRAR_PROFILE_FILE: &str = "profile-registrar.toml";
/// The labels as a spreadsheet.
pub const LABELS_FILE: &str = "labels.csv";
/// The labels as JSON.
pub const LABELS_JSON_FILE: &str = "labels.json";
/// What the sandbox's people know.
pub const SECRETS_FILE: &str = "secrets.json";

/// What the people of a sandbox know: passwords and passphrases, none of which is worth anything outside it.
#[derive(Deserialize)]
pub struct Secrets {
    users: Vec<Known>,
    networks: Vec<Known>,
}

/// Lasting keys of the AWS account's administrator.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Administrator {
    access_key_id: String,
    secret_access_key: String,
}

#[derive(Serialize, Deserialize)]
struct Known {
    name: String,
    secret: String,
}

impl Secrets {
    /// Reads them from a sandbox's state directory; `None` where there are none.
    ///
    /// # Errors
    /// [`SandboxError`] where the file cannot be read.
    pub fn read(state_dir: &Path) -> Result<Option<Self>, SandboxError> {
        let Some(text) = read_if_there(&state_dir.join(SECRETS_FILE))? else {
            return Ok(None);
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| SandboxError::Status(error.to_string()))
    }

    /// The password of a user.
    pub fn password(&self, user: &str) -> Option<Token> {
        self.users
            .iter()
            .find(|known| known.name == user)
            .map(|known| Token::new(known.secret.as_str()))
    }

    /// The passphrase of a network.
    pub fn passphrase(&self, ssid: &str) -> Option<Token> {
        self.networks
            .iter()
            .find(|known| known.name == ssid)
            .map(|known| Token::new(known.secret.as_str()))
    }
}

/// Writes all papers; gives the paths of profile and labels.
pub(super) fn write(
    dir: &Path,
    scenario: &Scenario,
    cloud: &Cloud,
    maker: &Maker,
) -> Result<(PathBuf, PathBuf), SandboxError> {
    let (profile, labels) = (dir.join(PROFILE_FILE), dir.join(LABELS_FILE));
    for (file, way) in [
        (PROFILE_FILE, Way::Broker),
        (COGNITO_PROFILE_FILE, Way::Cognito),
        (STS_PROFILE_FILE, Way::Sts),
        (REGISTRAR_PROFILE_FILE, Way::Registrar),
    ] {
        let text = self::profile(scenario, cloud, maker, way)?;
        write_atomically(&dir.join(file), text.as_bytes())?;
    }
    let rows: Vec<Label> = scenario
        .devices
        .iter()
        .filter(|spec| spec.copy == 0)
        .map(label)
        .collect();
    write_atomically(&labels, csv(&rows).as_bytes())?;
    write_atomically(&dir.join(LABELS_JSON_FILE), json(&rows)?.as_bytes())?;
    write_atomically(
        &dir.join(SECRETS_FILE),
        json(&secrets(scenario, cloud))?.as_bytes(),
    )?;
    Ok((profile, labels))
}

/// How a profile's people come to a claim.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Broker,
    Cognito,
    Sts,
    Registrar,
}

/// The profile in the form of `engine::settings`.
fn profile(scenario: &Scenario, cloud: &Cloud, maker: &Maker, way: Way) -> Result<String, SandboxError> {
    #[derive(Serialize)]
    #[serde(rename_all = "kebab-case")]
    struct Profile<'a> {
        name: String,
        sign_in: SignIn<'a>,
        cloud: Provider<'a>,
        policy: &'a commission::policy::Policy,
        network: Vec<Network>,
        maker: [OfMaker<'a>; 1],
        defaults: Defaults,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "kebab-case")]
    struct SignIn<'a> {
        issuer: &'a str,
        client_id: &'a str,
        ca: &'a str,
    }
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Provider<'a> {
        Broker {
            kind: &'static str,
            url: &'a str,
            ca: &'a str,
        },
        Aws {
            kind: &'static str,
            region: &'a str,
            strategy: Strategy,
            #[serde(skip_serializing_if = "Option::is_none")]
            template: Option<&'a str>,
            thing: &'static str,
            device_ca: &'a str,
            ca: &'a str,
            credentials: Credentials<'a>,
            endpoints: Endpoints<'a>,
        },
    }
    #[derive(Serialize)]
    #[serde(tag = "way", rename_all = "kebab-case")]
    enum Credentials<'a> {
        Cognito { identity_pool: &'a str },
        Sts { role: &'a str, seconds: u32 },
    }
    #[derive(Serialize)]
    struct Endpoints<'a> {
        iot: &'a str,
        iot_data: &'a str,
        cognito_identity: &'a str,
        sts: &'a str,
    }
    #[derive(Serialize)]
    struct Network {
        ssid: String,
        hidden: bool,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "kebab-case")]
    struct OfMaker<'a> {
        name: &'static str,
        root_pem: &'a str,
    }
    #[derive(Serialize)]
    struct Defaults {
        #[serde(skip_serializing_if = "Option::is_none")]
        network: Option<String>,
        site: &'static str,
    }

    let aws = &cloud.aws;
    let credentials = match way {
        Way::Broker => None,
        Way::Cognito => Some(Credentials::Cognito {
            identity_pool: &aws.identity_pool,
        }),
        Way::Sts => Some(Credentials::Sts {
            role: &aws.installer_role,
            seconds: 3600,
        }),
        Way::Registrar => Some(Credentials::Sts {
            role: &aws.registrar_role,
            seconds: 3600,
        }),
    };
    let network = networks(scenario);
    let profile = Profile {
        name: match way {
            Way::Broker => format!("Sandbox {}", scenario.name),
            Way::Cognito => format!("Sandbox {} by Cognito", scenario.name),
            Way::Sts => format!("Sandbox {} by STS", scenario.name),
            Way::Registrar => format!("Sandbox {} in bulk", scenario.name),
        },
        sign_in: SignIn {
            issuer: &cloud.issuer_url,
            client_id: &cloud.client_id,
            ca: &cloud.ca_pem,
        },
        cloud: match credentials {
            None => Provider::Broker {
                kind: "broker",
                url: &cloud.broker_url,
                ca: &cloud.ca_pem,
            },
            Some(credentials) => Provider::Aws {
                kind: "aws-iot",
                region: &aws.region,
                strategy: scenario.cloud.strategy,
                template: scenario
                    .cloud
                    .strategy
                    .has_template()
                    .then_some(scenario.cloud.template_name.as_str()),
                thing: "{serial}",
                device_ca: &cloud.ca_pem,
                ca: &cloud.ca_pem,
                credentials,
                endpoints: Endpoints {
                    iot: &aws.url,
                    iot_data: &aws.url,
                    cognito_identity: &aws.url,
                    sts: &aws.url,
                },
            },
        },
        policy: &scenario.policy,
        defaults: Defaults {
            network: network.first().map(|first| first.0.clone()),
            site: "Sandbox",
        },
        network: network
            .into_iter()
            .map(|(ssid, hidden)| Network { ssid, hidden })
            .collect(),
        maker: [OfMaker {
            name: "Sandbox maker",
            root_pem: maker.root_pem(),
        }],
    };
    toml::to_string(&profile).map_err(|error| SandboxError::Papers(error.to_string()))
}

/// Networks whose names a profile can say, each once.
fn networks(scenario: &Scenario) -> Vec<(String, bool)> {
    let mut named: Vec<(String, bool)> = Vec::new();
    for point in &scenario.networks {
        if let Ok(ssid) = std::str::from_utf8(point.ssid.as_bytes())
            && !named.iter().any(|(other, _)| other == ssid)
        {
            named.push((ssid.to_owned(), point.hidden));
        }
    }
    named
}

/// A row of the labels, and the text of the QR code that carries the same.
#[derive(Serialize)]
struct Label {
    name: String,
    serial: String,
    pop: String,
    username: String,
    label: String,
}

fn label(spec: &DeviceSpec) -> Label {
    #[derive(Serialize)]
    struct Qr<'a> {
        ver: &'static str,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        username: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pop: Option<&'a str>,
        transport: &'static str,
        security: u8,
        serial: &'a str,
    }
    let security = &spec.provisioning.security;
    let (pop, username) = (security.pop().map(|pop| pop.reveal()), security.username());
    let qr = Qr {
        ver: "v1",
        name: &spec.name,
        username,
        pop,
        transport: "ble",
        security: security.number(),
        serial: spec.serial.as_str(),
    };
    Label {
        name: spec.name.clone(),
        serial: spec.serial.to_string(),
        pop: pop.unwrap_or_default().to_owned(),
        username: username.unwrap_or_default().to_owned(),
        // A struct of texts and a number always has a JSON form.
        label: serde_json::to_string(&qr).unwrap_or_default(),
    }
}

fn csv(rows: &[Label]) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut text = String::from("name,serial,pop,username,label\n");
    for row in rows {
        let fields = [&row.name, &row.serial, &row.pop, &row.username, &row.label];
        text += &fields.map(|field| quote(field)).join(",");
        text.push('\n');
    }
    text
}

#[derive(Serialize)]
struct SecretsRecord {
    users: Vec<Known>,
    networks: Vec<Known>,
    aws: Administrator,
}

fn secrets(scenario: &Scenario, cloud: &Cloud) -> SecretsRecord {
    let users = scenario.cloud.users.iter().map(|user| Known {
        name: user.subject.clone(),
        secret: user.password.reveal().to_owned(),
    });
    let networks = scenario.networks.iter().filter_map(|point| {
        let secret = point.passphrase.as_ref()?.reveal().to_owned();
        Some(Known {
            name: point.ssid.to_string(),
            secret,
        })
    });
    SecretsRecord {
        users: users.collect(),
        networks: networks.collect(),
        aws: Administrator {
            access_key_id: cloud.aws.admin_key.clone(),
            secret_access_key: cloud.aws.admin_secret.reveal().to_owned(),
        },
    }
}

fn json(value: &impl Serialize) -> Result<String, SandboxError> {
    serde_json::to_string_pretty(value).map_err(|error| SandboxError::Papers(error.to_string()))
}
