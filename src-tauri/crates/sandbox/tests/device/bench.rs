//! A workbench: the devices of a scenario, switched on, with nothing around them.

use std::sync::Arc;

use sandbox::device::firmware::Firmware;
use sandbox::device::maker::Maker;
use sandbox::device::pace::Pace;
use sandbox::device::storage::Storage;
use sandbox::device::wifi::World;
use sandbox::scenario::Scenario;

/// Devices, and the directory in which they keep what they keep.
pub(crate) struct Bench {
    pub(crate) devices: Vec<Firmware>,
    scenario: Scenario,
    state: tempfile::TempDir,
}

/// The network of these tests.
pub(crate) const NETWORK: &str = "[[network]]\nssid = \"plant\"\npassphrase = \"goodpass\"\n";

impl Bench {
    /// Switches the devices of a scenario on; their own delays pass a hundred times as fast as in life.
    pub(crate) fn new(text: &str) -> Self {
        let scenario = Scenario::parse(&format!("{NETWORK}{text}")).unwrap();
        let mut bench = Self {
            devices: Vec::new(),
            scenario,
            state: tempfile::tempdir().unwrap(),
        };
        bench.power_on();
        bench
    }

    /// Takes new handles to all devices, from what they kept.
    pub(crate) fn restart(&mut self) {
        for device in self.devices.drain(..) {
            device.power_off();
        }
        self.power_on();
    }

    pub(crate) fn maker(&self) -> Maker {
        Maker::open(self.state.path()).unwrap()
    }

    fn power_on(&mut self) {
        let (maker, storage) = (self.maker(), Storage::open(self.state.path()).unwrap());
        let world = Arc::new(World {
            points: self.scenario.networks.clone(),
        });
        self.devices = self
            .scenario
            .devices
            .iter()
            .map(|spec| {
                let flash = storage.device(&spec.serial, spec.copy);
                Firmware::power_on(spec.clone(), &maker, flash, Arc::clone(&world), Pace::new(100.0)).unwrap()
            })
            .collect();
    }
}
