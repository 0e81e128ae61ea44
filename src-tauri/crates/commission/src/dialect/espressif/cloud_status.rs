//! `cloud-status`: how the device's enrolment stands, for as long as the link lives.
//!
//! Zero is no state, so an empty or cut answer is never good news, and a state that names a credential must have it.

use alloc::string::String;
use alloc::vec::Vec;

use prost::Message as _;

use super::wire::{self, WireError};
use crate::dialect::Enrol;
use crate::text;

/// Longest principal and code, in bytes: AWS IoT's certificate ids have 64.
pub const PRINCIPAL_MAX: usize = 64;
/// Longest thing name and message, in bytes: AWS IoT's thing names have up to 128 characters.
pub const THING_MAX: usize = 128;

const REQUEST: &str = "cloud-status request";
const RESPONSE: &str = "cloud-status response";

const WAITING: i32 = 1;
const CONNECTING: i32 = 2;
const CLOUD_REACHED: i32 = 3;
const IDENTITY_ISSUED: i32 = 4;
const REGISTERED: i32 = 5;
const ONLINE: i32 = 6;
const REFUSED: i32 = 7;
const UNREACHABLE: i32 = 8;
const CLAIM_EXPIRED: i32 = 9;

/// The request's plain bytes, never none.
pub fn request() -> Vec<u8> {
    raw::Request {
        get: Some(wire::Nothing {}),
    }
    .encode_to_vec()
}

/// Reads a request, as the device does.
///
/// # Errors
/// When the bytes are no request.
pub fn decode_request(bytes: &[u8]) -> Result<(), WireError> {
    let request: raw::Request = wire::read(REQUEST, bytes)?;
    request.get.map(|_| ()).ok_or(WireError::Missing {
        message: REQUEST,
        field: "get",
    })
}

/// The answer's plain bytes, at most 199. Longer texts are cut at a character's border, and a longer thing name is left out:
/// half a name would be another thing's.
pub fn response(enrol: &Enrol) -> Vec<u8> {
    let identity = |state, principal: &str, thing: Option<&str>| raw::Response {
        state,
        principal: cut(principal, PRINCIPAL_MAX),
        thing: thing
            .filter(|name| name.len() <= THING_MAX)
            .unwrap_or_default()
            .into(),
        ..raw::Response::default()
    };
    let plain = |state| raw::Response {
        state,
        ..raw::Response::default()
    };
    match enrol {
        Enrol::Waiting => plain(WAITING),
        Enrol::Connecting => plain(CONNECTING),
        Enrol::CloudReached => plain(CLOUD_REACHED),
        Enrol::IdentityIssued { principal } => identity(IDENTITY_ISSUED, principal, None),
        Enrol::Registered { thing, principal } => identity(REGISTERED, principal, thing.as_deref()),
        Enrol::Online { thing, principal } => identity(ONLINE, principal, thing.as_deref()),
        Enrol::Refused { code, message } => raw::Response {
            code: cut(code, PRINCIPAL_MAX),
            message: cut(message, THING_MAX),
            ..plain(REFUSED)
        },
        Enrol::Unreachable { reason } => raw::Response {
            message: cut(reason, THING_MAX),
            ..plain(UNREACHABLE)
        },
        Enrol::ClaimExpired => plain(CLAIM_EXPIRED),
    }
    .encode_to_vec()
}

/// Reads the answer.
///
/// # Errors
/// When the bytes are no answer, the state is unknown, or one that must name a credential or code does not.
pub fn decode_response(bytes: &[u8]) -> Result<Enrol, WireError> {
    let raw::Response {
        state,
        principal,
        thing,
        code,
        message,
    } = wire::read(RESPONSE, bytes)?;
    let shown = |text: String| text::shown(&text, THING_MAX);
    let [principal, thing, code, message] = [principal, thing, code, message].map(shown);
    let stated = |text: String, field| {
        if text.is_empty() {
            Err(WireError::Missing {
                message: RESPONSE,
                field,
            })
        } else {
            Ok(text)
        }
    };
    let thing = (!thing.is_empty()).then_some(thing);
    Ok(match state {
        WAITING => Enrol::Waiting,
        CONNECTING => Enrol::Connecting,
        CLOUD_REACHED => Enrol::CloudReached,
        IDENTITY_ISSUED => Enrol::IdentityIssued {
            principal: stated(principal, "principal")?,
        },
        REGISTERED => Enrol::Registered {
            thing,
            principal: stated(principal, "principal")?,
        },
        ONLINE => Enrol::Online {
            thing,
            principal: stated(principal, "principal")?,
        },
        REFUSED => Enrol::Refused {
            code: stated(code, "code")?,
            message,
        },
        UNREACHABLE => Enrol::Unreachable {
            reason: stated(message, "message")?,
        },
        CLAIM_EXPIRED => Enrol::ClaimExpired,
        other => {
            return Err(WireError::Unknown {
                field: "enrolment state",
                value: other.into(),
            });
        }
    })
}

/// The text, cut at a character's border so that it has at most `max` bytes.
fn cut(text: &str, max: usize) -> String {
    let end = text.floor_char_boundary(max);
    text.get(..end).unwrap_or_default().into()
}

mod raw {
    use super::super::wire::Nothing;
    use alloc::string::String;
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Request {
        #[prost(message, optional, tag = "10")]
        pub(super) get: Option<Nothing>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Response {
        #[prost(int32, tag = "1")]
        pub(super) state: i32,
        #[prost(string, tag = "2")]
        pub(super) principal: String,
        #[prost(string, tag = "3")]
        pub(super) thing: String,
        #[prost(string, tag = "4")]
        pub(super) code: String,
        #[prost(string, tag = "5")]
        pub(super) message: String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_empty_or_cut_is_good_news() {
        let online = response(&Enrol::Online {
            thing: Some("lamp-1".into()),
            principal: "cert-1".into(),
        });
        for end in 0..online.len() {
            assert!(
                !matches!(
                    decode_response(&online[..end]),
                    Ok(Enrol::Online { thing: Some(_), .. })
                ),
                "{end} bytes"
            );
        }
        assert_eq!(
            decode_response(&[0x08, 0x06]),
            Err(WireError::Missing {
                message: RESPONSE,
                field: "principal"
            })
        );
        assert_eq!(
            decode_response(&[0x08, 0x00]),
            Err(WireError::Unknown {
                field: "enrolment state",
                value: 0
            })
        );
        assert_eq!(
            decode_response(&[0x08, 0x0a]),
            Err(WireError::Unknown {
                field: "enrolment state",
                value: 10
            })
        );
        assert!(decode_response(&[0x08, 0x07]).is_err());
        assert!(decode_response(&[0x08, 0x08]).is_err());
    }

    #[test]
    fn long_texts_are_cut_between_characters_and_fit_the_smallest_value() {
        let refused = response(&Enrol::Refused {
            code: "é".repeat(200),
            message: "é".repeat(200),
        });
        assert_eq!(refused.len(), 199);
        assert_eq!(
            decode_response(&refused),
            Ok(Enrol::Refused {
                code: "é".repeat(32),
                message: "é".repeat(64),
            })
        );
    }

    #[test]
    fn thing_name_is_whole_or_left_out() {
        let registered = |thing: usize| Enrol::Registered {
            thing: Some("t".repeat(thing)),
            principal: "0".repeat(64),
        };
        assert_eq!(decode_response(&response(&registered(128))), Ok(registered(128)));
        assert_eq!(
            decode_response(&response(&registered(129))),
            Ok(Enrol::Registered {
                thing: None,
                principal: "0".repeat(64)
            })
        );
    }

    fn enrol() -> impl Strategy<Value = Enrol> {
        let text = || "[ -~]{1,64}";
        let thing = || prop::option::of("[ -~]{1,128}");
        prop_oneof![
            Just(Enrol::Waiting),
            Just(Enrol::Connecting),
            Just(Enrol::CloudReached),
            Just(Enrol::ClaimExpired),
            text().prop_map(|principal| Enrol::IdentityIssued { principal }),
            (thing(), text()).prop_map(|(thing, principal)| Enrol::Registered { thing, principal }),
            (thing(), text()).prop_map(|(thing, principal)| Enrol::Online { thing, principal }),
            (text(), "[ -~]{0,128}").prop_map(|(code, message)| Enrol::Refused { code, message }),
            text().prop_map(|reason| Enrol::Unreachable { reason }),
        ]
    }

    #[test]
    fn words_of_a_device_cannot_play_with_a_terminal() {
        let refused = |message: &str| Enrol::Refused {
            code: "no".into(),
            message: message.into(),
        };
        let sent = response(&refused("\u{1b}[2Jwell\ndone"));
        assert_eq!(decode_response(&sent), Ok(refused("[2Jwell done")));
    }

    proptest! {
        #[test]
        fn every_state_survives_the_wire(enrol in enrol()) {
            prop_assert_eq!(decode_response(&response(&enrol)), Ok(enrol));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode_response(&bytes);
            let _ = decode_request(&bytes);
        }
    }
}
