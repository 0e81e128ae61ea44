//! One request to AWS and its answer, with what every call shares: whose time it is there.

use std::sync::{Arc, Mutex, PoisonError};

use ::http::{Method, Request};
use commission::fault::CloudError;
use commission::time::UnixTime;
use serde::de::DeserializeOwned;
use url::Url;

use super::operation::Operation;
use super::refusal::{Reason, Refusal};
use crate::cloud::http::{Answer, Exchange, REQUEST_TIME};
use crate::ports::Clock;

/// How a call ended, other than well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// AWS refused it.
    Refused(Refusal),
    /// It did not come to an answer, or to none that can be read.
    Failed(CloudError),
}

impl Trouble {
    /// Whether AWS refused for this reason.
    pub(super) fn is(&self, reason: Reason) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.is(reason))
    }
}

impl From<CloudError> for Trouble {
    fn from(error: CloudError) -> Self {
        Self::Failed(error)
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Trouble> for CloudError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(refusal) => refusal.into(),
            Trouble::Failed(error) => error,
        }
    }
}

/// The way to AWS.
pub(super) struct Wire {
    exchange: Arc<dyn Exchange>,
    pub(super) clock: Arc<dyn Clock>,
    /// How far this computer's calendar is ahead of AWS's, in seconds; AWS's services agree among themselves.
    ahead: Mutex<Option<i64>>,
}

impl Wire {
    pub(super) fn new(exchange: Arc<dyn Exchange>, clock: Arc<dyn Clock>) -> Self {
        Self {
            exchange,
            clock,
            ahead: Mutex::new(None),
        }
    }

    /// How far this computer's calendar is ahead of AWS's; none before the first answer.
    pub(super) fn ahead(&self) -> Option<i64> {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// AWS's time now, as far as is known.
    pub(super) fn now(&self) -> UnixTime {
        UnixTime(self.clock.unix().0.saturating_sub(self.ahead().unwrap_or(0)))
    }

    /// AWS's time when this answer left it.
    pub(super) fn time_of(&self, answer: &Answer) -> UnixTime {
        answer.server_time.unwrap_or_else(|| self.now())
    }

    /// Sends it and takes a success.
    pub(super) async fn send(
        &self,
        operation: Operation,
        request: Request<Vec<u8>>,
    ) -> Result<Answer, Trouble> {
        let sent = self.exchange.exchange(request, REQUEST_TIME).await;
        let answer = sent.map_err(|error| CloudError::Unreachable(error.to_string()))?;
        if let Some(ahead) = answer.clock_ahead {
            *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        }
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(Refusal::read(operation, &answer).into())
    }
}

/// A request below a service's address; `target` is path and query, escaped.
pub(super) fn request(
    base: &Url,
    method: &Method,
    target: &str,
    content_type: Option<&str>,
    body: Vec<u8>,
) -> Result<Request<Vec<u8>>, CloudError> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{target}", base.as_str().trim_end_matches('/')));
    if let Some(content_type) = content_type {
        request = request.header(::http::header::CONTENT_TYPE, content_type);
    }
    if body.is_empty() && *method != Method::GET {
        // AWS wants it said; clients leave it out where nothing is sent.
        request = request.header(::http::header::CONTENT_LENGTH, "0");
    }
    request
        .body(body)
        .map_err(|error| CloudError::Nonsense(error.to_string()))
}

/// What the answer holds.
pub(super) fn content<T: DeserializeOwned>(operation: Operation, answer: &Answer) -> Result<T, CloudError> {
    answer
        .json()
        .map_err(|why| CloudError::Nonsense(format!("{}: {why}", operation.name())))
}

/// A name as one part of a path: all but RFC 3986's unreserved characters are escaped, as the signature wants it.
pub(super) fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_a_path_as_one_part() {
        assert_eq!(escaped("FK_7-a.b~c"), "FK_7-a.b~c");
        assert_eq!(escaped("a:b/../c é"), "a%3Ab%2F..%2Fc%20%C3%A9");
    }

    #[test]
    fn a_call_without_a_body_says_so() {
        let base = Url::parse("https://localhost:8443/").unwrap();
        let made = request(&base, &Method::POST, "/a", None, Vec::new()).unwrap();
        assert_eq!(made.uri(), "https://localhost:8443/a");
        assert_eq!(made.headers()["content-length"], "0");
        let read = request(&base, &Method::GET, "/a", None, Vec::new()).unwrap();
        assert!(read.headers().is_empty());
    }
}
