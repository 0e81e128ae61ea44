//! A device as it is, whatever anybody believes of it.

use commission::claim::{Claim, ClaimForm};
use commission::device::{DeviceKey, Fingerprint, Firmware, IdentityProof, Serial, SignatureScheme};
use commission::dialect::{Capabilities, Command, Enrol, Join, Report, Strength};
use commission::fault::Fault;
use commission::network::{Auth, Network, SeenNetwork, Ssid};

use crate::scene::{DeviceSpec, Turn};

/// The name of the network that is there.
pub(super) const SSID: &str = "plant";
/// Its passphrase.
pub(super) const PASSPHRASE: &str = "plant-pass";
/// Wrong proofs of possession after which a device locks.
pub(super) const LOCKS_AFTER: u8 = 5;

/// Where the device's Wi-Fi stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wifi {
    /// It has no settings that were applied.
    Ready,
    /// It tries.
    Connecting,
    /// It is in the network.
    Joined,
    /// It did not get in.
    Failed(Join),
}

/// Who is linked to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Linked {
    /// The program.
    pub(super) program: usize,
    /// The number of the link, over all of the world.
    pub(super) number: u64,
}

/// A device as it is.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) spec: DeviceSpec,
    pub(super) number: usize,
    pub(super) advertises: bool,
    pub(super) linked: Option<Linked>,
    /// How often it was linked.
    pub(super) links: u32,
    /// The session is open, and both sides proved the proof of possession where it wants one.
    pub(super) session: bool,
    pub(super) wrong_pops: u8,
    pub(super) wifi: Wifi,
    pub(super) settings: Option<Network>,
    pub(super) claim: Option<Claim>,
    /// Its own credential: of which cloud, and which.
    pub(super) credential: Option<(usize, String)>,
    pub(super) enrol: Enrol,
    /// Rises whenever what it was about to do by itself is off.
    pub(super) epoch: u64,
    /// It stopped for good.
    pub(super) stopped: bool,
    /// The link ends in a second, since it said that it joined.
    pub(super) leaving: bool,
}

/// What a device number looks like to people.
pub(super) fn called(number: usize) -> String {
    let letters = ["red", "blue", "green"];
    format!("the {} device", letters.get(number).unwrap_or(&"other"))
}

/// A serial by its number.
pub(super) fn serial(number: u8) -> Serial {
    Serial::new(format!("FK-{number:04}")).unwrap_or_else(|_| unreachable_serial())
}

fn unreachable_serial() -> Serial {
    // The text above is always a serial; this keeps the compiler and the reader at ease.
    serial(0)
}

/// How a scheme protects.
pub(super) const fn strength(scheme: u8) -> Strength {
    match scheme {
        0 => Strength::Nothing,
        1 => Strength::GuessablePop,
        _ => Strength::Full,
    }
}

/// A scheme in the words of the dialect.
fn words(scheme: u8) -> String {
    match scheme {
        0 | 1 => format!("security {scheme}"),
        _ => format!("security {scheme} patch 1"),
    }
}

/// A proof of possession by its number.
pub(super) fn pop(number: u8) -> String {
    format!("pop-{number}")
}

/// A network by name and passphrase.
pub(super) fn network(ssid: &str, passphrase: &str) -> Option<Network> {
    let passphrase = commission::secret::Passphrase::new(passphrase);
    Network::new(Ssid::new(ssid).ok()?, Some(passphrase), false).ok()
}

impl Device {
    pub(super) fn new(number: usize, spec: DeviceSpec) -> Self {
        Self {
            spec,
            number,
            advertises: true,
            linked: None,
            links: 0,
            session: false,
            wrong_pops: 0,
            wifi: Wifi::Ready,
            settings: None,
            claim: None,
            credential: None,
            enrol: Enrol::Waiting,
            epoch: 0,
            stopped: false,
            leaving: false,
        }
    }

    fn has_turned(&self) -> bool {
        self.links > 1
    }

    /// The serial that it states.
    pub(super) fn serial(&self) -> Serial {
        match self.spec.turns {
            Some(Turn::Serial(other)) if self.has_turned() => serial(other),
            _ => serial(self.spec.serial),
        }
    }

    /// The key that it signs with.
    pub(super) fn key(&self) -> Fingerprint {
        match self.spec.turns {
            Some(Turn::Key(other)) if self.has_turned() => Fingerprint([other; 32]),
            _ => Fingerprint([self.spec.key; 32]),
        }
    }

    /// The scheme that it offers.
    pub(super) fn scheme(&self) -> u8 {
        match self.spec.turns {
            Some(Turn::Weak(less)) => less,
            Some(Turn::Scheme(less)) if self.has_turned() => less,
            _ => self.spec.scheme,
        }
    }

    /// Whether it signs.
    pub(super) fn signs(&self) -> bool {
        self.spec.identity && !(self.spec.turns == Some(Turn::Mute) && self.has_turned())
    }

    /// The firmware that it states.
    pub(super) fn firmware(&self) -> Firmware {
        let old = self.spec.turns == Some(Turn::Firmware) && self.has_turned();
        Firmware(if old { "1.0.0" } else { "1.4.0" }.into())
    }

    fn capabilities(&self) -> Capabilities {
        let scheme = self.scheme();
        Capabilities {
            strength: strength(scheme),
            encrypted: scheme > 0,
            pop: scheme > 0,
            nonce_reuse: false,
            network_scan: true,
            retry_in_place: self.spec.retry_in_place,
            keep_link: self.spec.keep_link,
            claims: if self.spec.claims {
                vec![ClaimForm::Certificate]
            } else {
                Vec::new()
            },
            identity: self.signs(),
            enrol_status: self.spec.enrol_status,
            blink: false,
            summary: words(scheme),
        }
    }

    /// Whether the settings that it holds lead into the network.
    pub(super) fn fits(&self) -> bool {
        self.settings.as_ref().is_some_and(|network| {
            network.ssid.as_bytes() == SSID.as_bytes()
                && network
                    .passphrase
                    .as_ref()
                    .is_some_and(|text| text.reveal() == PASSPHRASE)
        })
    }

    /// Whether the name of the network that it was given is there.
    pub(super) fn sees(&self) -> bool {
        let ssid = self.settings.as_ref().map(|network| &network.ssid);
        ssid.is_some_and(|ssid| ssid.as_bytes() == SSID.as_bytes())
    }

    /// Carries a command out.
    pub(super) fn respond(&mut self, command: &Command) -> Report {
        let refused = |status| Report::Failed(Fault::SettingsRefused(status));
        match command {
            Command::Describe => Report::Described(self.capabilities()),
            Command::Open { .. } if self.wrong_pops >= LOCKS_AFTER => Report::Failed(Fault::LockedOut),
            Command::Open { pop: given, .. } => {
                let right = given
                    .as_ref()
                    .is_some_and(|given| given.reveal() == pop(self.spec.pop));
                if self.scheme() > 0 && !right {
                    self.wrong_pops += 1;
                    return Report::Failed(Fault::WrongPop);
                }
                self.session = true;
                Report::Opened {
                    scheme: words(self.scheme()),
                    capabilities: self.capabilities(),
                }
            }
            _ if !self.session => Report::Failed(Fault::Protocol("no session".into())),
            Command::Identify { challenge } => Report::Identified(IdentityProof {
                serial: self.serial(),
                model: "pump".into(),
                firmware: self.firmware(),
                key: if self.spec.certified {
                    DeviceKey::Chain(vec![self.key().0.to_vec()])
                } else {
                    DeviceKey::Spki(self.key().0.to_vec())
                },
                endorsement_key: None,
                scheme: SignatureScheme::Ed25519,
                message: challenge.to_vec(),
                signature: vec![1],
            }),
            Command::Blink => Report::Blinked,
            // No scan ends once settings are applied.
            Command::Scan if self.wifi != Wifi::Ready && !self.spec.keep_link => {
                Report::Failed(Fault::ScanTimeout)
            }
            Command::Scan => Report::Networks(
                [(SSID, -50), ("office", -85)]
                    .into_iter()
                    .filter_map(|(ssid, rssi)| {
                        Some(SeenNetwork {
                            ssid: Ssid::new(ssid).ok()?,
                            rssi,
                            channel: 6,
                            auth: Auth::Wpa2Psk,
                        })
                    })
                    .collect(),
            ),
            Command::SetNetwork(network) => {
                self.settings = Some(network.clone());
                Report::NetworkSet
            }
            Command::SendClaim { claim, .. } => {
                self.claim = Some(claim.clone());
                Report::ClaimCommitted
            }
            Command::AbortClaim => {
                self.claim = None;
                Report::ClaimAborted
            }
            Command::Apply if self.wifi == Wifi::Ready && self.settings.is_some() => {
                self.wifi = Wifi::Connecting;
                Report::Applied
            }
            Command::Apply => refused(5),
            Command::JoinStatus => Report::Join(match &self.wifi {
                Wifi::Failed(join) => join.clone(),
                Wifi::Joined => {
                    self.leaving |= self.spec.auto_stop;
                    Join::Joined {
                        address: "10.0.0.7".into(),
                        network: self.settings.as_ref().map(|network| network.ssid.clone()),
                    }
                }
                Wifi::Ready | Wifi::Connecting => Join::Joining { attempts_left: None },
            }),
            Command::EnrolStatus => Report::Enrol(self.enrol.clone()),
            Command::ResetNetwork => match self.wifi {
                Wifi::Connecting | Wifi::Joined if !self.spec.keep_link => refused(5),
                _ => {
                    self.wifi = Wifi::Ready;
                    self.settings = None;
                    self.epoch += 1;
                    Report::NetworkReset
                }
            },
        }
    }
}
