//! The attribute table that a client sees: a device's layout with handles, as the system's cache would have it.

use uuid::Uuid;

use super::faults::{DeviceFaults, StaleGatt};
use super::peripheral::{AttError, CharacteristicId, GattLayout, Properties};

/// UUID of the Client Characteristic Configuration descriptor (Bluetooth Core 5.4, Vol 3, Part G, 3.3.3.3).
pub const CLIENT_CONFIGURATION: Uuid = Uuid::from_u128(0x0000_2902_0000_1000_8000_0080_5f9b_34fb);

/// First handle in use; those below hold the generic services that bluetoothd keeps to itself.
const FIRST_HANDLE: u16 = 0x0028;

/// Says 0x01: there is nothing at this handle.
const INVALID_HANDLE: AttError = AttError(0x01);

/// All services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// In handle order.
    pub services: Vec<Service>,
}

/// A primary service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Handle of its declaration.
    pub handle: u16,
    /// Its UUID.
    pub uuid: Uuid,
    /// Its characteristics, in handle order.
    pub characteristics: Vec<Characteristic>,
}

/// A characteristic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Characteristic {
    /// Handle of its declaration.
    pub handle: u16,
    /// Its name.
    pub id: CharacteristicId,
    /// What it allows.
    pub properties: Properties,
    /// Longest value in bytes.
    pub limit: usize,
    /// What an access ends in when nobody is behind the handle.
    pub dead: Option<AttError>,
    /// Its descriptors, in handle order.
    pub descriptors: Vec<Descriptor>,
}

/// A descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its handle.
    pub handle: u16,
    /// Its UUID.
    pub uuid: Uuid,
    /// Its fixed value; `None` for the client configuration, which follows the subscription.
    pub value: Option<Vec<u8>>,
}

impl Table {
    /// What a client sees of `layout` under `faults`.
    pub(super) fn new(layout: &GattLayout, faults: &DeviceFaults) -> Self {
        let mut table = Self::default();
        if faults.stale_gatt == Some(StaleGatt::Missing) {
            return table;
        }
        let mut next = FIRST_HANDLE;
        let moved = (faults.stale_gatt == Some(StaleGatt::Moved)).then_some(INVALID_HANDLE);
        table.append(layout, moved, &mut next);
        if faults.same_uuid_twice {
            table.append(layout, Some(moved.unwrap_or(AttError::UNLIKELY)), &mut next);
        }
        table
    }

    fn append(&mut self, layout: &GattLayout, dead: Option<AttError>, next: &mut u16) {
        let mut take = || {
            let handle = *next;
            *next = next.saturating_add(1);
            handle
        };
        for service in &layout.services {
            let handle = take();
            let mut characteristics = Vec::new();
            for c in &service.characteristics {
                let handle = take();
                take(); // the value's own handle
                let configuration = (c.properties.notify || c.properties.indicate).then(|| Descriptor {
                    handle: take(),
                    uuid: CLIENT_CONFIGURATION,
                    value: None,
                });
                let mut descriptors: Vec<_> = configuration.into_iter().collect();
                for d in &c.descriptors {
                    descriptors.push(Descriptor {
                        handle: take(),
                        uuid: d.uuid,
                        value: Some(d.value.clone()),
                    });
                }
                let id = CharacteristicId {
                    service: service.uuid,
                    characteristic: c.uuid,
                };
                let (properties, limit) = (c.properties, c.limit);
                characteristics.push(Characteristic {
                    handle,
                    id,
                    properties,
                    limit,
                    dead,
                    descriptors,
                });
            }
            self.services.push(Service {
                handle,
                uuid: service.uuid,
                characteristics,
            });
        }
    }

    /// The characteristic with this handle.
    pub fn characteristic(&self, handle: u16) -> Option<&Characteristic> {
        self.characteristics().find(|c| c.handle == handle)
    }

    /// The descriptor with this handle, and its characteristic.
    pub fn descriptor(&self, handle: u16) -> Option<(&Characteristic, &Descriptor)> {
        self.characteristics()
            .find_map(|c| c.descriptors.iter().find(|d| d.handle == handle).map(|d| (c, d)))
    }

    /// All characteristics of all services, in handle order.
    pub fn characteristics(&self) -> impl Iterator<Item = &Characteristic> {
        self.services.iter().flat_map(|s| &s.characteristics)
    }
}

#[cfg(test)]
mod tests {
    use super::super::peripheral::{CharacteristicLayout, DescriptorLayout, ServiceLayout, USER_DESCRIPTION};
    use super::*;

    fn layout() -> GattLayout {
        let characteristic = |n: u128, notify| CharacteristicLayout {
            uuid: Uuid::from_u128(n),
            properties: Properties {
                read: true,
                notify,
                ..Properties::default()
            },
            limit: 512,
            descriptors: vec![DescriptorLayout {
                uuid: USER_DESCRIPTION,
                value: vec![1],
            }],
        };
        let characteristics = vec![characteristic(2, false), characteristic(3, true)];
        let services = vec![ServiceLayout {
            uuid: Uuid::from_u128(1),
            characteristics,
        }];
        GattLayout {
            services,
            ..GattLayout::default()
        }
    }

    #[test]
    fn handles_follow_attribute_order_with_a_client_configuration_where_it_notifies() {
        let table = Table::new(&layout(), &DeviceFaults::default());
        let handles: Vec<_> = table
            .characteristics()
            .map(|c| {
                (
                    c.handle,
                    c.descriptors
                        .iter()
                        .map(|d| (d.handle, d.uuid))
                        .collect::<Vec<_>>(),
                )
            })
            .collect();
        let expected = vec![
            (0x29, vec![(0x2b, USER_DESCRIPTION)]),
            (0x2c, vec![(0x2e, CLIENT_CONFIGURATION), (0x2f, USER_DESCRIPTION)]),
        ];
        assert_eq!(handles, expected);
        assert_eq!(
            table.descriptor(0x2f).map(|(c, d)| (c.handle, d.uuid)),
            Some((0x2c, USER_DESCRIPTION))
        );
    }

    #[test]
    fn a_second_copy_is_dead_and_comes_last() {
        let faults = DeviceFaults {
            same_uuid_twice: true,
            ..DeviceFaults::default()
        };
        let table = Table::new(&layout(), &faults);
        let dead: Vec<_> = table.characteristics().map(|c| c.dead).collect();
        assert_eq!(
            dead,
            [None, None, Some(AttError::UNLIKELY), Some(AttError::UNLIKELY)]
        );
        assert_eq!(table.services[0].uuid, table.services[1].uuid);
    }

    #[test]
    fn a_stale_cache_is_empty_or_points_nowhere() {
        let stale = |kind| DeviceFaults {
            stale_gatt: Some(kind),
            ..DeviceFaults::default()
        };
        assert_eq!(
            Table::new(&layout(), &stale(StaleGatt::Missing)),
            Table::default()
        );
        let moved = Table::new(&layout(), &stale(StaleGatt::Moved));
        assert!(moved.characteristics().all(|c| c.dead == Some(AttError(0x01))));
    }
}
