//! `fieldkey journal`: every job with its evidence, and whether the record is untouched.

use std::collections::BTreeSet;

use commission::claim::{CleanupHandle, Purpose};
use commission::device::Serial;
use commission::flow::{JobId, OutcomeRecord, Step};
use commission::ledger::{Ledger, Whose};
use commission::organisation::OrganisationId;
use engine::ports::{Journal, JournalEntry};
use engine::settings::Profiles;
use serde::Serialize;

use crate::exit::Ended;
use crate::setup::Base;
use crate::words;

/// A job of the list: its first entry, and what became of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobLine<'a> {
    #[serde(flatten)]
    begun: &'a JournalEntry,
    /// As the device proved it, or as its label has it.
    known_serial: Option<&'a str>,
    /// How it ended; none while it is open.
    ended: Option<&'a OutcomeRecord>,
}

/// Lists jobs, all or those at one site, shows one, or checks all.
pub(crate) async fn run(
    setup: &Base,
    job: Option<&str>,
    site: Option<&str>,
    verify: bool,
) -> Result<(), Ended> {
    let journal = setup.journal()?;
    if verify {
        let entries = journal.verify().await?;
        let words =
            format!("The journal is untouched: {entries} entries, each following from the one before.");
        setup.out.both(
            "journal-verified",
            &serde_json::json!({ "entries": entries }),
            words,
        );
        return Ok(());
    }
    let jobs = journal.jobs().await?;
    if let Some(wanted) = job {
        let entries = journal.entries(meant(&jobs, wanted)?).await?;
        for entry in &entries {
            let words = format!("{}  {:>5}  {}", at(entry), entry.number, step(entry, &entries));
            setup.out.both("journal-entry", entry, words);
        }
        return Ok(());
    }
    if jobs.is_empty() {
        setup
            .out
            .say("The journal is empty: no device was commissioned from this computer yet.");
    }
    let here: Vec<&JournalEntry> = jobs
        .iter()
        .filter(|begun| site.is_none_or(|site| site_of(begun) == Some(site)))
        .collect();
    if let (true, false, Some(site)) = (here.is_empty(), jobs.is_empty(), site) {
        setup.out.say(nothing_at(site, &jobs));
    }
    let own = setup.profile().ok().map(|profile| profile.organisation());
    for begun in here {
        let entries = journal.entries(begun.job).await?;
        list(setup, begun, &entries, own.as_ref());
    }
    Ok(())
}

/// The site that a job was begun at.
fn site_of(begun: &JournalEntry) -> Option<&str> {
    match &begun.step {
        Step::Started { site, .. } => site.as_deref(),
        _ => None,
    }
}

/// That no job was at this site, with the sites that there were, since a name is easily mistyped.
fn nothing_at(site: &str, jobs: &[JournalEntry]) -> String {
    let known: BTreeSet<&str> = jobs.iter().filter_map(site_of).collect();
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() {
        format!("The journal has no job at {site}; none of its jobs names a site.")
    } else {
        format!(
            "The journal has no job at {site}; it has jobs at: {}.",
            known.join(", ")
        )
    }
}

/// The job whose identifier begins like this.
fn meant(jobs: &[JournalEntry], wanted: &str) -> Result<JobId, Ended> {
    let mut fitting = jobs
        .iter()
        .map(|begun| begun.job)
        .filter(|job| job.0.to_string().starts_with(wanted));
    match (fitting.next(), fitting.next()) {
        (Some(job), None) => Ok(job),
        (None, _) => Err(Ended::usage(
            format!("the journal has no job {wanted}"),
            "fieldkey journal lists the jobs that there are.",
        )),
        (Some(_), Some(_)) => Err(Ended::usage(
            format!("the journal has several jobs whose identifier begins with {wanted}"),
            "Give more of it: fieldkey --json journal has all of each.",
        )),
    }
}

fn list(setup: &Base, begun: &JournalEntry, entries: &[JournalEntry], own: Option<&OrganisationId>) {
    let proven = entries.iter().rev().find_map(|entry| match &entry.step {
        Step::Identified { identity, .. } => Some(identity.serial.as_str()),
        Step::Claiming { serial, .. } => Some(serial.as_str()),
        _ => None,
    });
    let (name, on_label) = match &begun.step {
        Step::Started { name, serial, .. } => (name.as_str(), serial.as_ref().map(Serial::as_str)),
        _ => ("-", None),
    };
    let known_serial = proven.or(on_label);
    // A job that was resumed may have had an end before; the last entry says how it stands.
    let ended = entries.last().and_then(|entry| match &entry.step {
        Step::Finished { outcome } => Some(outcome),
        _ => None,
    });
    let mut how = ended.map_or_else(|| "open: run fieldkey resume".to_owned(), outcome);
    if let Some(OutcomeRecord::Done { .. }) = ended
        && !engine::journal::remains(entries).is_empty()
    {
        how.push_str(" (a replaced claim is left: run fieldkey resume)");
    }
    let steps = entries.iter().map(|entry| (entry.job, entry.step.clone()));
    if let Some(open) = Ledger::of(steps).open_job(begun.job)
        && let Whose::Other(other) = open.record.whose(own)
    {
        let profile = Profiles::new(&setup.home).name_of(other);
        how.push_str(&format!("; {}", words::belongs_to(other, profile.as_deref())));
    }
    let id = begun.job.0.to_string();
    let words = format!(
        "{}  {}  {name:<16} {:<12} {:<12} {how}",
        at(begun),
        id.chars().take(8).collect::<String>(),
        known_serial.unwrap_or("-"),
        site_of(begun).unwrap_or("-")
    );
    let line = JobLine {
        begun,
        known_serial,
        ended,
    };
    setup.out.both("journal-entry", &line, words);
}

fn at(entry: &JournalEntry) -> String {
    jiff::Timestamp::from_second(entry.at.0).map_or_else(
        |_| entry.at.to_string(),
        |at| {
            at.to_zoned(jiff::tz::TimeZone::system())
                .strftime("%Y-%m-%d %H:%M:%S")
                .to_string()
        },
    )
}

/// The claim that a handle takes back, where the journal of its job has it; people know claims by their names.
fn claim_of<'a>(cleanup: &CleanupHandle, entries: &'a [JournalEntry]) -> Option<&'a str> {
    entries.iter().find_map(|entry| match &entry.step {
        Step::Claimed {
            claim, cleanup: own, ..
        } if own == cleanup => Some(claim.0.as_str()),
        _ => None,
    })
}

fn outcome(outcome: &OutcomeRecord) -> String {
    match outcome {
        OutcomeRecord::Done {
            thing: Some(thing), ..
        } => format!("done as {thing}"),
        OutcomeRecord::Done { thing: None, .. } => "done".into(),
        OutcomeRecord::Failed { fault, undone, .. } => {
            let rest = if *undone {
                "nothing is left in the cloud"
            } else {
                "something is left: run fieldkey resume"
            };
            format!("failed: {} ({rest})", fault.detail)
        }
        OutcomeRecord::Unknown { fault, .. } => format!("unknown: {}; run fieldkey resume", fault.detail),
    }
}

fn step(entry: &JournalEntry, entries: &[JournalEntry]) -> String {
    let of = |cleanup: &CleanupHandle| words::short(claim_of(cleanup, entries).unwrap_or(&cleanup.0));
    match &entry.step {
        Step::Started {
            name,
            serial,
            purpose,
            site,
            parameters,
            ..
        } => {
            let given: String = parameters
                .iter()
                .map(|(name, value)| format!(", {name}={value}"))
                .collect();
            let serial = serial.as_ref().map(|serial| format!(", label {serial}"));
            let purpose = match purpose {
                Purpose::New => "new",
                Purpose::Service => "service",
                Purpose::Transfer => "transfer",
            };
            let site = site.as_ref().map(|site| format!(" at {site}"));
            let by = &entry.person;
            format!(
                "begun: {name} ({purpose}{}{given}){}, by {by}",
                serial.unwrap_or_default(),
                site.unwrap_or_default()
            )
        }
        Step::Adopted { organisation } => format!("belongs to {organisation}, as {} said", entry.person),
        Step::Linking => "linking".into(),
        Step::Identified { identity, .. } => format!("is {}, key {}", identity.serial, identity.key_sha256),
        Step::Snapshot { snapshot } => match &snapshot.thing {
            Some(thing) => format!(
                "the cloud knows {} with {} credentials",
                thing.name,
                thing.principals.len()
            ),
            None => "the cloud has no registration of it yet".into(),
        },
        Step::WritingSettings { ssid } => format!("writing Wi-Fi settings for {ssid}"),
        Step::Claiming { serial, .. } => format!("asking for a claim for {serial}"),
        Step::Unclaimed { .. } => "no claim came of it".into(),
        Step::Claimed { claim, .. } => format!("claim {} came", words::short(&claim.0)),
        Step::SendingClaim { claim } => format!("sending claim {}", words::short(&claim.0)),
        Step::ClaimCommitted { claim } => format!("the device has claim {}", words::short(&claim.0)),
        Step::Applying => "applying the settings".into(),
        Step::Resetting => "resetting refused settings".into(),
        Step::Evidence { evidence } => words::evidence(evidence),
        Step::Deactivating { thing, principal } => {
            format!("switching {} of {thing} off", words::short(principal))
        }
        Step::Deactivated { principal } => format!("{} is off", words::short(principal)),
        Step::Releasing { thing } => format!("releasing {thing}"),
        Step::Retiring { cleanup } => format!("taking back claim {}", of(cleanup)),
        Step::Retired { cleanup } => format!("claim {} is taken back", of(cleanup)),
        Step::Finished { outcome: how } => outcome(how),
    }
}
