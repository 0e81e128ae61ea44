//! What the issuer remembers: open sign-ins, codes, refresh tokens and their families, device codes.
//!
//! Codes and tokens are kept as hashes only: what is here opens nothing.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use tokio::time::{Duration, Instant};

/// All tokens that one sign-in led to. Revoked together (RFC 9700, 4.14.2).
pub(super) type Family = u64;

/// Hash of a code or token.
pub(super) type Fingerprint = [u8; 32];

#[derive(Default)]
pub(super) struct IssuerState {
    pub(super) sign_ins: BTreeMap<String, AuthorizationRequest>,
    pub(super) codes: BTreeMap<Fingerprint, Code>,
    pub(super) refresh: BTreeMap<Fingerprint, Refresh>,
    pub(super) devices: BTreeMap<Fingerprint, DeviceGrant>,
    /// Who is signed in with which browser, by its cookie.
    pub(super) browsers: BTreeMap<Fingerprint, Browser>,
    revoked: BTreeSet<Family>,
    families: Family,
}

/// A valid request of RFC 6749, 4.1.1 with RFC 7636, 4.3, waiting for a person.
#[derive(Clone)]
pub(super) struct AuthorizationRequest {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) scope: String,
    pub(super) state: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) code_challenge: String,
}

/// A browser that somebody has signed in with.
#[derive(Clone)]
pub(super) struct Browser {
    pub(super) subject: String,
    /// Unix seconds.
    pub(super) auth_time: i64,
}

/// Who signed in, when, and for what.
#[derive(Clone)]
pub(super) struct SignIn {
    pub(super) family: Family,
    pub(super) subject: String,
    pub(super) client_id: String,
    pub(super) scope: String,
    pub(super) nonce: Option<String>,
    /// Unix seconds.
    pub(super) auth_time: i64,
}

pub(super) struct Code {
    pub(super) sign_in: SignIn,
    pub(super) redirect_uri: String,
    pub(super) code_challenge: String,
    pub(super) deadline: Instant,
    pub(super) used: bool,
}

pub(super) struct Refresh {
    pub(super) sign_in: SignIn,
    pub(super) used: bool,
}

pub(super) struct DeviceGrant {
    pub(super) client_id: String,
    pub(super) scope: String,
    pub(super) user_code: String,
    pub(super) deadline: Instant,
    pub(super) interval: Duration,
    pub(super) last_poll: Option<Instant>,
    pub(super) answer: DeviceAnswer,
}

pub(super) enum DeviceAnswer {
    Pending,
    Denied,
    Granted(SignIn),
}

impl IssuerState {
    pub(super) fn new_family(&mut self) -> Family {
        self.families += 1;
        self.families
    }

    pub(super) fn revoke(&mut self, family: Family) {
        self.revoked.insert(family);
    }

    pub(super) fn is_revoked(&self, family: Family) -> bool {
        self.revoked.contains(&family)
    }
}

pub(super) fn fingerprint(code_or_token: &str) -> Fingerprint {
    Sha256::digest(code_or_token).into()
}
