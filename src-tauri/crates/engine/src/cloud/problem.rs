//! What a refusal says: `application/problem+json` (RFC 9457) as `broker.openapi.yaml` narrows it, and everything
//! that proxies and broken servers send instead.
//!
//! Read once, here. What comes out is safe to show and to log: short, without control characters, never guessed.

use std::time::Duration;

use ::http::StatusCode;
use ::http::header::{HeaderMap, RETRY_AFTER};
use commission::fault::CloudError;
use serde_json::Value;

use crate::cloud::http::Answer;

/// Longer words are cut here; more does not fit a person's screen.
const MAX_WORDS: usize = 300;
/// Longer codes are none.
const MAX_CODE: usize = 64;
/// A server that wants us to stay away longer is taken to have said this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The status of the answer, whatever its body says.
    pub status: u16,
    /// The stable code; none where the answer is not one of our contract.
    pub code: Option<String>,
    /// What was wrong, for a person: `detail`, else `title`, else nothing.
    pub words: String,
    /// Seconds to wait, where said.
    pub retry_after: Option<u32>,
}

impl Problem {
    /// Reads an answer whose status is no success.
    pub fn read(answer: &Answer) -> Self {
        let body = match answer.media_type().as_str() {
            "application/problem+json" | "application/json" => {
                serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
            }
            _ => Value::Null,
        };
        let member = |name: &str| body.get(name).and_then(Value::as_str);
        Self {
            status: answer.status.as_u16(),
            code: member("code").filter(|code| is_code(code)).map(str::to_owned),
            words: member("detail")
                .map(words)
                .filter(|words| !words.is_empty())
                .or_else(|| member("title").map(words))
                .unwrap_or_default(),
            retry_after: retry_after(&answer.headers),
        }
    }

    /// Whether this is the given code.
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// As the flow sees it.
    pub fn into_error(self) -> CloudError {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status == StatusCode::TOO_MANY_REQUESTS || self.is("throttled") {
            return CloudError::Throttled {
                retry_after: self.retry_after,
            };
        }
        if status.is_server_error() {
            return match self.retry_after {
                Some(_) => CloudError::Throttled {
                    retry_after: self.retry_after,
                },
                None => CloudError::Unreachable(self.outage()),
            };
        }
        match self.code {
            Some(code) => CloudError::Refused {
                code,
                message: self.words,
            },
            None if status.is_redirection() => CloudError::Nonsense(format!(
                "it points elsewhere (status {}); check the cloud's address in the organisation profile",
                self.status
            )),
            None => CloudError::Nonsense(format!(
                "status {} without a reason of its own; a proxy or another service may have answered",
                self.status
            )),
        }
    }

    fn outage(&self) -> String {
        match (&self.code, self.words.as_str()) {
            (_, words) if !words.is_empty() => words.to_owned(),
            (Some(code), _) => format!("it answers {} ({code})", self.status),
            (None, _) => format!("it answers {}", self.status),
        }
    }
}

/// A code is what a program compares: lower case words with hyphens.
fn is_code(text: &str) -> bool {
    (1..=MAX_CODE).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Text from outside that may stand on a screen or in a terminal: one line, no control characters, not too long.
pub(crate) fn words(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    commission::text::shown(&words.join(" "), MAX_WORDS)
}

/// `Retry-After` in its form of seconds, which is the contract's; a date is taken as not said.
fn retry_after(headers: &HeaderMap) -> Option<u32> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    u32::try_from(seconds.min(MAX_RETRY_AFTER.as_secs())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::answer;

    fn problem(status: u16, media_type: &str, body: &str) -> Problem {
        let mut answer = answer(status, body);
        answer.headers.insert("content-type", media_type.parse().unwrap());
        Problem::read(&answer)
    }

    #[test]
    fn a_refusal_of_the_contract_is_read_as_it_is() {
        let body = r#"{"type":"urn:fieldkey:problem:owned-by-other","title":"Belongs to someone else","status":409,
            "detail":"FK-1 belongs to another organisation.","code":"owned-by-other","extra":[1]}"#;
        let read = problem(409, "application/problem+json; charset=utf-8", body);
        assert_eq!(
            read.into_error(),
            CloudError::Refused {
                code: "owned-by-other".into(),
                message: "FK-1 belongs to another organisation.".into()
            }
        );
    }

    #[test]
    fn strange_bodies_have_no_code_and_keep_the_status_of_the_answer() {
        let table: &[(&str, &str)] = &[
            ("application/problem+json", ""),
            ("application/problem+json", "null"),
            ("application/problem+json", "[]"),
            ("application/problem+json", "\"throttled\""),
            ("application/problem+json", "{"),
            ("application/problem+json", r#"{"code":42,"status":200}"#),
            ("application/problem+json", r#"{"code":""}"#),
            ("application/problem+json", r#"{"code":"Two Words"}"#),
            ("application/problem+json", "{\"code\":\"a\u{1b}[2J\"}"),
            ("text/html", r#"{"code":"unknown-device"}"#),
            ("", r#"{"code":"unknown-device"}"#),
        ];
        for (media_type, body) in table {
            let read = problem(404, media_type, body);
            assert_eq!((read.status, &read.code), (404, &None), "{media_type} {body}");
            assert!(matches!(read.into_error(), CloudError::Nonsense(_)), "{body}");
        }
        let long = format!(r#"{{"code":"{}"}}"#, "a".repeat(65));
        assert_eq!(problem(409, "application/problem+json", &long).code, None);
    }

    #[test]
    fn each_status_leads_to_what_can_be_done_about_it() {
        let json = "application/problem+json";
        let table: &[(u16, &str, bool)] = &[
            (429, "", true),
            (429, r#"{"code":"throttled"}"#, true),
            (500, r#"{"code":"internal"}"#, true),
            (502, "", true),
            (503, r#"{"code":"unavailable","detail":"Down."}"#, true),
            (504, "", true),
            (400, r#"{"code":"malformed-request"}"#, false),
            (302, "", false),
            (418, "", false),
        ];
        for (status, body, passing) in table {
            let error = problem(*status, json, body).into_error();
            assert_eq!(error.is_passing(), *passing, "{status} {body}: {error:?}");
        }
        assert_eq!(
            problem(503, json, r#"{"code":"unavailable","detail":"Down."}"#).into_error(),
            CloudError::Unreachable("Down.".into())
        );
    }

    #[test]
    fn retry_after_counts_whole_seconds_only() {
        let table = [
            ("3", Some(3)),
            (" 7 ", Some(7)),
            ("0", Some(0)),
            ("99999999", Some(3600)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("Thu, 01 Jan 2026 00:00:00 GMT", None),
        ];
        for (text, expected) in table {
            let mut answer = answer(429, "");
            answer.headers.insert("retry-after", text.parse().unwrap());
            assert_eq!(Problem::read(&answer).retry_after, expected, "{text}");
        }
    }

    #[test]
    fn words_from_outside_cannot_play_with_the_terminal() {
        assert_eq!(words("a\u{1b}[31mred\r\n\tb\u{202e}c"), "a[31mred bc");
        assert_eq!(words("  \n "), "");
        let long = words(&"ä".repeat(1000));
        assert_eq!(long.chars().count(), MAX_WORDS + 1);
    }
}
