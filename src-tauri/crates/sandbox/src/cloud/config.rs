//! What a sandbox cloud is made with.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use commission::secret::Token;
use serde::{Deserialize, Serialize};

use super::faults::CloudFaults;
use super::strategy::Strategy;
use super::witness::Witness;

/// Everything that is fixed when a cloud starts; [`CloudFaults`] are the part that can change later.
#[derive(Debug, Clone)]
pub struct CloudConfig {
    /// The OIDC client id of the app; the audience of its tokens.
    pub client_id: String,
    /// Who can sign in.
    pub users: Vec<User>,
    /// Redirect addresses besides the loopback ones, which are always allowed (RFC 8252, 7.3).
    pub redirect_uris: Vec<String>,
    /// The maker's import: the devices that exist.
    pub devices: Vec<MakerDevice>,
    /// How devices come to their identity.
    pub strategy: Strategy,
    /// The provisioning template's name, 1 to 36 letters, digits, `_`, `-`.
    pub template_name: String,
    /// The provisioning template's body, JSON as AWS IoT documents it.
    pub template_body: String,
    /// Life of a claim. AWS IoT: 5 minutes.
    pub claim_life: Duration,
    /// Life of an access or ID token.
    pub access_token_life: Duration,
    /// Life of a device code (RFC 8628, 3.2).
    pub device_code_life: Duration,
    /// Least time between two polls with a device code, in whole seconds (RFC 8628, 3.2).
    pub device_poll_interval: Duration,
    /// Life of an ownership token. AWS IoT: 1 hour.
    pub ownership_token_life: Duration,
    /// How long a certificate stays with a thing after it was detached. AWS IoT: seconds.
    pub detach_delay: Duration,
    /// The AWS region that this cloud plays.
    pub region: String,
    /// Seconds of keep-alive that the MQTT server accepts; what a client asks is moved into it. AWS IoT: 30 to 1200.
    pub keep_alive: RangeInclusive<u16>,
    /// The faults to start with.
    pub faults: CloudFaults,
    /// The directory in which authorities, ports, things and certificates outlive the cloud; none for a cloud that
    /// forgets. Sign-ins and claims are forgotten either way.
    pub keep: Option<PathBuf>,
    /// Remembers what is handed out in secret; for tests.
    pub witness: Option<Witness>,
}

/// A person who can sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// What is typed at sign-in, and the token's `sub`.
    pub subject: String,
    /// What is typed with it.
    pub password: Token,
    /// The person's name.
    pub name: String,
    /// An address nobody writes to.
    pub email: String,
    /// `installer`, `support`, `registrar`, or roles that carry no right here.
    pub roles: Vec<String>,
}

/// One row of the maker's import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MakerDevice {
    /// The serial number.
    pub serial: String,
    /// Lower-case hex SHA-256 of the DER SubjectPublicKeyInfo of the device's identity key.
    #[serde(default)]
    pub identity_key_sha256: Option<String>,
    /// The oldest firmware that may be commissioned.
    #[serde(default)]
    pub min_firmware: Option<String>,
    /// Whose device it is.
    #[serde(default)]
    pub owner: Owner,
}

/// Whose device it is, seen from this cloud's one organisation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// Nobody's yet.
    #[default]
    None,
    /// This organisation's.
    #[serde(rename = "self")]
    Own,
    /// Another organisation's.
    Other,
}

impl Default for CloudConfig {
    /// No devices; the installer `anna`, the support engineer `sam` and the registrar `rita`; the lives that AWS IoT
    /// documents.
    fn default() -> Self {
        Self {
            client_id: "fieldkey".into(),
            users: vec![
                User::new("anna", "anna-installs-things", "Anna Installer", &["installer"]),
                User::new("sam", "sam-supports-people", "Sam Support", &["support"]),
                User::new("rita", "rita-registers-many", "Rita Registrar", &["registrar"]),
            ],
            redirect_uris: Vec::new(),
            devices: Vec::new(),
            strategy: Strategy::TrustedUser,
            template_name: "FieldkeyTemplate".into(),
            template_body: DEFAULT_TEMPLATE.into(),
            claim_life: Duration::from_secs(300),
            access_token_life: Duration::from_secs(900),
            device_code_life: Duration::from_secs(600),
            device_poll_interval: Duration::from_secs(5),
            ownership_token_life: Duration::from_secs(3600),
            detach_delay: Duration::from_millis(500),
            region: "eu-central-1".into(),
            keep_alive: 30..=1200,
            faults: CloudFaults::default(),
            keep: None,
            witness: None,
        }
    }
}

impl User {
    /// A person with an address made from the subject.
    pub fn new(subject: &str, password: &str, name: &str, roles: &[&str]) -> Self {
        Self {
            subject: subject.into(),
            password: Token::new(password),
            name: name.into(),
            email: format!("{subject}@sandbox.invalid"),
            roles: roles.iter().map(ToString::to_string).collect(),
        }
    }
}

impl MakerDevice {
    /// A device with a serial and nothing else.
    pub fn new(serial: &str) -> Self {
        Self {
            serial: serial.into(),
            identity_key_sha256: None,
            min_firmware: None,
            owner: Owner::None,
        }
    }
}

/// The thing is named after the serial; re-commissioning replaces attributes instead of failing on them.
const DEFAULT_TEMPLATE: &str = r#"{
  "Parameters": {
    "SerialNumber": { "Type": "String" },
    "Site": { "Type": "String", "Default": "unassigned" }
  },
  "Resources": {
    "thing": {
      "Type": "AWS::IoT::Thing",
      "OverrideSettings": { "AttributePayload": "MERGE", "ThingTypeName": "REPLACE" },
      "Properties": {
        "ThingName": { "Ref": "SerialNumber" },
        "ThingTypeName": "fieldkey-device",
        "AttributePayload": { "serial": { "Ref": "SerialNumber" }, "site": { "Ref": "Site" } }
      }
    },
    "certificate": {
      "Type": "AWS::IoT::Certificate",
      "Properties": { "CertificateId": { "Ref": "AWS::IoT::Certificate::Id" }, "Status": "Active" }
    },
    "policy": {
      "Type": "AWS::IoT::Policy",
      "Properties": { "PolicyName": "fieldkey-device" }
    }
  },
  "DeviceConfiguration": {
    "dataTopic": { "Fn::Join": ["", ["dt/", { "Ref": "SerialNumber" }, "/state"]] }
  }
}"#;
