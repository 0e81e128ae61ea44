//! What unit tests of several modules share: a clock that is moved by hand, a server that
//! answers from a script, a keyring in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::{HeaderMap, Request, StatusCode};
use async_trait::async_trait;
use commission::organisation::OrganisationId;
use commission::secret::Token;
use commission::time::{Moment, UnixTime};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::cloud::http::{Answer, Exchange, HttpError};
use crate::ports::{Clock, Hold, Vault, VaultEntry, VaultError};
use crate::settings::{Home, Work};

/// 2026-01-01T00:00:00Z, when every test begins.
pub(crate) const NEW_YEAR: i64 = 1_767_225_600;

/// The right to run jobs with files of its own.
pub(crate) fn work() -> Arc<Work> {
    let dir = tempfile::tempdir().unwrap();
    Arc::new(Home::under(dir.path()).work().unwrap())
}

/// The organisation that this client of one issuer works for.
pub(crate) fn organisation(client: &str) -> OrganisationId {
    OrganisationId {
        issuer: "https://id.example".into(),
        client: client.into(),
        cloud: "broker https://claims.example/".into(),
    }
}

/// Stands still until it is moved.
pub(crate) struct TestClock {
    now: watch::Sender<Duration>,
}

impl Default for TestClock {
    fn default() -> Self {
        Self {
            now: watch::Sender::new(Duration::from_secs(1000)),
        }
    }
}

impl TestClock {
    /// How long it has run.
    pub(crate) fn now_since(&self) -> Duration {
        *self.now.borrow()
    }

    pub(crate) fn advance(&self, span: Duration) {
        self.now.send_modify(|now| *now += span);
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Moment {
        Moment::new(*self.now.borrow())
    }

    fn unix(&self) -> UnixTime {
        let run = self.now.borrow().as_secs();
        UnixTime(NEW_YEAR + i64::try_from(run).unwrap() - 1000)
    }

    async fn sleep_until(&self, moment: Moment) {
        let mut now = self.now.subscribe();
        now.wait_for(|now| Moment::new(*now) >= moment).await.unwrap();
    }
}

/// An answer that arrived at the clock's start, from a server whose clock agrees.
pub(crate) fn answer(status: u16, body: &str) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: Zeroizing::new(body.as_bytes().to_vec()),
        arrived: Moment::new(Duration::from_secs(1000)),
        server_time: Some(UnixTime(NEW_YEAR)),
        clock_ahead: Some(0),
    }
}

/// The same, as the contract's refusals come.
pub(crate) fn refusal(status: u16, code: &str) -> Answer {
    let mut answer = answer(status, &format!(r#"{{"code":"{code}","detail":"Said so."}}"#));
    answer
        .headers
        .insert("content-type", "application/problem+json".parse().unwrap());
    answer
}

/// Answers in the order of the script and keeps what it was asked.
#[derive(Default)]
pub(crate) struct Script {
    answers: Mutex<VecDeque<Result<Answer, HttpError>>>,
    asked: Mutex<Vec<Request<Vec<u8>>>>,
}

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            answers: Mutex::new(answers.into_iter().map(Ok).collect()),
            asked: Mutex::default(),
        }
    }

    pub(crate) fn then(&self, answer: Result<Answer, HttpError>) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// Each request as its method, path and query.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let line = |request: &Request<Vec<u8>>| {
            let target = request.uri().path_and_query().unwrap();
            format!("{} {target}", request.method())
        };
        asked.iter().map(line).collect()
    }

    /// The body of the request with this number.
    pub(crate) fn body(&self, number: usize) -> String {
        String::from_utf8(self.asked.lock().unwrap()[number].body().clone()).unwrap()
    }

    /// The bearer token of the request with this number.
    pub(crate) fn bearer(&self, number: usize) -> String {
        let asked = self.asked.lock().unwrap();
        let header = &asked[number].headers()["authorization"];
        assert!(header.is_sensitive());
        header
            .to_str()
            .unwrap()
            .strip_prefix("Bearer ")
            .unwrap()
            .to_owned()
    }
}

#[async_trait]
impl Exchange for Script {
    async fn exchange(&self, request: Request<Vec<u8>>, _time: Duration) -> Result<Answer, HttpError> {
        // As over a network: others get a turn while the answer is under way.
        tokio::task::yield_now().await;
        self.asked.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop_front();
        answer.unwrap_or_else(|| {
            Err(HttpError::TimedOut {
                host: "script".into(),
            })
        })
    }
}

/// A keyring in memory that can be told to fail.
#[derive(Default)]
pub(crate) struct TestVault {
    kept: Mutex<BTreeMap<VaultEntry, Token>>,
    fault: Mutex<Option<VaultError>>,
    quicker: Mutex<Option<Token>>,
    held: Arc<tokio::sync::Mutex<()>>,
}

impl TestVault {
    pub(crate) fn fail(&self, fault: Option<VaultError>) {
        *self.fault.lock().unwrap() = fault;
    }

    /// Right after the next look somebody else replaces what was seen.
    pub(crate) fn replace_after_read(&self, secret: Token) {
        *self.quicker.lock().unwrap() = Some(secret);
    }

    pub(crate) fn kept(&self) -> Vec<String> {
        let kept = self.kept.lock().unwrap();
        kept.values().map(|token| token.reveal().to_owned()).collect()
    }

    fn check(&self) -> Result<(), VaultError> {
        self.fault.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl Vault for TestVault {
    async fn hold(&self, _: &VaultEntry) -> Result<Hold, VaultError> {
        Ok(Hold::by(Arc::clone(&self.held).lock_owned().await))
    }

    async fn read(&self, entry: &VaultEntry) -> Result<Option<Token>, VaultError> {
        self.check()?;
        let mut kept = self.kept.lock().unwrap();
        let seen = kept.get(entry).cloned();
        if let Some(quicker) = self.quicker.lock().unwrap().take() {
            kept.insert(entry.clone(), quicker);
        }
        Ok(seen)
    }

    async fn write(&self, entry: &VaultEntry, secret: &Token) -> Result<(), VaultError> {
        self.check()?;
        self.kept.lock().unwrap().insert(entry.clone(), secret.clone());
        Ok(())
    }

    async fn forget(&self, entry: &VaultEntry) -> Result<(), VaultError> {
        self.check()?;
        self.kept.lock().unwrap().remove(entry);
        Ok(())
    }
}
