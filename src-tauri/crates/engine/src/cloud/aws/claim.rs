//! CreateProvisioningClaim: the answer, and the name that a claim has here.

use std::collections::BTreeMap;
use std::time::Duration;

use commission::claim::{Claim, ClaimId, ClaimKind, CleanupHandle, Endpoint, Scope};
use commission::device::Serial;
use commission::secret::PrivateKeyPem;
use commission::time::{Moment, UnixTime};
use serde::Deserialize;

use super::stamp::Stamp;
use crate::cloud::wire::{filled, private_key};
use crate::keys::check_pair;

/// A claim lives five minutes; one whose end AWS did not state is taken to.
pub(super) const LIFE: Duration = Duration::from_secs(300);

/// Not `Debug`: it holds secrets.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClaimAnswer {
    #[serde(deserialize_with = "filled")]
    certificate_id: String,
    #[serde(deserialize_with = "filled")]
    certificate_pem: String,
    key_pair: KeyPair,
    #[serde(default)]
    expiration: Option<Stamp>,
}

#[derive(Deserialize)]
struct KeyPair {
    #[serde(rename = "PrivateKey", deserialize_with = "private_key")]
    private_key: PrivateKeyPem,
}

/// What a claim is for, beside what AWS answered.
pub(super) struct Order {
    pub(super) serial: Serial,
    /// What the device will be called in the registry, where that can be told.
    pub(super) thing: Option<String>,
    pub(super) template: String,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) endpoint: Endpoint,
    pub(super) ca_pem: String,
}

impl ClaimAnswer {
    /// The claim, checked. Its life counts on the monotonic clock from its arrival.
    ///
    /// # Errors
    /// What is wrong with it, without repeating any of it.
    pub(super) fn claim(self, order: Order, arrived: Moment, now: UnixTime) -> Result<Claim, String> {
        if !is_certificate_id(&self.certificate_id) {
            return Err("the claim's certificateId is none".into());
        }
        // A device would find out too late: at the cloud's door.
        check_pair(&self.certificate_pem, &self.key_pair.private_key).map_err(|error| error.to_string())?;
        let left = match self.expiration {
            Some(Stamp(ends)) => {
                Duration::from_secs(u64::try_from(ends.0.saturating_sub(now.0)).unwrap_or(0))
            }
            None => LIFE,
        };
        let ends = now
            .0
            .saturating_add(i64::try_from(left.as_secs()).unwrap_or(i64::MAX));
        let name = ClaimName {
            certificate: self.certificate_id,
            issued_at: now,
            ends: UnixTime(ends),
            serial: order.serial,
            thing: order.thing,
        };
        Ok(Claim {
            id: name.id(),
            cleanup: CleanupHandle(name.id().0),
            kind: ClaimKind::Certificate {
                chain_pem: self.certificate_pem,
                key: self.key_pair.private_key,
            },
            endpoint: order.endpoint,
            ca_pem: order.ca_pem,
            scope: Scope {
                template: order.template,
                parameters: order.parameters,
            },
            issued: arrived,
            expires: arrived + left,
            issued_at: now,
        })
    }
}

/// Whether it is of the form that names of certificates have: 64 hexadecimal digits.
pub(super) fn is_certificate_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a claim is called. AWS keeps no record of claims that could be read, so its name says all that watching it
/// takes: it stands in the journal, and after a crash enrolment is watched by it alone. Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimName {
    /// AWS's name for the claim's certificate, which the hook and presence events know it by.
    pub(super) certificate: String,
    pub(super) issued_at: UnixTime,
    pub(super) ends: UnixTime,
    pub(super) serial: Serial,
    /// The thing's name, where the claim could tell it: values that somebody gave may be part of it.
    pub(super) thing: Option<String>,
}

impl ClaimName {
    pub(super) fn id(&self) -> ClaimId {
        // Neither serial numbers nor names of things have a dot.
        let head = format!(
            "{}.{}.{}.{}",
            self.certificate, self.issued_at, self.ends, self.serial
        );
        ClaimId(match &self.thing {
            Some(thing) => format!("{head}.{thing}"),
            None => head,
        })
    }

    /// Reads a name; none where it is no name of a claim from AWS.
    pub(super) fn read(id: &ClaimId) -> Option<Self> {
        let mut parts = id.0.splitn(5, '.');
        Some(Self {
            certificate: parts.next().filter(|part| is_certificate_id(part))?.to_owned(),
            issued_at: UnixTime(parts.next()?.parse().ok()?),
            ends: UnixTime(parts.next()?.parse().ok()?),
            serial: Serial::new(parts.next()?).ok()?,
            thing: parts.next().map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claims_name_says_all_that_watching_takes_and_is_read_back() {
        for thing in [None, Some("acme-north_FK:7".to_owned())] {
            let name = ClaimName {
                certificate: "a1".repeat(32),
                issued_at: UnixTime(1_767_225_600),
                ends: UnixTime(1_767_225_900),
                serial: Serial::new("FK:7").unwrap(),
                thing,
            };
            assert_eq!(ClaimName::read(&name.id()), Some(name));
        }
        for odd in ["", "clm_1", "a.b.c.d", &format!("{}.1.2", "a1".repeat(32))] {
            assert_eq!(ClaimName::read(&ClaimId(odd.into())), None, "{odd}");
        }
    }
}
