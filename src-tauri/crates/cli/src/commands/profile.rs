//! `fieldkey profile`: import and show.

use engine::settings::{CloudSettings, Profile, Profiles, StoreError};

use crate::args;
use crate::exit::{Ended, Exit};
use crate::setup::Base;

/// Imports or shows.
pub(crate) fn run(base: &Base, wanted: &args::Profile) -> Result<(), Ended> {
    match wanted {
        args::Profile::Import { file } => {
            let profiles = Profiles::new(&base.home);
            let refused = |error: StoreError| match error {
                StoreError::File { ref path, .. } if path == file => {
                    Ended::usage(error, "Check the file's name; nothing was imported.")
                }
                StoreError::Profile(_) => Ended::usage(
                    format!("{}: {error}", file.display()),
                    "Correct the profile, or ask the office for it again; nothing was imported.",
                ),
                StoreError::NotText(_) => Ended::usage(error, ""),
                error => Ended::new(Exit::Local, "profile", error, ""),
            };
            let profile = profiles.import_file(file).map_err(refused)?;
            profiles.choose(&profile.name).map_err(refused)?;
            base.out.line("profile-imported", &profile);
            base.out
                .say(format!("The profile of {} is imported and in use.", profile.name));
            base.out.say("Next: fieldkey sign-in");
        }
        args::Profile::Show => {
            let profile = base.profile()?;
            base.out.both("profile", &profile, words(&profile));
        }
    }
    Ok(())
}

fn words(profile: &Profile) -> String {
    let CloudSettings::Broker { url, .. } = &profile.cloud;
    let networks: Vec<String> = profile
        .networks
        .iter()
        .map(|network| String::from(&network.ssid))
        .collect();
    let makers: Vec<&str> = profile.makers.iter().map(|maker| maker.name.as_str()).collect();
    let policy = &profile.policy;
    let listed = |names: &[&str]| {
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    let allowed: Vec<&str> = [
        (policy.allow_unencrypted, "no encryption"),
        (policy.allow_no_pop, "no proof of possession"),
        (policy.allow_nonce_reuse, "reused nonces"),
    ]
    .into_iter()
    .filter_map(|(allowed, what)| allowed.then_some(what))
    .collect();
    [
        format!("organisation   {}", profile.name),
        format!(
            "sign-in        {} as {}",
            profile.sign_in.issuer, profile.sign_in.client_id
        ),
        format!("cloud          broker at {url}"),
        format!(
            "networks       {}",
            listed(&networks.iter().map(String::as_str).collect::<Vec<_>>())
        ),
        format!("makers         {}", listed(&makers)),
        format!("relaxations    {}", listed(&allowed)),
        format!("links at once  {}", policy.links),
    ]
    .join("\n")
}
