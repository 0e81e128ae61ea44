//! A dialect's client that only says what was begun and asks for operations; the device answers in its place.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use commission::claim::MIN_LIFE_TO_SEND;
use commission::dialect::{Client, Command, Report};
use commission::fault::Fault;
use commission::gatt::{CharacteristicId, GattOp, LinkError};
use commission::secret::Entropy;
use commission::time::Moment;
use uuid::Uuid;

use crate::fate::Kind;

/// What a client and the world share.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// The command under way, until the device has carried it out.
    pub(super) command: Option<Command>,
    /// Operations that it still takes.
    pub(super) left: usize,
    /// What it came to, until the answer of its last operation arrives.
    pub(super) coming: Option<Report>,
    /// What it came to.
    pub(super) reports: VecDeque<Report>,
    /// What was done that must not be.
    pub(super) misuse: Option<&'static str>,
    /// Claims that were begun with too little life, and in all.
    pub(super) short_claims: (u64, u64),
}

/// A [`Wire`], held by both.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Arc<Mutex<Wire>>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
pub(super) struct Scripted {
    wire: Shared,
    ops: VecDeque<GattOp>,
    busy: bool,
    stands: bool,
}

/// The command's kind.
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

impl Scripted {
    /// The client of a fresh link.
    pub(super) fn new(wire: &Shared) -> Self {
        let mut fresh = wire.lock();
        fresh.command = None;
        fresh.coming = None;
        fresh.reports.clear();
        drop(fresh);
        Self {
            wire: wire.clone(),
            ops: VecDeque::new(),
            busy: false,
            stands: true,
        }
    }

    fn ask(&mut self) {
        let id = CharacteristicId {
            service: Uuid::from_u128(1),
            characteristic: Uuid::from_u128(2),
        };
        self.ops.push_back(GattOp::Write(id, vec![1]));
    }
}

impl Client for Scripted {
    fn begin(&mut self, command: Command, now: Moment, _: &mut dyn Entropy) {
        let mut wire = self.wire.lock();
        if let Command::SendClaim { claim, .. } = &command {
            wire.short_claims.0 += u64::from(claim.expires.left(now) < MIN_LIFE_TO_SEND);
            wire.short_claims.1 += 1;
        }
        if self.busy {
            wire.misuse = Some("a command while another is under way");
        }
        if !self.stands && !matches!(command, Command::Describe | Command::Open { .. }) {
            wire.misuse = Some("a command without a session");
        }
        wire.left = match command {
            Command::SendClaim { .. } => 3,
            Command::Open { .. } => 2,
            _ => 1,
        };
        wire.command = Some(command);
        drop(wire);
        self.busy = true;
        self.ask();
    }

    fn handle(&mut self, result: Result<Vec<u8>, LinkError>, _: Moment, _: &mut dyn Entropy) {
        let mut wire = self.wire.lock();
        match result {
            Ok(_) if wire.left > 0 => {
                drop(wire);
                self.ask();
            }
            Ok(_) => {
                let report = wire.coming.take();
                wire.reports.extend(report);
            }
            Err(error) => {
                self.stands = false;
                wire.command = None;
                wire.reports.push_back(Report::Failed(Fault::Link(error)));
            }
        }
    }

    fn handle_timeout(&mut self, _: Moment) {}

    fn poll_gatt(&mut self) -> Option<GattOp> {
        self.ops.pop_front()
    }

    fn poll_report(&mut self) -> Option<Report> {
        let report = self.wire.lock().reports.pop_front()?;
        self.busy = false;
        match report {
            Report::Opened { .. } => self.stands = true,
            Report::Failed(Fault::WrongPop) => self.stands = false,
            _ => {}
        }
        Some(report)
    }

    fn poll_timeout(&self) -> Option<Moment> {
        None
    }

    fn session_stands(&self) -> bool {
        self.stands
    }
}
