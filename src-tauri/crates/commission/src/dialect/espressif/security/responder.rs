//! The device's half of `prov-session`: one session at a time, whichever scheme it is protected by.
//!
//! Not in scope: what the device does on a failure towards the link (an ATT error, on some stacks a disconnect),
//! and how often it lets a client fail.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{HandshakeError, Session, sec0, sec1, sec2};
use crate::dialect::espressif::wire::session::{Message, Sec0, Sec1, Sec2};
use crate::dialect::espressif::wire::version::{Patch, Scheme};
use crate::secret::{Entropy, Pop};

/// How a device protects itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protection {
    /// Scheme 0: not at all.
    Sec0,
    /// Scheme 1.
    Sec1 {
        /// The proof of possession; none, or an empty one, for none.
        pop: Option<Pop>,
    },
    /// Scheme 2.
    Sec2 {
        /// What it stores instead of its password.
        verifier: sec2::Verifier,
        /// The nonce rule that its firmware follows.
        patch: Patch,
    },
}

impl Protection {
    /// The scheme, as `proto-ver` names it.
    pub fn scheme(&self) -> Scheme {
        match self {
            Self::Sec0 => Scheme::Sec0,
            Self::Sec1 { .. } => Scheme::Sec1,
            Self::Sec2 { .. } => Scheme::Sec2,
        }
    }
}

/// A device's `prov-session` endpoint and the session that comes of it.
pub struct Responder {
    protection: Protection,
    state: State,
}

enum State {
    Idle,
    Sec1(Box<sec1::ExpectCommand1>),
    Sec2(Box<sec2::ExpectCommand1>),
    Open(Session),
}

impl Responder {
    /// A device that nobody has spoken to.
    pub fn new(protection: Protection) -> Self {
        let mut responder = Self {
            protection,
            state: State::Idle,
        };
        responder.reset();
        responder
    }

    /// Answers a write to `prov-session`. A first command restarts the handshake whatever the state; a second
    /// command without a first one is refused, and so is the right proof after a wrong one.
    ///
    /// # Errors
    /// For all that the firmware answers with an ATT error: no status is ever sent for it.
    pub fn handle(&mut self, request: &[u8], entropy: &mut dyn Entropy) -> Result<Vec<u8>, HandshakeError> {
        match (&self.protection, Message::decode(request)?) {
            (Protection::Sec0, Message::Sec0(Sec0::Command)) => {
                self.state = State::Open(sec0::session());
                Ok(sec0::command())
            }
            (Protection::Sec1 { pop }, Message::Sec1(Sec1::Command0 { client_pubkey })) => {
                self.state = State::Idle;
                let (next, response) = sec1::command0(&client_pubkey, pop.as_ref(), entropy)?;
                self.state = State::Sec1(Box::new(next));
                Ok(response)
            }
            (
                Protection::Sec2 { verifier, patch },
                Message::Sec2(Sec2::Command0 {
                    client_username,
                    client_pubkey,
                }),
            ) => {
                self.state = State::Idle;
                let (next, response) =
                    sec2::command0(&client_username, &client_pubkey, verifier, *patch, entropy)?;
                self.state = State::Sec2(Box::new(next));
                Ok(response)
            }
            (Protection::Sec1 { .. }, Message::Sec1(Sec1::Command1 { client_verify_data })) => {
                let next = self.take_sec1()?;
                let (session, response) = next.command1(&client_verify_data)?;
                self.state = State::Open(session);
                Ok(response)
            }
            (Protection::Sec2 { .. }, Message::Sec2(Sec2::Command1 { client_proof })) => {
                let next = self.take_sec2()?;
                let (session, response) = next.command1(&client_proof, entropy)?;
                self.state = State::Open(session);
                Ok(response)
            }
            (Protection::Sec0, Message::Sec0(_))
            | (Protection::Sec1 { .. }, Message::Sec1(_))
            | (Protection::Sec2 { .. }, Message::Sec2(_)) => Err(HandshakeError::OutOfTurn),
            (_, other) => Err(HandshakeError::OtherScheme { got: other.scheme() }),
        }
    }

    /// The open session, if there is one. Under scheme 0 there always is.
    pub fn session(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Open(session) => Some(session),
            State::Idle | State::Sec1(_) | State::Sec2(_) => None,
        }
    }

    /// Forgets the session, as a disconnect does.
    pub fn reset(&mut self) {
        self.state = match self.protection {
            Protection::Sec0 => State::Open(sec0::session()),
            Protection::Sec1 { .. } | Protection::Sec2 { .. } => State::Idle,
        };
    }

    fn take_sec1(&mut self) -> Result<Box<sec1::ExpectCommand1>, HandshakeError> {
        match core::mem::replace(&mut self.state, State::Idle) {
            State::Sec1(next) => Ok(next),
            other => self.out_of_turn(other),
        }
    }

    fn take_sec2(&mut self) -> Result<Box<sec2::ExpectCommand1>, HandshakeError> {
        match core::mem::replace(&mut self.state, State::Idle) {
            State::Sec2(next) => Ok(next),
            other => self.out_of_turn(other),
        }
    }

    /// A proof that nobody waits for changes nothing.
    fn out_of_turn<T>(&mut self, state: State) -> Result<T, HandshakeError> {
        self.state = state;
        Err(HandshakeError::OutOfTurn)
    }
}
