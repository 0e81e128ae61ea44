//! A scenario file as it stands: every field optional, nothing checked but names and types.

use std::collections::BTreeMap;

use commission::network::Auth;
use commission::policy::Policy;
use commission::secret::{Passphrase, Pop, Token};
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use super::{Delay, Stack, Step};
use crate::cloud::{CloudFaults, Owner, Strategy};
use crate::device::enrol::{Format, KeyMaker};
use crate::device::maker::IdentityKind;
use crate::device::mqtt::Version;
use crate::device::wifi::Manner;
use crate::radio::faults::{DeviceFaults, RadioConfig};
use crate::radio::peripheral::Address;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) seed: u64,
    #[serde(default)]
    pub(super) speed: Option<f64>,
    #[serde(default)]
    pub(super) times: Times,
    #[serde(default)]
    pub(super) network: Vec<Network>,
    #[serde(default)]
    pub(super) defaults: Device,
    #[serde(default)]
    pub(super) device: Vec<Device>,
    #[serde(default)]
    pub(super) user: Vec<User>,
    #[serde(default)]
    pub(super) cloud: Cloud,
    #[serde(default)]
    pub(super) radio: RadioConfig,
    #[serde(default)]
    pub(super) policy: Policy,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Times {
    pub(super) scan_ms: Option<u64>,
    pub(super) apply_ms: Option<u64>,
    pub(super) associate_ms: Option<u64>,
    pub(super) address_ms: Option<u64>,
    pub(super) refusal_ms: Option<u64>,
    pub(super) absence_ms: Option<u64>,
    pub(super) stop_ms: Option<u64>,
    pub(super) unasked_stop_ms: Option<u64>,
    pub(super) telemetry_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    pub(super) ssid: Option<String>,
    pub(super) ssid_hex: Option<String>,
    #[serde(default, deserialize_with = "passphrase")]
    pub(super) passphrase: Option<Passphrase>,
    pub(super) channel: Option<u32>,
    #[serde(default, deserialize_with = "auth")]
    pub(super) auth: Option<Auth>,
    pub(super) rssi: Option<i16>,
    #[serde(default)]
    pub(super) hidden: bool,
    #[serde(default, deserialize_with = "manner")]
    pub(super) manner: Manner,
    #[serde(default)]
    pub(super) no_internet: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    pub(super) user: String,
    #[serde(deserialize_with = "token")]
    pub(super) password: Token,
    pub(super) name: Option<String>,
    pub(super) roles: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Cloud {
    pub(super) claim_life_ms: Option<u64>,
    pub(super) ownership_token_life_ms: Option<u64>,
    pub(super) access_token_life_ms: Option<u64>,
    pub(super) device_code_interval_ms: Option<u64>,
    pub(super) detach_delay_ms: Option<u64>,
    pub(super) region: Option<String>,
    pub(super) strategy: Strategy,
    pub(super) template_name: Option<String>,
    pub(super) template_body: Option<String>,
    pub(super) faults: CloudFaults,
}

/// Declares the fields once, and takes those that are absent from the defaults.
macro_rules! device {
    ($($(#[$attribute:meta])* $field:ident: $type:ty,)*) => {
        #[derive(Deserialize, Default)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct Device {
            $($(#[$attribute])* pub(super) $field: Option<$type>,)*
        }

        impl Device {
            pub(super) fn or(&self, defaults: &Self) -> Self {
                Self { $($field: self.$field.clone().or_else(|| defaults.$field.clone()),)* }
            }

            /// Whether the field is written here or in the defaults, by its name.
            pub(super) fn names(&self) -> Vec<&'static str> {
                [$(self.$field.is_some().then_some(stringify!($field)),)*].into_iter().flatten().collect()
            }
        }
    };
}

device! {
    count: usize,
    // who it is
    name: String,
    serial: String,
    model: String,
    firmware: String,
    address: Address,
    identity: IdentityKind,
    // what the maker and the cloud know of it
    unknown: bool,
    owner: Owner,
    min_firmware: String,
    clone: bool,
    // how it is provisioned
    service: Uuid,
    security: u8,
    patch: u8,
    #[serde(deserialize_with = "pop")]
    pop: Pop,
    no_pop: bool,
    username: String,
    stack: Stack,
    value_limit: usize,
    mtu: u16,
    version: String,
    bare_version: bool,
    no_control: bool,
    plain: bool,
    buffer: u32,
    chunk: u32,
    keep_link: bool,
    lockout: u8,
    window_ms: u64,
    scan_limit: usize,
    always_advertises: bool,
    // its Wi-Fi
    attempts: u32,
    five_ghz: bool,
    hears: BTreeMap<String, i16>,
    deaf_to: Vec<String>,
    rssi: i16,
    interval_ms: u64,
    radio: DeviceFaults,
    // how it enrols
    mqtt: Version,
    payload: Format,
    key: KeyMaker,
    oversteps: bool,
    stays_on_claim_ms: u64,
    // what goes wrong in it
    empty_scans: u32,
    delay: Vec<Delay>,
    drop: Vec<Step>,
    garble: Vec<Step>,
    truncate: Vec<Step>,
    empty: Vec<Step>,
    lengthen: Vec<Step>,
    fail: Vec<Step>,
    short_b: bool,
    short_salt: bool,
}

fn passphrase<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Passphrase>, D::Error> {
    String::deserialize(deserializer).map(|text| Some(Passphrase::new(text)))
}

fn pop<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Pop>, D::Error> {
    String::deserialize(deserializer).map(|text| Some(Pop::new(text)))
}

fn token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Token, D::Error> {
    String::deserialize(deserializer).map(Token::new)
}

fn auth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Auth>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Word {
        Open,
        Wep,
        Wpa,
        Wpa2,
        WpaWpa2,
        Wpa2Enterprise,
        Wpa3,
        Wpa2Wpa3,
    }
    Word::deserialize(deserializer).map(|word| {
        Some(match word {
            Word::Open => Auth::Open,
            Word::Wep => Auth::Wep,
            Word::Wpa => Auth::WpaPsk,
            Word::Wpa2 => Auth::Wpa2Psk,
            Word::WpaWpa2 => Auth::WpaWpa2Psk,
            Word::Wpa2Enterprise => Auth::Wpa2Enterprise,
            Word::Wpa3 => Auth::Wpa3Psk,
            Word::Wpa2Wpa3 => Auth::Wpa2Wpa3Psk,
        })
    })
}

fn manner<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Manner, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Word {
        Welcomes,
        NoAddress,
        RefusesOddly,
    }
    Word::deserialize(deserializer).map(|word| match word {
        Word::Welcomes => Manner::Welcomes,
        Word::NoAddress => Manner::NoAddress,
        Word::RefusesOddly => Manner::RefusesOddly,
    })
}
