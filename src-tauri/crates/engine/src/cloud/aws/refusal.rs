//! What a refusal of AWS says, read once, and what can be done about it.
//!
//! The code stands in the header `x-amzn-errortype`, in the body's `__type` or, from STS, in XML; it may carry a
//! namespace before `#` or an address after `:`. Codes that are not known here are shown as they came.

use commission::fault::CloudError;
use serde_json::Value;
use thiserror::Error;

use super::operation::{Operation, Service};
use super::xml;
use crate::cloud::http::Answer;
use crate::cloud::problem::words;

/// Longer codes are none.
const MAX_CODE: usize = 64;

/// A refusal as AWS put it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} was refused ({code}): {message}", .operation.name())]
pub struct Refusal {
    /// Which call.
    pub operation: Operation,
    /// The status of the answer.
    pub status: u16,
    /// AWS's code; `status NNN` where the answer has none.
    pub code: String,
    /// AWS's words.
    pub message: String,
    /// What it comes to.
    pub reason: Reason,
}

/// What a refusal comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Too many calls; AWS IoT says so with status 400.
    Throttled,
    /// AWS is out of order.
    Outage,
    /// The keys are over, or AWS does not know them any more: new ones may do.
    KeysOver,
    /// The signature bears another time than AWS's clock.
    Skew,
    /// The signature is wrong otherwise: region or service, or the request was changed on its way.
    Signature,
    /// The ID token is not taken.
    Identity,
    /// The role does not allow the call.
    Denied,
    /// What was asked about is not there.
    Missing,
    /// Something stands in the way that is there already.
    Conflict,
    /// The account is set up in a way that cannot work.
    Setup,
    /// The request is not understood.
    Invalid,
    /// A code that this version does not know.
    Unknown,
}

impl Refusal {
    /// Reads an answer that is no success.
    pub fn read(operation: Operation, answer: &Answer) -> Self {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let xml = |name: &str| {
            std::str::from_utf8(&answer.body)
                .ok()
                .and_then(|body| xml::leaf(body, name))
                .map(|text| text.to_string())
        };
        let header = answer
            .headers
            .get("x-amzn-errortype")
            .and_then(|value| value.to_str().ok());
        let code = header
            .map(str::to_owned)
            .or_else(|| text("__type"))
            .or_else(|| text("code"))
            .or_else(|| xml("Code"))
            .and_then(|raw| bare(&raw))
            .unwrap_or_else(|| format!("status {}", answer.status.as_u16()));
        let message = text("message")
            .or_else(|| text("Message"))
            .or_else(|| xml("Message"));
        let message = words(&message.unwrap_or_default());
        let reason = reason(operation, answer.status.as_u16(), &code, &message);
        Self {
            operation,
            status: answer.status.as_u16(),
            code,
            message,
            reason,
        }
    }

    /// Whether it is for this reason.
    pub fn is(&self, reason: Reason) -> bool {
        self.reason == reason
    }

    /// What a person or the office can do now.
    fn advice(&self) -> String {
        match self.reason {
            Reason::Throttled => "wait a moment".into(),
            Reason::Outage => "try again later".into(),
            Reason::KeysOver => "sign in again".into(),
            Reason::Skew => "set this computer's date and time".into(),
            Reason::Signature => "check the region in the organisation profile".into(),
            Reason::Identity => match self.operation.service() {
                Service::CognitoIdentity => {
                    "the office must let the identity pool trust the issuer and this program's client id"
                        .into()
                }
                _ => "the office must let the role trust the issuer and this program's client id".into(),
            },
            Reason::Denied => match self.operation {
                Operation::AssumeRoleWithWebIdentity => {
                    "the office must let the role's trust policy admit this person".into()
                }
                _ if self.message.contains(PASS_ROLE) => {
                    "the office must let this person's role pass that role on (iam:PassRole); fieldkey aws policy prints how"
                        .into()
                }
                operation => format!(
                    "the office must allow {} for this person's role; fieldkey aws policy prints how",
                    operation.action()
                ),
            },
            Reason::Missing => match self.operation {
                Operation::CreateProvisioningClaim | Operation::DescribeProvisioningTemplate => {
                    "check template and region in the organisation profile".into()
                }
                Operation::GetId | Operation::GetCredentialsForIdentity => {
                    "check the identity pool in the organisation profile".into()
                }
                Operation::DescribeThingRegistrationTask
                | Operation::ListThingRegistrationTaskReports
                | Operation::StopThingRegistrationTask => {
                    "check the task's identifier, and account and region in the organisation profile".into()
                }
                _ => "it is not there".into(),
            },
            Reason::Conflict | Reason::Invalid
                if self.operation == Operation::StartThingRegistrationTask =>
            {
                "an account runs one task at a time: follow or stop the one that runs; else check bucket, key, role and \
                 template"
                    .into()
            }
            Reason::Invalid
                if matches!(
                    self.operation,
                    Operation::DescribeThingRegistrationTask
                        | Operation::ListThingRegistrationTaskReports
                        | Operation::StopThingRegistrationTask
                ) =>
            {
                "check the task's identifier, and account and region in the organisation profile".into()
            }
            Reason::Conflict => "look at the device in the account".into(),
            Reason::Setup => {
                "the office must correct the account; fieldkey aws policy prints what fits".into()
            }
            Reason::Invalid | Reason::Unknown => "show this to the office".into(),
        }
    }
}

impl From<Refusal> for CloudError {
    fn from(refusal: Refusal) -> Self {
        match refusal.reason {
            Reason::Throttled => Self::Throttled { retry_after: None },
            Reason::Outage => Self::Unreachable(refusal.to_string()),
            _ => Self::Refused {
                message: format!(
                    "{}{}{}; {}",
                    refusal.operation.name(),
                    if refusal.message.is_empty() { "" } else { ": " },
                    refusal.message,
                    refusal.advice()
                ),
                code: refusal.code,
            },
        }
    }
}

/// What AWS names where a role may not be passed on.
const PASS_ROLE: &str = "iam:PassRole";

/// The code without namespace and address; none where nothing like a code stands there.
fn bare(raw: &str) -> Option<String> {
    let code = raw.rsplit('#').next().unwrap_or(raw);
    let code = code.split(':').next().unwrap_or(code).trim();
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    ((1..=MAX_CODE).contains(&code.len()) && code.bytes().all(sound)).then(|| code.to_owned())
}

/// The table of codes. AWS adds `Exception` to a code at some services and leaves it out at others.
fn reason(operation: Operation, status: u16, code: &str, message: &str) -> Reason {
    let cognito = operation.service() == Service::CognitoIdentity;
    match code.strip_suffix("Exception").unwrap_or(code) {
        // A limit that waiting a moment does not lift: another task runs.
        "LimitExceeded" if operation == Operation::StartThingRegistrationTask => Reason::Conflict,
        "Throttling"
        | "Throttled"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "LimitExceeded"
        | "SlowDown" => Reason::Throttled,
        "ServiceUnavailable"
        | "InternalFailure"
        | "InternalError"
        | "InternalServer"
        | "InternalServerError"
        | "ExternalService"
        | "IDPCommunicationError" => Reason::Outage,
        // From STS this is about the ID token, elsewhere about the keys.
        "ExpiredToken" if operation.service() == Service::Sts => Reason::Identity,
        "ExpiredToken" | "UnrecognizedClient" | "InvalidClientTokenId" | "InvalidAccessKeyId" => {
            Reason::KeysOver
        }
        "RequestTimeTooSkewed" | "RequestExpired" => Reason::Skew,
        "InvalidSignature" | "SignatureDoesNotMatch" if is_skew(message) => Reason::Skew,
        "InvalidSignature"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken" => Reason::Signature,
        "NotAuthorized" if cognito => Reason::Identity,
        "InvalidIdentityToken" | "IDPRejectedClaim" => Reason::Identity,
        "AccessDenied" | "Unauthorized" | "Forbidden" | "NotAuthorized" | "OptInRequired" => Reason::Denied,
        "ResourceNotFound" | "NotFound" => Reason::Missing,
        "ResourceConflict"
        | "VersionConflict"
        | "ConflictingResourceUpdate"
        | "CertificateState"
        | "DeleteConflict"
        | "ResourceAlreadyExists"
        | "Conflict" => Reason::Conflict,
        "InvalidIdentityPoolConfiguration"
        | "MalformedPolicyDocument"
        | "PackedPolicyTooLarge"
        | "RegionDisabled"
        | "IndexNotReady" => Reason::Setup,
        "InvalidRequest"
        | "InvalidParameter"
        | "InvalidParameterValue"
        | "Validation"
        | "ValidationError"
        | "InvalidAction"
        | "MissingParameter" => Reason::Invalid,
        // No code at all: what the status says must do.
        _ if code.starts_with("status ") => match status {
            429 => Reason::Throttled,
            500.. => Reason::Outage,
            404 => Reason::Missing,
            401 | 403 => Reason::Denied,
            _ => Reason::Unknown,
        },
        _ if status >= 500 => Reason::Outage,
        _ => Reason::Unknown,
    }
}

/// AWS tells a wrong time and a wrong secret by the same code; only the words differ.
fn is_skew(message: &str) -> bool {
    message.contains("Signature expired") || message.contains("not yet current")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::answer;

    fn read(operation: Operation, status: u16, code: &str, message: &str) -> Refusal {
        let body = serde_json::json!({ "message": message }).to_string();
        let mut answer = answer(status, &body);
        answer.headers.insert("x-amzn-errortype", code.parse().unwrap());
        Refusal::read(operation, &answer)
    }

    #[test]
    fn each_code_of_each_service_comes_to_its_reason() {
        use Operation as O;
        use Reason as R;
        let table = [
            (
                O::CreateProvisioningClaim,
                400,
                "ThrottlingException",
                R::Throttled,
            ),
            (O::GetId, 400, "TooManyRequestsException", R::Throttled),
            (O::GetId, 400, "LimitExceededException", R::Throttled),
            (
                O::CreateProvisioningClaim,
                503,
                "ServiceUnavailableException",
                R::Outage,
            ),
            (
                O::CreateProvisioningClaim,
                500,
                "InternalFailureException",
                R::Outage,
            ),
            (O::GetId, 500, "InternalErrorException", R::Outage),
            (O::GetId, 400, "ExternalServiceException", R::Outage),
            (
                O::AssumeRoleWithWebIdentity,
                400,
                "IDPCommunicationError",
                R::Outage,
            ),
            (O::DescribeThing, 403, "ExpiredTokenException", R::KeysOver),
            (O::DescribeThing, 403, "UnrecognizedClientException", R::KeysOver),
            (
                O::AssumeRoleWithWebIdentity,
                400,
                "ExpiredTokenException",
                R::Identity,
            ),
            (
                O::AssumeRoleWithWebIdentity,
                400,
                "InvalidIdentityToken",
                R::Identity,
            ),
            (O::AssumeRoleWithWebIdentity, 403, "IDPRejectedClaim", R::Identity),
            (O::GetId, 400, "NotAuthorizedException", R::Identity),
            (O::DescribeThing, 403, "RequestTimeTooSkewed", R::Skew),
            (O::DescribeThing, 403, "InvalidSignatureException", R::Signature),
            (O::DescribeThing, 403, "SignatureDoesNotMatch", R::Signature),
            (
                O::DescribeThing,
                403,
                "MissingAuthenticationTokenException",
                R::Signature,
            ),
            (O::DescribeThing, 403, "AccessDeniedException", R::Denied),
            (O::AssumeRoleWithWebIdentity, 403, "AccessDenied", R::Denied),
            (
                O::CreateProvisioningClaim,
                401,
                "UnauthorizedException",
                R::Denied,
            ),
            (
                O::CreateProvisioningClaim,
                404,
                "ResourceNotFoundException",
                R::Missing,
            ),
            (
                O::UpdateCertificate,
                406,
                "CertificateStateException",
                R::Conflict,
            ),
            (O::GetId, 409, "ResourceConflictException", R::Conflict),
            (
                O::GetCredentialsForIdentity,
                400,
                "InvalidIdentityPoolConfigurationException",
                R::Setup,
            ),
            (
                O::AssumeRoleWithWebIdentity,
                400,
                "MalformedPolicyDocument",
                R::Setup,
            ),
            (
                O::AssumeRoleWithWebIdentity,
                400,
                "PackedPolicyTooLarge",
                R::Setup,
            ),
            (
                O::AssumeRoleWithWebIdentity,
                403,
                "RegionDisabledException",
                R::Setup,
            ),
            (
                O::GetThingConnectivityData,
                400,
                "IndexNotReadyException",
                R::Setup,
            ),
            (
                O::CreateProvisioningClaim,
                400,
                "InvalidRequestException",
                R::Invalid,
            ),
            (O::GetId, 400, "InvalidParameterException", R::Invalid),
            (O::DescribeThing, 418, "TeapotException", R::Unknown),
        ];
        for (operation, status, code, reason) in table {
            let refusal = read(operation, status, code, "Said so.");
            assert_eq!(
                (refusal.reason, refusal.code.as_str()),
                (reason, code),
                "{operation:?}"
            );
        }
    }

    #[test]
    fn a_wrong_clock_is_told_from_a_wrong_secret_by_the_words() {
        let told = |message| {
            read(
                Operation::DescribeThing,
                403,
                "InvalidSignatureException",
                message,
            )
            .reason
        };
        assert_eq!(
            told("Signature expired: 20260101T000000Z is now earlier than ..."),
            Reason::Skew
        );
        assert_eq!(
            told("Signature not yet current: 20260101T000000Z is still later"),
            Reason::Skew
        );
        assert_eq!(
            told("The request signature we calculated does not match"),
            Reason::Signature
        );
    }

    #[test]
    fn the_code_is_found_in_header_body_and_xml_without_its_ornaments() {
        let of = |body: &str| Refusal::read(Operation::GetId, &answer(400, body));
        assert_eq!(
            of(r#"{"__type":"com.amazonaws#NotAuthorizedException"}"#).code,
            "NotAuthorizedException"
        );
        assert_eq!(of(r#"{"code":"Odd","Message":"m"}"#).message, "m");
        let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code><Message>a &amp; b</Message></Error></ErrorResponse>";
        assert_eq!(
            (of(xml).code.as_str(), of(xml).message.as_str()),
            ("InvalidIdentityToken", "a & b")
        );
        let header = read(
            Operation::GetId,
            400,
            "ResourceNotFoundException:http://internal.amazon.com/",
            "",
        );
        assert_eq!(header.code, "ResourceNotFoundException");
        assert_eq!(of("<html>").code, "status 400");
        assert_eq!(of(r#"{"__type":"two words"}"#).code, "status 400");
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not_and_unknown_codes_are_shown() {
        let error =
            |status, code| CloudError::from(read(Operation::CreateProvisioningClaim, status, code, "Why."));
        assert_eq!(
            error(400, "ThrottlingException"),
            CloudError::Throttled { retry_after: None }
        );
        assert!(error(503, "ServiceUnavailableException").is_passing());
        let CloudError::Refused { code, message } = error(403, "AccessDeniedException") else {
            panic!("refused");
        };
        assert_eq!(code, "AccessDeniedException");
        assert!(message.contains("iot:CreateProvisioningClaim"), "{message}");
        assert!(
            matches!(error(418, "TeapotException"), CloudError::Refused { code, .. } if code == "TeapotException")
        );
    }
}
