//! `prov-ctrl`: another try after a failed one, on the same link (wifi_provisioning's `wifi_ctrl.proto`, since
//! ESP-IDF 5.1; older firmware has no such endpoint and must be power-cycled instead).

use alloc::vec::Vec;

use prost::Message;

use super::{Nothing, Outcome, Refusal, WireError, code_of, read};

const REQUEST: &str = "prov-ctrl request";
const RESPONSE: &str = "prov-ctrl response";

/// What the client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Forget the network that could not be joined, and be ready for another.
    WifiReset,
    /// Leave the network joined, and be ready for another; only where the firmware keeps its service up.
    WifiReprov,
    /// As [`Request::WifiReset`], for Thread.
    ThreadReset,
    /// As [`Request::WifiReprov`], for Thread.
    ThreadReprov,
}

/// What the device answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// To [`Request::WifiReset`]; [`Refusal::InternalError`] when it was not in the failed state.
    WifiReset(Outcome<()>),
    /// To [`Request::WifiReprov`].
    WifiReprov(Outcome<()>),
    /// To [`Request::ThreadReset`].
    ThreadReset(Outcome<()>),
    /// To [`Request::ThreadReprov`].
    ThreadReprov(Outcome<()>),
}

impl Request {
    /// The plain bytes on the wire, never none: the number is never 0, and known clients send it alone.
    pub fn encode(&self) -> Vec<u8> {
        let msg = match self {
            Self::WifiReset => 1,
            Self::WifiReprov => 3,
            Self::ThreadReset => 5,
            Self::ThreadReprov => 7,
        };
        raw::Payload {
            msg,
            status: 0,
            body: None,
        }
        .encode_to_vec()
    }

    /// Reads a request, with or without its empty body.
    ///
    /// # Errors
    /// When the bytes are no request; the firmware answers that with an ATT error, not with a status.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        use raw::Body;
        let payload: raw::Payload = read(REQUEST, bytes)?;
        match (payload.msg, payload.body) {
            (1, None | Some(Body::ResetWifi(_))) => Ok(Self::WifiReset),
            (3, None | Some(Body::ReprovWifi(_))) => Ok(Self::WifiReprov),
            (5, None | Some(Body::ResetThread(_))) => Ok(Self::ThreadReset),
            (7, None | Some(Body::ReprovThread(_))) => Ok(Self::ThreadReprov),
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
        let (msg, outcome, body) = match self {
            Self::WifiReset(outcome) => (2, outcome, Body::WifiReset(Nothing {})),
            Self::WifiReprov(outcome) => (4, outcome, Body::WifiReprov(Nothing {})),
            Self::ThreadReset(outcome) => (6, outcome, Body::ThreadReset(Nothing {})),
            Self::ThreadReprov(outcome) => (8, outcome, Body::ThreadReprov(Nothing {})),
        };
        raw::Payload {
            msg,
            status: code_of(outcome),
            body: Some(body),
        }
        .encode_to_vec()
    }

    /// Reads a response. A refusal may lack its body; a success may not.
    ///
    /// # Errors
    /// When the bytes are no response.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        use raw::Body;
        let payload: raw::Payload = read(RESPONSE, bytes)?;
        let outcome = Refusal::check(payload.status);
        match (payload.msg, payload.body) {
            (2 | 4 | 6 | 8, None) if outcome.is_ok() => Err(WireError::Missing {
                message: RESPONSE,
                field: "answer",
            }),
            (2, None | Some(Body::WifiReset(_))) => Ok(Self::WifiReset(outcome)),
            (4, None | Some(Body::WifiReprov(_))) => Ok(Self::WifiReprov(outcome)),
            (6, None | Some(Body::ThreadReset(_))) => Ok(Self::ThreadReset(outcome)),
            (8, None | Some(Body::ThreadReprov(_))) => Ok(Self::ThreadReprov(outcome)),
            (number, _) => Err(WireError::Unexpected {
                message: RESPONSE,
                number,
            }),
        }
    }

    fn unexpected(self) -> WireError {
        let number = match self {
            Self::WifiReset(_) => 2,
            Self::WifiReprov(_) => 4,
            Self::ThreadReset(_) => 6,
            Self::ThreadReprov(_) => 8,
        };
        WireError::Unexpected {
            message: RESPONSE,
            number,
        }
    }
}

/// Reads the answer to [`Request::WifiReset`]. Firmware before network_provisioning 1.2.1 that has already reset
/// itself refuses with [`Refusal::InternalError`], which is then as good as success.
///
/// # Errors
/// When it is another answer or a refusal.
pub fn wifi_reset(bytes: &[u8]) -> Result<(), WireError> {
    match Response::decode(bytes)? {
        Response::WifiReset(outcome) => Ok(outcome?),
        other => Err(other.unexpected()),
    }
}

/// Reads the answer to [`Request::WifiReprov`].
///
/// # Errors
/// When it is another answer or a refusal.
pub fn wifi_reprov(bytes: &[u8]) -> Result<(), WireError> {
    match Response::decode(bytes)? {
        Response::WifiReprov(outcome) => Ok(outcome?),
        other => Err(other.unexpected()),
    }
}

/// The messages as protobuf sees them.
mod raw {
    use super::super::Nothing;
    use prost::{Message, Oneof};

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Payload {
        #[prost(int32, tag = "1")]
        pub(super) msg: i32,
        #[prost(int32, tag = "2")]
        pub(super) status: i32,
        #[prost(oneof = "Body", tags = "11, 12, 13, 14, 15, 16, 17, 18")]
        pub(super) body: Option<Body>,
    }

    #[derive(Clone, PartialEq, Oneof)]
    pub(super) enum Body {
        #[prost(message, tag = "11")]
        ResetWifi(Nothing),
        #[prost(message, tag = "12")]
        WifiReset(Nothing),
        #[prost(message, tag = "13")]
        ReprovWifi(Nothing),
        #[prost(message, tag = "14")]
        WifiReprov(Nothing),
        #[prost(message, tag = "15")]
        ResetThread(Nothing),
        #[prost(message, tag = "16")]
        ThreadReset(Nothing),
        #[prost(message, tag = "17")]
        ReprovThread(Nothing),
        #[prost(message, tag = "18")]
        ThreadReprov(Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    #[test]
    fn messages_have_their_golden_bytes() {
        for (request, golden) in [(Request::WifiReset, "0801"), (Request::WifiReprov, "0803")] {
            assert_eq!(hex::encode(request.encode()), golden);
            assert_eq!(Request::decode(&bytes(golden)), Ok(request));
        }
        for (response, golden) in [
            (Response::WifiReset(Ok(())), "08026200"),
            (Response::WifiReset(Err(Refusal::InternalError)), "080210056200"),
            (Response::WifiReprov(Ok(())), "08047200"),
            (Response::WifiReprov(Err(Refusal::InternalError)), "080410057200"),
        ] {
            assert_eq!(hex::encode(response.encode()), golden);
            assert_eq!(Response::decode(&bytes(golden)), Ok(response));
        }
    }

    #[test]
    fn a_request_with_its_empty_body_is_read_too() {
        assert_eq!(Request::decode(&bytes("08015a00")), Ok(Request::WifiReset));
        assert_eq!(Request::decode(&bytes("08036a00")), Ok(Request::WifiReprov));
    }

    #[test]
    fn a_reply_cut_short_is_no_success() {
        assert_eq!(wifi_reset(&[]), Err(WireError::Empty { message: RESPONSE }));
        assert_eq!(
            wifi_reset(&bytes("08")),
            Err(WireError::Malformed { message: RESPONSE })
        );
        assert_eq!(
            wifi_reset(&bytes("0802")),
            Err(WireError::Missing {
                message: RESPONSE,
                field: "answer"
            })
        );
        assert_eq!(
            wifi_reset(&bytes("080262")),
            Err(WireError::Malformed { message: RESPONSE })
        );
        assert_eq!(
            wifi_reset(&bytes("08021005")),
            Err(WireError::Refused(Refusal::InternalError))
        );
    }

    #[test]
    fn unknown_and_unexpected_numbers_are_named() {
        let unexpected = |message, number| WireError::Unexpected { message, number };
        assert_eq!(Request::decode(&bytes("1000")), Err(unexpected(REQUEST, 0)));
        assert_eq!(Request::decode(&bytes("0863")), Err(unexpected(REQUEST, 99)));
        assert_eq!(Request::decode(&bytes("08016a00")), Err(unexpected(REQUEST, 1)));
        assert_eq!(wifi_reset(&bytes("08047200")), Err(unexpected(RESPONSE, 4)));
        assert_eq!(wifi_reprov(&bytes("08026200")), Err(unexpected(RESPONSE, 2)));
        assert_eq!(wifi_reset(&bytes("08027200")), Err(unexpected(RESPONSE, 2)));
        assert_eq!(
            wifi_reset(&bytes("080210096200")),
            Err(WireError::Refused(Refusal::Other(9)))
        );
    }

    proptest! {
        #[test]
        fn every_message_survives_the_wire(code in 0..20i32) {
            let outcome = Refusal::check(code);
            for response in [
                Response::WifiReset(outcome), Response::WifiReprov(outcome),
                Response::ThreadReset(outcome), Response::ThreadReprov(outcome),
            ] {
                prop_assert_eq!(Response::decode(&response.encode()), Ok(response));
            }
            for request in [
                Request::WifiReset, Request::WifiReprov, Request::ThreadReset, Request::ThreadReprov,
            ] {
                prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..32)) {
            let _ = Request::decode(&bytes);
            let _ = Response::decode(&bytes);
        }
    }
}
