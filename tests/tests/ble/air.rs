//! What the tests of the radio share: a process of their own below a private bus, a device that echoes, and waiting.
//!
//! btleplug takes its bus from `DBUS_SYSTEM_BUS_ADDRESS`, which a process can't set for itself without `unsafe`. So
//! each test runs this program again with the variable set, and that process starts the radio and does the test.

use std::future::Future;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use commission::device::Sighting;
use commission::gatt::{CharacteristicId, Properties};
use engine::ble::Ble;
use engine::ports::{Link, Radio as _};
use engine::system::SystemClock;
use sandbox::radio::Radio;
use sandbox::radio::faults::{AdapterConfig, Latency, RadioConfig};
use sandbox::radio::peripheral::{
    Address, Advertisement, AttError, CharacteristicLayout, DescriptorLayout, GattLayout, LinkHandle, OnAir,
    Peripheral, Refusal, ServiceLayout, USER_DESCRIPTION,
};
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

/// Longest that any single thing may take here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Set in the process that does the test, to the socket of its bus.
const SOCKET: &str = "FIELDKEY_TEST_BUS";

pub(crate) const SERVICE: Uuid = Uuid::from_u128(0x021a_9004_0382_4aea_bff4_6b3f_1c5a_dfb4);
/// Gives back what was written last.
pub(crate) const ECHO: CharacteristicId = CharacteristicId {
    service: SERVICE,
    characteristic: Uuid::from_u128(0x021a_ff51_0382_4aea_bff4_6b3f_1c5a_dfb4),
};
/// Refuses what is written with 0x85 and closes the link, as Bluedroid firmware does.
pub(crate) const MOODY: CharacteristicId = CharacteristicId {
    service: SERVICE,
    characteristic: Uuid::from_u128(0x021a_ff52_0382_4aea_bff4_6b3f_1c5a_dfb4),
};

/// Runs a story in a process of its own, with a bus address that nothing serves yet.
pub(crate) fn in_own_process(test: &str, story: impl Future<Output = ()>) {
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
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}\n{complained}");
    // A filter that matches nothing is a success too.
    assert!(said.contains("1 passed"), "no test of this name ran: {said}");
}

/// Declares tests that run by [`in_own_process`].
macro_rules! on_the_air {
    ($(async fn $name:ident() $body:block)*) => {$(
        #[test]
        fn $name() {
            let module = module_path!().split_once("::").map_or("", |(_, module)| module);
            $crate::air::in_own_process(&format!("{module}::{}", stringify!($name)), async $body);
        }
    )*};
}
pub(crate) use on_the_air;

/// One adapter for which nothing takes time.
pub(crate) fn quick() -> RadioConfig {
    RadioConfig {
        adapters: vec![AdapterConfig {
            latency: Latency::NONE,
            ..AdapterConfig::default()
        }],
        socket: None,
    }
}

pub(crate) async fn radio(mut config: RadioConfig, devices: &[Arc<Echo>]) -> Radio {
    config.socket = std::env::var_os(SOCKET).map(Into::into);
    let peripherals = devices.iter().map(|device| Arc::clone(device) as _).collect();
    Radio::start(&config, peripherals).await.unwrap()
}

/// The radio under test, over any adapter.
pub(crate) fn ble() -> Ble {
    over(None)
}

/// The radio under test, over the adapter of this id.
pub(crate) fn over(adapter: Option<&str>) -> Ble {
    Ble::new(adapter.map(str::to_owned), Arc::new(SystemClock::start()))
}

/// Scans until the device with this name is heard.
pub(crate) async fn find(ble: &Ble, name: &str) -> Sighting {
    let mut sightings = ble.scan().await.unwrap();
    within("finding a device", async {
        loop {
            let sighting = sightings.recv().await.unwrap();
            if sighting.name.as_deref() == Some(name) {
                return sighting;
            }
        }
    })
    .await
}

/// Finds and connects.
pub(crate) async fn link(ble: &Ble, name: &str) -> Box<dyn Link> {
    let sighting = find(ble, name).await;
    ble.connect(&sighting.peripheral, PATIENCE).await.unwrap()
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took too long"))
}

/// Looks again and again until `holds`; the last resort where nothing announces a change.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A device with two characteristics.
pub(crate) struct Echo {
    pub(crate) on_air: watch::Sender<OnAir>,
    value: Mutex<Vec<u8>>,
    link: Mutex<Option<LinkHandle>>,
}

impl Echo {
    /// Device number `n`, named `PROV_n` in hex.
    pub(crate) fn new(n: u8) -> Arc<Self> {
        let characteristic = |id: CharacteristicId, name: &str| CharacteristicLayout {
            uuid: id.characteristic,
            properties: Properties {
                read: true,
                write: true,
                ..Properties::default()
            },
            limit: 512,
            descriptors: vec![DescriptorLayout {
                uuid: USER_DESCRIPTION,
                value: name.as_bytes().to_vec(),
            }],
        };
        let on_air = OnAir {
            address: Address::public([0x24, 0x0a, 0xc4, 0, 0, n]),
            advertisement: Some(Advertisement {
                name_in_scan_response: Some(format!("PROV_{n:02X}")),
                services: vec![SERVICE],
                manufacturer: [(0x02e5, vec![b'N', n])].into(),
                interval: Duration::from_millis(40),
                ..Advertisement::default()
            }),
            gatt: Arc::new(GattLayout {
                services: vec![ServiceLayout {
                    uuid: SERVICE,
                    characteristics: vec![characteristic(ECHO, "echo"), characteristic(MOODY, "moody")],
                }],
                mtu: 23,
                long_writes: true,
            }),
        };
        Arc::new(Self {
            on_air: watch::Sender::new(on_air),
            value: Mutex::default(),
            link: Mutex::default(),
        })
    }

    /// Closes the link from the device's side.
    pub(crate) fn hang_up(&self) {
        self.link.lock().unwrap().as_ref().unwrap().drop_link();
    }
}

#[async_trait]
impl Peripheral for Echo {
    fn on_air(&self) -> watch::Receiver<OnAir> {
        self.on_air.subscribe()
    }

    fn connected(&self, link: LinkHandle) {
        *self.link.lock().unwrap() = Some(link);
    }

    fn disconnected(&self, link: u64) {
        self.link.lock().unwrap().take_if(|it| it.id() == link);
    }

    async fn read(&self, _: CharacteristicId) -> Result<Vec<u8>, AttError> {
        Ok(self.value.lock().unwrap().clone())
    }

    async fn write(&self, characteristic: CharacteristicId, value: Vec<u8>) -> Result<(), Refusal> {
        if characteristic == MOODY {
            return Err(Refusal {
                error: AttError::BLUEDROID_ERROR,
                closes_link: true,
            });
        }
        *self.value.lock().unwrap() = value;
        Ok(())
    }
}
