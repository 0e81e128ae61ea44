//! Taking up what an earlier run left: the whole journal is read, and the job goes on or is undone.
//!
//! A list that a person chose from may be old, so nothing of it is believed: a job is begun by what the journal says at
//! that moment, while this engine alone may run jobs. One that is settled or another organisation's is never begun. One
//! device may have several such jobs, where it was commissioned anew after a crash; they are taken up one after the
//! other, the oldest first, each by what the journal says once the one before has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use commission::fault::Fault;
use commission::flow::{Job, JobId, OutcomeRecord, Plan, Step};
use commission::gatt::PeripheralId;
use commission::ledger::{Ledger, Open, Record, Whose};

use super::acquaintances::Looks;
use super::{Driver, Wake};
use crate::ports::{Journal, JournalError};
use crate::view::JobView;

/// What becomes of a job that an earlier run left.
#[derive(Clone, Copy, Debug)]
pub(super) enum Take {
    /// It goes on where that makes sense.
    On,
    /// It is undone.
    Back,
}

/// Jobs that are to be taken up, until each is begun or turns out to be none.
#[derive(Default)]
pub(super) struct Recall {
    wanted: BTreeMap<JobId, Take>,
    /// The journal is being read.
    reading: bool,
    /// It is to be read again: more is wanted than when the reading began, or it has been told from then.
    stale: bool,
    /// The devices that jobs held when it was read last.
    held: BTreeMap<JobId, PeripheralId>,
    /// Those that blinked then.
    blinking: BTreeSet<PeripheralId>,
}

impl Recall {
    /// Lets a job go that has not begun; whether there was one.
    pub(super) fn forget(&mut self, job: JobId) -> bool {
        self.wanted.remove(&job).is_some()
    }
}

/// What the journal says.
pub(super) struct Recalled {
    ledger: Ledger,
    /// Each wanted job that is not open, with its record if there is one.
    settled: Vec<(JobId, Option<Record>)>,
}

async fn read(journal: &dyn Journal, wanted: &[JobId]) -> Result<Recalled, JournalError> {
    let ledger = journal.ledger().await?;
    let mut settled = Vec::new();
    for job in wanted {
        if ledger.open_job(*job).is_none() {
            let entries = journal.entries(*job).await?;
            let alone = Ledger::of(entries.into_iter().map(|entry| (entry.job, entry.step)));
            settled.push((*job, alone.record(*job).cloned()));
        }
    }
    Ok(Recalled { ledger, settled })
}

impl Driver {
    pub(super) fn take_up(&mut self, job: JobId, take: Take) {
        if self.is_in_work(job) || self.ending {
            return;
        }
        self.show_ordered(JobView::new(job, job.0.to_string(), None));
        if self.parts.work.is_none() {
            self.show_not_begun(job, &Fault::SignedOut, false);
            return;
        }
        self.recall.wanted.insert(job, take);
        self.recall.stale = true;
        self.read_journal();
    }

    /// Reads the journal again when a device came free that a job may have waited for.
    pub(super) fn recall_when_due(&mut self) {
        if !self.recall.wanted.is_empty() && self.is_news_of_devices() {
            self.recall.stale = true;
            self.read_journal();
        }
    }

    fn is_news_of_devices(&self) -> bool {
        self.recall.held != self.held() || self.recall.blinking != self.blinking
    }

    fn read_journal(&mut self) {
        if self.recall.reading {
            return;
        }
        (self.recall.reading, self.recall.stale) = (true, false);
        (self.recall.held, self.recall.blinking) = (self.held(), self.blinking.clone());
        let wanted: Vec<JobId> = self.recall.wanted.keys().copied().collect();
        let (journal, wakes) = (Arc::clone(&self.parts.journal), self.wakes.clone());
        tokio::spawn(async move {
            let recalled = read(journal.as_ref(), &wanted).await;
            // An error means that the engine has stopped, and nobody wants the result.
            let _ = wakes.send(Wake::Recalled(recalled));
        });
    }

    pub(super) fn recalled(&mut self, recalled: Result<Recalled, JournalError>) {
        self.recall.reading = false;
        if self.recall.stale {
            self.read_journal();
            return;
        }
        let Recalled { ledger, settled } = match recalled {
            Ok(recalled) => recalled,
            Err(error) => {
                let fault = Fault::Journal(error.to_string());
                for job in mem::take(&mut self.recall.wanted).into_keys() {
                    self.show_not_begun(job, &fault, false);
                }
                return;
            }
        };
        for (job, record) in settled {
            if self.recall.forget(job) {
                self.show_settled(job, record.as_ref());
            }
        }
        // Whoever waits for its device makes younger jobs of that device wait as well.
        let mut before: Vec<(JobId, PeripheralId)> = self.held().into_iter().collect();
        for open in ledger.open() {
            let job = open.record.job;
            let Some(take) = self.recall.wanted.get(&job).copied() else {
                continue;
            };
            let Some(plan) = self.plan(&open) else {
                self.recall.forget(job);
                continue;
            };
            let waits = before
                .iter()
                .any(|(other, device)| *device == plan.peripheral || ledger.are_of_one_device(job, *other))
                || self.blinking.contains(&plan.peripheral);
            before.push((job, plan.peripheral.clone()));
            if waits {
                continue;
            }
            self.recall.forget(job);
            self.taken.insert(job, plan.peripheral.clone());
            let looks = Looks {
                serial: plan.serial.clone(),
                pop: None,
            };
            self.looks.insert(job, looks);
            self.add(match take {
                Take::On => Job::resume(plan, open.remains, self.dialects()),
                Take::Back => Job::undo(plan, open.remains),
            });
        }
        (self.recall.held, self.recall.blinking) = (self.held(), self.blinking.clone());
    }

    fn held(&self) -> BTreeMap<JobId, PeripheralId> {
        let held = self.taken.iter().chain(&self.wrong_ones);
        held.map(|(job, device)| (*job, device.clone())).collect()
    }

    /// A job that has nothing left: how it ended is what is written down.
    fn show_settled(&mut self, job: JobId, record: Option<&Record>) {
        let Some(record) = record else {
            self.show_not_begun(job, &Fault::Journal("it has no such job".into()), false);
            return;
        };
        if let Some(shown) = shown(record) {
            self.show_ordered(shown);
        }
        match record.end() {
            Some(outcome @ (OutcomeRecord::Done { .. } | OutcomeRecord::Failed { undone: true, .. })) => {
                self.show_ended(job, outcome.clone())
            }
            // Its own end is none, so that a later job has settled it.
            _ => self.show_not_begun(job, &Fault::Superseded, true),
        }
    }

    /// What was decided when the job was begun, if this organisation may take it up.
    fn plan(&mut self, open: &Open<'_>) -> Option<Plan> {
        let record = open.record;
        let job = record.job;
        if let Some(shown) = shown(record) {
            self.show_ordered(shown);
        }
        let fault = match record.whose(self.parts.organisation.as_ref()) {
            Whose::Own => None,
            Whose::Other(other) => Some(Fault::OtherOrganisation(other.to_string())),
            Whose::Unknown => Some(Fault::OrganisationUnknown),
        };
        if let Some(fault) = fault {
            self.show_not_begun(job, &fault, false);
            return None;
        }
        let Some(Step::Started {
            peripheral,
            name,
            dialect,
            serial,
            purpose,
            site,
            parameters,
            ..
        }) = record.begun()
        else {
            self.show_not_begun(job, &Fault::Journal("it does not tell the device".into()), false);
            return None;
        };
        Some(Plan {
            job,
            organisation: record.organisation().cloned(),
            peripheral: peripheral.clone(),
            name: name.clone(),
            dialect: *dialect,
            serial: serial.clone(),
            pop: None,
            username: None,
            wrong_pops: self.acquaintances.wrong(peripheral),
            least: self.acquaintances.least(peripheral, None),
            network: None,
            site: site.clone(),
            purpose: *purpose,
            parameters: parameters.clone(),
            policy: self.parts.policy.clone(),
            limits: self.parts.limits.clone(),
        })
    }
}

/// A job as its record has it.
fn shown(record: &Record) -> Option<JobView> {
    let Some(Step::Started {
        peripheral,
        name,
        purpose,
        site,
        ..
    }) = record.begun()
    else {
        return None;
    };
    let network = record.steps.iter().rev().find_map(|step| match step {
        Step::WritingSettings { ssid } => Some(ssid.clone()),
        _ => None,
    });
    Some(JobView {
        peripheral: Some(peripheral.clone()),
        site: site.clone(),
        network,
        purpose: Some(*purpose),
        ..JobView::new(record.job, name.clone(), record.serial().map(ToString::to_string))
    })
}
