//! Links without a front: time, limits and faults of single operations, and their record.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail as tests do")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{ECHO, Gate, MOODY, NEWS, Parrot, id, quick};
use sandbox::radio::air::{Air, ConnectError};
use sandbox::radio::device::Device;
use sandbox::radio::faults::{DeviceFaults, Latency};
use sandbox::radio::link::{Link, OpError, Request};
use sandbox::radio::peripheral::AttError;
use sandbox::radio::record::{LinkEnd, OperationKind};
use tokio::time::Instant;

struct Scene {
    air: Air,
    device: Arc<Device>,
    parrot: Arc<Parrot>,
}

impl Scene {
    fn new(latency: &Latency) -> Self {
        let mut config = quick();
        for adapter in &mut config.adapters {
            adapter.latency.clone_from(latency);
        }
        let (air, parrot) = (Air::new(&config), Parrot::new(1));
        let device = air.add(Arc::clone(&parrot) as _);
        Self { air, device, parrot }
    }

    async fn connect(&self) -> Result<Arc<Link>, ConnectError> {
        let adapter = self.air.adapter("hci0").unwrap();
        let (link, _) = self
            .air
            .connect(adapter, &self.device, self.device.address())
            .await?;
        Ok(link)
    }
}

fn handle(link: &Link, uuid: uuid::Uuid) -> u16 {
    link.table()
        .characteristics()
        .find(|c| c.id == id(uuid))
        .unwrap()
        .handle
}

#[tokio::test(start_paused = true)]
async fn an_operation_takes_the_round_trips_that_its_value_needs() {
    let scene = Scene::new(&Latency {
        round_trip: Duration::from_millis(15),
        ..Latency::NONE
    });
    for (mtu, length, to_write, to_read) in [
        (23, 0, 1, 1),
        (23, 20, 1, 1),
        (23, 21, 3, 1),
        (23, 22, 3, 2),
        (23, 406, 24, 19),
        (247, 244, 1, 1),
        (247, 245, 3, 1),
        (247, 246, 3, 2),
        (517, 512, 1, 1),
        (65, 512, 10, 8),
    ] {
        scene.device.set_faults(DeviceFaults {
            mtu: Some(mtu),
            ..DeviceFaults::default()
        });
        let link = scene.connect().await.unwrap();
        let echo = handle(&link, ECHO);
        let start = Instant::now();
        link.perform(Request::Write(echo, vec![7; length])).await.unwrap();
        assert_eq!(
            start.elapsed(),
            Duration::from_millis(15) * to_write,
            "write {length} at {mtu}"
        );
        let start = Instant::now();
        assert_eq!(link.perform(Request::Read(echo)).await.unwrap().len(), length);
        assert_eq!(
            start.elapsed(),
            Duration::from_millis(15) * to_read,
            "read {length} at {mtu}"
        );
        link.close(LinkEnd::Client);
        let record = scene.device.records().pop().unwrap();
        assert_eq!(
            (record.bytes(), record.round_trips()),
            (2 * length, to_write + to_read)
        );
        assert_eq!(record.floor(), Duration::from_millis(15) * (to_write + to_read));
    }
}

#[tokio::test]
async fn many_short_operations_take_no_longer_than_configured_although_timers_are_late() {
    // 7.5 ms is the shortest connection interval; timers here have whole milliseconds.
    let round_trip = Duration::from_micros(7_500);
    let scene = Scene::new(&Latency {
        round_trip,
        ..Latency::NONE
    });
    let link = scene.connect().await.unwrap();
    let echo = handle(&link, ECHO);
    let start = Instant::now();
    for _ in 0..40 {
        link.perform(Request::Read(echo)).await.unwrap();
    }
    let (took, floor) = (start.elapsed(), round_trip * 40);
    assert!(
        took + Duration::from_millis(10) >= floor,
        "{took:?} is under {floor:?}"
    );
    let record = scene.device.records().pop().unwrap();
    assert_eq!(
        record.operations.iter().map(|o| o.latency).sum::<Duration>(),
        floor
    );
}

#[tokio::test]
async fn a_device_finishes_what_it_began_although_the_link_is_gone() {
    let scene = Scene::new(&Latency::NONE);
    let link = scene.connect().await.unwrap();
    let (news, gate) = (handle(&link, NEWS), Arc::new(Gate::default()));
    scene.parrot.told.lock().unwrap().gate = Some(Arc::clone(&gate));
    let writing = tokio::spawn({
        let link = Arc::clone(&link);
        async move { link.perform(Request::Write(news, b"late".to_vec())).await }
    });
    gate.reached.notified().await;
    scene.device.break_link();
    assert_eq!(writing.await.unwrap(), Err(OpError::NotConnected));
    assert_eq!(scene.device.records().pop().unwrap().ended, Some(LinkEnd::Fault));
    assert_eq!(
        link.perform(Request::Write(news, b"none".to_vec())).await,
        Err(OpError::NotConnected)
    );
    assert!(scene.parrot.written().is_empty());
    gate.open.notify_one();
    while scene.parrot.written().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.parrot.written(), [b"late"]);
}

#[tokio::test]
async fn what_a_characteristic_does_not_allow_is_refused_before_the_device_hears_of_it() {
    let scene = Scene::new(&Latency::NONE);
    let link = scene.connect().await.unwrap();
    let (echo, news) = (handle(&link, ECHO), handle(&link, NEWS));
    let att = |error| Err(OpError::Att(error));
    assert_eq!(
        link.perform(Request::Read(news)).await,
        att(AttError::READ_NOT_PERMITTED)
    );
    assert_eq!(
        link.perform(Request::Subscribe(echo, true)).await,
        att(AttError::REQUEST_NOT_SUPPORTED)
    );
    assert_eq!(
        link.perform(Request::Write(echo, vec![0; 513])).await,
        Err(OpError::TooLong)
    );
    assert_eq!(
        link.perform(Request::WriteCommand(news, vec![0; 245])).await,
        Err(OpError::CommandTooLong)
    );
    assert_eq!(link.perform(Request::Read(1)).await, Err(OpError::Missing));
    assert!(scene.parrot.written().is_empty());
}

#[tokio::test]
async fn a_record_tells_every_operation_with_its_outcome() {
    let scene = Scene::new(&Latency::NONE);
    let link = scene.connect().await.unwrap();
    let (echo, moody) = (handle(&link, ECHO), handle(&link, MOODY));
    link.perform(Request::Write(echo, b"abc".to_vec())).await.unwrap();
    let description = link.table().characteristic(echo).unwrap().descriptors[0].handle;
    link.perform(Request::ReadDescriptor(description)).await.unwrap();
    let refused = OpError::Att(AttError::BLUEDROID_ERROR);
    assert_eq!(
        link.perform(Request::Write(moody, b"?".to_vec())).await,
        Err(refused)
    );
    link.ended().await;
    let record = scene.device.records().pop().unwrap();
    let told: Vec<_> = record
        .operations
        .iter()
        .map(|o| (o.kind, o.characteristic, o.bytes, o.result))
        .collect();
    let expected = [
        (OperationKind::Write, id(ECHO), 3, Ok(())),
        (OperationKind::ReadDescriptor, id(ECHO), 4, Ok(())),
        (OperationKind::Write, id(MOODY), 1, Err(refused)),
    ];
    assert_eq!(told, expected);
    assert_eq!(record.ended, Some(LinkEnd::Device));
}

#[tokio::test(start_paused = true)]
async fn a_fading_device_is_lost_when_it_can_no_longer_be_heard() {
    let scene = Scene::new(&Latency::NONE);
    let link = scene.connect().await.unwrap();
    // -55 dBm, and 45 dB of headroom.
    scene.device.set_faults(DeviceFaults {
        fade_db_per_s: 5,
        ..DeviceFaults::default()
    });
    let start = Instant::now();
    link.ended().await;
    assert_eq!(start.elapsed().as_secs(), 9);
    assert_eq!(scene.connect().await.err(), Some(ConnectError::TimedOut));
    let vanish_after = Some(Duration::from_secs(30));
    scene.device.set_faults(DeviceFaults {
        vanish_after,
        ..DeviceFaults::default()
    });
    let (link, start) = (scene.connect().await.unwrap(), Instant::now());
    link.ended().await;
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn an_address_rotates_in_its_period_and_only_the_new_one_answers() {
    let scene = Scene::new(&Latency::NONE);
    let old = scene.device.address();
    let rotate_address = Some(Duration::from_secs(60));
    scene.device.set_faults(DeviceFaults {
        rotate_address,
        ..DeviceFaults::default()
    });
    let first = scene.device.address();
    assert!(first.random && first != old);
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(scene.device.address(), first);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_ne!(scene.device.address(), first);
    let adapter = scene.air.adapter("hci0").unwrap();
    let refused = scene.air.connect(adapter, &scene.device, first).await.err();
    assert_eq!(refused, Some(ConnectError::TimedOut));
    assert!(scene.connect().await.is_ok());
}

#[tokio::test]
async fn a_linked_device_is_silent_and_takes_no_second_link() {
    let scene = Scene::new(&Latency::NONE);
    let link = scene.connect().await.unwrap();
    assert!(scene.device.is_linked());
    assert_eq!(scene.connect().await.err(), Some(ConnectError::TimedOut));
    scene.air.adapter("hci0").unwrap().update(|c| c.powered = false);
    assert_eq!(link.end(), Some(LinkEnd::Adapter));
    assert_eq!(scene.connect().await.err(), Some(ConnectError::AdapterOff));
}
