//! Opening the session: the handshake of whichever scheme, and what it means when the device refuses.
//!
//! A device says no by an ATT error, never by a status. At the second command that means a wrong proof of possession.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{ATT_INVALID_PDU, Espressif, Task};
use crate::dialect::Report;
use crate::dialect::espressif::endpoints;
use crate::dialect::espressif::security::srp::XRule;
use crate::dialect::espressif::security::{Credentials, Handshake, HandshakeError, Step, sec2};
use crate::dialect::espressif::transcript::Transcript;
use crate::dialect::espressif::wire::session::{Message, Sec2};
use crate::dialect::espressif::wire::version::{Patch, Scheme};
use crate::fault::Fault;
use crate::gatt::LinkError;
use crate::secret::{Entropy, Pop};

/// The user name that examples, RainMaker and labels without one mean.
const USERNAME: &str = "wifiprov";
/// Bluedroid's answer to a request whose handler failed; it closes the link too.
const ATT_BLUEDROID_FAILURE: u8 = 0x85;
/// NimBLE's answer once its service is stopped (Bluetooth Core 5.4, Vol 3, Part F, 3.4.1.1: unlikely error).
const ATT_UNLIKELY: u8 = 0x0e;

/// A handshake under way.
pub(super) struct Opening {
    handshake: Handshake,
    /// What was sent last, for the transcript.
    request: Vec<u8>,
    credentials: Credentials,
}

impl Espressif {
    pub(super) fn open(
        &mut self,
        pop: Option<Pop>,
        username: Option<String>,
        entropy: &mut dyn Entropy,
    ) -> Result<(), Fault> {
        let version = self
            .version
            .as_ref()
            .ok_or_else(|| Fault::Protocol("the device was not asked what it is".into()))?;
        let nonsense = |error| Fault::Protocol(format!("{error}"));
        let credentials = match version.scheme().map_err(nonsense)? {
            Scheme::Sec0 => Credentials::Sec0,
            // A PoP that is mixed in where the device wants none breaks the handshake.
            Scheme::Sec1 if version.no_pop() => Credentials::Sec1 { pop: None },
            Scheme::Sec1 => Credentials::Sec1 {
                pop: Some(pop.ok_or(Fault::PopNeeded)?),
            },
            Scheme::Sec2 => {
                let password = pop.ok_or(Fault::PopNeeded)?;
                // The same one again: perhaps it is right, and the device made its verifier with a lost salt byte.
                let rule = match &self.refused {
                    Some(refused) if *refused == password => XRule::ShortSalt,
                    _ => XRule::Rfc,
                };
                Credentials::Sec2(sec2::Credentials {
                    username: username.unwrap_or_else(|| USERNAME.into()),
                    password,
                    patch: version.patch().map_err(nonsense)?,
                    rule,
                })
            }
        };
        self.shake(credentials, entropy)
    }

    fn shake(&mut self, credentials: Credentials, entropy: &mut dyn Entropy) -> Result<(), Fault> {
        let of = self.endpoints.get(endpoints::PROV_SESSION)?;
        self.session = None;
        self.transcript = Transcript::default();
        let (handshake, request) = Handshake::start(credentials.clone(), entropy);
        self.write(of, request.clone());
        self.task = Some(Task::Open(Opening {
            handshake,
            request,
            credentials,
        }));
        Ok(())
    }

    pub(super) fn open_on(&mut self, opening: Opening, bytes: &[u8]) -> Result<(), Fault> {
        let of = self.endpoints.get(endpoints::PROV_SESSION)?;
        self.transcript.exchange(&opening.request, bytes);
        match opening.handshake.response(bytes).map_err(handshake_fault)? {
            Step::Send(handshake, request) => {
                self.write(of, request.clone());
                self.task = Some(Task::Open(Opening {
                    handshake,
                    request,
                    credentials: opening.credentials,
                }));
            }
            Step::Done(session) => {
                // The device's own nonce shows its rule before anything is sent by it; the session heals by itself.
                let patch = nonce_rule(bytes).or(session.patch()).unwrap_or(Patch::Constant);
                let scheme = self.secured_by(session.scheme(), patch);
                self.session = Some(session);
                self.refused = None;
                self.reports.push_back(Report::Opened {
                    scheme,
                    capabilities: self.capabilities.clone(),
                });
            }
        }
        Ok(())
    }

    pub(super) fn open_refused(
        &mut self,
        opening: Opening,
        error: LinkError,
        entropy: &mut dyn Entropy,
    ) -> Result<(), Fault> {
        let LinkError::Att(code) = error else {
            return Err(Fault::Link(error));
        };
        if !opening.handshake.is_proving() {
            // A service that stopped after refused proofs no longer takes even a first command.
            let locked = self.refusals > 0 && code == ATT_UNLIKELY;
            return Err(if locked {
                Fault::LockedOut
            } else {
                Fault::Link(error)
            });
        }
        if !matches!(code, ATT_INVALID_PDU | ATT_BLUEDROID_FAILURE) {
            return Err(Fault::Link(error));
        }
        self.refusals = self.refusals.saturating_add(1);
        let lockout = self.offer.as_ref().and_then(|offer| offer.lockout);
        if lockout.is_some_and(|lockout| self.refusals >= lockout) {
            return Err(Fault::LockedOut);
        }
        self.try_other_rule(opening, code, entropy)
    }

    /// Where the verifier may have been made by the tool that drops leading zeros, tries its way at once; else
    /// remembers the PoP, so that the same one again is tried in the other known way.
    fn try_other_rule(&mut self, opening: Opening, code: u8, entropy: &mut dyn Entropy) -> Result<(), Fault> {
        let differs = opening.handshake.esp_prov_differs();
        let mut pop = None;
        match opening.credentials {
            Credentials::Sec2(credentials) if credentials.rule == XRule::Rfc => {
                if differs && code == ATT_INVALID_PDU {
                    let rule = XRule::EspProv;
                    return self.shake(
                        Credentials::Sec2(sec2::Credentials { rule, ..credentials }),
                        entropy,
                    );
                }
                pop = Some(credentials.password);
            }
            Credentials::Sec2(credentials) if credentials.rule == XRule::EspProv => {
                pop = Some(credentials.password);
            }
            _ => {}
        }
        self.refused = pop;
        Err(Fault::WrongPop)
    }
}

fn handshake_fault(error: HandshakeError) -> Fault {
    match error {
        HandshakeError::WrongProof | HandshakeError::WeakPublicValue => Fault::FalseDevice,
        error => Fault::Protocol(format!("{error}")),
    }
}

/// The nonce rule that the last handshake message of Security 2 shows: a counter begins at one, and random bytes
/// look like that once in four thousand million.
fn nonce_rule(bytes: &[u8]) -> Option<Patch> {
    match Message::decode(bytes) {
        Ok(Message::Sec2(Sec2::Response1 { device_nonce, .. })) => {
            Some(if device_nonce.ends_with(&[0, 0, 0, 1]) {
                Patch::Counter
            } else {
                Patch::Constant
            })
        }
        _ => None,
    }
}
