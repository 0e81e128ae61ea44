//! A simulated Bluetooth radio: devices that implement [`peripheral::Peripheral`] are seen, connected to and read
//! through the interfaces that real programs use.
//!
//! Not in scope: what a device says. That is its dialect's business, on the other side of [`peripheral`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::adapter::Adapter;
use self::air::Air;
use self::bluez::{Bluez, BluezError};
use self::device::Device;
use self::faults::RadioConfig;
use self::peripheral::Peripheral;

pub mod adapter;
pub mod air;
pub mod bluez;
pub mod device;
pub mod faults;
pub mod in_process;
pub mod link;
pub mod peripheral;
pub mod record;
pub mod scan;
pub mod table;

/// The radio with its Linux front: devices on the air, and a private bus where programs meet them.
pub struct Radio {
    air: Arc<Air>,
    bluez: Bluez,
}

impl Radio {
    /// Puts devices on the air and starts the simulated Bluetooth service.
    ///
    /// # Errors
    /// [`BluezError`]; without `dbus-daemon` it names the package to install.
    pub async fn start(
        config: &RadioConfig,
        peripherals: Vec<Arc<dyn Peripheral>>,
    ) -> Result<Self, BluezError> {
        let air = Arc::new(Air::new(config));
        for peripheral in peripherals {
            air.add(peripheral);
        }
        let bluez = Bluez::start(Arc::clone(&air), config.socket.as_deref()).await?;
        Ok(Self { air, bluez })
    }

    /// What `DBUS_SYSTEM_BUS_ADDRESS` must be for a program that shall see the devices.
    pub fn bus_address(&self) -> &str {
        self.bluez.bus_address()
    }

    /// The air, for devices and adapters and for another front.
    pub fn air(&self) -> &Arc<Air> {
        &self.air
    }

    /// The devices in reach, in the order in which they came.
    pub fn devices(&self) -> Vec<Arc<Device>> {
        self.air.devices()
    }

    /// The adapter of this name, such as `hci0`.
    pub fn adapter(&self, name: &str) -> Option<&Arc<Adapter>> {
        self.air.adapter(name)
    }

    /// Brings a device into reach.
    pub fn add(&self, peripheral: Arc<dyn Peripheral>) -> Arc<Device> {
        self.air.add(peripheral)
    }

    /// Takes a device away.
    pub fn remove(&self, device: &Device) {
        self.air.remove(device);
    }

    /// The Bluetooth service, to kill and restart it.
    pub fn bluez(&mut self) -> &mut Bluez {
        &mut self.bluez
    }

    /// Ends everything and waits until it is gone. Dropping the radio ends it too, without the wait.
    pub async fn stop(self) {
        self.bluez.stop().await;
    }
}

/// Locks a mutex. Its content is whole after a panic elsewhere, since no critical section here stops half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
