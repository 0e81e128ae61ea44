//! A device as it is, whatever the flow believes of it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::sim::*;
use crate::claim::{Claim, ClaimForm};
use crate::device::{DeviceKey, Fingerprint, Firmware, IdentityProof, Serial, SignatureScheme};
use crate::dialect::{Capabilities, Command, Enrol, Join, Report, Strength};
use crate::fault::Fault;
use crate::gatt::{LinkError, PeripheralId};
use crate::network::{Auth, Network, SeenNetwork, Ssid};
use crate::proven::{Der, ProvenKeys};
use crate::time::Moment;

/// Commands without their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Describe,
    Open,
    Identify,
    Scan,
    SetNetwork,
    SendClaim,
    AbortClaim,
    Apply,
    JoinStatus,
    EnrolStatus,
    ResetNetwork,
}

pub(super) fn kind(command: &Command) -> Kind {
    match command {
        Command::Describe => Kind::Describe,
        Command::Open { .. } => Kind::Open,
        Command::Identify { .. } => Kind::Identify,
        Command::Blink | Command::Scan => Kind::Scan,
        Command::SetNetwork(_) => Kind::SetNetwork,
        Command::SendClaim { .. } => Kind::SendClaim,
        Command::AbortClaim => Kind::AbortClaim,
        Command::Apply => Kind::Apply,
        Command::JoinStatus => Kind::JoinStatus,
        Command::EnrolStatus => Kind::EnrolStatus,
        Command::ResetNetwork => Kind::ResetNetwork,
    }
}

/// Where the device's Wi-Fi stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wifi {
    Ready,
    Connecting(Moment),
    Failed(Join),
}

/// How the device behaves once it has joined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Enrolling {
    Works,
    Refused,
    Never,
    /// Registers, and is never seen.
    Unseen,
    /// Is seen, and in that moment somebody switches its new credential off.
    Revoked,
    /// Does nothing with the claims before this one.
    FromClaim(usize),
}

/// A device as it is, whatever the flow believes.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) serial: Serial,
    pub(super) key: Fingerprint,
    pub(super) firmware: Firmware,
    pub(super) capabilities: Capabilities,
    pub(super) pop: String,
    /// Who has to open its session; nobody by name where none.
    pub(super) user: Option<String>,
    /// Another device of the same name, which takes this one's place when the flow turns to it, and its PoP.
    pub(super) twin: Option<(PeripheralId, String)>,
    pub(super) locked: bool,
    pub(super) seen: VecDeque<Vec<SeenNetwork>>,
    pub(super) ssid: String,
    pub(super) passphrase: String,
    pub(super) no_dhcp: bool,
    pub(super) enrolling: Enrolling,
    pub(super) auto_stop: bool,
    /// It can be connected to.
    pub(super) advertises: bool,
    /// What happens at which GATT operation, counted over all links.
    pub(super) troubles: BTreeMap<usize, Trouble>,
    /// What the next command of a kind comes to instead.
    pub(super) instead: Vec<(Kind, Report)>,
    pub(super) failed_connects: VecDeque<LinkError>,
    /// How long it takes to connect, or to give that up.
    pub(super) connect_takes: Duration,
    pub(super) wifi: Wifi,
    pub(super) settings: Option<Network>,
    pub(super) claim: Option<Claim>,
    pub(super) session: bool,
    pub(super) link: u64,
    pub(super) linked: bool,
    pub(super) ops: usize,
    pub(super) joined_at: Option<Moment>,
    pub(super) enrol: Enrol,
    /// Its wire is cut off once it has shown that it joined.
    pub(super) stop_at: Option<Moment>,
    pub(super) log: Vec<(Moment, Kind)>,
}

impl Device {
    pub(super) fn new(number: u64) -> Self {
        let row = |ssid: &str, rssi| SeenNetwork {
            ssid: Ssid::new(ssid).unwrap(),
            rssi,
            channel: 6,
            auth: Auth::Wpa2Psk,
        };
        Self {
            serial: Serial::new(format!("FK-{number:04}")).unwrap(),
            key: Fingerprint([u8::try_from(number % 250).unwrap(); 32]),
            firmware: Firmware("1.4.0".into()),
            capabilities: Capabilities {
                strength: Strength::Full,
                encrypted: true,
                pop: true,
                nonce_reuse: false,
                network_scan: true,
                retry_in_place: true,
                keep_link: false,
                claims: vec![ClaimForm::Certificate],
                identity: true,
                enrol_status: true,
                blink: true,
                summary: "a device".into(),
            },
            pop: POP.into(),
            user: None,
            twin: None,
            locked: false,
            seen: VecDeque::from([vec![row("plant", -50), row("office", -85)]]),
            ssid: "plant".into(),
            passphrase: PASSPHRASE.into(),
            no_dhcp: false,
            enrolling: Enrolling::Works,
            auto_stop: false,
            advertises: true,
            troubles: BTreeMap::new(),
            instead: Vec::new(),
            failed_connects: VecDeque::new(),
            connect_takes: ms(400),
            wifi: Wifi::Ready,
            settings: None,
            claim: None,
            session: false,
            link: 0,
            linked: false,
            ops: 0,
            joined_at: None,
            enrol: Enrol::Waiting,
            stop_at: None,
            log: Vec::new(),
        }
    }

    /// What it proves to hold.
    pub(super) fn keys(&self) -> ProvenKeys {
        ProvenKeys {
            spki: Der(self.key.0.to_vec()),
            chain: Vec::new(),
            endorsement_key: None,
        }
    }

    /// How often it was linked.
    pub(super) fn links(&self) -> u64 {
        self.link
    }

    pub(super) fn kinds(&self) -> Vec<Kind> {
        self.log.iter().map(|(_, kind)| *kind).collect()
    }

    /// Operations so far, over all links.
    pub(super) fn ops(&self) -> usize {
        self.ops
    }

    fn joins(&self) -> bool {
        self.settings.as_ref().is_some_and(|network| {
            network.ssid.as_bytes() == self.ssid.as_bytes()
                && network
                    .passphrase
                    .as_ref()
                    .is_some_and(|text| text.reveal() == self.passphrase)
        })
    }

    /// Its own course up to this moment.
    pub(super) fn live(&mut self, now: Moment) {
        if let Wifi::Connecting(since) = self.wifi
            && self.joined_at.is_none()
            && now >= since + secs(4)
            && !self.no_dhcp
        {
            if self.joins() {
                self.joined_at = Some(since + secs(4));
            } else {
                let known = self
                    .settings
                    .as_ref()
                    .is_some_and(|network| network.ssid.as_bytes() == self.ssid.as_bytes());
                self.wifi = Wifi::Failed(if known { Join::Refused } else { Join::NotFound });
            }
        }
    }

    pub(super) fn respond(&mut self, command: &Command, now: Moment) -> Report {
        self.live(now);
        let refused = |status| Report::Failed(Fault::SettingsRefused(status));
        if let Some(at) = self.instead.iter().position(|(of, _)| *of == kind(command)) {
            return self.instead.remove(at).1;
        }
        match command {
            Command::Describe => Report::Described(self.capabilities.clone()),
            Command::Open { .. } if self.locked => Report::Failed(Fault::LockedOut),
            Command::Open { pop, username, .. } => {
                let given = pop.as_ref().map(|pop| pop.reveal().to_string());
                let right = given.as_deref() == Some(self.pop.as_str()) && *username == self.user;
                if self.capabilities.pop && !right {
                    return Report::Failed(Fault::WrongPop);
                }
                self.session = true;
                Report::Opened {
                    scheme: "security 2 patch 1".into(),
                    capabilities: self.capabilities.clone(),
                }
            }
            _ if !self.session => Report::Failed(Fault::Protocol("no session".into())),
            Command::Identify { challenge } => Report::Identified(IdentityProof {
                serial: self.serial.clone(),
                model: "pump".into(),
                firmware: self.firmware.clone(),
                key: DeviceKey::Spki(self.key.0.to_vec()),
                endorsement_key: None,
                scheme: SignatureScheme::Ed25519,
                message: challenge.to_vec(),
                signature: vec![1],
            }),
            Command::Blink => Report::Blinked,
            // No scan ends once settings are applied.
            Command::Scan if self.wifi != Wifi::Ready => Report::Failed(Fault::ScanTimeout),
            Command::Scan => {
                let next = if self.seen.len() > 1 {
                    self.seen.pop_front()
                } else {
                    self.seen.front().cloned()
                };
                Report::Networks(next.unwrap_or_default())
            }
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
                self.wifi = Wifi::Connecting(now);
                Report::Applied
            }
            Command::Apply => refused(5),
            Command::JoinStatus => Report::Join(match &self.wifi {
                Wifi::Failed(join) => join.clone(),
                _ if self.joined_at.is_some() => {
                    if self.auto_stop {
                        self.stop_at.get_or_insert(now + secs(1));
                    }
                    Join::Joined {
                        address: "10.0.0.7".into(),
                        network: self.settings.as_ref().map(|network| network.ssid.clone()),
                    }
                }
                _ => Join::Joining { attempts_left: None },
            }),
            Command::EnrolStatus => Report::Enrol(self.enrol.clone()),
            Command::ResetNetwork => match self.wifi {
                Wifi::Connecting(_) if !self.capabilities.keep_link => refused(5),
                _ => {
                    self.wifi = Wifi::Ready;
                    self.joined_at = None;
                    self.settings = None;
                    Report::NetworkReset
                }
            },
        }
    }
}
