//! Endpoints: which characteristic carries which named channel.
//!
//! Names come from the Characteristic User Description (0x2901) of every characteristic of the likeliest service;
//! 16-bit ids are the fallback for a name that cannot be read, since only the names are the protocol's promise. All
//! names of that service are read, the standard ones too: it is one short read each, and firmware may create its
//! endpoints in any order. Services that cannot be it (the Bluetooth SIG's own, or without a readable and writable
//! characteristic) are not touched.
//!
//! Not in scope: what goes over an endpoint.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use uuid::{Uuid, uuid};

use super::advert::is_own;
use super::offer::Offer;
use crate::fault::Fault;
use crate::gatt::{Characteristic, CharacteristicId, GattOp, GattTable, LinkError};

/// UUID of the Characteristic User Description descriptor (Bluetooth Core 5.4, Vol 3, Part G, 3.3.3.2).
pub const USER_DESCRIPTION: Uuid = uuid!("00002901-0000-1000-8000-00805f9b34fb");

/// Another try on the same link; since ESP-IDF 5.1.
pub const PROV_CTRL: &str = "prov-ctrl";
/// Networks that the device sees.
pub const PROV_SCAN: &str = "prov-scan";
/// Handshakes.
pub const PROV_SESSION: &str = "prov-session";
/// Wi-Fi settings and how joining goes.
pub const PROV_CONFIG: &str = "prov-config";
/// What the device says about itself.
pub const PROTO_VER: &str = "proto-ver";
/// Our proof of identity.
pub const IDENTITY: &str = "identity";
/// Our transfer of claims.
pub const CLOUD_CRED: &str = "cloud-cred";
/// Our view of enrolment.
pub const CLOUD_STATUS: &str = "cloud-status";
/// Our sign of life.
pub const BLINK: &str = "blink";

/// The standard endpoints and their ids, in attribute order (esp-idf `wifi_provisioning`, `scheme_ble.c`).
pub const STANDARD: [(&str, u16); 5] = [
    (PROV_CTRL, 0xff4f),
    (PROV_SCAN, 0xff50),
    (PROV_SESSION, 0xff51),
    (PROV_CONFIG, 0xff52),
    (PROTO_VER, 0xff53),
];
/// The id of the first endpoint that the application creates; each further one takes the next.
pub const FIRST_OWN: u16 = 0xff54;

/// Without these there is no provisioning.
const NEEDED: [&str; 3] = [PROTO_VER, PROV_SESSION, PROV_CONFIG];

/// The UUID of a characteristic: the service's, with the digits 5 to 8 replaced by the id.
pub fn characteristic(service: Uuid, id: u16) -> Uuid {
    let mut bytes = service.into_bytes();
    let [_, _, high, low, ..] = &mut bytes;
    [*high, *low] = id.to_be_bytes();
    Uuid::from_bytes(bytes)
}

/// The id in a characteristic's UUID, if the UUID follows the rule for its service.
pub fn id_of(characteristic_id: CharacteristicId) -> Option<u16> {
    let [_, _, high, low, ..] = characteristic_id.characteristic.into_bytes();
    let id = u16::from_be_bytes([high, low]);
    (characteristic(characteristic_id.service, id) == characteristic_id.characteristic).then_some(id)
}

/// Our endpoints that an offer has, in the order in which firmware creates them.
pub fn offered(offer: &Offer) -> impl Iterator<Item = &'static str> {
    [
        offer.identity.then_some(IDENTITY),
        offer.credentials.then_some(CLOUD_CRED),
        offer.status.then_some(CLOUD_STATUS),
        offer.blink.then_some(BLINK),
    ]
    .into_iter()
    .flatten()
}

/// The endpoints of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    named: BTreeMap<String, CharacteristicId>,
    /// The application's endpoints whose names could not be read, by id.
    nameless: BTreeMap<u16, CharacteristicId>,
}

impl Endpoints {
    /// The characteristic of an endpoint.
    ///
    /// # Errors
    /// [`Fault::EndpointMissing`] where the device does not have it.
    pub fn get(&self, name: &str) -> Result<CharacteristicId, Fault> {
        self.named
            .get(name)
            .copied()
            .ok_or_else(|| Fault::EndpointMissing(name.into()))
    }

    /// Whether the device has this endpoint.
    pub fn has(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    /// Gives the offered endpoints their ids, in order of creation, where none of the application's names could be
    /// read. Where some could, an id says nothing about the others, and they stay missing.
    pub fn assume(&mut self, offer: &Offer) {
        if offered(offer).any(|name| self.has(name)) {
            return;
        }
        for (id, name) in (FIRST_OWN..).zip(offered(offer)) {
            if let Some(characteristic) = self.nameless.get(&id) {
                self.named.insert(name.into(), *characteristic);
            }
        }
    }

    fn is_complete(&self) -> bool {
        NEEDED.iter().all(|name| self.has(name))
    }

    fn take(&mut self, id: CharacteristicId, name: Option<String>) {
        let number = id_of(id);
        let standard = || {
            let (name, _) = STANDARD.iter().find(|(_, own)| Some(*own) == number)?;
            Some((*name).into())
        };
        match (name.or_else(standard), number) {
            (Some(name), _) => {
                self.named.entry(name).or_insert(id);
            }
            (None, Some(number)) if number >= FIRST_OWN => {
                self.nameless.insert(number, id);
            }
            (None, _) => {}
        }
    }
}

/// Finds the endpoints with one descriptor read after the other.
#[derive(Debug)]
pub struct Mapper {
    services: VecDeque<Vec<Characteristic>>,
    /// Characteristics of the present service that are still to be read.
    rest: VecDeque<Characteristic>,
    reading: Option<CharacteristicId>,
    found: Endpoints,
    /// The fullest of the services that turned out not to be it.
    best: Endpoints,
    /// A descriptor was never answered, so that no more of them are asked for: the fixed ids have to do.
    mute: bool,
}

impl Mapper {
    /// Looks for the service in what was discovered, likeliest first: most characteristics that follow the id rule.
    pub fn new(table: &GattTable) -> Self {
        let mut services: Vec<(Uuid, Vec<Characteristic>)> = Vec::new();
        for characteristic in &table.characteristics {
            let usable = characteristic.properties.read && characteristic.properties.write;
            let service = characteristic.id.service;
            if !usable || !is_own(service) {
                continue;
            }
            match services.iter_mut().find(|(uuid, _)| *uuid == service) {
                Some((_, held)) => held.push(characteristic.clone()),
                None => services.push((service, Vec::from([characteristic.clone()]))),
            }
        }
        let mut services: Vec<_> = services.into_iter().map(|(_, held)| held).collect();
        services.sort_by_key(|held| {
            let standard = |c: &&Characteristic| {
                id_of(c.id).is_some_and(|id| STANDARD.iter().any(|(_, own)| *own == id))
            };
            core::cmp::Reverse(held.iter().filter(standard).count())
        });
        let mut mapper = Self {
            services: services.into(),
            rest: VecDeque::new(),
            reading: None,
            found: Endpoints::default(),
            best: Endpoints::default(),
            mute: false,
        };
        mapper.go_on();
        mapper
    }

    /// The descriptor to read now; `None` when all is known.
    pub fn op(&self) -> Option<GattOp> {
        self.reading
            .map(|id| GattOp::ReadDescriptor(id, USER_DESCRIPTION))
    }

    /// Takes the result of [`Mapper::op`]. A name that the device will not give is done without.
    ///
    /// # Errors
    /// When the link itself failed.
    pub fn handle(&mut self, result: Result<Vec<u8>, LinkError>) -> Result<(), LinkError> {
        let name = match result {
            Ok(bytes) => name_in(&bytes),
            Err(LinkError::Timeout) => {
                self.mute = true;
                None
            }
            Err(error) if is_of_link(&error) => return Err(error),
            Err(_) => None,
        };
        if let Some(id) = self.reading.take() {
            self.found.take(id, name);
        }
        self.go_on();
        Ok(())
    }

    /// The endpoints, once [`Mapper::op`] has none left.
    ///
    /// # Errors
    /// [`Fault::EndpointMissing`] names the first that is missing where no service has all that is needed.
    pub fn finish(self) -> Result<Endpoints, Fault> {
        if self.found.is_complete() {
            return Ok(self.found);
        }
        match NEEDED.iter().find(|name| !self.best.has(name)) {
            Some(name) => Err(Fault::EndpointMissing((*name).into())),
            None => Ok(self.best),
        }
    }

    /// Walks to the next characteristic with a name to read.
    fn go_on(&mut self) {
        loop {
            while let Some(next) = self.rest.pop_front() {
                if next.descriptors.contains(&USER_DESCRIPTION) && !self.mute {
                    self.reading = Some(next.id);
                    return;
                }
                self.found.take(next.id, None);
            }
            if self.found.is_complete() {
                return;
            }
            if self.found.named.len() > self.best.named.len() {
                self.best = core::mem::take(&mut self.found);
            }
            self.found = Endpoints::default();
            match self.services.pop_front() {
                Some(service) => self.rest = service.into(),
                None => return,
            }
        }
    }
}

/// The endpoint name in a descriptor's value: ASCII, some firmware with a NUL at its end; case does not count.
fn name_in(bytes: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(bytes).ok()?.trim_end_matches('\0').trim();
    let is_name = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
    is_name.then(|| text.to_ascii_lowercase())
}

/// Whether an error says that the link or the adapter is gone, and not just that one value cannot be had.
pub fn is_of_link(error: &LinkError) -> bool {
    matches!(
        error,
        LinkError::NotConnected
            | LinkError::Timeout
            | LinkError::OutOfReach
            | LinkError::AdapterOff
            | LinkError::NoAdapter
            | LinkError::NoService
            | LinkError::NoPermission
    )
}

#[cfg(test)]
mod tests;
