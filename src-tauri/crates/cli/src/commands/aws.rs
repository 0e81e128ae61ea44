//! `fieldkey aws`: what an AWS account has to be given, and bulk registration in it.

use engine::cloud::aws::lint::lint;
use engine::cloud::aws::papers::{Issuer, Part, paper};
use engine::cloud::aws::policy::Account;
use engine::settings::CloudSettings;
use serde_json::json;

use crate::args;
use crate::exit::Ended;
use crate::setup::Base;

/// Does what is asked.
pub(crate) async fn run(base: &Base, wanted: &args::Aws) -> Result<(), Ended> {
    match wanted {
        args::Aws::Policy { account, part } => policy(base, account.as_deref(), *part),
        args::Aws::Bulk(wanted) => super::bulk::run(base, wanted).await,
    }
}

/// Prints the papers.
fn policy(base: &Base, account: Option<&str>, part: Option<args::Paper>) -> Result<(), Ended> {
    let profile = base.profile()?;
    let CloudSettings::AwsIot(settings) = &profile.cloud else {
        return Err(Ended::usage(
            format!("The profile of {} names no AWS account.", profile.name),
            "Import a profile whose [cloud] has kind = \"aws-iot\".",
        ));
    };
    let number = account.or(settings.account()).ok_or_else(|| {
        Ended::usage(
            "The profile does not tell the account's number.",
            "Give it: fieldkey aws policy --account 123456789012",
        )
    })?;
    let account = Account::of(settings, number);
    let issuer = Issuer {
        address: profile.sign_in.issuer.clone(),
        client: profile.sign_in.client_id.clone(),
    };
    let wanted = part.map(wanted_part);
    if wanted.is_some_and(|part| !part.is_for(settings.strategy)) {
        return Err(Ended::usage(
            "An account of the profile's strategy has no such paper.",
            "See all that it has: fieldkey aws policy",
        ));
    }
    for each in Part::ALL {
        if !each.is_for(settings.strategy) || wanted.is_some_and(|part| part != each) {
            continue;
        }
        let paper = paper(each, settings, &issuer, &account);
        let faults = lint(&paper);
        let line = json!({ "part": paper.part, "about": paper.about, "text": paper.text, "faults": faults });
        let text = if part.is_some() {
            paper.text.clone()
        } else {
            // For the eye: JSON knows no comments, so what is to be pasted is printed with `--part`.
            format!("# {}\n{}\n", paper.about, paper.text)
        };
        base.out.text("aws-paper", &line, &text);
        for fault in faults {
            base.out.warn("aws-paper", &fault);
        }
    }
    Ok(())
}

fn wanted_part(part: args::Paper) -> Part {
    match part {
        args::Paper::Trust => Part::Trust,
        args::Paper::Installer => Part::Installer,
        args::Paper::Support => Part::Support,
        args::Paper::NamedTrust => Part::NamedTrust,
        args::Paper::Device => Part::Device,
        args::Paper::Claim => Part::Claim,
        args::Paper::Template => Part::Template,
        args::Paper::Hook => Part::Hook,
        args::Paper::HookRole => Part::HookRole,
        args::Paper::Registrar => Part::Registrar,
        args::Paper::RegistrationTrust => Part::RegistrationTrust,
        args::Paper::Registration => Part::Registration,
    }
}
