//! `fieldkey doctor`: everything that work needs, looked at before anybody climbs a ladder.

use std::sync::Arc;

use engine::doctor::{Doctor, Finding, Health, Organisation, Part};
use engine::ports::{Cloud, Journal, Vault};
use engine::signin::SignIn;
use engine::vault::KeyringVault;

use crate::exit::{Ended, Exit};
use crate::setup::{Base, Setup};

/// Looks, and says what to do about each thing that is not well.
pub(crate) async fn run(base: &Base) -> Result<(), Ended> {
    // The keyring itself, not what stands in for it where there is none: that is one of the findings.
    let vault: Arc<dyn Vault> = Arc::new(KeyringVault);
    let radio = base.radio();
    let journal = base.open_journal();
    let setup = base.clone().with_profile();
    let organisation = match &setup {
        Ok(setup) => Some(organisation(setup, &vault).await?),
        Err(_) => None,
    };
    let doctor = Doctor {
        radio: radio.as_ref(),
        vault: vault.as_ref(),
        journal: journal
            .as_ref()
            .map(|journal| journal as &dyn Journal)
            .map_err(Clone::clone),
        in_work: Vec::new(),
        organisation: organisation.as_ref().map(|(sign_in, cloud, name)| Organisation {
            name,
            signin: sign_in,
            cloud: cloud.as_ref(),
        }),
        clock: base.clock.as_ref(),
    };
    let findings = doctor.look().await;
    for finding in &findings {
        base.out.both("finding", finding, words(finding));
    }
    for part in LATER {
        if !findings.iter().any(|finding| finding.what == part) {
            base.out.say(format!(
                "· {:<13} not checked: it needs what is missing above",
                name(part)
            ));
        }
    }
    let worst = findings
        .iter()
        .filter(|finding| finding.state == Health::Bad)
        .map(|finding| finding.what)
        .min();
    worst.map_or(Ok(()), |part| Err(Ended::silent(exit(part))))
}

/// What can be looked at only once something else is well.
const LATER: [Part; 6] = [
    Part::Issuer,
    Part::SignIn,
    Part::Cloud,
    Part::Template,
    Part::Rights,
    Part::Clock,
];

type Known = (SignIn, Arc<dyn Cloud>, String);

async fn organisation(setup: &Setup, vault: &Arc<dyn Vault>) -> Result<Known, Ended> {
    let sign_in = setup.sign_in(Arc::clone(vault))?;
    let cloud = setup.cloud(&sign_in)?;
    // Whether it can be restored is one of the findings, so an error is not the end here.
    let _ = sign_in.restore().await;
    Ok((sign_in, cloud, setup.profile_name().to_owned()))
}

fn exit(part: Part) -> Exit {
    match part {
        Part::Bluetooth => Exit::Bluetooth,
        Part::Issuer | Part::SignIn => Exit::SignIn,
        Part::Cloud | Part::Template | Part::Rights => Exit::Cloud,
        Part::Keyring | Part::Journal | Part::Profile | Part::Clock => Exit::Local,
    }
}

fn words(finding: &Finding) -> String {
    let (mark, part) = (mark(finding.state), name(finding.what));
    let advice = finding
        .advice
        .as_ref()
        .map(|advice| format!("\n{:>16} do now: {advice}", ""))
        .unwrap_or_default();
    format!("{mark} {part:<13} {}{advice}", finding.detail)
}

fn mark(state: Health) -> &'static str {
    match state {
        Health::Ok => "✓",
        Health::Warn => "▲",
        Health::Bad => "■",
    }
}

fn name(part: Part) -> &'static str {
    match part {
        Part::Bluetooth => "Bluetooth",
        Part::Keyring => "keyring",
        Part::Journal => "journal",
        Part::Profile => "profile",
        Part::Issuer => "issuer",
        Part::SignIn => "sign-in",
        Part::Cloud => "cloud",
        Part::Template => "template",
        Part::Rights => "rights",
        Part::Clock => "clock",
    }
}
