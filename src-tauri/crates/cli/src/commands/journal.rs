//! `fieldkey journal`: every job with its evidence, and whether the record is untouched.

use commission::flow::{JobId, Step};
use engine::ports::{Journal, JournalEntry};
use uuid::Uuid;

use crate::exit::Ended;
use crate::setup::Base;
use crate::words;

/// Lists jobs, shows one, or checks all.
pub(crate) async fn run(setup: &Base, job: Option<Uuid>, verify: bool) -> Result<(), Ended> {
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
    let entries = match job {
        Some(job) => journal.entries(JobId(job)).await?,
        None => journal.jobs().await?,
    };
    if entries.is_empty() {
        return match job {
            Some(job) => Err(Ended::usage(
                format!("the journal has no job {job}"),
                "fieldkey journal lists the jobs that there are.",
            )),
            None => {
                setup
                    .out
                    .say("The journal is empty: no device was commissioned from this computer yet.");
                Ok(())
            }
        };
    }
    for entry in &entries {
        setup.out.both("journal-entry", entry, line(entry, job.is_some()));
    }
    Ok(())
}

fn line(entry: &JournalEntry, one_job: bool) -> String {
    let at = jiff::Timestamp::from_second(entry.at.0).map_or_else(
        |_| entry.at.to_string(),
        |at| {
            at.to_zoned(jiff::tz::TimeZone::system())
                .strftime("%Y-%m-%d %H:%M:%S")
                .to_string()
        },
    );
    let what = step(&entry.step);
    if one_job {
        format!("{at}  {:>5}  {what}", entry.number)
    } else {
        format!("{at}  {}  {what}", entry.job.0)
    }
}

fn step(step: &Step) -> String {
    match step {
        Step::Started { name, serial, .. } => match serial {
            Some(serial) => format!("{name} ({serial})"),
            None => name.clone(),
        },
        Step::Linking => "linking".into(),
        Step::Identified { identity } => format!("is {}, key {}", identity.serial, identity.key_sha256),
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
        Step::Claimed { claim, .. } => format!("claim {} came", claim.0),
        Step::SendingClaim { claim } => format!("sending claim {}", claim.0),
        Step::ClaimCommitted { claim } => format!("the device has claim {}", claim.0),
        Step::Applying => "applying the settings".into(),
        Step::Resetting => "resetting refused settings".into(),
        Step::Evidence { evidence } => words::evidence(evidence),
        Step::Deactivating { thing, principal } => {
            format!("switching {} of {thing} off", words::short(principal))
        }
        Step::Releasing { thing } => format!("releasing {thing}"),
        Step::Retiring { cleanup } => format!("undoing claim {}", cleanup.0),
        Step::Retired { cleanup } => format!("claim {} is undone", cleanup.0),
        Step::Finished { outcome } => match outcome {
            commission::flow::OutcomeRecord::Done { .. } => "done".into(),
            commission::flow::OutcomeRecord::Failed { fault, undone, .. } => {
                let rest = if *undone {
                    "nothing is left behind"
                } else {
                    "something is left: resume"
                };
                format!("failed: {} ({rest})", fault.detail)
            }
            commission::flow::OutcomeRecord::Unknown { fault, .. } => format!("unknown: {}", fault.detail),
        },
    }
}
