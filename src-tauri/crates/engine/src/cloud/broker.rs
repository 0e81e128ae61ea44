//! The client of the broker contract (`broker.openapi.yaml`): [`Cloud`] over HTTPS with a bearer token.
//!
//! It retries one thing only: a call whose token the broker no longer takes goes out once more with a renewed one.
//! Every other failure is the flow's to weigh, which knows what a repetition would mean.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use ::http::{Method, Request, StatusCode};
use async_trait::async_trait;
use commission::claim::{Claim, ClaimId, ClaimRequest, CleanupHandle};
use commission::device::Serial;
use commission::evidence::{Fact, Observation, Snapshot, Thing};
use commission::fault::CloudError;
use commission::secret::Token;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;
use url::Url;

use crate::cloud::http::{Answer, Exchange, REQUEST_TIME};
use crate::cloud::pace::Pace;
use crate::cloud::problem::Problem;
use crate::cloud::wire::{
    ClaimAnswer, ClaimOrder, DeviceAnswer, EnrolmentAnswer, PreflightAnswer, ReleaseAnswer, ThingAnswer,
};
use crate::ports::{Clock, Cloud, Preflight};

/// How long the broker may hold an answer when there is no news; its own limit.
const HOLD: Duration = Duration::from_secs(20);
/// Claims: AWS IoT limits CreateProvisioningClaim by the second for a whole account, which all installers share.
const CLAIM_PACE: (Duration, u32) = (Duration::from_millis(500), 2);
/// Everything else.
const READ_PACE: (Duration, u32) = (Duration::from_millis(200), 5);

/// Where bearer tokens come from.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// A token that should be taken.
    ///
    /// # Errors
    /// [`CloudError::SignedOut`] where nobody is signed in; [`CloudError::Unreachable`] where it cannot be renewed now.
    async fn token(&self) -> Result<Token, CloudError>;

    /// Another token, since this one was refused.
    ///
    /// # Errors
    /// As [`TokenSource::token`].
    async fn renewed(&self, refused: &Token) -> Result<Token, CloudError>;
}

/// The address cannot be a broker's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0} cannot be the cloud's address; it must begin with https:// and name a server")]
pub struct AddressError(pub String);

/// A broker.
pub struct Broker {
    base: Url,
    exchange: Arc<dyn Exchange>,
    tokens: Arc<dyn TokenSource>,
    clock: Arc<dyn Clock>,
    claims: Pace,
    reads: Pace,
    /// To which claim a thing goes back, learnt from enrolments. The broker allows more under a claim than without.
    origins: Mutex<BTreeMap<String, ClaimId>>,
    /// How far this machine's calendar is ahead, as the last answer that said the time showed, in seconds.
    ahead: Mutex<Option<i64>>,
}

impl Broker {
    /// A broker at this address.
    ///
    /// # Errors
    /// [`AddressError`] where it is not an https address.
    pub fn new(
        base: &Url,
        exchange: Arc<dyn Exchange>,
        tokens: Arc<dyn TokenSource>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AddressError> {
        if base.scheme() != "https" || base.host_str().is_none() {
            return Err(AddressError(base.to_string()));
        }
        let mut base = base.clone();
        base.set_query(None);
        base.set_fragment(None);
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Ok(Self {
            base,
            exchange,
            tokens,
            clock,
            claims: Pace::new(CLAIM_PACE.0, CLAIM_PACE.1),
            reads: Pace::new(READ_PACE.0, READ_PACE.1),
            origins: Mutex::default(),
            ahead: Mutex::default(),
        })
    }

    /// An address below the broker's; each part is escaped.
    fn at(&self, parts: &[&str]) -> Result<Url, CloudError> {
        // URLs know these as "here" and "up", escaped or not.
        if parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return Err(CloudError::Nonsense(
                "a name of it cannot stand in an address".into(),
            ));
        }
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| CloudError::Nonsense("its address has no path".into()))?
            .pop_if_empty()
            .push("v1")
            .extend(parts);
        Ok(url)
    }

    /// Where to undo a claim. The handle came from the broker and went through the journal; the token still goes to
    /// the broker only.
    fn cleanup(&self, handle: &CleanupHandle) -> Result<Url, CloudError> {
        self.base
            .join(&handle.0)
            .ok()
            .filter(|url| url.origin() == self.base.origin())
            .ok_or_else(|| {
                CloudError::Nonsense("the claim's clean-up address is not the broker's own".into())
            })
    }

    async fn get<T: DeserializeOwned>(&self, url: &Url, time: Duration) -> Result<(T, Answer), CloudError> {
        self.reads.wait(&*self.clock).await;
        let answer = self.call(&Method::GET, url, None, time).await?;
        Ok((content(&answer)?, answer))
    }

    async fn post<T: DeserializeOwned>(&self, url: &Url, body: &Value) -> Result<T, CloudError> {
        self.reads.wait(&*self.clock).await;
        let answer = self.call(&Method::POST, url, Some(body), REQUEST_TIME).await?;
        content(&answer)
    }

    /// One call: a success, or the refusal as an error.
    async fn call(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&Value>,
        time: Duration,
    ) -> Result<Answer, CloudError> {
        let token = self.tokens.token().await?;
        let mut answer = self.send(method, url, body, time, &token).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            let token = self.tokens.renewed(&token).await?;
            answer = self.send(method, url, body, time, &token).await?;
        }
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(Problem::read(&answer).into_error())
    }

    async fn send(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&Value>,
        time: Duration,
        token: &Token,
    ) -> Result<Answer, CloudError> {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.reveal()))
            .map_err(|_| CloudError::Nonsense("the access token cannot stand in a header".into()))?;
        bearer.set_sensitive(true);
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(AUTHORIZATION, bearer)
            .header(ACCEPT, "application/json, application/problem+json");
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(body.map(Value::to_string).unwrap_or_default().into_bytes())
            .map_err(|error| CloudError::Nonsense(error.to_string()))?;
        let answer = self
            .exchange
            .exchange(request, time)
            .await
            .map_err(|error| CloudError::Unreachable(error.to_string()))?;
        if let Some(ahead) = answer.clock_ahead {
            *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        }
        Ok(answer)
    }

    fn origins(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, ClaimId>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn content<T: DeserializeOwned>(answer: &Answer) -> Result<T, CloudError> {
    answer.json().map_err(CloudError::Nonsense)
}

#[async_trait]
impl Cloud for Broker {
    async fn preflight(&self) -> Result<Preflight, CloudError> {
        let (told, answer): (PreflightAnswer, _) = self.get(&self.at(&["preflight"])?, REQUEST_TIME).await?;
        Ok(Preflight {
            cloud: told.cloud,
            person: told.person,
            rights: told.rights,
            template: told.template,
            endpoint: told.endpoint,
            claim_life: Duration::from_secs(told.claim_life_seconds.into()),
            server_time: answer.server_time.unwrap_or(told.server_time),
            clock_ahead: answer
                .clock_ahead
                .or_else(|| Some(self.clock.unix().0.saturating_sub(told.server_time.0))),
            form: Vec::new(),
            way: None,
            remarks: Vec::new(),
        })
    }

    fn clock_ahead(&self) -> Option<i64> {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn snapshot(&self, serial: &Serial, _: &BTreeMap<String, String>) -> Result<Snapshot, CloudError> {
        let url = self.at(&["devices", serial.as_str()])?;
        let (device, _): (DeviceAnswer, _) = self.get(&url, REQUEST_TIME).await?;
        device.snapshot(serial).map_err(CloudError::Nonsense)
    }

    async fn issue(&self, request: &ClaimRequest) -> Result<Claim, CloudError> {
        let order = serde_json::to_value(ClaimOrder::new(request))
            .map_err(|error| CloudError::Nonsense(error.to_string()))?;
        let url = self.at(&["claims"])?;
        self.claims.wait(&*self.clock).await;
        let answer = self.call(&Method::POST, &url, Some(&order), REQUEST_TIME).await?;
        let server_time = answer
            .server_time
            .ok_or_else(|| CloudError::Nonsense("it does not say what time it is there".into()))?;
        let claim: ClaimAnswer = content(&answer)?;
        let claim = claim
            .claim(answer.arrived, server_time)
            .map_err(CloudError::Nonsense)?;
        if !request.accepts.contains(&claim.form()) {
            return Err(CloudError::Nonsense(
                "the claim is of a kind that was not asked for".into(),
            ));
        }
        self.cleanup(&claim.cleanup)?;
        Ok(claim)
    }

    async fn observe(&self, claim: &ClaimId, after: u64) -> Result<Observation, CloudError> {
        let mut url = self.at(&["claims", &claim.0, "enrolment"])?;
        url.query_pairs_mut()
            .append_pair("after", &after.to_string())
            .append_pair("wait", &HOLD.as_secs().to_string());
        let (enrolment, _): (EnrolmentAnswer, _) = match self.get(&url, HOLD + REQUEST_TIME).await {
            // The broker forgets a claim only when it is long dead and led to nothing.
            Err(CloudError::Refused { code, .. }) if code == "claim-not-found" => {
                return Ok(Observation {
                    evidence: Vec::new(),
                    thing: None,
                    claim_over: true,
                    next: after,
                });
            }
            answer => answer?,
        };
        let seen = enrolment.observation(after);
        for evidence in &seen.evidence {
            if let Fact::Registered {
                thing: Some(name), ..
            } = &evidence.fact
            {
                self.origins().insert(name.clone(), claim.clone());
            }
        }
        Ok(seen)
    }

    async fn retire(&self, cleanup: &CleanupHandle) -> Result<(), CloudError> {
        let url = self.cleanup(cleanup)?;
        self.reads.wait(&*self.clock).await;
        match self.call(&Method::POST, &url, None, REQUEST_TIME).await {
            Ok(_) => Ok(()),
            Err(CloudError::Refused { code, .. }) if code == "claim-not-found" => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn deactivate(&self, thing: &str, principal: &str) -> Result<Thing, CloudError> {
        let url = self.at(&["things", thing, "principals", principal, "deactivate"])?;
        let origin = self.origins().get(thing).cloned();
        let body = match origin {
            Some(claim) => json!({ "claimId": claim }),
            None => json!({}),
        };
        let left: ThingAnswer = self.post(&url, &body).await?;
        let left = Thing::from(left);
        if left.name != thing {
            return Err(CloudError::Nonsense(format!(
                "asked about {thing}, it answers about {}",
                left.name
            )));
        }
        Ok(left)
    }

    async fn release(&self, thing: &str, claim: &ClaimId) -> Result<(), CloudError> {
        let url = self.at(&["things", thing, "release"])?;
        let _: ReleaseAnswer = self.post(&url, &json!({ "claimId": claim })).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::http::HttpError;
    use crate::fixtures::{Script, TestClock, answer, refusal};
    use commission::claim::{ClaimForm, Purpose};
    use commission::device::Fingerprint;
    use commission::proven::{Der, ProvenKeys};
    use uuid::Uuid;

    /// Tokens named by how often they were renewed.
    #[derive(Default)]
    struct Tokens(Mutex<u32>);

    #[async_trait]
    impl TokenSource for Tokens {
        async fn token(&self) -> Result<Token, CloudError> {
            Ok(Token::new(format!("t{}", self.0.lock().unwrap())))
        }

        async fn renewed(&self, refused: &Token) -> Result<Token, CloudError> {
            let mut times = self.0.lock().unwrap();
            assert_eq!(refused.reveal(), format!("t{times}"));
            *times += 1;
            Ok(Token::new(format!("t{times}")))
        }
    }

    fn broker(answers: impl IntoIterator<Item = Answer>) -> (Broker, Arc<Script>, Arc<TestClock>) {
        let (script, clock) = (Arc::new(Script::new(answers)), Arc::new(TestClock::default()));
        let base = Url::parse("https://broker.example").unwrap();
        let tokens = Arc::new(Tokens::default());
        let broker = Broker::new(&base, script.clone(), tokens, clock.clone()).unwrap();
        (broker, script, clock)
    }

    fn order() -> ClaimRequest {
        ClaimRequest {
            serial: Serial::new("FK-1").unwrap(),
            key_sha256: None,
            keys: None,
            idempotency: Uuid::from_u128(7),
            accepts: vec![ClaimForm::PublicKey],
            purpose: Purpose::New,
            parameters: BTreeMap::new(),
        }
    }

    fn claim_body(cleanup: &str) -> String {
        let ca = rcgen::generate_simple_self_signed(["ca".into()]).unwrap();
        json!({
            "claimId": "clm_1", "kind": "public-key", "issuedAt": 1_767_225_600_i64, "expiresAt": 1_767_225_900_i64,
            "endpoint": {"host": "iot.example", "port": 8883}, "caPem": ca.cert.pem(), "parameters": {},
            "cleanup": cleanup, "registrationId": "fk-1"
        })
        .to_string()
    }

    const EMPTY: &str = r#"{"state":"issued","serverTime":1,"events":[]}"#;

    #[tokio::test]
    async fn an_expired_token_is_renewed_once_and_the_call_repeated() {
        let (broker, script, _) = broker([refusal(401, "token-expired"), answer(200, EMPTY)]);
        broker.observe(&ClaimId("c".into()), 0).await.unwrap();
        assert_eq!((script.bearer(0), script.bearer(1)), ("t0".into(), "t1".into()));
    }

    #[tokio::test]
    async fn a_claim_that_the_broker_has_forgotten_led_to_nothing() {
        let (broker, _, _) = broker([refusal(404, "claim-not-found")]);
        let seen = broker.observe(&ClaimId("c".into()), 3).await.unwrap();
        assert!(seen.claim_over && seen.evidence.is_empty() && seen.thing.is_none());
        assert_eq!(seen.next, 3);
    }

    #[tokio::test]
    async fn a_fresh_token_that_is_refused_too_is_the_end_of_it() {
        let (broker, script, _) = broker([refusal(401, "token-expired"), refusal(401, "token-invalid")]);
        assert_eq!(
            broker.observe(&ClaimId("c".into()), 0).await,
            Err(CloudError::Refused {
                code: "token-invalid".into(),
                message: "Said so.".into()
            })
        );
        assert_eq!(script.asked().len(), 2);
    }

    #[tokio::test]
    async fn a_claim_is_ordered_as_the_contract_says_and_dies_by_the_servers_clock() {
        let (broker, script, _) = broker([answer(201, &claim_body("/v1/claims/clm_1/retire"))]);
        let claim = broker.issue(&order()).await.unwrap();
        assert_eq!(claim.expires.since(claim.issued), Duration::from_secs(300));
        assert_eq!(script.asked(), ["POST /v1/claims"]);
        let sent: Value = serde_json::from_str(&script.body(0)).unwrap();
        let expected = json!({
            "serial": "FK-1", "idempotencyKey": "00000000-0000-0000-0000-000000000007",
            "accept": ["public-key"], "purpose": "new"
        });
        assert_eq!(sent, expected);
    }

    #[tokio::test]
    async fn what_the_device_proved_to_hold_goes_with_the_order() {
        let (broker, script, _) = broker([answer(201, &claim_body("/v1/claims/clm_1/retire"))]);
        let request = ClaimRequest {
            key_sha256: Some(Fingerprint([0xab; 32])),
            keys: Some(ProvenKeys {
                spki: Der(vec![1]),
                chain: vec![Der(vec![2]), Der(vec![3])],
                endorsement_key: Some(Der(vec![4])),
            }),
            ..order()
        };
        broker.issue(&request).await.unwrap();
        let sent: Value = serde_json::from_str(&script.body(0)).unwrap();
        assert_eq!(sent["identityKeySha256"], "ab".repeat(32));
        assert_eq!(
            sent["devicePublicKeyPem"],
            "-----BEGIN PUBLIC KEY-----\nAQ==\n-----END PUBLIC KEY-----\n"
        );
        assert_eq!(
            sent["deviceChainPem"],
            "-----BEGIN CERTIFICATE-----\nAg==\n-----END CERTIFICATE-----\n\
             -----BEGIN CERTIFICATE-----\nAw==\n-----END CERTIFICATE-----\n"
        );
        assert_eq!(sent["tpmEndorsementKey"], "BA==");
    }

    #[tokio::test]
    async fn a_claim_without_the_servers_time_is_refused_rather_than_counted_by_the_laptop() {
        let mut undated = answer(201, &claim_body("/v1/claims/clm_1/retire"));
        undated.server_time = None;
        let (broker, _, _) = broker([undated]);
        assert!(matches!(
            broker.issue(&order()).await,
            Err(CloudError::Nonsense(_))
        ));
    }

    #[tokio::test]
    async fn a_clean_up_address_of_another_server_never_sees_the_token() {
        for foreign in [
            "https://evil.example/x",
            "//evil.example/x",
            "http://broker.example/x",
        ] {
            let (broker, script, _) = broker([answer(201, &claim_body(foreign)), answer(204, "")]);
            assert!(broker.issue(&order()).await.is_err(), "{foreign}");
            assert!(
                broker.retire(&CleanupHandle(foreign.into())).await.is_err(),
                "{foreign}"
            );
            assert_eq!(script.asked().len(), 1, "{foreign}");
        }
    }

    #[tokio::test]
    async fn a_claim_that_is_gone_counts_as_undone_but_a_wrong_address_does_not() {
        let (broker, _, _) = broker([
            answer(204, ""),
            refusal(404, "claim-not-found"),
            refusal(404, "no-such-resource"),
        ]);
        let handle = CleanupHandle("/v1/claims/clm_1/retire".into());
        assert_eq!(broker.retire(&handle).await, Ok(()));
        assert_eq!(broker.retire(&handle).await, Ok(()));
        assert!(broker.retire(&handle).await.is_err());
    }

    #[tokio::test]
    async fn a_credential_goes_off_under_the_claim_that_led_to_its_thing() {
        let registered = r#"{"state":"used","serverTime":1,"events":[
            {"seq":1,"kind":"registered","at":1,"thing":"FK-1","principal":"new"}]}"#;
        let left =
            r#"{"name":"FK-1","version":2,"principals":[{"id":"new","status":"ACTIVE"}],"connected":true}"#;
        let (broker, script, _) = broker([answer(200, left), answer(200, registered), answer(200, left)]);
        broker.deactivate("FK-1", "old").await.unwrap();
        broker.observe(&ClaimId("clm_9".into()), 0).await.unwrap();
        broker.deactivate("FK-1", "old").await.unwrap();
        assert_eq!(script.body(0), "{}");
        assert_eq!(script.body(2), r#"{"claimId":"clm_9"}"#);
        assert_eq!(
            script.asked()[2],
            "POST /v1/things/FK-1/principals/old/deactivate"
        );
    }

    #[tokio::test]
    async fn an_empty_answer_is_never_taken_for_a_release() {
        let (broker, _, _) = broker([
            answer(200, ""),
            answer(200, "{}"),
            answer(200, r#"{"releasedAt":5}"#),
        ]);
        let claim = ClaimId("c".into());
        assert!(broker.release("FK-1", &claim).await.is_err());
        assert!(broker.release("FK-1", &claim).await.is_err());
        assert_eq!(broker.release("FK-1", &claim).await, Ok(()));
    }

    #[tokio::test]
    async fn names_are_escaped_into_the_address() {
        let (broker, script, _) = broker([]);
        let _ = broker.release("a/../b?c", &ClaimId("c".into())).await;
        let _ = broker.observe(&ClaimId("..".into()), 0).await;
        assert_eq!(script.asked(), ["POST /v1/things/a%2F..%2Fb%3Fc/release"]);
    }

    #[tokio::test]
    async fn a_third_claim_within_a_second_waits_its_turn() {
        let (broker, script, clock) = broker([]);
        let broker = Arc::new(broker);
        let all: Vec<_> = (0..3)
            .map(|_| {
                let broker = broker.clone();
                tokio::spawn(async move { broker.issue(&order()).await })
            })
            .collect();
        while script.asked().len() < 2 {
            tokio::task::yield_now().await;
        }
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert_eq!(script.asked().len(), 2);
        clock.advance(Duration::from_millis(500));
        for task in all {
            assert!(task.await.unwrap().is_err());
        }
        assert_eq!(script.asked().len(), 3);
    }

    #[tokio::test]
    async fn no_answer_at_all_is_passing() {
        let (broker, script, _) = broker([]);
        script.then(Err(HttpError::TimedOut { host: "b".into() }));
        let error = broker.preflight().await.unwrap_err();
        assert!(error.is_passing());
    }

    #[tokio::test]
    async fn only_https_can_be_a_cloud() {
        let tokens = Arc::new(Tokens::default());
        let base = Url::parse("http://broker.example").unwrap();
        let made = Broker::new(
            &base,
            Arc::new(Script::default()),
            tokens,
            Arc::new(TestClock::default()),
        );
        assert!(made.is_err());
    }
}
