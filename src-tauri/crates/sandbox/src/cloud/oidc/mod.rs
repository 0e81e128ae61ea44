//! The organisation's OIDC issuer: discovery, sign-in page, tokens with rotation, device codes, revocation.
//!
//! Public clients only (RFC 8252): PKCE with S256 is a must and there are no client secrets. Not for: deciding what
//! a signed-in person may do, which is the broker's.

mod authorize;
mod device;
mod page;
mod revoke;
mod state;
mod token;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, HeaderName, PRAGMA};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use self::state::IssuerState;
use super::CloudConfig;
use super::clock::CloudClock;
use super::config::User;
use super::jwt::{JwkSet, SigningKey};

/// One issuer. Cheap to clone; clones are the same issuer.
#[derive(Clone)]
pub(crate) struct Issuer(Arc<Inner>);

struct Inner {
    url: String,
    config: CloudConfig,
    clock: CloudClock,
    key: SigningKey,
    state: Mutex<IssuerState>,
}

impl Issuer {
    /// None if the system gives no randomness for the signing key.
    pub(crate) fn new(url: &str, config: &CloudConfig, clock: CloudClock) -> Option<Self> {
        let key = SigningKey::generate()?;
        Some(Self(Arc::new(Inner {
            url: url.into(),
            config: config.clone(),
            clock,
            key,
            state: Mutex::default(),
        })))
    }

    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/authorize", get(authorize::show).post(authorize::submit))
            .route("/token", post(token::token))
            .route("/device_authorization", post(device::start))
            .route("/device", get(device::show).post(device::submit))
            .route("/revoke", post(revoke::revoke))
            .route("/end_session", get(authorize::end_session))
            .with_state(self.clone())
    }

    fn state(&self) -> MutexGuard<'_, IssuerState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.0.url)
    }

    /// The user with this password; both wrong in the same way, so that nobody learns who exists.
    fn user(&self, subject: &str, password: &str) -> Option<&User> {
        let password = commission::secret::Token::new(password);
        self.0
            .config
            .users
            .iter()
            .find(|user| user.subject == subject && user.password == password)
    }

    fn user_by_subject(&self, subject: &str) -> Option<&User> {
        self.0.config.users.iter().find(|user| user.subject == subject)
    }

    /// Whether a browser may be sent there: loopback with any port (RFC 8252, 7.3), or registered to the letter.
    fn redirect_is_allowed(&self, redirect_uri: &str) -> bool {
        let loopback = url::Url::parse(redirect_uri).is_ok_and(|url| {
            url.scheme() == "http" && url.host_str() == Some("127.0.0.1") && url.fragment().is_none()
        });
        loopback
            || self
                .0
                .config
                .redirect_uris
                .iter()
                .any(|registered| registered == redirect_uri)
    }
}

/// OpenID Connect Discovery 1.0, 3 with RFC 8414 and RFC 8628, 4.
async fn discovery(State(issuer): State<Issuer>) -> Json<Value> {
    Json(json!({
        "issuer": issuer.0.url,
        "authorization_endpoint": issuer.path("/authorize"),
        "token_endpoint": issuer.path("/token"),
        "device_authorization_endpoint": issuer.path("/device_authorization"),
        "revocation_endpoint": issuer.path("/revoke"),
        "end_session_endpoint": issuer.path("/end_session"),
        "prompt_values_supported": ["none", "login", "select_account"],
        "jwks_uri": issuer.path("/jwks"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [token::AUTHORIZATION_CODE, token::REFRESH_TOKEN, token::DEVICE_CODE],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": ["sub", "name", "email", "roles", "nonce", "auth_time"],
    }))
}

async fn jwks(State(issuer): State<Issuer>) -> Json<JwkSet> {
    Json(JwkSet {
        keys: issuer.0.key.jwk().into_iter().collect(),
    })
}

/// An error answer of RFC 6749, 5.2, which RFC 8628 and RFC 7009 share.
#[derive(Debug, PartialEq, Eq)]
struct OauthError {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
}

impl OauthError {
    fn new(error: &'static str, description: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description,
        }
    }

    /// The cloud's own fault.
    fn server() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            error: "server_error",
            description: "The issuer could not make a token.",
        }
    }
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error, "error_description": self.description });
        (self.status, NO_STORE, Json(body)).into_response()
    }
}

/// RFC 6749, 5.1: what holds a token is kept by no cache.
const NO_STORE: [(HeaderName, HeaderValue); 2] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (PRAGMA, HeaderValue::from_static("no-cache")),
];
