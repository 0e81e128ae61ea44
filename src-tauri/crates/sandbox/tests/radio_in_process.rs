//! The air behind the engine's `Radio` port.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail as tests do")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use commission::device::Sighting;
use commission::gatt::{GattOp, LinkError};
use common::{ECHO, MOODY, Parrot, SERVICE, id, quick};
use engine::ports::{Link, Radio};
use engine::system::SystemClock;
use sandbox::radio::air::Air;
use sandbox::radio::faults::{Cut, DeviceFaults, RadioConfig, When};
use sandbox::radio::in_process::InProcess;
use sandbox::radio::peripheral::USER_DESCRIPTION;
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

fn radio(config: &RadioConfig, parrots: &[Arc<Parrot>]) -> (Arc<Air>, InProcess) {
    let air = Arc::new(Air::new(config));
    for parrot in parrots {
        air.add(Arc::clone(parrot) as _);
    }
    let radio = InProcess::new(Arc::clone(&air), "hci0", Arc::new(SystemClock::start()));
    (air, radio)
}

async fn named(sightings: &mut mpsc::Receiver<Sighting>) -> Sighting {
    let found = async {
        loop {
            let sighting = sightings.recv().await.unwrap();
            if sighting.name.is_some() {
                return sighting;
            }
        }
    };
    timeout(PATIENCE, found).await.unwrap()
}

async fn connect(radio: &InProcess, sighting: &Sighting) -> Result<Box<dyn Link>, LinkError> {
    radio.connect(&sighting.peripheral, PATIENCE).await
}

#[tokio::test]
async fn a_device_is_found_read_and_written() {
    let parrot = Parrot::new(1);
    let (_air, radio) = radio(&quick(), &[Arc::clone(&parrot)]);
    let mut sightings = radio.scan().await.unwrap();
    let sighting = named(&mut sightings).await;
    assert_eq!(sighting.name.as_deref(), Some("PROV_01"));
    assert_eq!(sighting.services, [SERVICE]);
    let link = connect(&radio, &sighting).await.unwrap();
    let names: Vec<_> = link.table().characteristics.iter().map(|c| c.id).collect();
    assert!(names.contains(&id(ECHO)), "{names:?}");
    let description = link
        .perform(&GattOp::ReadDescriptor(id(ECHO), USER_DESCRIPTION))
        .await;
    assert_eq!(description, Ok(b"echo".to_vec()));
    assert_eq!(
        link.perform(&GattOp::Write(id(ECHO), vec![5; 406])).await,
        Ok(Vec::new())
    );
    assert_eq!(link.perform(&GattOp::Read(id(ECHO))).await, Ok(vec![5; 406]));
    assert_eq!(parrot.written(), [vec![5; 406]]);
    link.disconnect().await;
    timeout(PATIENCE, link.over()).await.unwrap();
    assert_eq!(parrot.told.lock().unwrap().ends, 1);
    // The scan goes on where it was.
    named(&mut sightings).await;
}

#[tokio::test]
async fn errors_are_those_of_the_port() {
    let (air, radio) = radio(&quick(), &[Parrot::new(1)]);
    let sighting = named(&mut radio.scan().await.unwrap()).await;
    let device = air.devices().remove(0);
    device.set_faults(DeviceFaults {
        wants_pairing: true,
        ..DeviceFaults::default()
    });
    let link = connect(&radio, &sighting).await.unwrap();
    assert_eq!(
        link.perform(&GattOp::Read(id(ECHO))).await,
        Err(LinkError::NotPaired)
    );
    device.set_faults(DeviceFaults::default());
    assert_eq!(
        link.perform(&GattOp::Write(id(MOODY), vec![1])).await,
        Err(LinkError::Att(0x85))
    );
    timeout(PATIENCE, link.lost()).await.unwrap();
    assert_eq!(
        link.perform(&GattOp::Read(id(ECHO))).await,
        Err(LinkError::NotConnected)
    );
    device.set_faults(DeviceFaults {
        connect_hangs: true,
        ..DeviceFaults::default()
    });
    let given_up = radio
        .connect(&sighting.peripheral, Duration::from_millis(20))
        .await
        .err();
    assert_eq!(given_up, Some(LinkError::Timeout));
    air.adapter("hci0").unwrap().update(|c| c.powered = false);
    assert_eq!(
        connect(&radio, &sighting).await.err(),
        Some(LinkError::AdapterOff)
    );
    assert_eq!(radio.scan().await.err(), Some(LinkError::AdapterOff));
    air.adapter("hci0").unwrap().update(|c| c.present = false);
    assert_eq!(radio.scan().await.err(), Some(LinkError::NoAdapter));
    assert_eq!(radio.adapters().await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_link_that_is_cut_is_lost_and_one_that_is_dropped_is_given_back() {
    let (air, radio) = radio(&quick(), &[Parrot::new(1)]);
    let sighting = named(&mut radio.scan().await.unwrap()).await;
    let device = air.devices().remove(0);
    let cut = Some(Cut {
        operation: 1,
        when: When::After,
        times: 1,
    });
    device.set_faults(DeviceFaults {
        cut,
        ..DeviceFaults::default()
    });
    let link = connect(&radio, &sighting).await.unwrap();
    assert_eq!(
        link.perform(&GattOp::Write(id(ECHO), vec![1])).await,
        Ok(Vec::new())
    );
    assert_eq!(
        link.perform(&GattOp::Write(id(ECHO), vec![2])).await,
        Err(LinkError::NotConnected)
    );
    timeout(PATIENCE, link.lost()).await.unwrap();
    let link = connect(&radio, &sighting).await.unwrap();
    assert_eq!(
        link.perform(&GattOp::Read(id(ECHO))).await,
        Ok(vec![2]),
        "the second write took effect"
    );
    drop(link);
    assert!(!device.is_linked());
}

#[tokio::test]
async fn a_scan_pauses_while_a_link_is_made() {
    let mut config = quick();
    config.adapters[0].aborts_while_scanning = true;
    let (_air, radio) = radio(&config, &[Parrot::new(1)]);
    let mut sightings = radio.scan().await.unwrap();
    let sighting = named(&mut sightings).await;
    assert!(connect(&radio, &sighting).await.is_ok());
}
