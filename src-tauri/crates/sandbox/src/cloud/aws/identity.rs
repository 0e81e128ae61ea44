//! The issuer's ID tokens as Cognito and STS check them: signature, issuer, audience, expiry.

use serde::Deserialize;

use crate::cloud::clock::CloudClock;
use crate::cloud::trust::{Audience, IssuerKeys, TrustError};

/// What an ID token says that was believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) subject: String,
    pub(super) roles: Vec<String>,
}

/// Why one was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is no ID token.
    Form,
    /// Nobody whom the account trusts signed it.
    Signature,
    /// Another issuer's.
    Issuer(String),
    /// For another program.
    Audience,
    /// Over since then, and it is now this.
    Expired { at: i64, now: i64 },
    /// The issuer did not show its keys.
    Unreachable,
}

#[derive(Deserialize)]
struct IdToken {
    iss: String,
    aud: Audience,
    exp: i64,
    sub: String,
    #[serde(default)]
    roles: Vec<String>,
    /// An access token has it, an ID token does not.
    client_id: Option<String>,
}

/// The OIDC provider that the account trusts.
pub(super) struct Provider {
    pub(super) issuer: String,
    audience: String,
    clock: CloudClock,
    keys: IssuerKeys,
}

impl Provider {
    pub(super) fn new(issuer: &str, audience: &str, https: reqwest::Client, clock: CloudClock) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            clock,
            keys: IssuerKeys::new(issuer, https),
        }
    }

    /// The issuer's address without its scheme, as AWS names providers.
    pub(super) fn name(&self) -> &str {
        self.issuer.strip_prefix("https://").unwrap_or(&self.issuer)
    }

    pub(super) fn audience(&self) -> &str {
        &self.audience
    }

    pub(super) async fn believe(&self, token: &str) -> Result<Identity, Doubt> {
        let token: IdToken = self.keys.check(token).await.map_err(|error| match error {
            TrustError::Unreachable => Doubt::Unreachable,
            TrustError::Token(crate::cloud::jwt::JwtError::Form) => Doubt::Form,
            TrustError::Token(_) => Doubt::Signature,
        })?;
        let now = self.clock.now();
        if token.client_id.is_some() {
            return Err(Doubt::Form);
        }
        if token.iss != self.issuer {
            return Err(Doubt::Issuer(token.iss));
        }
        if !token.aud.names(&self.audience) {
            return Err(Doubt::Audience);
        }
        if token.exp <= now {
            return Err(Doubt::Expired { at: token.exp, now });
        }
        Ok(Identity {
            subject: token.sub,
            roles: token.roles,
        })
    }
}
