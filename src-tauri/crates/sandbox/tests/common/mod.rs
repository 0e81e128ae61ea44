//! A device to talk to, and a radio with nothing slow about it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sandbox::radio::faults::{AdapterConfig, Latency, RadioConfig};
use sandbox::radio::peripheral::{
    Address, Advertisement, AttError, CharacteristicId, CharacteristicLayout, DescriptorLayout, GattLayout,
    LinkHandle, OnAir, Peripheral, Properties, Refusal, ServiceLayout, USER_DESCRIPTION,
};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

pub(crate) const SERVICE: Uuid = Uuid::from_u128(0x021a_9004_0382_4aea_bff4_6b3f_1c5a_dfb4);
/// Gives back what was written last.
pub(crate) const ECHO: Uuid = Uuid::from_u128(0x021a_ff51_0382_4aea_bff4_6b3f_1c5a_dfb4);
/// Notifies what is written to it.
pub(crate) const NEWS: Uuid = Uuid::from_u128(0x021a_ff52_0382_4aea_bff4_6b3f_1c5a_dfb4);
/// Takes what is written, then refuses with 0x85 and closes the link.
pub(crate) const MOODY: Uuid = Uuid::from_u128(0x021a_ff53_0382_4aea_bff4_6b3f_1c5a_dfb4);

pub(crate) const fn id(characteristic: Uuid) -> CharacteristicId {
    CharacteristicId {
        service: SERVICE,
        characteristic,
    }
}

/// A device with three characteristics that remembers what it was told.
pub(crate) struct Parrot {
    pub(crate) on_air: watch::Sender<OnAir>,
    pub(crate) told: Mutex<Told>,
}

#[derive(Default)]
pub(crate) struct Told {
    pub(crate) link: Option<LinkHandle>,
    pub(crate) links: usize,
    pub(crate) ends: usize,
    pub(crate) written: Vec<Vec<u8>>,
    pub(crate) echo: Vec<u8>,
    /// Where writes wait, if anywhere.
    pub(crate) gate: Option<Arc<Gate>>,
}

/// A point that a write reaches and where it stays until it is let on.
#[derive(Default)]
pub(crate) struct Gate {
    pub(crate) reached: Notify,
    pub(crate) open: Notify,
}

impl Parrot {
    /// Device number `n`, named `PROV_n` in hex.
    pub(crate) fn new(n: u8) -> Arc<Self> {
        Self::with(n, |_| {})
    }

    pub(crate) fn with(n: u8, change: impl FnOnce(&mut OnAir)) -> Arc<Self> {
        let characteristic = |uuid, properties, name: &str| CharacteristicLayout {
            uuid,
            properties,
            limit: 512,
            descriptors: vec![DescriptorLayout {
                uuid: USER_DESCRIPTION,
                value: name.as_bytes().to_vec(),
            }],
        };
        let read_write = Properties {
            read: true,
            write: true,
            ..Properties::default()
        };
        let news = Properties {
            write: true,
            write_without_response: true,
            notify: true,
            ..Properties::default()
        };
        let characteristics = vec![
            characteristic(ECHO, read_write, "echo"),
            characteristic(NEWS, news, "news"),
            characteristic(MOODY, read_write, "moody"),
        ];
        let mut on_air = OnAir {
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
                    characteristics,
                }],
                mtu: 247,
                long_writes: true,
            }),
        };
        change(&mut on_air);
        Arc::new(Self {
            on_air: watch::Sender::new(on_air),
            told: Mutex::default(),
        })
    }

    pub(crate) fn written(&self) -> Vec<Vec<u8>> {
        self.told.lock().unwrap().written.clone()
    }
}

#[async_trait]
impl Peripheral for Parrot {
    fn on_air(&self) -> watch::Receiver<OnAir> {
        self.on_air.subscribe()
    }

    fn connected(&self, link: LinkHandle) {
        let mut told = self.told.lock().unwrap();
        told.link = Some(link);
        told.links += 1;
    }

    fn disconnected(&self, link: u64) {
        let mut told = self.told.lock().unwrap();
        told.link.take_if(|l| l.id() == link);
        told.ends += 1;
    }

    async fn read(&self, _: CharacteristicId) -> Result<Vec<u8>, AttError> {
        Ok(self.told.lock().unwrap().echo.clone())
    }

    async fn write(&self, characteristic: CharacteristicId, value: Vec<u8>) -> Result<(), Refusal> {
        let gate = self.told.lock().unwrap().gate.clone();
        if let Some(gate) = gate {
            gate.reached.notify_one();
            gate.open.notified().await;
        }
        let mut told = self.told.lock().unwrap();
        told.written.push(value.clone());
        if characteristic == id(NEWS) {
            if let Some(link) = &told.link {
                link.notify(characteristic, value);
            }
            return Ok(());
        }
        told.echo = value;
        if characteristic == id(MOODY) {
            return Err(Refusal {
                error: AttError::BLUEDROID_ERROR,
                closes_link: true,
            });
        }
        Ok(())
    }
}

/// One adapter for which nothing takes time.
pub(crate) fn quick() -> RadioConfig {
    let adapter = AdapterConfig {
        latency: Latency::NONE,
        ..AdapterConfig::default()
    };
    RadioConfig {
        adapters: vec![adapter],
        socket: None,
    }
}
