//! The one HTTPS client, and the only use of reqwest.
//!
//! What it promises: TLS 1.2 or 1.3 to a server that the system's trust store, or an authority of the organisation
//! profile, vouches for; no redirect followed (a bearer token would follow it); every request ends in time; no
//! answer larger than [`MAX_BODY`]; nothing but method, host, path, status and duration in the log.
//!
//! **Proxies.** `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` of the environment are honoured, since sites have them; TLS
//! ends at the server, never at the proxy. A loopback address is never sent to a proxy, whatever `NO_PROXY` says.
//!
//! **Time.** Each answer says how far this machine's calendar is ahead of the server's `Date`, because a laptop's
//! clock is wrong more often than a server's. What came out of a cache was dated when it was put in: its `Age` counts.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::http::header::{AGE, CONTENT_TYPE, DATE};
use ::http::{HeaderMap, Request, StatusCode};
use async_trait::async_trait;
use commission::time::{Moment, UnixTime};
use reqwest::redirect::Policy;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig};
use rustls_platform_verifier::Verifier;
use serde::de::DeserializeOwned;
use thiserror::Error;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::ports::Clock;

/// The largest answer that is read, in bytes. A claim has about 8 KiB, a key set of an issuer about 20.
pub const MAX_BODY: usize = 1 << 20;
/// How long a connection may take to come up.
pub const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long an ordinary request may take, connection included.
pub const REQUEST_TIME: Duration = Duration::from_secs(20);
/// Most answers fit here, so that the buffer of a private key is rarely moved and left unwiped.
const USUAL_BODY: usize = 32 << 10;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HttpError {
    /// The address is not `https`.
    #[error("{0} is not an https address")]
    NotHttps(String),
    /// No connection: name unknown, no network, refused.
    #[error("{host} cannot be reached ({detail}); check the network connection")]
    Unreachable {
        /// Which server.
        host: String,
        /// What the system said.
        detail: String,
    },
    /// No answer in time.
    #[error("{host} did not answer in time; check the network connection")]
    TimedOut {
        /// Which server.
        host: String,
    },
    /// Nobody we trust vouches for the server.
    #[error(
        "{host} shows a certificate that this computer does not trust; add its authority to the organisation profile, \
         or leave this network if it should be trusted"
    )]
    Untrusted {
        /// Which server.
        host: String,
    },
    /// The server's certificate is not valid at this machine's time: nearly always a wrong clock here.
    #[error("{host} shows a certificate that is not valid today; check this computer's date and time")]
    CertificateDate {
        /// Which server.
        host: String,
    },
    /// The server is another than was asked for: often the log-in page of a guest network.
    #[error("another server answers for {host}; log in to this network first, or use another")]
    WrongServer {
        /// Which server was meant.
        host: String,
    },
    /// Another failure of TLS.
    #[error("no secure connection to {host}: {detail}")]
    Tls {
        /// Which server.
        host: String,
        /// What went wrong.
        detail: String,
    },
    /// The server answers that it cannot serve now.
    #[error("{host} is out of order (status {status}); try again later")]
    OutOfOrder {
        /// Which server.
        host: String,
        /// The status, 429 or 5xx.
        status: u16,
    },
    /// The answer is too large.
    #[error("the answer of {host} has more than {MAX_BODY} bytes")]
    TooLarge {
        /// Which server.
        host: String,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("the connection to {host} broke: {detail}")]
    Broken {
        /// Which server.
        host: String,
        /// What went wrong.
        detail: String,
    },
}

/// Why the client could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HttpSetupError {
    /// An authority of the organisation profile is no PEM certificate.
    #[error("authority {number} of the organisation profile is no certificate in PEM form: {detail}")]
    Authority {
        /// Which, counted from 1.
        number: usize,
        /// What is wrong.
        detail: String,
    },
    /// TLS could not be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// An answer. Its body may hold secrets, and is wiped on drop.
#[derive(Clone)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, at most [`MAX_BODY`] bytes.
    pub body: Zeroizing<Vec<u8>>,
    /// When it had arrived, on the monotonic clock.
    pub arrived: Moment,
    /// The server's time now: its `Date`, and how long the answer has been in a cache since.
    pub server_time: Option<UnixTime>,
    /// How far this machine's calendar clock is ahead of the server's, in seconds; negative where behind.
    pub clock_ahead: Option<i64>,
}

impl Answer {
    /// Reads the body as JSON.
    ///
    /// # Errors
    /// Where in the body it is not what was expected. Never what stood there: that may be a secret.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Eof => "ends too early",
                serde_json::error::Category::Data => "lacks something or has something else",
                _ => "is no JSON",
            };
            format!(
                "the body {what} (line {}, column {})",
                error.line(),
                error.column()
            )
        })
    }

    /// The media type without its parameters, in lower case; empty where there is none.
    pub fn media_type(&self) -> String {
        self.headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.split(';').next())
            .map(|text| text.trim().to_ascii_lowercase())
            .unwrap_or_default()
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

/// Sends a request and brings the answer; [`Http`] over TLS, a script in tests.
#[async_trait]
pub trait Exchange: Send + Sync {
    /// One request, one answer, within `time`.
    ///
    /// # Errors
    /// [`HttpError`] where there is no answer; an answer that refuses is an answer.
    async fn exchange(&self, request: Request<Vec<u8>>, time: Duration) -> Result<Answer, HttpError>;
}

/// The HTTPS client. Cloning it shares its connections.
#[derive(Clone)]
pub struct Http {
    /// As the environment's proxy settings say.
    outside: reqwest::Client,
    /// Never over a proxy.
    loopback: reqwest::Client,
    clock: Arc<dyn Clock>,
    ahead: Arc<Mutex<BTreeMap<String, i64>>>,
}

impl Http {
    /// A client that trusts what the system trusts, and these authorities (PEM, each one certificate or several).
    ///
    /// # Errors
    /// [`HttpSetupError`].
    pub fn new(extra_ca_pem: &[String], clock: Arc<dyn Clock>) -> Result<Self, HttpSetupError> {
        let tls = tls_config(&authorities(extra_ca_pem)?)?;
        let build = |builder: reqwest::ClientBuilder| {
            builder
                .tls_backend_preconfigured(tls.clone())
                .https_only(true)
                .redirect(Policy::none())
                .connect_timeout(CONNECT_TIME)
                .tcp_nodelay(true)
                .referer(false)
                .user_agent(concat!("fieldkey/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|error| HttpSetupError::Tls(error.to_string()))
        };
        Ok(Self {
            outside: build(reqwest::Client::builder())?,
            loopback: build(reqwest::Client::builder().no_proxy())?,
            clock,
            ahead: Arc::default(),
        })
    }

    /// How far this machine's calendar was ahead of a server's at its last answer, in seconds.
    pub fn clock_ahead(&self, server: &Url) -> Option<i64> {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        ahead.get(server.host_str()?).copied()
    }

    async fn send(&self, request: Request<Vec<u8>>, time: Duration) -> Result<Answer, HttpError> {
        let mut request = reqwest::Request::try_from(request).map_err(|error| HttpError::Broken {
            host: String::new(),
            detail: error.without_url().to_string(),
        })?;
        let url = request.url().clone();
        let host = url.host_str().unwrap_or_default().to_owned();
        if url.scheme() != "https" {
            return Err(HttpError::NotHttps(format!("{}://{host}", url.scheme())));
        }
        *request.timeout_mut() = Some(time);
        let client = if is_loopback(&url) {
            &self.loopback
        } else {
            &self.outside
        };
        let why = |error: reqwest::Error| reason(&host, &error);

        let mut response = client.execute(request).await.map_err(why)?;
        let expected = response.content_length().unwrap_or(0);
        let too_large = || HttpError::TooLarge { host: host.clone() };
        let expected = usize::try_from(expected).map_err(|_| too_large())?;
        if expected > MAX_BODY {
            return Err(too_large());
        }
        let mut body = Zeroizing::new(Vec::with_capacity(expected.max(USUAL_BODY)));
        while let Some(part) = response.chunk().await.map_err(why)? {
            if body.len() + part.len() > MAX_BODY {
                return Err(too_large());
            }
            body.extend_from_slice(&part);
        }

        let server_time = time_of(response.headers());
        let clock_ahead = server_time.map(|server| self.clock.unix().0.saturating_sub(server.0));
        if let Some(seconds) = clock_ahead {
            let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            ahead.insert(host, seconds);
        }
        Ok(Answer {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
            arrived: self.clock.now(),
            server_time,
            clock_ahead,
        })
    }
}

#[async_trait]
impl Exchange for Http {
    async fn exchange(&self, request: Request<Vec<u8>>, time: Duration) -> Result<Answer, HttpError> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let (host, path) = (uri.host().unwrap_or_default(), uri.path());
        let begun = Instant::now();
        let result = self.send(request, time).await;
        let millis = begun.elapsed().as_millis();
        match &result {
            Ok(answer) => {
                tracing::debug!(%method, host, path, status = answer.status.as_u16(), millis, "answered");
            }
            Err(error) => tracing::debug!(%method, host, path, %error, millis, "not answered"),
        }
        result
    }
}

fn authorities(pems: &[String]) -> Result<Vec<CertificateDer<'static>>, HttpSetupError> {
    let mut found = Vec::new();
    for (index, pem) in pems.iter().enumerate() {
        let fault = |detail: String| HttpSetupError::Authority {
            number: index + 1,
            detail,
        };
        let before = found.len();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            found.push(certificate.map_err(|error| fault(error.to_string()))?);
        }
        if found.len() == before {
            return Err(fault("there is none in it".into()));
        }
    }
    Ok(found)
}

/// TLS with the provider given by name, so that no other part of the program can change which one is used.
fn tls_config(authorities: &[CertificateDer<'static>]) -> Result<ClientConfig, HttpSetupError> {
    let fault = |error: rustls::Error| HttpSetupError::Tls(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = Arc::new(
        Verifier::new_with_extra_roots(authorities.iter().cloned(), provider.clone()).map_err(fault)?,
    );
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

/// The time at the server now: when the answer was made, and its age since (RFC 9111, 4.2.3). None where a cache states
/// an age that cannot be read: the answer may have lain there for days.
fn time_of(headers: &HeaderMap) -> Option<UnixTime> {
    let made = http_date(headers)?;
    let age = match headers.get(AGE) {
        None => 0,
        Some(age) => age.to_str().ok()?.trim().parse::<u32>().ok()?,
    };
    Some(UnixTime(made.0.saturating_add(i64::from(age))))
}

/// The `Date` header (RFC 9110, 6.6.1).
fn http_date(headers: &HeaderMap) -> Option<UnixTime> {
    let text = headers.get(DATE)?.to_str().ok()?;
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(UnixTime(zoned.timestamp().as_second()))
}

/// The exact reason, found in the chain of causes, since reqwest itself tells only the step that failed.
fn reason(host: &str, error: &reqwest::Error) -> HttpError {
    let host = host.to_owned();
    if error.is_timeout() {
        return HttpError::TimedOut { host };
    }
    let mut deepest = String::new();
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return tls_reason(host, tls);
        }
        deepest = inner.to_string();
        cause = below(inner);
    }
    if error.is_connect() {
        return HttpError::Unreachable {
            host,
            detail: deepest,
        };
    }
    HttpError::Broken {
        host,
        detail: deepest,
    }
}

/// The next cause. An `io::Error` that carries another error names that one's cause as its own and so leaves it out.
fn below<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e (dyn StdError + 'static)> {
    let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match carried {
        Some(carried) => Some(carried),
        None => error.source(),
    }
}

fn tls_reason(host: String, error: &rustls::Error) -> HttpError {
    use rustls::Error::InvalidCertificate;
    match error {
        InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => HttpError::CertificateDate { host },
        InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => HttpError::WrongServer { host },
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            HttpError::Untrusted { host }
        }
        other => HttpError::Tls {
            host,
            detail: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{TestClock, answer};

    #[test]
    fn date_header_is_read_as_rfc_9110_writes_it() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, text.parse().unwrap());
            http_date(&headers)
        };
        assert_eq!(
            read("Thu, 01 Jan 2026 00:00:00 GMT"),
            Some(UnixTime(1_767_225_600))
        );
        assert_eq!(read("yesterday"), None);
        assert_eq!(read(""), None);
        assert_eq!(http_date(&HeaderMap::new()), None);
    }

    #[test]
    fn an_answer_out_of_a_cache_tells_the_time_with_its_age() {
        let time = |age: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, "Thu, 01 Jan 2026 00:00:00 GMT".parse().unwrap());
            headers.insert(AGE, age.parse().unwrap());
            time_of(&headers)
        };
        assert_eq!(time("0"), Some(UnixTime(1_767_225_600)));
        assert_eq!(time("86400"), Some(UnixTime(1_767_312_000)));
        for unread in ["", "-1", "old", "99999999999"] {
            assert_eq!(time(unread), None, "{unread}");
        }
    }

    #[test]
    fn errors_of_json_never_repeat_what_stood_there() {
        let answer = answer(200, r#"{"privateKeyPem": "SECRET-42"}"#);
        let error = answer.json::<BTreeMap<String, u64>>().unwrap_err();
        assert!(!error.contains("SECRET"), "{error}");
        assert!(error.contains("column"), "{error}");
    }

    #[test]
    fn an_authority_that_is_no_certificate_is_named_by_its_number() {
        let clock = Arc::new(TestClock::default());
        let made = Http::new(&["hello".into()], clock);
        assert_eq!(
            made.err(),
            Some(HttpSetupError::Authority {
                number: 1,
                detail: "there is none in it".into()
            })
        );
    }

    #[tokio::test]
    async fn plain_http_is_refused_before_anything_is_sent() {
        let http = Http::new(&[], Arc::new(TestClock::default())).unwrap();
        let request = Request::get("http://127.0.0.1:9/token?code=secret")
            .body(Vec::new())
            .unwrap();
        assert_eq!(
            http.exchange(request, REQUEST_TIME).await.err(),
            Some(HttpError::NotHttps("http://127.0.0.1".into()))
        );
    }

    #[tokio::test]
    async fn a_closed_port_is_unreachable_with_the_systems_words() {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = closed.local_addr().unwrap().port();
        drop(closed);
        let http = Http::new(&[], Arc::new(TestClock::default())).unwrap();
        let request = Request::get(format!("https://127.0.0.1:{port}/"))
            .body(Vec::new())
            .unwrap();
        let error = http.exchange(request, REQUEST_TIME).await.err();
        assert!(
            matches!(&error, Some(HttpError::Unreachable { detail, .. }) if detail.contains("refused")),
            "{error:?}"
        );
    }

    #[test]
    fn each_trouble_with_a_certificate_has_its_own_advice() {
        let host = || "h".to_owned();
        let table = [
            (
                CertificateError::Expired,
                HttpError::CertificateDate { host: host() },
            ),
            (
                CertificateError::NotValidYet,
                HttpError::CertificateDate { host: host() },
            ),
            (
                CertificateError::UnknownIssuer,
                HttpError::Untrusted { host: host() },
            ),
            (
                CertificateError::NotValidForName,
                HttpError::WrongServer { host: host() },
            ),
        ];
        for (fault, expected) in table {
            let error = rustls::Error::InvalidCertificate(fault);
            assert_eq!(tls_reason(host(), &error), expected);
        }
        let other = tls_reason(host(), &rustls::Error::HandshakeNotComplete);
        assert!(matches!(other, HttpError::Tls { .. }));
    }

    #[test]
    fn loopback_never_goes_to_a_proxy() {
        let loopback = |text: &str| is_loopback(&Url::parse(text).unwrap());
        assert!(loopback("https://127.0.0.1:8443/"));
        assert!(loopback("https://[::1]/"));
        assert!(loopback("https://LOCALHOST/"));
        assert!(!loopback("https://127.0.0.1.example.com/"));
        assert!(!loopback("https://10.0.0.1/"));
    }
}
