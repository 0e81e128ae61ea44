//! Reading: the journal, one job's story, the check of both, and the look at everything that work needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use commission::evidence::Fact;
use commission::flow::{JobId, OutcomeRecord, Step};

use super::{
    ExaminationView, JournalFilter, JournalJobView, JournalOutcome, JournalView, StoryLine, StoryView,
    VerifiedView, Wake, Worker,
};
use crate::doctor::{Doctor, Organisation as Examined};
use crate::ports::{Journal, JournalEntry, JournalError};

/// Most jobs that are shown at once.
const MOST: usize = 500;

impl Worker {
    pub(super) fn show_journal(&self, filter: JournalFilter) {
        let Some(journal) = self.journal.clone() else {
            return;
        };
        self.later(async move {
            match listed(journal.as_ref(), filter).await {
                Ok(view) => Wake::Journal(Box::new(view)),
                Err(error) => Wake::JournalFailed(error),
            }
        });
    }

    pub(super) fn show_job(&self, job: JobId) {
        let Some(journal) = self.journal.clone() else {
            return;
        };
        self.later(async move {
            match journal.entries(job).await {
                Ok(entries) => Wake::Story(Box::new(story(job, &entries))),
                Err(error) => Wake::JournalFailed(error),
            }
        });
    }

    pub(super) fn verify_journal(&self) {
        let Some(journal) = self.journal.clone() else {
            return;
        };
        self.later(async move {
            Wake::Verified(match journal.verify().await {
                Ok(entries) => VerifiedView {
                    entries,
                    failure: None,
                },
                Err(error) => VerifiedView {
                    entries: 0,
                    failure: Some(error.to_string()),
                },
            })
        });
    }

    /// Looks at everything that work needs.
    pub(super) fn examine(&mut self) {
        let (radio, vault, clock) = (
            self.radio(),
            Arc::clone(&self.parts.vault),
            Arc::clone(&self.parts.clock),
        );
        let journal = self.journal.clone();
        let office = self.office.as_ref().map(|office| {
            let name = office.organisation.profile().name.clone();
            (name, office.sign_in.clone(), Arc::clone(&office.cloud))
        });
        let in_work = self
            .engine_view()
            .into_iter()
            .flat_map(|view| {
                view.jobs
                    .iter()
                    .filter(|job| !job.is_over())
                    .map(|job| job.id)
                    .collect::<Vec<_>>()
            })
            .collect();
        self.examination = Some(ExaminationView {
            running: true,
            at: None,
            findings: Vec::new(),
        });
        self.later(async move {
            let doctor = Doctor {
                radio: radio.as_ref(),
                vault: vault.as_ref(),
                journal: journal
                    .as_deref()
                    .map(|journal| journal as &dyn Journal)
                    .ok_or_else(|| JournalError::Storage("it did not open".into())),
                in_work,
                organisation: office.as_ref().map(|(name, sign_in, cloud)| Examined {
                    name,
                    signin: sign_in,
                    cloud: cloud.as_ref(),
                }),
                clock: clock.as_ref(),
            };
            Wake::Examined(doctor.look().await)
        });
    }
}

async fn listed(journal: &dyn Journal, filter: JournalFilter) -> Result<JournalView, JournalError> {
    let first = journal.jobs().await?;
    let ends: BTreeMap<JobId, JournalEntry> = journal
        .ends()
        .await?
        .into_iter()
        .map(|entry| (entry.job, entry))
        .collect();
    let people: BTreeSet<String> = first.iter().map(|entry| entry.person.clone()).collect();
    let sites: BTreeSet<String> = first.iter().filter_map(site).collect();
    let all = u32::try_from(first.len()).unwrap_or(u32::MAX);
    let jobs = first
        .iter()
        .filter_map(|entry| Some(job(entry, ends.get(&entry.job)?)))
        .filter(|job| fits(job, &filter))
        .take(MOST)
        .collect();
    Ok(JournalView {
        filter,
        jobs,
        all,
        people: people.into_iter().collect(),
        sites: sites.into_iter().collect(),
        verified: None,
    })
}

fn job(first: &JournalEntry, last: &JournalEntry) -> JournalJobView {
    let (name, serial) = match &first.step {
        Step::Started { name, serial, .. } => (name.clone(), serial.as_ref().map(ToString::to_string)),
        _ => (String::new(), None),
    };
    let (outcome, code, thing) = match &last.step {
        Step::Finished { outcome } => match outcome {
            OutcomeRecord::Done { thing, .. } => (JournalOutcome::Done, None, thing.clone()),
            OutcomeRecord::Failed { fault, .. } => (JournalOutcome::Failed, Some(fault.code.clone()), None),
            OutcomeRecord::Unknown { fault, .. } => (JournalOutcome::Unknown, Some(fault.code.clone()), None),
        },
        _ => (JournalOutcome::Open, None, None),
    };
    JournalJobView {
        job: first.job,
        name,
        serial,
        person: first.person.clone(),
        site: site(first),
        at: first.at.0,
        outcome,
        code,
        thing,
    }
}

/// The site that a job was begun at.
fn site(first: &JournalEntry) -> Option<String> {
    match &first.step {
        Step::Started { site, .. } => site.clone(),
        _ => None,
    }
}

fn fits(job: &JournalJobView, filter: &JournalFilter) -> bool {
    let text = filter.text.trim().to_lowercase();
    let named = |part: &str| part.to_lowercase().contains(&text);
    (text.is_empty() || named(&job.name) || job.serial.as_deref().is_some_and(named))
        && filter.outcome.is_none_or(|outcome| outcome == job.outcome)
        && filter.person.as_ref().is_none_or(|person| *person == job.person)
        && filter
            .site
            .as_ref()
            .is_none_or(|site| job.site.as_ref() == Some(site))
        && filter.since.is_none_or(|since| job.at >= since)
        && filter.until.is_none_or(|until| job.at < until)
}

fn story(job: JobId, entries: &[JournalEntry]) -> StoryView {
    let name = entries.iter().rev().find_map(|entry| match &entry.step {
        Step::Started { name, .. } => Some(name.clone()),
        _ => None,
    });
    StoryView {
        job,
        name: name.unwrap_or_default(),
        lines: entries.iter().map(line).collect(),
    }
}

fn line(entry: &JournalEntry) -> StoryLine {
    let (step, detail) = words(&entry.step);
    let source = match &entry.step {
        Step::Evidence { evidence } => Some(evidence.source),
        _ => None,
    };
    StoryLine {
        number: entry.number,
        at: entry.at.0,
        step,
        detail,
        source,
    }
}

/// A step by its code, and what it names.
fn words(step: &Step) -> (String, Option<String>) {
    let (code, detail) = match step {
        Step::Started { name, site, .. } => {
            let whole = site.as_ref().map(|site| format!("{name} · {site}"));
            ("started", Some(whole.unwrap_or_else(|| name.clone())))
        }
        Step::Adopted { organisation } => ("adopted", Some(organisation.cloud.clone())),
        Step::Linking => ("linking", None),
        Step::Identified { identity, .. } => ("identified", Some(identity.serial.to_string())),
        Step::Snapshot { snapshot } => (
            "snapshot",
            snapshot.thing.as_ref().map(|thing| thing.name.clone()),
        ),
        Step::WritingSettings { ssid } => ("writing-settings", Some(ssid.clone())),
        Step::Claiming { serial, .. } => ("claiming", Some(serial.to_string())),
        Step::Unclaimed { .. } => ("unclaimed", None),
        Step::Claimed { claim, .. } => ("claimed", Some(claim.0.clone())),
        Step::SendingClaim { claim } => ("sending-claim", Some(claim.0.clone())),
        Step::ClaimCommitted { claim } => ("claim-committed", Some(claim.0.clone())),
        Step::Applying => ("applying", None),
        Step::Resetting => ("resetting", None),
        Step::Evidence { evidence } => return fact(&evidence.fact),
        Step::Deactivating { principal, .. } => ("deactivating", Some(principal.clone())),
        Step::Deactivated { principal } => ("deactivated", Some(principal.clone())),
        Step::Releasing { thing } => ("releasing", Some(thing.clone())),
        Step::Retiring { cleanup } => ("retiring", Some(cleanup.0.clone())),
        Step::Retired { cleanup } => ("retired", Some(cleanup.0.clone())),
        Step::Finished { outcome } => match outcome {
            OutcomeRecord::Done { thing, .. } => ("finished-done", thing.clone()),
            OutcomeRecord::Failed { fault, .. } => ("finished-failed", Some(fault.code.clone())),
            OutcomeRecord::Unknown { fault, .. } => ("finished-unknown", Some(fault.code.clone())),
        },
    };
    (code.to_owned(), detail)
}

fn fact(fact: &Fact) -> (String, Option<String>) {
    let (code, detail) = match fact {
        Fact::Linked => ("linked", None),
        Fact::PossessionProven { scheme } => ("possession-proven", Some(scheme.clone())),
        Fact::PossessionRefused => ("possession-refused", None),
        Fact::IdentityProven { identity } => ("identity-proven", Some(identity.serial.to_string())),
        Fact::NetworkSeen { rssi } => ("network-seen", Some(format!("{rssi} dBm"))),
        Fact::SettingsWritten => ("settings-written", None),
        Fact::ClaimIssued { claim } => ("claim-issued", Some(claim.0.clone())),
        Fact::ClaimCommitted => ("claim-committed", None),
        Fact::SettingsApplied => ("settings-applied", None),
        Fact::WifiJoined { address } => ("wifi-joined", address.clone()),
        Fact::PassphraseRefused => ("passphrase-refused", None),
        Fact::CloudReached => ("cloud-reached", None),
        Fact::IdentityIssued { principal } => ("identity-issued", principal.clone()),
        Fact::Registered { thing, .. } => ("registered", thing.clone()),
        Fact::SeenOnline { thing, .. } => ("seen-online", thing.clone()),
        Fact::EnrolmentRefused { code, message } => ("enrolment-refused", Some(format!("{code}: {message}"))),
        Fact::OneActiveCredential { principal } => ("one-active-credential", Some(principal.clone())),
        Fact::Released => ("released", None),
    };
    (format!("fact-{code}"), detail)
}
