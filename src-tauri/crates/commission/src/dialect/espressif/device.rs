//! The device's half: what firmware with esp-idf's provisioning, and our endpoints on top, does with each write.
//!
//! Sans-IO: bytes come in by [`Device::write`], answers wait for [`Device::read`], and what the rest of the firmware
//! has to do comes out of [`Device::poll_effect`]. What the rest found out goes in by [`Device::scan_finished`],
//! [`Device::join`] and [`Device::enrol`]. It answers as real firmware does, its oddities included.
//!
//! Not in scope: Wi-Fi, the cloud, the service's end after "connected" (an effect says when), MTU and long writes.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use zeroize::Zeroizing;

use self::wifi::Wifi;
use super::cloud_cred::{self, BUFFER, CHUNK, CHUNK_LARGE, Change, ClaimBundle, Receiver};
use super::identity::Statement;
use super::offer::Offer;
use super::security::{HandshakeError, Protection, Responder};
use super::transcript::Transcript;
use super::wire::WireError;
use super::wire::scan::AccessPoint;
use super::{blink, cloud_status, endpoints, identity};
use crate::dialect::Enrol;
use crate::gatt::CharacteristicId;
use crate::secret::Entropy;
use crate::time::{Moment, UnixTime};

mod config;
mod wifi;

pub use super::wire::config::{Connected, FailReason, JoinState, WifiConfig};
pub use config::{DeviceConfig, Endpoint, Stack};

/// Handshakes begun in search of a short public value: all are full with a chance of 10^-7.
const SHORT_B_TRIES: u32 = 4096;

/// What the rest of the firmware has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Scan, and say so by [`Device::scan_finished`].
    ScanRequested,
    /// Settings were written, and not yet applied.
    SettingsWritten(WifiConfig),
    /// Join with these, beginning one second later, and say how it goes by [`Device::join`].
    Applied(WifiConfig),
    /// Forget the settings and be ready for others; leave the network where one is joined.
    Reset,
    /// "Connected" was answered for the first time: stock firmware takes the service down one second later.
    ConnectedAnswered,
    /// A claim was checked and is to be kept; the clock may be set.
    ClaimStored {
        /// The claim.
        bundle: Box<ClaimBundle>,
        /// Calendar time by the cloud's clock.
        now: UnixTime,
    },
    /// The claim, if there was one, is to be wiped.
    ClaimWiped,
    /// Show which device this is.
    Blink,
    /// Too many wrong PoPs: from now on every request is refused, until the device is switched off and on.
    LockedOut,
}

/// What a request ends with in place of success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceError {
    /// ATT error code (Bluetooth Core 5.4, Vol 3, Part F, 3.4.1.1).
    pub att: u8,
    /// Whether the device also closes the link.
    pub close: bool,
}

/// What only the firmware around can do within a request.
pub trait Firmware {
    /// Signs with the device's key, by the scheme of its [`Statement`]; `None` where that fails.
    fn sign(&mut self, message: &[u8]) -> Option<Vec<u8>>;

    /// Looks at a complete claim before it is kept: do key and certificate belong together, can it be stored?
    ///
    /// # Errors
    /// The reason to give to the client.
    fn check_claim(&mut self, bundle: &ClaimBundle) -> Result<(), cloud_cred::Refusal>;
}

/// The provisioning part of one device's firmware, from power-on to power-off.
pub struct Device {
    config: DeviceConfig,
    responder: Responder,
    transcript: Transcript,
    /// Since it was switched on; a right one in between does not reset it.
    wrong_pops: u8,
    stopped: bool,
    wifi: Wifi,
    receiver: Receiver,
    enrol: Enrol,
    /// The answer to the last challenge, for its further pages.
    proof: Option<Vec<u8>>,
    responses: BTreeMap<&'static str, Zeroizing<Vec<u8>>>,
    effects: VecDeque<Effect>,
}

/// Why a handler gives no response; every one of them is the same to the client.
struct Failed;

impl From<WireError> for Failed {
    fn from(_: WireError) -> Self {
        Self
    }
}

impl Device {
    /// Switched on.
    pub fn new(config: DeviceConfig) -> Self {
        let offer = config.offer.clone().unwrap_or_default();
        Self {
            responder: Responder::new(config.protection.clone()),
            transcript: Transcript::default(),
            wrong_pops: 0,
            stopped: false,
            wifi: Wifi::default(),
            receiver: Receiver::new(config.buffer, config.chunk, offer.claims),
            enrol: Enrol::Waiting,
            proof: None,
            responses: BTreeMap::new(),
            effects: VecDeque::new(),
            config,
        }
    }

    /// How it is set up.
    pub fn config(&self) -> &DeviceConfig {
        &self.config
    }

    /// Its characteristics, in attribute order.
    pub fn gatt(&self) -> Vec<Endpoint> {
        self.config.endpoints()
    }

    /// Runs a write. The response waits in [`Device::read`].
    ///
    /// # Errors
    /// What goes back in place of a Write Response.
    pub fn write(
        &mut self,
        characteristic: CharacteristicId,
        value: &[u8],
        now: Moment,
        entropy: &mut dyn Entropy,
        firmware: &mut dyn Firmware,
    ) -> Result<(), DeviceError> {
        let name = self.endpoint(characteristic)?;
        if self.stopped {
            return Err(self.config.stack.stopped());
        }
        if value.len() > self.config.value_limit {
            return Err(DeviceError {
                att: 0x0d,
                close: false,
            });
        }
        // NimBLE runs nothing for an empty write, and the last response stays.
        if value.is_empty() {
            return Ok(());
        }
        match self.answer(name, value, now, entropy, firmware) {
            Ok(response) => {
                self.responses.insert(name, Zeroizing::new(response));
                Ok(())
            }
            Err(Failed) => Err(self.config.stack.failure()),
        }
    }

    /// The response to the last write, again and again until the next one.
    ///
    /// # Errors
    /// What goes back in place of a Read Response.
    pub fn read(&self, characteristic: CharacteristicId) -> Result<Vec<u8>, DeviceError> {
        let name = self.endpoint(characteristic)?;
        let response = self.responses.get(name).map(|bytes| bytes.to_vec());
        let response = response.unwrap_or_default();
        if response.len() > self.config.value_limit {
            return Err(DeviceError {
                att: 0x0d,
                close: false,
            });
        }
        Ok(response)
    }

    /// The next thing for the rest of the firmware, once.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The link is gone: session and responses are forgotten. A half-sent claim stays for a while.
    pub fn disconnected(&mut self) {
        self.responder.reset();
        self.transcript = Transcript::default();
        self.responses.clear();
        self.proof = None;
    }

    /// A scan that was asked for is over.
    pub fn scan_finished(&mut self, rows: Vec<AccessPoint>) {
        self.wifi.scan_finished(rows, self.config.scan_rows);
    }

    /// How joining goes.
    pub fn join(&mut self, state: JoinState) {
        self.wifi.join(state, self.config.self_reset);
    }

    /// How enrolment goes.
    pub fn enrol(&mut self, enrol: Enrol) {
        self.enrol = enrol;
    }

    /// Whether too many wrong PoPs stopped it.
    pub fn is_locked_out(&self) -> bool {
        self.stopped
    }

    fn endpoint(&self, characteristic: CharacteristicId) -> Result<&'static str, DeviceError> {
        let endpoints = self.config.endpoints();
        let endpoint = endpoints.iter().find(|endpoint| endpoint.id == characteristic);
        endpoint
            .map(|endpoint| endpoint.name)
            .ok_or(self.config.stack.unmapped())
    }

    fn answer(
        &mut self,
        name: &'static str,
        value: &[u8],
        now: Moment,
        entropy: &mut dyn Entropy,
        firmware: &mut dyn Firmware,
    ) -> Result<Vec<u8>, Failed> {
        match name {
            endpoints::PROTO_VER => return Ok(self.config.proto_ver_answer()),
            endpoints::PROV_SESSION => return self.handshake(value, entropy),
            _ => {}
        }
        let session = self.responder.session().ok_or(Failed)?;
        let request = session.open(value).map_err(|_| Failed)?;
        let request = request.reveal();
        let response = match name {
            endpoints::PROV_CONFIG => self.wifi.configure(request, &mut self.effects)?,
            endpoints::PROV_SCAN => self
                .wifi
                .scan(request, self.config.scan_rows, &mut self.effects)?,
            endpoints::PROV_CTRL => self.wifi.control(request, &self.config, &mut self.effects)?,
            endpoints::IDENTITY => self.identify(request, firmware)?,
            endpoints::CLOUD_CRED => self.credit(request, now, firmware),
            endpoints::CLOUD_STATUS => {
                cloud_status::decode_request(request)?;
                cloud_status::response(&self.enrol)
            }
            endpoints::BLINK => {
                blink::decode_request(request)?;
                self.effects.push_back(Effect::Blink);
                blink::response()
            }
            _ => return Err(Failed),
        };
        let session = self.responder.session().ok_or(Failed)?;
        session.seal(&response).map_err(|_| Failed)
    }

    fn handshake(&mut self, value: &[u8], entropy: &mut dyn Entropy) -> Result<Vec<u8>, Failed> {
        let mut outcome = self.responder.handle(value, entropy);
        if self.config.short_b {
            // One public value in 256 is a byte shorter, so this many tries always find one.
            for _ in 0..SHORT_B_TRIES {
                if !outcome.as_ref().is_ok_and(|response| is_full_b(response)) {
                    break;
                }
                outcome = self.responder.handle(value, entropy);
            }
        }
        match outcome {
            Ok(response) => {
                self.transcript.exchange(value, &response);
                Ok(response)
            }
            Err(HandshakeError::WrongProof) => {
                self.wrong_pops = self.wrong_pops.saturating_add(1);
                if Some(self.wrong_pops) == self.config.lockout {
                    self.stopped = true;
                    self.effects.push_back(Effect::LockedOut);
                }
                Err(Failed)
            }
            Err(_) => Err(Failed),
        }
    }

    fn identify(&mut self, request: &[u8], firmware: &mut dyn Firmware) -> Result<Vec<u8>, Failed> {
        use identity::{Refusal, Request};
        let size = usize::try_from(self.config.chunk).unwrap_or(usize::MAX);
        let page = match Request::decode(request) {
            Ok(Request::Prove { challenge }) => {
                let binding = self.transcript.binding();
                self.proof = self.config.statement.as_ref().and_then(|own: &Statement| {
                    let signature = firmware.sign(&own.message(&challenge, &binding))?;
                    Some(own.answer(&signature))
                });
                let page = self
                    .proof
                    .as_ref()
                    .and_then(|answer| identity::page(answer, 0, size));
                page.ok_or(Refusal::CannotSign)
            }
            Ok(Request::More { offset }) => match &self.proof {
                Some(answer) => identity::page(answer, offset, size).ok_or(Refusal::Malformed),
                None => Err(Refusal::NothingPending),
            },
            Err(_) => Err(Refusal::Malformed),
        };
        Ok(identity::response(&page))
    }

    fn credit(&mut self, request: &[u8], now: Moment, firmware: &mut dyn Firmware) -> Vec<u8> {
        use cloud_cred::{Refusal, Request};
        let protected = match &self.config.protection {
            Protection::Sec0 => false,
            Protection::Sec1 { pop } => pop.as_ref().is_some_and(|pop| !pop.is_empty()),
            Protection::Sec2 { .. } => true,
        };
        let outcome = match Request::decode(request) {
            _ if !protected && !self.config.claims_unprotected => Err(Refusal::Unprotected),
            Ok(request) => {
                let check = &mut |bundle: &ClaimBundle| firmware.check_claim(bundle);
                let (outcome, change) = self.receiver.handle(&request, now, check);
                self.effects.extend(change.map(|change| match change {
                    Change::Stored { bundle, now } => Effect::ClaimStored { bundle, now },
                    Change::Wiped => Effect::ClaimWiped,
                }));
                outcome
            }
            Err(_) => Err(Refusal::Malformed),
        };
        cloud_cred::response(&outcome)
    }
}

/// Whether a response is Response0 of Security 2 with a `B` of full length.
fn is_full_b(response: &[u8]) -> bool {
    use super::wire::session::{Message, Sec2};
    matches!(
        Message::decode(response),
        Ok(Message::Sec2(Sec2::Response0 { device_pubkey, .. })) if device_pubkey.len() == 384
    )
}

#[cfg(test)]
mod tests;
