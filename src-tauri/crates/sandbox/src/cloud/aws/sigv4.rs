//! Signature version 4, checked as AWS checks it (AWS General Reference, "Signature Version 4 signing process").
//!
//! Written from the reference and not with the client's signer, so that a mistake of one shows in the other.

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use ring::hmac::{self, HMAC_SHA256};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::refusal::Refusal;
use super::s3;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far a request's time may be off, in seconds.
const TOLERANCE: i64 = 300;
/// The same for S3 (Amazon S3 API reference, error RequestTimeTooSkewed).
const TOLERANCE_OF_S3: i64 = 900;
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
        // The whole day: a shorter scope would make a key that is good for longer.
        if self.stamp.get(..8) != Some(self.day.as_str()) {
            return Err(wrong(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}'.",
                self.day, self.stamp
            )));
        }
        let ahead = self.at.saturating_sub(here.now);
        let tolerance = if here.service == "s3" {
            TOLERANCE_OF_S3
        } else {
            TOLERANCE
        };
        let minutes = tolerance / 60;
        if ahead < -tolerance {
            let (now, least) = (stamp(here.now), stamp(here.now.saturating_sub(tolerance)));
            return Err(wrong(format!(
                "Signature expired: {} is now earlier than {least} ({now} - {minutes} min.)",
                self.stamp
            )));
        }
        if ahead > tolerance {
            let (now, most) = (stamp(here.now), stamp(here.now.saturating_add(tolerance)));
            return Err(wrong(format!(
                "Signature not yet current: {} is still later than {most} ({now} + {minutes} min.)",
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
        let absent = self
            .headers
            .iter()
            .find(|name| !parts.headers.contains_key(*name));
        if let Some(name) = absent {
            return Err(wrong(format!("A signed header is not in the request: {name}")));
        }
        let own = self.to_sign(parts, &payload(parts, body, here)?, here);
        let key = self.key(secret);
        hmac::verify(&key, own.as_bytes(), &self.signature).map_err(|_| {
            wrong(
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                 Access Key and signing method. Consult the service documentation for details."
                    .into(),
            )
        })
    }

    fn to_sign(&self, parts: &Parts, payload: &str, here: &Here<'_>) -> String {
        let request = canonical(parts, payload, &self.headers, here);
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

impl Here<'_> {
    fn is_s3(&self) -> bool {
        self.service == s3::SERVICE
    }
}

/// What stands for the body in a signature: its hash. S3 alone has it stated in a header besides, which has to be true;
/// what else clients may state there, that a body is not signed or comes in signed chunks, is taken nowhere here.
fn payload(parts: &Parts, body: &[u8], here: &Here<'_>) -> Result<String, Refusal> {
    let own = hex::encode(Sha256::digest(body));
    if !here.is_s3() {
        return Ok(own);
    }
    let refused = |code, message| Err(Refusal::new(StatusCode::BAD_REQUEST, code, message));
    match parts.headers.get(CONTENT_HASH).map(|stated| stated.as_bytes()) {
        None => refused(
            "InvalidRequest",
            "Missing required header for this request: x-amz-content-sha256",
        ),
        Some(stated) if stated == own.as_bytes() => Ok(own),
        Some(stated) if stated.contains(&b'-') => Err(Refusal::new(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            "A body has to be signed whole here: x-amz-content-sha256 is its hash, and no checksum trails behind it.",
        )),
        Some(_) => refused(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        ),
    }
}

/// The canonical request. A path is encoded once more than it comes, as for every service but S3.
fn canonical(parts: &Parts, payload: &str, signed: &[String], here: &Here<'_>) -> String {
    let path = if here.is_s3() {
        parts.uri.path().to_owned()
    } else {
        encoded(parts.uri.path(), true)
    };
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
    format!(
        "{}\n{path}\n{}\n{headers}\n{}\n{payload}",
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

    /// Signs as a client would that means it, by the reference alone.
    fn signed_by(
        secret: &str,
        request: &mut Parts,
        names: &str,
        scope: &str,
        payload: &str,
        here: &Here<'_>,
    ) {
        let value =
            format!("{ALGORITHM} Credential=AKIDEXAMPLE/{scope}, SignedHeaders={names}, Signature=00");
        request.headers.insert(AUTHORIZATION, value.parse().unwrap());
        let claimed = Claimed::read(&request.headers).unwrap();
        let own = claimed.to_sign(request, payload, here);
        let signature = hex::encode(hmac::sign(&claimed.key(secret), own.as_bytes()));
        let value = value.replace("Signature=00", &format!("Signature={signature}"));
        request.headers.insert(AUTHORIZATION, value.parse().unwrap());
    }

    const SCOPE: &str = "20150830/us-east-1/service/aws4_request";

    #[test]
    fn a_body_that_is_not_signed_is_refused_for_every_service() {
        let hash = |body: &[u8]| hex::encode(Sha256::digest(body));
        let names = "host;x-amz-content-sha256;x-amz-date";
        for (service, stated, signed, code) in [
            (
                "iot",
                "UNSIGNED-PAYLOAD",
                "UNSIGNED-PAYLOAD".to_owned(),
                "InvalidSignatureException",
            ),
            (
                "s3",
                "UNSIGNED-PAYLOAD",
                "UNSIGNED-PAYLOAD".to_owned(),
                "NotImplemented",
            ),
            (
                "s3",
                "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
                hash(b"a body"),
                "NotImplemented",
            ),
            (
                "s3",
                &hash(b"another"),
                hash(b"another"),
                "XAmzContentSHA256Mismatch",
            ),
        ] {
            let here = here("us-east-1", service, AT);
            let mut parts = request("PUT", "/a", &[(CONTENT_HASH, stated)], "00", names);
            let scope = SCOPE.replace("service", service);
            signed_by(SECRET, &mut parts, names, &scope, &signed, &here);
            let refusal = checked(&parts, b"a body", SECRET, &here).unwrap_err();
            assert_eq!(refusal.code, code, "{service} {stated}");
        }
    }

    #[test]
    fn s3_has_the_hash_of_a_body_stated_and_takes_a_path_as_it_comes() {
        let here = here("us-east-1", "s3", AT);
        let hash = hex::encode(Sha256::digest(b"a body"));
        let (scope, names) = (
            SCOPE.replace("service", "s3"),
            "host;x-amz-content-sha256;x-amz-date",
        );
        let mut parts = request("PUT", "/b/a%20b", &[(CONTENT_HASH, &hash)], "00", names);
        signed_by(SECRET, &mut parts, names, &scope, &hash, &here);
        assert_eq!(checked(&parts, b"a body", SECRET, &here), Ok(()));
        let as_it_comes = canonical(&parts, &hash, &[], &here);
        assert!(as_it_comes.starts_with("PUT\n/b/a%20b\n"), "{as_it_comes}");
        let mut parts = request("GET", "/b/a", &[], "00", "host;x-amz-date");
        signed_by(SECRET, &mut parts, "host;x-amz-date", &scope, &hash, &here);
        assert_eq!(
            checked(&parts, b"a body", SECRET, &here).unwrap_err().code,
            "InvalidRequest"
        );
    }

    #[test]
    fn a_scope_names_the_whole_day() {
        let here = here("us-east-1", "service", AT);
        let (names, hash) = ("host;x-amz-date", hex::encode(Sha256::digest(b"")));
        for day in ["2015", "201508", "", "20150831", "20150830T"] {
            let mut parts = request("GET", "/", &[], "00", names);
            signed_by(
                SECRET,
                &mut parts,
                names,
                &SCOPE.replace("20150830", day),
                &hash,
                &here,
            );
            let refusal = checked(&parts, b"", SECRET, &here).unwrap_err();
            assert!(
                refusal.message.starts_with("Date in Credential scope"),
                "{day}: {refusal:?}"
            );
        }
    }

    #[test]
    fn a_header_that_is_signed_has_to_be_there() {
        let here = here("us-east-1", "service", AT);
        let (names, hash) = (
            "host;x-amz-date;x-amz-security-token",
            hex::encode(Sha256::digest(b"")),
        );
        let mut parts = request("GET", "/", &[], "00", names);
        signed_by(SECRET, &mut parts, names, SCOPE, &hash, &here);
        let refusal = checked(&parts, b"", SECRET, &here).unwrap_err();
        assert!(refusal.message.ends_with("x-amz-security-token"), "{refusal:?}");
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
