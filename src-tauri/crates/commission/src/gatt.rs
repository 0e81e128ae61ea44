//! GATT as the flow and the dialects see it: what a device offers, what may be asked of it, how that fails.
//!
//! Only the operations that every desktop Bluetooth stack offers alike; MTU, long reads and writes and
//! prepare/execute are the stack's business below this line.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::mending::{Kind, holds};

/// What the radio calls a device on this machine, today.
///
/// Opaque, and no identity: addresses rotate and macOS shows none. A device is known by what it proves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct PeripheralId(pub String);

/// A characteristic, named by its service and itself. Stacks key by UUID, so two equal ones cannot be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CharacteristicId {
    /// UUID of the service that holds it.
    pub service: Uuid,
    /// UUID of the characteristic.
    pub characteristic: Uuid,
}

/// The properties of a characteristic that a dialect cares for (Bluetooth Core 5.4, Vol 3, Part G, 3.3.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// It can be read.
    pub read: bool,
    /// It can be written with a response.
    pub write: bool,
    /// It can be written without a response.
    pub write_without_response: bool,
    /// It can notify.
    pub notify: bool,
    /// It can indicate.
    pub indicate: bool,
}

/// A characteristic as discovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Characteristic {
    /// Its name.
    pub id: CharacteristicId,
    /// What it allows.
    pub properties: Properties,
    /// UUIDs of its descriptors; empty also where a stack could not list them.
    pub descriptors: Vec<Uuid>,
}

/// Everything a device offers, in the order the stack gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GattTable {
    /// All characteristics of all services.
    pub characteristics: Vec<Characteristic>,
}

/// One request to the device; a dialect has at most one under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GattOp {
    /// Read a characteristic, with Read Blob where it is longer than the MTU.
    Read(CharacteristicId),
    /// Write with response, as a long write where it is longer than the MTU. Never empty.
    Write(CharacteristicId, Vec<u8>),
    /// Read one descriptor.
    ReadDescriptor(CharacteristicId, Uuid),
}

/// Why a request to the device, or the link itself, failed. What the stack said stands in `raw` where it matters.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LinkError {
    /// The link is gone.
    #[error("the link to the device is gone")]
    NotConnected,
    /// The device refused with this ATT error code (Bluetooth Core 5.4, Vol 3, Part F, 3.4.1.1).
    #[error("the device refused with ATT error 0x{0:02x}")]
    Att(u8),
    /// The characteristic does not allow this.
    #[error("the device does not allow this operation")]
    NotPermitted,
    /// The device wants an encrypted link, so it must be paired first.
    #[error("the device wants to be paired first")]
    NotPaired,
    /// The value is longer than the device or the stack takes.
    #[error("the value is too long for the device")]
    InvalidLength,
    /// The device cannot do this, long writes for example.
    #[error("the device does not support this operation")]
    NotSupported,
    /// Another operation has not finished.
    #[error("the device is busy with another operation")]
    InProgress,
    /// No answer in time.
    #[error("the device did not answer in time")]
    Timeout,
    /// The device is not, or no longer, in reach.
    #[error("the device is not in reach")]
    OutOfReach,
    /// The adapter is off.
    #[error("Bluetooth is off")]
    AdapterOff,
    /// There is no adapter.
    #[error("there is no Bluetooth adapter")]
    NoAdapter,
    /// The system's Bluetooth service does not run.
    #[error("the Bluetooth service does not run")]
    NoService,
    /// The system does not allow this program to use Bluetooth.
    #[error("this program may not use Bluetooth")]
    NoPermission,
    /// The characteristic or descriptor is not there (any more): a stale cache, or changed firmware.
    #[error("the device does not offer what was asked for")]
    Missing,
    /// Anything else, as the stack put it.
    #[error("Bluetooth: {0}")]
    Other(String),
}

impl LinkError {
    /// Whether it says something of this laptop's radio, and nothing of the device.
    pub fn is_of_radio(&self) -> bool {
        holds(Kind::DeafTime) && matches!(self, Self::AdapterOff | Self::NoAdapter | Self::NoService)
    }
}
