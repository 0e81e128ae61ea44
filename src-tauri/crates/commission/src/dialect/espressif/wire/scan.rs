//! `prov-scan`: which Wi-Fi networks the device sees (wifi_provisioning's `wifi_scan.proto`).
//!
//! Not in scope: when a scan makes sense. After settings are applied, and before they are reset, a scan starts,
//! says so, and never ends; asking for more rows than there are is an ATT error.

use alloc::vec::Vec;

use prost::Message;

use super::{
    Nothing, Outcome, Refusal, SSID_MAX, WireError, auth_code, auth_from_code, code_of, exact, length, read,
};
use crate::network::Auth;

/// How many rows to ask for at once: four 32-byte names fill the smallest value limit of real devices exactly
/// (241 plain bytes, 257 with a GCM tag).
pub const ROWS_AT_ONCE: u32 = 4;

/// Milliseconds on each channel, as all known clients ask; firmware built with Bluetooth ignores it.
pub const PERIOD_MS: u32 = 120;

const REQUEST: &str = "prov-scan request";
const RESPONSE: &str = "prov-scan response";

/// What the client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Start a scan.
    WifiStart {
        /// Answer only when the scan is over, which holds the write open for seconds.
        blocking: bool,
        /// Listen only, without probing.
        passive: bool,
        /// How many channels to scan before a pause, 0 for all.
        group_channels: u32,
        /// Milliseconds on each channel.
        period_ms: u32,
    },
    /// Is it over, and how many rows are there?
    WifiStatus,
    /// Some of the rows.
    WifiResult {
        /// The first row wanted.
        start_index: u32,
        /// How many; never beyond the count that the device gave.
        count: u32,
    },
    /// As [`Request::WifiStart`], for Thread networks.
    ThreadStart,
    /// As [`Request::WifiStatus`], for Thread networks.
    ThreadStatus,
    /// As [`Request::WifiResult`], for Thread networks.
    ThreadResult,
}

impl Request {
    /// An active scan over all channels, as all known clients ask for it.
    pub fn wifi_start(blocking: bool) -> Self {
        Self::WifiStart {
            blocking,
            passive: false,
            group_channels: 0,
            period_ms: PERIOD_MS,
        }
    }
}

/// What the device answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// To [`Request::WifiStart`].
    WifiStart(Outcome<()>),
    /// To [`Request::WifiStatus`].
    WifiStatus(Outcome<Progress>),
    /// To [`Request::WifiResult`]: strongest first over the whole list.
    WifiResult(Outcome<Vec<AccessPoint>>),
    /// To [`Request::ThreadStart`]: a Wi-Fi build refuses with [`Refusal::InvalidArgument`].
    ThreadStart(Refusal),
    /// To [`Request::ThreadStatus`], refused likewise.
    ThreadStatus(Refusal),
    /// To [`Request::ThreadResult`], refused likewise.
    ThreadResult(Refusal),
}

/// How far a scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Whether the scan is over.
    pub finished: bool,
    /// How many rows there are; 0 can be a lost race in the firmware rather than an empty room.
    pub count: u32,
}

/// One access point that the device sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessPoint {
    /// The network's name, at most [`SSID_MAX`] bytes, not always UTF-8, empty when hidden.
    pub ssid: Vec<u8>,
    /// The Wi-Fi channel.
    pub channel: u32,
    /// The strength in dBm.
    pub rssi: i32,
    /// The access point's address.
    pub bssid: [u8; 6],
    /// How it authenticates.
    pub auth: Auth,
}

impl Request {
    /// The plain bytes on the wire, never none.
    pub fn encode(&self) -> Vec<u8> {
        use raw::Body;
        let (msg, body) = match *self {
            Self::WifiStart {
                blocking,
                passive,
                group_channels,
                period_ms,
            } => (
                0,
                Body::StartWifi(raw::Start {
                    blocking,
                    passive,
                    group_channels,
                    period_ms,
                }),
            ),
            Self::WifiStatus => (2, Body::GetWifiStatus(Nothing {})),
            Self::WifiResult { start_index, count } => {
                (4, Body::GetWifiRows(raw::Rows { start_index, count }))
            }
            Self::ThreadStart => (6, Body::StartThread(Nothing {})),
            Self::ThreadStatus => (8, Body::GetThreadStatus(Nothing {})),
            Self::ThreadResult => (10, Body::GetThreadRows(Nothing {})),
        };
        raw::Payload {
            msg,
            status: 0,
            body: Some(body),
        }
        .encode_to_vec()
    }

    /// Reads a request, as the device does.
    ///
    /// # Errors
    /// When the bytes are no request; the firmware answers that with an ATT error, not with a status.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        use raw::Body;
        let payload: raw::Payload = read(REQUEST, bytes)?;
        match (payload.msg, payload.body) {
            (
                0,
                Some(Body::StartWifi(raw::Start {
                    blocking,
                    passive,
                    group_channels,
                    period_ms,
                })),
            ) => Ok(Self::WifiStart {
                blocking,
                passive,
                group_channels,
                period_ms,
            }),
            (2, None | Some(Body::GetWifiStatus(_))) => Ok(Self::WifiStatus),
            (4, Some(Body::GetWifiRows(raw::Rows { start_index, count }))) => {
                Ok(Self::WifiResult { start_index, count })
            }
            (0 | 4, None) => Err(WireError::Missing {
                message: REQUEST,
                field: "body",
            }),
            (6, None | Some(Body::StartThread(_))) => Ok(Self::ThreadStart),
            (8, None | Some(Body::GetThreadStatus(_))) => Ok(Self::ThreadStatus),
            (10, None | Some(Body::GetThreadRows(_))) => Ok(Self::ThreadResult),
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
        let (msg, status, body) = match self {
            Self::WifiStart(outcome) => (1, code_of(outcome), Body::WifiStarted(Nothing {})),
            Self::WifiStatus(outcome) => {
                let Progress { finished, count } = outcome.unwrap_or(Progress {
                    finished: false,
                    count: 0,
                });
                let progress = raw::Progress {
                    scan_finished: finished,
                    result_count: count,
                };
                (3, code_of(outcome), Body::WifiStatus(progress))
            }
            Self::WifiResult(outcome) => {
                let entries = outcome
                    .as_deref()
                    .unwrap_or_default()
                    .iter()
                    .map(Into::into)
                    .collect();
                (5, code_of(outcome), Body::WifiRows(raw::Entries { entries }))
            }
            Self::ThreadStart(refusal) => (7, refusal.code(), Body::ThreadStarted(Nothing {})),
            Self::ThreadStatus(refusal) => (9, refusal.code(), Body::ThreadStatus(Nothing {})),
            Self::ThreadResult(refusal) => (11, refusal.code(), Body::ThreadRows(Nothing {})),
        };
        raw::Payload {
            msg,
            status,
            body: Some(body),
        }
        .encode_to_vec()
    }

    /// Reads a response. A refusal may lack its body; an answer may not.
    ///
    /// # Errors
    /// When the bytes are no response, or a row is of a wrong size.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        use raw::Body;
        let payload: raw::Payload = read(RESPONSE, bytes)?;
        let number = payload.msg;
        if let Err(refusal) = Refusal::check(payload.status) {
            return match number {
                1 => Ok(Self::WifiStart(Err(refusal))),
                3 => Ok(Self::WifiStatus(Err(refusal))),
                5 => Ok(Self::WifiResult(Err(refusal))),
                7 => Ok(Self::ThreadStart(refusal)),
                9 => Ok(Self::ThreadStatus(refusal)),
                11 => Ok(Self::ThreadResult(refusal)),
                _ => Err(WireError::Unexpected {
                    message: RESPONSE,
                    number,
                }),
            };
        }
        match (number, payload.body) {
            (1, Some(Body::WifiStarted(_))) => Ok(Self::WifiStart(Ok(()))),
            (
                3,
                Some(Body::WifiStatus(raw::Progress {
                    scan_finished,
                    result_count,
                })),
            ) => Ok(Self::WifiStatus(Ok(Progress {
                finished: scan_finished,
                count: result_count,
            }))),
            (5, Some(Body::WifiRows(rows))) => {
                let rows: Result<_, _> = rows.entries.into_iter().map(raw::Entry::typed).collect();
                Ok(Self::WifiResult(Ok(rows?)))
            }
            (1 | 3 | 5, None) => Err(WireError::Missing {
                message: RESPONSE,
                field: "answer",
            }),
            (number, _) => Err(WireError::Unexpected {
                message: RESPONSE,
                number,
            }),
        }
    }

    fn unexpected(&self) -> WireError {
        let number = match self {
            Self::WifiStart(_) => 1,
            Self::WifiStatus(_) => 3,
            Self::WifiResult(_) => 5,
            Self::ThreadStart(_) => 7,
            Self::ThreadStatus(_) => 9,
            Self::ThreadResult(_) => 11,
        };
        WireError::Unexpected {
            message: RESPONSE,
            number,
        }
    }
}

/// Reads the answer to [`Request::WifiStart`].
///
/// # Errors
/// When it is another answer or a refusal.
pub fn wifi_started(bytes: &[u8]) -> Result<(), WireError> {
    match Response::decode(bytes)? {
        Response::WifiStart(outcome) => Ok(outcome?),
        other => Err(other.unexpected()),
    }
}

/// Reads the answer to [`Request::WifiStatus`].
///
/// # Errors
/// When it is another answer or a refusal.
pub fn wifi_progress(bytes: &[u8]) -> Result<Progress, WireError> {
    match Response::decode(bytes)? {
        Response::WifiStatus(outcome) => Ok(outcome?),
        other => Err(other.unexpected()),
    }
}

/// Reads the answer to [`Request::WifiResult`].
///
/// # Errors
/// When it is another answer, a refusal, or holds a row of a wrong size.
pub fn wifi_rows(bytes: &[u8]) -> Result<Vec<AccessPoint>, WireError> {
    match Response::decode(bytes)? {
        Response::WifiResult(outcome) => Ok(outcome?),
        other => Err(other.unexpected()),
    }
}

impl From<&AccessPoint> for raw::Entry {
    fn from(point: &AccessPoint) -> Self {
        Self {
            ssid: point.ssid.clone(),
            channel: point.channel,
            rssi: point.rssi,
            bssid: point.bssid.to_vec(),
            auth: auth_code(point.auth),
        }
    }
}

impl raw::Entry {
    fn typed(self) -> Result<AccessPoint, WireError> {
        length("seen network's name (SSID)", &self.ssid, 0, SSID_MAX)?;
        Ok(AccessPoint {
            ssid: self.ssid,
            channel: self.channel,
            rssi: self.rssi,
            bssid: exact("access point address (BSSID)", &self.bssid)?,
            auth: auth_from_code(self.auth),
        })
    }
}

/// The messages as protobuf sees them.
mod raw {
    use super::super::Nothing;
    use alloc::vec::Vec;
    use prost::{Message, Oneof};

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Payload {
        #[prost(int32, tag = "1")]
        pub(super) msg: i32,
        #[prost(int32, tag = "2")]
        pub(super) status: i32,
        #[prost(oneof = "Body", tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21")]
        pub(super) body: Option<Body>,
    }

    #[derive(Clone, PartialEq, Oneof)]
    pub(super) enum Body {
        #[prost(message, tag = "10")]
        StartWifi(Start),
        #[prost(message, tag = "11")]
        WifiStarted(Nothing),
        #[prost(message, tag = "12")]
        GetWifiStatus(Nothing),
        #[prost(message, tag = "13")]
        WifiStatus(Progress),
        #[prost(message, tag = "14")]
        GetWifiRows(Rows),
        #[prost(message, tag = "15")]
        WifiRows(Entries),
        #[prost(message, tag = "16")]
        StartThread(Nothing),
        #[prost(message, tag = "17")]
        ThreadStarted(Nothing),
        #[prost(message, tag = "18")]
        GetThreadStatus(Nothing),
        #[prost(message, tag = "19")]
        ThreadStatus(Nothing),
        #[prost(message, tag = "20")]
        GetThreadRows(Nothing),
        #[prost(message, tag = "21")]
        ThreadRows(Nothing),
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Start {
        #[prost(bool, tag = "1")]
        pub(super) blocking: bool,
        #[prost(bool, tag = "2")]
        pub(super) passive: bool,
        #[prost(uint32, tag = "3")]
        pub(super) group_channels: u32,
        #[prost(uint32, tag = "4")]
        pub(super) period_ms: u32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Progress {
        #[prost(bool, tag = "1")]
        pub(super) scan_finished: bool,
        #[prost(uint32, tag = "2")]
        pub(super) result_count: u32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Rows {
        #[prost(uint32, tag = "1")]
        pub(super) start_index: u32,
        #[prost(uint32, tag = "2")]
        pub(super) count: u32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Entries {
        #[prost(message, repeated, tag = "1")]
        pub(super) entries: Vec<Entry>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Entry {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) ssid: Vec<u8>,
        #[prost(uint32, tag = "2")]
        pub(super) channel: u32,
        #[prost(int32, tag = "3")]
        pub(super) rssi: i32,
        #[prost(bytes = "vec", tag = "4")]
        pub(super) bssid: Vec<u8>,
        #[prost(int32, tag = "5")]
        pub(super) auth: i32,
    }
}

#[cfg(test)]
mod tests;
