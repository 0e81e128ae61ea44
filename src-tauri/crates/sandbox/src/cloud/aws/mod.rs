//! An AWS account on loopback: IAM's say, Cognito's identity pools, the security token service, and the control and data
//! plane of AWS IoT over the same registry that the broker and the MQTT server have.
//!
//! ```text
//! ID token ─► cognito | sts ─► keys ─► sigv4 ─► iam ─► iot ─► registry
//! ```
//!
//! All of them answer at one address, as each request says which it is for. Not here: S3, rules, jobs, fleet indexing but
//! for connectivity, several accounts or regions.

mod cognito;
mod iam;
mod identity;
mod iot;
mod keys;
mod operation;
mod refusal;
mod sigv4;
mod sts;

use std::sync::Arc;

use aws_credential_types::Credentials;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use commission::secret::Token;
use engine::cloud::aws::operation::Role as Work;
use engine::cloud::aws::policy::Account;
use tokio::time::Duration;

pub(crate) use self::iam::may_connect;
pub(crate) use self::refusal::Refusal;

use self::cognito::Identities;
use self::iam::{Policy, Principal};
use self::identity::Provider;
use self::keys::KeyStore;
use self::sigv4::{Claimed, Here};
use super::clock::CloudClock;
use super::faults::Faults;
use super::mqtt::Template;
use super::registry::Registry;
use super::{CloudConfig, Endpoint, Strategy};
use crate::ca::Authority;

/// The account that AWS's documentation has for examples.
const ACCOUNT: &str = "123456789012";
/// A request of AWS IoT is smaller.
const BODY_LIMIT: usize = 256 * 1024;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const SESSION: &str = "x-amz-security-token";
/// The account's own user: whoever sets it up. No person of the issuer has these keys.
const ADMINISTRATOR: &str =
    r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#;
/// What the organisation's broker may do in the account.
const BROKER: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": [
    "iot:CreateProvisioningClaim", "iot:UpdateCertificate", "iot:DetachThingPrincipal", "iot:ListThingPrincipals",
    "iot:DeleteCertificate"], "Resource": "*"}]}"#;
/// The policy that the default template gives devices.
pub(crate) const DEVICE_POLICY: &str =
    r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}"#;

/// How the account is reached, and as whom.
#[derive(Debug, Clone)]
pub struct AwsAccess {
    /// Where all services answer.
    pub url: String,
    /// The account's number.
    pub account: String,
    /// Its region.
    pub region: String,
    /// The identity pool that trusts the issuer.
    pub identity_pool: String,
    /// The role that installers may assume.
    pub installer_role: String,
    /// The role that support may assume.
    pub support_role: String,
    /// Lasting keys of the account's administrator: the id.
    pub admin_key: String,
    /// And the secret.
    pub admin_secret: Token,
}

/// The account. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Aws(Arc<AwsParts>);

pub(crate) struct AwsParts {
    account: Account,
    pool: String,
    registry: Registry,
    faults: Faults,
    clock: CloudClock,
    template: Arc<Template>,
    devices: Arc<Authority>,
    endpoint: Endpoint,
    provider: Provider,
    keys: KeyStore,
    identities: Identities,
    roles: Roles,
    /// When the account was made, in Unix seconds.
    made_at: i64,
    /// The type of its template.
    kind: &'static str,
}

/// What the account is made of.
pub(crate) struct Make<'a> {
    pub(crate) config: &'a CloudConfig,
    pub(crate) issuer: &'a str,
    pub(crate) https: reqwest::Client,
    pub(crate) registry: Registry,
    pub(crate) faults: Faults,
    pub(crate) clock: CloudClock,
    pub(crate) template: Arc<Template>,
    pub(crate) devices: Arc<Authority>,
    /// Where devices go.
    pub(crate) endpoint: Endpoint,
}

/// A role that people of the issuer may assume.
pub(super) struct Role {
    name: &'static str,
    /// The issuer's own role that it takes.
    wants: &'static str,
    arn: String,
    policy: Policy,
}

/// The roles, the widest first.
pub(super) struct Roles([Role; 2]);

impl Roles {
    /// With the policies that Fieldkey itself prints for an account: what is missing in them fails here.
    fn new(account: &Account) -> Result<Self, String> {
        let role = |name, wants, work| {
            Ok::<_, String>(Role {
                name,
                wants,
                arn: format!("arn:aws:iam::{}:role/{name}", account.account),
                policy: Policy::read(&account.policy(work).to_string())?,
            })
        };
        Ok(Self([
            role("FieldkeySupport", "support", Work::Support)?,
            role("FieldkeyInstaller", "installer", Work::Installer)?,
        ]))
    }

    fn for_person(&self, own: &[String]) -> Option<&Role> {
        self.0.iter().find(|role| own.iter().any(|own| own == role.wants))
    }

    fn by_arn(&self, arn: &str) -> Option<&Role> {
        self.0.iter().find(|role| role.arn == arn)
    }
}

impl Aws {
    /// None if the system gives no randomness, or the policies that Fieldkey prints are none.
    pub(crate) fn new(make: Make<'_>) -> Option<Self> {
        let account = Account {
            partition: "aws".into(),
            region: make.config.region.clone(),
            account: ACCOUNT.into(),
            template: make.template.name.clone(),
            things: "*".into(),
        };
        Some(Self(Arc::new(AwsParts {
            pool: format!("{}:5a9d4f36-7c1b-4e08-9c6d-2b1f0e3a7d54", account.region),
            roles: Roles::new(&account).ok()?,
            account,
            provider: Provider::new(
                make.issuer,
                &make.config.client_id,
                make.https,
                make.clock.clone(),
            ),
            keys: KeyStore::new(make.config.witness.clone()),
            identities: Identities::default(),
            made_at: make.clock.now(),
            kind: match make.config.strategy {
                Strategy::Jitp => "JITP",
                _ => "FLEET_PROVISIONING",
            },
            registry: make.registry,
            faults: make.faults,
            clock: make.clock,
            template: make.template,
            devices: make.devices,
            endpoint: make.endpoint,
        })))
    }

    /// How it is reached at `url`. None if the system gives no randomness.
    pub(crate) fn access(&self, url: String) -> Option<AwsAccess> {
        let parts = &self.0;
        let administrator = Principal {
            arn: format!("arn:aws:iam::{ACCOUNT}:user/administrator"),
            policy: Policy::read(ADMINISTRATOR).ok()?,
            session: None,
        };
        let keys = parts.keys.make(administrator, None)?;
        let [support, installer] = &parts.roles.0;
        Some(AwsAccess {
            url,
            account: ACCOUNT.into(),
            region: parts.account.region.clone(),
            identity_pool: parts.pool.clone(),
            installer_role: installer.arn.clone(),
            support_role: support.arn.clone(),
            admin_key: keys.id,
            admin_secret: keys.secret,
        })
    }

    /// Lasting keys of the organisation's broker, and how names of certificates begin. None if the system gives no
    /// randomness.
    pub(crate) fn broker(&self) -> Option<(Credentials, String)> {
        let parts = &self.0;
        let broker = Principal {
            arn: format!("arn:aws:iam::{ACCOUNT}:user/broker"),
            policy: Policy::read(BROKER).ok()?,
            session: None,
        };
        let keys = parts.keys.make(broker, None)?;
        let credentials = Credentials::new(keys.id, keys.secret.reveal(), None, None, "sandbox");
        Some((credentials, parts.account.resource("cert", "")))
    }

    pub(crate) fn router(&self) -> Router {
        Router::new().fallback(serve).with_state(self.clone())
    }
}

async fn serve(State(Aws(aws)): State<Aws>, request: Request) -> Response {
    let id = request_id();
    let (request, body) = request.into_parts();
    let mut response = match to_bytes(body, BODY_LIMIT).await {
        Err(_) => Refusal::invalid("The request is too long.").into_response(),
        Ok(_) if aws.faults.now().aws_down => Refusal::down().into_response(),
        Ok(body) if request.uri.path() == "/" => {
            if request.headers.contains_key(cognito::TARGET) {
                cognito::serve(&aws, &request.headers, &body).await
            } else {
                sts::serve(&aws, &request, &body, &id).await
            }
        }
        Ok(body) => iot::serve(&aws, &request, &body),
    };
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

impl AwsParts {
    /// Whose keys signed this request for `service`.
    fn caller(&self, request: &Parts, body: &[u8], service: &str) -> Result<Principal, Refusal> {
        let claimed = Claimed::read(&request.headers)?;
        let session = request.headers.get(SESSION).and_then(|value| value.to_str().ok());
        let (secret, principal) = self.keys.find(&claimed.access_key, session)?;
        let here = Here {
            region: &self.account.region,
            service,
            now: self.clock.now(),
        };
        claimed.check(request, body, secret.reveal(), &here)?;
        if self.faults.ends_keys() {
            return Err(keys::over());
        }
        Ok(principal)
    }

    /// Whoever assumed `role` under this name.
    fn assumed(&self, role: &Role, session_name: &str, session: Option<Policy>) -> Principal {
        Principal {
            arn: format!(
                "arn:aws:sts::{}:assumed-role/{}/{session_name}",
                self.account.account, role.name
            ),
            policy: role.policy.clone(),
            session,
        }
    }

    /// How long keys live that should live for `wanted`.
    fn life(&self, wanted: Duration) -> Duration {
        let own = self.faults.now().aws_keys_life_ms;
        own.map_or(wanted, Duration::from_millis)
    }
}

/// Nothing depends on it being different, so that a system without randomness gets the nil one.
fn request_id() -> String {
    let mut random = [0_u8; 16];
    let _ = getrandom::fill(&mut random);
    uuid::Builder::from_random_bytes(random).into_uuid().to_string()
}
