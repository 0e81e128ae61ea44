//! The organisation as an authority: whose jobs, claims, clean-up handles and stored secrets are whose.
//!
//! What one organisation made may be judged and undone by that organisation alone: that another one's cloud does not know
//! a claim says nothing about the claim.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

/// Issuer, client and cloud: whoever signs in there works for this organisation. Profiles may be renamed; this stays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrganisationId {
    /// The issuer's identifier (OpenID Connect Discovery 1.0, 3).
    pub issuer: String,
    /// The client that people sign in to.
    pub client: String,
    /// The cloud: its kind, and the account or origin that holds the devices.
    pub cloud: String,
}

impl fmt::Display for OrganisationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} at {}", self.client, self.issuer, self.cloud)
    }
}
