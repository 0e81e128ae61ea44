//! `fieldkey profile`: import and show.

use std::path::Path;

use commission::policy::{IdentityPolicy, PlainDevices};
use engine::settings::{
    AwsCredentials, Change, CloudSettings, Profile, ProfileNetwork, ProfileSite, Profiles, StoreError,
};

use crate::args;
use crate::exit::{Ended, Exit};
use crate::setup::Base;

/// Imports or shows.
pub(crate) async fn run(base: &Base, wanted: &args::Profile) -> Result<(), Ended> {
    match wanted {
        args::Profile::Import { file, replace } => import(base, file, *replace).await?,
        args::Profile::Show => {
            let profile = base.profile()?;
            base.out.both("profile", &profile, words(&profile));
        }
    }
    Ok(())
}

/// Takes a profile in and makes it the current one; what it changes is shown, and agreed to first.
pub(super) async fn import(base: &Base, file: &Path, replace: bool) -> Result<(), Ended> {
    let profiles = Profiles::new(&base.home);
    let refused = |error: StoreError| match error {
        StoreError::File { ref path, .. } if path == file => {
            Ended::usage(error, "Check the file's name; nothing was imported.")
        }
        StoreError::Profile(_) | StoreError::Unusable(_) | StoreError::Signature(_) => Ended::usage(
            format!("{}: {error}", file.display()),
            "Correct the profile, or ask the office for it again; nothing was imported.",
        ),
        StoreError::NotText(_) => Ended::usage(
            error,
            "Save it in UTF-8, or ask the office for it again; nothing was imported.",
        ),
        error => Ended::new(
            Exit::Local,
            "profile",
            error,
            "Check that the disk has room and that the folder is yours to write.",
        ),
    };
    let candidate = profiles.look_at_file(file).map_err(refused)?;
    if !candidate.changes.is_empty() {
        let changes: Vec<String> = candidate.changes.iter().map(change).collect();
        base.out.both(
            "profile-changes",
            &serde_json::json!({ "name": candidate.profile.name, "changes": candidate.changes }),
            format!(
                "This profile of {} changes:\n{}",
                candidate.profile.name,
                changes.join("\n")
            ),
        );
        if !replace && !agreed(base).await? {
            return Err(Ended::new(
                Exit::Usage,
                "profile-changes",
                "the profile changes where secrets go or what is allowed",
                "Ask the office whether it is theirs; if so: fieldkey profile import --replace FILE. Nothing was imported.",
            ));
        }
    }
    let profile = profiles.keep(&candidate).map_err(refused)?;
    base.out.line("profile-imported", &profile);
    base.out
        .say(format!("The profile of {} is imported and in use.", profile.name));
    base.out.say("Next: fieldkey sign-in");
    Ok(())
}

fn change(change: &Change) -> String {
    format!("  {}: {} -> {}", change.what.words(), change.before, change.after)
}

/// What the person at the terminal says; without one nobody agrees.
async fn agreed(base: &Base) -> Result<bool, Ended> {
    if !base.person.is_at_terminal() {
        return Ok(false);
    }
    let answer = base
        .person
        .line("Is that what your office told you? (yes/no)")
        .await?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}

fn words(profile: &Profile) -> String {
    let makers: Vec<&str> = profile.makers.iter().map(|maker| maker.name.as_str()).collect();
    let policy = &profile.policy;
    let networks: Vec<String> = profile.networks.iter().map(network).collect();
    let sites: Vec<String> = profile.sites.iter().map(site).collect();
    let allowed: Vec<&str> = [
        (policy.allow_unencrypted, "no encryption"),
        (policy.allow_no_pop, "no proof of possession"),
        (policy.allow_nonce_reuse, "reused nonces"),
        (
            policy.identity == IdentityPolicy::WhenOffered,
            "devices that cannot prove their identity",
        ),
        (
            policy.identity == IdentityPolicy::Off,
            "no proof of identity from any device",
        ),
        (
            policy.plain_devices == PlainDevices::WifiOnly,
            "Wi-Fi only for devices that take no claim",
        ),
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
        format!("cloud          {}", cloud(&profile.cloud)),
        format!("networks       {}", listed(&networks)),
        format!("sites          {}", listed(&sites)),
        format!("makers         {}", listed(&makers)),
        format!("relaxations    {}", listed(&allowed)),
        format!("identity       {}", identity(policy.identity)),
        format!("weakest signal {} dBm without a question", policy.weakest_network),
        format!("links at once  {}", policy.links),
        format!(
            "by default     network {}, site {}",
            profile
                .defaults
                .network
                .as_ref()
                .map_or_else(|| "none".into(), String::from),
            profile.defaults.site.as_deref().unwrap_or("none")
        ),
    ]
    .join("\n")
}

fn cloud(settings: &CloudSettings) -> String {
    let place = settings.place();
    match settings {
        CloudSettings::Broker { .. } => format!("broker at {place}"),
        CloudSettings::AwsIot(aws) => match &aws.credentials {
            AwsCredentials::Cognito { identity_pool } => format!("{place}, keys by Cognito {identity_pool}"),
            AwsCredentials::Sts { role, .. } => format!("{place}, keys by {role}"),
        },
    }
}

fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn network(network: &ProfileNetwork) -> String {
    let marks: Vec<&str> = [(network.hidden, "hidden"), (network.open, "open")]
        .into_iter()
        .filter_map(|(marked, word)| marked.then_some(word))
        .collect();
    let name = &network.ssid;
    if marks.is_empty() {
        name.to_string()
    } else {
        format!("{name} ({})", marks.join(", "))
    }
}

fn site(site: &ProfileSite) -> String {
    let networks = match &site.networks {
        Some(own) => listed(&own.iter().map(ToString::to_string).collect::<Vec<_>>()),
        None => "all networks".to_owned(),
    };
    format!("{} ({networks})", site.name)
}

fn identity(policy: IdentityPolicy) -> &'static str {
    match policy {
        IdentityPolicy::Required => "required",
        IdentityPolicy::WhenOffered => "when offered",
        IdentityPolicy::Off => "not asked for",
    }
}
