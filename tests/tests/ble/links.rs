//! Connecting, and what is done over a link.

use std::sync::Arc;
use std::time::{Duration, Instant};

use commission::gatt::{GattOp, LinkError};
use engine::ports::Radio as _;
use sandbox::radio::faults::{Cut, DeviceFaults, LostInFlight, Refuse, When};
use sandbox::radio::peripheral::{AttError, USER_DESCRIPTION};
use sandbox::radio::record::LinkEnd;
use uuid::Uuid;

use crate::air::{ECHO, Echo, MOODY, PATIENCE, ble, find, link, on_the_air, quick, radio, until, within};

fn write(length: usize) -> GattOp {
    GattOp::Write(ECHO, (0..=250).cycle().take(length).collect())
}

on_the_air! {
    async fn a_link_shows_what_the_device_offers() {
        let radio = radio(quick(), &[Echo::new(1)]).await;
        let link = link(&ble(), "PROV_01").await;
        let table = &link.table().characteristics;
        assert_eq!(table.iter().map(|it| it.id).collect::<Vec<_>>(), [ECHO, MOODY]);
        for characteristic in table {
            assert!(characteristic.properties.read && characteristic.properties.write);
            assert!(!characteristic.properties.notify);
            assert_eq!(characteristic.descriptors, [USER_DESCRIPTION]);
        }
        let name = link.perform(&GattOp::ReadDescriptor(MOODY, USER_DESCRIPTION)).await;
        assert_eq!(name, Ok(b"moody".to_vec()));
        link.disconnect().await;
        within("the end", link.over()).await;
        assert_eq!(radio.devices()[0].records()[0].ended, Some(LinkEnd::Client));
        radio.stop().await;
    }

    async fn long_values_go_both_ways_at_the_smallest_mtu() {
        let radio = radio(quick(), &[Echo::new(1)]).await;
        let link = link(&ble(), "PROV_01").await;
        for length in [1, 20, 21, 406, 512] {
            let op = write(length);
            assert_eq!(link.perform(&op).await, Ok(vec![]));
            let GattOp::Write(_, written) = op else { panic!("a write") };
            assert_eq!(link.perform(&GattOp::Read(ECHO)).await, Ok(written));
        }
        radio.stop().await;
    }

    async fn impossible_operations_are_refused_before_they_are_sent() {
        let radio = radio(quick(), &[Echo::new(1)]).await;
        let link = link(&ble(), "PROV_01").await;
        let mut nowhere = ECHO;
        nowhere.characteristic = Uuid::from_u128(1);
        for (op, error) in [
            (write(513), LinkError::InvalidLength),
            (write(0), LinkError::InvalidLength),
            (GattOp::Read(nowhere), LinkError::Missing),
            (GattOp::ReadDescriptor(ECHO, Uuid::from_u128(1)), LinkError::Missing),
        ] {
            assert_eq!(link.perform(&op).await, Err(error), "{op:?}");
        }
        assert_eq!(radio.devices()[0].records()[0].operations, []);
        radio.stop().await;
    }

    async fn refusals_of_the_device_have_their_class() {
        let radio = radio(quick(), &[Echo::new(1)]).await;
        let ble = ble();
        let peripheral = find(&ble, "PROV_01").await.peripheral;
        let refuse = |error| DeviceFaults {
            refuse: vec![Refuse { operation: 0, error, times: 1 }],
            ..DeviceFaults::default()
        };
        for (faults, class) in [
            (refuse(AttError::INVALID_PDU), LinkError::Att(0x04)),
            (refuse(AttError::BLUEDROID_ERROR), LinkError::Att(0x85)),
            (refuse(AttError::INSUFFICIENT_AUTHORIZATION), LinkError::NotPermitted),
            (refuse(AttError::INVALID_VALUE_LENGTH), LinkError::InvalidLength),
            (DeviceFaults { wants_pairing: true, ..DeviceFaults::default() }, LinkError::NotPaired),
            (DeviceFaults { no_long_write: true, ..DeviceFaults::default() }, LinkError::NotSupported),
        ] {
            radio.devices()[0].set_faults(faults);
            let link = ble.connect(&peripheral, PATIENCE).await.unwrap();
            assert_eq!(link.perform(&write(100)).await, Err(class));
            link.disconnect().await;
        }
        radio.stop().await;
    }

    async fn a_refusal_with_which_the_device_hangs_up_is_still_heard() {
        let radio = radio(quick(), &[Echo::new(1)]).await;
        let ble = ble();
        let peripheral = find(&ble, "PROV_01").await.peripheral;
        for _ in 0..10 {
            let link = ble.connect(&peripheral, PATIENCE).await.unwrap();
            let refused = link.perform(&GattOp::Write(MOODY, vec![1])).await;
            assert_eq!(refused, Err(LinkError::Att(0x85)));
            within("the end", link.lost()).await;
            assert_eq!(link.perform(&GattOp::Read(ECHO)).await, Err(LinkError::NotConnected));
        }
        radio.stop().await;
    }

    async fn a_link_that_ends_by_itself_is_noticed() {
        let device = Echo::new(1);
        let radio = radio(quick(), &[Arc::clone(&device)]).await;
        let ble = ble();
        let link = link(&ble, "PROV_01").await;
        let noticed = link.lost();
        device.hang_up();
        tokio::time::timeout(Duration::from_secs(1), noticed).await.unwrap();
        // And again on a second link, by going out of reach.
        let peripheral = find(&ble, "PROV_01").await.peripheral;
        let link = ble.connect(&peripheral, PATIENCE).await.unwrap();
        radio.devices()[0].set_faults(DeviceFaults { out_of_reach: true, ..DeviceFaults::default() });
        tokio::time::timeout(Duration::from_secs(1), link.lost()).await.unwrap();
        radio.stop().await;
    }

    async fn an_operation_that_nobody_will_answer_ends_with_the_link() {
        let radio = radio(quick(), &[Echo::new(1)]).await;
        let cut = Some(Cut { operation: 0, when: When::After, times: 1 });
        radio.devices()[0].set_faults(DeviceFaults {
            cut,
            lost_in_flight: LostInFlight::Silence,
            ..DeviceFaults::default()
        });
        let link = link(&ble(), "PROV_01").await;
        let start = Instant::now();
        assert_eq!(link.perform(&write(3)).await, Err(LinkError::NotConnected));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        radio.stop().await;
    }

    async fn links_end_with_the_bluetooth_service() {
        let mut radio = radio(quick(), &[Echo::new(1), Echo::new(2)]).await;
        let ble = ble();
        let links = [link(&ble, "PROV_01").await, link(&ble, "PROV_02").await];
        let noticed = links.iter().map(|it| it.lost()).collect::<Vec<_>>();
        radio.bluez().kill_service().await;
        for lost in noticed {
            tokio::time::timeout(Duration::from_secs(1), lost).await.unwrap();
        }
        assert_eq!(links[0].perform(&GattOp::Read(ECHO)).await, Err(LinkError::NoService));
        radio.bluez().restart_service().await.unwrap();
        assert_eq!(link(&ble, "PROV_01").await.perform(&write(3)).await, Ok(vec![]));
        radio.stop().await;
    }

    async fn links_end_with_the_adapter() {
        let radio = radio(quick(), &[Echo::new(1)]).await;
        let link = link(&ble(), "PROV_01").await;
        let noticed = link.lost();
        radio.adapter("hci0").unwrap().update(|adapter| adapter.powered = false);
        within("the end", noticed).await;
        radio.stop().await;
    }

    async fn a_scan_is_stopped_for_connecting_and_goes_on_afterwards() {
        let mut config = quick();
        config.adapters[0].aborts_while_scanning = true;
        let radio = radio(config, &[Echo::new(1), Echo::new(2)]).await;
        let ble = ble();
        let mut sightings = ble.scan().await.unwrap();
        let first = find(&ble, "PROV_01").await.peripheral;
        let link = ble.connect(&first, PATIENCE).await.unwrap();
        while sightings.try_recv().is_ok() {}
        within("hearing the other", async {
            while sightings.recv().await.unwrap().name.as_deref() != Some("PROV_02") {}
        })
        .await;
        assert_eq!(link.perform(&write(3)).await, Ok(vec![]));
        radio.stop().await;
    }

    async fn an_attempt_that_takes_too_long_is_cancelled() {
        let mut config = quick();
        config.adapters[0].latency.connect_timeout = Duration::from_secs(60);
        let radio = radio(config, &[Echo::new(1), Echo::new(2)]).await;
        let ble = ble();
        let first = find(&ble, "PROV_01").await.peripheral;
        let second = find(&ble, "PROV_02").await.peripheral;
        let device = radio.devices().remove(0);
        for faults in [
            DeviceFaults { connect_hangs: true, ..DeviceFaults::default() },
            DeviceFaults { never_resolves: true, ..DeviceFaults::default() },
        ] {
            device.set_faults(faults);
            let refused = ble.connect(&first, Duration::from_millis(300)).await;
            assert_eq!(refused.err(), Some(LinkError::Timeout));
            let links = async || radio.adapter("hci0").unwrap().links() == 0;
            until("the end of the attempt", links).await;
        }
        ble.connect(&second, PATIENCE).await.unwrap();
        device.set_faults(DeviceFaults::default());
        ble.connect(&first, PATIENCE).await.unwrap();
        radio.stop().await;
    }

    async fn failed_attempts_say_why() {
        let radio = radio(quick(), &[Echo::new(1)]).await;
        let ble = ble();
        let peripheral = find(&ble, "PROV_01").await.peripheral;
        radio.devices()[0].set_faults(DeviceFaults { connect_aborts: 1, ..DeviceFaults::default() });
        assert_eq!(ble.connect(&peripheral, PATIENCE).await.err(), Some(LinkError::OutOfReach));
        ble.connect(&peripheral, PATIENCE).await.unwrap().disconnect().await;
        let nobody = commission::gatt::PeripheralId("hci0/dev_00_00_00_00_00_00".into());
        assert_eq!(ble.connect(&nobody, Duration::from_secs(1)).await.err(), Some(LinkError::OutOfReach));
        radio.stop().await;
    }

    async fn a_device_that_the_system_forgot_meanwhile_is_heard_again() {
        let radio = radio(quick(), &[Echo::new(1)]).await;
        let ble = ble();
        let sighting = find(&ble, "PROV_01").await;
        // What bluetoothd does with a device that it has not heard for half a minute.
        let path = format!("/org/bluez/{}", sighting.peripheral.0);
        let bus = zbus::Connection::system().await.unwrap();
        let path = zbus::ObjectPath::try_from(path).unwrap();
        let adapter = (Some("org.bluez"), "/org/bluez/hci0", Some("org.bluez.Adapter1"));
        bus.call_method(adapter.0, adapter.1, adapter.2, "RemoveDevice", &path).await.unwrap();
        let link = within("link", ble.connect(&sighting.peripheral, PATIENCE)).await.unwrap();
        assert_eq!(link.perform(&write(20)).await, Ok(vec![]));
        link.disconnect().await;
        radio.stop().await;
    }

    async fn many_links_at_once_do_not_mix() {
        let devices: Vec<_> = (0..6).map(Echo::new).collect();
        let radio = radio(quick(), &devices).await;
        let ble = Arc::new(ble());
        let mut peripherals = Vec::new();
        for n in 0..6 {
            peripherals.push(find(&ble, &format!("PROV_{n:02X}")).await.peripheral);
        }
        let tasks: Vec<_> = peripherals
            .into_iter()
            .zip(0..)
            .map(|(peripheral, n)| {
                let ble = Arc::clone(&ble);
                tokio::spawn(async move {
                    let link = ble.connect(&peripheral, PATIENCE).await.unwrap();
                    for round in 0..10 {
                        let value = vec![n; 100 + round];
                        assert_eq!(link.perform(&GattOp::Write(ECHO, value.clone())).await, Ok(vec![]));
                        assert_eq!(link.perform(&GattOp::Read(ECHO)).await, Ok(value));
                    }
                    link.disconnect().await;
                })
            })
            .collect();
        for task in tasks {
            within("a link", task).await.unwrap();
        }
        radio.stop().await;
    }

    async fn connecting_again_waits_until_the_link_before_is_given_back() {
        let mut config = quick();
        // As bluetoothd does it.
        config.adapters[0].latency.disconnect = Duration::from_millis(500);
        let radio = radio(config, &[Echo::new(1)]).await;
        let ble = ble();
        let peripheral = find(&ble, "PROV_01").await.peripheral;
        for _ in 0..3 {
            let link = ble.connect(&peripheral, PATIENCE).await.unwrap();
            assert_eq!(link.perform(&write(3)).await, Ok(vec![]));
            // Dropped, not given back, as when a job is given up; then another one comes at once.
            drop(link);
        }
        let link = ble.connect(&peripheral, PATIENCE).await.unwrap();
        // A link that was on its way out would be lost by now.
        let lost = tokio::time::timeout(Duration::from_secs(1), link.lost()).await;
        assert!(lost.is_err(), "the new link is the old one");
        assert_eq!(link.perform(&write(3)).await, Ok(vec![]));
        radio.stop().await;
    }

    async fn giving_a_link_back_waits_for_the_order_to_arrive_and_not_for_its_end() {
        let mut config = quick();
        config.adapters[0].latency.disconnect = Duration::from_secs(2);
        let radio = radio(config, &[Echo::new(1)]).await;
        let link = link(&ble(), "PROV_01").await;
        link.disconnect().await;
        assert_eq!(radio.devices()[0].records()[0].ended, None, "the stack takes its time");
        within("the end", link.over()).await;
        assert_eq!(radio.devices()[0].records()[0].ended, Some(LinkEnd::Client));
        radio.stop().await;
    }

    async fn an_attempt_that_was_given_up_is_over_once_the_radio_has_settled() {
        let mut config = quick();
        config.adapters[0].latency.connect = Duration::from_secs(10);
        let radio = radio(config, &[Echo::new(1)]).await;
        let ble = ble();
        let peripheral = find(&ble, "PROV_01").await.peripheral;
        let impatient = tokio::time::timeout(Duration::from_millis(50), ble.connect(&peripheral, PATIENCE)).await;
        assert!(impatient.is_err());
        tokio::time::timeout(Duration::from_secs(5), ble.settle()).await.unwrap();
        assert!(radio.devices()[0].records().is_empty(), "no link came of it");
        assert_eq!(radio.adapter("hci0").unwrap().links(), 0);
        radio.stop().await;
    }

    async fn a_link_that_nobody_waits_for_any_more_is_given_back() {
        let mut config = quick();
        // The link stands soon, and what it offers is not known for long.
        config.adapters[0].latency.resolve = Duration::from_secs(10);
        let radio = radio(config, &[Echo::new(1)]).await;
        let ble = Arc::new(ble());
        let peripheral = find(&ble, "PROV_01").await.peripheral;
        let connecting = tokio::spawn({
            let ble = Arc::clone(&ble);
            async move { ble.connect(&peripheral, PATIENCE).await.map(|_| ()) }
        });
        until("the link", async || !radio.devices()[0].records().is_empty()).await;
        connecting.abort();
        until("its end", async || radio.devices()[0].records()[0].ended.is_some()).await;
        assert_eq!(radio.adapter("hci0").unwrap().links(), 0);
        radio.stop().await;
    }
}
