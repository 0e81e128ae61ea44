//! Device authorization (RFC 8628): a terminal shows a code, a person confirms it in any browser.

use axum::Json;
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Duration, Instant};

use super::state::{DeviceAnswer, DeviceGrant, Fingerprint, IssuerState, SignIn, fingerprint};
use super::{Issuer, NO_STORE, OauthError, page};

/// RFC 8628, 3.5: how much slower a client must poll after `slow_down`.
const SLOW_DOWN: Duration = Duration::from_secs(5);

/// RFC 8628, 6.1 suggests letters that make no words and are not mixed up.
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

#[derive(Deserialize)]
pub(super) struct Start {
    client_id: Option<String>,
    #[serde(default)]
    scope: String,
}

#[derive(Deserialize)]
pub(super) struct Show {
    #[serde(default)]
    user_code: String,
}

#[derive(Deserialize)]
pub(super) struct Submission {
    #[serde(default)]
    user_code: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    consent: String,
}

pub(super) async fn start(
    State(issuer): State<Issuer>,
    Form(start): Form<Start>,
) -> Result<Response, OauthError> {
    let client_id = start
        .client_id
        .filter(|id| *id == issuer.0.config.client_id)
        .ok_or(OauthError::new(
            "invalid_client",
            "This app is not registered here.",
        ))?;
    let device_code = crate::cloud::random_name().ok_or_else(OauthError::server)?;
    let user_code = user_code().ok_or_else(OauthError::server)?;
    let (life, interval) = (
        issuer.0.config.device_code_life,
        issuer.0.config.device_poll_interval,
    );
    let grant = DeviceGrant {
        client_id,
        scope: start.scope,
        user_code: user_code.clone(),
        deadline: Instant::now() + life,
        interval,
        last_poll: None,
        answer: DeviceAnswer::Pending,
    };
    issuer.state().devices.insert(fingerprint(&device_code), grant);
    let page = issuer.path("/device");
    let body = json!({
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={user_code}"),
        "expires_in": life.as_secs(),
        "interval": interval.as_secs(),
    });
    Ok((NO_STORE, Json(body)).into_response())
}

pub(super) async fn show(State(issuer): State<Issuer>, Query(show): Query<Show>) -> Response {
    form(&issuer, &show.user_code, None, StatusCode::OK)
}

pub(super) async fn submit(State(issuer): State<Issuer>, Form(submission): Form<Submission>) -> Response {
    let wanted = normal(&submission.user_code);
    let now = Instant::now();
    let mut state = issuer.state();
    let family = state.new_family();
    let grant = state.devices.values_mut().find(|grant| {
        normal(&grant.user_code) == wanted
            && grant.deadline > now
            && matches!(grant.answer, DeviceAnswer::Pending)
    });
    let Some(grant) = grant else {
        let fault = "This code is not known or is over. Compare it with the one in your terminal.";
        return form(&issuer, &submission.user_code, Some(fault), StatusCode::NOT_FOUND);
    };
    if submission.consent == "deny" {
        grant.answer = DeviceAnswer::Denied;
        return page::message(
            StatusCode::OK,
            "Denied",
            "The terminal was not signed in. You can close this page.",
        );
    }
    let Some(user) = issuer.user(&submission.username, &submission.password) else {
        let fault = Some("User or password is wrong.");
        return form(&issuer, &submission.user_code, fault, StatusCode::UNAUTHORIZED);
    };
    grant.answer = DeviceAnswer::Granted(SignIn {
        family,
        subject: user.subject.clone(),
        client_id: grant.client_id.clone(),
        scope: grant.scope.clone(),
        nonce: None,
        auth_time: issuer.0.clock.now(),
    });
    page::message(
        StatusCode::OK,
        "Signed in",
        "Go back to your terminal. You can close this page.",
    )
}

/// One poll with a device code (RFC 8628, 3.5). A granted code is gone after it.
pub(super) fn poll(
    state: &mut IssuerState,
    device_code: &str,
    client_id: &str,
) -> Result<SignIn, OauthError> {
    let key: Fingerprint = fingerprint(device_code);
    let now = Instant::now();
    let grant = state
        .devices
        .get_mut(&key)
        .filter(|grant| grant.client_id == client_id)
        .ok_or(OauthError::new(
            "invalid_grant",
            "This device code is not known or was used.",
        ))?;
    if grant.deadline <= now {
        return Err(OauthError::new(
            "expired_token",
            "The device code is over. Start again.",
        ));
    }
    let early = grant
        .last_poll
        .is_some_and(|last| now.duration_since(last) < grant.interval);
    grant.last_poll = Some(now);
    if early {
        grant.interval += SLOW_DOWN;
        return Err(OauthError::new(
            "slow_down",
            "Poll five seconds less often from now on.",
        ));
    }
    match &grant.answer {
        DeviceAnswer::Pending => Err(OauthError::new(
            "authorization_pending",
            "Nobody has confirmed the code yet.",
        )),
        DeviceAnswer::Denied => Err(OauthError::new("access_denied", "The person said no.")),
        DeviceAnswer::Granted(sign_in) => {
            let sign_in = sign_in.clone();
            state.devices.remove(&key);
            Ok(sign_in)
        }
    }
}

fn form(issuer: &Issuer, user_code: &str, fault: Option<&str>, status: StatusCode) -> Response {
    let form = page::Form {
        action: &issuer.path("/device"),
        asks: "A terminal wants to act for you. Go on only if it shows the same code.",
        extra: &[(Some("Code"), "user_code", user_code)],
        fault,
    };
    form.response(status)
}

/// How people type codes: lower case, blanks, no hyphen (RFC 8628, 6.1).
fn normal(user_code: &str) -> String {
    user_code
        .chars()
        .filter(char::is_ascii_alphabetic)
        .map(|c| c.to_ascii_uppercase())
        .collect()
}

/// Eight letters, hyphen in the middle; bytes that would favour some letters are thrown away.
fn user_code() -> Option<String> {
    let mut code = String::with_capacity(9);
    while code.len() < 9 {
        let mut byte = [0_u8];
        getrandom::fill(&mut byte).ok()?;
        let [byte] = byte;
        if byte < 240 {
            code.push(char::from(*ALPHABET.get(usize::from(byte % 20))?));
            if code.len() == 4 {
                code.push('-');
            }
        }
    }
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_codes_are_read_as_people_type_them() {
        let code = user_code().unwrap();
        assert_eq!(code.len(), 9);
        assert_eq!(normal(&code), normal(&code.to_lowercase().replace('-', " ")));
    }
}
