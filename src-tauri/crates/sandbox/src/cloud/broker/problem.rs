//! Refusals as RFC 9457 problems with the stable codes of the contract.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Right;

/// Why the broker refuses, as clients decide by it. The names are those of the contract, in kebab case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the contract's table explains each code once")]
pub enum Code {
    MalformedRequest,
    TokenMissing,
    TokenInvalid,
    TokenExpired,
    RoleLacksRight,
    NoSuchResource,
    UnknownDevice,
    ClaimNotFound,
    ThingNotFound,
    PrincipalNotFound,
    OwnedByOther,
    CloneSuspected,
    AlreadyEnrolled,
    TemplateDisabled,
    ClaimRefused,
    ClaimRetired,
    NotVerified,
    StillActive,
    KindNotOffered,
    IdempotencyMismatch,
    Throttled,
    Internal,
    Unavailable,
}

/// A refusal on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) detail: String,
    /// Of `role-lacks-right`.
    pub(crate) right: Option<&'static str>,
    /// Of `throttled` and `unavailable`, in seconds.
    pub(crate) retry_after: Option<u32>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            right: None,
            retry_after: None,
        }
    }

    pub(crate) fn lacks(right: Right) -> Self {
        let name = right.name();
        let detail = format!("This needs the right \"{name}\".");
        Self {
            right: Some(name),
            ..Self::new(Code::RoleLacksRight, detail)
        }
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            Code::Internal,
            "The cloud could not make what was asked for. Try again.",
        )
    }
}

impl Code {
    fn about(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::MalformedRequest => (
                StatusCode::BAD_REQUEST,
                "malformed-request",
                "The request can't be read",
            ),
            Self::TokenMissing => (StatusCode::UNAUTHORIZED, "token-missing", "Nobody is signed in"),
            Self::TokenInvalid => (
                StatusCode::UNAUTHORIZED,
                "token-invalid",
                "The access token is not valid",
            ),
            Self::TokenExpired => (
                StatusCode::UNAUTHORIZED,
                "token-expired",
                "The access token has expired",
            ),
            Self::RoleLacksRight => (
                StatusCode::FORBIDDEN,
                "role-lacks-right",
                "Your role doesn't allow this",
            ),
            Self::NoSuchResource => (StatusCode::NOT_FOUND, "no-such-resource", "There is nothing here"),
            Self::UnknownDevice => (
                StatusCode::NOT_FOUND,
                "unknown-device",
                "The maker doesn't know it",
            ),
            Self::ClaimNotFound => (StatusCode::NOT_FOUND, "claim-not-found", "There is no such claim"),
            Self::ThingNotFound => (StatusCode::NOT_FOUND, "thing-not-found", "There is no such thing"),
            Self::PrincipalNotFound => (
                StatusCode::NOT_FOUND,
                "principal-not-found",
                "The thing has no such credential",
            ),
            Self::OwnedByOther => (
                StatusCode::CONFLICT,
                "owned-by-other",
                "The device has another owner",
            ),
            Self::CloneSuspected => (
                StatusCode::CONFLICT,
                "clone-suspected",
                "This is not the unit that the maker shipped",
            ),
            Self::AlreadyEnrolled => (StatusCode::CONFLICT, "already-enrolled", "The device is in use"),
            Self::TemplateDisabled => (
                StatusCode::CONFLICT,
                "template-disabled",
                "The provisioning template is not enabled",
            ),
            Self::ClaimRefused => (StatusCode::CONFLICT, "claim-refused", "The cloud gave no claim"),
            Self::ClaimRetired => (StatusCode::CONFLICT, "claim-retired", "The claim was taken back"),
            Self::NotVerified => (StatusCode::CONFLICT, "not-verified", "Not verified yet"),
            Self::StillActive => (StatusCode::CONFLICT, "still-active", "The credential still works"),
            Self::KindNotOffered => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "kind-not-offered",
                "This cloud has no such claims",
            ),
            Self::IdempotencyMismatch => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-mismatch",
                "The key was used otherwise",
            ),
            Self::Throttled => (StatusCode::TOO_MANY_REQUESTS, "throttled", "Too many requests"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The broker failed"),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "The cloud is down",
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, title) = self.code.about();
        let mut body = json!({
            "type": format!("urn:fieldkey:problem:{code}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail,
            "code": code,
        });
        if let (Some(right), Some(members)) = (self.right, body.as_object_mut()) {
            members.insert("right".into(), right.into());
        }
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 6750, 3: no error code where no token was shown.
            let challenge = match self.code {
                Code::TokenMissing => "Bearer",
                _ => "Bearer error=\"invalid_token\"",
            };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_one_name_in_answers_and_in_scenarios() {
        for code in [
            Code::MalformedRequest,
            Code::OwnedByOther,
            Code::Throttled,
            Code::IdempotencyMismatch,
        ] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.about().1);
        }
    }
}
