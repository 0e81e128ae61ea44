//! A scenario: which devices there are, what Wi-Fi they see, who may sign in, and what goes wrong where. One TOML file.
//!
//! Everything that is wrong with a file is shown with its line and field. Not for: carrying it out.

mod expand;
mod form;
mod place;

use std::time::Duration;

use commission::device::Serial;
use commission::policy::Policy;
use commission::secret::Pop;
use serde::Deserialize;
use uuid::Uuid;

pub use self::place::ScenarioError;
use crate::cloud::{CloudConfig, MakerDevice};
use crate::device::enrol::{Format, KeyMaker};
use crate::device::maker::IdentityKind;
use crate::device::mqtt::Version;
use crate::device::wifi::{AccessPoint, StationBuild};
use crate::radio::faults::{DeviceFaults, RadioConfig};
use crate::radio::peripheral::Address;

/// The scenarios that come with the sandbox, by name.
pub const BUILT_IN: [(&str, &str); 2] = [
    ("demo", include_str!("demo.toml")),
    ("fifty", include_str!("fifty.toml")),
];

/// A whole scenario, checked.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// How many times faster than life the devices' own delays pass.
    pub speed: f64,
    /// The access points; the first is the one that installers are meant to use.
    pub networks: Vec<AccessPoint>,
    /// The devices.
    pub devices: Vec<DeviceSpec>,
    /// The cloud, without the maker's import, which needs the devices' keys.
    pub cloud: CloudConfig,
    /// The adapters of the simulated machine.
    pub radio: RadioConfig,
    /// The policy of the organisation profile.
    pub policy: Policy,
}

/// One device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceSpec {
    /// Counts from 1.
    pub number: usize,
    /// Advertised name, at most 29 bytes.
    pub name: String,
    /// Serial number.
    pub serial: Serial,
    /// 0 for the first device with its serial; a clone has more.
    pub copy: usize,
    /// Model name.
    pub model: String,
    /// Firmware version.
    pub firmware: String,
    /// Bluetooth address.
    pub address: Address,
    /// How it proves who it is.
    pub identity: IdentityKind,
    /// Its row in the maker's import, without its key; none where the maker does not know it.
    pub import: Option<MakerDevice>,
    /// How it is provisioned.
    pub provisioning: Provisioning,
    /// Its Wi-Fi.
    pub wifi: StationBuild,
    /// Signal at the laptop, in dBm.
    pub rssi: i16,
    /// Device time between two advertisements.
    pub interval: Duration,
    /// What is wrong with its radio.
    pub radio: DeviceFaults,
    /// How it enrols.
    pub enrol: EnrolSpec,
    /// What goes wrong in it.
    pub faults: FirmwareFaults,
}

/// How a device enrols, apart from its serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnrolSpec {
    /// MQTT version.
    pub version: Version,
    /// Payload format.
    pub format: Format,
    /// Who makes the permanent key.
    pub key: KeyMaker,
    /// Time between two messages once it is online.
    pub telemetry: Duration,
    /// Whether it asks for a topic that no claim may have.
    pub oversteps: bool,
    /// How long it stays on its claim's session, which then has the thing's name; none where it does neither.
    pub stays_on_claim: Option<Duration>,
}

/// How a device is provisioned over Bluetooth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisioning {
    /// Its service UUID.
    pub service: Uuid,
    /// Its security scheme.
    pub security: Security,
    /// Its Bluetooth stack.
    pub stack: Stack,
    /// Longest value that it takes and gives, in bytes.
    pub value_limit: usize,
    /// The ATT MTU that it asks for, in bytes.
    pub mtu: u16,
    /// What it calls its protocol in `proto-ver`.
    pub version: String,
    /// `proto-ver` is the bare version text instead of JSON, as in very old firmware.
    pub bare_version: bool,
    /// It has `prov-ctrl` (since IDF 5.1).
    pub control: bool,
    /// It has none of our endpoints.
    pub plain: bool,
    /// Longest claim that it takes, in bytes.
    pub buffer: u32,
    /// Longest chunk of a claim, in bytes: 200 or 400.
    pub chunk: u32,
    /// It leaves the link up after it joined, and says so.
    pub keep_link: bool,
    /// Wrong PoPs after which it stops provisioning until it is switched off and on.
    pub lockout: Option<u8>,
    /// How long it may be provisioned after it was switched on.
    pub window: Option<Duration>,
    /// Most rows of a network scan.
    pub scan_limit: usize,
    /// It advertises although it was provisioned, as after its service button was pressed.
    pub always_advertises: bool,
    /// From the first answer "Connected" to the end of the link (IDF: 1000 ms).
    pub stop: Duration,
    /// From an address that nobody asked about to the end of provisioning (esp-idf: 30 s by default).
    pub unasked_stop: Duration,
}

/// The security scheme of a device, with its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Scheme 0: none.
    Zero,
    /// Scheme 1.
    One {
        /// The PoP; none where it wants none.
        pop: Option<Pop>,
    },
    /// Scheme 2.
    Two {
        /// User name.
        username: String,
        /// The password, which labels call PoP.
        pop: Pop,
        /// Whether its nonces count up (`sec_patch_ver` 1).
        patched: bool,
    },
}

/// The Bluetooth stack of a firmware, which decides how failures look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stack {
    /// Failures are ATT error 0x04 and the link stays.
    #[default]
    Nimble,
    /// Failures are ATT error 0x85 and the link is closed.
    Bluedroid,
}

/// What goes wrong inside a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirmwareFaults {
    /// So many network scans come back empty first.
    pub empty_scans: u32,
    /// Handlers that take long.
    pub delay: Vec<Delay>,
    /// Requests after which the device drops the link before answering.
    pub drop: Vec<Step>,
    /// Requests whose answers are noise.
    pub garble: Vec<Step>,
    /// Requests whose answers are cut in half.
    pub truncate: Vec<Step>,
    /// Requests whose answers are empty: in protobuf, a message of nothing but defaults.
    pub empty: Vec<Step>,
    /// Requests whose answers go on as far as a value can.
    pub lengthen: Vec<Step>,
    /// Requests that end in the stack's error although nothing is wrong with them.
    pub fail: Vec<Step>,
    /// Scheme 2: its public value always begins with a zero byte, which it does not send.
    pub short_b: bool,
    /// Scheme 2: its verifier was made with the firmware fault that loses a leading zero byte of the salt.
    pub short_salt: bool,
}

/// One request to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The endpoint, such as `prov-config`.
    pub endpoint: String,
    /// Which request to it since the device was switched on, from 0.
    pub request: u32,
    /// For how many requests from there on.
    #[serde(default = "once")]
    pub times: u32,
}

/// A handler that takes long.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// The endpoint.
    pub endpoint: String,
    /// Which request to it since the device was switched on, from 0.
    #[serde(default)]
    pub request: u32,
    /// For how many requests from there on.
    #[serde(default = "once")]
    pub times: u32,
    /// How long, in milliseconds of device time.
    pub ms: u64,
}

fn once() -> u32 {
    1
}

impl Step {
    /// Whether this request of this endpoint is meant.
    pub fn is_at(&self, endpoint: &str, request: u32) -> bool {
        self.endpoint == endpoint
            && (self.request..self.request.saturating_add(self.times)).contains(&request)
    }
}

impl Delay {
    /// How much longer this request of this endpoint takes.
    pub fn at(&self, endpoint: &str, request: u32) -> Duration {
        let range = self.request..self.request.saturating_add(self.times);
        if self.endpoint == endpoint && range.contains(&request) {
            Duration::from_millis(self.ms)
        } else {
            Duration::ZERO
        }
    }
}

impl Security {
    /// The number in `sec_ver`.
    pub fn number(&self) -> u8 {
        match self {
            Self::Zero => 0,
            Self::One { .. } => 1,
            Self::Two { .. } => 2,
        }
    }

    /// What stands on the label.
    pub fn pop(&self) -> Option<&Pop> {
        match self {
            Self::Zero => None,
            Self::One { pop } => pop.as_ref(),
            Self::Two { pop, .. } => Some(pop),
        }
    }

    /// The user name of scheme 2.
    pub fn username(&self) -> Option<&str> {
        match self {
            Self::Two { username, .. } => Some(username),
            Self::Zero | Self::One { .. } => None,
        }
    }
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// [`ScenarioError`] names line and field.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        expand::expand(text)
    }

    /// A scenario that comes with the sandbox; `None` where none has this name.
    pub fn built_in(name: &str) -> Option<Result<Self, ScenarioError>> {
        BUILT_IN
            .iter()
            .find(|(own, _)| *own == name)
            .map(|(_, text)| Self::parse(text))
    }
}

#[cfg(test)]
mod tests;
