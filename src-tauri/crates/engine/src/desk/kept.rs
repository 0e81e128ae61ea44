//! What a person set, and the networks that they added, in one small file without a secret.

use std::io;

use serde::{Deserialize, Serialize};

use super::request::Settings;
use crate::settings::{Home, write_private};

const FILE: &str = "settings.json";

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Kept {
    /// What the person set.
    pub(super) settings: Settings,
    /// Networks that the profile does not name; their passphrases are in the keyring.
    pub(super) networks: Vec<KnownNetwork>,
}

/// A network that a person added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KnownNetwork {
    pub(super) ssid: String,
    pub(super) hidden: bool,
    /// Whether it has no passphrase.
    #[serde(default)]
    pub(super) open: bool,
    /// The site at which it was added; everywhere where none.
    #[serde(default)]
    pub(super) site: Option<String>,
}

impl Kept {
    /// What was kept, or the usual with the reason why it cannot be read.
    pub(super) fn read(home: &Home) -> (Self, Option<String>) {
        let path = home.config.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (Self::default(), None),
            Err(error) => return (Self::default(), Some(format!("{}: {error}", path.display()))),
        };
        match serde_json::from_str(&text) {
            Ok(kept) => (kept, None),
            Err(error) => (Self::default(), Some(format!("{}: {error}", path.display()))),
        }
    }

    pub(super) fn write(&self, home: &Home) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        write_private(&home.config.join(FILE), &text).map_err(|error| error.to_string())
    }

    pub(super) fn remember(&mut self, network: KnownNetwork) {
        let same = |known: &KnownNetwork| (&known.ssid, &known.site) == (&network.ssid, &network.site);
        self.networks.retain(|known| !same(known));
        self.networks.push(network);
    }

    /// The passphrase is one at all sites, so that it is forgotten for all of them.
    pub(super) fn forget(&mut self, ssid: &str) {
        self.networks.retain(|known| known.ssid != ssid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::{Language, Theme};

    #[test]
    fn what_was_set_is_there_again_and_a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::under(dir.path());
        assert_eq!(Kept::read(&home), (Kept::default(), None));
        let mut kept = Kept::default();
        kept.settings.language = Language::De;
        kept.settings.theme = Theme::Dark;
        kept.settings.links = Some(2);
        kept.settings.site = Some("Harbour 7".into());
        kept.remember(KnownNetwork {
            ssid: "Workshop".into(),
            hidden: true,
            open: false,
            site: Some("Harbour 7".into()),
        });
        kept.write(&home).unwrap();
        assert_eq!(Kept::read(&home), (kept, None));
        std::fs::write(home.config.join(FILE), "{").unwrap();
        let (usual, trouble) = Kept::read(&home);
        assert_eq!(usual, Kept::default());
        assert!(trouble.unwrap().contains(FILE));
    }

    #[test]
    fn what_was_set_before_there_were_sites_still_holds() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::under(dir.path());
        std::fs::create_dir_all(&home.config).unwrap();
        let before = r#"{"settings":{"links":2,"adapter":null,"language":"de","theme":"dark","compact":true},
            "networks":[{"ssid":"Workshop","hidden":true}]}"#;
        std::fs::write(home.config.join(FILE), before).unwrap();
        let (kept, trouble) = Kept::read(&home);
        assert_eq!(
            (trouble, kept.settings.links, &kept.settings.site),
            (None, Some(2), &None)
        );
        assert_eq!(
            kept.networks,
            [KnownNetwork {
                ssid: "Workshop".into(),
                hidden: true,
                open: false,
                site: None,
            }]
        );
    }

    #[test]
    fn a_network_is_kept_once_for_each_site_and_forgotten_for_all() {
        let at = |site: &str, open| KnownNetwork {
            ssid: "Workshop".into(),
            hidden: false,
            open,
            site: Some(site.into()),
        };
        let mut kept = Kept::default();
        kept.remember(at("Harbour 7", true));
        kept.remember(at("Harbour 8", false));
        kept.remember(at("Harbour 7", false));
        assert_eq!(kept.networks, [at("Harbour 8", false), at("Harbour 7", false)]);
        kept.forget("Workshop");
        assert_eq!(kept.networks, []);
    }
}
