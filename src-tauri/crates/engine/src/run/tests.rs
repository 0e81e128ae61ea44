//! The loop at its edges: a radio that comes and goes, links and attempts given back, the end.

mod reception;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use commission::claim::Purpose;
use commission::device::Serial;
use commission::flow::{OutcomeRecord, Stage, Step};
use commission::gatt::GattOp;
use std::pin::Pin;
use uuid::Uuid;

use super::*;
use crate::cloud::Nobody;
use crate::fixtures::{self, TestClock};
use crate::ports::{Adapter, JournalEntry, JournalError, RadioState};
use crate::view::JobView;

mod taking_up;

/// An air in which one device may be heard, and a stack that does as the test says.
#[derive(Default)]
struct Air {
    off: AtomicBool,
    /// So many scans find the stack busy first.
    busy: AtomicUsize,
    state: watch::Sender<RadioState>,
    scans: AtomicUsize,
    listener: Mutex<Option<mpsc::Sender<Sighting>>>,
    /// Connecting takes for ever.
    silent: AtomicBool,
    attempts: AtomicUsize,
    broken_off: AtomicBool,
    given_back: AtomicBool,
}

struct SharedAir(Arc<Air>);

#[async_trait]
impl Radio for SharedAir {
    fn state(&self) -> watch::Receiver<RadioState> {
        self.0.state.subscribe()
    }

    async fn adapters(&self) -> Result<Vec<Adapter>, LinkError> {
        Ok(Vec::new())
    }

    async fn scan(&self) -> Result<mpsc::Receiver<Sighting>, LinkError> {
        self.0.scans.fetch_add(1, Ordering::SeqCst);
        if self.0.off.load(Ordering::SeqCst) {
            return Err(LinkError::AdapterOff);
        }
        self.0
            .state
            .send_if_modified(|state| state.trouble.take().is_some());
        let take = |busy: usize| busy.checked_sub(1);
        let (set, read) = (Ordering::SeqCst, Ordering::SeqCst);
        if self.0.busy.fetch_update(set, read, take).is_ok() {
            return Err(LinkError::InProgress);
        }
        let (listener, sightings) = mpsc::channel(16);
        *self.0.listener.lock().unwrap() = Some(listener);
        Ok(sightings)
    }

    async fn connect(&self, _: &PeripheralId, _: Duration) -> Result<Box<dyn Link>, LinkError> {
        struct Attempt<'a>(&'a Air);
        impl Drop for Attempt<'_> {
            fn drop(&mut self) {
                self.0.broken_off.store(true, Ordering::SeqCst);
            }
        }
        self.0.attempts.fetch_add(1, Ordering::SeqCst);
        if self.0.silent.load(Ordering::SeqCst) {
            let _attempt = Attempt(&self.0);
            std::future::pending::<()>().await;
        }
        Ok(Box::new(SlowLink(Arc::clone(&self.0), GattTable::default())))
    }
}

/// A link that never answers and takes its time to be given back.
struct SlowLink(Arc<Air>, GattTable);

#[async_trait]
impl Link for SlowLink {
    fn table(&self) -> &GattTable {
        &self.1
    }

    async fn perform(&self, _: &GattOp) -> Result<Vec<u8>, LinkError> {
        std::future::pending().await
    }

    fn lost(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }

    async fn disconnect(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        self.0.given_back.store(true, Ordering::SeqCst);
    }

    /// As a stack that takes its time.
    fn over(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }
}

/// Takes everything, and remembers of each job up to this number only that it was begun, all of them with one device.
#[derive(Default)]
struct Forgetful {
    jobs: u128,
    /// What it has of devices, in order.
    shown: Vec<Step>,
}

#[async_trait]
impl Journal for Forgetful {
    async fn append(&self, _: JobId, _: &str, _: &Step) -> Result<(), JournalError> {
        Ok(())
    }
    async fn entries(&self, of: JobId) -> Result<Vec<JournalEntry>, JournalError> {
        let begun = (1..=self.jobs).map(job).find(|job| *job == of);
        let entry = begun.map(|job| JournalEntry {
            number: i64::try_from(job.0.as_u128()).unwrap(),
            job,
            at: commission::time::UnixTime(0),
            person: "anna".into(),
            step: started(),
        });
        Ok(entry.into_iter().collect())
    }
    async fn jobs(&self) -> Result<Vec<JournalEntry>, JournalError> {
        let mut jobs = Vec::new();
        for number in (1..=self.jobs).rev() {
            jobs.extend(self.entries(job(number)).await?);
        }
        Ok(jobs)
    }
    async fn ends(&self) -> Result<Vec<JournalEntry>, JournalError> {
        Ok(Vec::new())
    }

    async fn shown(&self) -> Result<Vec<JournalEntry>, JournalError> {
        let entry = |step: &Step| JournalEntry {
            number: 1,
            job: job(99),
            at: commission::time::UnixTime(0),
            person: "anna".into(),
            step: step.clone(),
        };
        Ok(self.shown.iter().map(entry).collect())
    }

    async fn verify(&self) -> Result<u64, JournalError> {
        Ok(0)
    }
}

/// The beginning of a job with the device `one`.
fn started() -> Step {
    Step::Started {
        organisation: Some(fixtures::organisation("harbour")),
        peripheral: PeripheralId("one".into()),
        name: "PROV_1".into(),
        dialect: commission::device::DialectKind::Espressif,
        serial: None,
        purpose: Purpose::New,
        site: None,
        parameters: BTreeMap::new(),
    }
}

struct Zeros;

impl Entropy for Zeros {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

struct Bench {
    engine: Engine,
    air: Arc<Air>,
    clock: Arc<TestClock>,
}

impl Bench {
    fn new() -> Self {
        Self::after(0)
    }

    /// After an earlier run that left so many jobs of one device.
    fn after(jobs: u128) -> Self {
        Self::with(Forgetful {
            jobs,
            shown: Vec::new(),
        })
    }

    fn with(journal: Forgetful) -> Self {
        let (air, clock) = (Arc::new(Air::default()), Arc::new(TestClock::default()));
        let engine = Engine::start(Parts {
            radio: Arc::new(SharedAir(Arc::clone(&air))),
            cloud: Arc::new(Nobody),
            journal: Arc::new(journal),
            work: Some(fixtures::work()),
            organisation: Some(fixtures::organisation("harbour")),
            clock: clock.clone(),
            entropy: Box::new(Zeros),
            makers: Vec::new(),
            person: "anna".into(),
            policy: Policy::default(),
            limits: Limits::default(),
        });
        Self { engine, air, clock }
    }

    /// Lets the loop run, its clock going on in small steps, until this holds.
    async fn until(&self, holds: impl Fn(&View) -> bool) -> Arc<View> {
        let views = self.engine.views();
        timeout(Duration::from_secs(20), async {
            loop {
                let view = Arc::clone(&views.borrow());
                if holds(&view) {
                    return view;
                }
                self.clock.advance(Duration::from_millis(20));
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
            }
        })
        .await
        .expect("it comes about")
    }

    async fn hear(&self) {
        self.hear_device("one").await;
    }

    /// A device is heard, by what the radio calls it; they all share a name.
    async fn hear_device(&self, id: &str) {
        let listener = self
            .air
            .listener
            .lock()
            .unwrap()
            .clone()
            .expect("the radio listens");
        let sighting = Sighting {
            peripheral: PeripheralId(id.into()),
            name: Some("PROV_1".into()),
            services: vec![dialect::espressif::advert::COMPONENT_SERVICE],
            manufacturer: BTreeMap::new(),
            service_data: BTreeMap::new(),
            rssi: Some(-50),
            at: self.clock.now(),
        };
        listener.send(sighting).await.unwrap();
    }

    fn commission(&self, number: u128) {
        self.commission_serial(number, None);
    }

    fn commission_serial(&self, number: u128, serial: Option<&str>) {
        let order = Order {
            target: Target::Name("PROV_1".into()),
            serial: serial.map(|serial| Serial::new(serial).unwrap()),
            pop: None,
            username: None,
            strength: None,
            network: None,
            site: Some("Hall 3".into()),
            parameters: BTreeMap::new(),
            purpose: Purpose::New,
        };
        self.engine
            .request(Request::Commission(job(number), Box::new(order)));
    }
}

fn job(number: u128) -> JobId {
    JobId(Uuid::from_u128(number))
}

fn code(job: &JobView) -> Option<&str> {
    match job.outcome.as_ref()? {
        OutcomeRecord::Failed { fault, .. } | OutcomeRecord::Unknown { fault, .. } => Some(&fault.code),
        OutcomeRecord::Done { .. } => Some("done"),
    }
}

#[tokio::test]
async fn an_engine_that_ends_right_after_an_order_ends_the_order_by_name() {
    let bench = Bench::new();
    let views = bench.engine.views();
    bench.commission(1);
    bench.engine.shutdown().await;
    let view = views.borrow().clone();
    let codes: Vec<_> = view.jobs.iter().map(code).collect();
    assert_eq!(codes, [Some("cancelled")]);
}

#[tokio::test]
async fn a_job_shows_what_it_was_ordered_with_and_its_device_once_that_is_heard() {
    let bench = Bench::new();
    bench.commission(1);
    let view = bench.until(|view| !view.jobs.is_empty() && view.listening).await;
    let job = &view.jobs[0];
    assert_eq!(
        (job.site.as_deref(), job.purpose),
        (Some("Hall 3"), Some(Purpose::New))
    );
    assert_eq!((&job.peripheral, &job.network), (&None, &None));
    bench.hear().await;
    let view = bench.until(|view| view.jobs[0].peripheral.is_some()).await;
    assert_eq!(view.jobs[0].peripheral, Some(PeripheralId("one".into())));
    bench.engine.shutdown().await;
}

#[tokio::test]
async fn the_end_waits_until_a_link_is_given_back() {
    let bench = Bench::new();
    bench.commission(1);
    bench.until(|view| view.listening).await;
    bench.hear().await;
    bench
        .until(|view| view.jobs.iter().any(|job| !job.stages.is_empty()))
        .await;
    while bench.air.attempts.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let (air, views) = (Arc::clone(&bench.air), bench.engine.views());
    bench.engine.shutdown().await;
    assert!(air.given_back.load(Ordering::SeqCst));
    assert!(views.borrow().jobs.iter().all(JobView::is_over));
}

#[tokio::test]
async fn an_attempt_to_connect_is_broken_off_with_its_job() {
    let bench = Bench::new();
    bench.air.silent.store(true, Ordering::SeqCst);
    bench.commission(1);
    bench.until(|view| view.listening).await;
    bench.hear().await;
    let air = Arc::clone(&bench.air);
    bench.until(|_| air.attempts.load(Ordering::SeqCst) > 0).await;
    bench.engine.request(Request::Cancel(job(1)));
    bench.until(|view| view.jobs.iter().all(JobView::is_over)).await;
    bench.until(|_| air.broken_off.load(Ordering::SeqCst)).await;
    bench.engine.shutdown().await;
}

#[tokio::test]
async fn a_device_that_falls_silent_fades_and_leaves_the_list_without_another_being_heard() {
    let bench = Bench::new();
    bench.engine.request(Request::Listen);
    bench.until(|view| view.listening).await;
    bench.hear().await;
    bench.until(|view| view.nearby.len() == 1).await;
    bench
        .until(|view| view.nearby.iter().all(|device| device.fading))
        .await;
    bench.until(|view| view.nearby.is_empty()).await;
    bench.engine.shutdown().await;
}

#[tokio::test]
async fn an_adapter_that_is_switched_on_again_is_listened_to_without_being_asked() {
    let bench = Bench::new();
    bench.air.off.store(true, Ordering::SeqCst);
    bench.engine.request(Request::Listen);
    bench.until(|view| view.radio_trouble.is_some()).await;

    // Meanwhile an order learns the reason, and not that its device was not heard.
    bench.commission(1);
    let view = bench
        .until(|view| !view.jobs.is_empty() && view.jobs.iter().all(JobView::is_over))
        .await;
    assert_ne!(code(&view.jobs[0]), Some("not-advertising"));

    bench.air.off.store(false, Ordering::SeqCst);
    let view = bench.until(|view| view.listening).await;
    assert_eq!(view.radio_trouble, None);
    bench.engine.request(Request::StopListening);
    bench.until(|view| !view.listening).await;
    bench.engine.shutdown().await;
}

#[tokio::test]
async fn a_radio_that_stays_off_is_not_asked_in_a_loop() {
    let bench = Bench::new();
    bench.air.off.store(true, Ordering::SeqCst);
    bench.engine.request(Request::Listen);
    bench.until(|view| view.radio_trouble.is_some()).await;
    let (before, began) = (bench.air.scans.load(Ordering::SeqCst), bench.clock.now());
    bench
        .until(|_| bench.clock.now().since(began) >= LISTEN_AGAIN * 5)
        .await;
    let asked = bench.air.scans.load(Ordering::SeqCst) - before;
    assert!((3..=6).contains(&asked), "{asked}");
    bench.engine.shutdown().await;
}

#[tokio::test]
async fn a_job_that_the_journal_does_not_know_ends_and_is_not_called_undone() {
    let bench = Bench::new();
    bench.engine.request(Request::Resume(job(9)));
    let view = bench
        .until(|view| !view.jobs.is_empty() && view.jobs.iter().all(JobView::is_over))
        .await;
    assert!(matches!(
        &view.jobs[0].outcome,
        Some(OutcomeRecord::Failed {
            stage: Stage::Found,
            undone: false,
            ..
        })
    ));
    bench.engine.shutdown().await;
}

#[tokio::test]
async fn a_job_in_work_is_not_begun_again() {
    let bench = Bench::new();
    bench.air.silent.store(true, Ordering::SeqCst);
    bench.commission(1);
    bench.until(|view| view.listening).await;
    bench.hear().await;
    bench
        .until(|view| view.jobs.iter().any(|job| !job.stages.is_empty()))
        .await;
    bench.engine.request(Request::Resume(job(1)));
    bench.commission(1);
    bench.engine.request(Request::Listen);
    let view = bench.until(|view| view.listening).await;
    assert_eq!(view.jobs.len(), 1);
    assert!(!view.jobs[0].stages.is_empty(), "its story is still told");
    bench.engine.shutdown().await;
}

#[tokio::test]
async fn jobs_of_one_device_that_an_earlier_run_left_are_taken_up_one_after_the_other() {
    let bench = Bench::after(3);
    bench.air.silent.store(true, Ordering::SeqCst);
    // The list that they were chosen from has its own order.
    for number in [3, 1, 2] {
        bench.engine.request(Request::Resume(job(number)));
    }
    let mut ended = Vec::new();
    for number in 0..3 {
        let air = Arc::clone(&bench.air);
        bench
            .until(|_| air.attempts.load(Ordering::SeqCst) > number)
            .await;
        let view = bench
            .until(|view| {
                view.jobs
                    .iter()
                    .any(|job| !job.is_over() && !job.stages.is_empty())
            })
            .await;
        let linking: Vec<JobId> = view
            .jobs
            .iter()
            .filter(|job| !job.is_over() && !job.stages.is_empty())
            .map(|job| job.id)
            .collect();
        let [linking] = linking.as_slice() else {
            panic!("one device, and several at it: {linking:?}");
        };
        ended.push(*linking);
        bench.engine.request(Request::Cancel(*linking));
        let linking = *linking;
        bench
            .until(|view| view.jobs.iter().any(|job| job.id == linking && job.is_over()))
            .await;
    }
    assert_eq!(ended, [job(1), job(2), job(3)], "the oldest first");
    bench.engine.shutdown().await;
}

#[tokio::test]
async fn a_job_that_waits_for_its_device_ends_with_the_engine_and_is_not_called_undone() {
    let bench = Bench::after(2);
    bench.air.silent.store(true, Ordering::SeqCst);
    for number in 1..=2 {
        bench.engine.request(Request::Resume(job(number)));
    }
    let air = Arc::clone(&bench.air);
    bench.until(|_| air.attempts.load(Ordering::SeqCst) > 0).await;
    bench
        .until(|view| view.jobs.len() == 2 && view.jobs.iter().all(|job| job.name == "PROV_1"))
        .await;
    let views = bench.engine.views();
    bench.engine.shutdown().await;
    let view = views.borrow().clone();
    let waiting = view.jobs.iter().find(|job| job.stages.is_empty()).unwrap();
    assert!(
        matches!(
            &waiting.outcome,
            Some(OutcomeRecord::Failed { undone: false, .. })
        ),
        "{waiting:?}"
    );
}
