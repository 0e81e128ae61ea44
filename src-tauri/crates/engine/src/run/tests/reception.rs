//! A radio that cannot hear, is not there, or slept; and the one door to it.

use commission::device::{Fingerprint, Firmware, Identity};
use commission::fault::Fault;

use super::*;
use crate::request::{Blink, BlinkError};

impl Bench {
    /// Lets the loop run for so long.
    async fn pass(&self, span: Duration) -> Arc<View> {
        let until = self.clock.now() + span;
        self.until(|_| self.clock.now() >= until).await
    }

    fn set_hears(&self, hears: bool) {
        self.air.state.send_modify(|state| state.hears = hears);
    }

    /// The adapter goes off, with its scan, and says so until one begins anew.
    fn switch_off(&self) {
        self.air.off.store(true, Ordering::SeqCst);
        self.air
            .state
            .send_modify(|state| state.trouble = Some(LinkError::AdapterOff));
        self.air.listener.lock().unwrap().take();
    }

    fn blink(&self, id: &str) -> oneshot::Receiver<Result<(), BlinkError>> {
        let (reply, told) = oneshot::channel();
        self.engine.request(Request::Blink(Box::new(Blink {
            peripheral: PeripheralId(id.into()),
            label: None,
            reply,
        })));
        told
    }

    fn attempts(&self) -> usize {
        self.air.attempts.load(Ordering::SeqCst)
    }
}

fn begun(view: &View) -> bool {
    !view.jobs.is_empty() && view.jobs.iter().all(|job| !job.stages.is_empty())
}

#[tokio::test]
async fn time_in_which_the_radio_connects_does_not_count_against_an_order() {
    let bench = Bench::new();
    bench.commission(1);
    bench.until(|view| view.listening).await;
    bench.set_hears(false);
    let view = bench.pass(FIND * 2).await;
    assert!(!view.jobs[0].is_over(), "{:?}", view.jobs[0]);
    bench.set_hears(true);
    bench.until(|view| view.jobs.iter().all(JobView::is_over)).await;
    let view = bench.engine.views().borrow().clone();
    assert_eq!(code(&view.jobs[0]), Some("not-advertising"));
    bench.engine.shutdown().await;
}

#[tokio::test]
async fn a_scan_that_does_not_start_ends_no_order() {
    let bench = Bench::new();
    bench.air.busy.store(2, Ordering::SeqCst);
    bench.commission(1);
    let view = bench.until(|view| view.radio_trouble.is_some()).await;
    assert!(view.jobs.iter().all(|job| !job.is_over()), "{:?}", view.jobs);
    bench.until(|view| view.listening).await;
    bench.hear().await;
    bench.until(begun).await;
    bench.engine.shutdown().await;
}

#[tokio::test]
async fn orders_wait_for_an_adapter_that_went_off_and_go_on_by_themselves() {
    let bench = Bench::new();
    bench.commission(1);
    bench.until(|view| view.listening).await;
    bench.switch_off();
    let view = bench.until(|view| view.paused).await;
    assert_eq!(
        view.radio_trouble.as_ref().map(|trouble| trouble.code.as_str()),
        Some("adapter-off")
    );
    let view = bench.pass(FIND * 3).await;
    assert!(view.paused && !view.jobs[0].is_over(), "{:?}", view.jobs);
    bench.air.off.store(false, Ordering::SeqCst);
    let view = bench.until(|view| view.listening).await;
    assert_eq!((view.paused, &view.radio_trouble), (false, &None));
    bench.hear().await;
    bench.until(begun).await;
    bench.engine.shutdown().await;
}

#[tokio::test]
async fn an_hour_of_sleep_does_not_count_against_an_order() {
    let bench = Bench::new();
    bench.commission(1);
    bench.until(|view| view.listening).await;
    let scans = bench.air.scans.load(Ordering::SeqCst);
    bench.clock.advance(Duration::from_secs(3600));
    bench
        .until(|view| view.listening && bench.air.scans.load(Ordering::SeqCst) > scans)
        .await;
    let view = bench.pass(FIND / 2).await;
    assert!(!view.jobs[0].is_over(), "{:?}", view.jobs);
    bench.hear().await;
    bench.until(begun).await;
    bench.engine.shutdown().await;
}

#[tokio::test]
async fn a_device_that_a_job_has_is_not_let_blink_over_its_head() {
    let bench = Bench::new();
    bench.air.silent.store(true, Ordering::SeqCst);
    bench.commission(1);
    bench.until(|view| view.listening).await;
    bench.hear().await;
    bench.until(|_| bench.attempts() > 0).await;
    assert_eq!(bench.blink("one").await, Ok(Err(BlinkError::InWork)));
    assert_eq!(bench.attempts(), 1);
    bench.engine.shutdown().await;
}

#[tokio::test]
async fn an_order_waits_until_its_device_has_blinked_and_the_end_stops_that() {
    let bench = Bench::new();
    bench.air.silent.store(true, Ordering::SeqCst);
    bench.engine.request(Request::Listen);
    bench.until(|view| view.listening).await;
    assert_eq!(
        bench.blink("one").await,
        Ok(Err(Fault::NotAdvertising.into())),
        "nobody hears it"
    );
    bench.hear().await;
    bench.until(|view| view.nearby.len() == 1).await;
    let told = bench.blink("one");
    bench.until(|_| bench.attempts() == 1).await;
    bench.commission(1);
    let view = bench.pass(Duration::from_secs(2)).await;
    assert!(view.jobs[0].stages.is_empty(), "{:?}", view.jobs);
    let air = Arc::clone(&bench.air);
    bench.engine.shutdown().await;
    assert_eq!(told.await, Ok(Err(Fault::Cancelled(None).into())));
    assert_eq!(air.attempts.load(Ordering::SeqCst), 1);
    assert!(air.broken_off.load(Ordering::SeqCst));
}

#[tokio::test]
async fn of_two_devices_of_one_name_the_one_that_proved_another_serial_is_not_tried() {
    let identity = Identity {
        serial: Serial::new("SN-1").unwrap(),
        model: "M".into(),
        firmware: Firmware("1.0".into()),
        key_sha256: Fingerprint([0; 32]),
    };
    let bench = Bench::with(Forgetful {
        jobs: 0,
        shown: vec![started(), Step::Identified { identity, keys: None }],
    });
    bench.air.silent.store(true, Ordering::SeqCst);
    bench.commission_serial(1, Some("SN-2"));
    bench.until(|view| view.listening).await;
    bench.hear_device("one").await;
    let view = bench.until(|view| view.nearby.len() == 1).await;
    assert!(view.jobs[0].stages.is_empty());
    bench.hear_device("two").await;
    let view = bench.until(begun).await;
    assert_eq!(view.jobs[0].peripheral, Some(PeripheralId("two".into())));
    bench.engine.shutdown().await;
}
