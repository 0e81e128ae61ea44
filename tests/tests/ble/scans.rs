//! Adapters and listening.

use std::collections::BTreeSet;
use std::time::Duration;

use commission::gatt::{LinkError, PeripheralId};
use engine::ports::{Adapter, Radio as _, RadioState};
use sandbox::radio::faults::{AdapterConfig, DeviceFaults, RadioConfig};
use sandbox::radio::peripheral::Address;

use crate::air::{Echo, PATIENCE, SERVICE, ble, find, on_the_air, over, quick, radio, until, within};

fn two_adapters() -> RadioConfig {
    let mut config = quick();
    let second = AdapterConfig {
        name: "hci1".into(),
        address: Address::public([0x00, 0x1a, 0x7d, 0xda, 0x71, 0x01]),
        ..config.adapters[0].clone()
    };
    config.adapters.push(second);
    config
}

on_the_air! {
    async fn a_scan_tells_name_services_data_and_a_changing_signal() {
        let radio = radio(quick(), &[Echo::new(1)]).await;
        let ble = ble();
        let seen = find(&ble, "PROV_01").await;
        assert_eq!(seen.services, [SERVICE]);
        assert_eq!(seen.manufacturer, [(0x02e5, vec![b'N', 1])].into());
        let mut sightings = ble.scan().await.unwrap();
        let mut signals = BTreeSet::new();
        let mut last = seen.at;
        while signals.len() < 3 {
            let sighting = within("hearing", sightings.recv()).await.unwrap();
            assert!(sighting.at >= last);
            last = sighting.at;
            signals.insert(sighting.rssi.unwrap());
        }
        assert!(signals.iter().all(|rssi| (-60..=-50).contains(rssi)), "{signals:?}");
        radio.stop().await;
    }

    async fn what_the_system_only_remembers_is_not_told() {
        let radio = radio(quick(), &[Echo::new(1), Echo::new(2)]).await;
        let first = ble();
        find(&first, "PROV_01").await;
        radio.devices()[0].set_faults(DeviceFaults { out_of_reach: true, ..DeviceFaults::default() });
        // A program that starts now is told of both by the system.
        let second = ble();
        let mut sightings = second.scan().await.unwrap();
        for _ in 0..20 {
            let sighting = within("hearing", sightings.recv()).await.unwrap();
            assert_eq!(sighting.peripheral, PeripheralId("hci0/dev_24_0A_C4_00_00_02".into()));
        }
        radio.stop().await;
    }

    async fn twenty_devices_are_heard_by_two_listeners() {
        let devices: Vec<_> = (0..20).map(Echo::new).collect();
        let radio = radio(quick(), &devices).await;
        let ble = ble();
        let mut listeners = [ble.scan().await.unwrap(), ble.scan().await.unwrap()];
        for sightings in &mut listeners {
            let mut names = BTreeSet::new();
            while names.len() < 20 {
                names.extend(within("hearing", sightings.recv()).await.unwrap().name);
            }
        }
        radio.stop().await;
    }

    async fn listening_ends_with_the_last_listener() {
        let radio = radio(quick(), &[Echo::new(1)]).await;
        let ble = ble();
        let (one, mut two) = (ble.scan().await.unwrap(), ble.scan().await.unwrap());
        drop(one);
        for _ in 0..5 {
            within("hearing", two.recv()).await.unwrap();
        }
        assert!(discovering().await);
        drop(two);
        until("the end of the scan", async || !discovering().await).await;
        radio.stop().await;
    }

    async fn an_adapter_that_is_off_is_named_and_stays_off() {
        let mut config = quick();
        config.adapters[0].powered = false;
        let radio = radio(config, &[Echo::new(1)]).await;
        let ble = ble();
        assert_eq!(ble.scan().await.unwrap_err(), LinkError::AdapterOff);
        let peripheral = PeripheralId("hci0/dev_24_0A_C4_00_00_01".into());
        assert_eq!(ble.connect(&peripheral, PATIENCE).await.err(), Some(LinkError::AdapterOff));
        let adapters = ble.adapters().await.unwrap();
        assert_eq!(adapters, [Adapter { id: "hci0".into(), name: "00:1A:7D:DA:71:00".into(), powered: false }]);
        assert!(!radio.adapter("hci0").unwrap().config().powered);
        radio.adapter("hci0").unwrap().update(|adapter| adapter.powered = true);
        find(&ble, "PROV_01").await;
        radio.stop().await;
    }

    async fn a_stack_that_is_busy_with_the_last_scan_is_asked_again() {
        let radio = radio(quick(), &[Echo::new(1)]).await;
        let busy = |times| radio.adapter("hci0").unwrap().update(|adapter| adapter.busy_scans = times);
        let ble = ble();
        busy(2);
        let mut sightings = ble.scan().await.unwrap();
        let seen = within("hearing", sightings.recv()).await.unwrap();
        // The scan is stopped for the connection, and goes on after it.
        busy(2);
        let link = ble.connect(&seen.peripheral, PATIENCE).await.unwrap();
        within("hearing", ble.state().wait_for(|state| state.hears)).await.unwrap();
        link.disconnect().await;
        assert_eq!(radio.adapter("hci0").unwrap().config().busy_scans, 0);
        radio.stop().await;
    }

    async fn a_radio_that_connects_says_that_it_does_not_hear() {
        let radio = radio(quick(), &[Echo::new(1)]).await;
        radio.devices()[0].set_faults(DeviceFaults { connect_hangs: true, ..DeviceFaults::default() });
        let ble = ble();
        let mut state = ble.state();
        assert!(!state.borrow().hears);
        let mut sightings = ble.scan().await.unwrap();
        let seen = within("hearing", sightings.recv()).await.unwrap();
        assert!(state.borrow().hears);
        let attempt = async { ble.connect(&seen.peripheral, Duration::from_secs(2)).await.err() };
        let (failed, ()) = tokio::join!(attempt, async {
            within("deafness", state.wait_for(|state| !state.hears)).await.unwrap();
            within("hearing", state.wait_for(|state| state.hears)).await.unwrap();
        });
        assert!(failed.is_some());
        radio.adapter("hci0").unwrap().update(|adapter| adapter.powered = false);
        let off = |state: &RadioState| state.trouble == Some(LinkError::AdapterOff) && !state.hears;
        within("the news", state.wait_for(off)).await.unwrap();
        radio.adapter("hci0").unwrap().update(|adapter| adapter.powered = true);
        find(&ble, "PROV_01").await;
        assert_eq!(state.borrow().trouble, None);
        radio.stop().await;
    }

    async fn listeners_learn_that_the_adapter_was_switched_off() {
        let radio = radio(quick(), &[Echo::new(1)]).await;
        let ble = ble();
        let mut sightings = ble.scan().await.unwrap();
        within("hearing", sightings.recv()).await.unwrap();
        radio.adapter("hci0").unwrap().update(|adapter| adapter.powered = false);
        within("the end", async { while sightings.recv().await.is_some() {} }).await;
        assert_eq!(ble.scan().await.unwrap_err(), LinkError::AdapterOff);
        radio.stop().await;
    }

    async fn a_machine_without_an_adapter_is_named_until_one_is_plugged_in() {
        let mut config = quick();
        config.adapters[0].present = false;
        let radio = radio(config, &[Echo::new(1)]).await;
        let ble = ble();
        assert_eq!(ble.adapters().await, Ok(vec![]));
        assert_eq!(ble.scan().await.unwrap_err(), LinkError::NoAdapter);
        radio.adapter("hci0").unwrap().update(|adapter| adapter.present = true);
        until("the adapter", async || ble.adapters().await.is_ok_and(|found| !found.is_empty())).await;
        find(&ble, "PROV_01").await;
        let mut sightings = ble.scan().await.unwrap();
        radio.adapter("hci0").unwrap().update(|adapter| adapter.present = false);
        within("the end", async { while sightings.recv().await.is_some() {} }).await;
        assert_eq!(ble.scan().await.unwrap_err(), LinkError::NoAdapter);
        radio.stop().await;
    }

    async fn without_a_bus_there_is_no_service() {
        let ble = ble();
        assert_eq!(ble.adapters().await.unwrap_err(), LinkError::NoService);
        assert_eq!(ble.scan().await.unwrap_err(), LinkError::NoService);
        let radio = radio(quick(), &[Echo::new(1)]).await;
        find(&ble, "PROV_01").await;
        radio.stop().await;
    }

    async fn a_service_that_ends_is_noticed_at_once_and_found_again() {
        let mut radio = radio(quick(), &[Echo::new(1)]).await;
        let ble = ble();
        let mut sightings = ble.scan().await.unwrap();
        within("hearing", sightings.recv()).await.unwrap();
        radio.bluez().kill_service().await;
        let noticed = async { while sightings.recv().await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(1), noticed).await.unwrap();
        assert_eq!(ble.scan().await.unwrap_err(), LinkError::NoService);
        assert_eq!(ble.adapters().await.unwrap_err(), LinkError::NoService);
        radio.bluez().restart_service().await.unwrap();
        find(&ble, "PROV_01").await;
        radio.stop().await;
    }

    async fn the_chosen_adapter_is_used_and_no_other() {
        let radio = radio(two_adapters(), &[Echo::new(1)]).await;
        let seen = find(&over(Some("hci1")), "PROV_01").await;
        assert_eq!(seen.peripheral, PeripheralId("hci1/dev_24_0A_C4_00_00_01".into()));
        let seen = find(&ble(), "PROV_01").await;
        assert_eq!(seen.peripheral, PeripheralId("hci0/dev_24_0A_C4_00_00_01".into()));
        assert_eq!(over(Some("hci7")).scan().await.unwrap_err(), LinkError::NoAdapter);
        radio.adapter("hci1").unwrap().update(|adapter| adapter.powered = false);
        assert_eq!(over(Some("hci1")).scan().await.unwrap_err(), LinkError::AdapterOff);
        radio.stop().await;
    }

    async fn of_two_adapters_the_one_that_is_on_serves() {
        let mut config = two_adapters();
        config.adapters[0].powered = false;
        let radio = radio(config, &[Echo::new(1)]).await;
        let ble = ble();
        let powered: Vec<_> = ble.adapters().await.unwrap().into_iter().map(|it| (it.id, it.powered)).collect();
        assert_eq!(powered, [("hci0".into(), false), ("hci1".into(), true)]);
        let seen = find(&ble, "PROV_01").await;
        assert_eq!(seen.peripheral, PeripheralId("hci1/dev_24_0A_C4_00_00_01".into()));
        radio.stop().await;
    }

    async fn another_adapter_takes_over_from_one_that_was_switched_off_and_hears_on() {
        let radio = radio(two_adapters(), &[Echo::new(1)]).await;
        let ble = ble();
        find(&ble, "PROV_01").await;
        radio.adapter("hci0").unwrap().update(|adapter| adapter.powered = false);
        until("the first to be off", async || !ble.adapters().await.unwrap()[0].powered).await;
        let seen = find(&ble, "PROV_01").await;
        assert_eq!(seen.peripheral, PeripheralId("hci1/dev_24_0A_C4_00_00_01".into()));
        // What the first adapter's stream leaves behind comes late, and must not silence the second.
        let mut sightings = ble.scan().await.unwrap();
        for _ in 0..20 {
            within("hearing", sightings.recv()).await.unwrap();
        }
        radio.stop().await;
    }
}

/// Whether the first adapter scans, as the bus says.
async fn discovering() -> bool {
    let bus = zbus::Connection::system().await.unwrap();
    let answer = bus
        .call_method(
            Some("org.bluez"),
            "/org/bluez/hci0",
            Some("org.freedesktop.DBus.Properties"),
            "Get",
            &("org.bluez.Adapter1", "Discovering"),
        )
        .await
        .unwrap();
    let value: zbus::OwnedVariant = answer.body().deserialize().unwrap();
    value.try_into().unwrap()
}
