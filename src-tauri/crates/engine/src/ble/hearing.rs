//! What the adapter has heard: advertisements put together device by device.
//!
//! Stacks replay what they remember and send the parts of one advertisement as several events. A sighting leaves here
//! only when a signal strength came with it, since that alone shows that the device is on the air now.

use std::collections::BTreeMap;
use std::time::Duration;

use btleplug::api::{Central, Peripheral as _, PeripheralProperties};
use btleplug::platform;
use commission::device::Sighting;
use commission::gatt::PeripheralId;
use commission::time::Moment;

/// Pause between two looks at all that the stack knows of a device that has no name yet, or whose data changed.
/// Espressif devices advertise every 160 ms and send the name a little later.
const LOOK: Duration = Duration::from_millis(100);
/// The same for a device that is known well.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// A device that was silent for so long is forgotten: addresses rotate, memory does not grow.
const FORGET: Duration = Duration::from_secs(600);

/// All devices heard by one adapter.
#[derive(Default)]
pub(super) struct Hearing {
    devices: BTreeMap<platform::PeripheralId, Device>,
}

struct Device {
    peripheral: platform::Peripheral,
    properties: PeripheralProperties,
    looked: Moment,
    heard: Moment,
}

impl Hearing {
    /// Takes an event about `id`, with the signal strength in dBm where it told one.
    pub(super) async fn hear(
        &mut self,
        adapter: &platform::Adapter,
        id: platform::PeripheralId,
        rssi: Option<i16>,
        now: Moment,
    ) -> Option<Sighting> {
        let known = self.devices.get(&id);
        let pause = match known {
            Some(device) if rssi.is_some() && device.properties.advertisement_name.is_some() => LOOK_AGAIN,
            _ => LOOK,
        };
        let mut shown = rssi;
        if known.is_none_or(|device| now - device.looked >= pause) {
            let peripheral = match known {
                Some(device) => device.peripheral.clone(),
                None => adapter.peripheral(&id).await.ok()?,
            };
            let properties = peripheral.properties().await.ok()??;
            shown = shown.or(properties.rssi);
            let device = Device {
                peripheral,
                properties,
                looked: now,
                heard: now,
            };
            self.devices.insert(id.clone(), device);
        }
        let device = self.devices.get_mut(&id)?;
        let rssi = shown?;
        device.heard = now;
        Some(sighting(&id, &device.properties, rssi, now))
    }

    /// The peripheral of this name, heard or remembered by the stack.
    pub(super) async fn find(
        &self,
        adapter: &platform::Adapter,
        wanted: &PeripheralId,
    ) -> btleplug::Result<Option<platform::Peripheral>> {
        let heard = self.devices.iter().find(|(id, _)| id.to_string() == wanted.0);
        if let Some((_, device)) = heard {
            return Ok(Some(device.peripheral.clone()));
        }
        let remembered = adapter.peripherals().await?;
        Ok(remembered
            .into_iter()
            .find(|peripheral| peripheral.id().to_string() == wanted.0))
    }

    /// Forgets who was silent for long.
    pub(super) fn forget(&mut self, now: Moment) {
        self.devices.retain(|_, device| now - device.heard < FORGET);
    }
}

fn sighting(
    id: &platform::PeripheralId,
    properties: &PeripheralProperties,
    rssi: i16,
    at: Moment,
) -> Sighting {
    let collect = |(key, value): (&u16, &Vec<u8>)| (*key, value.clone());
    Sighting {
        peripheral: PeripheralId(id.to_string()),
        // Not the alias: that may be what somebody called the device, or a stand-in for a name.
        name: properties.advertisement_name.clone(),
        services: properties.services.clone(),
        manufacturer: properties.manufacturer_data.iter().map(collect).collect(),
        service_data: properties
            .service_data
            .iter()
            .map(|(uuid, data)| (*uuid, data.clone()))
            .collect(),
        rssi: Some(rssi),
        at,
    }
}
