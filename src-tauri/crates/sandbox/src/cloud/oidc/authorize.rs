//! The authorization endpoint (RFC 6749, 4.1; RFC 7636): a person signs in and agrees, the app gets a code. A browser
//! that somebody has signed in with stays so, until it is told otherwise: the app gets a code at once then, unless it
//! wants the person to be asked.

use axum::extract::{Form, Query, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tokio::time::{Duration, Instant};
use url::Url;

use super::state::{AuthorizationRequest, Browser, Code, SignIn, fingerprint};
use super::{Issuer, page};

/// RFC 6749, 4.1.2 recommends ten minutes at most; an app redeems a code within seconds.
const CODE_LIFE: Duration = Duration::from_secs(60);
/// The browser's cookie.
const SESSION: &str = "session";

#[derive(Deserialize)]
pub(super) struct Request {
    client_id: Option<String>,
    redirect_uri: Option<String>,
    response_type: Option<String>,
    scope: Option<String>,
    state: Option<String>,
    nonce: Option<String>,
    prompt: Option<String>,
    max_age: Option<i64>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Submission {
    request: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    consent: String,
}

pub(super) async fn show(
    State(issuer): State<Issuer>,
    headers: HeaderMap,
    Query(request): Query<Request>,
) -> Response {
    // Until client and address are known to be good, nobody is sent anywhere (RFC 6749, 4.1.2.1).
    if request.client_id.as_deref() != Some(&issuer.0.config.client_id) {
        return refusal("This app is not registered here.");
    }
    let Some(redirect_uri) = request
        .redirect_uri
        .clone()
        .filter(|uri| issuer.redirect_is_allowed(uri))
    else {
        return refusal("The app wants its answer at an address that is not registered.");
    };
    let state = request.state.clone();
    let known = known(&issuer, &headers, &request);
    // Nobody may be asked, and nobody is known.
    let unknown = known.is_none() && request.prompt.as_deref() == Some("none");
    match check(request, redirect_uri.clone()) {
        Err(error) => send_back(&redirect_uri, &[("error", error)], state.as_deref()),
        Ok(_) if unknown => send_back(&redirect_uri, &[("error", "login_required")], state.as_deref()),
        Ok(sign_in) => match (known, crate::cloud::random_name()) {
            (Some(browser), _) => grant(&issuer, sign_in, browser),
            (None, None) => failure(),
            (None, Some(id)) => {
                issuer.state().sign_ins.insert(id.clone(), sign_in);
                form(&issuer, &id, None, StatusCode::OK)
            }
        },
    }
}

pub(super) async fn submit(State(issuer): State<Issuer>, Form(form_data): Form<Submission>) -> Response {
    let Submission {
        request: id,
        username,
        password,
        consent,
    } = form_data;
    let Some(request) = issuer.state().sign_ins.get(&id).cloned() else {
        return refusal("This sign-in is over. Start again from the app.");
    };
    if consent == "deny" {
        issuer.state().sign_ins.remove(&id);
        return send_back(
            &request.redirect_uri,
            &[("error", "access_denied")],
            request.state.as_deref(),
        );
    }
    let Some(user) = issuer.user(&username, &password) else {
        return form(
            &issuer,
            &id,
            Some("User or password is wrong."),
            StatusCode::UNAUTHORIZED,
        );
    };
    let Some(cookie) = crate::cloud::random_name() else {
        return failure();
    };
    let browser = Browser {
        subject: user.subject.clone(),
        auth_time: issuer.0.clock.now(),
    };
    let mut state = issuer.state();
    state.sign_ins.remove(&id);
    state.browsers.insert(fingerprint(&cookie), browser.clone());
    drop(state);
    let cookie = format!("{SESSION}={cookie}; Path=/; Secure; HttpOnly; SameSite=Lax");
    ([(SET_COOKIE, cookie)], grant(&issuer, request, browser)).into_response()
}

/// RP-Initiated Logout 1.0: the browser is nobody's again.
pub(super) async fn end_session(State(issuer): State<Issuer>, headers: HeaderMap) -> Response {
    if let Some(cookie) = cookie(&headers) {
        issuer.state().browsers.remove(&fingerprint(cookie));
    }
    page::message(
        StatusCode::OK,
        "Signed out",
        "This browser is signed in as nobody.",
    )
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get(COOKIE)?.to_str().ok()?;
    cookies
        .split(';')
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(name, value)| (name == SESSION).then_some(value))
}

/// Who is signed in with this browser, unless they are to be asked all the same (OpenID Connect Core 1.0, 3.1.2.1).
fn known(issuer: &Issuer, headers: &HeaderMap, request: &Request) -> Option<Browser> {
    if matches!(request.prompt.as_deref(), Some("login" | "select_account")) {
        return None;
    }
    let browser = issuer
        .state()
        .browsers
        .get(&fingerprint(cookie(headers)?))
        .cloned()?;
    let age = issuer.0.clock.now().saturating_sub(browser.auth_time);
    // A second's reading of the clock is no age.
    (request.max_age != Some(0) && request.max_age.is_none_or(|most| age <= most)).then_some(browser)
}

fn grant(issuer: &Issuer, request: AuthorizationRequest, browser: Browser) -> Response {
    let Some(code) = crate::cloud::random_name() else {
        return failure();
    };
    let mut state = issuer.state();
    let sign_in = SignIn {
        family: state.new_family(),
        subject: browser.subject,
        client_id: request.client_id,
        scope: request.scope,
        nonce: request.nonce,
        auth_time: browser.auth_time,
    };
    let grant = Code {
        sign_in,
        redirect_uri: request.redirect_uri.clone(),
        code_challenge: request.code_challenge,
        deadline: Instant::now() + CODE_LIFE,
        used: false,
    };
    state.codes.insert(fingerprint(&code), grant);
    drop(state);
    send_back(
        &request.redirect_uri,
        &[("code", &code)],
        request.state.as_deref(),
    )
}

fn check(request: Request, redirect_uri: String) -> Result<AuthorizationRequest, &'static str> {
    if request.response_type.as_deref() != Some("code") {
        return Err("unsupported_response_type");
    }
    let scope = request.scope.unwrap_or_default();
    if !scope.split(' ').any(|scope| scope == "openid") {
        return Err("invalid_scope");
    }
    let code_challenge = request.code_challenge.filter(|challenge| challenge.len() == 43);
    let (Some(code_challenge), Some("S256")) = (code_challenge, request.code_challenge_method.as_deref())
    else {
        return Err("invalid_request");
    };
    Ok(AuthorizationRequest {
        client_id: request.client_id.unwrap_or_default(),
        redirect_uri,
        scope,
        state: request.state,
        nonce: request.nonce,
        code_challenge,
    })
}

fn form(issuer: &Issuer, id: &str, fault: Option<&str>, status: StatusCode) -> Response {
    let form = page::Form {
        action: &issuer.path("/authorize"),
        asks: "Fieldkey will see your name, address and roles, and act for you until you sign out.",
        extra: &[(None, "request", id)],
        fault,
    };
    form.response(status)
}

fn send_back(redirect_uri: &str, answer: &[(&str, &str)], state: Option<&str>) -> Response {
    let Ok(mut url) = Url::parse(redirect_uri) else {
        return refusal("The app wants its answer at an address that is none.");
    };
    url.query_pairs_mut()
        .extend_pairs(answer)
        .extend_pairs(state.map(|state| ("state", state)));
    Redirect::to(url.as_str()).into_response()
}

fn refusal(text: &str) -> Response {
    page::message(StatusCode::BAD_REQUEST, "Sign-in is not possible", text)
}

fn failure() -> Response {
    page::message(
        StatusCode::INTERNAL_SERVER_ERROR,
        "Sign-in is not possible",
        "The issuer is out of order.",
    )
}
