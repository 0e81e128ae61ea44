//! What may go wrong on the air, as data: switches of a device, settings of an adapter, and how long things take.
//!
//! All of it can be read from a scenario file and changed while the radio runs. What goes wrong inside a device (a
//! wrong password, a full buffer) is the device's own and not here.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::peripheral::{Address, AttError};

/// What is wrong with a device's radio. The default is nothing.
///
/// Operations of a link are counted from 0: every read, write and descriptor read, and every switching of
/// notifications, in the order in which the device gets them, including those that fail.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceFaults {
    /// Not heard at all; a link breaks once the supervision time-out is over.
    pub out_of_reach: bool,
    /// Heard for this long after the switch was set, then out of reach.
    #[serde(rename = "vanish_after_ms", with = "opt_millis")]
    pub vanish_after: Option<Duration>,
    /// Signal lost per second since the switch was set, in dB; below -100 dBm it is out of reach.
    pub fade_db_per_s: u16,
    /// Advertises without its name.
    pub no_name: bool,
    /// Advertises without its service data.
    pub no_service_data: bool,
    /// Takes a new address each time this has passed, never during a link.
    #[serde(rename = "rotate_address_ms", with = "opt_millis")]
    pub rotate_address: Option<Duration>,
    /// So many connection attempts fail at once, as when the local controller aborts them; later ones succeed.
    pub connect_aborts: u32,
    /// Connection attempts neither succeed nor fail before their time-out.
    pub connect_hangs: bool,
    /// Time from the link to its known services, in place of the adapter's.
    #[serde(rename = "resolve_ms", with = "opt_millis")]
    pub resolve: Option<Duration>,
    /// The services never become known.
    pub never_resolves: bool,
    /// Breaks the link at one operation.
    pub cut: Option<Cut>,
    /// Refuses operations that the device would have taken.
    pub refuse: Vec<Refuse>,
    /// What a client is told of an operation during which the link broke.
    pub lost_in_flight: LostInFlight,
    /// The ATT MTU in bytes, in place of what the device asks for; 23 to 517.
    pub mtu: Option<u16>,
    /// Refuses long writes with ATT error 0x06.
    pub no_long_write: bool,
    /// Notifications of a link that get lost, counted from 0.
    pub lose_notifications: Vec<u32>,
    /// Notifications of a link that arrive twice, counted from 0.
    pub duplicate_notifications: Vec<u32>,
    /// The system's GATT cache is stale until the device is removed from it.
    pub stale_gatt: Option<StaleGatt>,
    /// Each service is listed twice; the second copy is dead and refuses everything with ATT error 0x0E.
    pub same_uuid_twice: bool,
    /// Characteristics want a paired link: every access ends in ATT error 0x05.
    pub wants_pairing: bool,
}

/// A link that breaks at one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// The operation, from 0.
    pub operation: usize,
    /// Whether the device still gets it.
    pub when: When,
    /// On how many links this happens before it is over.
    #[serde(default = "once")]
    pub times: u32,
}

/// When a link breaks, seen from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Before the operation reached it.
    Before,
    /// After the operation took effect, before its answer was heard.
    After,
}

/// An operation that ends in an ATT error without reaching the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refuse {
    /// The operation, from 0.
    pub operation: usize,
    /// The error.
    pub error: AttError,
    /// On how many links this happens before it is over.
    #[serde(default = "once")]
    pub times: u32,
}

/// What a client is told of an operation during which the link broke; real stacks differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LostInFlight {
    /// That there is no link.
    #[default]
    NotConnected,
    /// ATT error 0x0E, which nobody sent.
    Unlikely,
    /// Nothing, until its own time-out.
    Silence,
}

/// What a stale cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StaleGatt {
    /// None of the services: the cache is from before the firmware had them.
    Missing,
    /// The right services at old handles: every operation ends in ATT error 0x01.
    Moved,
}

fn once() -> u32 {
    1
}

/// How long things take. The default is what bluetoothd 5.66 showed with a virtual controller and the Espressif
/// default advertising interval.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// From the request to the link, after the device was heard.
    #[serde(rename = "connect_ms", with = "millis")]
    pub connect: Duration,
    /// From the link to the known services.
    #[serde(rename = "resolve_ms", with = "millis")]
    pub resolve: Duration,
    /// One ATT request and its response; a long value needs several.
    #[serde(rename = "round_trip_ms", with = "millis")]
    pub round_trip: Duration,
    /// From the request to the end of the link.
    #[serde(rename = "disconnect_ms", with = "millis")]
    pub disconnect: Duration,
    /// From the last sign of a device to the end of its link.
    #[serde(rename = "supervision_ms", with = "millis")]
    pub supervision: Duration,
    /// How long a connection attempt waits for a device that is not heard.
    #[serde(rename = "connect_timeout_ms", with = "millis")]
    pub connect_timeout: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(100),
            resolve: Duration::from_millis(300),
            round_trip: Duration::from_millis(15),
            disconnect: Duration::from_millis(2000),
            supervision: Duration::from_millis(2500),
            connect_timeout: Duration::from_secs(20),
        }
    }
}

impl Latency {
    /// Nothing takes time, but the supervision and connection time-outs, which are a tenth of a second and one second.
    pub const NONE: Self = Self {
        connect: Duration::ZERO,
        resolve: Duration::ZERO,
        round_trip: Duration::ZERO,
        disconnect: Duration::ZERO,
        supervision: Duration::from_millis(100),
        connect_timeout: Duration::from_secs(1),
    };
}

/// An adapter of the simulated machine. The default is a healthy `hci0`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdapterConfig {
    /// What the system calls it: `hci0`, `hci1` and so on.
    pub name: String,
    /// Its own address.
    pub address: Address,
    /// Plugged in.
    pub present: bool,
    /// Switched on.
    pub powered: bool,
    /// Blocked by a switch or by the system (rfkill), so that nobody can switch it on.
    pub blocked: bool,
    /// How many links it holds at once.
    pub links: usize,
    /// Connection attempts fail while it scans, as some controllers do.
    pub aborts_while_scanning: bool,
    /// So many orders to start or to stop a scan find it busy with the one before (`org.bluez.Error.InProgress`); later
    /// ones are carried out. Only behind the simulated BlueZ.
    pub busy_scans: u32,
    /// How long things take.
    pub latency: Latency,
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self {
            name: "hci0".to_owned(),
            address: Address::public([0x00, 0x1a, 0x7d, 0xda, 0x71, 0x00]),
            present: true,
            powered: true,
            blocked: false,
            links: 8,
            aborts_while_scanning: false,
            busy_scans: 0,
            latency: Latency::default(),
        }
    }
}

impl AdapterConfig {
    /// Whether it can be used now.
    pub fn is_on(&self) -> bool {
        self.present && self.powered && !self.blocked
    }
}

/// The radio as a whole.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RadioConfig {
    /// The adapters of the simulated machine; none is a machine without Bluetooth.
    pub adapters: Vec<AdapterConfig>,
    /// Where the socket of the private bus shall be, for an address that is known beforehand; in a directory of its
    /// own where nothing is said. Only the user who starts the radio can connect.
    pub socket: Option<PathBuf>,
}

impl Default for RadioConfig {
    /// One healthy adapter.
    fn default() -> Self {
        Self {
            adapters: vec![AdapterConfig::default()],
            socket: None,
        }
    }
}

/// Milliseconds, whole or not, as a duration.
mod millis {
    use super::{Deserialize, Duration};

    /// A connection interval is a multiple of 1.25 ms, so fractions are wanted; anything over a day is a mistake.
    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let ms = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(ms / 1000.0)
            .ok()
            .filter(|d| *d <= Duration::from_secs(86_400))
            .ok_or_else(|| serde::de::Error::custom(format!("{ms} ms is not from 0 to 86400000 (a day)")))
    }
}

/// As [`millis`], where the key is there.
mod opt_millis {
    use super::Duration;

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::millis::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_names_faults_in_words() {
        let faults: DeviceFaults = toml::from_str(
            "connect_aborts = 2\nresolve_ms = 812.5\nmtu = 23\nstale_gatt = \"moved\"\nlost_in_flight = \"silence\"\n\
             cut = { operation = 7, when = \"after\" }\nrefuse = [{ operation = 3, error = 0x85, times = 2 }]",
        )
        .unwrap();
        let expected = DeviceFaults {
            connect_aborts: 2,
            resolve: Some(Duration::from_micros(812_500)),
            mtu: Some(23),
            stale_gatt: Some(StaleGatt::Moved),
            lost_in_flight: LostInFlight::Silence,
            cut: Some(Cut {
                operation: 7,
                when: When::After,
                times: 1,
            }),
            refuse: vec![Refuse {
                operation: 3,
                error: AttError(0x85),
                times: 2,
            }],
            ..DeviceFaults::default()
        };
        assert_eq!(faults, expected);
    }

    #[test]
    fn an_empty_scenario_is_a_healthy_radio() {
        assert_eq!(toml::from_str::<RadioConfig>("").unwrap(), RadioConfig::default());
        assert_eq!(
            toml::from_str::<DeviceFaults>("").unwrap(),
            DeviceFaults::default()
        );
    }

    #[test]
    fn two_adapters_can_be_described() {
        let config: RadioConfig = toml::from_str(
            "[[adapters]]\n[[adapters]]\nname = \"hci1\"\naddress = \"00:1A:7D:DA:71:01\"\nlinks = 1\n\
             latency = { round_trip_ms = 7.5 }",
        )
        .unwrap();
        let [first, second] = &config.adapters[..] else {
            panic!("{config:?}")
        };
        assert_eq!(first, &AdapterConfig::default());
        assert_eq!((second.name.as_str(), second.links), ("hci1", 1));
        assert_eq!(second.latency.round_trip, Duration::from_micros(7500));
    }

    #[test]
    fn an_unknown_or_impossible_entry_is_refused_by_name() {
        for (text, says) in [
            ("no_nmae = true", "no_nmae"),
            ("cut = { operation = 1 }", "when"),
            ("cut = { operation = 1, when = \"during\" }", "during"),
            ("resolve_ms = -1", "-1 ms"),
            ("refuse = [{ operation = 0, error = 256 }]", "256"),
        ] {
            let error = toml::from_str::<DeviceFaults>(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        let error = toml::from_str::<RadioConfig>("[[adapters]]\naddress = \"hci0\"")
            .unwrap_err()
            .to_string();
        assert!(error.contains("no Bluetooth address"), "{error}");
    }
}
