//! The issuer as an app, a terminal and a browser see it, over HTTPS.

use std::time::Duration;

use crate::common::{
    CHALLENGE, VERIFIER, authorize_url, endpoint, loopback, password_of, query, sign_in, token,
};
use commission::secret::Token;
use openidconnect::core::{CoreClient, CoreProviderMetadata, CoreResponseType};
use openidconnect::{
    AuthenticationFlow, AuthorizationCode, ClientId, CsrfToken, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    PkceCodeChallenge, RedirectUrl, TokenResponse,
};
use sandbox::cloud::tls::https_client;
use sandbox::cloud::visitor::{VisitError, Visitor};
use sandbox::cloud::{Cloud, CloudConfig, CloudFaults};
use serde_json::Value;

async fn cloud() -> (Cloud, CloudConfig) {
    let config = CloudConfig {
        device_poll_interval: Duration::ZERO,
        ..CloudConfig::default()
    };
    (Cloud::start(config.clone()).await.unwrap(), config)
}

#[tokio::test]
async fn an_independent_client_signs_in_and_believes_the_id_token() {
    let (cloud, config) = cloud().await;
    let https = https_client(&cloud.ca_pem).unwrap();
    let http = async |request: HttpRequest| -> Result<HttpResponse, reqwest::Error> {
        let (parts, body) = request.into_parts();
        let request = https
            .request(parts.method, parts.uri.to_string())
            .headers(parts.headers)
            .body(body);
        let response = request.send().await?;
        let mut answer = openidconnect::http::Response::builder().status(response.status());
        *answer.headers_mut().unwrap() = response.headers().clone();
        Ok(answer.body(response.bytes().await?.to_vec()).unwrap())
    };
    let http = |request| Box::pin(http(request));

    let issuer = IssuerUrl::new(cloud.issuer_url.clone()).unwrap();
    let metadata = CoreProviderMetadata::discover_async(issuer, &http).await.unwrap();
    let redirect = RedirectUrl::new(loopback().await).unwrap();
    let client = CoreClient::from_provider_metadata(metadata, ClientId::new(cloud.client_id.clone()), None)
        .set_redirect_uri(redirect);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(
            AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .set_pkce_challenge(challenge)
        .url();

    let visitor = Visitor::new(&cloud.ca_pem).unwrap();
    let back = visitor
        .sign_in(&url, "anna", &password_of(&config, "anna"))
        .await
        .unwrap();
    assert_eq!(query(&back, "state").as_ref(), Some(state.secret()));

    let code = AuthorizationCode::new(query(&back, "code").unwrap());
    let exchange = client.exchange_code(code).unwrap().set_pkce_verifier(verifier);
    let answer = exchange.request_async(&http).await.unwrap();
    let claims = answer
        .id_token()
        .unwrap()
        .claims(&client.id_token_verifier(), &nonce)
        .unwrap();
    assert_eq!(claims.subject().as_str(), "anna");
    assert!(claims.access_token_hash().is_some());
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_code_needs_its_verifier_and_dies_with_the_first_try() {
    let (cloud, config) = cloud().await;
    let redirect_uri = loopback().await;
    let visitor = Visitor::new(&cloud.ca_pem).unwrap();
    let url = authorize_url(&cloud, &redirect_uri).await;
    let back = visitor
        .sign_in(&url, "anna", &password_of(&config, "anna"))
        .await
        .unwrap();
    let code = query(&back, "code").unwrap();
    let redeem = async |verifier: &str| {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", &*cloud.client_id),
            ("code", &*code),
            ("redirect_uri", &*redirect_uri),
            ("code_verifier", verifier),
        ];
        token(&cloud, &form).await
    };
    // The challenge is what an onlooker saw; it is no verifier.
    let (status, body) = redeem(CHALLENGE).await;
    assert_eq!((status, body["error"].as_str()), (400, Some("invalid_grant")));
    let (status, body) = redeem(VERIFIER).await;
    assert_eq!((status, body["error"].as_str()), (400, Some("invalid_grant")));
}

#[tokio::test]
async fn a_code_that_comes_twice_revokes_what_it_led_to() {
    let (cloud, config) = cloud().await;
    let redirect_uri = loopback().await;
    let visitor = Visitor::new(&cloud.ca_pem).unwrap();
    let url = authorize_url(&cloud, &redirect_uri).await;
    let back = visitor
        .sign_in(&url, "anna", &password_of(&config, "anna"))
        .await
        .unwrap();
    let code = query(&back, "code").unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &*cloud.client_id),
        ("code", &*code),
        ("redirect_uri", &*redirect_uri),
        ("code_verifier", VERIFIER),
    ];
    let (status, tokens) = token(&cloud, &form).await;
    assert_eq!(status, 200);
    assert_eq!(token(&cloud, &form).await.0, 400);
    assert_eq!(refresh(&cloud, &tokens).await.0, 400);
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_reuse_revokes_the_family() {
    let (cloud, config) = cloud().await;
    let first = sign_in(&cloud, &config, "anna").await;
    let (status, second) = refresh(&cloud, &first).await;
    assert_eq!(status, 200);
    assert_ne!(first["refresh_token"], second["refresh_token"]);

    let (status, refused) = refresh(&cloud, &first).await;
    assert_eq!((status, refused["error"].as_str()), (400, Some("invalid_grant")));
    // Whoever holds the newest token can't be told from the thief.
    assert_eq!(refresh(&cloud, &second).await.0, 400);
    // Another sign-in is another family.
    let other = sign_in(&cloud, &config, "anna").await;
    assert_eq!(refresh(&cloud, &other).await.0, 200);
}

#[tokio::test]
async fn signing_out_revokes_and_revoking_twice_is_no_error() {
    let (cloud, config) = cloud().await;
    let tokens = sign_in(&cloud, &config, "anna").await;
    let https = https_client(&cloud.ca_pem).unwrap();
    let url = endpoint(&cloud, "revocation_endpoint").await;
    for (kind, status) in [
        ("refresh_token", 200),
        ("refresh_token", 200),
        ("access_token", 400),
    ] {
        let form = [
            ("client_id", cloud.client_id.as_str()),
            ("token", tokens[kind].as_str().unwrap()),
        ];
        let answer = https.post(url.clone()).form(&form).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{kind}");
    }
    assert_eq!(refresh(&cloud, &tokens).await.0, 400);
}

#[tokio::test]
async fn a_wrong_password_shows_the_form_again_and_says_so() {
    let (cloud, _) = cloud().await;
    let visitor = Visitor::new(&cloud.ca_pem).unwrap();
    let url = authorize_url(&cloud, &loopback().await).await;
    let error = visitor
        .sign_in(&url, "anna", &Token::new("wrong"))
        .await
        .unwrap_err();
    let VisitError::Refused { status: 401, text } = error else {
        panic!("{error:?}")
    };
    assert!(text.contains("User or password is wrong."), "{text}");
}

#[tokio::test]
async fn a_denial_goes_back_to_the_app() {
    let (cloud, _) = cloud().await;
    let visitor = Visitor::new(&cloud.ca_pem).unwrap();
    let back = visitor
        .deny(&authorize_url(&cloud, &loopback().await).await)
        .await
        .unwrap();
    assert_eq!(query(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(query(&back, "state").as_deref(), Some("state-1"));
}

#[tokio::test]
async fn requests_that_break_the_rules_are_refused_at_the_right_place() {
    let (cloud, _) = cloud().await;
    let https = https_client(&cloud.ca_pem).unwrap();
    let good = authorize_url(&cloud, "http://127.0.0.1:1/callback").await;
    let changed = |name: &str, value: Option<&str>| {
        let pairs: Vec<(String, String)> = good
            .query_pairs()
            .filter_map(|(key, old)| {
                let new = if key == name {
                    value.map(ToOwned::to_owned)?
                } else {
                    old.into_owned()
                };
                Some((key.into_owned(), new))
            })
            .collect();
        let mut url = good.clone();
        url.query_pairs_mut().clear().extend_pairs(pairs);
        url
    };
    // With no good address there is nowhere to send anybody.
    for (name, value) in [
        ("client_id", Some("other")),
        ("redirect_uri", Some("http://evil.example/callback")),
        ("redirect_uri", Some("http://localhost:1/callback")),
        ("redirect_uri", Some("https://127.0.0.1:1/callback")),
        ("redirect_uri", Some("http://127.0.0.1.evil.example/callback")),
        ("redirect_uri", Some("javascript:alert(1)")),
        ("redirect_uri", None),
    ] {
        let answer = https.get(changed(name, value)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 400, "{name} {value:?}");
        assert!(answer.headers().get("location").is_none());
    }
    for (name, value, error) in [
        ("code_challenge", None, "invalid_request"),
        ("code_challenge", Some("short"), "invalid_request"),
        ("code_challenge_method", None, "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
        ("response_type", Some("token"), "unsupported_response_type"),
        ("scope", Some("profile"), "invalid_scope"),
    ] {
        let answer = https.get(changed(name, value)).send().await.unwrap();
        let back = answer.headers()["location"].to_str().unwrap().parse().unwrap();
        assert_eq!(query(&back, "error").as_deref(), Some(error), "{name} {value:?}");
    }
}

#[tokio::test]
async fn a_terminal_signs_in_with_a_device_code() {
    let (cloud, config) = cloud().await;
    let started = start_device(&cloud).await;
    let (status, body) = poll(&cloud, &started).await;
    assert_eq!(
        (status, body["error"].as_str()),
        (400, Some("authorization_pending"))
    );

    let visitor = Visitor::new(&cloud.ca_pem).unwrap();
    let page = started["verification_uri_complete"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    visitor
        .confirm_device(&page, "sam", &password_of(&config, "sam"))
        .await
        .unwrap();
    let (status, tokens) = poll(&cloud, &started).await;
    assert_eq!(status, 200, "{tokens}");
    assert!(tokens["id_token"].is_string());
    assert_eq!(refresh(&cloud, &tokens).await.0, 200);

    let (status, body) = poll(&cloud, &started).await;
    assert_eq!((status, body["error"].as_str()), (400, Some("invalid_grant")));
    let again = visitor
        .confirm_device(&page, "sam", &password_of(&config, "sam"))
        .await;
    assert!(
        matches!(again, Err(VisitError::Refused { status: 404, .. })),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_terminal_learns_of_denial_expiry_and_haste() {
    let (cloud, _) = cloud().await;
    let denied = start_device(&cloud).await;
    let page = denied["verification_uri_complete"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    Visitor::new(&cloud.ca_pem)
        .unwrap()
        .deny_device(&page)
        .await
        .unwrap();
    assert_eq!(poll(&cloud, &denied).await.1["error"], "access_denied");

    let config = CloudConfig {
        device_code_life: Duration::ZERO,
        ..CloudConfig::default()
    };
    let impatient = Cloud::start(config).await.unwrap();
    let over = start_device(&impatient).await;
    assert_eq!(poll(&impatient, &over).await.1["error"], "expired_token");

    let patient = Cloud::start(CloudConfig::default()).await.unwrap();
    let started = start_device(&patient).await;
    assert_eq!(started["interval"], 5);
    assert_eq!(poll(&patient, &started).await.1["error"], "authorization_pending");
    assert_eq!(poll(&patient, &started).await.1["error"], "slow_down");
}

#[tokio::test]
async fn every_answer_tells_the_clouds_own_time() {
    let faults = CloudFaults {
        clock_skew_s: -7 * 86_400,
        ..CloudFaults::default()
    };
    let cloud = Cloud::start(CloudConfig {
        faults,
        ..CloudConfig::default()
    })
    .await
    .unwrap();
    let https = https_client(&cloud.ca_pem).unwrap();
    for path in ["/jwks", "/nothing-here"] {
        let answer = https
            .get(format!("{}{path}", cloud.issuer_url))
            .send()
            .await
            .unwrap();
        let date = answer.headers()["date"].to_str().unwrap();
        let date = jiff::fmt::rfc2822::DateTimeParser::new()
            .parse_timestamp(date)
            .unwrap();
        let behind = jiff::Timestamp::now().as_second() - date.as_second();
        assert!((604_790..604_810).contains(&behind), "{behind}");
    }
}

async fn refresh(cloud: &Cloud, tokens: &Value) -> (u16, Value) {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", cloud.client_id.as_str()),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
    ];
    token(cloud, &form).await
}

async fn start_device(cloud: &Cloud) -> Value {
    let https = https_client(&cloud.ca_pem).unwrap();
    let url = endpoint(cloud, "device_authorization_endpoint").await;
    let form = [("client_id", cloud.client_id.as_str()), ("scope", "openid")];
    https
        .post(url)
        .form(&form)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

async fn poll(cloud: &Cloud, started: &Value) -> (u16, Value) {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", cloud.client_id.as_str()),
        ("device_code", started["device_code"].as_str().unwrap()),
    ];
    token(cloud, &form).await
}
