//! The security schemes of protocomm: the handshakes on `prov-session`, and the encryption of what follows.
//! Bytes in, bytes out; both halves.
//!
//! The client's half is [`Handshake`], the device's is [`Responder`]; both end in a [`Session`]. Each scheme's own
//! file holds its states: a state has only what is valid in it, and is consumed when it is left.
//!
//! Not in scope: the order of writes and reads, what a failed write means (a device answers a wrong proof with
//! an ATT error, never with a status), and which scheme may be used at all.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::wire::WireError;
use super::wire::version::{Patch, Scheme};
use crate::secret::{Entropy, Pop, SecretBytes};

mod gcm;
mod responder;
pub mod sec0;
pub mod sec1;
pub mod sec2;
pub mod srp;

pub use responder::{Protection, Responder};

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The bytes are not the message that they should be, or a field is of a wrong size.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The message belongs to another scheme.
    #[error("the message belongs to security scheme {got}")]
    OtherScheme {
        /// The message's scheme.
        got: u8,
    },
    /// The message is not the one that is due.
    #[error("the handshake message came out of turn")]
    OutOfTurn,
    /// The other side's public value would give a key that anybody knows.
    #[error("the other side's public value is one that breaks the key exchange")]
    WeakPublicValue,
    /// The other side does not hold the secret that it should: towards a device, the device is not what it
    /// claims to be; towards a client, its proof of possession or user name is wrong.
    #[error("the other side does not know the proof of possession")]
    WrongProof,
    /// The cipher could not go on.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Why a message could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Nothing to send: firmware answers an empty write without running anything, with the previous response.
    #[error("an empty message must never be sent")]
    Empty,
    /// Shorter than its own authentication tag.
    #[error("the encrypted message is {got} bytes long, shorter than its tag of 16")]
    TooShort {
        /// The bytes that came.
        got: usize,
    },
    /// The tag is wrong: the message was changed, or the two sides are out of step. Start the session again.
    #[error("the encrypted message does not authenticate; the session must be opened again")]
    Forged,
    /// The message counter, or the key stream, is used up. Start the session again.
    #[error("the session has carried all the messages it can; it must be opened again")]
    Exhausted,
}

/// What the client opens a session with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Scheme 0 needs none.
    Sec0,
    /// Scheme 1.
    Sec1 {
        /// The proof of possession; none, or an empty one, where the device wants none.
        pop: Option<Pop>,
    },
    /// Scheme 2.
    Sec2(sec2::Credentials),
}

/// The client's half of a handshake, whichever scheme: send what [`Handshake::start`] gives, then put each
/// response into [`Handshake::response`].
#[derive(Debug)]
pub struct Handshake(Awaiting);

enum Awaiting {
    Sec0(sec0::ExpectResponse),
    Sec1Response0(Box<sec1::ExpectResponse0>),
    Sec1Response1(Box<sec1::ExpectResponse1>),
    Sec2Response0(Box<sec2::ExpectResponse0>),
    Sec2Response1(Box<sec2::ExpectResponse1>),
}

/// What follows from a response.
#[derive(Debug)]
pub enum Step {
    /// Send these bytes to `prov-session` and wait for the next response.
    Send(Handshake, Vec<u8>),
    /// Both sides know each other's secret.
    Done(Session),
}

impl Handshake {
    /// Begins: the state, and the first bytes for `prov-session`.
    pub fn start(credentials: Credentials, entropy: &mut dyn Entropy) -> (Self, Vec<u8>) {
        let (awaiting, command) = match credentials {
            Credentials::Sec0 => {
                let (next, command) = sec0::start();
                (Awaiting::Sec0(next), command)
            }
            Credentials::Sec1 { pop } => {
                let (next, command) = sec1::start(pop, entropy);
                (Awaiting::Sec1Response0(Box::new(next)), command)
            }
            Credentials::Sec2(credentials) => {
                let (next, command) = sec2::start(credentials, entropy);
                (Awaiting::Sec2Response0(Box::new(next)), command)
            }
        };
        (Self(awaiting), command)
    }

    /// Takes the device's response.
    ///
    /// # Errors
    /// When the response is not what it should be, or the device does not know the secret. The handshake is over
    /// then; another one may be started on the same link.
    pub fn response(self, bytes: &[u8]) -> Result<Step, HandshakeError> {
        let (awaiting, command) = match self.0 {
            Awaiting::Sec0(state) => return state.response(bytes).map(Step::Done),
            Awaiting::Sec1Response1(state) => return state.response1(bytes).map(Step::Done),
            Awaiting::Sec2Response1(state) => return state.response1(bytes).map(Step::Done),
            Awaiting::Sec1Response0(state) => {
                let (next, command) = state.response0(bytes)?;
                (Awaiting::Sec1Response1(Box::new(next)), command)
            }
            Awaiting::Sec2Response0(state) => {
                let (next, command) = state.response0(bytes)?;
                (Awaiting::Sec2Response1(Box::new(next)), command)
            }
        };
        Ok(Step::Send(Self(awaiting), command))
    }

    /// Whether the client's proof is on its way, so that an ATT error now means a wrong proof of possession.
    pub fn is_proving(&self) -> bool {
        matches!(self.0, Awaiting::Sec1Response1(_) | Awaiting::Sec2Response1(_))
    }

    /// Whether the device's salt, or the hash of user name and password, starts with a zero byte, so that a
    /// refused proof is worth one more try with [`srp::XRule::EspProv`].
    pub fn esp_prov_differs(&self) -> bool {
        matches!(&self.0, Awaiting::Sec2Response1(state) if state.esp_prov_differs())
    }
}

/// An open session: what carries requests and responses. Each message must be opened in the order in which the
/// other side sealed it, and exactly once.
#[derive(Debug)]
pub struct Session(Channel);

enum Channel {
    Plain,
    Stream(Box<sec1::Stream>),
    Gcm(Box<gcm::Gcm>),
}

impl Session {
    /// Encrypts one message, from either side. What it gives must be sent once: sealing moves the cipher on.
    ///
    /// # Errors
    /// [`SessionError::Empty`] for nothing, [`SessionError::Exhausted`] when the session has run out.
    pub fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, SessionError> {
        if plain.is_empty() {
            return Err(SessionError::Empty);
        }
        match &mut self.0 {
            Channel::Plain => Ok(plain.to_vec()),
            Channel::Stream(stream) => stream.apply(plain.to_vec()),
            Channel::Gcm(gcm) => gcm.seal(plain),
        }
    }

    /// Decrypts one message, from either side. Scheme 1 has no means to notice a changed message.
    ///
    /// # Errors
    /// [`SessionError::Forged`] or [`SessionError::TooShort`] when it does not authenticate,
    /// [`SessionError::Exhausted`] when the session has run out.
    pub fn open(&mut self, sealed: &[u8]) -> Result<SecretBytes, SessionError> {
        match &mut self.0 {
            Channel::Plain => Ok(SecretBytes::new(sealed.to_vec())),
            Channel::Stream(stream) => stream.apply(sealed.to_vec()).map(SecretBytes::new),
            Channel::Gcm(gcm) => gcm.open(sealed),
        }
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        match self.0 {
            Channel::Plain => Scheme::Sec0,
            Channel::Stream(_) => Scheme::Sec1,
            Channel::Gcm(_) => Scheme::Sec2,
        }
    }

    /// Scheme 2's nonce rule as it stands, healed or not.
    pub fn patch(&self) -> Option<Patch> {
        match &self.0 {
            Channel::Gcm(gcm) => Some(gcm.patch()),
            Channel::Plain | Channel::Stream(_) => None,
        }
    }

    /// Whether the first response showed that the device follows the other nonce rule than it was said to, and
    /// the session went over to it.
    pub fn healed(&self) -> bool {
        matches!(&self.0, Channel::Gcm(gcm) if gcm.healed())
    }

    /// How many bytes a sealed message is longer than its plain form.
    pub fn overhead(&self) -> usize {
        match self.0 {
            Channel::Plain | Channel::Stream(_) => 0,
            Channel::Gcm(_) => gcm::TAG_LEN,
        }
    }
}

impl fmt::Debug for Awaiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sec0(_) => "Sec0",
            Self::Sec1Response0(_) => "Sec1Response0",
            Self::Sec1Response1(_) => "Sec1Response1",
            Self::Sec2Response0(_) => "Sec2Response0",
            Self::Sec2Response1(_) => "Sec2Response1",
        })
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("Sec0"),
            Self::Stream(_) => f.write_str("Sec1"),
            Self::Gcm(gcm) => write!(f, "Sec2({:?})", gcm.patch()),
        }
    }
}

#[cfg(test)]
mod tests;
