//! What a profile would change for whoever works with the one that it takes the place of: where secrets go, who vouches
//! for those places, and what is allowed. Networks, sites and defaults are no such thing.

use commission::policy::{IdentityPolicy, PlainDevices};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::aws::{AwsCredentials, AwsEndpoints};
use super::profile::{CloudSettings, Profile};

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Changed {
    /// The profile's name, of the same organisation.
    Name,
    /// What stands there cannot be read, so that nobody knows what changes.
    Unreadable,
    /// Who signs the profile.
    Signature,
    /// The issuer at which people sign in.
    Issuer,
    /// What the issuer calls this program.
    Client,
    /// What tokens are asked to be good for.
    Scopes,
    /// Who vouches for the issuer.
    IssuerAuthorities,
    /// Where devices enrol, and tokens or keys go.
    Cloud,
    /// How a sign-in becomes keys of the cloud.
    Credentials,
    /// Where the cloud is reached.
    Endpoints,
    /// Who vouches for the cloud.
    CloudAuthorities,
    /// Where devices go, and whom they trust.
    Devices,
    /// Who vouches for the identity of devices.
    Makers,
    /// Secrets may go over links without encryption.
    AllowUnencrypted,
    /// Secrets may go to devices without a proof of possession.
    AllowNoPop,
    /// Secrets may go over an encryption with a known weakness.
    AllowNonceReuse,
    /// Less is demanded of a device's identity.
    Identity,
    /// Devices that take no claim are given Wi-Fi.
    PlainDevices,
}

/// One change, in the profile's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Change {
    /// What.
    pub what: Changed,
    /// What holds until now.
    pub before: String,
    /// What would hold from now on.
    pub after: String,
}

impl Changed {
    /// For a terminal.
    pub fn words(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Unreadable => "the profile in use cannot be read",
            Self::Signature => "signed by",
            Self::Issuer => "issuer",
            Self::Client => "client id",
            Self::Scopes => "scopes",
            Self::IssuerAuthorities => "authorities of the issuer",
            Self::Cloud => "cloud",
            Self::Credentials => "how a sign-in becomes keys",
            Self::Endpoints => "endpoints of the cloud",
            Self::CloudAuthorities => "authorities of the cloud",
            Self::Devices => "where devices go",
            Self::Makers => "makers who vouch for devices",
            Self::AllowUnencrypted => "allows links without encryption",
            Self::AllowNoPop => "allows devices without a proof of possession",
            Self::AllowNonceReuse => "allows reused nonces",
            Self::Identity => "proof of identity",
            Self::PlainDevices => "devices that take no claim",
        }
    }
}

/// What would change, in order.
pub(super) fn changes(before: &Profile, after: &Profile) -> Vec<Change> {
    let mut changes: Vec<Change> = facts(before)
        .into_iter()
        .zip(facts(after))
        .filter(|((_, before), (_, after))| before != after)
        .map(|((what, before), (_, after))| Change { what, before, after })
        .collect();
    let relaxed = looseness(before)
        .into_iter()
        .zip(looseness(after))
        .filter(|((_, before, _), (_, after, _))| before < after)
        .map(|((what, _, before), (_, _, after))| Change {
            what,
            before: before.into(),
            after: after.into(),
        });
    changes.extend(relaxed);
    changes
}

/// What counts however it changes.
fn facts(profile: &Profile) -> Vec<(Changed, String)> {
    let makers: Vec<String> = profile
        .makers
        .iter()
        .map(|maker| format!("{} {}", maker.name, mark(Some(&maker.root_pem))))
        .collect();
    let (credentials, endpoints, authorities, devices) = match &profile.cloud {
        CloudSettings::Broker { ca, .. } => (String::new(), String::new(), mark(ca.as_ref()), String::new()),
        CloudSettings::AwsIot(aws) => (
            match &aws.credentials {
                AwsCredentials::Cognito { identity_pool } => identity_pool.clone(),
                AwsCredentials::Sts { role, .. } => role.clone(),
            },
            endpoint_words(&aws.endpoints),
            mark(aws.ca.as_ref()),
            format!(
                "{} {}",
                aws.device_endpoint.as_ref().map_or_else(
                    || "AWS's own".into(),
                    |place| format!("{}:{}", place.host, place.port)
                ),
                mark(aws.device_ca.as_ref())
            ),
        ),
    };
    vec![
        (Changed::Name, profile.name.clone()),
        (
            Changed::Signature,
            profile.signed_by.clone().unwrap_or_else(|| "nobody".into()),
        ),
        (Changed::Issuer, profile.sign_in.issuer.clone()),
        (Changed::Client, profile.sign_in.client_id.clone()),
        (Changed::Scopes, profile.sign_in.scopes.join(" ")),
        (Changed::IssuerAuthorities, mark(profile.sign_in.ca.as_ref())),
        (Changed::Cloud, profile.cloud.place()),
        (Changed::Credentials, credentials),
        (Changed::Endpoints, endpoints),
        (Changed::CloudAuthorities, authorities),
        (Changed::Devices, devices),
        (Changed::Makers, makers.join(", ")),
    ]
}

/// What counts where it becomes looser: what, how loose, and in the profile's words.
fn looseness(profile: &Profile) -> Vec<(Changed, u8, &'static str)> {
    let policy = &profile.policy;
    let allowed = |what, allowed: bool| (what, u8::from(allowed), if allowed { "yes" } else { "no" });
    let identity = match policy.identity {
        IdentityPolicy::Required => (0, "required"),
        IdentityPolicy::WhenOffered => (1, "when-offered"),
        IdentityPolicy::Off => (2, "off"),
    };
    let plain = match policy.plain_devices {
        PlainDevices::Refuse => (0, "refuse"),
        PlainDevices::WifiOnly => (1, "wifi-only"),
    };
    vec![
        allowed(Changed::AllowUnencrypted, policy.allow_unencrypted),
        allowed(Changed::AllowNoPop, policy.allow_no_pop),
        allowed(Changed::AllowNonceReuse, policy.allow_nonce_reuse),
        (Changed::Identity, identity.0, identity.1),
        (Changed::PlainDevices, plain.0, plain.1),
    ]
}

fn endpoint_words(endpoints: &AwsEndpoints) -> String {
    let named = [
        &endpoints.iot,
        &endpoints.iot_data,
        &endpoints.cognito_identity,
        &endpoints.sts,
    ];
    let named: Vec<&str> = named.into_iter().flatten().map(url::Url::as_str).collect();
    if named.is_empty() {
        "AWS's own".to_owned()
    } else {
        named.join(" ")
    }
}

/// What a person can compare: the beginning of a SHA-256.
fn mark(pem: Option<&String>) -> String {
    pem.map_or_else(
        || "none besides the usual".to_owned(),
        |pem| {
            let mut mark = hex::encode(Sha256::digest(pem.trim()));
            mark.truncate(16);
            format!("SHA-256 {mark}")
        },
    )
}
