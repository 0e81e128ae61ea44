//! What the services say no with: AWS's codes and statuses, in the form of each service's protocol.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Where REST services say their code.
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// The request is not understood, or not to be fulfilled.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequestException", message)
    }

    /// What it is about is not there.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", message)
    }

    /// Something of that name is there, and is another.
    pub(crate) fn exists(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "ResourceAlreadyExistsException", message)
    }

    /// The version was another.
    pub(crate) fn version_conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "VersionConflictException", message)
    }

    /// The data plane's word for the same.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "ConflictException", message)
    }

    /// The certificate's status is in the way.
    pub(crate) fn certificate_state(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "CertificateStateException", message)
    }

    /// Something hangs on what is to be deleted.
    pub(crate) fn delete_conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "DeleteConflictException", message)
    }

    /// Too many calls; AWS IoT says so with status 400.
    pub(crate) fn throttled() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ThrottlingException", "Rate exceeded")
    }

    /// Out of order on purpose.
    pub(crate) fn down() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailableException",
            "The service is temporarily unavailable.",
        )
    }

    /// The cloud's own fault.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalFailureException",
            "An unexpected error has occurred.",
        )
    }

    /// The policies do not allow it.
    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "AccessDeniedException", message)
    }

    /// Something about the signature, before anything else is looked at.
    pub(crate) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }
}

impl IntoResponse for Refusal {
    /// As services of REST and JSON put it: the code in a header, the words in the body.
    fn into_response(self) -> Response {
        let headers = [
            (ERROR_TYPE, HeaderValue::from_static(self.code)),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ];
        let body = json!({ "message": self.message }).to_string();
        (self.status, headers, body).into_response()
    }
}

/// A text as XML has it (XML 1.0, 2.4).
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
