//! The broker's own way to the AWS account: one more client of the control plane, over HTTPS, with keys and rights of its
//! own. What it is told of presence, which AWS has events for, it hears from the registry.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use commission::secret::PrivateKeyPem;
use reqwest::Method;
use serde::Deserialize;

use super::{Code, Problem};
use crate::cloud::clock::CloudClock;

/// Where detaching names the certificate.
const PRINCIPAL: &str = "x-amzn-principal";
/// How often a thing is looked at that a certificate is to leave, and at most how many times.
const LOOK_PACE: Duration = Duration::from_millis(100);
const LOOKS: usize = 300;

/// A client of the account.
pub(crate) struct Account {
    pub(crate) https: reqwest::Client,
    pub(crate) url: String,
    pub(crate) region: String,
    /// How names of certificates begin, up to their ids.
    pub(crate) certificates: String,
    pub(crate) keys: Credentials,
    pub(crate) clock: CloudClock,
}

/// A claim as AWS gives it.
pub(super) struct NewClaim {
    pub(super) certificate_id: String,
    pub(super) private_key: PrivateKeyPem,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClaimAnswer {
    certificate_id: String,
    key_pair: KeyPair,
}

#[derive(Deserialize)]
struct KeyPair {
    #[serde(rename = "PrivateKey")]
    private_key: String,
}

#[derive(Deserialize)]
struct Principals {
    principals: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Refused {
    #[serde(default)]
    message: String,
}

impl Account {
    /// CreateProvisioningClaim.
    pub(super) async fn claim(&self, template: &str) -> Result<NewClaim, Problem> {
        let path = format!("/provisioning-templates/{template}/provisioning-claim");
        let answer: ClaimAnswer = read(&self.call(Method::POST, &path, None).await?)?;
        Ok(NewClaim {
            certificate_id: answer.certificate_id,
            private_key: PrivateKeyPem::new(answer.key_pair.private_key),
        })
    }

    /// UpdateCertificate.
    pub(super) async fn set_active(&self, certificate: &str, active: bool) -> Result<(), Problem> {
        let status = if active { "ACTIVE" } else { "INACTIVE" };
        let path = format!("/certificates/{certificate}?newStatus={status}");
        self.call(Method::PUT, &path, None).await.map(drop)
    }

    /// DetachThingPrincipal, which takes its time, then DeleteCertificate.
    pub(super) async fn remove(&self, thing: &str, certificate: &str) -> Result<(), Problem> {
        let path = format!("/things/{thing}/principals");
        let arn = format!("{}{certificate}", self.certificates);
        self.call(Method::DELETE, &path, Some(&arn)).await?;
        for _ in 0..LOOKS {
            let left: Principals = read(&self.call(Method::GET, &path, None).await?)?;
            if !left.principals.contains(&arn) {
                return self.delete(certificate).await;
            }
            tokio::time::sleep(LOOK_PACE).await;
        }
        Err(Problem::new(
            Code::Unavailable,
            format!("{thing} does not let go of {certificate}. Try again later."),
        ))
    }

    /// DeleteCertificate, policies and all.
    pub(super) async fn delete(&self, certificate: &str) -> Result<(), Problem> {
        let path = format!("/certificates/{certificate}?forceDelete=true");
        self.call(Method::DELETE, &path, None).await.map(drop)
    }

    async fn call(&self, method: Method, path: &str, principal: Option<&str>) -> Result<Vec<u8>, Problem> {
        let url = format!("{}{path}", self.url);
        let mut request = self.https.request(method.clone(), &url);
        for (name, value) in self.signature(&method, &url, principal)? {
            request = request.header(name, value);
        }
        if let Some(principal) = principal {
            request = request.header(PRINCIPAL, principal);
        }
        let response = request.send().await.map_err(|_| down())?;
        let status = response.status();
        let code = response
            .headers()
            .get("x-amzn-errortype")
            .and_then(|value| value.to_str().ok());
        let code = code.unwrap_or_default().to_owned();
        let body = response.bytes().await.map_err(|_| down())?.to_vec();
        if status.is_success() {
            return Ok(body);
        }
        if code == "ThrottlingException" {
            let mut problem = Problem::new(Code::Throttled, "AWS wants it slower. Try again in 1 s.");
            problem.retry_after = Some(1);
            return Err(problem);
        }
        if status.as_u16() == 503 {
            return Err(down());
        }
        let Refused { message } = serde_json::from_slice(&body).unwrap_or_default();
        Err(Problem::new(
            Code::Internal,
            format!("AWS refused it with {code}: {message}"),
        ))
    }

    /// The headers that sign a request without a body.
    fn signature(
        &self,
        method: &Method,
        url: &str,
        principal: Option<&str>,
    ) -> Result<Vec<(&'static str, String)>, Problem> {
        let identity = self.keys.clone().into();
        let seconds = u64::try_from(self.clock.now()).unwrap_or(0);
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("iot")
            .time(UNIX_EPOCH + Duration::from_secs(seconds))
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| Problem::internal())?
            .into();
        let headers = principal.map(|principal| (PRINCIPAL, principal)).into_iter();
        let signable = SignableRequest::new(method.as_str(), url, headers, SignableBody::Bytes(&[]))
            .map_err(|_| Problem::internal())?;
        let (instructions, _) = sign(signable, &params)
            .map_err(|_| Problem::internal())?
            .into_parts();
        let (added, _) = instructions.into_parts();
        Ok(added
            .iter()
            .map(|header| (header.name(), header.value().to_owned()))
            .collect())
    }
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::new(
            Code::Internal,
            format!("AWS answered with something else: {error}"),
        )
    })
}

fn down() -> Problem {
    let mut problem = Problem::new(Code::Unavailable, "AWS does not answer. Try again later.");
    problem.retry_after = Some(1);
    problem
}
