//! Recognising an Espressif provisioning advertisement, and RainMaker's manufacturer data in it.
//!
//! Not in scope: what the device can do, which only `proto-ver` tells, and which device a label means, which the
//! exact name tells (`Label::is_of`).

use alloc::string::String;

use uuid::{Uuid, uuid};

use crate::device::Sighting;

/// Service UUID that the component advertises where the firmware sets none (esp-idf `wifi_provisioning`).
pub const COMPONENT_SERVICE: Uuid = uuid!("1775244d-6b43-439b-877c-060f2d9bed07");
/// Service UUID of the examples and of RainMaker, which most products kept.
pub const EXAMPLE_SERVICE: Uuid = uuid!("021a9004-0382-4aea-bff4-6b3f1c5adfb4");
/// Prefix of the names that the examples and RainMaker advertise.
pub const NAME_PREFIX: &str = "PROV_";
/// Espressif's Bluetooth company identifier (Bluetooth SIG, Assigned Numbers).
pub const COMPANY: u16 = 0x02e5;

/// Last 12 bytes of every UUID that the Bluetooth SIG assigned (Bluetooth Core 5.4, Vol 3, Part B, 2.5.1).
const BLUETOOTH_BASE: [u8; 12] = [
    0x00, 0x00, 0x10, 0x00, 0x80, 0x00, 0x00, 0x80, 0x5f, 0x9b, 0x34, 0xfb,
];

/// An advertisement that offers Espressif provisioning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// The name, where the scan response was heard.
    pub name: Option<String>,
    /// The provisioning service, where it was advertised.
    pub service: Option<Uuid>,
    /// RainMaker's manufacturer data, where it was sent.
    pub rainmaker: Option<RainMaker>,
}

/// Says whether a device offers Espressif provisioning: by a well-known service UUID, by RainMaker's manufacturer
/// data, or by the usual name together with a service of the maker's own.
pub fn recognise(sighting: &Sighting) -> Option<Recognised> {
    let service = |wanted: fn(Uuid) -> bool| sighting.services.iter().copied().find(|uuid| wanted(*uuid));
    let known = service(|uuid| uuid == COMPONENT_SERVICE || uuid == EXAMPLE_SERVICE);
    let own = service(is_own);
    let rainmaker = sighting
        .manufacturer
        .get(&COMPANY)
        .and_then(|data| RainMaker::parse(data));
    let named = sighting
        .name
        .as_ref()
        .is_some_and(|name| name.starts_with(NAME_PREFIX));

    (known.is_some() || rainmaker.is_some() || (named && own.is_some())).then(|| Recognised {
        name: sighting.name.clone(),
        service: known.or(own),
        rainmaker,
    })
}

/// Whether a UUID is a maker's own and not one that the Bluetooth SIG assigned.
pub fn is_own(uuid: Uuid) -> bool {
    !uuid.as_bytes().ends_with(&BLUETOOTH_BASE)
}

/// RainMaker's manufacturer data, behind the company identifier: `Nov`, a version, and what the device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RainMaker {
    /// Version letter, `a` today.
    pub version: u8,
    /// Customer; 1 is Espressif's own.
    pub customer: u16,
    /// Kind of device: 0x0005 light, 0x0080 switch, 0x0101 user-auth, 0xfff1 Matter controller.
    pub device_type: u16,
    /// Finer kind.
    pub subtype: u8,
    /// Reserved, 0 today.
    pub extra: u8,
}

impl RainMaker {
    const MAGIC: [u8; 3] = *b"Nov";

    /// The ten bytes behind the company identifier.
    pub fn to_bytes(self) -> [u8; 10] {
        let [n, o, v] = Self::MAGIC;
        let [customer_high, customer_low] = self.customer.to_be_bytes();
        let [type_high, type_low] = self.device_type.to_be_bytes();
        [
            n,
            o,
            v,
            self.version,
            customer_high,
            customer_low,
            type_high,
            type_low,
            self.subtype,
            self.extra,
        ]
    }

    /// Reads the bytes behind the company identifier; `None` where they are another product's, or cut short because
    /// a long name left no room for them.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let rest = data.strip_prefix(&Self::MAGIC)?;
        let &[
            version,
            customer_high,
            customer_low,
            type_high,
            type_low,
            subtype,
            extra,
        ] = rest
        else {
            return None;
        };
        Some(Self {
            version,
            customer: u16::from_be_bytes([customer_high, customer_low]),
            device_type: u16::from_be_bytes([type_high, type_low]),
            subtype,
            extra,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gatt::PeripheralId;
    use crate::time::Moment;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const LIGHT: RainMaker = RainMaker {
        version: b'a',
        customer: 1,
        device_type: 5,
        subtype: 0,
        extra: 0,
    };
    const OWN: Uuid = uuid!("a1b2c3d4-0000-4000-8000-0123456789ab");
    const BATTERY: Uuid = uuid!("0000180f-0000-1000-8000-00805f9b34fb");

    fn sighting(name: Option<&str>, services: &[Uuid], manufacturer: Option<(u16, &[u8])>) -> Sighting {
        Sighting {
            peripheral: PeripheralId("p".into()),
            name: name.map(Into::into),
            services: services.to_vec(),
            manufacturer: manufacturer
                .map(|(id, data)| (id, data.to_vec()))
                .into_iter()
                .collect(),
            service_data: Default::default(),
            rssi: Some(-60),
            at: Moment::default(),
        }
    }

    #[test]
    fn known_service_is_enough_even_before_the_scan_response() {
        for service in [COMPONENT_SERVICE, EXAMPLE_SERVICE] {
            let seen = recognise(&sighting(None, &[BATTERY, service], None)).unwrap();
            assert_eq!(seen.service, Some(service));
            assert_eq!(seen.name, None);
        }
    }

    #[test]
    fn own_service_needs_the_usual_name() {
        assert!(recognise(&sighting(Some("PROV_1"), &[OWN], None)).is_some());
        assert!(recognise(&sighting(Some("Lamp"), &[OWN], None)).is_none());
        assert!(recognise(&sighting(Some("PROV_1"), &[BATTERY], None)).is_none());
        assert!(recognise(&sighting(Some("PROV_1"), &[], None)).is_none());
    }

    #[test]
    fn rainmaker_data_is_enough_and_only_under_espressifs_company() {
        let bytes = LIGHT.to_bytes();
        let seen = recognise(&sighting(Some("Lamp"), &[], Some((COMPANY, &bytes)))).unwrap();
        assert_eq!(seen.rainmaker, Some(LIGHT));
        assert!(recognise(&sighting(Some("Lamp"), &[], Some((0x004c, &bytes)))).is_none());
        assert!(recognise(&sighting(Some("Lamp"), &[], Some((COMPANY, b"Xov")))).is_none());
    }

    #[test]
    fn rainmaker_light_has_the_published_bytes() {
        assert_eq!(LIGHT.to_bytes(), *b"Nova\x00\x01\x00\x05\x00\x00");
    }

    #[test]
    fn rainmaker_data_of_any_other_length_is_refused() {
        let bytes = LIGHT.to_bytes();
        for end in 0..bytes.len() {
            assert_eq!(RainMaker::parse(&bytes[..end]), None, "{end} bytes");
        }
        let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        assert_eq!(RainMaker::parse(&longer), None);
    }

    proptest! {
        #[test]
        fn rainmaker_data_survives_a_round_trip(version: u8, customer: u16, device_type: u16, subtype: u8, extra: u8) {
            let data = RainMaker { version, customer, device_type, subtype, extra };
            prop_assert_eq!(RainMaker::parse(&data.to_bytes()), Some(data));
        }
    }
}
