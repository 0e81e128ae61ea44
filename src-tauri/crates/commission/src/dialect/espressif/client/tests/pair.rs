//! Both halves on one link, with a clock, randomness and a radio that the test decides about.

use std::boxed::Box;
use std::collections::BTreeSet;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use sha2::{Digest, Sha256};

use crate::claim::ClaimForm;
use crate::device::{DeviceKey, Firmware as FirmwareVersion, Serial, SignatureScheme};
use crate::dialect::espressif::client::Espressif;
use crate::dialect::espressif::cloud_cred::{self, ClaimBundle};
use crate::dialect::espressif::device::{Device, DeviceConfig, Effect, Firmware};
use crate::dialect::espressif::endpoints::{PROTO_VER, USER_DESCRIPTION};
use crate::dialect::espressif::identity::Statement;
use crate::dialect::espressif::offer::Offer;
use crate::dialect::espressif::security::srp::XRule;
use crate::dialect::espressif::security::{Protection, sec2};
use crate::dialect::espressif::wire::version::Patch;
use crate::dialect::{Client, Command, Report};
use crate::fault::Fault;
use crate::gatt::{Characteristic, GattOp, GattTable, LinkError};
use crate::policy::Limits;
use crate::secret::{Entropy, Pop};
use crate::time::Moment;

pub(super) const POP: &str = "abcd1234";

/// What the radio does with an operation instead of carrying it.
pub(super) enum Radio {
    /// Carries it.
    Carry,
    /// The device never hears of it.
    Lose(LinkError),
    /// The device does it, and we hear this.
    LoseAnswer(LinkError),
    /// The device does it, and we hear other bytes.
    Change(Box<dyn Fn(Vec<u8>) -> Vec<u8>>),
    /// The device never hears of it, and we hear this.
    Invent(Vec<u8>),
}

type Decide = Box<dyn FnMut(usize, &GattOp) -> Radio>;

pub(super) struct Pair {
    pub(super) client: Espressif,
    pub(super) device: Device,
    pub(super) firmware: Maker,
    pub(super) now: Moment,
    /// Operations so far.
    pub(super) ops: Vec<GattOp>,
    pub(super) effects: Vec<Effect>,
    /// Reports that did not end a command.
    pub(super) progress: Vec<Report>,
    /// Whether the device closed the link.
    pub(super) closed: bool,
    radio: Decide,
    written: BTreeSet<Vec<u8>>,
    dice: Dice,
}

/// Random bytes that are the same in every run, and never the same twice.
#[derive(Clone, Default)]
pub(super) struct Dice(u64);

impl Entropy for Dice {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            self.0 += 1;
            let block = Sha256::digest(self.0.to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

/// Signs with a hash and says yes to every claim, unless told otherwise.
#[derive(Default)]
pub(super) struct Maker {
    pub(super) refuse: Option<cloud_cred::Refusal>,
    pub(super) cannot_sign: bool,
}

impl Firmware for Maker {
    fn sign(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        (!self.cannot_sign).then(|| Sha256::digest(message).to_vec())
    }

    fn check_claim(&mut self, _: &ClaimBundle) -> Result<(), cloud_cred::Refusal> {
        self.refuse.map_or(Ok(()), Err)
    }
}

pub(super) fn offer() -> Offer {
    Offer {
        credentials: true,
        chunk_400: false,
        claims: vec![ClaimForm::Certificate, ClaimForm::PublicKey],
        status: true,
        identity: true,
        blink: true,
        keep_link: true,
        lockout: Some(5),
    }
}

pub(super) fn statement() -> Statement {
    Statement {
        serial: Serial::new("SN-1").unwrap(),
        model: "lamp".into(),
        firmware: FirmwareVersion("1.2.3".into()),
        scheme: SignatureScheme::EcdsaP256Sha256,
        key: DeviceKey::Chain(vec![vec![7; 500], vec![8; 300]]),
        endorsement_key: None,
    }
}

pub(super) fn sec1() -> Protection {
    Protection::Sec1 {
        pop: Some(Pop::new(POP)),
    }
}

pub(super) fn sec2(patch: Patch) -> Protection {
    Protection::Sec2 {
        verifier: sec2::Verifier::generate("wifiprov", &Pop::new(POP), &[0x5a; 16], XRule::Rfc),
        patch,
    }
}

pub(super) fn ours(protection: Protection) -> DeviceConfig {
    DeviceConfig {
        statement: Some(statement()),
        ..DeviceConfig::new(protection, Some(offer()))
    }
}

pub(super) fn plain(protection: Protection) -> DeviceConfig {
    DeviceConfig::new(protection, None)
}

impl Pair {
    pub(super) fn new(config: DeviceConfig) -> Self {
        let device = Device::new(config);
        Self {
            client: Espressif::new(&table(&device), &Limits::default()),
            device,
            firmware: Maker::default(),
            now: Moment::default(),
            ops: Vec::new(),
            effects: Vec::new(),
            progress: Vec::new(),
            closed: false,
            radio: Box::new(|_, _| Radio::Carry),
            written: BTreeSet::new(),
            dice: Dice::default(),
        }
    }

    /// Described and opened.
    pub(super) fn opened(config: DeviceConfig) -> Self {
        let mut pair = Self::new(config);
        pair.open().unwrap();
        pair
    }

    /// The report of a session that opened, or the fault.
    pub(super) fn open(&mut self) -> Result<Report, Fault> {
        if let Report::Failed(fault) = self.run(Command::Describe) {
            return Err(fault);
        }
        match self.run(open_with(POP)) {
            Report::Failed(fault) => Err(fault),
            report => Ok(report),
        }
    }

    /// Decides about every operation from here on, counted from 0.
    pub(super) fn radio(&mut self, mut radio: impl FnMut(usize, &GattOp) -> Radio + 'static) {
        let mut index = 0;
        self.radio = Box::new(move |_, op| {
            index += 1;
            radio(index - 1, op)
        });
    }

    /// The next link to the same device.
    pub(super) fn relink(&mut self) {
        self.device.disconnected();
        self.client = Espressif::new(&table(&self.device), &Limits::default());
        self.closed = false;
        self.radio = Box::new(|_, _| Radio::Carry);
    }

    /// Runs a command to its end, letting time pass where the client waits for it.
    pub(super) fn run(&mut self, command: Command) -> Report {
        self.run_with(command, |_, _| {})
    }

    /// As [`Self::run`], with the rest of the firmware as `react`.
    pub(super) fn run_with(&mut self, command: Command, react: impl FnMut(&mut Device, &Effect)) -> Report {
        let mut dice = self.dice.clone();
        self.client.begin(command, self.now, &mut dice);
        self.dice = dice;
        self.finish_with(react)
    }

    /// Runs the command under way to its end.
    pub(super) fn finish(&mut self) -> Report {
        self.finish_with(|_, _| {})
    }

    fn finish_with(&mut self, mut react: impl FnMut(&mut Device, &Effect)) -> Report {
        loop {
            while let Some(report) = self.client.poll_report() {
                if let Report::ClaimProgress { .. } = report {
                    self.progress.push(report);
                    continue;
                }
                assert_eq!(self.client.poll_gatt(), None, "an operation after the end");
                return report;
            }
            let Some(op) = self.client.poll_gatt() else {
                let at = self.client.poll_timeout();
                let at = at.expect("the command neither ended nor waits for anything");
                assert!(at > self.now, "a timeout that does not advance");
                self.now = at;
                self.client.handle_timeout(self.now);
                continue;
            };
            assert_eq!(self.client.poll_gatt(), None, "two operations at once");
            let radio = (self.radio)(self.ops.len(), &op);
            self.ops.push(op.clone());
            let result = match radio {
                Radio::Lose(error) => Err(error),
                Radio::Invent(bytes) => Ok(bytes),
                Radio::Carry => self.carry(&op),
                Radio::LoseAnswer(error) => {
                    let _ = self.carry(&op);
                    Err(error)
                }
                Radio::Change(change) => self.carry(&op).map(change),
            };
            while let Some(effect) = self.device.poll_effect() {
                react(&mut self.device, &effect);
                self.effects.push(effect);
            }
            self.client.handle(result, self.now, &mut self.dice);
        }
    }

    fn carry(&mut self, op: &GattOp) -> Result<Vec<u8>, LinkError> {
        if self.closed {
            return Err(LinkError::NotConnected);
        }
        let outcome = match op {
            GattOp::ReadDescriptor(id, descriptor) => {
                assert_eq!(*descriptor, USER_DESCRIPTION);
                let gatt = self.device.gatt();
                let endpoint = gatt.iter().find(|endpoint| endpoint.id == *id).unwrap();
                return endpoint.description.clone().ok_or(LinkError::Att(0x02));
            }
            GattOp::Read(id) => self.device.read(*id),
            GattOp::Write(id, bytes) => {
                assert!(!bytes.is_empty(), "an empty write");
                let gatt = self.device.gatt();
                let endpoint = gatt.iter().find(|endpoint| endpoint.id == *id).unwrap();
                let is_repeat = !self.written.insert(bytes.clone());
                // Equal requests are equal bytes there, so a repeat shows nothing.
                let is_stateless = matches!(
                    self.device.config().protection,
                    Protection::Sec0
                        | Protection::Sec2 {
                            patch: Patch::Constant,
                            ..
                        }
                );
                assert!(
                    !is_repeat || is_stateless || endpoint.name == PROTO_VER,
                    "{} was written twice",
                    endpoint.name
                );
                let outcome = self
                    .device
                    .write(*id, bytes, self.now, &mut self.dice, &mut self.firmware);
                outcome.map(|()| Vec::new())
            }
        };
        outcome.map_err(|error| {
            if error.close {
                self.device.disconnected();
                self.closed = true;
            }
            LinkError::Att(error.att)
        })
    }

    /// Operations of a kind since the start.
    pub(super) fn count(&self, wanted: fn(&GattOp) -> bool) -> usize {
        self.ops.iter().filter(|op| wanted(op)).count()
    }
}

pub(super) fn open_with(pop: &str) -> Command {
    Command::Open {
        pop: Some(Pop::new(pop)),
        username: None,
        refusals: 0,
    }
}

pub(super) fn is_write(op: &GattOp) -> bool {
    matches!(op, GattOp::Write(..))
}

pub(super) fn is_read(op: &GattOp) -> bool {
    matches!(op, GattOp::Read(_))
}

fn table(device: &Device) -> GattTable {
    let characteristics = device.gatt().into_iter().map(|endpoint| Characteristic {
        id: endpoint.id,
        properties: endpoint.properties,
        descriptors: if endpoint.description.is_some() {
            vec![USER_DESCRIPTION]
        } else {
            Vec::new()
        },
    });
    GattTable {
        characteristics: characteristics.collect(),
    }
}

/// The code of a failure.
pub(super) fn code(report: &Report) -> String {
    match report {
        Report::Failed(fault) => fault.code().into(),
        other => format!("no failure: {other:?}"),
    }
}
