//! The token endpoint: code, refresh token (rotated) and device code become tokens.

use axum::Json;
use axum::extract::{Form, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::state::{IssuerState, Refresh, SignIn, fingerprint};
use super::{Issuer, NO_STORE, OauthError, device};

pub(super) const AUTHORIZATION_CODE: &str = "authorization_code";
pub(super) const REFRESH_TOKEN: &str = "refresh_token";
pub(super) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

#[derive(Deserialize)]
pub(super) struct Request {
    grant_type: Option<String>,
    client_id: Option<String>,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    refresh_token: Option<String>,
    device_code: Option<String>,
}

pub(super) async fn token(
    State(issuer): State<Issuer>,
    Form(request): Form<Request>,
) -> Result<Response, OauthError> {
    let client_id = request
        .client_id
        .as_deref()
        .filter(|id| *id == issuer.0.config.client_id)
        .ok_or(OauthError::new(
            "invalid_client",
            "This app is not registered here.",
        ))?;
    let mut state = issuer.state();
    let sign_in = match request.grant_type.as_deref() {
        Some(AUTHORIZATION_CODE) => redeem(&mut state, &request, client_id)?,
        Some(REFRESH_TOKEN) => rotate(&mut state, &request, client_id)?,
        Some(DEVICE_CODE) => device::poll(
            &mut state,
            request.device_code.as_deref().unwrap_or_default(),
            client_id,
        )?,
        _ => {
            return Err(OauthError::new(
                "unsupported_grant_type",
                "The issuer doesn't know this grant.",
            ));
        }
    };
    let refresh_token = crate::cloud::random_name().ok_or_else(OauthError::server)?;
    let refresh = Refresh {
        sign_in: sign_in.clone(),
        used: false,
    };
    state.refresh.insert(fingerprint(&refresh_token), refresh);
    drop(state);
    answer(&issuer, &sign_in, &refresh_token)
}

/// RFC 6749, 4.1.3 with RFC 7636, 4.6. A code that comes twice was stolen: whatever it led to is revoked.
fn redeem(state: &mut IssuerState, request: &Request, client_id: &str) -> Result<SignIn, OauthError> {
    let refused = OauthError::new(
        "invalid_grant",
        "The code is wrong, over, used, or not this app's.",
    );
    let key = fingerprint(request.code.as_deref().unwrap_or_default());
    let Some(code) = state.codes.get_mut(&key) else {
        return Err(refused);
    };
    if code.used {
        let family = code.sign_in.family;
        state.revoke(family);
        return Err(refused);
    }
    code.used = true;
    let verifier = request.code_verifier.as_deref().unwrap_or_default();
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    let proven = challenge == code.code_challenge;
    // RFC 7636, 4.1: 43 to 128 characters.
    let verifier_fits = (43..=128).contains(&verifier.len());
    let same_address = request.redirect_uri.as_deref() == Some(&code.redirect_uri);
    let alive = code.deadline > Instant::now();
    if !(proven && verifier_fits && same_address && alive && code.sign_in.client_id == client_id) {
        return Err(refused);
    }
    Ok(code.sign_in.clone())
}

/// RFC 9700, 4.14.2: each refresh token works once; one that comes twice takes its whole family with it.
fn rotate(state: &mut IssuerState, request: &Request, client_id: &str) -> Result<SignIn, OauthError> {
    let refused = OauthError::new(
        "invalid_grant",
        "The refresh token is wrong, used or revoked. Sign in again.",
    );
    let key = fingerprint(request.refresh_token.as_deref().unwrap_or_default());
    let Some(refresh) = state.refresh.get_mut(&key) else {
        return Err(refused);
    };
    let reused = std::mem::replace(&mut refresh.used, true);
    let mut sign_in = refresh.sign_in.clone();
    if reused {
        state.revoke(sign_in.family);
    }
    if state.is_revoked(sign_in.family) || sign_in.client_id != client_id {
        return Err(refused);
    }
    // The nonce belongs to the first ID token alone (OpenID Connect Core 1.0, 12.2).
    sign_in.nonce = None;
    Ok(sign_in)
}

fn answer(issuer: &Issuer, sign_in: &SignIn, refresh_token: &str) -> Result<Response, OauthError> {
    let user = issuer
        .user_by_subject(&sign_in.subject)
        .ok_or_else(OauthError::server)?;
    let now = issuer.0.clock.now();
    let life = issuer.0.config.access_token_life.as_secs();
    let expires = now.saturating_add_unsigned(life);
    let jti = crate::cloud::random_name().ok_or_else(OauthError::server)?;
    let access_token = json!({
        "iss": issuer.0.url, "sub": user.subject, "aud": sign_in.client_id, "client_id": sign_in.client_id,
        "iat": now, "exp": expires, "jti": jti, "scope": sign_in.scope,
        "name": user.name, "email": user.email, "roles": user.roles,
    });
    let access_token = issuer
        .0
        .key
        .sign("at+jwt", &access_token)
        .ok_or_else(OauthError::server)?;
    // OpenID Connect Core 1.0, 3.1.3.6: the left half of the hash.
    let hash = Sha256::digest(&access_token);
    let half = hash
        .split_at_checked(16)
        .map(|(left, _)| BASE64_URL_SAFE_NO_PAD.encode(left));
    let mut id_token = json!({
        "iss": issuer.0.url, "sub": user.subject, "aud": sign_in.client_id,
        "iat": now, "exp": expires, "auth_time": sign_in.auth_time, "at_hash": half,
        "name": user.name, "email": user.email, "roles": user.roles,
    });
    if let (Some(nonce), Some(claims)) = (&sign_in.nonce, id_token.as_object_mut()) {
        claims.insert("nonce".into(), nonce.as_str().into());
    }
    let id_token = issuer
        .0
        .key
        .sign("JWT", &id_token)
        .ok_or_else(OauthError::server)?;
    if let Some(witness) = &issuer.0.config.witness {
        for secret in [&*access_token, refresh_token, &*id_token] {
            witness.saw(secret);
        }
    }
    let body = json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": life,
        "refresh_token": refresh_token,
        "id_token": id_token,
        "scope": sign_in.scope,
    });
    Ok((NO_STORE, Json(body)).into_response())
}
