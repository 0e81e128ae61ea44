//! Who asks: the access token checked against the issuer's published keys, and the rights of the person's roles.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};

use super::{Broker, Code, Problem};
use crate::cloud::clock::CloudClock;
use crate::cloud::trust::{Audience, IssuerKeys, TrustError};

/// What a person may do, as the contract names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Right {
    Claim,
    Observe,
    Release,
    Retire,
    Support,
    Transfer,
}

/// A person whose token was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) subject: String,
    pub(super) name: String,
    pub(super) roles: Vec<String>,
}

impl Person {
    /// In the order of their names.
    pub(super) fn rights(&self) -> Vec<Right> {
        let mut rights: Vec<Right> = self
            .roles
            .iter()
            .flat_map(|role| rights_of(role))
            .copied()
            .collect();
        rights.sort_unstable();
        rights.dedup();
        rights
    }

    pub(super) fn may(&self, right: Right) -> bool {
        self.rights().contains(&right)
    }

    pub(super) fn must(&self, right: Right) -> Result<(), Problem> {
        if self.may(right) {
            return Ok(());
        }
        let mut problem = Problem::lacks(right);
        problem.detail = format!("{} Your roles are: {}.", problem.detail, self.roles.join(", "));
        Err(problem)
    }
}

fn rights_of(role: &str) -> &'static [Right] {
    match role {
        "installer" => &[Right::Claim, Right::Observe, Right::Release, Right::Retire],
        "support" => &[
            Right::Claim,
            Right::Observe,
            Right::Release,
            Right::Retire,
            Right::Support,
            Right::Transfer,
        ],
        _ => &[],
    }
}

impl Right {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Observe => "observe",
            Self::Release => "release",
            Self::Retire => "retire",
            Self::Support => "support",
            Self::Transfer => "transfer",
        }
    }
}

impl FromRequestParts<Broker> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, broker: &Broker) -> Result<Self, Problem> {
        let header = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        // The scheme is written in any case (RFC 9110, 11.1).
        let token = header
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        match token {
            None => Err(Problem::new(Code::TokenMissing, "Sign in first.")),
            Some(token) => broker.0.verifier.verify(token).await,
        }
    }
}

/// Checks access tokens as a service does that shares nothing with the issuer but its address.
pub(crate) struct TokenVerifier {
    issuer: String,
    audience: String,
    clock: CloudClock,
    keys: IssuerKeys,
}

#[derive(Deserialize)]
struct AccessToken {
    iss: String,
    aud: Audience,
    exp: i64,
    sub: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    roles: Vec<String>,
    /// Absent in an ID token, which is for the app and opens nothing here.
    client_id: Option<String>,
}

impl TokenVerifier {
    pub(crate) fn new(issuer: &str, audience: &str, https: reqwest::Client, clock: CloudClock) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            clock,
            keys: IssuerKeys::new(issuer, https),
        }
    }

    async fn verify(&self, token: &str) -> Result<Person, Problem> {
        let claims: AccessToken = self.keys.check(token).await.map_err(|error| match error {
            TrustError::Unreachable => Problem::new(
                Code::Unavailable,
                "The issuer can't be reached to check the token.",
            ),
            TrustError::Token(error) => Problem::new(Code::TokenInvalid, format!("{error}. Sign in again.")),
        })?;
        let invalid = |detail: &str| Err(Problem::new(Code::TokenInvalid, detail));
        if claims.iss != self.issuer {
            return invalid("The token is another issuer's. Sign in again.");
        }
        if !claims.aud.names(&self.audience) || claims.client_id.is_none() {
            return invalid("The token is no access token for this broker. Sign in again.");
        }
        if claims.exp <= self.clock.now() {
            return Err(Problem::new(
                Code::TokenExpired,
                "Refresh the token and send the request again.",
            ));
        }
        Ok(Person {
            subject: claims.sub,
            name: claims.name,
            roles: claims.roles,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_add_up_over_roles_and_unknown_roles_have_none() {
        let person = |roles: &[&str]| Person {
            subject: "x".into(),
            name: "X".into(),
            roles: roles.iter().map(ToString::to_string).collect(),
        };
        assert!(person(&["guest"]).rights().is_empty());
        assert!(!person(&["installer"]).may(Right::Transfer));
        assert_eq!(
            person(&["installer", "support"]).rights(),
            person(&["support"]).rights()
        );
        for right in person(&["support"]).rights() {
            assert_eq!(serde_json::to_value(right).unwrap(), right.name());
        }
    }
}
