//! Who works at a desk, and what of theirs is there for the next.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use commission::device::Sighting;
use commission::fault::CloudError;
use commission::gatt::{LinkError, PeripheralId};
use commission::secret::Token;
use tokio::sync::mpsc;
use url::Url;

use super::signing::{Leaving, Who};
use super::worker::{Wake, Worker};
use super::{Parts, QuitView, Typed};
use crate::fixtures::{TestClock, TestVault};
use crate::ports::{Adapter, Browser, BrowserError, Link, Radio, Shell, ShellError, Vault, VaultError};
use crate::settings::{Home, Profiles};
use crate::signin::{Kept, Person, Session, SignInError, SignedOut};

struct Nothing;

#[async_trait]
impl Radio for Nothing {
    async fn adapters(&self) -> Result<Vec<Adapter>, LinkError> {
        Ok(Vec::new())
    }

    async fn scan(&self) -> Result<mpsc::Receiver<Sighting>, LinkError> {
        Err(LinkError::NoAdapter)
    }

    async fn connect(&self, _: &PeripheralId, _: Duration) -> Result<Box<dyn Link>, LinkError> {
        Err(LinkError::NoAdapter)
    }
}

#[async_trait]
impl Shell for Nothing {
    async fn try_simulated(&self) -> Result<(), ShellError> {
        Err(ShellError("none".into()))
    }
}

impl Browser for Nothing {
    fn open(&self, _: &Url) -> Result<(), BrowserError> {
        Err(BrowserError("none".into()))
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    clock: Arc<TestClock>,
    vault: Arc<TestVault>,
    worker: Worker,
}

impl Bench {
    /// A desk of an organisation whose issuer nobody can reach, and where Anna was signed in yesterday.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::under(folder.path());
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = closed.local_addr().unwrap().port();
        drop(closed);
        let profiles = Profiles::new(&home);
        let text = format!(
            "name = \"Acme\"\n[sign-in]\nissuer = \"https://127.0.0.1:{port}\"\nclient-id = \"fieldkey\"\n\
             [cloud]\nkind = \"broker\"\nurl = \"https://127.0.0.1:{port}/\"\n"
        );
        let profile = profiles.keep(&profiles.look(&text, None).unwrap()).unwrap();
        let (clock, vault) = (Arc::new(TestClock::default()), Arc::new(TestVault::default()));
        let entry = crate::ports::VaultEntry::SignIn {
            issuer: profile.sign_in.issuer.clone(),
            client: "fieldkey".into(),
        };
        let kept = format!(
            r#"{{"refresh":"r0","holder":{{"subject":"anna","name":"Anna"}},"origins":["{}"]}}"#,
            profile.origin()
        );
        vault.write(&entry, &Token::new(kept)).await.unwrap();
        let worker = Worker::new(Parts {
            home,
            clock: clock.clone(),
            browser: Arc::new(Nothing),
            shell: Arc::new(Nothing),
            vault: vault.clone(),
            vault_trouble: None,
            radio: Box::new(|_| Arc::new(Nothing)),
        });
        Self {
            _folder: folder,
            clock,
            vault,
            worker,
        }
    }

    /// The next answer of this kind; others are seen to meanwhile.
    async fn until(&mut self, wanted: impl Fn(&Wake) -> bool) {
        loop {
            let wake = self.worker.woken.recv().await.unwrap();
            let found = wanted(&wake);
            self.worker.wake(wake).await;
            if found {
                return;
            }
        }
    }

    fn somebody(&mut self, subject: &str) {
        self.worker.worked = Some(subject.into());
        self.worker.who = Who::Somebody(Session {
            person: Person {
                subject: subject.into(),
                name: subject.into(),
                email: None,
                roles: Vec::new(),
            },
            expires: commission::time::Moment::new(Duration::from_secs(9000)),
            kept: Kept::Keyring,
        });
    }
}

fn restored(wake: &Wake) -> bool {
    matches!(wake, Wake::Restored(..))
}

#[tokio::test]
async fn a_kept_sign_in_whose_issuer_was_out_of_reach_is_taken_up_by_itself_later() {
    let mut bench = Bench::new().await;
    bench.until(restored).await;
    assert!(matches!(&bench.worker.who, Who::Nobody(Some(failure)) if failure.code == "issuer-unreachable"));
    assert_eq!(bench.vault.kept().len(), 1);
    for _ in 0..2 {
        let again = bench.worker.restore_at.unwrap();
        bench
            .clock
            .advance(again.since(crate::ports::Clock::now(&*bench.clock)));
        bench.worker.tend().await;
        bench.until(restored).await;
    }
}

#[tokio::test]
async fn a_cloud_that_refused_is_not_asked_again_and_again() {
    let mut bench = Bench::new().await;
    bench.until(restored).await;
    bench.somebody("anna");
    let generation = bench.worker.generation;
    let refused = CloudError::Refused {
        code: "not-allowed".into(),
        message: "No.".into(),
    };
    bench.worker.preflighted(generation, Err(refused)).await;
    assert_eq!(bench.worker.preflight_at, None);
    let away = CloudError::Unreachable("away".into());
    bench.worker.preflighted(generation, Err(away)).await;
    assert!(bench.worker.preflight_at.is_some());
}

#[tokio::test]
async fn the_desk_ends_only_once_a_sign_out_is_over_and_stays_where_it_was_not_whole() {
    let mut bench = Bench::new().await;
    bench.until(restored).await;
    bench.somebody("anna");
    bench.worker.sign_out();
    bench.worker.quit(false);
    assert!(bench.worker.goes_on(), "the issuer was not told yet");
    bench.worker.tend().await;
    assert!(matches!(bench.worker.who, Who::Leaving(Leaving::Issuer)));
    bench.until(|wake| matches!(wake, Wake::SignedOut(_))).await;
    assert!(bench.vault.kept().is_empty());
    assert!(matches!(bench.worker.who, Who::Nobody(_)));
    assert_eq!(bench.worker.quit, QuitView::No, "somebody has to see it");
    assert!(
        bench
            .worker
            .notices
            .iter()
            .any(|notice| notice.what.contains("the issuer was not told"))
    );
    bench.worker.quit(false);
    assert!(!bench.worker.goes_on());
}

#[tokio::test]
async fn who_could_not_sign_out_is_told_and_the_keyring_keeps_the_sign_in() {
    let mut bench = Bench::new().await;
    bench.until(restored).await;
    bench.somebody("anna");
    bench.worker.quit = QuitView::Ending;
    let locked = Err(SignInError::Keyring(VaultError::Locked));
    bench.worker.signed_out(locked).await;
    assert_eq!(bench.worker.quit, QuitView::No);
    bench.worker.quit = QuitView::Ending;
    bench.worker.signed_out(Ok(SignedOut::Revoked)).await;
    assert_eq!(bench.worker.quit, QuitView::Ending);
}

#[tokio::test]
async fn labels_end_with_the_sign_in_that_they_were_read_under() {
    let mut bench = Bench::new().await;
    bench.until(restored).await;
    bench.somebody("anna");
    let label = r#"{"ver":"v1","name":"PROV_1","pop":"abcd1234","transport":"ble"}"#;
    bench.worker.read_label(&Typed::new(label.into()), None);
    assert_eq!(bench.worker.labels.known.len(), 1);
    bench.worker.sign_out();
    bench.worker.tend().await;
    assert!(bench.worker.labels.known.is_empty() && bench.worker.orders.is_empty());
}
