//! What the journal says of earlier days: devices that were done, jobs that have no end.

use std::collections::BTreeMap;
use std::sync::Arc;

use commission::evidence::Fact;
use commission::flow::{OutcomeRecord, Step};

use super::{UnfinishedView, Wake, Worker};
use crate::journal::{self, SqliteJournal};
use crate::ports::{Journal, JournalError};

/// See the module.
#[derive(Default)]
pub(super) struct Past {
    /// When a device of this name was done last.
    pub(super) done: BTreeMap<String, i64>,
    /// What a device of this name showed of itself last.
    pub(super) shown: BTreeMap<String, Shown>,
    /// Jobs without an end, oldest first.
    pub(super) unfinished: Vec<UnfinishedView>,
}

/// What a device showed of itself.
#[derive(Clone, Default)]
pub(super) struct Shown {
    /// Its model.
    pub(super) model: Option<String>,
    /// Its firmware's version.
    pub(super) firmware: Option<String>,
    /// The scheme of its encryption, such as `security 2 patch 1`.
    pub(super) scheme: Option<String>,
}

impl Worker {
    pub(super) fn open_journal(&mut self) {
        match SqliteJournal::open(&self.parts.home.journal()) {
            Ok(journal) => {
                self.journal = Some(Arc::new(journal));
                self.look_at_past();
            }
            Err(error) => self.fail_journal(&error),
        }
    }

    pub(super) fn fail_journal(&mut self, error: &JournalError) {
        self.warn(
            "journal",
            error.to_string(),
            "Check that the disk has room and that the journal's folder is yours to write, then start again.",
        );
    }

    pub(super) fn look_at_past(&self) {
        let Some(journal) = self.journal.clone() else {
            return;
        };
        self.later(async move {
            match past(journal).await {
                Ok(past) => Wake::Past(past),
                Err(error) => Wake::JournalFailed(error),
            }
        });
    }
}

async fn past(journal: Arc<dyn Journal>) -> Result<Past, JournalError> {
    let mut past = Past::default();
    let mut names = BTreeMap::new();
    for first in journal.jobs().await? {
        if let Step::Started { name, .. } = first.step {
            names.insert(first.job, name);
        }
    }
    for entry in journal.shown().await? {
        let Some(name) = names.get(&entry.job) else {
            continue;
        };
        let shown = past.shown.entry(name.clone()).or_default();
        match entry.step {
            Step::Identified { identity, .. } => {
                shown.model = Some(identity.model);
                shown.firmware = Some(identity.firmware.to_string());
            }
            Step::Evidence { evidence } => {
                if let Fact::PossessionProven { scheme } = evidence.fact {
                    shown.scheme = Some(scheme);
                }
            }
            _ => {}
        }
    }
    for last in journal.ends().await? {
        if let Step::Finished {
            outcome: OutcomeRecord::Done { .. },
        } = last.step
            && let Some(name) = names.get(&last.job)
        {
            past.done.insert(name.clone(), last.at.0);
        }
    }
    for job in journal.unfinished().await? {
        let entries = journal.entries(job).await?;
        let Some(first) = entries.first() else {
            continue;
        };
        let at = first.at.0;
        let started = entries.iter().rev().find_map(|entry| match &entry.step {
            Step::Started { name, serial, .. } => {
                Some((name.clone(), serial.as_ref().map(ToString::to_string)))
            }
            _ => None,
        });
        let (name, serial) = started.unwrap_or_default();
        let left = journal::remains(&entries);
        past.unfinished.push(UnfinishedView {
            job,
            name,
            serial,
            at,
            applied: left.applied,
            done: left.done.is_some(),
        });
    }
    Ok(past)
}
