//! `blink`: the device shows which one it is, by light or sound, for some seconds.

use alloc::vec::Vec;

use prost::Message as _;

use super::wire::{self, WireError};

const REQUEST: &str = "blink request";
const RESPONSE: &str = "blink response";

const DONE: i32 = 1;

/// The request's plain bytes, never none.
pub fn request() -> Vec<u8> {
    raw::Request {
        blink: Some(wire::Nothing {}),
    }
    .encode_to_vec()
}

/// Reads a request, as the device does.
///
/// # Errors
/// When the bytes are no request.
pub fn decode_request(bytes: &[u8]) -> Result<(), WireError> {
    let request: raw::Request = wire::read(REQUEST, bytes)?;
    request.blink.map(|_| ()).ok_or(WireError::Missing {
        message: REQUEST,
        field: "blink",
    })
}

/// The answer's plain bytes: it blinks.
pub fn response() -> Vec<u8> {
    raw::Response { status: DONE }.encode_to_vec()
}

/// Reads the answer; only the number that says so is success.
///
/// # Errors
/// When the bytes are no answer, or say anything but that it blinks.
pub fn decode_response(bytes: &[u8]) -> Result<(), WireError> {
    match wire::read::<raw::Response>(RESPONSE, bytes)?.status {
        DONE => Ok(()),
        other => Err(WireError::Unknown {
            field: "blink status",
            value: other.into(),
        }),
    }
}

mod raw {
    use super::super::wire::Nothing;
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Request {
        #[prost(message, optional, tag = "10")]
        pub(super) blink: Option<Nothing>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Response {
        #[prost(int32, tag = "1")]
        pub(super) status: i32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_explicit_yes_is_success() {
        assert_eq!(decode_request(&request()), Ok(()));
        assert_eq!(decode_response(&response()), Ok(()));
        assert!(decode_response(&[]).is_err());
        assert!(decode_response(&[0x08, 0x00]).is_err());
        assert!(decode_response(&[0x08]).is_err());
        assert!(decode_response(&[0x10, 0x01]).is_err());
    }
}
