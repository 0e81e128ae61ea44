//! The security token service: AssumeRoleWithWebIdentity and GetCallerIdentity, in the Query protocol with XML answers
//! (AWS STS API reference, version 2011-06-15).

use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::time::Duration;
use url::form_urlencoded;

use super::AwsParts;
use super::iam::Policy;
use super::identity::Doubt;
use super::refusal::{Refusal, escaped};

const XML: HeaderValue = HeaderValue::from_static("text/xml");
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const VERSION: &str = "2011-06-15";
/// Longest session policy, in characters.
const LONGEST_POLICY: usize = 2048;
/// How long keys of a role live at most, in seconds: what a role has that nobody gave another bound.
const LONGEST_SESSION: u64 = 3600;

pub(super) async fn serve(parts: &AwsParts, request: &Parts, body: &[u8], id: &str) -> Response {
    let form = Form::read(body);
    let answer = match (form.get("Action"), form.get("Version")) {
        (Some("AssumeRoleWithWebIdentity"), Some(VERSION)) => assume(parts, &form).await,
        (Some("GetCallerIdentity"), Some(VERSION)) => who(parts, request, body),
        (action, _) => Err(refusal(
            "InvalidAction",
            format!(
                "Could not find operation {} for version {VERSION}",
                action.unwrap_or_default()
            ),
        )),
    };
    match answer {
        Ok((action, result)) => {
            let body = format!(
                "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
                 <ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{action}Response>"
            );
            (StatusCode::OK, [(CONTENT_TYPE, XML)], body).into_response()
        }
        Err(refusal) => refuse(&refusal, id),
    }
}

/// A refusal as the Query protocol puts it.
pub(super) fn refuse(refusal: &Refusal, id: &str) -> Response {
    let at_fault = if refusal.status.is_server_error() {
        "Receiver"
    } else {
        "Sender"
    };
    // The Query protocol has its own names for these.
    let code = match refusal.code {
        "UnrecognizedClientException" => "InvalidClientTokenId",
        "ExpiredTokenException" if refusal.status == StatusCode::FORBIDDEN => "ExpiredToken",
        "InvalidSignatureException" => "SignatureDoesNotMatch",
        "IncompleteSignatureException" => "IncompleteSignature",
        "MissingAuthenticationTokenException" => "MissingAuthenticationToken",
        "ServiceUnavailableException" => "ServiceUnavailable",
        "InvalidRequestException" => "ValidationError",
        other => other,
    };
    let body = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{at_fault}</Type><Code>{code}</Code><Message>{}</Message>\
         </Error><RequestId>{id}</RequestId></ErrorResponse>",
        escaped(&refusal.message)
    );
    (refusal.status, [(CONTENT_TYPE, XML)], body).into_response()
}

type Answer = Result<(&'static str, String), Refusal>;

async fn assume(parts: &AwsParts, form: &Form) -> Answer {
    let arn = form.must("RoleArn", 20..=2048)?;
    let name = form.must("RoleSessionName", 2..=64)?;
    let token = form.must("WebIdentityToken", 4..=20_000)?;
    let fits = |sign: char| sign.is_ascii_alphanumeric() || "_=,.@-+".contains(sign);
    if !name.chars().all(fits) {
        return Err(invalid(format!(
            "1 validation error detected: Value '{name}' at 'roleSessionName' failed to satisfy constraint: Member must \
             satisfy regular expression pattern: [\\w+=,.@-]*"
        )));
    }
    let seconds = match form.get("DurationSeconds") {
        None => 3600,
        Some(text) => text
            .parse()
            .ok()
            .filter(|seconds| (900..=43_200).contains(seconds))
            .ok_or_else(|| {
                invalid(format!(
                    "1 validation error detected: Value '{text}' at 'durationSeconds' failed to satisfy constraint: \
                     Member must have value between 900 and 43200"
                ))
            })?,
    };
    let session = match form.get("Policy") {
        None => None,
        Some(document) if document.chars().count() > LONGEST_POLICY => {
            return Err(refusal(
                "PackedPolicyTooLarge",
                format!(
                    "Packed policy consumes more than 100% of allotted space ({} characters)",
                    document.len()
                ),
            ));
        }
        Some(document) => Some(Policy::read(document).map_err(|error| {
            refusal(
                "MalformedPolicyDocument",
                format!("The policy is not in the valid JSON format. {error}"),
            )
        })?),
    };
    let identity = parts
        .provider
        .believe(token)
        .await
        .map_err(|doubt| doubted(parts, doubt))?;
    let denied = || {
        Refusal::new(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        )
    };
    // A role that is not there is not told from one that does not trust.
    let role = parts.roles.by_arn(arn).ok_or_else(denied)?;
    if !role.admits(&identity, &parts.provider, &parts.account) {
        return Err(denied());
    }
    if seconds > LONGEST_SESSION {
        return Err(invalid(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.".into(),
        ));
    }
    let life = parts.life(Duration::from_secs(seconds));
    let principal = role.assumed(&parts.account, name, session);
    let user = principal.arn.clone();
    let internal = || refusal("InternalFailure", "No keys could be made.");
    let keys = parts.keys.make(principal, Some(life)).ok_or_else(internal)?;
    let ends = parts.clock.now().saturating_add_unsigned(life.as_secs());
    let ends = jiff::Timestamp::from_second(ends).map_err(|_| internal())?;
    Ok((
        "AssumeRoleWithWebIdentity",
        format!(
            "<SubjectFromWebIdentityToken>{}</SubjectFromWebIdentityToken><Audience>{}</Audience>\
             <AssumedRoleUser><Arn>{}</Arn><AssumedRoleId>AROASANDBOX{}:{name}</AssumedRoleId></AssumedRoleUser>\
             <Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
             <SessionToken>{}</SessionToken><Expiration>{}</Expiration></Credentials><Provider>{}</Provider>",
            escaped(&identity.subject),
            escaped(parts.provider.audience()),
            escaped(&user),
            role.name.to_ascii_uppercase(),
            keys.id,
            escaped(keys.secret.reveal()),
            escaped(keys.session.as_ref().map_or("", |session| session.reveal())),
            ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
            escaped(parts.provider.name()),
        ),
    ))
}

fn doubted(parts: &AwsParts, doubt: Doubt) -> Refusal {
    let token = |message: String| refusal("InvalidIdentityToken", message);
    match doubt {
        Doubt::Form => token("The ID Token provided is not a valid JWT.".into()),
        Doubt::Signature => token("Couldn't verify the signature of the ID token.".into()),
        Doubt::Issuer(issuer) => token(format!(
            "No OpenIDConnect provider found in your account for {issuer}"
        )),
        Doubt::Audience => token("Incorrect token audience".into()),
        Doubt::Expired { at, now } => refusal(
            "ExpiredTokenException",
            format!("Token expired: current date/time {now} must be before the expiration date/time {at}"),
        ),
        Doubt::Unreachable => refusal(
            "IDPCommunicationError",
            format!(
                "Couldn't retrieve verification key from {}",
                parts.provider.issuer
            ),
        ),
    }
}

fn who(parts: &AwsParts, request: &Parts, body: &[u8]) -> Answer {
    let caller = parts.caller(request, body, "sts")?;
    let arn = escaped(&caller.arn);
    Ok((
        "GetCallerIdentity",
        format!(
            "<Arn>{arn}</Arn><UserId>AIDASANDBOX</UserId><Account>{}</Account>",
            parts.account.account
        ),
    ))
}

/// The fields of a request; each once.
struct Form(Vec<(String, String)>);

impl Form {
    fn read(body: &[u8]) -> Self {
        Self(
            form_urlencoded::parse(body)
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }

    fn must(&self, name: &str, length: std::ops::RangeInclusive<usize>) -> Result<&str, Refusal> {
        self.get(name)
            .filter(|value| length.contains(&value.chars().count()))
            .ok_or_else(|| {
                invalid(format!(
                    "1 validation error detected: {name} must have a length between {} and {}",
                    length.start(),
                    length.end()
                ))
            })
    }
}

fn refusal(code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, code, message)
}

fn invalid(message: String) -> Refusal {
    refusal("ValidationError", message)
}
