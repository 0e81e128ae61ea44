//! What the cloud's tests share: a cloud, a signed-in person, an app that listens for its redirect.

use commission::secret::Token;
use sandbox::cloud::tls::https_client;
use sandbox::cloud::visitor::Visitor;
use sandbox::cloud::{Cloud, CloudConfig};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

/// RFC 7636, appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) fn password_of(config: &CloudConfig, user: &str) -> Token {
    config
        .users
        .iter()
        .find(|known| known.subject == user)
        .unwrap()
        .password
        .clone()
}

pub(crate) async fn endpoint(cloud: &Cloud, name: &str) -> Url {
    let discovery = format!("{}/.well-known/openid-configuration", cloud.issuer_url);
    let https = https_client(&cloud.ca_pem).unwrap();
    let body: Value = https.get(discovery).send().await.unwrap().json().await.unwrap();
    body[name].as_str().unwrap().parse().unwrap()
}

/// An app that waits for its redirect on a random port and thanks the browser.
pub(crate) async fn loopback() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
        }
    });
    format!("http://127.0.0.1:{port}/callback")
}

pub(crate) async fn authorize_url(cloud: &Cloud, redirect_uri: &str) -> Url {
    let mut url = endpoint(cloud, "authorization_endpoint").await;
    url.query_pairs_mut().extend_pairs([
        ("client_id", cloud.client_id.as_str()),
        ("redirect_uri", redirect_uri),
        ("response_type", "code"),
        ("scope", "openid profile email offline_access"),
        ("state", "state-1"),
        ("nonce", "nonce-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    url
}

pub(crate) fn query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

pub(crate) async fn token(cloud: &Cloud, form: &[(&str, &str)]) -> (u16, Value) {
    let https = https_client(&cloud.ca_pem).unwrap();
    let url = endpoint(cloud, "token_endpoint").await;
    let response = https.post(url).form(form).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Signs a person in, through the browser, and gives the token answer.
pub(crate) async fn sign_in(cloud: &Cloud, config: &CloudConfig, user: &str) -> Value {
    let redirect_uri = loopback().await;
    let visitor = Visitor::new(&cloud.ca_pem).unwrap();
    let url = authorize_url(cloud, &redirect_uri).await;
    let back = visitor
        .sign_in(&url, user, &password_of(config, user))
        .await
        .unwrap();
    let code = query(&back, "code").unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &cloud.client_id),
        ("code", &code),
        ("redirect_uri", &redirect_uri),
        ("code_verifier", VERIFIER),
    ];
    let (status, body) = token(cloud, &form).await;
    assert_eq!(status, 200, "{body}");
    body
}
