//! What the journal says of earlier days: devices that were done, jobs that have no end.

use std::collections::BTreeMap;
use std::sync::Arc;

use commission::evidence::Fact;
use commission::flow::{JobId, OutcomeRecord, Step};
use commission::gatt::PeripheralId;
use commission::organisation::OrganisationId;

use super::{UnfinishedView, Wake, WhoseView, Worker};
use crate::journal::SqliteJournal;
use crate::ports::{Journal, JournalError};

/// See the module. Devices go by what the radio calls them and by the serial that they proved; their names are not their
/// own.
#[derive(Default)]
pub(super) struct Past {
    /// When this device was done last.
    pub(super) done: BTreeMap<PeripheralId, i64>,
    /// When the device of this serial was done last.
    pub(super) done_serials: BTreeMap<String, i64>,
    /// What this device showed of itself last.
    pub(super) shown: BTreeMap<PeripheralId, Shown>,
    /// Jobs without an end, oldest first.
    pub(super) unfinished: Vec<Left>,
}

/// A job without an end.
pub(super) struct Left {
    /// As it is shown, but for whose it is.
    pub(super) shown: UnfinishedView,
    /// Whose it is, where the journal says so.
    pub(super) organisation: Option<OrganisationId>,
}

/// What a device showed of itself.
#[derive(Clone, Default)]
pub(super) struct Shown {
    /// The serial that it proved.
    pub(super) serial: Option<String>,
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
    let first = journal.jobs().await?;
    let began: BTreeMap<JobId, i64> = first.into_iter().map(|first| (first.job, first.at.0)).collect();
    // Of each job, the device that it worked on last, and the serial that this one proved to it.
    let mut devices: BTreeMap<JobId, (PeripheralId, Option<String>)> = BTreeMap::new();
    for entry in journal.shown().await? {
        if let Step::Started { peripheral, .. } = entry.step {
            devices.insert(entry.job, (peripheral, None));
            continue;
        }
        let Some((peripheral, serial)) = devices.get_mut(&entry.job) else {
            continue;
        };
        let shown = past.shown.entry(peripheral.clone()).or_default();
        match entry.step {
            Step::Identified { identity, .. } => {
                *serial = Some(identity.serial.to_string());
                shown.serial.clone_from(serial);
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
            && let Some((peripheral, serial)) = devices.remove(&last.job)
        {
            past.done.insert(peripheral, last.at.0);
            if let Some(serial) = serial {
                past.done_serials.insert(serial, last.at.0);
            }
        }
    }
    for open in journal.ledger().await?.open() {
        let record = open.record;
        let name = match record.begun() {
            Some(Step::Started { name, .. }) => name.clone(),
            _ => String::new(),
        };
        past.unfinished.push(Left {
            shown: UnfinishedView {
                job: record.job,
                name,
                serial: record.serial().map(ToString::to_string),
                at: began.get(&record.job).copied().unwrap_or_default(),
                applied: open.remains.applied,
                done: open.remains.done.is_some(),
                superseded: open.remains.superseded,
                whose: WhoseView::Unknown,
            },
            organisation: record.organisation().cloned(),
        });
    }
    Ok(past)
}
