//! The claim: the temporary credential that a device exchanges for its own permanent identity.
//!
//! Shaped after three clouds: AWS IoT's provisioning claim (certificate and key), Azure DPS and Mender (enrolment of
//! the device's own key), SAS tokens, symmetric keys, TPM. The device side never learns which cloud made it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::device::{Fingerprint, Serial};
use crate::proven::ProvenKeys;
use crate::secret::{PrivateKeyPem, TenantToken, Token};
use crate::time::{Moment, UnixTime};

/// Under this much life left a claim is not sent (rule 1 of the design).
pub const MIN_LIFE_TO_SEND: Duration = Duration::from_secs(90);
/// Under this much life left a claim that is already with the device is replaced.
pub const MIN_LIFE_TO_KEEP: Duration = Duration::from_secs(30);

/// The cloud's name for a claim: public, fit for journal and logs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ClaimId(pub String);

/// What the cloud needs to undo a claim; holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CleanupHandle(pub String);

/// Where the device goes with its claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// DNS name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// What the claim lets its holder do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scope {
    /// The provisioning template (AWS); empty where the cloud has none.
    pub template: String,
    /// Parameters that the device must hand back when it registers.
    pub parameters: BTreeMap<String, String>,
}

/// The kinds of claim; what a device accepts is told to the cloud as [`ClaimForm`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimKind {
    /// X.509 certificate chain (PEM, leaf first) and its private key.
    Certificate {
        /// Chain as PEM.
        chain_pem: String,
        /// Private key.
        key: PrivateKeyPem,
    },
    /// The cloud enrolled the device's own public key; nothing of the device's crosses the air.
    PublicKey {
        /// The name to register under.
        registration_id: String,
        /// Where that name is valid (Azure DPS).
        id_scope: Option<String>,
        /// Whose the device is (hosted Mender).
        tenant_token: Option<TenantToken>,
    },
    /// A shared access signature (Azure DPS).
    Sas {
        /// The name to register under.
        registration_id: String,
        /// Where that name is valid.
        id_scope: String,
        /// The token.
        token: Token,
    },
    /// A symmetric key (Azure DPS).
    SymmetricKey {
        /// The name to register under.
        registration_id: String,
        /// Where that name is valid.
        id_scope: String,
        /// The key, base64.
        key: Token,
    },
    /// Enrolment by the device's TPM endorsement key (Azure DPS).
    Tpm {
        /// The name to register under.
        registration_id: String,
        /// Where that name is valid.
        id_scope: String,
    },
}

/// The kind of a claim without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimForm {
    /// See [`ClaimKind::Certificate`].
    Certificate,
    /// See [`ClaimKind::PublicKey`].
    PublicKey,
    /// See [`ClaimKind::Sas`].
    Sas,
    /// See [`ClaimKind::SymmetricKey`].
    SymmetricKey,
    /// See [`ClaimKind::Tpm`].
    Tpm,
}

/// A temporary credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The cloud's name for it.
    pub id: ClaimId,
    /// What it is.
    pub kind: ClaimKind,
    /// Where to use it.
    pub endpoint: Endpoint,
    /// The authority that vouches for the endpoint, PEM.
    pub ca_pem: String,
    /// What it allows.
    pub scope: Scope,
    /// When it was issued, on the monotonic clock: counted back from the answer's arrival by the cloud's own clock, since
    /// a request that is repeated is answered with the claim of the first time.
    pub issued: Moment,
    /// When it dies, on the monotonic clock: counted from arrival, never from the laptop's calendar.
    pub expires: Moment,
    /// The cloud's time when it was issued: given to the device, and compared with the cloud's evidence.
    pub issued_at: UnixTime,
    /// How to undo it.
    pub cleanup: CleanupHandle,
}

impl Claim {
    /// Its form.
    pub fn form(&self) -> ClaimForm {
        match self.kind {
            ClaimKind::Certificate { .. } => ClaimForm::Certificate,
            ClaimKind::PublicKey { .. } => ClaimForm::PublicKey,
            ClaimKind::Sas { .. } => ClaimForm::Sas,
            ClaimKind::SymmetricKey { .. } => ClaimForm::SymmetricKey,
            ClaimKind::Tpm { .. } => ClaimForm::Tpm,
        }
    }

    /// Whether it lives long enough to be sent now.
    pub fn may_be_sent(&self, now: Moment) -> bool {
        self.expires.left(now) >= MIN_LIFE_TO_SEND
    }
}

/// Why a device is commissioned, which decides the order of old and new credentials (rule 4 of the design).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Purpose {
    /// It has no identity yet.
    #[default]
    New,
    /// A service visit by the same owner: the new credential first, then the old one off.
    Service,
    /// Another owner, or theft suspected: the old credential off first.
    Transfer,
}

/// What the cloud is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRequest {
    /// For which device.
    pub serial: Serial,
    /// The key that the device proved to hold, where it did.
    pub key_sha256: Option<Fingerprint>,
    /// That key itself and what else the device proved to hold: what a cloud enrols where the claim is no secret.
    pub keys: Option<ProvenKeys>,
    /// Repeating a request with the same key yields the same claim, not a second one.
    pub idempotency: Uuid,
    /// The forms that the device can take, best first.
    pub accepts: Vec<ClaimForm>,
    /// Why.
    pub purpose: Purpose,
    /// Values that a person gave for the template's parameters, by name.
    pub parameters: BTreeMap<String, String>,
}
