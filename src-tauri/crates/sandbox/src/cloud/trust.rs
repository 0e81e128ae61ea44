//! An issuer's tokens as a service checks them that shares nothing with it but its address.

use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::jwt::{JwkSet, JwtError, PublicKeys, verify};

/// The keys that an issuer publishes, fetched when a token names one that is not known yet.
pub(crate) struct IssuerKeys {
    issuer: String,
    https: reqwest::Client,
    keys: Mutex<PublicKeys>,
}

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TrustError {
    /// For a reason of its own.
    Token(JwtError),
    /// The issuer did not show its keys.
    Unreachable,
}

#[derive(Deserialize)]
struct Discovery {
    jwks_uri: String,
}

/// RFC 7519, 4.1.3: one or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    pub(crate) fn names(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(several) => several.iter().any(|one| one == audience),
        }
    }
}

impl IssuerKeys {
    pub(crate) fn new(issuer: &str, https: reqwest::Client) -> Self {
        Self {
            issuer: issuer.into(),
            https,
            keys: Mutex::default(),
        }
    }

    /// What the token says, if the issuer signed it. Who may use it, and until when, is for the caller to judge.
    pub(crate) async fn check<T: DeserializeOwned>(&self, token: &str) -> Result<T, TrustError> {
        match self.read(token) {
            // The issuer may have new keys since they were fetched.
            Err(JwtError::UnknownKey(_)) => {
                let keys = self.fetch().await.map_err(|_| TrustError::Unreachable)?;
                *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
                self.read(token)
            }
            read => read,
        }
        .map_err(TrustError::Token)
    }

    fn read<T: DeserializeOwned>(&self, token: &str) -> Result<T, JwtError> {
        verify(token, &self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn fetch(&self) -> Result<PublicKeys, reqwest::Error> {
        let address = format!("{}/.well-known/openid-configuration", self.issuer);
        let discovery: Discovery = self.https.get(address).send().await?.json().await?;
        let keys: JwkSet = self.https.get(discovery.jwks_uri).send().await?.json().await?;
        Ok(keys.public_keys())
    }
}
