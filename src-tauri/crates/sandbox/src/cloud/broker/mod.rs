//! The broker: what `broker.openapi.yaml` of the engine says, served over HTTPS.
//!
//! Handlers check the person's rights and turn requests into questions to the registry. Not for: rules about devices,
//! claims and things, which are the registry's.

mod account;
mod claims;
mod person;
mod problem;
mod things;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;

pub use self::problem::Code;

pub(crate) use self::account::Account;
pub(crate) use self::person::{Right, TokenVerifier};
pub(crate) use self::problem::Problem;

use self::person::Person;
use super::Endpoint;
use super::clock::CloudClock;
use super::faults::Faults;
use super::mqtt::Template;
use super::registry::Registry;

/// What all handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Broker(pub(crate) Arc<BrokerParts>);

pub(crate) struct BrokerParts {
    pub(crate) registry: Registry,
    pub(crate) faults: Faults,
    pub(crate) clock: CloudClock,
    pub(crate) verifier: TokenVerifier,
    pub(crate) template: Arc<Template>,
    pub(crate) account: Account,
    /// One claim is made after the other, so that two requests with one key make one.
    pub(crate) issuing: tokio::sync::Mutex<()>,
    /// Where devices go with a claim.
    pub(crate) endpoint: Endpoint,
    /// What devices trust there.
    pub(crate) ca_pem: String,
    /// What is told before a claim is asked for.
    pub(crate) claim_life_seconds: u64,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Broker {
    pub(crate) fn router(&self) -> Router {
        let principal = "/v1/things/{name}/principals/{principal}";
        Router::new()
            .route("/v1/preflight", get(preflight))
            .route("/v1/devices/{serial}", get(claims::device))
            .route("/v1/claims", post(claims::issue))
            .route("/v1/claims/{claim}/enrolment", get(claims::enrolment))
            .route("/v1/claims/{claim}/retire", post(claims::retire))
            .route("/v1/things", get(things::released))
            .route("/v1/things/{name}/release", post(things::release))
            .route(principal, delete(things::delete))
            .route(&format!("{principal}/deactivate"), post(things::deactivate))
            .route(&format!("{principal}/activate"), post(things::activate))
            .fallback(nothing_here)
            .method_not_allowed_fallback(nothing_here)
            .layer(axum::middleware::from_fn_with_state(self.clone(), up))
            .with_state(self.clone())
    }
}

async fn preflight(State(broker): State<Broker>, person: Person) -> Json<Value> {
    let parts = &broker.0;
    let faults = parts.faults.now();
    Json(json!({
        "serverTime": parts.clock.now(),
        "cloud": "aws-iot",
        "person": { "subject": person.subject, "name": person.name, "roles": person.roles },
        "rights": person.rights(),
        "template": {
            "name": parts.template.name,
            "enabled": !faults.template_disabled,
            "parameters": parts.template.parameters(),
        },
        "endpoint": parts.endpoint,
        "claimLifeSeconds": faults.claim_life_ms.map_or(parts.claim_life_seconds, |life| life / 1000).max(1),
    }))
}

/// A JSON body, whatever its content type says.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::new(Code::MalformedRequest, error.to_string()))
}

async fn nothing_here() -> Problem {
    Problem::new(
        Code::NoSuchResource,
        "Check the broker's address in the organisation profile.",
    )
}

async fn up(State(broker): State<Broker>, request: Request, next: Next) -> Response {
    if broker.0.faults.now().broker_down {
        let mut problem = Problem::new(
            Code::Unavailable,
            "The cloud behind the broker is down. Try again later.",
        );
        problem.retry_after = Some(1);
        return problem.into_response();
    }
    next.run(request).await
}
