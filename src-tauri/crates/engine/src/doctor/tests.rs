//! Every state of every part, and what is said about it.

use super::*;
use crate::cloud::broker::Broker;
use crate::cloud::http::{Answer, HttpError};
use crate::fixtures::{Script, TestClock, TestVault, answer, refusal};
use crate::ports::JournalEntry;
use crate::signin::SignInSettings;
use async_trait::async_trait;
use commission::device::Sighting;
use commission::flow::{JobId, Step};
use commission::gatt::PeripheralId;
use commission::secret::Token;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::mpsc;
use url::Url;

struct Ears(Result<Vec<Adapter>, LinkError>);

#[async_trait]
impl Radio for Ears {
    async fn adapters(&self) -> Result<Vec<Adapter>, LinkError> {
        self.0.clone()
    }

    async fn scan(&self) -> Result<mpsc::Receiver<Sighting>, LinkError> {
        Err(LinkError::NotSupported)
    }

    async fn connect(
        &self,
        _peripheral: &PeripheralId,
        _timeout: Duration,
    ) -> Result<Box<dyn crate::ports::Link>, LinkError> {
        Err(LinkError::NotSupported)
    }
}

struct Paper {
    sound: Result<u64, JournalError>,
    open: usize,
}

#[async_trait]
impl Journal for Paper {
    async fn append(&self, _job: JobId, _person: &str, _step: &Step) -> Result<(), JournalError> {
        Ok(())
    }

    async fn entries(&self, _job: JobId) -> Result<Vec<JournalEntry>, JournalError> {
        Ok(Vec::new())
    }

    async fn jobs(&self) -> Result<Vec<JournalEntry>, JournalError> {
        Ok(Vec::new())
    }

    async fn ends(&self) -> Result<Vec<JournalEntry>, JournalError> {
        Ok(Vec::new())
    }

    async fn shown(&self) -> Result<Vec<JournalEntry>, JournalError> {
        Ok(Vec::new())
    }

    async fn unfinished(&self) -> Result<Vec<JobId>, JournalError> {
        Ok(vec![JobId(uuid::Uuid::nil()); self.open])
    }

    async fn verify(&self) -> Result<u64, JournalError> {
        self.sound.clone()
    }
}

fn hci0(powered: bool) -> Result<Vec<Adapter>, LinkError> {
    Ok(vec![Adapter {
        id: "hci0".into(),
        name: "laptop".into(),
        powered,
    }])
}

fn sound() -> Paper {
    Paper {
        sound: Ok(12),
        open: 0,
    }
}

async fn look_at(radio: &Ears, paper: &Paper, vault: &TestVault) -> Vec<Finding> {
    look_at_with(radio, paper, vault, Vec::new()).await
}

async fn look_at_with(radio: &Ears, paper: &Paper, vault: &TestVault, in_work: Vec<JobId>) -> Vec<Finding> {
    let doctor = Doctor {
        radio,
        vault,
        journal: Ok(paper),
        in_work,
        organisation: None,
        clock: &TestClock::default(),
    };
    doctor.look().await
}

fn state(findings: &[Finding], what: Part) -> Health {
    findings
        .iter()
        .find(|finding| finding.what == what)
        .unwrap_or_else(|| panic!("{what:?} not in {findings:#?}"))
        .state
}

#[tokio::test]
async fn what_is_in_work_here_is_nothing_that_was_left_open() {
    let paper = Paper {
        sound: Ok(3),
        open: 1,
    };
    let look = async |in_work| look_at_with(&Ears(hci0(true)), &paper, &TestVault::default(), in_work).await;
    assert_eq!(state(&look(Vec::new()).await, Part::Journal), Health::Warn);
    let same = JobId(uuid::Uuid::nil());
    assert_eq!(state(&look(vec![same]).await, Part::Journal), Health::Ok);
}

#[tokio::test]
async fn everything_that_is_not_well_comes_with_advice() {
    let radios = [
        (hci0(true), Health::Ok),
        (hci0(false), Health::Bad),
        (Ok(Vec::new()), Health::Bad),
        (Err(LinkError::NoService), Health::Bad),
        (Err(LinkError::NoPermission), Health::Bad),
    ];
    let papers = [
        (Ok(3), 0, Health::Ok),
        (Ok(3), 2, Health::Warn),
        (Err(JournalError::Broken(7)), 0, Health::Bad),
        (Err(JournalError::Storage("full".into())), 0, Health::Bad),
    ];
    let vaults = [
        (None, Health::Ok),
        (Some(VaultError::Absent("none".into())), Health::Warn),
        (Some(VaultError::Locked), Health::Warn),
    ];
    for (adapters, bluetooth) in radios {
        for (entries, open, journal) in papers.clone() {
            for (fault, keyring) in vaults.clone() {
                let vault = TestVault::default();
                vault.fail(fault);
                let paper = Paper {
                    sound: entries.clone(),
                    open,
                };
                let findings = look_at(&Ears(adapters.clone()), &paper, &vault).await;
                assert_eq!(state(&findings, Part::Bluetooth), bluetooth);
                assert_eq!(state(&findings, Part::Journal), journal);
                assert_eq!(state(&findings, Part::Keyring), keyring);
                assert_eq!(state(&findings, Part::Profile), Health::Bad);
                for finding in findings {
                    assert_eq!(
                        finding.advice.is_some(),
                        finding.state != Health::Ok,
                        "{finding:?}"
                    );
                    assert!(finding.detail.ends_with(['.', 'n', 'f']), "{finding:?}");
                }
            }
        }
    }
}

fn issuer() -> [Answer; 2] {
    let body = json!({
        "issuer": "https://id.example", "authorization_endpoint": "https://id.example/authorize",
        "token_endpoint": "https://id.example/token", "jwks_uri": "https://id.example/jwks",
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"]
    });
    [answer(200, &body.to_string()), answer(200, r#"{"keys":[]}"#)]
}

fn preflight(enabled: bool, rights: &[&str], ahead: i64) -> Answer {
    let body = json!({
        "serverTime": 1, "cloud": "aws-iot", "rights": rights, "claimLifeSeconds": 300,
        "person": {"subject": "anna", "name": "Anna", "roles": ["installer"]},
        "template": {"name": "T", "enabled": enabled, "parameters": []},
        "endpoint": {"host": "iot.example", "port": 8883}
    });
    let mut answer = answer(200, &body.to_string());
    answer.clock_ahead = Some(ahead);
    answer
}

/// The findings about the organisation, with Anna signed in.
async fn organisation(cloud: Answer) -> Vec<Finding> {
    let (clock, vault) = (Arc::new(TestClock::default()), Arc::new(TestVault::default()));
    let script = Arc::new(Script::new(issuer()));
    let settings = SignInSettings {
        origin: "here".into(),
        earlier: None,
        issuer: "https://id.example".into(),
        client_id: "fieldkey".into(),
        scopes: vec!["openid".into()],
    };
    let signin = SignIn::new(settings, script, vault.clone(), clock.clone());
    signin.take_in_for_test(Token::new("a"), Token::new("r")).await;
    let base = Url::parse("https://broker.example").unwrap();
    let broker = Arc::new(Script::new([cloud]));
    let broker = Broker::new(&base, broker, Arc::new(signin.of_one()), clock.clone()).unwrap();
    let doctor = Doctor {
        radio: &Ears(hci0(true)),
        vault: &*vault,
        journal: Ok(&sound()),
        in_work: Vec::new(),
        organisation: Some(Organisation {
            name: "plant",
            signin: &signin,
            cloud: &broker,
        }),
        clock: &*clock,
    };
    doctor.look().await
}

#[tokio::test]
async fn a_cloud_that_is_ready_is_found_ready() {
    let findings = organisation(preflight(true, &RIGHTS, 3)).await;
    assert!(
        findings.iter().all(|finding| finding.state == Health::Ok),
        "{findings:#?}"
    );
    let order: Vec<Part> = findings.iter().map(|finding| finding.what).collect();
    assert!(order.is_sorted(), "{order:?}");
    assert_eq!(order.len(), 10);
}

#[tokio::test]
async fn what_would_stop_every_device_is_found_before_the_first() {
    let off = organisation(preflight(false, &RIGHTS, 0)).await;
    assert_eq!(state(&off, Part::Template), Health::Bad);
    let support = organisation(preflight(true, &["observe", "support"], 0)).await;
    let rights = support
        .iter()
        .find(|finding| finding.what == Part::Rights)
        .unwrap();
    assert_eq!(
        (rights.state, rights.detail.as_str()),
        (Health::Bad, "Anna lacks the rights: claim, retire, release.")
    );
    for refused in [refusal(503, "unavailable"), refusal(404, "no-such-resource")] {
        let findings = organisation(refused).await;
        assert_eq!(state(&findings, Part::Cloud), Health::Bad);
    }
}

#[test]
fn a_clock_is_judged_by_how_far_it_is_off() {
    let table = [
        (Some(0), Health::Ok),
        (Some(-59), Health::Ok),
        (Some(60), Health::Warn),
        (Some(-3600), Health::Warn),
        (Some(-86_400), Health::Bad),
        (Some(i64::MIN), Health::Bad),
        (None, Health::Warn),
    ];
    for (ahead, expected) in table {
        assert_eq!(clock_finding(ahead).state, expected, "{ahead:?}");
    }
    assert_eq!(
        clock_finding(Some(-7300)).detail,
        "This computer's clock is 2 hours slow."
    );
}

#[test]
fn errors_become_sentences() {
    let error = HttpError::NotHttps("x".into());
    assert_eq!(sentence(&error), "X is not an https address.");
    assert_eq!(sentence(&""), ".");
}
