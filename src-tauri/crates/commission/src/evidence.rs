//! Evidence: facts from the device or the cloud, with source and time. Stages advance on evidence alone.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::claim::ClaimId;
use crate::device::{Fingerprint, Identity};
use crate::time::UnixTime;

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Source {
    /// The radio of this laptop.
    Radio,
    /// The device, over the link.
    Device,
    /// The cloud.
    Cloud,
}

/// What was learnt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Fact {
    /// The device was linked and its endpoints mapped.
    Linked,
    /// The device proved that it knows the PoP, and we did.
    PossessionProven {
        /// The scheme, such as `security 2 patch 1`.
        scheme: String,
    },
    /// The device refused the PoP.
    PossessionRefused,
    /// The device proved its identity, and somebody knows its key.
    IdentityProven {
        /// What it proved.
        identity: Identity,
    },
    /// The device sees the chosen network.
    NetworkSeen {
        /// Signal at the device, dBm.
        rssi: i16,
    },
    /// The device took the Wi-Fi settings but has not applied them.
    SettingsWritten,
    /// The cloud issued a claim.
    ClaimIssued {
        /// Its name.
        claim: ClaimId,
    },
    /// The device holds the whole claim and found it sound.
    ClaimCommitted,
    /// The device applies the settings.
    SettingsApplied,
    /// First proof: the device joined Wi-Fi and has an address.
    WifiJoined {
        /// Its address, as the device says; absent where only the cloud shows that it must have joined.
        address: Option<String>,
    },
    /// The network refused the device, most likely for its passphrase.
    PassphraseRefused,
    /// Second proof: the device reached the cloud with the claim.
    CloudReached,
    /// The cloud made the permanent credential.
    IdentityIssued {
        /// The cloud's name for it (certificate id).
        principal: Option<String>,
    },
    /// Third proof: the permanent identity is accepted and registered.
    Registered {
        /// The name it is registered under, where the template makes one.
        thing: Option<String>,
        /// The permanent credential.
        principal: Option<String>,
    },
    /// Fourth proof: the device was seen online under its permanent identity, after the claim was issued.
    SeenOnline {
        /// Its name.
        thing: Option<String>,
        /// The credential it came with.
        principal: Option<String>,
    },
    /// The cloud or the device says that enrolment was refused.
    EnrolmentRefused {
        /// The cloud's code, shown as it is.
        code: String,
        /// The cloud's words.
        message: String,
    },
    /// Exactly one active credential is left.
    OneActiveCredential {
        /// Which.
        principal: String,
    },
    /// Released to support and the OTA service.
    Released,
}

/// A fact with its source and time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Evidence {
    /// What.
    #[serde(flatten)]
    pub fact: Fact,
    /// Who says so.
    pub source: Source,
    /// When, by the source's clock where it gives one (the cloud does).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at: Option<UnixTime>,
}

/// The state of a credential in the cloud's registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PrincipalStatus {
    /// It may connect.
    Active,
    /// It may not connect, and can be switched on again.
    Inactive,
    /// It never again may connect.
    Revoked,
    /// Made, not yet registered.
    PendingActivation,
    /// Under way to another account.
    PendingTransfer,
    /// A state that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A credential attached to a thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The cloud's name for it.
    pub id: String,
    /// Its state.
    pub status: PrincipalStatus,
}

/// A registered device as the cloud shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Thing {
    /// Its name.
    pub name: String,
    /// Rises with each change of the registry's record.
    pub version: u64,
    /// Its credentials.
    pub principals: Vec<Principal>,
    /// Whether it is online now; absent where the cloud does not tell.
    #[serde(default)]
    pub connected: Option<bool>,
    /// Since when, or when last.
    #[serde(default)]
    pub connected_at: Option<UnixTime>,
    /// The credential of the present, or last, connection, where the cloud itself says it.
    #[serde(default)]
    pub connected_principal: Option<String>,
    /// The credential that the present connection is taken to be by where the cloud does not say it; see
    /// [`crate::presence`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inferred_principal: Option<String>,
}

impl Thing {
    /// The credentials that may connect.
    pub fn active(&self) -> impl Iterator<Item = &Principal> {
        self.principals
            .iter()
            .filter(|principal| principal.status == PrincipalStatus::Active)
    }
}

/// To whom a device belongs, seen from this organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// Nobody yet.
    None,
    /// Us.
    #[serde(rename = "self")]
    Us,
    /// Another organisation or customer.
    Other,
}

/// What the cloud knew of a device before anything was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Whether the maker's import lists it; absent where the cloud has none, which says nothing of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
    /// The key that the maker registered for it.
    #[serde(default)]
    pub identity_key_sha256: Option<Fingerprint>,
    /// The oldest firmware that may be commissioned.
    #[serde(default)]
    pub min_firmware: Option<crate::device::Firmware>,
    /// To whom it belongs.
    pub owner: Owner,
    /// Its registration, where it has one.
    #[serde(default)]
    pub thing: Option<Thing>,
    /// Devices of this organisation come to their identity by what they were made with: they get Wi-Fi, no claim, and
    /// the cloud is watched for them.
    #[serde(default)]
    pub self_enrolling: bool,
}

/// What the cloud shows of an enrolment under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// New evidence, oldest first.
    pub evidence: Vec<Evidence>,
    /// Where the next look continues.
    pub next: u64,
    /// The claim died unused, or was retired.
    pub claim_over: bool,
    /// The device's registration as it stands.
    pub thing: Option<Thing>,
}
