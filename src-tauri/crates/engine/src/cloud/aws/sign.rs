//! Signature version 4, and the only use of `aws-sigv4`: a request in, the same with its headers out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::http::Request;
use ::http::header::{HeaderName, HeaderValue};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use commission::fault::CloudError;
use commission::time::UnixTime;

/// Temporary keys of AWS. The crate wipes them when the last copy is dropped, and shows none of them.
#[derive(Clone)]
pub(super) struct Keys(Credentials);

impl Keys {
    /// As Cognito and STS hand them out.
    pub(super) fn new(id: &str, secret: &str, session: &str) -> Self {
        Self(Credentials::new(
            id,
            secret,
            Some(session.to_owned()),
            None,
            "fieldkey",
        ))
    }

    #[cfg(test)]
    pub(super) fn lasting(id: &str, secret: &str) -> Self {
        Self(Credentials::new(id, secret, None, None, "fieldkey"))
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// Signs `request` for `service` in `region` as of `now`, which is AWS's time rather than this computer's.
///
/// # Errors
/// [`CloudError::Nonsense`] where the keys or the address cannot stand in a request.
pub(super) fn signed(
    mut request: Request<Vec<u8>>,
    keys: &Keys,
    region: &str,
    service: &str,
    now: UnixTime,
) -> Result<Request<Vec<u8>>, CloudError> {
    let unfit = |error: &dyn std::fmt::Display| {
        CloudError::Nonsense(format!("the request cannot be signed: {error}"))
    };
    let identity = keys.0.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(system_time(now))
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| unfit(&error))?
        .into();
    let mut headers = Vec::new();
    for (name, value) in request.headers() {
        // HTTP/1.1 sets it, and HTTP/2 may leave it out: it is no part of what is signed.
        if name != ::http::header::CONTENT_LENGTH {
            headers.push((name.as_str(), value.to_str().map_err(|error| unfit(&error))?));
        }
    }
    let uri = request.uri().to_string();
    let body = SignableBody::Bytes(request.body());
    let signable = SignableRequest::new(request.method().as_str(), uri, headers.into_iter(), body)
        .map_err(|error| unfit(&error))?;
    let (instructions, _) = sign(signable, &params)
        .map_err(|error| unfit(&error))?
        .into_parts();
    let (added, _) = instructions.into_parts();
    for header in added {
        let name = HeaderName::from_static(header.name());
        let mut value = HeaderValue::from_str(header.value()).map_err(|error| unfit(&error))?;
        value.set_sensitive(header.sensitive() || name == ::http::header::AUTHORIZATION);
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

fn system_time(now: UnixTime) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(now.0).unwrap_or(0));
    UNIX_EPOCH.checked_add(seconds).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2015-08-30T12:36:00Z, the time of AWS's published examples.
    const EXAMPLE_TIME: UnixTime = UnixTime(1_440_938_160);
    const EXAMPLE_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn authorization(request: &Request<Vec<u8>>) -> &str {
        let value = &request.headers()["authorization"];
        assert!(value.is_sensitive());
        value.to_str().unwrap()
    }

    fn example(method: &str, target: &str) -> String {
        let request = Request::builder()
            .method(method)
            .uri(format!("https://example.amazonaws.com{target}"))
            .body(Vec::new())
            .unwrap();
        let keys = Keys::lasting("AKIDEXAMPLE", EXAMPLE_SECRET);
        let signed = signed(request, &keys, "us-east-1", "service", EXAMPLE_TIME).unwrap();
        assert_eq!(signed.headers()["x-amz-date"], "20150830T123600Z");
        authorization(&signed).to_owned()
    }

    #[test]
    fn the_vectors_of_awss_own_test_suite_come_out_to_the_letter() {
        // get-vanilla and post-vanilla.
        let head = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                    SignedHeaders=host;x-amz-date, Signature=";
        let table = [
            (
                "GET",
                "/",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "POST",
                "/",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
        ];
        for (method, target, signature) in table {
            assert_eq!(
                example(method, target),
                format!("{head}{signature}"),
                "{method} {target}"
            );
        }
    }

    #[test]
    fn the_published_example_with_query_and_content_type_comes_out_to_the_letter() {
        // "Signature Version 4 signing process", AWS General Reference: ListUsers of IAM.
        let request = Request::builder()
            .uri("https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(Vec::new())
            .unwrap();
        let keys = Keys::lasting("AKIDEXAMPLE", EXAMPLE_SECRET);
        let signed = signed(request, &keys, "us-east-1", "iam", EXAMPLE_TIME).unwrap();
        assert_eq!(
            authorization(&signed),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn each_kind_of_call_is_signed_as_awss_own_client_does() {
        // Made with botocore 1.44.8: its SigV4Auth over the same requests at the same time.
        let (none, json) = ((None, ""), (Some("application/json"), "{}"));
        let table = [
            (
                "POST",
                "https://iot.eu-central-1.amazonaws.com/provisioning-templates/acme/provisioning-claim",
                "iot",
                none,
                "ab0b542593c2150276430fd5d066d1e19c67bd0779f5d32e2d0e7b2195d972c8",
            ),
            (
                "GET",
                "https://iot.eu-central-1.amazonaws.com/endpoint?endpointType=iot%3AData-ATS",
                "iot",
                none,
                "54221bf7b93a9be75a2c6426ee4b96e3ecb2b47b603b2aeb445fbf8d84d3007e",
            ),
            (
                "GET",
                "https://iot.eu-central-1.amazonaws.com/things/a%3Ab/principals?nextToken=a%2Fb%3D",
                "iot",
                none,
                "b0f63ba5f8533a7be6612074bb83c0c4d07dd340863c86cf34fcc64a203fddfe",
            ),
            (
                "PUT",
                "https://localhost:8443/certificates/00?newStatus=INACTIVE",
                "iot",
                none,
                "e12b441b4c2863ed5c111bdf2e6de666a8b7c75915de587f53ff3684d6c2d402",
            ),
            (
                "GET",
                "https://abc-ats.iot.eu-central-1.amazonaws.com/connections/a%3Ab",
                "iotdata",
                none,
                "378de2f269200fb6b3baebf6622d7ff508bc9f7c1149716e9475a36d029c5eb0",
            ),
            (
                "POST",
                "https://iot.eu-central-1.amazonaws.com/things/a%3Ab/connectivity-data",
                "iot",
                json,
                "394b5243125d54f1dc64d0af573adf6ee27a223d022ccae7d106bd3adee39daf",
            ),
        ];
        for (method, uri, service, (content_type, body), signature) in table {
            let mut request = Request::builder().method(method).uri(uri);
            if let Some(content_type) = content_type {
                request = request.header("content-type", content_type);
            } else if method != "GET" {
                request = request.header("content-length", "0");
            }
            let request = request.body(body.as_bytes().to_vec()).unwrap();
            let keys = Keys::new("ASIAEXAMPLE", EXAMPLE_SECRET, "session");
            let signed = signed(request, &keys, "eu-central-1", service, EXAMPLE_TIME).unwrap();
            let headers = match content_type {
                Some(_) => "content-type;host;x-amz-date;x-amz-security-token",
                None => "host;x-amz-date;x-amz-security-token",
            };
            assert_eq!(
                authorization(&signed),
                format!(
                    "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/20150830/eu-central-1/{service}/aws4_request, \
                     SignedHeaders={headers}, Signature={signature}"
                ),
                "{method} {uri}"
            );
            assert_eq!(signed.headers()["x-amz-security-token"], "session");
            assert!(signed.headers()["x-amz-security-token"].is_sensitive());
            assert!(!signed.headers().contains_key("x-amz-content-sha256"));
        }
    }

    #[test]
    fn keys_that_cannot_stand_in_a_header_are_refused_and_shown_nowhere() {
        let keys = Keys::new("ASIAEXAMPLE", EXAMPLE_SECRET, "bad\ntoken");
        let request = Request::get("https://iot.eu-central-1.amazonaws.com/things/a")
            .body(Vec::new())
            .unwrap();
        let error = signed(request, &keys, "eu-central-1", "iot", EXAMPLE_TIME).unwrap_err();
        assert!(!format!("{error} {keys:?}").contains("token\n"), "{error}");
        assert_eq!(format!("{keys:?}"), "Keys(…)");
    }
}
