//! Cognito's identity pools: GetId and GetCredentialsForIdentity in the enhanced flow, with roles by the token's own
//! (Amazon Cognito developer guide, "Role-based access control"; wire form: JSON 1.1).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Duration;

use super::AwsParts;
use super::identity::{Doubt, Identity};
use super::refusal::Refusal;

/// What a request's target begins with.
pub(super) const SERVICE: &str = "AWSCognitoIdentityService.";
/// Where it stands.
pub(super) const TARGET: &str = "x-amz-target";
const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
/// The enhanced flow has no other.
const LIFE: Duration = Duration::from_secs(3600);

/// The identities of the pool: which subject of the issuer each is.
#[derive(Default)]
pub(super) struct Identities(Mutex<BTreeMap<String, String>>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetId {
    identity_pool_id: String,
    #[serde(default)]
    logins: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetCredentials {
    identity_id: String,
    #[serde(default)]
    logins: BTreeMap<String, String>,
}

pub(super) async fn serve(parts: &AwsParts, headers: &HeaderMap, body: &[u8]) -> Response {
    let target = headers.get(TARGET).and_then(|value| value.to_str().ok());
    let operation = target.and_then(|target| target.strip_prefix(SERVICE));
    let answer = match operation {
        Some("GetId") => get_id(parts, body).await,
        Some("GetCredentialsForIdentity") => get_credentials(parts, body).await,
        _ => Err(refusal("UnknownOperationException", "")),
    };
    match answer {
        Ok(body) => ([(CONTENT_TYPE, JSON)], body.to_string()).into_response(),
        Err(refusal) => refuse(&refusal),
    }
}

/// A refusal as JSON 1.1 puts it: the code in the body, and in a header with a colon behind it.
pub(super) fn refuse(refusal: &Refusal) -> Response {
    let body = json!({ "__type": refusal.code, "message": refusal.message });
    let kind = HeaderValue::from_str(&format!("{}:", refusal.code));
    let mut response = (refusal.status, [(CONTENT_TYPE, JSON)], body.to_string()).into_response();
    if let Ok(kind) = kind {
        response.headers_mut().insert("x-amzn-errortype", kind);
    }
    response
}

async fn get_id(parts: &AwsParts, body: &[u8]) -> Result<Value, Refusal> {
    let asked: GetId = read(body)?;
    if asked.identity_pool_id != parts.pool {
        let message = format!("IdentityPool '{}' not found.", asked.identity_pool_id);
        return Err(refusal("ResourceNotFoundException", message));
    }
    let identity = login(parts, &asked.logins).await?;
    let id = parts
        .identities
        .of(&identity.subject, &parts.account.region)
        .ok_or_else(|| refusal("InternalErrorException", "No identity could be made."))?;
    Ok(json!({ "IdentityId": id }))
}

async fn get_credentials(parts: &AwsParts, body: &[u8]) -> Result<Value, Refusal> {
    let asked: GetCredentials = read(body)?;
    let id = asked.identity_id;
    let subject = parts
        .identities
        .subject(&id)
        .ok_or_else(|| refusal("ResourceNotFoundException", format!("Identity '{id}' not found.")))?;
    let identity = login(parts, &asked.logins).await?;
    let forbidden = || {
        refusal(
            "NotAuthorizedException",
            format!("Access to Identity '{id}' is forbidden."),
        )
    };
    if identity.subject != subject {
        return Err(forbidden());
    }
    // Rule-based mapping, and `Deny` where no rule fits.
    let role = parts.roles.for_person(&identity.roles);
    let role = role
        .filter(|role| role.admits_from(&parts.pool, &id))
        .ok_or_else(forbidden)?;
    let principal = role.assumed(&parts.account, "CognitoIdentityCredentials", None);
    let life = parts.life(LIFE);
    let keys = parts
        .keys
        .make(principal, Some(life))
        .ok_or_else(|| refusal("InternalErrorException", "No keys could be made."))?;
    Ok(json!({
        "IdentityId": id,
        "Credentials": {
            "AccessKeyId": keys.id,
            "SecretKey": keys.secret.reveal(),
            "SessionToken": keys.session.as_ref().map(|session| session.reveal()),
            "Expiration": parts.clock.now().saturating_add_unsigned(life.as_secs()),
        },
    }))
}

/// Exactly one login is taken: that of the one provider of this pool.
async fn login(parts: &AwsParts, logins: &BTreeMap<String, String>) -> Result<Identity, Refusal> {
    let denied = |message: &str| Err(refusal("NotAuthorizedException", message));
    let mut logins = logins.iter();
    let (provider, token) = match (logins.next(), logins.next()) {
        (Some(login), None) => login,
        (None, _) => return denied("Unauthenticated access is not supported for this identity pool."),
        (Some(_), Some(_)) => return denied("Token is not from a supported provider of this identity pool."),
    };
    if provider != parts.provider.name() {
        return denied("Token is not from a supported provider of this identity pool.");
    }
    match parts.provider.believe(token).await {
        Ok(identity) => Ok(identity),
        Err(Doubt::Unreachable) => Err(refusal(
            "ExternalServiceException",
            "The identity provider could not be reached.",
        )),
        Err(Doubt::Form) => denied("Invalid login token. Not a valid OpenId Connect identity token."),
        Err(Doubt::Signature) => denied("Invalid login token. Couldn't verify signed token."),
        Err(Doubt::Issuer(_)) => denied("Invalid login token. Issuer doesn't match providerName"),
        Err(Doubt::Audience) => denied("Invalid login token. Incorrect token audience."),
        Err(Doubt::Expired { at, now }) => {
            denied(&format!("Invalid login token. Token expired: {now} >= {at}"))
        }
    }
}

impl Identities {
    /// The identity of a subject, made at its first visit. None if the system gives no randomness.
    pub(super) fn of(&self, subject: &str, region: &str) -> Option<String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((id, _)) = known.iter().find(|(_, own)| *own == subject) {
            return Some(id.clone());
        }
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).ok()?;
        let uuid = uuid::Builder::from_random_bytes(random).into_uuid();
        let id = format!("{region}:{uuid}");
        known.insert(id.clone(), subject.to_owned());
        Some(id)
    }

    fn subject(&self, id: &str) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| refusal("InvalidParameterException", error.to_string()))
}

/// Cognito's refusals are all of status 400.
fn refusal(code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, code, message)
}
