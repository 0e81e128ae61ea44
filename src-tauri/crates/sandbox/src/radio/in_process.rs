//! The radio's front for systems without BlueZ: the engine's `Radio` port, in this process, on the same air.
//!
//! Operations, faults and latency are those of [`super::link`], so that a device behaves as it does behind the
//! simulated BlueZ. D-Bus and btleplug have no part in it: what they do wrong, this front does not show.

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use commission::device::Sighting;
use commission::gatt::{Characteristic, CharacteristicId, GattOp, GattTable, LinkError, PeripheralId};
use engine::ports;
use engine::ports::{Clock, RadioState};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::adapter::Adapter;
use super::air::{Air, ConnectError};
use super::device::Device;
use super::link::{Link, OpError, Request};
use super::lock;
use super::peripheral::Address;
use super::record::LinkEnd;
use super::scan::{Report, Scan};

/// Sightings that wait for a slow reader; those beyond are lost.
const QUEUE: usize = 1024;

/// The devices on the air, as the engine's radio.
pub struct InProcess {
    air: Arc<Air>,
    adapter: String,
    clock: Arc<dyn Clock>,
    heard: Arc<Mutex<Heard>>,
    /// Connection attempts under way, during which scans pause.
    connecting: Arc<watch::Sender<usize>>,
    /// Scans that listen right now.
    listening: Arc<watch::Sender<usize>>,
    state: Arc<watch::Sender<RadioState>>,
}

/// Devices by the address that they were heard with.
type Heard = BTreeMap<PeripheralId, (Arc<Device>, Address)>;

impl InProcess {
    /// A radio that uses the adapter of this name, such as `hci0`, and tells the time of sightings by `clock`.
    pub fn new(air: Arc<Air>, adapter: &str, clock: Arc<dyn Clock>) -> Self {
        let adapter = adapter.to_owned();
        Self {
            air,
            adapter,
            clock,
            heard: Arc::default(),
            connecting: Arc::default(),
            listening: Arc::default(),
            state: Arc::new(watch::Sender::new(RadioState {
                hears: false,
                trouble: None,
            })),
        }
    }

    fn adapter(&self) -> Result<&Arc<Adapter>, LinkError> {
        let adapter = self.air.adapter(&self.adapter).ok_or(LinkError::NoAdapter)?;
        match adapter.config() {
            config if !config.present => Err(LinkError::NoAdapter),
            config if !config.is_on() => Err(LinkError::AdapterOff),
            _ => Ok(adapter),
        }
    }
}

#[async_trait]
impl ports::Radio for InProcess {
    /// What is wrong with the adapter its scans and links say.
    fn state(&self) -> watch::Receiver<RadioState> {
        self.state.subscribe()
    }

    async fn adapters(&self) -> Result<Vec<ports::Adapter>, LinkError> {
        let present = self
            .air
            .adapters()
            .iter()
            .map(|a| a.config())
            .filter(|c| c.present);
        Ok(present
            .map(|c| ports::Adapter {
                name: format!("Simulated adapter {}", c.name),
                powered: c.is_on(),
                id: c.name,
            })
            .collect())
    }

    async fn scan(&self) -> Result<mpsc::Receiver<Sighting>, LinkError> {
        let adapter = Arc::clone(self.adapter()?);
        let (to_engine, sightings) = mpsc::channel(QUEUE);
        let task = Sighter {
            air: Arc::clone(&self.air),
            clock: Arc::clone(&self.clock),
            heard: Arc::clone(&self.heard),
            names: BTreeMap::new(),
            to_engine,
            listening: Arc::clone(&self.listening),
            state: Arc::clone(&self.state),
        };
        tokio::spawn(task.run(adapter, self.connecting.subscribe()));
        Ok(sightings)
    }

    async fn connect(
        &self,
        peripheral: &PeripheralId,
        patience: Duration,
    ) -> Result<Box<dyn ports::Link>, LinkError> {
        let adapter = self.adapter()?;
        let (device, address) = lock(&self.heard)
            .get(peripheral)
            .cloned()
            .ok_or(LinkError::OutOfReach)?;
        let _pause = Counted::new(&self.connecting);
        let attempt = timeout(patience, async {
            // The sender lives in `self`, so the wait can't fail.
            let _ = self.listening.subscribe().wait_for(|n| *n == 0).await;
            let (link, mut events) = self.air.connect(adapter, &device, address).await?;
            let linked = Linked {
                table: offered(&link),
                link,
                given_back: AtomicBool::new(false),
            };
            // The port has no notifications; what arrives is dropped as a client without a subscription would.
            tokio::spawn(async move { while events.recv().await.is_some() {} });
            if device.faults().never_resolves {
                pending::<()>().await;
            }
            tokio::select! {
                () = sleep(linked.link.latency().resolve) => Ok(linked),
                () = linked.link.ended() => Err(LinkError::NotConnected),
            }
        });
        let linked = attempt.await.unwrap_or(Err(LinkError::Timeout))?;
        Ok(Box::new(linked))
    }
}

/// A scan on behalf of the engine, until it no longer listens.
struct Sighter {
    air: Arc<Air>,
    clock: Arc<dyn Clock>,
    heard: Arc<Mutex<Heard>>,
    names: BTreeMap<PeripheralId, String>,
    to_engine: mpsc::Sender<Sighting>,
    listening: Arc<watch::Sender<usize>>,
    state: Arc<watch::Sender<RadioState>>,
}

impl Sighter {
    async fn run(mut self, adapter: Arc<Adapter>, mut connecting: watch::Receiver<usize>) {
        loop {
            let engine_gone = self.to_engine.clone();
            tokio::select! {
                () = engine_gone.closed() => return,
                () = adapter.went_off() => return,
                // The sender lives as long as the radio; without it nobody wants a scan.
                free = connecting.wait_for(|n| *n == 0) => if free.is_err() { return },
            }
            let _hears = Hears::new(&self.state, &self.listening);
            let _listens = Counted::new(&self.listening);
            let mut scan = Scan::start(&self.air, &adapter);
            loop {
                tokio::select! {
                    biased;
                    () = engine_gone.closed() => return,
                    () = adapter.went_off() => return,
                    busy = connecting.wait_for(|n| *n > 0) => match busy {
                        Ok(_) => break,
                        Err(_) => return,
                    },
                    report = scan.next() => match report {
                        Some(report) => self.tell(report),
                        None => return,
                    },
                }
            }
        }
    }

    fn tell(&mut self, report: Report) {
        let id = PeripheralId(report.address.to_string());
        if let Some(name) = report.advertisement.name_in_scan_response {
            self.names.insert(id.clone(), name);
        }
        lock(&self.heard).insert(id.clone(), (report.device, report.address));
        let sighting = Sighting {
            name: self.names.get(&id).cloned(),
            peripheral: id,
            services: report.advertisement.services,
            manufacturer: report.advertisement.manufacturer,
            service_data: report.advertisement.service_data,
            rssi: Some(report.rssi),
            at: self.clock.now(),
        };
        // A full queue loses sightings; the next one is an advertising interval away.
        let _ = self.to_engine.try_send(sighting);
    }
}

/// Counts in a watched number while it lives.
struct Counted(Arc<watch::Sender<usize>>);

impl Counted {
    fn new(count: &Arc<watch::Sender<usize>>) -> Self {
        count.send_modify(|n| *n += 1);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}

/// Says that a scan hears while it lives, and afterwards whether another does.
struct Hears(Arc<watch::Sender<RadioState>>, Arc<watch::Sender<usize>>);

impl Hears {
    fn new(state: &Arc<watch::Sender<RadioState>>, listening: &Arc<watch::Sender<usize>>) -> Self {
        state.send_modify(|state| state.hears = true);
        Self(Arc::clone(state), Arc::clone(listening))
    }
}

impl Drop for Hears {
    fn drop(&mut self) {
        let others = *self.1.borrow() > 0;
        self.0.send_modify(|state| state.hears = others);
    }
}

/// A link that the engine holds; it is given back when this is dropped.
struct Linked {
    link: Arc<Link>,
    table: GattTable,
    given_back: AtomicBool,
}

#[async_trait]
impl ports::Link for Linked {
    fn table(&self) -> &GattTable {
        &self.table
    }

    async fn perform(&self, op: &GattOp) -> Result<Vec<u8>, LinkError> {
        let request = match op {
            GattOp::Read(id) => Request::Read(self.handle(*id)?),
            GattOp::Write(id, value) => Request::Write(self.handle(*id)?, value.clone()),
            GattOp::ReadDescriptor(id, uuid) => {
                let handle = self.handle(*id)?;
                let table = self.link.table();
                let mut descriptors = table
                    .characteristic(handle)
                    .into_iter()
                    .flat_map(|c| &c.descriptors);
                let found = descriptors.find(|d| d.uuid == *uuid).ok_or(LinkError::Missing)?;
                Request::ReadDescriptor(found.handle)
            }
        };
        Ok(self.link.perform(request).await?)
    }

    fn lost(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let link = Arc::clone(&self.link);
        Box::pin(async move {
            link.ended().await;
            if link.end() == Some(LinkEnd::Client) {
                pending::<()>().await;
            }
        })
    }

    async fn disconnect(&self) {
        self.given_back.store(true, Ordering::Relaxed);
        let link = Arc::clone(&self.link);
        tokio::spawn(async move {
            tokio::select! {
                () = sleep(link.latency().disconnect) => {}
                () = link.ended() => {}
            }
            link.close(LinkEnd::Client);
        });
    }

    fn over(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let link = Arc::clone(&self.link);
        Box::pin(async move { link.ended().await })
    }
}

impl Linked {
    /// Of equal services the last one counts, as in btleplug's map of services.
    fn handle(&self, id: CharacteristicId) -> Result<u16, LinkError> {
        let found = self.link.table().characteristics().filter(|c| c.id == id).last();
        found.map(|c| c.handle).ok_or(LinkError::Missing)
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        if !self.given_back.load(Ordering::Relaxed) {
            self.link.close(LinkEnd::Client);
        }
    }
}

/// What a link's device offers, each name once.
fn offered(link: &Link) -> GattTable {
    let mut characteristics: Vec<Characteristic> = Vec::new();
    for c in link.table().characteristics() {
        if characteristics.iter().all(|known| known.id != c.id) {
            let descriptors = c.descriptors.iter().map(|d| d.uuid).collect();
            characteristics.push(Characteristic {
                id: c.id,
                properties: c.properties,
                descriptors,
            });
        }
    }
    GattTable { characteristics }
}

impl From<ConnectError> for LinkError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::AdapterOff => Self::AdapterOff,
            ConnectError::TooManyLinks => Self::Other(error.to_string()),
            ConnectError::Aborted | ConnectError::TimedOut => Self::OutOfReach,
        }
    }
}

impl From<OpError> for LinkError {
    fn from(error: OpError) -> Self {
        match error {
            OpError::NotConnected => Self::NotConnected,
            OpError::InProgress => Self::InProgress,
            OpError::TooLong | OpError::CommandTooLong => Self::InvalidLength,
            OpError::Missing => Self::Missing,
            OpError::Att(error) => match error.0 {
                0x02 | 0x03 => Self::NotPermitted,
                0x05 | 0x0c | 0x0f => Self::NotPaired,
                0x06 => Self::NotSupported,
                0x0d => Self::InvalidLength,
                code => Self::Att(code),
            },
        }
    }
}
