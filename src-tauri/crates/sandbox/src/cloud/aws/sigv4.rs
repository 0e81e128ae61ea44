//! Signature version 4, checked as AWS checks it (AWS General Reference, "Signature Version 4 signing process").
//!
//! Written from the reference and not with the client's signer, so that a mistake of one shows in the other.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use ring::hmac::{self, HMAC_SHA256};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::refusal::Refusal;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far a request's time may be off, in seconds.
const TOLERANCE: i64 = 300;
const DATE: &str = "x-amz-date";
const CONTENT_HASH: &str = "x-amz-content-sha256";

/// What a request says of its own signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claimed {
    /// Whose keys.
    pub(super) access_key: String,
    /// The service that the scope names.
    pub(super) service: String,
    day: String,
    region: String,
    headers: Vec<String>,
    signature: Vec<u8>,
    /// As the request has it, `20150830T123600Z`.
    stamp: String,
    /// The same in Unix seconds.
    at: i64,
}

impl Claimed {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Refusal> {
        let missing = || {
            Refusal::forbidden(
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            )
        };
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let authorization = text(AUTHORIZATION.as_str()).ok_or_else(missing)?;
        let fields = authorization
            .strip_prefix(ALGORITHM)
            .ok_or_else(|| incomplete("Unsupported AWS 'algorithm'"))?;
        let field = |name: &str| {
            let found = fields
                .split(',')
                .find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
            found.ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter.")))
        };
        let credential = field("Credential")?;
        let [access_key, day, region, service, "aws4_request"] =
            credential.split('/').collect::<Vec<_>>()[..]
        else {
            return Err(incomplete(
                "Credential must have exactly 5 slash-delimited elements, ending in aws4_request.",
            ));
        };
        let stamp = text(DATE).ok_or_else(|| {
            incomplete("Authorization header requires existence of an 'X-Amz-Date' header.")
        })?;
        let at = DateTime::strptime("%Y%m%dT%H%M%SZ", stamp)
            .and_then(|time| time.to_zoned(TimeZone::UTC))
            .map_err(|_| incomplete("Date must be in ISO-8601 'basic format'."))?;
        Ok(Self {
            access_key: access_key.into(),
            service: service.into(),
            day: day.into(),
            region: region.into(),
            headers: field("SignedHeaders")?.split(';').map(str::to_owned).collect(),
            signature: hex::decode(field("Signature")?).map_err(|_| incomplete("Signature is no hex."))?,
            stamp: stamp.into(),
            at: at.timestamp().as_second(),
        })
    }

    /// Whether `secret` made it, for this request, here and now.
    pub(super) fn check(
        &self,
        parts: &Parts,
        body: &[u8],
        secret: &str,
        here: &Here<'_>,
    ) -> Result<(), Refusal> {
        let wrong = |message: String| Refusal::forbidden("InvalidSignatureException", message);
        if self.region != here.region {
            return Err(wrong("Credential should be scoped to a valid region. ".into()));
        }
        if self.service != here.service {
            return Err(wrong(format!(
                "Credential should be scoped to correct service: '{}'. ",
                here.service
            )));
        }
        if !self.stamp.starts_with(&self.day) {
            return Err(wrong(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}'.",
                self.day, self.stamp
            )));
        }
        let ahead = self.at.saturating_sub(here.now);
        if ahead < -TOLERANCE {
            let (now, least) = (stamp(here.now), stamp(here.now.saturating_sub(TOLERANCE)));
            return Err(wrong(format!(
                "Signature expired: {} is now earlier than {least} ({now} - 5 min.)",
                self.stamp
            )));
        }
        if ahead > TOLERANCE {
            let (now, most) = (stamp(here.now), stamp(here.now.saturating_add(TOLERANCE)));
            return Err(wrong(format!(
                "Signature not yet current: {} is still later than {most} ({now} + 5 min.)",
                self.stamp
            )));
        }
        // What decides about a request has to be signed.
        let signed = |name: &str| self.headers.iter().any(|header| header == name);
        if !signed("host") || !signed(DATE) {
            return Err(wrong("'Host' and 'X-Amz-Date' must be signed headers.".into()));
        }
        let unsigned = parts
            .headers
            .keys()
            .map(axum::http::HeaderName::as_str)
            .find(|name| name.starts_with("x-amz-") && !signed(name));
        if let Some(name) = unsigned {
            return Err(wrong(format!(
                "There were headers present in the request which were not signed: {name}"
            )));
        }
        let own = self.to_sign(parts, body);
        let key = self.key(secret);
        hmac::verify(&key, own.as_bytes(), &self.signature).map_err(|_| {
            wrong(
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                 Access Key and signing method. Consult the service documentation for details."
                    .into(),
            )
        })
    }

    fn to_sign(&self, parts: &Parts, body: &[u8]) -> String {
        let request = canonical(parts, body, &self.headers);
        let hash = hex::encode(Sha256::digest(request));
        let (stamp, scope) = (&self.stamp, self.scope());
        format!("{ALGORITHM}\n{stamp}\n{scope}\n{hash}")
    }

    fn scope(&self) -> String {
        let Self {
            day, region, service, ..
        } = self;
        format!("{day}/{region}/{service}/aws4_request")
    }

    fn key(&self, secret: &str) -> hmac::Key {
        let key = |bytes: &[u8]| hmac::Key::new(HMAC_SHA256, bytes);
        let mut derived = key(format!("AWS4{secret}").as_bytes());
        for part in [&self.day, &self.region, &self.service, "aws4_request"] {
            derived = key(hmac::sign(&derived, part.as_bytes()).as_ref());
        }
        derived
    }
}

/// Where and when a request arrives.
pub(super) struct Here<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    /// Unix seconds.
    pub(super) now: i64,
}

/// The canonical request. A path is encoded once more than it comes, as for every service but S3.
fn canonical(parts: &Parts, body: &[u8], signed: &[String]) -> String {
    let path = encoded(parts.uri.path(), true);
    let query = parts.uri.query().unwrap_or_default();
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (encoded(&name, false), encoded(&value, false)))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut headers = String::new();
    for name in signed {
        let values: Vec<String> = parts
            .headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .map(|value| value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        headers.extend([name, ":", &values.join(","), "\n"]);
    }
    let stated = parts
        .headers
        .get(CONTENT_HASH)
        .and_then(|value| value.to_str().ok())
        .filter(|stated| *stated == "UNSIGNED-PAYLOAD");
    let hash = stated.map_or_else(|| hex::encode(Sha256::digest(body)), str::to_owned);
    format!(
        "{}\n{path}\n{}\n{headers}\n{}\n{hash}",
        parts.method,
        pairs.join("&"),
        signed.join(";")
    )
}

/// RFC 3986 percent-encoding of everything but unreserved characters and, in a path, the slash.
fn encoded(text: &str, path: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            b'/' if path => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `20150830T123600Z`; empty for a time that leaves the calendar.
fn stamp(at: i64) -> String {
    let time = jiff::Timestamp::from_second(at).ok();
    time.map(|time| time.strftime("%Y%m%dT%H%M%SZ").to_string())
        .unwrap_or_default()
}

fn incomplete(message: &str) -> Refusal {
    Refusal::forbidden("IncompleteSignatureException", message)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    /// AWS's published examples.
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const AT: i64 = 1_440_938_160;

    fn here<'a>(region: &'a str, service: &'a str, now: i64) -> Here<'a> {
        Here { region, service, now }
    }

    /// A request of AWS's test suite, which is for `service` in us-east-1 by AKIDEXAMPLE.
    fn request(method: &str, target: &str, headers: &[(&str, &str)], signature: &str, names: &str) -> Parts {
        let credential = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", "example.amazonaws.com")
            .header("x-amz-date", "20150830T123600Z")
            .header(
                "authorization",
                format!("{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"),
            );
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn checked(parts: &Parts, body: &[u8], secret: &str, here: &Here<'_>) -> Result<(), Refusal> {
        Claimed::read(&parts.headers)?.check(parts, body, secret, here)
    }

    #[test]
    fn the_vectors_of_awss_test_suite_are_believed() {
        // get-vanilla, post-vanilla, get-vanilla-query-order-key-case, get-header-value-trim, post-x-www-form-urlencoded.
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let spaced = [("my-header1", " value1"), ("my-header2", " \"a   b   c\"")];
        let (plain, typed) = ("host;x-amz-date", "content-type;host;x-amz-date");
        for (request, body) in [
            (
                request(
                    "GET",
                    "/",
                    &[],
                    "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
                    plain,
                ),
                "",
            ),
            (
                request(
                    "POST",
                    "/",
                    &[],
                    "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
                    plain,
                ),
                "",
            ),
            (
                request(
                    "GET",
                    "/?Param2=value2&Param1=value1",
                    &[],
                    "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
                    plain,
                ),
                "",
            ),
            (
                request(
                    "GET",
                    "/",
                    &spaced,
                    "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
                    "host;my-header1;my-header2;x-amz-date",
                ),
                "",
            ),
            (
                request(
                    "POST",
                    "/",
                    &form,
                    "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
                    typed,
                ),
                "Param1=value1",
            ),
        ] {
            let here = here("us-east-1", "service", AT);
            let told = checked(&request, body.as_bytes(), SECRET, &here);
            assert_eq!(told, Ok(()), "{request:?}");
        }
    }

    #[test]
    fn each_thing_that_is_wrong_is_refused_in_awss_words() {
        let good = || {
            let signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
            request("GET", "/", &[], signature, "host;x-amz-date")
        };
        let told = |parts: &Parts, body: &[u8], secret: &str, here: &Here<'_>| {
            let refusal = checked(parts, body, secret, here).unwrap_err();
            assert_eq!(refusal.status, 403);
            (refusal.code, refusal.message)
        };
        let right = here("us-east-1", "service", AT);
        let mismatch = "The request signature we calculated does not match";
        for (parts, body, secret) in [
            (good(), &b""[..], "another secret"),
            (good(), b"a body", SECRET),
            (
                request(
                    "GET",
                    "/things/other",
                    &[],
                    "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
                    "host;x-amz-date",
                ),
                b"",
                SECRET,
            ),
        ] {
            let (code, message) = told(&parts, body, secret, &right);
            assert_eq!(code, "InvalidSignatureException");
            assert!(message.starts_with(mismatch), "{message}");
        }
        let table = [
            (
                here("eu-central-1", "service", AT),
                "Credential should be scoped to a valid region",
            ),
            (
                here("us-east-1", "iot", AT),
                "Credential should be scoped to correct service: 'iot'",
            ),
            (
                here("us-east-1", "service", AT + 301),
                "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)",
            ),
            (
                here("us-east-1", "service", AT - 301),
                "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 \
                 min.)",
            ),
        ];
        for (here, words) in table {
            let (code, message) = told(&good(), b"", SECRET, &here);
            assert_eq!(code, "InvalidSignatureException");
            assert!(message.starts_with(words), "{message}");
        }
        assert_eq!(
            checked(&good(), b"", SECRET, &here("us-east-1", "service", AT + 300)),
            Ok(())
        );
    }

    #[test]
    fn what_is_no_signature_is_told_from_a_wrong_one() {
        let without = Request::get("/").body(()).unwrap().into_parts().0;
        assert_eq!(
            Claimed::read(&without.headers).unwrap_err().code,
            "MissingAuthenticationTokenException"
        );
        for odd in [
            "Bearer x",
            "AWS4-HMAC-SHA256 Credential=a/b/c",
            "AWS4-HMAC-SHA256",
        ] {
            let parts = Request::get("/")
                .header("authorization", odd)
                .header("x-amz-date", "20150830T123600Z")
                .body(())
                .unwrap()
                .into_parts()
                .0;
            let refusal = Claimed::read(&parts.headers).unwrap_err();
            assert_eq!(refusal.code, "IncompleteSignatureException", "{odd}");
        }
    }

    #[test]
    fn a_header_of_awss_that_is_not_signed_spoils_the_request() {
        let signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        let parts = request(
            "GET",
            "/",
            &[("x-amz-security-token", "slipped in")],
            signature,
            "host;x-amz-date",
        );
        let refusal = checked(&parts, b"", SECRET, &here("us-east-1", "service", AT)).unwrap_err();
        assert!(refusal.message.contains("x-amz-security-token"), "{refusal:?}");
    }
}
