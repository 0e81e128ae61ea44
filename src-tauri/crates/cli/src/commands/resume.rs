//! `fieldkey resume`: finish or undo what an earlier run left open.
//!
//! Only the jobs of the profile's organisation: nobody else's cloud can say what has become of one. Others are named, and
//! so are jobs of before jobs had an organisation, which belong to whomever a person says.

use commission::flow::{JobId, Step};
use commission::ledger::{Ledger, Open, Whose};
use commission::organisation::OrganisationId;
use engine::journal::{self, AdoptError};
use engine::ports::Journal;
use engine::request::Request;
use engine::settings::Profiles;
use serde::Serialize;

use crate::args;
use crate::exit::{Ended, Exit};
use crate::follow;
use crate::passphrases::Passphrases;
use crate::person::Silence;
use crate::setup::Setup;
use crate::words;

/// A job that is left as it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Left<'a> {
    job: JobId,
    name: &'a str,
    serial: Option<&'a str>,
    /// A code.
    why: &'static str,
    organisation: Option<&'a OrganisationId>,
    profile: Option<String>,
}

/// Settles every unfinished job of the organisation with its cloud.
pub(crate) async fn run(setup: &Setup, wanted: &args::Resume) -> Result<(), Ended> {
    // Before looking: what another process has in work is not open.
    let work = setup.work()?;
    let record = setup.journal()?;
    let own = setup.profile.organisation();
    let ledger = record.ledger().await?;
    let named = named(&ledger, &wanted.adopt)?;
    let (mut jobs, mut adopted, mut unasked) = (Vec::new(), Vec::new(), 0_u32);
    for open in ledger.open() {
        let job = open.record.job;
        match open.record.whose(Some(&own)) {
            Whose::Own => jobs.push(job),
            Whose::Other(other) => left_to(setup, &open, other),
            Whose::Unknown if named.contains(&job) || is_ours(setup, &open).await? => {
                adopted.push(job);
                jobs.push(job);
            }
            Whose::Unknown => {
                unknown(setup, &open);
                unasked += 1;
            }
        }
    }
    let ended = if jobs.is_empty() {
        setup.out.both(
            "nothing-open",
            &serde_json::json!({}),
            format!(
                "Nothing is open for {}: every job of it has come to its end.",
                setup.profile_name()
            ),
        );
        Ok(())
    } else {
        let signed_in = setup.signed_in().await?;
        let person = &signed_in.session.person.subject;
        for job in adopted {
            journal::adopt(&work, &record, job, &own, person)
                .await
                .map_err(not_adopted)?;
        }
        let parts = setup.parts(&signed_in, &work)?;
        setup.out.say(match jobs.len() {
            1 => "1 job was left open; the cloud is asked about it.".to_owned(),
            count => format!("{count} jobs were left open; the cloud is asked about each."),
        });
        let engine = engine::run::Engine::start(parts);
        for job in &jobs {
            engine.request(Request::Resume(*job));
        }
        follow::to_the_end(setup, engine, &jobs, Passphrases::new(signed_in.vault)).await
    };
    ended?;
    if unasked == 0 {
        return Ok(());
    }
    Err(Ended::new(
        Exit::Unknown,
        "organisation-unknown",
        "nothing says to which organisation some jobs belong, so they were left as they are",
        "Take up those that belong to this one: fieldkey resume --adopt JOB",
    ))
}

/// The jobs that the command line says belong here.
fn named(ledger: &Ledger, wanted: &[String]) -> Result<Vec<JobId>, Ended> {
    let unknown: Vec<JobId> = ledger
        .open()
        .filter(|open| open.record.organisation().is_none())
        .map(|open| open.record.job)
        .collect();
    let one = |wanted: &String| {
        let mut fitting = unknown
            .iter()
            .filter(|job| job.0.to_string().starts_with(wanted.as_str()));
        match (fitting.next(), fitting.next()) {
            (Some(job), None) => Ok(*job),
            (None, _) => Err(Ended::usage(
                format!("no open job {wanted} waits to be told whose it is"),
                "fieldkey resume names those that do.",
            )),
            (Some(_), Some(_)) => Err(Ended::usage(
                format!("several jobs begin with {wanted}"),
                "Give more of it: fieldkey --json resume has all of each.",
            )),
        }
    };
    wanted.iter().map(one).collect()
}

/// Asks whoever is at the terminal whether a job belongs to the present organisation.
async fn is_ours(setup: &Setup, open: &Open<'_>) -> Result<bool, Ended> {
    if !setup.person.is_at_terminal() {
        return Ok(false);
    }
    let prompt = format!(
        "{} was begun by an older Fieldkey, which did not write down for whom. Does it belong to {}? [y/N]",
        device(open),
        setup.profile_name()
    );
    match setup.person.line(&prompt).await {
        Ok(answer) => Ok(matches!(answer.trim(), "y" | "Y" | "yes")),
        Err(Silence::Over | Silence::NoText) => Ok(false),
        Err(silence @ Silence::Interrupted) => Err(silence.into()),
    }
}

fn left_to(setup: &Setup, open: &Open<'_>, other: &OrganisationId) {
    let profile = Profiles::new(&setup.home).name_of(other);
    let words = format!(
        "{} is left as it is: {}.",
        device(open),
        words::belongs_to(other, profile.as_deref())
    );
    let line = Left {
        organisation: Some(other),
        profile,
        ..left(open, "other-organisation")
    };
    setup.out.both("not-taken-up", &line, words);
}

fn unknown(setup: &Setup, open: &Open<'_>) {
    let id = open.record.job.0.to_string();
    let words = format!(
        "{} is left as it is: an older Fieldkey began it and did not write down for whom. If it belongs to {}: \
         fieldkey resume --adopt {}",
        device(open),
        setup.profile_name(),
        id.chars().take(8).collect::<String>()
    );
    setup
        .out
        .both("not-taken-up", &left(open, "organisation-unknown"), words);
}

fn left<'a>(open: &Open<'a>, why: &'static str) -> Left<'a> {
    Left {
        job: open.record.job,
        name: name(open),
        serial: open.record.serial().map(|serial| serial.as_str()),
        why,
        organisation: None,
        profile: None,
    }
}

fn name<'a>(open: &Open<'a>) -> &'a str {
    match open.record.begun() {
        Some(Step::Started { name, .. }) => name,
        _ => "a device",
    }
}

fn device(open: &Open<'_>) -> String {
    match open.record.serial() {
        Some(serial) => format!("{} ({serial})", name(open)),
        None => name(open).to_owned(),
    }
}

fn not_adopted(error: AdoptError) -> Ended {
    match error {
        AdoptError::Journal(error) => error.into(),
        error @ (AdoptError::NotOpen | AdoptError::Other(_)) => {
            Ended::usage(error, "Look again: fieldkey resume names the jobs that are open.")
        }
    }
}
