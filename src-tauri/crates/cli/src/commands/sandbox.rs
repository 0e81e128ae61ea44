//! `fieldkey sandbox`: simulated devices, radio and cloud on this computer.
//!
//! The rest of the program reaches it as it reaches the real world: over Bluetooth's D-Bus, HTTPS and MQTT.

use std::path::{Path, PathBuf};

use commission::secret::Passphrase;
use engine::passphrases::Passphrases;
use sandbox::person::Person;
use sandbox::sandbox::{
    COGNITO_PROFILE_FILE, REGISTRAR_PROFILE_FILE, STS_PROFILE_FILE, Sandbox, SandboxConfig, SandboxError,
    Secrets, Status,
};
use sandbox::scenario::{BUILT_IN, Scenario};
use url::Url;

use crate::args::{self, Way};
use crate::exit::{Ended, Exit};
use crate::setup::Base;
use crate::words;

/// Starts it, shows it, or plays the person at its pages.
pub(crate) async fn run(base: &Base, wanted: &args::Sandbox) -> Result<(), Ended> {
    match wanted {
        args::Sandbox::Up {
            scenario,
            state,
            speed,
        } => up(base, scenario, state.as_deref(), *speed).await,
        args::Sandbox::Status { state, check } => status(base, &folder(base, state.as_deref()), *check).await,
        args::Sandbox::MoveIn { by, state } => move_in(base, &folder(base, state.as_deref()), *by).await,
        args::Sandbox::Browse { state, user, page } => {
            browse(base, &folder(base, state.as_deref()), user, page).await
        }
    }
}

async fn up(base: &Base, scenario: &str, state: Option<&Path>, speed: f64) -> Result<(), Ended> {
    let config = SandboxConfig {
        scenario: read_scenario(scenario)?,
        state_dir: folder(base, state),
        speed,
    };
    let sandbox = Sandbox::start(config).await.map_err(broken)?;
    let status = sandbox.status();
    let state_dir = sandbox.state_dir().display().to_string();
    base.out.line(
        "ready",
        &serde_json::json!({
            "busAddress": status.bus_address,
            "issuer": status.issuer_url,
            "broker": status.broker_url,
            "aws": status.aws.url,
            "state": state_dir,
            "profile": status.profile,
            "labels": status.labels,
        }),
    );
    // Commands find the folder by themselves only where it is the usual one.
    let place = state.map_or_else(String::new, |_| format!(" --state '{state_dir}'"));
    base.out.say(format!(
        "The sandbox “{}” is up with {} devices. In another terminal:\n\n  \
         export DBUS_SYSTEM_BUS_ADDRESS='{}'\n  \
         fieldkey sandbox move-in{place}   # profile and passphrases\n  \
         fieldkey sign-in           # people and their passwords: {state_dir}/secrets.json\n  \
         fieldkey commission --labels {}\n  \
         fieldkey sandbox status{place}\n\nWithout a browser, sign in with: \
         BROWSER='fieldkey sandbox browse{place}' fieldkey sign-in\nCtrl-C stops it; what the devices learnt stays in {state_dir}.",
        status.scenario,
        status.devices.len(),
        status.bus_address,
        status.labels.display()
    ));
    // It has its own ear for signals, and keeps what the devices learnt.
    let _minding = base.interrupts.mind();
    sandbox.run().await.map_err(broken)
}

fn read_scenario(name: &str) -> Result<Scenario, Ended> {
    let wrong = |error: sandbox::scenario::ScenarioError| {
        Ended::usage(
            format!("{name}: {error}"),
            "Correct the scenario and start again.",
        )
    };
    if let Some(built_in) = Scenario::built_in(name) {
        return built_in.map_err(wrong);
    }
    let text = std::fs::read_to_string(name).map_err(|error| {
        let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        Ended::usage(
            format!("{name} is no built-in scenario and cannot be read as a file: {error}"),
            format!(
                "Name a scenario file, or one that is built in: {}.",
                known.join(" or ")
            ),
        )
    })?;
    Scenario::parse(&text).map_err(wrong)
}

async fn status(base: &Base, state: &Path, check: bool) -> Result<(), Ended> {
    let status = read_status(state).await?;
    for device in &status.devices {
        let detail = device
            .detail
            .as_ref()
            .map(|detail| format!(" ({detail})"))
            .unwrap_or_default();
        base.out.both(
            "device",
            device,
            format!(
                "{:<16} {:<12} Wi-Fi {:<10} cloud {}{detail}",
                device.name, device.serial, device.wifi, device.enrol
            ),
        );
    }
    for thing in &status.things {
        let active: Vec<String> = thing.active.iter().map(|id| words::short(id)).collect();
        base.out.both(
            "thing",
            thing,
            format!(
                "thing {:<18} active: {}; {}, {}",
                thing.name,
                active.join(", "),
                if thing.connected.is_some() {
                    "online"
                } else {
                    "offline"
                },
                if thing.released {
                    "released"
                } else {
                    "not released"
                }
            ),
        );
    }
    for claim in &status.claims {
        base.out.both(
            "claim",
            claim,
            format!(
                "claim {} for {}: {}",
                words::short(&claim.id),
                claim.serial.as_deref().unwrap_or("no device yet"),
                claim.state
            ),
        );
    }
    for orphan in &status.orphans {
        base.out.both(
            "orphan",
            &serde_json::json!({ "what": orphan }),
            format!("left over: {orphan}"),
        );
    }
    if !check {
        return Ok(());
    }
    let shortcomings = status.shortcomings();
    if shortcomings.is_empty() {
        base.out.say(format!(
            "All {} devices are enrolled: each thing has exactly one active certificate, none of them a claim's.",
            status.devices.len()
        ));
        return Ok(());
    }
    Err(Ended::new(
        Exit::DeviceFailed,
        "not-enrolled",
        shortcomings.join("; "),
        "Commission those devices, then check again.",
    ))
}

/// What an office does for an installer, and what the installer types once.
async fn move_in(base: &Base, state: &Path, by: Way) -> Result<(), Ended> {
    let status = read_status(state).await?;
    let profile = match by {
        Way::Broker => status.profile,
        Way::Cognito => state.join(COGNITO_PROFILE_FILE),
        Way::Sts => state.join(STS_PROFILE_FILE),
        Way::Registrar => state.join(REGISTRAR_PROFILE_FILE),
    };
    super::profile::import(base, &profile, true).await?;
    let setup = base.clone().with_profile()?;
    let vault = setup.keyring().await?;
    let secrets = Secrets::read(state).map_err(broken)?;
    let passphrases = Passphrases::of(&setup.profile);
    for network in &setup.profile.networks {
        let ssid = String::from(&network.ssid);
        let Some(passphrase) = secrets.as_ref().and_then(|secrets| secrets.passphrase(&ssid)) else {
            continue;
        };
        let passphrase = Passphrase::new(passphrase.reveal());
        passphrases.write(vault.as_ref(), &ssid, &passphrase).await?;
        super::network::remembered(&setup, &ssid);
    }
    Ok(())
}

async fn browse(base: &Base, state: &Path, user: &str, page: &Url) -> Result<(), Ended> {
    let status = read_status(state).await?;
    let password = Secrets::read(state)
        .map_err(broken)?
        .and_then(|secrets| secrets.password(user))
        .ok_or_else(|| {
            Ended::usage(
                format!("the sandbox knows no {user}"),
                "Its people are in secrets.json in its state folder.",
            )
        })?;
    let refused = |error: sandbox::person::PersonError| {
        let now = if page.query().is_some() {
            "Begin the sign-in again: fieldkey sign-in"
        } else {
            "The page wants a code: give the address that has it (pageWithCode of fieldkey --json sign-in --device-code)."
        };
        Ended::new(Exit::SignIn, "page", error, now)
    };
    Person::new(&status.ca_pem)
        .map_err(refused)?
        .sign_in_as(page, user, &password)
        .await
        .map_err(refused)?;
    base.out.say(format!("{user} signed in at the sandbox's page."));
    Ok(())
}

async fn read_status(state: &Path) -> Result<Status, Ended> {
    Status::read_fresh(state).await.map_err(broken)?.ok_or_else(|| {
        Ended::new(
            Exit::Usage,
            "no-sandbox",
            format!("no sandbox runs on {}", state.display()),
            "Start one with fieldkey sandbox up, or name its folder with --state.",
        )
    })
}

fn folder(base: &Base, state: Option<&Path>) -> PathBuf {
    state.map_or_else(|| base.home.data.join("sandbox"), Path::to_owned)
}

fn broken(error: SandboxError) -> Ended {
    let now = match error {
        SandboxError::Busy { .. } => "Stop that one, or choose another folder with --state.",
        SandboxError::Status(_) | SandboxError::Silent(_) => "Start it again: fieldkey sandbox up",
        SandboxError::Radio(_) => "Install what is named, then start it again.",
        _ => "Check that the disk has room and that the sandbox's folder is yours to write.",
    };
    Ended::new(Exit::Local, "sandbox", error, now)
}
