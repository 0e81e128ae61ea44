//! An AWS account that answers from a script, by what it is asked; a clock that moves when somebody waits for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::Request;
use async_trait::async_trait;
use commission::claim::{ClaimForm, ClaimRequest, Purpose};
use commission::device::Serial;
use commission::fault::CloudError;
use commission::secret::Token;
use commission::time::{Moment, UnixTime};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::operation::Operation;
use super::super::{AwsIot, IdentitySource};
use crate::cloud::http::{Answer, Exchange, HttpError};
use crate::fixtures::{NEW_YEAR, TestClock, answer};
use crate::ports::{Clock, CloudPerson};
use crate::settings::{CloudSettings, Profile};

pub(super) const ROLE: &str = "way = \"sts\"\nrole = \"arn:aws:iam::123456789012:role/FieldkeyInstaller\"";
pub(super) const POOL: &str =
    "way = \"cognito\"\nidentity_pool = \"eu-central-1:01234567-89ab-cdef-0123-456789abcdef\"";
pub(super) const TEMPLATE: &str = "GET /provisioning-templates/acme";
pub(super) const CLAIM: &str = "POST /provisioning-templates/acme/provisioning-claim";
pub(super) const THING: &str = "GET /things/FK-7";
pub(super) const PRINCIPALS: &str = "GET /things/FK-7/principals";
pub(super) const INDEX: &str = "POST /things/FK-7/connectivity-data";
pub(super) const DATA: &str = "GET /connections/FK-7";
pub(super) const ENDPOINT: &str = "GET /endpoint?endpointType=iot%3AData-ATS";
pub(super) const OLD: &str = "0000000000000000000000000000000000000000000000000000000000000001";
pub(super) const NEW: &str = "0000000000000000000000000000000000000000000000000000000000000002";

/// No values for parameters.
pub(super) static NONE: BTreeMap<String, String> = BTreeMap::new();

/// Time passes for whoever waits, and for nobody else.
#[derive(Default)]
pub(super) struct HastyClock(pub(super) TestClock);

#[async_trait]
impl Clock for HastyClock {
    fn now(&self) -> Moment {
        self.0.now()
    }

    fn unix(&self) -> UnixTime {
        self.0.unix()
    }

    async fn sleep_until(&self, moment: Moment) {
        self.0.advance(moment.left(self.0.now()));
        tokio::task::yield_now().await;
    }
}

/// Answers by what is asked; the last answer to a question holds on.
pub(super) struct Account {
    clock: Arc<HastyClock>,
    /// How far this computer is ahead of AWS, in seconds.
    pub(super) ahead: Mutex<i64>,
    answers: Mutex<BTreeMap<String, VecDeque<Answer>>>,
    asked: Mutex<Vec<Request<Vec<u8>>>>,
}

/// What a request asks for: method and target, and for services with one address the operation.
pub(super) fn question(request: &Request<Vec<u8>>) -> String {
    let target = request
        .uri()
        .path_and_query()
        .map_or("", |target| target.as_str());
    let body = String::from_utf8_lossy(request.body()).into_owned();
    match request.headers().get("x-amz-target") {
        Some(operation) => operation.to_str().unwrap().rsplit('.').next().unwrap().to_owned(),
        None if body.starts_with("Action=") => body.split(['=', '&']).nth(1).unwrap().to_owned(),
        None => format!("{} {target}", request.method()),
    }
}

impl Account {
    /// The next answer to a question.
    pub(super) fn answers(&self, question: &str, status: u16, body: &Value) -> &Self {
        self.says(question, answer(status, &body.to_string()))
    }

    pub(super) fn refuses(&self, question: &str, status: u16, code: &str) -> &Self {
        let mut refusal = answer(status, &json!({ "message": "Said so." }).to_string());
        refusal.headers.insert("x-amzn-errortype", code.parse().unwrap());
        self.says(question, refusal)
    }

    pub(super) fn says(&self, question: &str, answer: Answer) -> &Self {
        let mut answers = self.answers.lock().unwrap();
        answers.entry(question.to_owned()).or_default().push_back(answer);
        self
    }

    /// Forgets what it would have answered.
    pub(super) fn anew(&self, question: &str) -> &Self {
        self.answers.lock().unwrap().remove(question);
        self
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(question).collect()
    }

    pub(super) fn times(&self, question: &str) -> usize {
        self.asked().iter().filter(|asked| *asked == question).count()
    }

    /// Looks at the request with this number.
    pub(super) fn request<T>(&self, number: usize, look: impl FnOnce(&Request<Vec<u8>>) -> T) -> T {
        look(&self.asked.lock().unwrap()[number])
    }

    pub(super) fn requests<T>(&self, look: impl FnMut(&Request<Vec<u8>>) -> T) -> Vec<T> {
        self.asked.lock().unwrap().iter().map(look).collect()
    }
}

#[async_trait]
impl Exchange for Account {
    async fn exchange(&self, request: Request<Vec<u8>>, _: Duration) -> Result<Answer, HttpError> {
        tokio::task::yield_now().await;
        let asked = question(&request);
        self.asked.lock().unwrap().push(request);
        let mut answers = self.answers.lock().unwrap();
        let queue = answers.get_mut(&asked);
        let answer = queue.and_then(|queue| match queue.len() {
            0 | 1 => queue.front().cloned(),
            _ => queue.pop_front(),
        });
        let ahead = *self.ahead.lock().unwrap();
        answer
            .map(|mut answer| {
                answer.arrived = self.clock.now();
                answer.server_time = Some(UnixTime(self.clock.unix().0 - ahead));
                answer.clock_ahead = Some(ahead);
                answer
            })
            .ok_or(HttpError::TimedOut { host: asked })
    }
}

/// Somebody who is signed in, with ID tokens named by how often they were renewed.
pub(super) struct Person {
    pub(super) roles: Vec<String>,
    pub(super) tokens: Mutex<u32>,
    pub(super) turn: AtomicU64,
}

#[async_trait]
impl IdentitySource for Person {
    fn issuer(&self) -> &str {
        "https://login.acme.example/tenant"
    }

    fn turn(&self) -> u64 {
        self.turn.load(Ordering::Acquire)
    }

    fn person(&self) -> Option<CloudPerson> {
        Some(CloudPerson {
            subject: "ada@acme.example".into(),
            name: "Ada".into(),
            roles: self.roles.clone(),
        })
    }

    async fn identity_token(&self) -> Result<Token, CloudError> {
        Ok(Token::new(format!("id{}", self.tokens.lock().unwrap())))
    }

    async fn another_identity_token(&self, refused: &Token) -> Result<Token, CloudError> {
        let mut tokens = self.tokens.lock().unwrap();
        assert_eq!(refused.reveal(), format!("id{tokens}"));
        *tokens += 1;
        Ok(Token::new(format!("id{tokens}")))
    }
}

/// The account, what stands behind it, and the clock.
pub(super) struct Bench {
    pub(super) aws: Arc<AwsIot>,
    pub(super) account: Arc<Account>,
    pub(super) clock: Arc<HastyClock>,
    pub(super) person: Arc<Person>,
}

pub(super) fn now() -> i64 {
    NEW_YEAR
}

pub(super) fn bench(credentials: &str, more: &str) -> Bench {
    let text = format!(
        "name = \"Acme\"\n[sign-in]\nissuer = \"https://login.acme.example/tenant\"\nclient-id = \"fieldkey\"\n\
         [cloud]\nkind = \"aws-iot\"\nregion = \"eu-central-1\"\ntemplate = \"acme\"\n{more}\n\
         [cloud.credentials]\n{credentials}\n"
    );
    let settings = match Profile::parse(&text).unwrap().cloud {
        CloudSettings::AwsIot(settings) => *settings,
        other => panic!("{other:?}"),
    };
    let clock = Arc::new(HastyClock::default());
    let account = Arc::new(Account {
        clock: clock.clone(),
        ahead: Mutex::default(),
        answers: Mutex::default(),
        asked: Mutex::default(),
    });
    let person = Arc::new(Person {
        roles: vec!["installer".into()],
        tokens: Mutex::default(),
        turn: AtomicU64::default(),
    });
    let aws = AwsIot::new(settings, account.clone(), person.clone(), clock.clone()).unwrap();
    Bench {
        aws: Arc::new(aws),
        account,
        clock,
        person,
    }
}

/// An account by a role whose keys, template and endpoint are in order.
pub(super) fn usual(more: &str) -> Bench {
    let bench = bench(ROLE, more);
    bench
        .account
        .says(
            "AssumeRoleWithWebIdentity",
            answer(200, &sts_keys("ASIAONE", "2026-01-01T01:00:00Z")),
        )
        .answers(TEMPLATE, 200, &template(true, "MERGE"))
        .answers(
            ENDPOINT,
            200,
            &json!({"endpointAddress": "abc-ats.iot.eu-central-1.amazonaws.com"}),
        );
    bench
}

pub(super) fn sts_keys(id: &str, ends: &str) -> String {
    format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{id}</AccessKeyId>\
         <SecretAccessKey>secret&amp;key</SecretAccessKey><SessionToken>session</SessionToken>\
         <Expiration>{ends}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
         </AssumeRoleWithWebIdentityResponse>"
    )
}

/// A template by which things are named after a zone, too, that somebody has to give.
pub(super) fn template_with_zone() -> Value {
    let mut answer = template(true, "MERGE");
    let body = json!({
        "Parameters": {"SerialNumber": {"Type": "String"}, "Zone": {"Type": "String"}},
        "Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {
            "ThingName": {"Fn::Join": ["-", [{"Ref": "Zone"}, {"Ref": "SerialNumber"}]]}
        }}}
    });
    answer["templateBody"] = json!(body.to_string());
    answer
}

pub(super) fn template(enabled: bool, rule: &str) -> Value {
    let body = json!({
        "Parameters": {"SerialNumber": {"Type": "String"}},
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "OverrideSettings": {"AttributePayload": rule},
                "Properties": {"ThingName": {"Ref": "SerialNumber"}, "AttributePayload": {"serial": {"Ref": "SerialNumber"}}}
            },
            "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}}
        }
    });
    json!({
        "templateName": "acme", "enabled": enabled, "templateBody": body.to_string(),
        "templateArn": "arn:aws:iot:eu-central-1:123456789012:provisioningtemplate/acme",
        "preProvisioningHook": {"targetArn": "arn:aws:lambda:eu-central-1:123456789012:function:hook"},
        "type": "FLEET_PROVISIONING"
    })
}

/// The answer of CreateProvisioningClaim.
pub(super) fn claim(ends: &Value) -> Value {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(Vec::new())
        .unwrap()
        .self_signed(&key)
        .unwrap();
    json!({
        "certificateId": "c".repeat(64), "certificatePem": certificate.pem(),
        "keyPair": {"PublicKey": key.public_key_pem(), "PrivateKey": key.serialize_pem()},
        "expiration": ends
    })
}

pub(super) fn principals(ids: &[&str]) -> Value {
    let arns: Vec<String> = ids
        .iter()
        .map(|id| format!("arn:aws:iot:eu-central-1:123456789012:cert/{id}"))
        .collect();
    json!({ "principals": arns })
}

pub(super) fn certificate(id: &str, status: &str, created: i64) -> (String, Value) {
    let told = json!({"certificateDescription": {
        "certificateId": id, "status": status, "creationDate": created, "lastModifiedDate": created
    }});
    (format!("GET /certificates/{id}"), told)
}

pub(super) fn serial() -> Serial {
    Serial::new("FK-7").unwrap()
}

pub(super) fn order(purpose: Purpose) -> ClaimRequest {
    ClaimRequest {
        serial: serial(),
        key_sha256: None,
        keys: None,
        idempotency: Uuid::from_u128(7),
        accepts: vec![ClaimForm::Certificate],
        purpose,
        parameters: BTreeMap::new(),
    }
}

/// Which call a request is, by its method and target alone.
pub(super) fn operation(request: &Request<Vec<u8>>) -> Operation {
    let asked = question(request);
    let path = request.uri().path();
    let by_path = || match (request.method().as_str(), path) {
        ("POST", path) if path.ends_with("/provisioning-claim") => Some(Operation::CreateProvisioningClaim),
        ("POST", path) if path.ends_with("/connectivity-data") => Some(Operation::GetThingConnectivityData),
        ("GET", path) if path.ends_with("/principals") => Some(Operation::ListThingPrincipals),
        ("GET", path) if path.starts_with("/provisioning-templates/") => {
            Some(Operation::DescribeProvisioningTemplate)
        }
        ("GET", path) if path.starts_with("/things/") => Some(Operation::DescribeThing),
        ("GET", path) if path.starts_with("/certificates/") => Some(Operation::DescribeCertificate),
        ("PUT", path) if path.starts_with("/certificates/") => Some(Operation::UpdateCertificate),
        ("GET", path) if path.starts_with("/connections/") => Some(Operation::GetConnection),
        ("POST", "/thing-registration-tasks") => Some(Operation::StartThingRegistrationTask),
        ("GET", "/thing-registration-tasks") => Some(Operation::ListThingRegistrationTasks),
        ("GET", path) if path.ends_with("/reports") => Some(Operation::ListThingRegistrationTaskReports),
        ("GET", path) if path.starts_with("/thing-registration-tasks/") => {
            Some(Operation::DescribeThingRegistrationTask)
        }
        ("PUT", path) if path.starts_with("/thing-registration-tasks/") => {
            Some(Operation::StopThingRegistrationTask)
        }
        ("GET", "/endpoint") => Some(Operation::DescribeEndpoint),
        _ => None,
    };
    let named = Operation::ALL
        .iter()
        .copied()
        .find(|operation| operation.name() == asked);
    named.or_else(by_path).unwrap_or_else(|| panic!("{asked}"))
}
