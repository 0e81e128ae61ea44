//! `prov-config`: giving a device its Wi-Fi network and asking how joining goes (wifi_provisioning's
//! `wifi_config.proto`; network_provisioning 1.x uses the same numbers and adds Thread after them).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv4Addr;

use prost::Message;
use zeroize::Zeroize;

use super::{
    Nothing, Outcome, Refusal, SSID_MAX, StatusOnly, WireError, auth_code, auth_from_code, code_of, length,
    read,
};
use crate::network::{Auth, Network};
use crate::secret::SecretBytes;

/// The most bytes of a passphrase that devices take; a raw 64-digit key is refused by them.
pub const PASSPHRASE_MAX: usize = 63;

const REQUEST: &str = "prov-config request";
const RESPONSE: &str = "prov-config response";

/// What the client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// How joining goes.
    WifiStatus,
    /// Keep this network, without joining it yet.
    SetWifi(WifiConfig),
    /// Join the network kept; the device starts one second later.
    ApplyWifi,
    /// How attaching to a Thread network goes.
    ThreadStatus,
    /// Keep this Thread network.
    SetThread {
        /// The operational dataset as TLVs; it holds the network key.
        dataset: SecretBytes,
    },
    /// Attach to the Thread network kept.
    ApplyThread,
}

/// A Wi-Fi network and its passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WifiConfig {
    /// The network's name, at most [`SSID_MAX`] bytes, not always UTF-8.
    pub ssid: Vec<u8>,
    /// The passphrase, at most [`PASSPHRASE_MAX`] bytes; empty for an open network.
    pub passphrase: SecretBytes,
    /// Empty, or the 6 bytes of one access point; the stock firmware ignores it.
    pub bssid: Vec<u8>,
    /// 0, or a channel; the stock firmware ignores it.
    pub channel: i32,
}

impl WifiConfig {
    /// The firmware's own check; a device that fails it answers [`Refusal::InvalidArgument`] and keeps the session.
    ///
    /// # Errors
    /// [`WireError::Length`] for the first field that is out of its range.
    pub fn check(&self) -> Result<(), WireError> {
        length("network name (SSID)", &self.ssid, 0, SSID_MAX)?;
        length("passphrase", self.passphrase.reveal(), 0, PASSPHRASE_MAX)?;
        if !self.bssid.is_empty() {
            length("access point address (BSSID)", &self.bssid, 6, 6)?;
        }
        Ok(())
    }
}

impl From<&Network> for WifiConfig {
    /// The network by its name, on any access point and channel.
    fn from(network: &Network) -> Self {
        let passphrase = network
            .passphrase
            .as_ref()
            .map_or("", |passphrase| passphrase.reveal());
        Self {
            ssid: network.ssid.as_bytes().to_vec(),
            passphrase: SecretBytes::new(passphrase.as_bytes().to_vec()),
            bssid: Vec::new(),
            channel: 0,
        }
    }
}

/// What the device answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// To [`Request::WifiStatus`].
    WifiStatus(Outcome<JoinState>),
    /// To [`Request::SetWifi`].
    SetWifi(Outcome<()>),
    /// To [`Request::ApplyWifi`].
    ApplyWifi(Outcome<()>),
    /// To [`Request::ThreadStatus`]: a Wi-Fi build refuses with [`Refusal::InvalidArgument`].
    ThreadStatus(Refusal),
    /// To [`Request::SetThread`], refused likewise.
    SetThread(Refusal),
    /// To [`Request::ApplyThread`], refused likewise.
    ApplyThread(Refusal),
}

/// How far a device is with joining its Wi-Fi network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinState {
    /// Trying, or told nothing yet: this does not prove that settings were applied.
    Connecting {
        /// How many tries are left after a failed one, where the firmware counts them.
        attempts_left: Option<u32>,
    },
    /// Joined, with an address.
    Connected(Connected),
    /// Given up.
    Failed(FailReason),
    /// Was joined and is no more.
    Disconnected,
}

/// The network that a device has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// The device's address, never 0.0.0.0.
    pub ip: Ipv4Addr,
    /// How the access point authenticates.
    pub auth: Auth,
    /// The network's name, not always UTF-8.
    pub ssid: Vec<u8>,
    /// The access point. Firmware copies it as a C string, so bytes after a 00 are garbage: not an identity.
    pub bssid: Vec<u8>,
    /// The Wi-Fi channel, 0 where unknown.
    pub channel: i32,
}

/// Why a device gave up joining. With counted attempts, firmware says [`FailReason::AuthError`] also for reasons
/// that it has no word for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailReason {
    /// 0: the access point refused the device, most often for a wrong passphrase.
    AuthError,
    /// 1: the device does not see the network.
    NetworkNotFound,
    /// The device names no reason.
    Unstated,
    /// A reason that this program does not know.
    Other(i32),
}

impl FailReason {
    fn from_code(code: i32) -> Self {
        match code {
            0 => Self::AuthError,
            1 => Self::NetworkNotFound,
            other => Self::Other(other),
        }
    }

    fn code(self) -> Option<i32> {
        match self {
            Self::AuthError => Some(0),
            Self::NetworkNotFound => Some(1),
            Self::Unstated => None,
            Self::Other(code) => Some(code),
        }
    }
}

impl Request {
    /// The plain bytes on the wire, never none; they may hold a passphrase.
    pub fn encode(&self) -> SecretBytes {
        use raw::Body;
        let (msg, body) = match self {
            Self::WifiStatus => (0, Body::GetWifiStatus(Nothing {})),
            Self::SetWifi(config) => (2, Body::SetWifi(config.into())),
            Self::ApplyWifi => (4, Body::ApplyWifi(Nothing {})),
            Self::ThreadStatus => (6, Body::GetThreadStatus(Nothing {})),
            Self::SetThread { dataset } => (
                8,
                Body::SetThread(raw::SetThread {
                    dataset: dataset.reveal().to_vec(),
                }),
            ),
            Self::ApplyThread => (10, Body::ApplyThread(Nothing {})),
        };
        SecretBytes::new(
            raw::Payload {
                msg,
                body: Some(body),
            }
            .encode_to_vec(),
        )
    }

    /// Reads a request, as the device does: a command without content may lack its empty body.
    ///
    /// # Errors
    /// When the bytes are no request; the firmware answers that with an ATT error, not with a status.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        use raw::Body;
        let payload: raw::Payload = read(REQUEST, bytes)?;
        match (payload.msg, payload.body) {
            (0, None | Some(Body::GetWifiStatus(_))) => Ok(Self::WifiStatus),
            (2, Some(Body::SetWifi(config))) => Ok(Self::SetWifi(config.typed())),
            (2, None) => Err(WireError::Missing {
                message: REQUEST,
                field: "Wi-Fi settings",
            }),
            (4, None | Some(Body::ApplyWifi(_))) => Ok(Self::ApplyWifi),
            (6, None | Some(Body::GetThreadStatus(_))) => Ok(Self::ThreadStatus),
            (8, Some(Body::SetThread(mut thread))) => Ok(Self::SetThread {
                dataset: SecretBytes::new(core::mem::take(&mut thread.dataset)),
            }),
            (8, None) => Err(WireError::Missing {
                message: REQUEST,
                field: "Thread dataset",
            }),
            (10, None | Some(Body::ApplyThread(_))) => Ok(Self::ApplyThread),
            (number, _) => Err(WireError::Unexpected {
                message: REQUEST,
                number,
            }),
        }
    }
}

impl Response {
    /// The plain bytes on the wire, never none.
    pub fn encode(&self) -> Vec<u8> {
        use raw::Body;
        let status = |outcome: &Outcome<()>| StatusOnly {
            status: code_of(outcome),
        };
        let refused = |refusal: &Refusal| StatusOnly {
            status: refusal.code(),
        };
        let (msg, body) = match self {
            Self::WifiStatus(outcome) => (1, Body::WifiStatus(outcome.into())),
            Self::SetWifi(outcome) => (3, Body::WifiSet(status(outcome))),
            Self::ApplyWifi(outcome) => (5, Body::WifiApplied(status(outcome))),
            Self::ThreadStatus(refusal) => (7, Body::ThreadStatus(refused(refusal))),
            Self::SetThread(refusal) => (9, Body::ThreadSet(refused(refusal))),
            Self::ApplyThread(refusal) => (11, Body::ThreadApplied(refused(refusal))),
        };
        raw::Payload {
            msg,
            body: Some(body),
        }
        .encode_to_vec()
    }

    /// Reads a response. A body is needed always: an absent one would read as success.
    ///
    /// # Errors
    /// When the bytes are no response, or claim a success that they do not show.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        use raw::Body;
        let payload: raw::Payload = read(RESPONSE, bytes)?;
        let thread = |number, status: StatusOnly| match Refusal::check(status.status) {
            Err(refusal) => Ok(refusal),
            Ok(()) => Err(WireError::Unexpected {
                message: RESPONSE,
                number,
            }),
        };
        match (payload.msg, payload.body) {
            (1, Some(Body::WifiStatus(status))) => status.typed().map(Self::WifiStatus),
            (3, Some(Body::WifiSet(status))) => Ok(Self::SetWifi(Refusal::check(status.status))),
            (5, Some(Body::WifiApplied(status))) => Ok(Self::ApplyWifi(Refusal::check(status.status))),
            (7, Some(Body::ThreadStatus(status))) => thread(7, status).map(Self::ThreadStatus),
            (9, Some(Body::ThreadSet(status))) => thread(9, status).map(Self::SetThread),
            (11, Some(Body::ThreadApplied(status))) => thread(11, status).map(Self::ApplyThread),
            (1 | 3 | 5 | 7 | 9 | 11, None) => Err(WireError::Missing {
                message: RESPONSE,
                field: "answer",
            }),
            (number, _) => Err(WireError::Unexpected {
                message: RESPONSE,
                number,
            }),
        }
    }
}

/// Reads the answer to [`Request::WifiStatus`].
///
/// # Errors
/// When it is another answer, a refusal, or a success without substance.
pub fn wifi_status(bytes: &[u8]) -> Result<JoinState, WireError> {
    match Response::decode(bytes)? {
        Response::WifiStatus(outcome) => Ok(outcome?),
        other => Err(other.unexpected()),
    }
}

/// Reads the answer to [`Request::SetWifi`].
///
/// # Errors
/// When it is another answer or a refusal.
pub fn wifi_set(bytes: &[u8]) -> Result<(), WireError> {
    match Response::decode(bytes)? {
        Response::SetWifi(outcome) => Ok(outcome?),
        other => Err(other.unexpected()),
    }
}

/// Reads the answer to [`Request::ApplyWifi`]. [`Refusal::InternalError`] says that nothing was set, or that an
/// earlier network was applied and not reset.
///
/// # Errors
/// When it is another answer or a refusal.
pub fn wifi_applied(bytes: &[u8]) -> Result<(), WireError> {
    match Response::decode(bytes)? {
        Response::ApplyWifi(outcome) => Ok(outcome?),
        other => Err(other.unexpected()),
    }
}

impl Response {
    fn unexpected(&self) -> WireError {
        let number = match self {
            Self::WifiStatus(_) => 1,
            Self::SetWifi(_) => 3,
            Self::ApplyWifi(_) => 5,
            Self::ThreadStatus(_) => 7,
            Self::SetThread(_) => 9,
            Self::ApplyThread(_) => 11,
        };
        WireError::Unexpected {
            message: RESPONSE,
            number,
        }
    }
}

impl From<&WifiConfig> for raw::WifiConfig {
    fn from(config: &WifiConfig) -> Self {
        Self {
            ssid: config.ssid.clone(),
            passphrase: config.passphrase.reveal().to_vec(),
            bssid: config.bssid.clone(),
            channel: config.channel,
        }
    }
}

impl raw::WifiConfig {
    fn typed(mut self) -> WifiConfig {
        WifiConfig {
            ssid: core::mem::take(&mut self.ssid),
            passphrase: SecretBytes::new(core::mem::take(&mut self.passphrase)),
            bssid: core::mem::take(&mut self.bssid),
            channel: self.channel,
        }
    }
}

/// Station states: 0 is good news and is left out on the wire.
const CONNECTED: i32 = 0;
const CONNECTING: i32 = 1;
const DISCONNECTED: i32 = 2;
const FAILED: i32 = 3;

impl From<&Outcome<JoinState>> for raw::WifiStatus {
    fn from(outcome: &Outcome<JoinState>) -> Self {
        use raw::Detail;
        let (wifi_sta_state, detail) = match outcome {
            Err(_) => (CONNECTED, None),
            Ok(JoinState::Connecting { attempts_left }) => (
                CONNECTING,
                attempts_left.map(|attempts_remaining| {
                    Detail::AttemptFailed(raw::AttemptFailed { attempts_remaining })
                }),
            ),
            Ok(JoinState::Connected(connected)) => (CONNECTED, Some(Detail::Connected(connected.into()))),
            Ok(JoinState::Failed(reason)) => (FAILED, reason.code().map(Detail::FailReason)),
            Ok(JoinState::Disconnected) => (DISCONNECTED, None),
        };
        Self {
            status: code_of(outcome),
            wifi_sta_state,
            detail,
        }
    }
}

impl From<&Connected> for raw::Connected {
    fn from(connected: &Connected) -> Self {
        Self {
            ip4_addr: connected.ip.to_string(),
            auth_mode: auth_code(connected.auth),
            ssid: connected.ssid.clone(),
            bssid: connected.bssid.clone(),
            channel: connected.channel,
        }
    }
}

impl raw::WifiStatus {
    fn typed(self) -> Result<Outcome<JoinState>, WireError> {
        use raw::Detail;
        if let Err(refusal) = Refusal::check(self.status) {
            return Ok(Err(refusal));
        }
        Ok(Ok(match (self.wifi_sta_state, self.detail) {
            (CONNECTED, Some(Detail::Connected(connected))) => JoinState::Connected(connected.typed()?),
            (CONNECTED, _) => return Err(WireError::ConnectedWithoutAddress),
            (CONNECTING, Some(Detail::AttemptFailed(failed))) => JoinState::Connecting {
                attempts_left: Some(failed.attempts_remaining),
            },
            (CONNECTING, _) => JoinState::Connecting { attempts_left: None },
            (DISCONNECTED, _) => JoinState::Disconnected,
            (FAILED, Some(Detail::FailReason(code))) => JoinState::Failed(FailReason::from_code(code)),
            (FAILED, _) => JoinState::Failed(FailReason::Unstated),
            (value, _) => {
                return Err(WireError::Unknown {
                    field: "station state",
                    value: value.into(),
                });
            }
        }))
    }
}

impl raw::Connected {
    fn typed(self) -> Result<Connected, WireError> {
        if self.ip4_addr.is_empty() {
            return Err(WireError::ConnectedWithoutAddress);
        }
        let ip: Ipv4Addr = self.ip4_addr.parse().map_err(|_| WireError::Malformed {
            message: "device's IPv4 address",
        })?;
        if ip.is_unspecified() {
            return Err(WireError::ConnectedWithoutAddress);
        }
        length("joined network's name (SSID)", &self.ssid, 0, SSID_MAX)?;
        Ok(Connected {
            ip,
            auth: auth_from_code(self.auth_mode),
            ssid: self.ssid,
            bssid: self.bssid,
            channel: self.channel,
        })
    }
}

/// The messages as protobuf sees them.
mod raw {
    use super::super::{Nothing, StatusOnly};
    use super::{String, Vec, Zeroize, fmt};
    use prost::{Message, Oneof};

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Payload {
        #[prost(int32, tag = "1")]
        pub(super) msg: i32,
        #[prost(oneof = "Body", tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21")]
        pub(super) body: Option<Body>,
    }

    #[derive(Clone, PartialEq, Oneof)]
    pub(super) enum Body {
        #[prost(message, tag = "10")]
        GetWifiStatus(Nothing),
        #[prost(message, tag = "11")]
        WifiStatus(WifiStatus),
        #[prost(message, tag = "12")]
        SetWifi(WifiConfig),
        #[prost(message, tag = "13")]
        WifiSet(StatusOnly),
        #[prost(message, tag = "14")]
        ApplyWifi(Nothing),
        #[prost(message, tag = "15")]
        WifiApplied(StatusOnly),
        #[prost(message, tag = "16")]
        GetThreadStatus(Nothing),
        #[prost(message, tag = "17")]
        ThreadStatus(StatusOnly),
        #[prost(message, tag = "18")]
        SetThread(SetThread),
        #[prost(message, tag = "19")]
        ThreadSet(StatusOnly),
        #[prost(message, tag = "20")]
        ApplyThread(Nothing),
        #[prost(message, tag = "21")]
        ThreadApplied(StatusOnly),
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct WifiStatus {
        #[prost(int32, tag = "1")]
        pub(super) status: i32,
        #[prost(int32, tag = "2")]
        pub(super) wifi_sta_state: i32,
        #[prost(oneof = "Detail", tags = "10, 11, 12")]
        pub(super) detail: Option<Detail>,
    }

    #[derive(Clone, PartialEq, Oneof)]
    pub(super) enum Detail {
        #[prost(int32, tag = "10")]
        FailReason(i32),
        #[prost(message, tag = "11")]
        Connected(Connected),
        #[prost(message, tag = "12")]
        AttemptFailed(AttemptFailed),
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Connected {
        #[prost(string, tag = "1")]
        pub(super) ip4_addr: String,
        #[prost(int32, tag = "2")]
        pub(super) auth_mode: i32,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) ssid: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        pub(super) bssid: Vec<u8>,
        #[prost(int32, tag = "5")]
        pub(super) channel: i32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct AttemptFailed {
        #[prost(uint32, tag = "1")]
        pub(super) attempts_remaining: u32,
    }

    #[derive(Clone, PartialEq, Message)]
    #[prost(skip_debug)]
    pub(super) struct WifiConfig {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) ssid: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) passphrase: Vec<u8>,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) bssid: Vec<u8>,
        #[prost(int32, tag = "4")]
        pub(super) channel: i32,
    }

    impl fmt::Debug for WifiConfig {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("WifiConfig(…)")
        }
    }

    impl Drop for WifiConfig {
        fn drop(&mut self) {
            self.passphrase.zeroize();
        }
    }

    #[derive(Clone, PartialEq, Message)]
    #[prost(skip_debug)]
    pub(super) struct SetThread {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) dataset: Vec<u8>,
    }

    impl fmt::Debug for SetThread {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("SetThread(…)")
        }
    }

    impl Drop for SetThread {
        fn drop(&mut self) {
            self.dataset.zeroize();
        }
    }
}

#[cfg(test)]
mod tests;
