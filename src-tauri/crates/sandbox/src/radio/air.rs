//! The air between adapters and devices: who is there, and how a link comes about. Both fronts stand on it, so
//! that they can't differ.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::adapter::Adapter;
use super::device::Device;
use super::faults::{DeviceFaults, RadioConfig};
use super::link::{Link, LinkEvent};
use super::peripheral::{Address, Peripheral};

/// Adapters, devices in their reach, and the numbering of links.
pub struct Air {
    adapters: Vec<Arc<Adapter>>,
    devices: watch::Sender<Vec<Arc<Device>>>,
    next_device: AtomicU64,
    next_link: AtomicU64,
}

/// Why no link came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// The adapter is off, blocked or not there.
    #[error("the adapter is off")]
    AdapterOff,
    /// The adapter holds as many links as it can.
    #[error("the adapter holds as many links as it can")]
    TooManyLinks,
    /// The local controller gave the attempt up.
    #[error("the local controller gave up")]
    Aborted,
    /// The device was not heard in time, or does not take connections.
    #[error("the device was not heard in time")]
    TimedOut,
}

impl Air {
    /// The adapters of `config`, and no devices yet.
    pub fn new(config: &RadioConfig) -> Self {
        Self {
            adapters: config
                .adapters
                .iter()
                .cloned()
                .map(Adapter::new)
                .map(Arc::new)
                .collect(),
            devices: watch::Sender::default(),
            next_device: AtomicU64::new(1),
            next_link: AtomicU64::new(1),
        }
    }

    /// The adapters, those that are pulled out included.
    pub fn adapters(&self) -> &[Arc<Adapter>] {
        &self.adapters
    }

    /// The adapter of this name, such as `hci0`.
    pub fn adapter(&self, name: &str) -> Option<&Arc<Adapter>> {
        self.adapters.iter().find(|a| a.name() == name)
    }

    /// The devices in reach, in the order in which they came.
    pub fn devices(&self) -> Vec<Arc<Device>> {
        self.devices.borrow().clone()
    }

    /// Brings a device into reach.
    pub fn add(&self, peripheral: Arc<dyn Peripheral>) -> Arc<Device> {
        let device = Arc::new(Device::new(
            self.next_device.fetch_add(1, Ordering::Relaxed),
            peripheral,
        ));
        self.devices
            .send_modify(|devices| devices.push(Arc::clone(&device)));
        device
    }

    /// Takes a device away, as if its plug were pulled: a link that it has breaks after the supervision time-out.
    pub fn remove(&self, device: &Device) {
        device.set_faults(DeviceFaults {
            out_of_reach: true,
            ..DeviceFaults::default()
        });
        self.devices
            .send_modify(|devices| devices.retain(|d| d.id() != device.id()));
    }

    pub(super) fn watch_devices(&self) -> watch::Receiver<Vec<Arc<Device>>> {
        self.devices.subscribe()
    }

    /// Makes a link with a device under the address that it was heard with; gives it with what will happen on it.
    /// Dropping the future gives the attempt up.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(
        &self,
        adapter: &Arc<Adapter>,
        device: &Arc<Device>,
        address: Address,
    ) -> Result<(Arc<Link>, mpsc::UnboundedReceiver<LinkEvent>), ConnectError> {
        let config = adapter.config();
        if !config.is_on() {
            return Err(ConnectError::AdapterOff);
        }
        let attempt = timeout(config.latency.connect_timeout, async {
            if device.faults().connect_hangs {
                std::future::pending::<()>().await;
            }
            if device.spend_abort() || (config.aborts_while_scanning && adapter.is_listening()) {
                sleep(config.latency.connect).await;
                return Err(ConnectError::Aborted);
            }
            loop {
                if !device.advertising().await.connectable || device.address() != address {
                    std::future::pending::<()>().await;
                }
                if adapter.links() >= config.links {
                    return Err(ConnectError::TooManyLinks);
                }
                sleep(config.latency.connect).await;
                let id = self.next_link.fetch_add(1, Ordering::Relaxed);
                // Somebody else may have been faster; then this one waits for its turn.
                if let Some(link) = Link::start(id, adapter, device) {
                    return Ok(link);
                }
            }
        });
        tokio::select! {
            outcome = attempt => outcome.unwrap_or(Err(ConnectError::TimedOut)),
            () = adapter.went_off() => Err(ConnectError::AdapterOff),
        }
    }
}
