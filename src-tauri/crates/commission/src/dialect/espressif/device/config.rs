//! How a device is set up: its scheme, its Bluetooth stack's habits, its age, its endpoints, its faults.

use alloc::string::String;
use alloc::vec::Vec;

use uuid::Uuid;

use super::{BUFFER, CHUNK, CHUNK_LARGE, DeviceError, Offer, Protection, Statement};
use crate::dialect::espressif::advert::EXAMPLE_SERVICE;
use crate::dialect::espressif::endpoints::{self, FIRST_OWN, PROV_CTRL, PROV_SCAN, STANDARD};
use crate::dialect::espressif::offer::APP;
use crate::dialect::espressif::wire::version::{Patch, Scheme, Version};
use crate::gatt::{CharacteristicId, Properties};

/// The Bluetooth stack in the firmware, which decides what a refusal looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Refuses with 0x04 and keeps the link.
    NimBle,
    /// Refuses with 0x85 and closes the link.
    Bluedroid,
}

impl Stack {
    pub(super) fn failure(self) -> DeviceError {
        match self {
            Self::NimBle => DeviceError {
                att: 0x04,
                close: false,
            },
            Self::Bluedroid => DeviceError {
                att: 0x85,
                close: true,
            },
        }
    }

    pub(super) fn unmapped(self) -> DeviceError {
        DeviceError {
            att: match self {
                Self::NimBle => 0x0e,
                Self::Bluedroid => 0x0a,
            },
            close: false,
        }
    }

    pub(super) fn stopped(self) -> DeviceError {
        match self {
            Self::NimBle => self.unmapped(),
            Self::Bluedroid => self.failure(),
        }
    }
}

/// How a device is set up. [`DeviceConfig::new`] is a current one without faults.
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    /// Security scheme with its secret. A wrong salt or rule in a verifier is a fault to simulate.
    pub protection: Protection,
    /// `ver` in `proto-ver`: `v1.1` of ESP-IDF, `netprov-v1.2` of network_provisioning.
    pub ver: String,
    /// An answer to `proto-ver` in place of the true one: old, plain text, or lying.
    pub proto_ver: Option<Vec<u8>>,
    /// The service UUID.
    pub service: Uuid,
    /// The Bluetooth stack.
    pub stack: Stack,
    /// Longest request and response in bytes: 512, 481 or 257.
    pub value_limit: usize,
    /// Whether `prov-ctrl` is there.
    pub ctrl: bool,
    /// Whether `prov-scan` is there.
    pub scan: bool,
    /// Whether characteristics have their names in 0x2901.
    pub names: bool,
    /// Whether the service ends after "connected" was answered; `prov-ctrl`'s reprov works only where not.
    pub auto_stop: bool,
    /// Whether it resets itself after the last failed attempt, as the examples and RainMaker do.
    pub self_reset: bool,
    /// Whether a reset is a success where there is nothing to reset (since network_provisioning 1.2.1).
    pub reset_when_ready: bool,
    /// Wrong PoPs after which it stops: 5 with RainMaker.
    pub lockout: Option<u8>,
    /// Most rows of a scan: 16 unless the firmware says otherwise.
    pub scan_rows: usize,
    /// Always hit upon a public value that is a byte shorter (Security 2; otherwise 1 handshake in 256).
    pub short_b: bool,
    /// Our endpoints; none on a plain Espressif device.
    pub offer: Option<Offer>,
    /// Who it says it is, where it has `identity`.
    pub statement: Option<Statement>,
    /// Largest claim that it takes, in bytes.
    pub buffer: u32,
    /// Largest piece of a claim that it takes, and of a proof that it gives, in bytes.
    pub chunk: u32,
    /// Whether it takes a claim without encryption or PoP, against the advice of DEVICE.md.
    pub claims_unprotected: bool,
}

/// A characteristic of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name on the air.
    pub id: CharacteristicId,
    /// The endpoint's name.
    pub name: &'static str,
    /// What it allows: read and write with response.
    pub properties: Properties,
    /// Value of its 0x2901 descriptor, where it has one.
    pub description: Option<Vec<u8>>,
    /// Longest value in bytes.
    pub limit: usize,
}

impl DeviceConfig {
    /// Current firmware on NimBLE with the example's service UUID, and with our endpoints as offered.
    pub fn new(protection: Protection, offer: Option<Offer>) -> Self {
        let large = offer.as_ref().is_some_and(|offer| offer.chunk_400);
        Self {
            protection,
            ver: "netprov-v1.2".into(),
            proto_ver: None,
            service: EXAMPLE_SERVICE,
            stack: Stack::NimBle,
            value_limit: 512,
            ctrl: true,
            scan: true,
            names: true,
            auto_stop: !offer.as_ref().is_some_and(|offer| offer.keep_link),
            self_reset: false,
            reset_when_ready: true,
            lockout: offer.as_ref().and_then(|offer| offer.lockout),
            scan_rows: 16,
            short_b: false,
            statement: None,
            buffer: BUFFER,
            chunk: if large { CHUNK_LARGE } else { CHUNK },
            claims_unprotected: false,
            offer,
        }
    }

    /// What it would say of itself if it told the truth in today's form.
    pub fn version(&self) -> Version {
        let scheme = self.protection.scheme();
        let no_pop = matches!(self.protection, Protection::Sec1 { pop: None });
        let caps = [
            (scheme == Scheme::Sec0).then_some("no_sec"),
            no_pop.then_some("no_pop"),
            self.ver.starts_with("netprov").then_some("wifi_prov"),
            self.scan.then_some("wifi_scan"),
        ];
        let patch = match &self.protection {
            Protection::Sec2 {
                patch: Patch::Counter,
                ..
            } => 1,
            _ => 0,
        };
        Version {
            ver: self.ver.clone(),
            sec_ver: Some(match scheme {
                Scheme::Sec0 => 0,
                Scheme::Sec1 => 1,
                Scheme::Sec2 => 2,
            }),
            sec_patch_ver: Some(patch),
            caps: caps.into_iter().flatten().map(Into::into).collect(),
            apps: self
                .offer
                .iter()
                .map(|offer| (APP.into(), offer.to_app()))
                .collect(),
        }
    }

    pub(super) fn proto_ver_answer(&self) -> Vec<u8> {
        self.proto_ver.clone().unwrap_or_else(|| self.version().encode())
    }

    /// Its characteristics, in attribute order.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let standard = STANDARD
            .into_iter()
            .filter(|(name, _)| (*name != PROV_CTRL || self.ctrl) && (*name != PROV_SCAN || self.scan));
        let own = self.offer.iter().flat_map(endpoints::offered).zip(FIRST_OWN..);
        standard
            .chain(own)
            .map(|(name, id)| Endpoint {
                id: CharacteristicId {
                    service: self.service,
                    characteristic: endpoints::characteristic(self.service, id),
                },
                name,
                properties: Properties {
                    read: true,
                    write: true,
                    ..Properties::default()
                },
                description: self.names.then(|| name.as_bytes().to_vec()),
                limit: self.value_limit,
            })
            .collect()
    }
}
