//! The app's side of the broker's contract: a signed-in person's calls.

use std::time::Duration;

use reqwest::Method;
use sandbox::cloud::tls::https_client;
use sandbox::cloud::{Cloud, CloudConfig, MakerDevice};
use serde_json::{Value, json};

use crate::common::sign_in;

/// Answers come within milliseconds; this only keeps a broken test from hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct App {
    https: reqwest::Client,
    broker: String,
    token: String,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// Status and problem code.
    pub(crate) fn problem(&self) -> (u16, &str) {
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{}",
            self.body
        );
        (self.status, self.body["code"].as_str().unwrap())
    }

    pub(crate) fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

impl App {
    pub(crate) async fn signed_in(cloud: &Cloud, config: &CloudConfig, user: &str) -> Self {
        let tokens = sign_in(cloud, config, user).await;
        Self::with_token(cloud, tokens["access_token"].as_str().unwrap())
    }

    pub(crate) fn with_token(cloud: &Cloud, token: &str) -> Self {
        let https = https_client(&cloud.ca_pem).unwrap();
        Self {
            https,
            broker: cloud.broker_url.clone(),
            token: token.into(),
        }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self
            .https
            .request(method, format!("{}{path}", self.broker))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap()
        };
        Answer {
            status,
            headers,
            body,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn ask(&self, serial: &str, purpose: &str) -> Answer {
        self.post("/v1/claims", request(serial, purpose)).await
    }

    pub(crate) async fn claim(&self, serial: &str, purpose: &str) -> Value {
        self.ask(serial, purpose).await.ok(201)
    }

    pub(crate) async fn retire(&self, claim: &Value) {
        let path = format!("/v1/claims/{}/retire", claim["claimId"].as_str().unwrap());
        self.call(Method::POST, &path, None).await.ok(204);
    }

    /// All that happened, once `kind` is among it.
    pub(crate) async fn watch(&self, claim: &Value, kind: &str) -> Value {
        let id = claim["claimId"].as_str().unwrap();
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let all = self.get(&format!("/v1/claims/{id}/enrolment")).await.ok(200);
            let events = all["events"].as_array().unwrap();
            if events.iter().any(|event| event["kind"] == kind) {
                return all;
            }
            assert!(tokio::time::Instant::now() < until, "no {kind} in {all}");
            let seen = events.len();
            self.get(&format!("/v1/claims/{id}/enrolment?after={seen}&wait=5"))
                .await
                .ok(200);
        }
    }
}

pub(crate) fn request(serial: &str, purpose: &str) -> Value {
    json!({
        "serial": serial,
        "idempotencyKey": uuid::Uuid::from_bytes(random()).to_string(),
        "accept": ["public-key", "certificate"],
        "purpose": purpose,
    })
}

/// A cloud that knows `serials`, and an installer who is signed in.
pub(crate) async fn site(serials: &[&str]) -> (Cloud, CloudConfig, App) {
    let devices = serials.iter().map(|serial| MakerDevice::new(serial)).collect();
    site_with(CloudConfig {
        devices,
        ..CloudConfig::default()
    })
    .await
}

pub(crate) async fn site_with(config: CloudConfig) -> (Cloud, CloudConfig, App) {
    let cloud = Cloud::start(config.clone()).await.unwrap();
    let app = App::signed_in(&cloud, &config, "anna").await;
    (cloud, config, app)
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}
