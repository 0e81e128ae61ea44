//! The radio's front on Linux: `org.bluez` on a private message bus.
//!
//! A program that takes its system bus from `DBUS_SYSTEM_BUS_ADDRESS` (libdbus does, and so btleplug) meets the
//! simulated devices through the interfaces of the real bluetoothd, unchanged. What is served is the part that
//! Bluetooth LE centrals use; pairing, profiles and advertising are not.

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::air::Air;

mod adapter;
mod bus;
mod call;
mod daemon;
mod device;
mod gatt;
mod refusal;
mod tree;

pub use bus::BusError;
use bus::PrivateBus;
use daemon::Running;

/// Why the simulated Bluetooth service does not run.
#[derive(Debug, Error)]
pub enum BluezError {
    /// There is no bus for it.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The bus does not take it.
    #[error("the private bus does not take the simulated Bluetooth service: {0}")]
    Service(#[from] zbus::Error),
}

/// A private bus, and the simulated bluetoothd on it unless it was killed.
pub struct Bluez {
    air: Arc<Air>,
    running: Option<Running>,
    bus: PrivateBus,
}

impl Bluez {
    /// Starts a bus and the service on it, at `socket` or in a private directory of its own.
    ///
    /// # Errors
    /// [`BluezError`]; without `dbus-daemon` it names the package to install.
    pub async fn start(air: Arc<Air>, socket: Option<&Path>) -> Result<Self, BluezError> {
        let bus = PrivateBus::start(socket).await?;
        let running = Some(Running::start(Arc::clone(&air), bus.address()).await?);
        Ok(Self { air, running, bus })
    }

    /// What `DBUS_SYSTEM_BUS_ADDRESS` must be for a program that shall see the devices.
    pub fn bus_address(&self) -> &str {
        self.bus.address()
    }

    /// Ends the service as a crash would: links break, its name is free, and clients are told nothing else.
    pub async fn kill_service(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Starts the service anew, with nothing remembered; nothing happens where it runs.
    ///
    /// # Errors
    /// [`BluezError::Service`].
    pub async fn restart_service(&mut self) -> Result<(), BluezError> {
        if self.running.is_none() {
            self.running = Some(Running::start(Arc::clone(&self.air), self.bus.address()).await?);
        }
        Ok(())
    }

    /// Ends the service and the bus, and waits until both are gone.
    pub async fn stop(mut self) {
        self.kill_service().await;
        self.bus.stop().await;
    }
}
