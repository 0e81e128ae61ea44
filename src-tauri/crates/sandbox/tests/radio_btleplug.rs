//! The simulated BlueZ as stock btleplug sees it.
//!
//! btleplug takes its bus from `DBUS_SYSTEM_BUS_ADDRESS`, which a process can't set for itself without `unsafe`. So
//! each test runs this program again with the variable set to a socket in a fresh directory, and that process
//! starts the radio there and does the test.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests may fail as tests do"
)]

mod common;

use std::future::Future;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use btleplug::api::{
    Central, CentralEvent, CentralState, Manager as _, Peripheral as _, ScanFilter, WriteType,
};
use btleplug::platform::{Adapter, Manager, Peripheral};
use common::{ECHO, MOODY, NEWS, Parrot, SERVICE, id, quick};
use futures::StreamExt;
use futures::future::join_all;
use sandbox::radio::Radio;
use sandbox::radio::faults::{
    AdapterConfig, Cut, DeviceFaults, LostInFlight, RadioConfig, Refuse, StaleGatt, When,
};
use sandbox::radio::peripheral::{Address, AttError, USER_DESCRIPTION};
use sandbox::radio::record::{LinkEnd, OperationKind};
use tokio::time::timeout;
use uuid::Uuid;

/// Longest that any single thing may take here.
const PATIENCE: Duration = Duration::from_secs(20);

/// Set in the process that does the test, to the socket of its bus.
const SOCKET: &str = "RADIO_TEST_SOCKET";

fn on_the_air(test: &str, story: impl Future<Output = ()>) {
    if std::env::var_os(SOCKET).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let done = runtime.block_on(async { timeout(Duration::from_secs(100), story).await });
        runtime.shutdown_background();
        return done.expect("the test did not end in time");
    }
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("bus");
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(
            "DBUS_SYSTEM_BUS_ADDRESS",
            format!("unix:path={}", socket.display()),
        )
        .env(SOCKET, &socket)
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("1 passed"), "no test of this name ran: {out}");
}

macro_rules! on_the_air {
    ($(async fn $name:ident() $body:block)*) => {$(
        #[test]
        fn $name() {
            on_the_air(stringify!($name), async $body);
        }
    )*};
}

async fn radio(mut config: RadioConfig, parrots: &[Arc<Parrot>]) -> Radio {
    config.socket = std::env::var_os(SOCKET).map(Into::into);
    let peripherals = parrots.iter().map(|p| Arc::clone(p) as _).collect();
    Radio::start(&config, peripherals).await.unwrap()
}

async fn adapter() -> Adapter {
    Manager::new().await.unwrap().adapters().await.unwrap().remove(0)
}

/// The adapter of this name, which btleplug lists in no order.
async fn adapter_named(name: &str) -> Adapter {
    for adapter in Manager::new().await.unwrap().adapters().await.unwrap() {
        if adapter.adapter_info().await.unwrap().starts_with(name) {
            return adapter;
        }
    }
    panic!("no adapter {name}");
}

/// Scans until `n` devices have their names; in the order of the names.
async fn find(adapter: &Adapter, n: usize) -> Vec<Peripheral> {
    adapter.start_scan(ScanFilter::default()).await.unwrap();
    let found = within("finding devices", async {
        let mut events = adapter.events().await.unwrap();
        loop {
            let mut named = Vec::new();
            for peripheral in adapter.peripherals().await.unwrap() {
                if let Some(name) = advertised_name(&peripheral).await {
                    named.push((name, peripheral));
                }
            }
            if named.len() == n {
                named.sort_by(|a, b| a.0.cmp(&b.0));
                return named.into_iter().map(|(_, p)| p).collect();
            }
            events.next().await;
        }
    });
    let found = found.await;
    adapter.stop_scan().await.unwrap();
    found
}

async fn advertised_name(peripheral: &Peripheral) -> Option<String> {
    peripheral.properties().await.ok()??.advertisement_name
}

async fn find_one() -> Peripheral {
    find(&adapter().await, 1).await.remove(0)
}

async fn connect(peripheral: &Peripheral) {
    within("connecting", async {
        peripheral.connect().await.unwrap();
        peripheral.discover_services().await.unwrap();
    })
    .await;
}

fn characteristic(peripheral: &Peripheral, uuid: Uuid) -> btleplug::api::Characteristic {
    let services = peripheral.services();
    let mut all = services.iter().flat_map(|s| &s.characteristics);
    all.find(|c| c.uuid == uuid)
        .cloned()
        .unwrap_or_else(|| panic!("no {uuid} in {services:?}"))
}

async fn write(peripheral: &Peripheral, uuid: Uuid, value: &[u8]) -> btleplug::Result<()> {
    peripheral
        .write(&characteristic(peripheral, uuid), value, WriteType::WithResponse)
        .await
}

async fn read(peripheral: &Peripheral, uuid: Uuid) -> btleplug::Result<Vec<u8>> {
    peripheral.read(&characteristic(peripheral, uuid)).await
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took too long"))
}

/// Looks again and again until `holds`; the last resort where nothing announces a change.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn text(error: &btleplug::Error) -> String {
    error.to_string()
}

on_the_air! {
    async fn a_scan_shows_the_name_of_the_scan_response_the_services_and_a_signal_that_changes() {
        let radio = radio(quick(), &[Parrot::new(1)]).await;
        let adapter = adapter().await;
        let mut events = adapter.events().await.unwrap();
        adapter.start_scan(ScanFilter::default()).await.unwrap();
        let mut signals = std::collections::BTreeSet::new();
        let mut first_name = None;
        let peripheral = within("scanning", async {
            loop {
                match events.next().await.unwrap() {
                    CentralEvent::DeviceDiscovered(id) => {
                        let seen = adapter.peripheral(&id).await.unwrap();
                        first_name = Some(advertised_name(&seen).await);
                    }
                    CentralEvent::RssiUpdate { id, rssi } => {
                        signals.insert(rssi);
                        let seen = adapter.peripheral(&id).await.unwrap();
                        if signals.len() >= 3 && advertised_name(&seen).await.is_some() {
                            break seen;
                        }
                    }
                    _ => {}
                }
            }
        })
        .await;
        let seen = peripheral.properties().await.unwrap().unwrap();
        assert_eq!(first_name, Some(None), "the name came with the first advertisement");
        assert_eq!(seen.advertisement_name.as_deref(), Some("PROV_01"));
        assert_eq!(seen.services, [SERVICE]);
        assert_eq!(seen.manufacturer_data, [(0x02e5, vec![b'N', 1])].into());
        assert!(signals.iter().all(|s| (-59..=-51).contains(s)), "{signals:?}");
        assert!(seen.rssi.is_some());
        adapter.stop_scan().await.unwrap();
        assert_eq!(peripheral.properties().await.unwrap().unwrap().rssi, None);
        radio.stop().await;
    }

    async fn a_scan_for_a_service_shows_only_devices_that_advertise_it() {
        let other = Parrot::with(2, |on_air| on_air.advertisement.as_mut().unwrap().services.clear());
        let radio = radio(quick(), &[Parrot::new(1), other]).await;
        let adapter = adapter().await;
        let mut events = adapter.events().await.unwrap();
        adapter.start_scan(ScanFilter { services: vec![SERVICE] }).await.unwrap();
        let mut updates = 0;
        while updates < 10 {
            if let CentralEvent::RssiUpdate { .. } = within("scanning", events.next()).await.unwrap() {
                updates += 1;
            }
        }
        let found = adapter.peripherals().await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(advertised_name(&found[0]).await.as_deref(), Some("PROV_01"));
        radio.stop().await;
    }

    async fn names_of_endpoints_are_in_their_descriptors() {
        let radio = radio(quick(), &[Parrot::new(1)]).await;
        let peripheral = find_one().await;
        connect(&peripheral).await;
        for (uuid, name) in [(ECHO, "echo"), (NEWS, "news"), (MOODY, "moody")] {
            let descriptors = characteristic(&peripheral, uuid).descriptors;
            let description = descriptors.iter().find(|d| d.uuid == USER_DESCRIPTION).unwrap();
            assert_eq!(peripheral.read_descriptor(description).await.unwrap(), name.as_bytes());
        }
        assert_eq!(peripheral.mtu(), 247);
        radio.stop().await;
    }

    async fn long_values_go_both_ways_at_a_small_and_at_a_large_mtu() {
        let parrot = Parrot::new(1);
        let radio = radio(quick(), &[Arc::clone(&parrot)]).await;
        let peripheral = find_one().await;
        for (mtu, round_trips_to_write, round_trips_to_read) in [(23, 24, 19), (247, 3, 2)] {
            radio.devices()[0].set_faults(DeviceFaults { mtu: Some(mtu), ..DeviceFaults::default() });
            connect(&peripheral).await;
            assert_eq!(peripheral.mtu(), mtu);
            let command: Vec<u8> = (0..406_u16).map(|n| n.to_be_bytes()[1]).collect();
            write(&peripheral, ECHO, &command).await.unwrap();
            assert_eq!(parrot.written().last(), Some(&command));
            let response: Vec<u8> = (0..416_u16).map(|n| n.to_le_bytes()[0]).collect();
            parrot.told.lock().unwrap().echo = response.clone();
            assert_eq!(read(&peripheral, ECHO).await.unwrap(), response);
            peripheral.disconnect().await.unwrap();
            let record = radio.devices()[0].records().pop().unwrap();
            let trips: Vec<_> = record.operations.iter().map(|o| (o.bytes, o.round_trips)).collect();
            assert_eq!(trips, [(406, round_trips_to_write), (416, round_trips_to_read)]);
        }
        radio.stop().await;
    }

    async fn values_beyond_a_limit_are_refused_as_bluetoothd_refuses_them() {
        let radio = radio(quick(), &[Parrot::new(1)]).await;
        let peripheral = find_one().await;
        connect(&peripheral).await;
        let refused = text(&write(&peripheral, ECHO, &[0; 513]).await.unwrap_err());
        assert!(refused.contains("Invalid Length"), "{refused}");
        let news = characteristic(&peripheral, NEWS);
        let command = peripheral.write(&news, &[0; 245], WriteType::WithoutResponse).await;
        let refused = text(&command.unwrap_err());
        assert!(refused.contains("Failed to initiate write"), "{refused}");
        radio.devices()[0].set_faults(DeviceFaults { no_long_write: true, ..DeviceFaults::default() });
        peripheral.disconnect().await.unwrap();
        connect(&peripheral).await;
        let refused = text(&write(&peripheral, ECHO, &[0; 245]).await.unwrap_err());
        assert!(refused.contains("Operation is not supported"), "{refused}");
        write(&peripheral, ECHO, &[0; 244]).await.unwrap();
        radio.stop().await;
    }

    async fn notifications_arrive_once_unless_they_are_lost_or_doubled() {
        let radio = radio(quick(), &[Parrot::new(1)]).await;
        let faults = DeviceFaults {
            lose_notifications: vec![1],
            duplicate_notifications: vec![2],
            ..DeviceFaults::default()
        };
        radio.devices()[0].set_faults(faults);
        let peripheral = find_one().await;
        connect(&peripheral).await;
        let mut notifications = peripheral.notifications().await.unwrap();
        let news = characteristic(&peripheral, NEWS);
        write(&peripheral, NEWS, b"unheard").await.unwrap();
        peripheral.subscribe(&news).await.unwrap();
        for value in [b"one", b"two", b"3rd"] {
            write(&peripheral, NEWS, value).await.unwrap();
        }
        peripheral.write(&news, b"end", WriteType::WithoutResponse).await.unwrap();
        for expected in [b"one", b"3rd", b"3rd", b"end"] {
            let got = within("a notification", notifications.next()).await.unwrap();
            assert_eq!((got.uuid, got.value), (NEWS, expected.to_vec()));
        }
        peripheral.unsubscribe(&news).await.unwrap();
        peripheral.unsubscribe(&news).await.unwrap();
        write(&peripheral, NEWS, b"unheard").await.unwrap();
        // A read shows up among the notifications, as with the real bluetoothd, and nothing came before it.
        write(&peripheral, ECHO, b"read").await.unwrap();
        read(&peripheral, ECHO).await.unwrap();
        let got = within("the read's echo", notifications.next()).await.unwrap();
        assert_eq!((got.uuid, got.value), (ECHO, b"read".to_vec()));
        radio.stop().await;
    }

    async fn a_link_that_breaks_at_any_operation_says_so_and_a_new_one_works() {
        let parrot = Parrot::new(1);
        let radio = radio(quick(), &[Arc::clone(&parrot)]).await;
        let device = radio.devices().remove(0);
        let peripheral = find_one().await;
        for operation in 0..4_usize {
            for (when, reached) in [(When::Before, operation / 2), (When::After, operation.div_ceil(2))] {
                parrot.told.lock().unwrap().written.clear();
                let cut = Some(Cut { operation, when, times: 1 });
                device.set_faults(DeviceFaults { cut, ..DeviceFaults::default() });
                connect(&peripheral).await;
                // Operations 0 and 2 are reads, 1 and 3 are writes.
                let mut done = 0;
                let error = loop {
                    let outcome = if done % 2 == 0 {
                        read(&peripheral, ECHO).await.map(drop)
                    } else {
                        write(&peripheral, ECHO, &[done]).await
                    };
                    match outcome {
                        Ok(()) => done += 1,
                        Err(error) => break text(&error),
                    }
                };
                assert_eq!(usize::from(done), operation);
                assert!(error.contains("Not connected"), "{error}");
                assert_eq!(parrot.written().len(), reached, "{operation} {when:?}");
                until("the end of the link", async || !peripheral.is_connected().await.unwrap()).await;
                let record = device.records().pop().unwrap();
                assert_eq!((record.ended, record.operations.len()), (Some(LinkEnd::Fault), operation + 1));
            }
        }
        connect(&peripheral).await;
        assert_eq!(read(&peripheral, ECHO).await.unwrap(), [3]);
        radio.stop().await;
    }

    async fn a_device_that_closes_the_link_after_an_error_is_heard_out() {
        let parrot = Parrot::new(1);
        let radio = radio(quick(), &[Arc::clone(&parrot)]).await;
        let peripheral = find_one().await;
        connect(&peripheral).await;
        let moody = characteristic(&peripheral, MOODY);
        let refused = text(&write(&peripheral, MOODY, b"?").await.unwrap_err());
        assert!(refused.contains("Operation failed with ATT error: 0x85"), "{refused}");
        until("the end of the link", async || !peripheral.is_connected().await.unwrap()).await;
        let gone = text(&peripheral.read(&moody).await.unwrap_err());
        assert!(gone.contains("doesn't exist"), "attributes vanish with the link: {gone}");
        assert_eq!(parrot.told.lock().unwrap().ends, 1);
        radio.stop().await;
    }

    async fn faults_of_operations_come_in_the_words_of_bluetoothd() {
        let radio = radio(quick(), &[Parrot::new(1)]).await;
        let device = radio.devices().remove(0);
        let peripheral = find_one().await;
        let refuse = vec![Refuse { operation: 0, error: AttError::INSUFFICIENT_AUTHORIZATION, times: 1 }];
        let cut = Some(Cut { operation: 0, when: When::After, times: 1 });
        let lost_in_flight = LostInFlight::Unlikely;
        for (faults, says) in [
            (DeviceFaults { wants_pairing: true, ..DeviceFaults::default() }, "Not paired"),
            (DeviceFaults { refuse, ..DeviceFaults::default() }, "Operation Not Authorized"),
            (DeviceFaults { cut, lost_in_flight, ..DeviceFaults::default() }, "ATT error: 0x0e"),
            (DeviceFaults { stale_gatt: Some(StaleGatt::Moved), ..DeviceFaults::default() }, "ATT error: 0x01"),
            (DeviceFaults { same_uuid_twice: true, ..DeviceFaults::default() }, "ATT error: 0x0e"),
        ] {
            device.set_faults(faults);
            connect(&peripheral).await;
            let refused = text(&read(&peripheral, ECHO).await.unwrap_err());
            assert!(refused.contains(says), "{says}: {refused}");
            if peripheral.is_connected().await.unwrap() {
                peripheral.disconnect().await.unwrap();
            }
        }
        device.set_faults(DeviceFaults { stale_gatt: Some(StaleGatt::Missing), ..DeviceFaults::default() });
        connect(&peripheral).await;
        assert!(peripheral.services().is_empty());
        radio.stop().await;
    }

    async fn aborted_connections_fail_so_many_times_and_then_succeed() {
        let radio = radio(quick(), &[Parrot::new(1)]).await;
        let device = radio.devices().remove(0);
        let peripheral = find_one().await;
        device.set_faults(DeviceFaults { connect_aborts: 2, ..DeviceFaults::default() });
        for _ in 0..2 {
            let failed = text(&peripheral.connect().await.unwrap_err());
            assert!(failed.contains("le-connection-abort-by-local"), "{failed}");
        }
        connect(&peripheral).await;
        peripheral.disconnect().await.unwrap();
        device.set_faults(DeviceFaults { connect_hangs: true, ..DeviceFaults::default() });
        let hanging = tokio::spawn({ let p = peripheral.clone(); async move { p.connect().await } });
        let given_up = within("the time-out", hanging).await.unwrap();
        assert!(text(&given_up.unwrap_err()).contains("le-connection-abort-by-local"));
        radio.stop().await;
    }

    async fn services_that_take_long_are_waited_for() {
        let radio = radio(quick(), &[Parrot::new(1)]).await;
        let resolve = Some(Duration::from_millis(700));
        radio.devices()[0].set_faults(DeviceFaults { resolve, ..DeviceFaults::default() });
        let peripheral = find_one().await;
        let start = std::time::Instant::now();
        connect(&peripheral).await;
        assert!(start.elapsed() >= Duration::from_millis(700));
        assert_eq!(peripheral.services().len(), 1);
        radio.devices()[0].set_faults(DeviceFaults { never_resolves: true, ..DeviceFaults::default() });
        peripheral.disconnect().await.unwrap();
        let unresolved = timeout(Duration::from_millis(500), peripheral.connect()).await;
        assert!(unresolved.is_err(), "{unresolved:?}");
        assert!(peripheral.is_connected().await.unwrap());
        radio.stop().await;
    }

    async fn an_adapter_that_is_off_can_be_switched_on_unless_it_is_blocked() {
        let mut config = quick();
        config.adapters[0].powered = false;
        config.adapters[0].blocked = true;
        let radio = radio(config, &[Parrot::new(1)]).await;
        let adapter = adapter().await;
        assert_eq!(adapter.adapter_state().await.unwrap(), CentralState::PoweredOff);
        let blocked = text(&adapter.start_scan(ScanFilter::default()).await.unwrap_err());
        assert!(blocked.contains("Blocked through rfkill"), "{blocked}");
        radio.adapter("hci0").unwrap().update(|c| c.blocked = false);
        let peripheral = find(&adapter, 1).await.remove(0);
        assert_eq!(adapter.adapter_state().await.unwrap(), CentralState::PoweredOn);
        connect(&peripheral).await;
        let mut events = adapter.events().await.unwrap();
        radio.adapter("hci0").unwrap().update(|c| c.powered = false);
        within("the news", async {
            let off = |e: &_| matches!(e, CentralEvent::StateUpdate(CentralState::PoweredOff));
            while !off(&events.next().await.unwrap()) {}
        })
        .await;
        until("the end of the link", async || !peripheral.is_connected().await.unwrap()).await;
        let failed = text(&peripheral.connect().await.unwrap_err());
        assert!(failed.contains("Resource Not Ready"), "{failed}");
        radio.stop().await;
    }

    async fn an_adapter_that_is_busy_with_the_last_scan_refuses_the_next_order_so_many_times() {
        let radio = radio(quick(), &[Parrot::new(1)]).await;
        let busy = |times| radio.adapter("hci0").unwrap().update(|c| c.busy_scans = times);
        let adapter = adapter().await;
        busy(1);
        let refused = text(&adapter.start_scan(ScanFilter::default()).await.unwrap_err());
        assert!(refused.contains("in progress"), "{refused}");
        adapter.start_scan(ScanFilter::default()).await.unwrap();
        busy(1);
        let refused = text(&adapter.stop_scan().await.unwrap_err());
        assert!(refused.contains("in progress"), "{refused}");
        adapter.stop_scan().await.unwrap();
        radio.stop().await;
    }

    async fn a_machine_without_an_adapter_lists_none_until_one_is_plugged_in() {
        let mut config = quick();
        config.adapters[0].present = false;
        let radio = radio(config, &[Parrot::new(1)]).await;
        let manager = Manager::new().await.unwrap();
        assert!(manager.adapters().await.unwrap().is_empty());
        radio.adapter("hci0").unwrap().update(|c| { c.present = true; c.powered = true; });
        until("the adapter", async || !manager.adapters().await.unwrap().is_empty()).await;
        let peripheral = find_one().await;
        radio.adapter("hci0").unwrap().update(|c| c.present = false);
        until("the adapter's end", async || manager.adapters().await.unwrap().is_empty()).await;
        assert!(peripheral.connect().await.is_err());
        radio.stop().await;
    }

    async fn two_adapters_each_find_the_device_and_only_one_gets_it() {
        let mut config = quick();
        let address = Address::public([0x00, 0x1a, 0x7d, 0xda, 0x71, 0x01]);
        config.adapters.push(AdapterConfig { name: "hci1".into(), address, ..config.adapters[0].clone() });
        let radio = radio(config, &[Parrot::new(1)]).await;
        // Each over a connection of its own: on one, the end of the second's stream of events could remove the match
        // rule of the first's (see the test of four links).
        let second = find(&adapter_named("hci1").await, 1).await.remove(0);
        let first = find(&adapter_named("hci0").await, 1).await.remove(0);
        assert_eq!(first.address(), second.address());
        connect(&first).await;
        let failed = text(&second.connect().await.unwrap_err());
        assert!(failed.contains("le-connection-abort-by-local"), "{failed}");
        radio.stop().await;
    }

    async fn twenty_devices_are_all_found() {
        let parrots: Vec<_> = (0..20).map(Parrot::new).collect();
        let radio = radio(quick(), &parrots).await;
        let found = find(&adapter().await, 20).await;
        assert_eq!(advertised_name(&found[19]).await.as_deref(), Some("PROV_13"));
        radio.stop().await;
    }

    async fn four_links_at_once_do_not_mix_and_a_fifth_waits_for_a_free_one() {
        let parrots: Vec<_> = (0..5).map(Parrot::new).collect();
        let mut config = quick();
        config.adapters[0].links = 4;
        let radio = radio(config, &parrots).await;
        let adapter = adapter().await;
        // dbus-daemon takes two match rules for equal that differ in `path_namespace` alone (`match_rule_equal` in
        // its bus/signals.c, 1.14), so the end of one connect() can remove the rule of another, which then never
        // hears of its services. A stream of the whole adapter's events, opened first and kept, covers for both.
        let _whole_adapter = adapter.events().await.unwrap();
        let found = find(&adapter, 5).await;
        let (last, four) = found.split_last().unwrap();
        join_all(four.iter().map(connect)).await;
        let full = text(&last.connect().await.unwrap_err());
        assert!(full.contains("le-connection-concurrent-connection-limit"), "{full}");
        join_all(four.iter().enumerate().map(async |(n, peripheral)| {
            for round in 0..20 {
                let value = vec![u8::try_from(n).unwrap(); 300 + round];
                write(peripheral, ECHO, &value).await.unwrap();
                assert_eq!(read(peripheral, ECHO).await.unwrap(), value);
            }
        }))
        .await;
        four[0].disconnect().await.unwrap();
        connect(last).await;
        assert_eq!(radio.adapter("hci0").unwrap().links(), 4);
        radio.stop().await;
    }

    async fn a_device_can_be_connected_again_and_again() {
        let parrot = Parrot::new(1);
        let radio = radio(quick(), &[Arc::clone(&parrot)]).await;
        let peripheral = find_one().await;
        for n in 0..5_u8 {
            connect(&peripheral).await;
            write(&peripheral, ECHO, &[n]).await.unwrap();
            peripheral.disconnect().await.unwrap();
            assert!(!peripheral.is_connected().await.unwrap());
        }
        assert_eq!(parrot.written(), [[0], [1], [2], [3], [4]]);
        let told = |count: fn(&common::Told) -> usize| count(&parrot.told.lock().unwrap());
        assert_eq!((told(|t| t.links), told(|t| t.ends)), (5, 5));
        radio.stop().await;
    }

    async fn a_device_that_walks_away_is_lost_and_comes_back() {
        let radio = radio(quick(), &[Parrot::new(1)]).await;
        let device = radio.devices().remove(0);
        let peripheral = find_one().await;
        connect(&peripheral).await;
        device.set_faults(DeviceFaults { out_of_reach: true, ..DeviceFaults::default() });
        until("the end of the link", async || !peripheral.is_connected().await.unwrap()).await;
        assert!(text(&peripheral.connect().await.unwrap_err()).contains("le-connection-abort-by-local"));
        device.set_faults(DeviceFaults::default());
        connect(&peripheral).await;
        radio.stop().await;
    }

    async fn the_device_itself_can_drop_the_link_and_change_what_it_offers() {
        let parrot = Parrot::new(1);
        let radio = radio(quick(), &[Arc::clone(&parrot)]).await;
        let peripheral = find_one().await;
        connect(&peripheral).await;
        parrot.on_air.send_modify(|on_air| Arc::make_mut(&mut on_air.gatt).services[0].characteristics.truncate(1));
        let link = parrot.told.lock().unwrap().link.clone().unwrap();
        link.drop_link();
        until("the end of the link", async || !peripheral.is_connected().await.unwrap()).await;
        assert_eq!(radio.devices()[0].records()[0].ended, Some(LinkEnd::Device));
        connect(&peripheral).await;
        assert_eq!(peripheral.services().first().unwrap().characteristics.len(), 1);
        radio.stop().await;
    }

    async fn a_rotated_address_is_a_new_device_and_the_old_one_does_not_answer() {
        let parrot = Parrot::new(1);
        let radio = radio(quick(), &[Arc::clone(&parrot)]).await;
        let old = find_one().await;
        parrot.on_air.send_modify(|on_air| on_air.address = Address::random([0x41, 1, 2, 3, 4, 5]));
        let found = find(&adapter().await, 2).await;
        let new = found.iter().find(|p| p.address() != old.address()).unwrap();
        assert!(text(&old.connect().await.unwrap_err()).contains("le-connection-abort-by-local"));
        connect(new).await;
        radio.stop().await;
    }

    async fn a_killed_bluetooth_service_fails_every_call_until_it_is_back() {
        let mut radio = radio(quick(), &[Parrot::new(1)]).await;
        let adapter = adapter().await;
        let peripheral = find(&adapter, 1).await.remove(0);
        connect(&peripheral).await;
        radio.bluez().kill_service().await;
        until("the service's end", async || adapter.peripherals().await.is_err()).await;
        let dead = text(&adapter.peripherals().await.unwrap_err());
        assert!(dead.contains("org.bluez was not provided") || dead.contains("ServiceUnknown"), "{dead}");
        assert_eq!(radio.devices()[0].records()[0].ended, Some(LinkEnd::Adapter));
        radio.bluez().restart_service().await.unwrap();
        assert!(adapter.peripherals().await.unwrap().is_empty());
        connect(&find_one().await).await;
        radio.stop().await;
    }

    async fn devices_come_and_go_while_the_radio_runs() {
        let radio = radio(quick(), &[]).await;
        let adapter = adapter().await;
        adapter.start_scan(ScanFilter::default()).await.unwrap();
        let mut events = adapter.events().await.unwrap();
        let device = radio.add(Parrot::new(7));
        let id = within("the device", async {
            loop {
                if let CentralEvent::DeviceDiscovered(id) = events.next().await.unwrap() {
                    break id;
                }
            }
        })
        .await;
        radio.remove(&device);
        adapter.stop_scan().await.unwrap();
        let peripheral = adapter.peripheral(&id).await.unwrap();
        assert!(text(&peripheral.connect().await.unwrap_err()).contains("le-connection-abort-by-local"));
        assert!(radio.devices().is_empty());
        radio.stop().await;
    }

    async fn a_client_that_is_gone_no_longer_scans() {
        let radio = radio(quick(), &[Parrot::new(1)]).await;
        let bus = || async { zbus::connection::Builder::address(radio.bus_address()).build().await.unwrap() };
        let (watcher, client) = (bus().await, bus().await);
        let call = async |connection: &zbus::Connection, interface: &str, member: &str, property: Option<&str>| {
            let (to, path) = (Some("org.bluez"), "/org/bluez/hci0");
            match property {
                Some(name) => connection.call_method(to, path, Some(interface), member, &("org.bluez.Adapter1", name)).await,
                None => connection.call_method(to, path, Some(interface), member, &()).await,
            }
        };
        let discovering = async || {
            let answer = call(&watcher, "org.freedesktop.DBus.Properties", "Get", Some("Discovering")).await.unwrap();
            answer.body().deserialize::<zbus::Variant<'_>>().unwrap() == zbus::Variant::from(true)
        };
        call(&client, "org.bluez.Adapter1", "StartDiscovery", None).await.unwrap();
        assert!(discovering().await);
        let twice = call(&client, "org.bluez.Adapter1", "StartDiscovery", None).await.unwrap_err();
        assert!(twice.to_string().contains("org.bluez.Error.InProgress"), "{twice}");
        let other = call(&watcher, "org.bluez.Adapter1", "StopDiscovery", None).await.unwrap_err();
        assert!(other.to_string().contains("No discovery started"), "{other}");
        client.close().await.unwrap();
        until("the end of the scan", async || !discovering().await).await;
        radio.stop().await;
    }

    async fn a_second_write_to_an_attribute_under_way_is_refused() {
        let mut config = quick();
        config.adapters[0].latency.round_trip = Duration::from_millis(200);
        let radio = radio(config, &[Parrot::new(1)]).await;
        let peripheral = find_one().await;
        connect(&peripheral).await;
        let (one, two) = tokio::join!(write(&peripheral, ECHO, b"one"), write(&peripheral, ECHO, b"two"));
        let refused = [one, two].into_iter().filter_map(Result::err).map(|e| text(&e)).collect::<Vec<_>>();
        assert!(refused.len() == 1 && refused[0].contains("In Progress"), "{refused:?}");
        let record = radio.devices()[0].records().pop().unwrap();
        let kinds: Vec<_> = record.operations.iter().map(|o| (o.kind, o.characteristic)).collect();
        assert_eq!(kinds, [(OperationKind::Write, id(ECHO))]);
        radio.stop().await;
    }
}
