//! An AWS account on loopback: IAM's say, Cognito's identity pools, the security token service, and the control and data
//! plane of AWS IoT over the same registry that the broker and the MQTT server have.
//!
//! ```text
//! ID token ─► cognito | sts ─► roles ─► keys ─► sigv4 ─► iam ─► iot ─► registry
//!                                                          │      └► bulk ─┘ │
//!                                                          └────► s3 ─► objects
//! ```
//!
//! All of them answer at one address, as each request says which it is for; as much of S3 as bulk registration needs,
//! below a path of its own. Not here: rules, jobs, fleet indexing but for connectivity, several accounts or regions.

mod bulk;
mod cognito;
mod condition;
mod iam;
mod identity;
mod iot;
mod keys;
mod objects;
mod operation;
mod refusal;
mod roles;
mod s3;
mod sigv4;
mod sts;
mod trust;

use std::sync::Arc;

use aws_credential_types::Credentials;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use commission::secret::Token;
use engine::cloud::aws::policy::Account;
use tokio::sync::watch;
use tokio::time::Duration;

pub(crate) use self::iam::may_connect;
pub(crate) use self::refusal::Refusal;

use self::bulk::{Need, Tasks};
use self::cognito::Identities;
use self::iam::{Policy, Principal};
use self::identity::Provider;
use self::keys::KeyStore;
use self::objects::{LONGEST, Object, Objects};
use self::roles::{People, REGISTRATION, Roles};
use self::sigv4::{Claimed, Here};
use super::clock::CloudClock;
use super::faults::Faults;
use super::mqtt::Template;
use super::registry::Registry;
use super::{CloudConfig, Endpoint, Strategy};
use crate::ca::Authority;

/// The account that AWS's documentation has for examples.
const ACCOUNT: &str = "123456789012";
/// A request is smaller, but for objects of S3.
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
    /// The role that registrars may assume.
    pub registrar_role: String,
    /// The role that they pass on to AWS IoT.
    pub registration_role: String,
    /// Where S3 is reached.
    pub s3: String,
    /// The bucket that line files go to.
    pub bucket: String,
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
    objects: Objects,
    bulk: Tasks,
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
    /// Where the account itself is reached.
    pub(crate) url: String,
    /// Ends what runs by itself.
    pub(crate) stop: watch::Receiver<bool>,
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
            strategy: make.config.strategy,
        };
        let of_role = |wanted: &str| {
            let users = make.config.users.iter();
            let own = users.filter(|user| user.roles.iter().any(|role| role == wanted));
            own.map(|user| user.subject.as_str()).collect()
        };
        let pool = format!("{}:5a9d4f36-7c1b-4e08-9c6d-2b1f0e3a7d54", account.region);
        let identities = Identities::default();
        // A trust names identities of the pool, so that those who are named have theirs from the beginning.
        let of_pool = |subjects: &[&str]| -> Option<Vec<String>> {
            let ids = subjects
                .iter()
                .map(|subject| identities.of(subject, &account.region));
            ids.collect()
        };
        let (supporters, registrars): (Vec<&str>, Vec<&str>) = (of_role("support"), of_role("registrar"));
        let people = People {
            pool: &pool,
            supporters_in_pool: of_pool(&supporters)?,
            registrars_in_pool: of_pool(&registrars)?,
            issuer: make.issuer,
            client: &make.config.client_id,
            supporters,
            registrars,
        };
        let objects = Objects::default();
        let bulk = Tasks::new(Need {
            account: account.clone(),
            url: make.url,
            registry: make.registry.clone(),
            devices: Arc::clone(&make.devices),
            objects: objects.clone(),
            faults: make.faults.clone(),
            clock: make.clock.clone(),
            witness: make.config.witness.clone(),
            stop: make.stop,
        });
        Some(Self(Arc::new(AwsParts {
            roles: Roles::new(&account, &people).ok()?,
            pool,
            account,
            objects,
            bulk,
            provider: Provider::new(
                make.issuer,
                &make.config.client_id,
                make.https,
                make.clock.clone(),
            ),
            keys: KeyStore::new(make.config.witness.clone()),
            identities,
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
        Some(AwsAccess {
            s3: format!("{url}{}", s3::PREFIX),
            bucket: REGISTRATION.into(),
            url,
            account: ACCOUNT.into(),
            region: parts.account.region.clone(),
            identity_pool: parts.pool.clone(),
            installer_role: parts.roles.arn_for("installer"),
            support_role: parts.roles.arn_for("support"),
            registrar_role: parts.roles.arn_for("registrar"),
            registration_role: parts.roles.registration(),
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

    /// Puts a file into the bucket for line files, as the office's own tools do. Whether there was room for it.
    pub(crate) fn put(&self, key: &str, text: &str) -> bool {
        let object = Object {
            bytes: text.to_owned().into(),
            content_type: "text/plain".into(),
            at: self.0.clock.now(),
        };
        self.0.objects.put(key, object).is_ok()
    }

    pub(crate) fn router(&self) -> Router {
        Router::new().fallback(serve).with_state(self.clone())
    }
}

/// How ARNs of MQTT clients of the account begin, up to their names.
pub(crate) fn clients(region: &str) -> String {
    format!("arn:aws:iot:{region}:{ACCOUNT}:client/")
}

/// Which service a request is for, by what it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    S3,
    Cognito,
    Sts,
    Iot,
}

impl Service {
    fn of(request: &Parts) -> Self {
        match request.uri.path() {
            path if s3::is_here(path) => Self::S3,
            "/" if request.headers.contains_key(cognito::TARGET) => Self::Cognito,
            "/" => Self::Sts,
            _ => Self::Iot,
        }
    }

    /// Each takes a request whole, up to a bound. What says of itself that it is longer is not waited for: its client
    /// would still be sending when it is refused.
    async fn whole(self, request: &Parts, body: Body) -> Option<Bytes> {
        let most = match self {
            Self::S3 => LONGEST,
            Self::Cognito | Self::Sts | Self::Iot => BODY_LIMIT,
        };
        let stated = request
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok());
        let stated: Option<u64> = stated.and_then(|length| length.parse().ok());
        if stated.is_some_and(|stated| usize::try_from(stated).map_or(true, |stated| stated > most)) {
            return None;
        }
        to_bytes(body, most).await.ok()
    }

    async fn serve(self, aws: &AwsParts, request: &Parts, body: Bytes, id: &str) -> Response {
        match self {
            Self::S3 => s3::serve(aws, request, body, id),
            Self::Cognito => cognito::serve(aws, &request.headers, &body).await,
            Self::Sts => sts::serve(aws, request, &body, id).await,
            Self::Iot => iot::serve(aws, request, &body),
        }
    }

    /// A refusal in the form of this service's protocol.
    fn refuse(self, request: &Parts, refusal: Refusal, id: &str) -> Response {
        match self {
            Self::S3 => s3::refuse(request, refusal, id),
            Self::Cognito => cognito::refuse(&refusal),
            Self::Sts => sts::refuse(&refusal, id),
            Self::Iot => refusal.into_response(),
        }
    }
}

async fn serve(State(Aws(aws)): State<Aws>, request: Request) -> Response {
    let id = request_id();
    let (request, body) = request.into_parts();
    let service = Service::of(&request);
    let mut response = match service.whole(&request, body).await {
        None if service == Service::S3 => s3::refuse(&request, s3::too_long(), &id),
        None => {
            let refusal = Refusal::invalid("The request is too long.");
            service.refuse(&request, refusal, &id)
        }
        Some(_) if aws.faults.now().aws_down => service.refuse(&request, Refusal::down(), &id),
        Some(body) => service.serve(&aws, &request, body, &id).await,
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
        // Lasting keys, such as the broker's, never end.
        if session.is_some() && self.faults.ends_keys() {
            return Err(keys::over());
        }
        Ok(principal)
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
