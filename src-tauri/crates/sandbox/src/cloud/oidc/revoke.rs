//! Token revocation (RFC 7009): signing out takes all tokens of the sign-in with it.

use axum::extract::{Form, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::state::fingerprint;
use super::{Issuer, OauthError};

#[derive(Deserialize)]
pub(super) struct Request {
    token: Option<String>,
    client_id: Option<String>,
}

/// 200 for a token that is not known as well (RFC 7009, 2.2). An access token is checked by its signature alone and
/// can't be called back before it expires, so it is answered as RFC 7009, 2.2.1 has it.
pub(super) async fn revoke(
    State(issuer): State<Issuer>,
    Form(request): Form<Request>,
) -> Result<StatusCode, OauthError> {
    if request.client_id.as_deref() != Some(&issuer.0.config.client_id) {
        return Err(OauthError::new(
            "invalid_client",
            "This app is not registered here.",
        ));
    }
    let token = request
        .token
        .ok_or(OauthError::new("invalid_request", "There is no token to revoke."))?;
    if token.split('.').count() == 3 {
        return Err(OauthError::new(
            "unsupported_token_type",
            "Access tokens end by themselves.",
        ));
    }
    let mut state = issuer.state();
    let family = state
        .refresh
        .get(&fingerprint(&token))
        .map(|refresh| refresh.sign_in.family);
    if let Some(family) = family {
        state.revoke(family);
    }
    Ok(StatusCode::OK)
}
