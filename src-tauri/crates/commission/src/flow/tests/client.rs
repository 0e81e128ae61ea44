//! A dialect's client that only says what was begun and asks for operations; the site answers in its place.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use std::sync::Mutex;

use uuid::Uuid;

use super::device::{Kind, kind};
use crate::claim::MIN_LIFE_TO_SEND;
use crate::dialect::{Client, Command, Report};
use crate::fault::Fault;
use crate::gatt::{CharacteristicId, GattOp, LinkError};
use crate::secret::Entropy;
use crate::time::Moment;

/// What the clients of one job and the site share.
pub(super) type Shared = Arc<Mutex<Vec<(u64, Command)>>>;

pub(super) type Reports = Arc<Mutex<VecDeque<Report>>>;

/// Says what was begun on which link, and asks for operations; the site answers in its place.
pub(super) struct ScriptedClient {
    pub(super) shared: Shared,
    pub(super) reports: Reports,
    pub(super) link: u64,
    pub(super) ops: VecDeque<GattOp>,
    pub(super) left: usize,
    pub(super) busy: bool,
    pub(super) stands: bool,
}

pub(super) fn characteristic() -> CharacteristicId {
    CharacteristicId {
        service: Uuid::from_u128(1),
        characteristic: Uuid::from_u128(2),
    }
}

impl Client for ScriptedClient {
    fn begin(&mut self, command: Command, now: Moment, _: &mut dyn Entropy) {
        if let Command::SendClaim { claim, .. } = &command {
            assert!(
                claim.expires.left(now) >= MIN_LIFE_TO_SEND,
                "a claim too old to be sent"
            );
        }
        assert!(!self.busy, "a command while another is under way: {command:?}");
        let opens = matches!(kind(&command), Kind::Describe | Kind::Open);
        assert!(self.stands || opens, "a command without a session: {command:?}");
        self.busy = true;
        self.left = match kind(&command) {
            Kind::SendClaim => 3,
            Kind::Open => 2,
            _ => 1,
        };
        self.shared.lock().unwrap().push((self.link, command));
        self.ops.push_back(GattOp::Write(characteristic(), vec![1]));
    }

    fn handle(&mut self, result: Result<Vec<u8>, LinkError>, _: Moment, _: &mut dyn Entropy) {
        let mut reports = self.reports.lock().unwrap();
        match result {
            Ok(_) => {
                self.left -= 1;
                if self.left > 0 {
                    self.ops.push_back(GattOp::Write(characteristic(), vec![1]));
                }
            }
            Err(error) => {
                self.stands = false;
                self.busy = false;
                reports.push_back(Report::Failed(Fault::Link(error)));
            }
        }
    }

    fn handle_timeout(&mut self, _: Moment) {}

    fn poll_gatt(&mut self) -> Option<GattOp> {
        self.ops.pop_front()
    }

    fn poll_report(&mut self) -> Option<Report> {
        let report = self.reports.lock().unwrap().pop_front();
        if let Some(report) = &report {
            self.busy = false;
            match report {
                Report::Opened { .. } => self.stands = true,
                Report::Failed(Fault::WrongPop) => self.stands = false,
                _ => {}
            }
        }
        report
    }

    fn poll_timeout(&self) -> Option<Moment> {
        None
    }

    fn session_stands(&self) -> bool {
        self.stands
    }
}
