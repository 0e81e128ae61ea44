//! From a scenario's device to what it shows on the air and how its provisioning firmware is set up.

use std::sync::Arc;
use std::time::Duration;

use commission::claim::ClaimForm;
use commission::device::Firmware as Version;
use commission::dialect::espressif::device::{DeviceConfig, Endpoint, Stack as EspStack};
use commission::dialect::espressif::identity::Statement;
use commission::dialect::espressif::offer::Offer;
use commission::dialect::espressif::security::Protection;
use commission::dialect::espressif::security::sec2::Verifier;
use commission::dialect::espressif::security::srp::XRule;
use commission::dialect::espressif::wire::version::Patch;

use super::FirmwareError;
use crate::device::maker::FactoryKey;
use crate::device::pace::Pace;
use crate::radio::peripheral::{
    Advertisement, CharacteristicLayout, DescriptorLayout, GattLayout, OnAir, ServiceLayout, USER_DESCRIPTION,
};
use crate::scenario::{DeviceSpec, Security, Stack};

/// Bluetooth Core 5.4, Vol 6, Part B, 4.4.2.2.1.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(20);
/// Length of a salt that esp-idf's tools make.
const SALT_LEN: usize = 16;

/// How the provisioning firmware of this device is set up.
pub(super) fn config(spec: &DeviceSpec, factory: Option<&FactoryKey>) -> Result<DeviceConfig, FirmwareError> {
    let own = &spec.provisioning;
    let offer = (!own.plain).then(|| Offer {
        credentials: true,
        chunk_400: own.chunk == 400,
        claims: vec![ClaimForm::Certificate],
        status: true,
        identity: factory.is_some(),
        blink: true,
        keep_link: own.keep_link,
        lockout: own.lockout,
    });
    let mut config = DeviceConfig::new(protection(spec)?, offer);
    config.ver.clone_from(&own.version);
    config.proto_ver = own.bare_version.then(|| own.version.clone().into_bytes());
    config.service = own.service;
    config.stack = match own.stack {
        Stack::Nimble => EspStack::NimBle,
        Stack::Bluedroid => EspStack::Bluedroid,
    };
    config.value_limit = own.value_limit;
    config.ctrl = own.control;
    config.auto_stop = !own.keep_link;
    config.lockout = own.lockout;
    config.scan_rows = own.scan_limit;
    config.short_b = spec.faults.short_b;
    config.buffer = own.buffer;
    config.chunk = own.chunk;
    config.statement = factory.map(|factory| Statement {
        serial: spec.serial.clone(),
        model: spec.model.clone(),
        firmware: Version(spec.firmware.clone()),
        scheme: factory.scheme(),
        key: factory.public(),
        endorsement_key: None,
    });
    Ok(config)
}

fn protection(spec: &DeviceSpec) -> Result<Protection, FirmwareError> {
    Ok(match &spec.provisioning.security {
        Security::Zero => Protection::Sec0,
        Security::One { pop } => Protection::Sec1 { pop: pop.clone() },
        Security::Two {
            username,
            pop,
            patched,
        } => {
            let mut salt = [0; SALT_LEN];
            getrandom::fill(&mut salt).map_err(|_| FirmwareError::Random)?;
            let rule = if spec.faults.short_salt {
                XRule::ShortSalt
            } else {
                XRule::Rfc
            };
            Protection::Sec2 {
                verifier: Verifier::generate(username, pop, &salt, rule),
                patch: if *patched { Patch::Counter } else { Patch::Constant },
            }
        }
    })
}

/// What it shows: the layout always, the advertisement only while it may be provisioned.
pub(super) fn on_air(spec: &DeviceSpec, endpoints: &[Endpoint], advertises: bool, pace: Pace) -> OnAir {
    let usual = Advertisement::default();
    let characteristics = endpoints.iter().map(|endpoint| CharacteristicLayout {
        uuid: endpoint.id.characteristic,
        properties: endpoint.properties,
        limit: endpoint.limit,
        descriptors: endpoint
            .description
            .iter()
            .map(|name| DescriptorLayout {
                uuid: USER_DESCRIPTION,
                value: name.clone(),
            })
            .collect(),
    });
    let service = ServiceLayout {
        uuid: spec.provisioning.service,
        characteristics: characteristics.collect(),
    };
    OnAir {
        address: spec.address,
        advertisement: advertises.then(|| Advertisement {
            name_in_scan_response: Some(spec.name.clone()),
            services: vec![spec.provisioning.service],
            rssi: spec.rssi,
            interval: pace.span(spec.interval).max(SHORTEST_INTERVAL),
            ..usual
        }),
        gatt: Arc::new(GattLayout {
            services: vec![service],
            mtu: spec.provisioning.mtu,
            ..GattLayout::default()
        }),
    }
}
