//! What happened on a link, operation by operation: for tests that break it at each one, and for the floor that a
//! benchmark measures against.

use std::time::Duration;

use tokio::time::Instant;

use super::link::OpError;
use super::peripheral::{Address, CharacteristicId};

/// One link from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRecord {
    /// Number of the link, never used twice within a radio.
    pub id: u64,
    /// The address that the device used.
    pub address: Address,
    /// The ATT MTU in bytes.
    pub mtu: u16,
    /// The latency that was configured for the connection and for the services to become known.
    pub setup: Duration,
    /// What was done, in order.
    pub operations: Vec<Operation>,
    /// How it ended; `None` while it is up.
    pub ended: Option<LinkEnd>,
}

/// One operation on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What was asked.
    pub kind: OperationKind,
    /// When its turn came.
    pub begun: Instant,
    /// Of which characteristic, its own or its descriptor's.
    pub characteristic: CharacteristicId,
    /// Length of the value that was sent or received, in bytes.
    pub bytes: usize,
    /// ATT requests with their responses.
    pub round_trips: u32,
    /// The latency that was configured for them.
    pub latency: Duration,
    /// How long the device itself took, until it answered or the link broke.
    pub device: Duration,
    /// How it ended for the client.
    pub result: Result<(), OpError>,
}

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OperationKind {
    /// Read of a characteristic.
    Read,
    /// Write of a characteristic.
    Write,
    /// Read of a descriptor.
    ReadDescriptor,
    /// Notifications switched on or off.
    Subscribe,
}

/// Who or what ended a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// The client.
    Client,
    /// The device.
    Device,
    /// A fault: out of reach, or cut at an operation.
    Fault,
    /// The adapter was switched off or pulled out, or the Bluetooth service ended.
    Adapter,
}

impl LinkRecord {
    /// Bytes of all values sent and received.
    pub fn bytes(&self) -> usize {
        self.operations.iter().map(|o| o.bytes).sum()
    }

    /// ATT requests with their responses.
    pub fn round_trips(&self) -> u32 {
        self.operations.iter().map(|o| o.round_trips).sum()
    }

    /// The least time that this link can have taken: the set-up, the latency of every operation, and the device's
    /// own time.
    pub fn floor(&self) -> Duration {
        self.setup
            + self
                .operations
                .iter()
                .map(|o| o.latency + o.device)
                .sum::<Duration>()
    }
}
