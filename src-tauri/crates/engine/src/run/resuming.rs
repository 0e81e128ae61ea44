//! Taking up what an earlier run left: the journal is read, and the job goes on or is undone.
//!
//! One device may have several such jobs, where it was commissioned anew after a crash; they are taken up one after the
//! other, and none while another job holds the device.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

use commission::fault::Fault;
use commission::flow::{Job, JobId, Plan, Remains, Step};
use commission::gatt::PeripheralId;
use commission::policy::Least;

use super::{Driver, Wake};
use crate::journal;
use crate::ports::JournalEntry;
use crate::view::JobView;

/// What becomes of a job that an earlier run left.
#[derive(Clone, Copy, Debug)]
pub(super) enum Take {
    /// It goes on where that makes sense.
    On,
    /// It is undone.
    Back,
}

/// A job that an earlier run left, as its journal has it.
pub(super) struct Resumed {
    plan: Plan,
    remains: Remains,
    take: Take,
}

impl Driver {
    pub(super) fn remember(&mut self, job: JobId, take: Take) {
        if self.is_in_work(job) || self.ending {
            return;
        }
        self.show_ordered(JobView::new(job, job.0.to_string(), None));
        self.remembering.insert(job, take);
        let (journal, wakes) = (Arc::clone(&self.parts.journal), self.wakes.clone());
        tokio::spawn(async move {
            let entries = journal.entries(job).await.map_err(|error| error.to_string());
            let _ = wakes.send(Wake::Remembered(job, entries));
        });
    }

    pub(super) fn resume(&mut self, job: JobId, entries: Result<Vec<JournalEntry>, String>) {
        let Some(take) = self.remembering.remove(&job) else {
            return;
        };
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                self.show_not_begun(job, &Fault::Journal(error), false);
                return;
            }
        };
        // The last beginning tells with which of several devices of one name the job went on.
        let started = entries.iter().rev().find_map(|entry| match &entry.step {
            Step::Started {
                peripheral,
                name,
                dialect,
                serial,
                purpose,
                site,
                parameters,
                ..
            } => Some((
                peripheral.clone(),
                name.clone(),
                *dialect,
                serial.clone(),
                *purpose,
                site.clone(),
                parameters.clone(),
            )),
            _ => None,
        });
        let Some((peripheral, name, dialect, serial, purpose, site, parameters)) = started else {
            self.show_not_begun(job, &Fault::Journal("it has no such job".into()), false);
            return;
        };
        let proven = entries.iter().rev().find_map(|entry| match &entry.step {
            Step::Identified { identity, .. } => Some(identity.serial.to_string()),
            _ => None,
        });
        let known = proven.or_else(|| serial.as_ref().map(ToString::to_string));
        let network = entries.iter().rev().find_map(|entry| match &entry.step {
            Step::WritingSettings { ssid } => Some(ssid.clone()),
            _ => None,
        });
        self.show_ordered(JobView {
            peripheral: Some(peripheral.clone()),
            site: site.clone(),
            network,
            purpose: Some(purpose),
            ..JobView::new(job, name.clone(), known)
        });
        let plan = Plan {
            job,
            organisation: None,
            peripheral,
            name,
            dialect,
            serial,
            pop: None,
            wrong_pops: 0,
            least: Least::default(),
            username: None,
            network: None,
            site,
            purpose,
            parameters,
            policy: self.parts.policy.clone(),
            limits: self.parts.limits.clone(),
        };
        self.held_back.push(Resumed {
            plan,
            remains: journal::remains(&entries),
            take,
        });
    }

    /// Begins the jobs of earlier runs whose device no other job holds.
    pub(super) fn begin_resumed(&mut self) {
        let held = self.taken.values().chain(self.wrong_ones.values());
        let mut held: BTreeSet<PeripheralId> = held.cloned().collect();
        for resumed in mem::take(&mut self.held_back) {
            if !held.insert(resumed.plan.peripheral.clone()) {
                self.held_back.push(resumed);
                continue;
            }
            let Resumed { plan, remains, take } = resumed;
            self.taken.insert(plan.job, plan.peripheral.clone());
            self.add(match take {
                Take::On => Job::resume(plan, remains, self.dialects()),
                Take::Back => Job::undo(plan, remains),
            });
        }
    }

    /// Lets a job go that waits for its device; whether it did.
    pub(super) fn hold_back_no_more(&mut self, job: JobId) -> bool {
        let before = self.held_back.len();
        self.held_back.retain(|resumed| resumed.plan.job != job);
        self.held_back.len() < before
    }
}
