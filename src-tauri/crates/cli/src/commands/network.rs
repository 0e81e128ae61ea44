//! `fieldkey network`: passphrases, in the keyring and nowhere else.

use commission::network::{Network, Ssid};
use commission::secret::{Passphrase, Token};
use engine::ports::VaultEntry;

use crate::args;
use crate::exit::Ended;
use crate::setup::Setup;

/// Keeps or forgets a passphrase.
pub(crate) async fn run(setup: &Setup, wanted: &args::Network) -> Result<(), Ended> {
    let vault = setup.keyring().await?;
    let entry = |ssid: &str| VaultEntry::NetworkPassphrase {
        profile: setup.profile_name().into(),
        ssid: ssid.into(),
    };
    match wanted {
        args::Network::Remember { ssid } => {
            let text = setup
                .person
                .secret(&format!("Passphrase of the network {ssid}"))
                .await;
            let passphrase = text
                .map(|text| Passphrase::new(text.as_str()))
                .filter(|text| !text.is_empty());
            let Some(passphrase) = passphrase else {
                return Err(Ended::usage(
                    "no passphrase was given",
                    "Type it, or give it as a line on standard input; an open network needs none.",
                ));
            };
            let checked = Ssid::new(ssid.as_str())
                .and_then(|name| Network::new(name, Some(passphrase.clone()), false))
                .map_err(|error| Ended::usage(error, "Nothing was kept; try again."))?;
            vault
                .write(&entry(ssid), &Token::new(passphrase.reveal()))
                .await?;
            let name = checked.ssid.to_string();
            let words = format!("The passphrase of {name} is in the keyring.");
            setup
                .out
                .both("network-remembered", &serde_json::json!({ "ssid": name }), words);
        }
        args::Network::Forget { ssid } => {
            vault.forget(&entry(ssid)).await?;
            let words = format!("The passphrase of {ssid} is forgotten.");
            setup
                .out
                .both("network-forgotten", &serde_json::json!({ "ssid": ssid }), words);
        }
    }
    Ok(())
}
