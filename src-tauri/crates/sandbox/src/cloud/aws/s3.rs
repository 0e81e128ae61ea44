//! As much of S3 as a bulk registration needs: PutObject, GetObject and HeadObject by path-style addresses below `/s3`,
//! and reports over links (Amazon S3 API reference).
//!
//! Clients of AWS's reach it with `endpoint_url = "https://127.0.0.1:…/s3"` and path-style addresses. A body is stated
//! by its hash in `x-amz-content-sha256`, which is checked; bodies that are not signed or come in signed chunks are
//! refused. What clients of today send by themselves over HTTPS is such a one, a checksum trailing behind chunks, so that
//! they have to be told to send checksums only where they must (botocore: `request_checksum_calculation =
//! "when_required"`). Not here: making buckets, lists, parts, versions, access lists, tags.

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use url::form_urlencoded;

use super::AwsParts;
use super::objects::{Full, Object, Objects};
use super::operation::decoded;
use super::refusal::{Refusal, escaped};
use crate::cloud::clock::http_date;

/// What addresses of it begin with.
pub(super) const PREFIX: &str = "/s3";
/// The bucket that reports seem to lie in. It is AWS's own, and no call but a link reaches it.
pub(super) const REPORTS: &str = "aws-iot-registration-reports";
/// What a link carries that opens it.
pub(super) const SECRET: &str = "X-Amz-Signature";
/// How requests for it are signed.
pub(super) const SERVICE: &str = "s3";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
const CONTENT_MD5: &str = "content-md5";
/// The type of an object that was put without one.
const UNTYPED: &str = "binary/octet-stream";
/// The longest key, in bytes.
const LONGEST_KEY: usize = 1024;

/// Whether a request is for it.
pub(super) fn is_here(path: &str) -> bool {
    path.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) fn serve(aws: &AwsParts, request: &Parts, body: Bytes, id: &str) -> Response {
    match answer(aws, request, body) {
        Ok(mut response) => {
            if let Ok(id) = HeaderValue::from_str(id) {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            response
        }
        Err(refusal) => refuse(request, refusal, id),
    }
}

/// A refusal in the form of this service, and by its own names.
pub(super) fn refuse(request: &Parts, refusal: Refusal, id: &str) -> Response {
    let Refusal {
        status,
        code,
        message,
    } = renamed(refusal);
    let body = if request.method == Method::HEAD {
        // What answers HEAD has no body; clients go by the status.
        String::new()
    } else {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{}</Message>\
             <Resource>{}</Resource><RequestId>{id}</RequestId></Error>",
            escaped(&message),
            escaped(request.uri.path())
        )
    };
    (status, [(CONTENT_TYPE, "application/xml")], body).into_response()
}

/// S3 has words of its own for what other services say otherwise.
fn renamed(refusal: Refusal) -> Refusal {
    let malformed = StatusCode::BAD_REQUEST;
    let (status, code) = match refusal.code {
        "UnrecognizedClientException" => (refusal.status, "InvalidAccessKeyId"),
        "ExpiredTokenException" => (malformed, "ExpiredToken"),
        "MissingAuthenticationTokenException" | "AccessDeniedException" => {
            (StatusCode::FORBIDDEN, "AccessDenied")
        }
        "IncompleteSignatureException" => (malformed, "AuthorizationHeaderMalformed"),
        "InvalidSignatureException" if refusal.message.starts_with("Signature ") => {
            (refusal.status, "RequestTimeTooSkewed")
        }
        "InvalidSignatureException" if refusal.message.starts_with("Credential ") => {
            (malformed, "AuthorizationHeaderMalformed")
        }
        "InvalidSignatureException" => (refusal.status, "SignatureDoesNotMatch"),
        "ServiceUnavailableException" => (refusal.status, "ServiceUnavailable"),
        "InvalidRequestException" => (refusal.status, "InvalidRequest"),
        "InternalFailureException" => (refusal.status, "InternalError"),
        own => (refusal.status, own),
    };
    Refusal::new(status, code, refusal.message)
}

fn answer(aws: &AwsParts, request: &Parts, body: Bytes) -> Result<Response, Refusal> {
    let query: Vec<_> = form_urlencoded::parse(request.uri.query().unwrap_or_default().as_bytes()).collect();
    if let Some((_, secret)) = query.iter().find(|(name, _)| name == SECRET) {
        return linked(aws, request, secret);
    }
    let caller = aws.caller(request, &body, SERVICE)?;
    // Some clients name the call there, which changes nothing; all else asks for something else than the object.
    if query.iter().any(|(name, _)| name != "x-id") || request.headers.contains_key(CONTENT_MD5) {
        return Err(not_here());
    }
    let (bucket, key) = place(request.uri.path()).ok_or_else(not_here)?;
    let object = format!("arn:{}:s3:::{bucket}/{key}", aws.account.partition);
    let may = |action: &str| {
        caller
            .may(action, &object)
            .map_err(|why| Refusal::forbidden("AccessDenied", why))
    };
    match request.method {
        Method::PUT => {
            may("s3:PutObject")?;
            must_be_there(&bucket)?;
            let content_type = request
                .headers
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok());
            let object = Object {
                bytes: body,
                content_type: content_type.unwrap_or(UNTYPED).to_owned(),
                at: aws.clock.now(),
            };
            let tag = object.tag();
            aws.objects.put(&key, object).map_err(full)?;
            Ok((StatusCode::OK, [(ETAG, tag)]).into_response())
        }
        Method::GET | Method::HEAD => {
            may("s3:GetObject")?;
            must_be_there(&bucket)?;
            let found = aws.objects.get(&key).ok_or_else(|| {
                // Who may not list a bucket is not told what is in it.
                let bucket = format!("arn:{}:s3:::{bucket}", aws.account.partition);
                match caller.may("s3:ListBucket", &bucket) {
                    Ok(()) => Refusal::new(
                        StatusCode::NOT_FOUND,
                        "NoSuchKey",
                        "The specified key does not exist.",
                    ),
                    Err(why) => Refusal::forbidden("AccessDenied", why),
                }
            })?;
            Ok(shown(&found, request.method == Method::HEAD))
        }
        _ => Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
        )),
    }
}

/// A report, for whoever has its link: no signature is asked for, and none is looked at.
fn linked(aws: &AwsParts, request: &Parts, secret: &str) -> Result<Response, Refusal> {
    let denied = |message: &str| Refusal::forbidden("AccessDenied", message);
    if request.method != Method::GET {
        return Err(denied("Access Denied"));
    }
    match aws.objects.linked(secret, request.uri.path()) {
        Ok(report) => Ok((StatusCode::OK, [(CONTENT_TYPE, "application/json")], report).into_response()),
        Err(true) => Err(denied("Request has expired")),
        Err(false) => Err(denied("Access Denied")),
    }
}

fn shown(object: &Object, without_body: bool) -> Response {
    let body = if without_body {
        Body::empty()
    } else {
        Body::from(object.bytes.clone())
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    let texts = [
        (CONTENT_TYPE, object.content_type.clone()),
        (CONTENT_LENGTH, object.bytes.len().to_string()),
        (ETAG, object.tag()),
        (LAST_MODIFIED, http_date(object.at).unwrap_or_default()),
    ];
    for (name, text) in texts {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
    response
}

/// Bucket and key of a path.
fn place(path: &str) -> Option<(String, String)> {
    let rest = path.strip_prefix(PREFIX)?.strip_prefix('/')?;
    let (bucket, key) = rest.split_once('/')?;
    let key = decoded(key)?;
    (1..=LONGEST_KEY)
        .contains(&key.len())
        .then(|| Some((decoded(bucket)?, key)))?
}

fn must_be_there(bucket: &str) -> Result<(), Refusal> {
    if Objects::has(bucket) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::NOT_FOUND,
        "NoSuchBucket",
        "The specified bucket does not exist",
    ))
}

fn full(full: Full) -> Refusal {
    match full {
        Full::TooLong => too_long(),
        Full::Everything => Refusal::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "InsufficientStorage",
            "The sandbox keeps no more than this.",
        ),
    }
}

pub(super) fn too_long() -> Refusal {
    Refusal::new(
        StatusCode::BAD_REQUEST,
        "EntityTooLarge",
        "Your proposed upload exceeds the maximum allowed size",
    )
}

fn not_here() -> Refusal {
    Refusal::new(
        StatusCode::NOT_IMPLEMENTED,
        "NotImplemented",
        "A header or query you provided implies functionality that is not implemented.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_bucket_and_key_and_no_call_of_aws_iot_lies_there() {
        let found = |path: &str| place(path);
        let pair = |bucket: &str, key: &str| Some((bucket.to_owned(), key.to_owned()));
        assert_eq!(found("/s3/b/2026/a%20b+c.jsonl"), pair("b", "2026/a b+c.jsonl"));
        for none in ["/s3", "/s3/", "/s3/b", "/s3/b/", "/s3/b/a%2", "/things/a"] {
            assert_eq!(found(none), None, "{none}");
        }
        assert_eq!(found(&format!("/s3/b/{}", "k".repeat(1025))), None);
        assert!(is_here("/s3/b/k") && is_here("/s3"));
        assert!(!is_here("/s3x/b") && !is_here("/things/s3") && !is_here("/"));
    }

    #[test]
    fn refusals_of_signatures_have_the_names_that_s3_gives_them() {
        for (code, message, status, own) in [
            ("UnrecognizedClientException", "", 403, "InvalidAccessKeyId"),
            ("ExpiredTokenException", "", 400, "ExpiredToken"),
            (
                "InvalidSignatureException",
                "Signature expired: x",
                403,
                "RequestTimeTooSkewed",
            ),
            (
                "InvalidSignatureException",
                "Credential should be scoped",
                400,
                "AuthorizationHeaderMalformed",
            ),
            (
                "InvalidSignatureException",
                "The request signature",
                403,
                "SignatureDoesNotMatch",
            ),
            ("MissingAuthenticationTokenException", "", 403, "AccessDenied"),
        ] {
            let renamed = renamed(Refusal::forbidden(code, message));
            assert_eq!((renamed.status.as_u16(), renamed.code), (status, own), "{code}");
        }
    }
}
