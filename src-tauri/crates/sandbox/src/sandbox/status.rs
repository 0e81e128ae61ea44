//! How a sandbox stands at one moment: addresses, registry, devices. Written to a file, for programs outside.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use commission::claim::Endpoint;
use commission::device::Serial;
use commission::dialect::Enrol;
use serde::{Deserialize, Serialize};

use super::SandboxError;
use crate::cloud::registry::{CertificateStatus, ClaimState, EventKind, Orphan, RegistrySnapshot};
use crate::device::firmware::Firmware;
use crate::device::storage::read_if_there;
use crate::device::wifi::{Joining, Reason};

/// The file's name within the state directory.
pub const STATUS_FILE: &str = "status.json";

/// How long a living sandbox may take to write its status again; it does so several times a second.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// Everything of one moment. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The scenario's name.
    pub scenario: String,
    /// The process that runs it.
    pub pid: u32,
    /// What `DBUS_SYSTEM_BUS_ADDRESS` must be for a program that shall see the devices.
    pub bus_address: String,
    /// The issuer.
    pub issuer_url: String,
    /// The broker.
    pub broker_url: String,
    /// The AWS account.
    pub aws: AwsStatus,
    /// Where devices go.
    pub mqtt: Endpoint,
    /// The authority that all servers are trusted by, PEM.
    pub ca_pem: String,
    /// The organisation profile, to be imported.
    pub profile: PathBuf,
    /// The labels, as CSV; the same as JSON lies beside it.
    pub labels: PathBuf,
    /// Registered things, by name.
    pub things: Vec<ThingStatus>,
    /// Claims, in no order of time.
    pub claims: Vec<ClaimStatus>,
    /// What no working device uses, in words.
    pub orphans: Vec<String>,
    /// The devices, in the scenario's order.
    pub devices: Vec<DeviceStatus>,
}

/// A registered thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThingStatus {
    /// Its name.
    pub name: String,
    /// The device behind it.
    pub serial: String,
    /// Its certificates with what they are good for, oldest first.
    pub certificates: Vec<(String, String)>,
    /// The ACTIVE ones among them.
    pub active: Vec<String>,
    /// The certificate that is online now.
    pub connected: Option<String>,
    /// Whether support sees it.
    pub released: bool,
}

/// The AWS account, as its clients have to know it; the administrator's keys are among the secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AwsStatus {
    /// Where all its services answer.
    pub url: String,
    /// Its number.
    pub account: String,
    /// Its region.
    pub region: String,
    /// The identity pool that trusts the issuer.
    pub identity_pool: String,
    /// The role that installers may assume.
    pub installer_role: String,
    /// The role that support may assume.
    pub support_role: String,
    /// The role that registrars may assume.
    pub registrar_role: String,
    /// The role that they pass on to AWS IoT.
    pub registration_role: String,
    /// Where S3 is reached.
    pub s3: String,
    /// The bucket that line files go to.
    pub bucket: String,
}

/// A claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimStatus {
    /// The broker's name for it.
    pub id: String,
    /// For which device; none for one that AWS gave, until a device registers with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// `issued`, `used`, `expired` or `retired`.
    pub state: String,
    /// Its certificate.
    pub certificate_id: String,
    /// What happened, in order.
    pub events: Vec<String>,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// Advertised name.
    pub name: String,
    /// Serial number.
    pub serial: Serial,
    /// Whether it is switched on.
    pub powered: bool,
    /// Whether it can be provisioned.
    pub provisioning: bool,
    /// Whether it has a link.
    pub linked: bool,
    /// Whether too many wrong PoPs stopped it.
    pub locked_out: bool,
    /// `idle`, `connecting`, `connected`, `refused` or `not-found`.
    pub wifi: String,
    /// `waiting`, `connecting`, `cloud-reached`, `identity-issued`, `registered`, `online`, `refused`, `unreachable` or
    /// `claim-expired`.
    pub enrol: String,
    /// What it says about that, where there is more to say.
    pub detail: Option<String>,
    /// The certificate that it keeps as its permanent identity.
    pub principal: Option<String>,
}

impl Status {
    /// What the sandbox in this state directory last wrote; `None` where none runs.
    ///
    /// # Errors
    /// [`SandboxError`] where the file cannot be read.
    pub fn read(state_dir: &Path) -> Result<Option<Self>, SandboxError> {
        let path = state_dir.join(STATUS_FILE);
        let Some(text) = read_if_there(&path)? else {
            return Ok(None);
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| SandboxError::Status(error.to_string()))
    }

    /// What the sandbox in this state directory writes from now on, so that nothing in it is older than the call;
    /// `None` where none runs.
    ///
    /// # Errors
    /// [`SandboxError::Silent`] where it does not write any more; others as [`Status::read`].
    pub async fn read_fresh(state_dir: &Path) -> Result<Option<Self>, SandboxError> {
        let path = state_dir.join(STATUS_FILE);
        let (asked, deadline) = (SystemTime::now(), Instant::now() + PATIENCE);
        loop {
            match std::fs::metadata(&path).and_then(|file| file.modified()) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Ok(written) if written > asked => return Self::read(state_dir),
                _ if Instant::now() >= deadline => {
                    return Err(SandboxError::Silent(state_dir.display().to_string()));
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// What is not yet as it should be at the end of a day: every device enrolled under exactly one ACTIVE
    /// certificate, online with it, none of them a claim's, nothing left over. Empty when all is well.
    pub fn shortcomings(&self) -> Vec<String> {
        let claims: BTreeMap<&str, &str> = self
            .claims
            .iter()
            .map(|claim| (claim.certificate_id.as_str(), claim.id.as_str()))
            .collect();
        let mut found = Vec::new();
        for device in &self.devices {
            let serial = device.serial.as_str();
            let Some(thing) = self.things.iter().find(|thing| thing.serial == serial) else {
                found.push(format!("{serial} is not registered"));
                continue;
            };
            match thing.active.as_slice() {
                [one] => {
                    if device.principal.as_ref() != Some(one) {
                        found.push(format!("{serial} keeps another certificate than the active one"));
                    }
                    if thing.connected.as_ref() != Some(one) {
                        found.push(format!("{serial} is not online under its active certificate"));
                    }
                }
                several => found.push(format!("{serial} has {} active certificates", several.len())),
            }
            let held = thing
                .certificates
                .iter()
                .filter_map(|(id, _)| claims.get(id.as_str()));
            found.extend(held.map(|claim| format!("{serial} holds the certificate of claim {claim}")));
        }
        found.extend(self.orphans.iter().cloned());
        found
    }

    /// Serials of the devices.
    pub fn serials(&self) -> BTreeSet<&Serial> {
        self.devices.iter().map(|device| &device.serial).collect()
    }
}

pub(super) fn things(registry: &RegistrySnapshot) -> Vec<ThingStatus> {
    let things = registry.things.iter().map(|thing| ThingStatus {
        name: thing.name.clone(),
        serial: thing.serial.clone(),
        certificates: thing
            .certificates
            .iter()
            .map(|(id, status)| (id.clone(), certificate_word(*status).to_owned()))
            .collect(),
        active: thing.active.clone(),
        connected: thing.connected.clone(),
        released: thing.released,
    });
    things.collect()
}

pub(super) fn claims(registry: &RegistrySnapshot) -> Vec<ClaimStatus> {
    let claims = registry.claims.iter().map(|claim| ClaimStatus {
        id: claim.id.clone(),
        serial: claim.serial.clone(),
        state: match claim.state {
            ClaimState::Issued => "issued",
            ClaimState::Used => "used",
            ClaimState::Expired => "expired",
            ClaimState::Retired => "retired",
        }
        .to_owned(),
        certificate_id: claim.certificate_id.clone(),
        events: claim
            .events
            .iter()
            .map(|event| event_word(*event).to_owned())
            .collect(),
    });
    claims.collect()
}

pub(super) fn orphans(registry: &RegistrySnapshot) -> Vec<String> {
    let orphans = registry.orphans.iter().map(|orphan| match orphan {
        Orphan::SeveralActive { thing, certificates } => {
            format!("{thing} has {} active certificates", certificates.len())
        }
        Orphan::NoCertificate { thing } => format!("{thing} has no certificate"),
        Orphan::Pending { certificate } => format!("certificate {certificate} was made and never registered"),
        Orphan::Unattached { certificate } => format!("certificate {certificate} hangs on no thing"),
    });
    orphans.collect()
}

pub(super) fn device(device: &Firmware) -> DeviceStatus {
    let state = device.state();
    let (enrol, detail) = enrol_words(&state.enrol);
    DeviceStatus {
        name: device.spec().name.clone(),
        serial: device.spec().serial.clone(),
        powered: state.powered,
        provisioning: state.provisioning,
        linked: state.linked,
        locked_out: state.locked_out,
        wifi: match state.wifi {
            Joining::Idle => "idle",
            Joining::Connecting { .. } => "connecting",
            Joining::Connected(_) => "connected",
            Joining::Failed(Reason::Auth) => "refused",
            Joining::Failed(Reason::NotFound) => "not-found",
        }
        .to_owned(),
        enrol: enrol.to_owned(),
        detail,
        principal: state.principal,
    }
}

fn enrol_words(enrol: &Enrol) -> (&'static str, Option<String>) {
    match enrol {
        Enrol::Waiting => ("waiting", None),
        Enrol::Connecting => ("connecting", None),
        Enrol::CloudReached => ("cloud-reached", None),
        Enrol::IdentityIssued { .. } => ("identity-issued", None),
        Enrol::Registered { .. } => ("registered", None),
        Enrol::Online { .. } => ("online", None),
        Enrol::Refused { code, message } => ("refused", Some(format!("{code}: {message}"))),
        Enrol::Unreachable { reason } => ("unreachable", Some(reason.clone())),
        Enrol::ClaimExpired => ("claim-expired", None),
    }
}

fn certificate_word(status: CertificateStatus) -> &'static str {
    match status {
        CertificateStatus::Active => "ACTIVE",
        CertificateStatus::Inactive => "INACTIVE",
        CertificateStatus::Revoked => "REVOKED",
        CertificateStatus::PendingActivation => "PENDING_ACTIVATION",
    }
}

fn event_word(event: EventKind) -> &'static str {
    match event {
        EventKind::CloudReached => "cloud-reached",
        EventKind::IdentityIssued => "identity-issued",
        EventKind::Refused => "refused",
        EventKind::Registered => "registered",
        EventKind::Online => "online",
        EventKind::DataSeen => "data-seen",
        EventKind::Offline => "offline",
    }
}
