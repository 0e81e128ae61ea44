//! Jobs that an earlier run left: who may take them up, and which of them are none any more.

use std::path::Path;

use commission::claim::{Claim, ClaimId, ClaimRequest, CleanupHandle};
use commission::device::{DialectKind, Fingerprint, Firmware, Identity, Serial};
use commission::evidence::{Observation, Owner, Snapshot, Thing};
use commission::fault::{CloudError, FaultRecord};
use commission::time::UnixTime;

use super::*;
use crate::fixtures::organisation;
use crate::journal::{AdoptError, SqliteJournal, adopt};
use crate::ports::Preflight;

/// A cloud that knows nothing of any claim, as another organisation's would, and counts what it is asked.
#[derive(Default)]
struct Stranger {
    asked: Mutex<Vec<&'static str>>,
}

impl Stranger {
    fn note(&self, what: &'static str) {
        self.asked.lock().unwrap().push(what);
    }

    fn asked(&self) -> Vec<&'static str> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Cloud for Stranger {
    async fn preflight(&self) -> Result<Preflight, CloudError> {
        Err(CloudError::SignedOut)
    }

    async fn snapshot(&self, _: &Serial, _: &BTreeMap<String, String>) -> Result<Snapshot, CloudError> {
        self.note("snapshot");
        Ok(Snapshot {
            known: Some(true),
            identity_key_sha256: None,
            min_firmware: None,
            owner: Owner::None,
            thing: None,
            self_enrolling: false,
        })
    }

    async fn issue(&self, _: &ClaimRequest) -> Result<Claim, CloudError> {
        self.note("issue");
        Err(CloudError::SignedOut)
    }

    async fn observe(&self, _: &ClaimId, after: u64) -> Result<Observation, CloudError> {
        self.note("observe");
        Ok(Observation {
            evidence: Vec::new(),
            thing: None,
            claim_over: true,
            next: after,
        })
    }

    async fn retire(&self, _: &CleanupHandle) -> Result<(), CloudError> {
        self.note("retire");
        Ok(())
    }

    async fn deactivate(&self, _: &str, _: &str) -> Result<Thing, CloudError> {
        self.note("deactivate");
        Err(CloudError::SignedOut)
    }

    async fn release(&self, _: &str, _: &ClaimId) -> Result<(), CloudError> {
        self.note("release");
        Err(CloudError::SignedOut)
    }
}

/// An engine over a journal on disk.
struct Place {
    dir: tempfile::TempDir,
    journal: Arc<SqliteJournal>,
    cloud: Arc<Stranger>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = Arc::new(SqliteJournal::open(&file(dir.path())).unwrap());
        Self {
            dir,
            journal,
            cloud: Arc::default(),
        }
    }

    async fn write(&self, number: u128, steps: impl IntoIterator<Item = Step>) {
        for step in steps {
            self.journal.append(job(number), "anna", &step).await.unwrap();
        }
    }

    fn work_for(&self, client: &str) -> Bench {
        let (air, clock) = (Arc::new(Air::default()), Arc::new(TestClock::default()));
        let engine = Engine::start(Parts {
            radio: Arc::new(SharedAir(Arc::clone(&air))),
            cloud: self.cloud.clone(),
            journal: self.journal.clone(),
            work: Some(fixtures::work()),
            organisation: Some(organisation(client)),
            clock: clock.clone(),
            entropy: Box::new(Zeros),
            makers: Vec::new(),
            person: "anna".into(),
            policy: Policy::default(),
            limits: Limits::default(),
        });
        Bench { engine, air, clock }
    }

    async fn entries(&self) -> u64 {
        self.journal.verify().await.unwrap()
    }

    /// How a request to take a job up ends.
    async fn ends(&self, client: &str, request: Request) -> JobView {
        let bench = self.work_for(client);
        bench.air.silent.store(true, Ordering::SeqCst);
        bench.engine.request(request);
        let over = |view: &View| !view.jobs.is_empty() && view.jobs.iter().all(JobView::is_over);
        let view = bench.until(over).await;
        bench.engine.shutdown().await;
        view.jobs[0].clone()
    }
}

fn file(dir: &Path) -> std::path::PathBuf {
    dir.join("journal.sqlite")
}

fn started(client: Option<&str>) -> Step {
    Step::Started {
        peripheral: PeripheralId("one".into()),
        name: "PROV_1".into(),
        dialect: DialectKind::Espressif,
        serial: None,
        purpose: Purpose::New,
        site: None,
        parameters: BTreeMap::new(),
        organisation: client.map(organisation),
    }
}

fn identified() -> Step {
    Step::Identified {
        identity: Identity {
            serial: Serial::new("FK-1").unwrap(),
            model: "FK-SENSE".into(),
            firmware: Firmware("2.1.0".into()),
            key_sha256: Fingerprint([1; 32]),
        },
        keys: None,
    }
}

/// Killed after its settings were applied.
fn applied(client: Option<&str>) -> Vec<Step> {
    vec![
        started(client),
        identified(),
        Step::Claimed {
            unwanted: false,
            idempotency: None,
            claim: ClaimId("clm_1".into()),
            cleanup: CleanupHandle("/v1/claims/clm_1/retire".into()),
            issued_at: UnixTime(1_760_000_000),
        },
        Step::Applying,
    ]
}

fn done() -> Step {
    Step::Finished {
        outcome: OutcomeRecord::Done {
            thing: Some("thing-1".into()),
            principal: "cert-1".into(),
        },
    }
}

#[tokio::test]
async fn a_job_of_another_organisation_is_named_and_left_untouched_until_its_own_takes_it_up() {
    let place = Place::new();
    place.write(1, applied(Some("harbour"))).await;
    let before = place.entries().await;
    for request in [Request::Resume(job(1)), Request::Undo(job(1))] {
        let shown = place.ends("quarry", request).await;
        assert_eq!(code(&shown), Some("other-organisation"));
        assert!(
            matches!(shown.outcome, Some(OutcomeRecord::Failed { undone: false, .. })),
            "{shown:?}"
        );
        assert!(shown.failure.unwrap().why.contains("https://claims.example/"));
    }
    assert_eq!(place.cloud.asked(), [""; 0], "not found would prove nothing");
    assert_eq!(place.entries().await, before);
    assert_eq!(place.journal.unfinished().await, Ok(vec![job(1)]));

    let bench = place.work_for("harbour");
    bench.engine.request(Request::Resume(job(1)));
    let cloud = Arc::clone(&place.cloud);
    bench.until(|_| !cloud.asked().is_empty()).await;
    bench.engine.shutdown().await;
    assert!(place.entries().await > before);
}

#[tokio::test]
async fn a_job_of_before_jobs_had_an_organisation_is_taken_up_once_a_person_has_said_whose_it_is() {
    let place = Place::new();
    place.write(1, applied(None)).await;
    let before = place.entries().await;
    let shown = place.ends("harbour", Request::Resume(job(1))).await;
    assert_eq!(code(&shown), Some("organisation-unknown"));
    assert_eq!((place.cloud.asked().len(), place.entries().await), (0, before));

    let work = fixtures::work();
    let (harbour, quarry) = (organisation("harbour"), organisation("quarry"));
    let said = |whose| adopt(&work, place.journal.as_ref(), job(1), whose, "anna");
    assert_eq!(said(&harbour).await, Ok(()));
    assert_eq!(said(&harbour).await, Ok(()));
    assert_eq!(said(&quarry).await, Err(AdoptError::Other(harbour.clone())));
    assert_eq!(place.entries().await, before + 1, "it is written down once");
    let shown = place.ends("quarry", Request::Resume(job(1))).await;
    assert_eq!(code(&shown), Some("other-organisation"));

    // Another run of the program asks nobody again.
    let journal = SqliteJournal::open(&file(place.dir.path())).unwrap();
    let ledger = journal.ledger().await.unwrap();
    let open = ledger.open_job(job(1)).unwrap();
    assert_eq!(open.record.organisation(), Some(&harbour));
    let bench = place.work_for("harbour");
    bench.engine.request(Request::Resume(job(1)));
    let cloud = Arc::clone(&place.cloud);
    bench.until(|_| !cloud.asked().is_empty()).await;
    bench.engine.shutdown().await;
}

#[tokio::test]
async fn a_job_that_is_done_or_undone_is_not_begun_again_from_a_list_that_is_old() {
    let place = Place::new();
    let mut steps = applied(Some("harbour"));
    steps.push(done());
    place.write(1, steps).await;
    let undone = Step::Finished {
        outcome: OutcomeRecord::Failed {
            stage: Stage::Proving,
            fault: FaultRecord {
                code: "wrong-pop".into(),
                detail: "the proof of possession is wrong".into(),
            },
            undone: true,
        },
    };
    place.write(2, [started(Some("harbour")), undone]).await;
    let before = place.entries().await;
    for request in [Request::Resume, Request::Undo] {
        let shown = place.ends("harbour", request(job(1))).await;
        assert_eq!(code(&shown), Some("done"));
        assert_eq!(shown.thing.as_deref(), Some("thing-1"));
        let shown = place.ends("harbour", request(job(2))).await;
        assert_eq!(code(&shown), Some("wrong-pop"));
    }
    assert_eq!(place.cloud.asked(), [""; 0]);
    assert_eq!(place.entries().await, before);
}

#[tokio::test]
async fn a_job_that_a_later_done_one_has_settled_is_not_begun_again() {
    let place = Place::new();
    place
        .write(1, [started(Some("harbour")), identified(), Step::Applying])
        .await;
    let begun = place.work_for("harbour");
    assert_eq!(place.journal.unfinished().await, Ok(vec![job(1)]));
    place
        .write(2, [started(Some("harbour")), identified(), done()])
        .await;
    assert_eq!(place.journal.unfinished().await, Ok(vec![]));
    let before = place.entries().await;

    begun.engine.request(Request::Resume(job(1)));
    let over = |view: &View| view.jobs.iter().any(JobView::is_over);
    let view = begun.until(over).await;
    assert_eq!(code(&view.jobs[0]), Some("superseded"));
    begun.engine.shutdown().await;
    assert_eq!(place.cloud.asked(), [""; 0]);
    assert_eq!(place.entries().await, before);
}

#[tokio::test]
async fn of_a_job_that_a_later_done_one_has_settled_the_claim_alone_is_taken_back_and_its_device_is_left_alone()
 {
    for request in [Request::Resume, Request::Undo] {
        let place = Place::new();
        place.write(1, applied(Some("harbour"))).await;
        place
            .write(2, [started(Some("harbour")), identified(), done()])
            .await;
        let bench = place.work_for("harbour");
        bench.engine.request(request(job(1)));
        bench.until(|view| view.jobs.iter().any(JobView::is_over)).await;
        let attempts = bench.air.attempts.load(Ordering::SeqCst);
        bench.engine.shutdown().await;
        let asked = place.cloud.asked();
        assert_eq!(asked.first(), Some(&"retire"), "{asked:?}");
        let only_looks = |asked: &&str| matches!(*asked, "retire" | "observe" | "snapshot");
        assert!(asked.iter().all(only_looks), "{asked:?}");
        assert_eq!(attempts, 0, "the device that works is not linked to");
        assert_eq!(place.journal.unfinished().await, Ok(vec![]));
    }
}

#[tokio::test]
async fn an_engine_without_the_right_to_run_jobs_takes_none_up() {
    let place = Place::new();
    place.write(1, applied(Some("harbour"))).await;
    let clock = Arc::new(TestClock::default());
    let air = Arc::new(Air::default());
    let engine = Engine::start(Parts {
        radio: Arc::new(SharedAir(Arc::clone(&air))),
        cloud: place.cloud.clone(),
        journal: place.journal.clone(),
        work: None,
        organisation: Some(organisation("harbour")),
        clock: clock.clone(),
        entropy: Box::new(Zeros),
        makers: Vec::new(),
        person: String::new(),
        policy: Policy::default(),
        limits: Limits::default(),
    });
    let bench = Bench { engine, air, clock };
    bench.engine.request(Request::Resume(job(1)));
    bench.commission(2);
    let over = |view: &View| view.jobs.len() == 2 && view.jobs.iter().all(JobView::is_over);
    bench.until(over).await;
    bench.engine.shutdown().await;
    assert_eq!(place.cloud.asked(), [""; 0]);
}
