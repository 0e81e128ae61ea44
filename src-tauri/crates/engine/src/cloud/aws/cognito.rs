//! Keys by a Cognito identity pool: GetId, then GetCredentialsForIdentity, both without a signature.

use ::http::Method;
use commission::fault::CloudError;
use commission::secret::Token;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::keys::Granted;
use super::operation::Operation;
use super::sign::Keys;
use super::stamp::Stamp;
use super::wire::{Trouble, Wire, content, request};
use crate::cloud::http::Answer;
use crate::cloud::wire::{filled, token as secret};

const JSON: &str = "application/x-amz-json-1.1";
const TARGET: &str = "AWSCognitoIdentityService";

/// An identity pool.
pub(super) struct Pool<'a> {
    pub(super) wire: &'a Wire,
    pub(super) base: &'a Url,
    /// `region:guid`.
    pub(super) id: &'a str,
    /// The issuer as the profile writes it.
    pub(super) issuer: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IdAnswer {
    #[serde(deserialize_with = "filled")]
    identity_id: String,
}

/// Not `Debug`: it holds secrets.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeysAnswer {
    credentials: KeyFields,
}

/// Called `SecretKey` here, unlike everywhere else in AWS.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeyFields {
    #[serde(deserialize_with = "filled")]
    access_key_id: String,
    #[serde(deserialize_with = "secret")]
    secret_key: Token,
    #[serde(deserialize_with = "secret")]
    session_token: Token,
    expiration: Stamp,
}

impl Pool<'_> {
    /// Keys for whom the ID token names. They live for an hour, whatever is asked for.
    pub(super) async fn keys(&self, token: &Token) -> Result<Granted, Trouble> {
        let logins = json!({ provider(self.issuer): token.reveal() });
        let found = Operation::GetId;
        let body = json!({ "IdentityPoolId": self.id, "Logins": logins });
        let answer: IdAnswer = content(found, &self.ask(found, &body).await?)?;
        let fetched = Operation::GetCredentialsForIdentity;
        let body = json!({ "IdentityId": answer.identity_id, "Logins": logins });
        let answer = self.ask(fetched, &body).await?;
        let KeysAnswer { credentials } = content(fetched, &answer)?;
        Ok(Granted {
            keys: Keys::new(
                &credentials.access_key_id,
                credentials.secret_key.reveal(),
                credentials.session_token.reveal(),
            ),
            ends: credentials.expiration.0,
            now: self.wire.time_of(&answer),
            arrived: answer.arrived,
        })
    }

    async fn ask(&self, operation: Operation, body: &Value) -> Result<Answer, Trouble> {
        let body = body.to_string().into_bytes();
        let mut request = request(self.base, &Method::POST, "/", Some(JSON), body)?;
        let target = format!("{TARGET}.{}", operation.name());
        let target = target
            .parse()
            .map_err(|_| CloudError::Nonsense("no header".into()))?;
        request.headers_mut().insert("x-amz-target", target);
        self.wire.send(operation, request).await
    }
}

/// What a pool calls an issuer: its address without the scheme, which for a Cognito user pool is its own form.
fn provider(issuer: &str) -> &str {
    issuer.strip_prefix("https://").unwrap_or(issuer)
}
