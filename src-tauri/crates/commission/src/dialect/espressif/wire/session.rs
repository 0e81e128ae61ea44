//! `prov-session`: the handshakes of the three security schemes (esp-idf protocomm, `session.proto`,
//! `sec0.proto`, `sec1.proto`, `sec2.proto`). Never encrypted.
//!
//! This file knows which fields a message has; how long a key or proof must be is the scheme's own business.

use alloc::vec::Vec;

use prost::Message as _;

use super::{Nothing, Refusal, StatusOnly, WireError, read};

const NAME: &str = "prov-session message";

/// A handshake message, from either side. A response that refuses is [`WireError::Refused`] instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Scheme 0: no encryption.
    Sec0(Sec0),
    /// Scheme 1: X25519 and AES-CTR.
    Sec1(Sec1),
    /// Scheme 2: SRP-6a and AES-GCM.
    Sec2(Sec2),
}

/// Scheme 0: a greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sec0 {
    /// From the client.
    Command,
    /// From the device.
    Response,
}

/// Scheme 1: keys are exchanged, then each side shows that it has the shared one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sec1 {
    /// From the client.
    Command0 {
        /// The client's X25519 public key, 32 bytes.
        client_pubkey: Vec<u8>,
    },
    /// From the device.
    Response0 {
        /// The device's X25519 public key, 32 bytes.
        device_pubkey: Vec<u8>,
        /// The first counter block, 16 bytes.
        device_random: Vec<u8>,
    },
    /// From the client.
    Command1 {
        /// The device's public key, encrypted, 32 bytes.
        client_verify_data: Vec<u8>,
    },
    /// From the device.
    Response1 {
        /// The client's public key, encrypted, 32 bytes.
        device_verify_data: Vec<u8>,
    },
}

/// Scheme 2: SRP public values are exchanged, then the proofs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sec2 {
    /// From the client.
    Command0 {
        /// `I`, at least one byte.
        client_username: Vec<u8>,
        /// `A`, 384 bytes.
        client_pubkey: Vec<u8>,
    },
    /// From the device.
    Response0 {
        /// `B`, big-endian, usually without leading zero bytes.
        device_pubkey: Vec<u8>,
        /// `s`, usually 16 bytes.
        device_salt: Vec<u8>,
    },
    /// From the client.
    Command1 {
        /// `M1`, 64 bytes.
        client_proof: Vec<u8>,
    },
    /// From the device.
    Response1 {
        /// `M2`, 64 bytes.
        device_proof: Vec<u8>,
        /// The first GCM nonce, 12 bytes.
        device_nonce: Vec<u8>,
    },
}

impl Message {
    /// The scheme's number.
    pub fn scheme(&self) -> u8 {
        match self {
            Self::Sec0(_) => 0,
            Self::Sec1(_) => 1,
            Self::Sec2(_) => 2,
        }
    }

    /// The bytes on the wire, never none.
    pub fn encode(&self) -> Vec<u8> {
        raw::SessionData {
            sec_ver: i32::from(self.scheme()),
            scheme: Some(self.to_raw()),
        }
        .encode_to_vec()
    }

    /// Reads a message of either side.
    ///
    /// # Errors
    /// When the bytes are no such message, when scheme, number and body disagree, or when a device refuses.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let data: raw::SessionData = read(NAME, bytes)?;
        let scheme = data.scheme.ok_or(WireError::Missing {
            message: NAME,
            field: "security scheme's part",
        })?;
        match (data.sec_ver, scheme) {
            (0, raw::Scheme::Sec0(payload)) => payload.typed().map(Self::Sec0),
            (1, raw::Scheme::Sec1(payload)) => payload.typed().map(Self::Sec1),
            (2, raw::Scheme::Sec2(payload)) => payload.typed().map(Self::Sec2),
            (value, _) => Err(WireError::Unknown {
                field: "security scheme",
                value: value.into(),
            }),
        }
    }

    fn to_raw(&self) -> raw::Scheme {
        match self.clone() {
            Self::Sec0(sec0) => raw::Scheme::Sec0(sec0.into()),
            Self::Sec1(sec1) => raw::Scheme::Sec1(sec1.into()),
            Self::Sec2(sec2) => raw::Scheme::Sec2(sec2.into()),
        }
    }
}

impl raw::Sec0Payload {
    fn typed(self) -> Result<Sec0, WireError> {
        use raw::Sec0Body as Body;
        match (self.msg, self.body) {
            (0, Some(Body::Command(_))) => Ok(Sec0::Command),
            (1, Some(Body::Response(response))) => {
                Refusal::check(response.status)?;
                Ok(Sec0::Response)
            }
            (number, _) => Err(WireError::Unexpected {
                message: NAME,
                number,
            }),
        }
    }
}

impl From<Sec0> for raw::Sec0Payload {
    fn from(message: Sec0) -> Self {
        use raw::Sec0Body as Body;
        let (msg, body) = match message {
            Sec0::Command => (0, Body::Command(Nothing {})),
            Sec0::Response => (1, Body::Response(StatusOnly { status: 0 })),
        };
        Self {
            msg,
            body: Some(body),
        }
    }
}

impl raw::Sec1Payload {
    fn typed(self) -> Result<Sec1, WireError> {
        use raw::Sec1Body as Body;
        match (self.msg, self.body) {
            (0, Some(Body::Command0(raw::Sec1Command0 { client_pubkey }))) => {
                Ok(Sec1::Command0 { client_pubkey })
            }
            (
                1,
                Some(Body::Response0(raw::Sec1Response0 {
                    status,
                    device_pubkey,
                    device_random,
                })),
            ) => {
                Refusal::check(status)?;
                Ok(Sec1::Response0 {
                    device_pubkey,
                    device_random,
                })
            }
            (2, Some(Body::Command1(raw::Sec1Command1 { client_verify_data }))) => {
                Ok(Sec1::Command1 { client_verify_data })
            }
            (
                3,
                Some(Body::Response1(raw::Sec1Response1 {
                    status,
                    device_verify_data,
                })),
            ) => {
                Refusal::check(status)?;
                Ok(Sec1::Response1 { device_verify_data })
            }
            (number, _) => Err(WireError::Unexpected {
                message: NAME,
                number,
            }),
        }
    }
}

impl From<Sec1> for raw::Sec1Payload {
    fn from(message: Sec1) -> Self {
        use raw::Sec1Body as Body;
        let (msg, body) = match message {
            Sec1::Command0 { client_pubkey } => (0, Body::Command0(raw::Sec1Command0 { client_pubkey })),
            Sec1::Response0 {
                device_pubkey,
                device_random,
            } => (
                1,
                Body::Response0(raw::Sec1Response0 {
                    status: 0,
                    device_pubkey,
                    device_random,
                }),
            ),
            Sec1::Command1 { client_verify_data } => {
                (2, Body::Command1(raw::Sec1Command1 { client_verify_data }))
            }
            Sec1::Response1 { device_verify_data } => (
                3,
                Body::Response1(raw::Sec1Response1 {
                    status: 0,
                    device_verify_data,
                }),
            ),
        };
        Self {
            msg,
            body: Some(body),
        }
    }
}

impl raw::Sec2Payload {
    fn typed(self) -> Result<Sec2, WireError> {
        use raw::Sec2Body as Body;
        match (self.msg, self.body) {
            (
                0,
                Some(Body::Command0(raw::Sec2Command0 {
                    client_username,
                    client_pubkey,
                })),
            ) => Ok(Sec2::Command0 {
                client_username,
                client_pubkey,
            }),
            (
                1,
                Some(Body::Response0(raw::Sec2Response0 {
                    status,
                    device_pubkey,
                    device_salt,
                })),
            ) => {
                Refusal::check(status)?;
                Ok(Sec2::Response0 {
                    device_pubkey,
                    device_salt,
                })
            }
            (2, Some(Body::Command1(raw::Sec2Command1 { client_proof }))) => {
                Ok(Sec2::Command1 { client_proof })
            }
            (
                3,
                Some(Body::Response1(raw::Sec2Response1 {
                    status,
                    device_proof,
                    device_nonce,
                })),
            ) => {
                Refusal::check(status)?;
                Ok(Sec2::Response1 {
                    device_proof,
                    device_nonce,
                })
            }
            (number, _) => Err(WireError::Unexpected {
                message: NAME,
                number,
            }),
        }
    }
}

impl From<Sec2> for raw::Sec2Payload {
    fn from(message: Sec2) -> Self {
        use raw::Sec2Body as Body;
        let (msg, body) = match message {
            Sec2::Command0 {
                client_username,
                client_pubkey,
            } => (
                0,
                Body::Command0(raw::Sec2Command0 {
                    client_username,
                    client_pubkey,
                }),
            ),
            Sec2::Response0 {
                device_pubkey,
                device_salt,
            } => (
                1,
                Body::Response0(raw::Sec2Response0 {
                    status: 0,
                    device_pubkey,
                    device_salt,
                }),
            ),
            Sec2::Command1 { client_proof } => (2, Body::Command1(raw::Sec2Command1 { client_proof })),
            Sec2::Response1 {
                device_proof,
                device_nonce,
            } => (
                3,
                Body::Response1(raw::Sec2Response1 {
                    status: 0,
                    device_proof,
                    device_nonce,
                }),
            ),
        };
        Self {
            msg,
            body: Some(body),
        }
    }
}

/// The messages as protobuf sees them.
mod raw {
    use super::super::{Nothing, StatusOnly};
    use alloc::vec::Vec;
    use prost::{Message, Oneof};

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct SessionData {
        #[prost(int32, tag = "2")]
        pub(super) sec_ver: i32,
        #[prost(oneof = "Scheme", tags = "10, 11, 12")]
        pub(super) scheme: Option<Scheme>,
    }

    #[derive(Clone, PartialEq, Oneof)]
    pub(super) enum Scheme {
        #[prost(message, tag = "10")]
        Sec0(Sec0Payload),
        #[prost(message, tag = "11")]
        Sec1(Sec1Payload),
        #[prost(message, tag = "12")]
        Sec2(Sec2Payload),
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Sec0Payload {
        #[prost(int32, tag = "1")]
        pub(super) msg: i32,
        #[prost(oneof = "Sec0Body", tags = "20, 21")]
        pub(super) body: Option<Sec0Body>,
    }

    #[derive(Clone, PartialEq, Oneof)]
    pub(super) enum Sec0Body {
        #[prost(message, tag = "20")]
        Command(Nothing),
        #[prost(message, tag = "21")]
        Response(StatusOnly),
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Sec1Payload {
        #[prost(int32, tag = "1")]
        pub(super) msg: i32,
        #[prost(oneof = "Sec1Body", tags = "20, 21, 22, 23")]
        pub(super) body: Option<Sec1Body>,
    }

    #[derive(Clone, PartialEq, Oneof)]
    pub(super) enum Sec1Body {
        #[prost(message, tag = "20")]
        Command0(Sec1Command0),
        #[prost(message, tag = "21")]
        Response0(Sec1Response0),
        #[prost(message, tag = "22")]
        Command1(Sec1Command1),
        #[prost(message, tag = "23")]
        Response1(Sec1Response1),
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Sec1Command0 {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) client_pubkey: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Sec1Response0 {
        #[prost(int32, tag = "1")]
        pub(super) status: i32,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) device_pubkey: Vec<u8>,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) device_random: Vec<u8>,
    }

    /// Its only field is numbered 2.
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Sec1Command1 {
        #[prost(bytes = "vec", tag = "2")]
        pub(super) client_verify_data: Vec<u8>,
    }

    /// Field 2 does not exist.
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Sec1Response1 {
        #[prost(int32, tag = "1")]
        pub(super) status: i32,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) device_verify_data: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Sec2Payload {
        #[prost(int32, tag = "1")]
        pub(super) msg: i32,
        #[prost(oneof = "Sec2Body", tags = "20, 21, 22, 23")]
        pub(super) body: Option<Sec2Body>,
    }

    #[derive(Clone, PartialEq, Oneof)]
    pub(super) enum Sec2Body {
        #[prost(message, tag = "20")]
        Command0(Sec2Command0),
        #[prost(message, tag = "21")]
        Response0(Sec2Response0),
        #[prost(message, tag = "22")]
        Command1(Sec2Command1),
        #[prost(message, tag = "23")]
        Response1(Sec2Response1),
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Sec2Command0 {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) client_username: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) client_pubkey: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Sec2Response0 {
        #[prost(int32, tag = "1")]
        pub(super) status: i32,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) device_pubkey: Vec<u8>,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) device_salt: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Sec2Command1 {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) client_proof: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Sec2Response1 {
        #[prost(int32, tag = "1")]
        pub(super) status: i32,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) device_proof: Vec<u8>,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) device_nonce: Vec<u8>,
    }
}

#[cfg(test)]
mod tests;
