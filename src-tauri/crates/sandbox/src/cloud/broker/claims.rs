//! Devices and claims: snapshot, issue, watch, retire.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::{Duration, Instant, sleep_until};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Broker, Code, Person, Problem, Right};
use crate::cloud::http::stopped;
use crate::cloud::registry::{
    ClaimRequest, ClaimState, DeviceKeys, DeviceView, EnrolmentView, IssuedClaim, Purpose,
};

/// The longest that an answer is held, in seconds.
const WAIT_LIMIT: u64 = 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    serial: String,
    #[serde(rename = "identityKeySha256")]
    identity_key_sha256: Option<String>,
    idempotency_key: uuid::Uuid,
    accept: Vec<String>,
    purpose: Purpose,
    device_public_key_pem: Option<String>,
    device_chain_pem: Option<String>,
    tpm_endorsement_key: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Watch {
    #[serde(default)]
    after: usize,
    #[serde(default)]
    wait: u64,
}

pub(super) async fn device(
    State(broker): State<Broker>,
    person: Person,
    Path(serial): Path<String>,
) -> Result<Json<DeviceView>, Problem> {
    person.must(Right::Observe)?;
    Ok(Json(broker.0.registry.device(&serial)))
}

pub(super) async fn issue(
    State(broker): State<Broker>,
    person: Person,
    body: Bytes,
) -> Result<Response, Problem> {
    person.must(Right::Claim)?;
    let body: Body = super::read(&body)?;
    if body.purpose == Purpose::Transfer {
        person.must(Right::Transfer)?;
    }
    let faults = &broker.0.faults;
    if faults.throttles() {
        let mut problem = Problem::new(Code::Throttled, "Try again in 1 s.");
        problem.retry_after = Some(1);
        return Err(problem);
    }
    tokio::time::sleep(faults.claim_delay()).await;
    if let Some(code) = faults.now().claim_refused {
        return Err(Problem::new(code, "The claim is refused on purpose."));
    }
    if !body.accept.iter().any(|kind| kind == "certificate") {
        let detail = "This cloud's claims are certificates; the device can't take one.";
        return Err(Problem::new(Code::KindNotOffered, detail));
    }
    let keys = device_keys(&body)?;
    let request = ClaimRequest {
        serial: body.serial,
        identity_key_sha256: body.identity_key_sha256.map(|hash| hash.to_ascii_lowercase()),
        purpose: body.purpose,
    };
    let key = body.idempotency_key.to_string();
    let parts = &broker.0;
    let _one_by_one = parts.issuing.lock().await;
    if let Some(earlier) = parts.registry.may_issue(&key, &request)? {
        return Ok(broker.answer(&earlier));
    }
    let made = parts.account.claim(&parts.template.name).await?;
    let claim = parts
        .registry
        .bind(&key, request, keys, &made.certificate_id, &made.private_key)?;
    Ok(broker.answer(&claim))
}

/// What the device proved to hold, if its parts fit each other and the hash by which the maker knows the device.
fn device_keys(body: &Body) -> Result<DeviceKeys, Problem> {
    let malformed = |detail: &str| Problem::new(Code::MalformedRequest, detail);
    let chain = body.device_chain_pem.as_deref().unwrap_or_default();
    let chain: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .map(|certificate| certificate.map(|der| der.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|_| malformed("deviceChainPem can't be read."))?;
    let public_key = body
        .device_public_key_pem
        .as_deref()
        .map(|pem| SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).map(|der| der.to_vec()))
        .transpose()
        .map_err(|_| malformed("devicePublicKeyPem is no SubjectPublicKeyInfo."))?;
    if let Some(public_key) = &public_key {
        let hash = hex::encode(Sha256::digest(public_key));
        let stated = body.identity_key_sha256.as_deref().unwrap_or_default();
        if !stated.eq_ignore_ascii_case(&hash) {
            return Err(malformed(
                "devicePublicKeyPem is not the key of identityKeySha256.",
            ));
        }
    }
    if body.device_chain_pem.is_some() {
        let (_, leaf) = chain
            .first()
            .and_then(|leaf| X509Certificate::from_der(leaf).ok())
            .ok_or_else(|| malformed("deviceChainPem has no certificate that can be read."))?;
        if public_key.as_deref() != Some(leaf.public_key().raw) {
            return Err(malformed(
                "deviceChainPem is another key's than devicePublicKeyPem.",
            ));
        }
    }
    let endorsement_key = body
        .tpm_endorsement_key
        .as_deref()
        .map(|text| STANDARD.decode(text))
        .transpose()
        .map_err(|_| malformed("tpmEndorsementKey is no base64."))?;
    Ok(DeviceKeys {
        public_key,
        chain,
        endorsement_key,
    })
}

pub(super) async fn enrolment(
    State(broker): State<Broker>,
    person: Person,
    Path(claim): Path<String>,
    watch: Result<Query<Watch>, QueryRejection>,
) -> Result<Json<EnrolmentView>, Problem> {
    person.must(Right::Observe)?;
    let Query(watch) = watch.map_err(|error| Problem::new(Code::MalformedRequest, error.body_text()))?;
    let registry = &broker.0.registry;
    // Whoever listens before looking misses nothing.
    let mut changes = registry.changes();
    let mut stopping = Box::pin(stopped(broker.0.stop.clone()));
    let deadline = registry.claim_deadline(&claim).ok_or_else(not_found)?;
    let until = Instant::now() + Duration::from_secs(watch.wait.min(WAIT_LIMIT));
    let first = registry.enrolment(&claim, watch.after).ok_or_else(not_found)?;
    let (state, mut view) = (first.state, first);
    let over = matches!(state, ClaimState::Expired | ClaimState::Retired);
    while !over && view.events.is_empty() && view.state == state && Instant::now() < until {
        let expires = async {
            match deadline > Instant::now() {
                true => sleep_until(deadline).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = changes.changed() => {}
            () = expires => {}
            () = sleep_until(until) => {}
            () = &mut stopping => return Ok(Json(view)),
        }
        view = registry.enrolment(&claim, watch.after).ok_or_else(not_found)?;
    }
    Ok(Json(view))
}

pub(super) async fn retire(
    State(broker): State<Broker>,
    person: Person,
    Path(claim): Path<String>,
) -> Result<StatusCode, Problem> {
    person.must(Right::Retire)?;
    if broker.0.registry.retire(&claim) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(not_found())
    }
}

impl Broker {
    fn answer(&self, claim: &IssuedClaim) -> Response {
        let parts = &self.0;
        let body = json!({
            "claimId": claim.id,
            "kind": "certificate",
            "issuedAt": claim.issued_at,
            "expiresAt": claim.expires_at,
            "endpoint": parts.faults.now().claim_endpoint.unwrap_or_else(|| parts.endpoint.clone()),
            "caPem": parts.ca_pem,
            "templateName": parts.template.name,
            "parameters": { "SerialNumber": claim.serial },
            "cleanup": format!("/v1/claims/{}/retire", claim.id),
            "certificateId": claim.certificate_id,
            "certificatePem": claim.certificate_pem,
            "privateKeyPem": claim.private_key.reveal(),
        });
        let status = if claim.repeated {
            StatusCode::OK
        } else {
            StatusCode::CREATED
        };
        (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
    }
}

fn not_found() -> Problem {
    Problem::new(Code::ClaimNotFound, "There is no such claim.")
}
