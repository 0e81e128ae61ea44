//! `fieldkey network`: passphrases, in the keyring and nowhere else.

use commission::network::{Network, Ssid};
use commission::secret::Passphrase;
use engine::passphrases::Passphrases;

use crate::args;
use crate::exit::Ended;
use crate::person::Silence;
use crate::setup::Setup;

/// Says that a passphrase is kept.
pub(super) fn remembered(setup: &Setup, name: &str) {
    let words = format!("The passphrase of {name} is in the keyring.");
    setup
        .out
        .both("network-remembered", &serde_json::json!({ "ssid": name }), words);
}

/// Keeps or forgets a passphrase.
pub(crate) async fn run(setup: &Setup, wanted: &args::Network) -> Result<(), Ended> {
    let vault = setup.keyring().await?;
    let passphrases = Passphrases::of(&setup.profile);
    match wanted {
        args::Network::Remember { ssid } => {
            let missing = || {
                Ended::usage(
                    "no passphrase was given",
                    "Type it, or give it as a line on standard input; an open network needs none.",
                )
            };
            let prompt = format!("Passphrase of the network {ssid}");
            let passphrase = match setup.person.secret(&prompt).await {
                Ok(text) if !text.is_empty() => Passphrase::new(text.as_str()),
                Ok(_) | Err(Silence::Over) => return Err(missing()),
                Err(silence) => return Err(silence.into()),
            };
            let checked = Ssid::new(ssid.as_str())
                .and_then(|name| Network::new(name, Some(passphrase.clone()), false))
                .map_err(|error| {
                    Ended::usage(error, "Type it again as it is at the site; nothing was kept.")
                })?;
            passphrases.write(vault.as_ref(), ssid, &passphrase).await?;
            remembered(setup, &checked.ssid.to_string());
        }
        args::Network::Forget { ssid } => {
            let was_kept = passphrases.read(vault.as_ref(), ssid).await?.is_some();
            passphrases.forget(vault.as_ref(), ssid).await?;
            let words = if was_kept {
                format!("The passphrase of {ssid} is forgotten.")
            } else {
                format!("No passphrase of {ssid} was kept.")
            };
            let line = serde_json::json!({ "ssid": ssid, "wasKept": was_kept });
            setup.out.both("network-forgotten", &line, words);
        }
    }
    Ok(())
}
