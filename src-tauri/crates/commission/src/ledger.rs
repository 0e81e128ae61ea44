//! What the records of all jobs together say: which jobs have no end yet, whose they are, and which of them a later job
//! has settled. One job's record says what was meant to be done; only all of them say what has become of it since.
//!
//! Pure, so that everybody who takes jobs up decides alike. Not in scope: what to do about an open job; the flow does.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::device::{Fingerprint, Serial};
use crate::evidence::{Fact, Source};
use crate::flow::{JobId, OutcomeRecord, Remains, Step};
use crate::gatt::PeripheralId;
use crate::mending::{Kind, holds};
use crate::organisation::OrganisationId;

/// The records of all jobs, in the order in which they began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    records: Vec<Record>,
    /// Where each job's record stands.
    index: BTreeMap<JobId, usize>,
    /// How many steps were taken in: the place of the next.
    places: usize,
}

/// What the journal has of one job.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The job.
    pub job: JobId,
    /// Its steps, in order. Of a job that is settled, those suffice that tell its device and its end.
    pub steps: Vec<Step>,
    /// Where its first step stands.
    first: usize,
    /// Where the last step stands that changed a device or a cloud.
    last_effect: Option<usize>,
    /// Where it was done last.
    done: Option<usize>,
}

/// Whose a job is, for an organisation that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose<'l> {
    /// Its own.
    Own,
    /// Another one's: its handles mean nothing here, and *not found* proves nothing.
    Other(&'l OrganisationId),
    /// It is of before jobs had an organisation: a person has to be asked.
    Unknown,
}

/// A job that has no end yet, or one that left something.
#[derive(Clone, Debug, PartialEq)]
pub struct Open<'l> {
    /// Its record.
    pub record: &'l Record,
    /// What is left of it, and what later jobs of the same device have made of it.
    pub remains: Remains,
    /// The later job of the same device that is done.
    pub superseded_by: Option<JobId>,
}

impl Ledger {
    /// The ledger of these entries, in the journal's order.
    pub fn of(entries: impl IntoIterator<Item = (JobId, Step)>) -> Self {
        let mut ledger = Self::default();
        for (job, step) in entries {
            ledger.take(job, step);
        }
        ledger
    }

    /// Takes the next entry in.
    pub fn take(&mut self, job: JobId, step: Step) {
        let place = self.places;
        self.places += 1;
        let next = self.records.len();
        let at = *self.index.entry(job).or_insert(next);
        if at == next {
            self.records.push(Record::new(job, place));
        }
        if let Some(record) = self.records.get_mut(at) {
            record.take(place, step);
        }
    }

    /// A job's record.
    pub fn record(&self, job: JobId) -> Option<&Record> {
        self.records.get(*self.index.get(&job)?)
    }

    /// The jobs that are to be finished or undone, oldest first. A job that is done or undone is none of them, nor one
    /// that a later job has settled and that left no claim.
    pub fn open(&self) -> impl Iterator<Item = Open<'_>> {
        self.records.iter().filter_map(|record| self.look(record))
    }

    /// This job, if it is open.
    pub fn open_job(&self, job: JobId) -> Option<Open<'_>> {
        self.look(self.record(job)?)
    }

    /// Whether both jobs are known to have the same device.
    pub fn are_of_one_device(&self, one: JobId, other: JobId) -> bool {
        match (self.record(one), self.record(other)) {
            (Some(one), Some(other)) => one.is_of_the_device_of(other),
            _ => false,
        }
    }

    fn look<'l>(&'l self, record: &'l Record) -> Option<Open<'l>> {
        let mut remains = Remains::of(&record.steps);
        match record.end() {
            Some(OutcomeRecord::Failed { undone: true, .. }) => return None,
            Some(OutcomeRecord::Done { .. }) if remains.is_empty() => return None,
            _ => {}
        }
        let superseded_by = self.superseded_by(record);
        let by = superseded_by.and_then(|by| self.record(by));
        if remains.done.is_none() {
            remains.superseded = by.is_some_and(|by| by.organisation() == record.organisation());
            remains.elsewhere =
                !remains.superseded && self.others(record).any(|other| other.took_over_from(record));
        }
        remains.overtaken = self
            .others(record)
            .any(|other| other.changed_after(record) || other.is_unsettled());
        if remains.superseded && !has_claims(&remains) {
            return None;
        }
        Some(Open {
            record,
            remains,
            superseded_by,
        })
    }

    /// The job that settled this one: with the same device, it was found done after this one began and after the last thing
    /// that this one did. A device works for one organisation at a time, so that another one's job leaves nothing to do at the
    /// device either; what is in this one's cloud it does not settle.
    fn superseded_by(&self, record: &Record) -> Option<JobId> {
        self.others(record)
            .filter_map(|other| Some((other.done_after(record)?, other.job)))
            .max_by_key(|(done, _)| *done)
            .map(|(_, job)| job)
    }

    /// The other jobs with the same device.
    fn others<'l>(&'l self, record: &'l Record) -> impl Iterator<Item = &'l Record> {
        let others = self.records.iter().filter(|other| other.job != record.job);
        others.filter(|other| other.is_of_the_device_of(record))
    }
}

impl Record {
    fn new(job: JobId, first: usize) -> Self {
        Self {
            job,
            steps: Vec::new(),
            first,
            last_effect: None,
            done: None,
        }
    }

    fn take(&mut self, place: usize, step: Step) {
        match &step {
            Step::Finished {
                outcome: OutcomeRecord::Done { .. },
            } => {
                // That what it left was cleaned up later shows nothing anew of its device.
                let effect = self.last_effect;
                if self.done.is_none_or(|done| effect > Some(done)) {
                    self.done = Some(place);
                }
            }
            step if is_effect(step) => self.last_effect = Some(place),
            _ => {}
        }
        self.steps.push(step);
    }

    /// How it began last, which tells with which of several devices of one name it went on.
    pub fn begun(&self) -> Option<&Step> {
        let mut steps = self.steps.iter().rev();
        steps.find(|step| matches!(step, Step::Started { .. }))
    }

    /// Whose it is; none for a job of before jobs had an organisation that nobody was asked about. The first word
    /// binds: handles were made under it.
    pub fn organisation(&self) -> Option<&OrganisationId> {
        self.steps.iter().find_map(|step| match step {
            Step::Started { organisation, .. } => organisation.as_ref(),
            Step::Adopted { organisation } => Some(organisation),
            _ => None,
        })
    }

    /// Whose it is for this organisation; for none, where nobody works.
    pub fn whose(&self, own: Option<&OrganisationId>) -> Whose<'_> {
        match self.organisation() {
            Some(organisation) if Some(organisation) == own => Whose::Own,
            Some(_) if !holds(Kind::OwnOrganisation) => Whose::Own,
            Some(other) => Whose::Other(other),
            None => Whose::Unknown,
        }
    }

    /// The serial number that the device stated, else the one of its label. None where it stated several: then nobody
    /// knows which device this was.
    pub fn serial(&self) -> Option<&Serial> {
        let stated: BTreeSet<&Serial> = self.steps.iter().filter_map(stated).collect();
        match stated.len() {
            0 => match self.begun()? {
                Step::Started { serial, .. } => serial.as_ref(),
                _ => None,
            },
            1 => stated.first().copied(),
            _ => None,
        }
    }

    /// How it ended, unless it was taken up again since.
    pub fn end(&self) -> Option<&OutcomeRecord> {
        let last = self
            .steps
            .iter()
            .rev()
            .find(|step| !matches!(step, Step::Adopted { .. }))?;
        match last {
            Step::Finished { outcome } => Some(outcome),
            _ => None,
        }
    }

    /// Whether both had the same device: by its key, whatever serial number it stated; by its serial number; where the other ended before it knew that, and so before it
    /// changed anything, by what the radio called the device. Names say nothing, and two keys under one serial number are
    /// two devices.
    fn is_of_the_device_of(&self, other: &Self) -> bool {
        let (keys, others) = (self.keys(), other.keys());
        let both = !keys.is_empty() && !others.is_empty();
        if both && keys == others {
            return true;
        }
        let same = match (self.serial(), other.serial()) {
            (Some(serial), Some(other)) => serial == other,
            (Some(_), None)
                if other.last_effect.is_none() && !other.steps.iter().any(|step| stated(step).is_some()) =>
            {
                self.peripheral() == other.peripheral()
            }
            _ => false,
        };
        same && !both
    }

    fn peripheral(&self) -> Option<&PeripheralId> {
        match self.begun()? {
            Step::Started { peripheral, .. } => Some(peripheral),
            _ => None,
        }
    }

    /// Where it was done, if that was after the other began and after all that the other did.
    fn done_after(&self, other: &Self) -> Option<usize> {
        let last = other.last_effect.unwrap_or(other.first);
        self.done.filter(|done| *done > last)
    }

    /// Whether it changed something after all that the other did, or may have for another organisation, and did not take it
    /// back: the device is its business now.
    fn took_over_from(&self, other: &Self) -> bool {
        let last = other.last_effect.unwrap_or(other.first);
        let undone = matches!(self.end(), Some(OutcomeRecord::Failed { undone: true, .. }));
        let since = self
            .last_effect
            .max(self.done)
            .is_some_and(|changed| changed > last);
        // What an open job of another organisation came to is for that one's cloud alone to say.
        let open =
            self.last_effect.is_some() && self.done.is_none() && self.organisation() != other.organisation();
        (since || open) && !undone
    }

    /// Whether it changed something, and nobody knows how that came out.
    fn is_unsettled(&self) -> bool {
        let undone = matches!(self.end(), Some(OutcomeRecord::Failed { undone: true, .. }));
        self.last_effect.is_some() && self.done.is_none() && !undone
    }

    /// Whether it changed something after the other began.
    fn changed_after(&self, other: &Self) -> bool {
        self.last_effect.is_some_and(|effect| effect > other.first)
    }

    fn keys(&self) -> BTreeSet<Fingerprint> {
        let proven = self.steps.iter().filter_map(|step| match step {
            Step::Identified { identity, .. } => Some(identity.key_sha256),
            _ => None,
        });
        proven.collect()
    }
}

/// Whether a claim is left that is to be taken back, or may be. One that led to a registration is none any more.
fn has_claims(remains: &Remains) -> bool {
    let claim = remains.claim.is_some() && remains.thing.is_none();
    !remains.asked.is_empty() || claim || !remains.leftover.is_empty()
}

/// The serial number that a step is about.
fn stated(step: &Step) -> Option<&Serial> {
    match step {
        Step::Identified { identity, .. } => Some(&identity.serial),
        Step::Claiming { serial, .. } => Some(serial),
        _ => None,
    }
}

/// Whether something may be otherwise after it, at the device or in the cloud, that a job begun later would have to have
/// seen. To take a claim back changes nothing for a device that works.
fn is_effect(step: &Step) -> bool {
    match step {
        Step::SendingClaim { .. }
        | Step::ClaimCommitted { .. }
        | Step::Applying
        | Step::Resetting
        | Step::Deactivating { .. }
        | Step::Releasing { .. } => true,
        // The device did something by what this job gave it.
        Step::Evidence { evidence } => {
            evidence.source == Source::Cloud && matches!(evidence.fact, Fact::Registered { .. })
        }
        Step::Started { .. }
        | Step::Adopted { .. }
        | Step::Linking
        | Step::Identified { .. }
        | Step::Snapshot { .. }
        | Step::WritingSettings { .. }
        | Step::Claiming { .. }
        | Step::Unclaimed { .. }
        | Step::Claimed { .. }
        | Step::Deactivated { .. }
        | Step::Retiring { .. }
        | Step::Retired { .. }
        | Step::Finished { .. } => false,
    }
}

#[cfg(test)]
mod tests;
