//! What the registry shows of itself, in the shape that the contract gives it.

use serde::Serialize;

use crate::cloud::config::Owner;

/// What a certificate is good for (AWS IoT).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CertificateStatus {
    /// Opens connections.
    Active,
    /// Opens none, and can be made active again.
    Inactive,
    /// Opens none any more.
    Revoked,
    /// Was made, and waits for RegisterThing.
    PendingActivation,
}

/// How a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimState {
    /// Alive and not used up.
    Issued,
    /// A device registered with it.
    Used,
    /// Its life is over, unused.
    Expired,
    /// It was taken back.
    Retired,
}

/// What happened to a claim, or to the identity that it led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A device connected with the claim.
    CloudReached,
    /// It got a permanent credential, not working yet.
    IdentityIssued,
    /// The cloud said no.
    Refused,
    /// The credential works and hangs on a thing.
    Registered,
    /// A device connected with the permanent credential.
    Online,
    /// The first data of that connection.
    DataSeen,
    /// That connection ended.
    Offline,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceView {
    pub(crate) serial: String,
    pub(crate) known: bool,
    // By hand: the rename would write `Sha256` in lower case only by luck.
    #[serde(rename = "identityKeySha256", skip_serializing_if = "Option::is_none")]
    pub(crate) identity_key_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_firmware: Option<String>,
    pub(crate) owner: Owner,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thing: Option<ThingView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ThingView {
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) principals: Vec<PrincipalView>,
    pub(crate) connected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connected_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connected_principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_connected_at: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PrincipalView {
    pub(crate) id: String,
    pub(crate) status: CertificateStatus,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReleasedView {
    #[serde(flatten)]
    pub(crate) thing: ThingView,
    pub(crate) released_at: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnrolmentView {
    pub(crate) state: ClaimState,
    pub(crate) server_time: i64,
    pub(crate) events: Vec<EventView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thing: Option<ThingView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct EventView {
    pub(crate) seq: usize,
    pub(crate) kind: EventKind,
    pub(crate) at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thing: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) principal: Option<String>,
}

impl EventView {
    /// An event that gets its number when it is kept.
    pub(super) fn new(kind: EventKind, at: i64) -> Self {
        Self {
            seq: 0,
            kind,
            at,
            code: None,
            message: None,
            thing: None,
            principal: None,
        }
    }

    pub(super) fn refused(at: i64, code: &str, message: &str) -> Self {
        let (code, message) = (Some(code.into()), Some(message.into()));
        Self {
            code,
            message,
            ..Self::new(EventKind::Refused, at)
        }
    }

    pub(super) fn of(kind: EventKind, at: i64, principal: &str, thing: Option<&str>) -> Self {
        let (principal, thing) = (Some(principal.into()), thing.map(Into::into));
        Self {
            principal,
            thing,
            ..Self::new(kind, at)
        }
    }
}
