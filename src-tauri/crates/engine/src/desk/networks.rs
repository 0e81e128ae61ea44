//! Sites and their networks: where the person works, what can be joined there, whose passphrase is in the keyring.

use std::collections::BTreeMap;
use std::sync::Arc;

use commission::secret::Passphrase;

use super::kept::KnownNetwork;
use super::orders::{checked, locked};
use super::{NetworkView, SiteView, Typed, Wake, Worker};
use crate::passphrases::Passphrases;
use crate::settings::ProfileSite;

impl Worker {
    /// The site in work: what the person chose where the profile has it, else the profile's usual one.
    pub(super) fn site(&self) -> Option<&ProfileSite> {
        let profile = self.office.as_ref()?.organisation.profile();
        let chosen = self.kept.settings.site.as_deref();
        chosen
            .and_then(|name| profile.site(name))
            .or_else(|| profile.usual_site())
    }

    pub(super) fn site_views(&self) -> Vec<SiteView> {
        let Some(office) = &self.office else {
            return Vec::new();
        };
        let profile = office.organisation.profile();
        let sites = profile.sites.iter().map(|site| SiteView {
            name: site.name.clone(),
            networks: profile
                .networks_of(Some(site))
                .map(|network| String::from(&network.ssid))
                .collect(),
        });
        sites.collect()
    }

    /// Whether a network hides its name and whether it is open, as far as it is known. A file of labels may name one
    /// that the site in work does not have.
    pub(super) fn known_network(&self, ssid: &str) -> Option<(bool, bool)> {
        let here = self.networks.iter().find(|network| network.ssid == ssid);
        here.map(|network| (network.hidden, network.open)).or_else(|| {
            let profile = self.office.as_ref()?.organisation.profile();
            let network = profile.network(ssid)?;
            Some((network.hidden, network.open))
        })
    }

    pub(super) fn remember_network(&mut self, ssid: String, passphrase: &Typed) {
        let passphrase = Some(passphrase.passphrase()).filter(|text| !text.is_empty());
        match (checked(&ssid, passphrase.clone(), false), passphrase) {
            (Ok(_), Some(passphrase)) => {
                let (hidden, _) = self.known_network(&ssid).unwrap_or_default();
                self.keep_network(ssid, hidden, Some(passphrase));
            }
            (Ok(_), None) => self.warn(
                "network",
                "No passphrase was typed.",
                "Type the network's passphrase; an open network needs none.",
            ),
            (Err(failure), _) => self.fail(failure),
        }
    }

    /// Keeps a network at the site in work, and its passphrase in the keyring; an open one has none.
    pub(super) fn keep_network(&self, ssid: String, hidden: bool, passphrase: Option<Passphrase>) {
        let network = KnownNetwork {
            ssid,
            hidden,
            open: passphrase.is_none(),
            site: self.site().map(|site| site.name.clone()),
        };
        let (vault, passphrases) = (Arc::clone(&self.parts.vault), self.passphrases());
        self.later(async move {
            let (Some(passphrase), Some(passphrases)) = (passphrase, passphrases) else {
                return Wake::Remembered(Ok(network));
            };
            match passphrases
                .write(vault.as_ref(), &network.ssid, &passphrase)
                .await
            {
                Ok(()) => Wake::Remembered(Ok(network)),
                Err(error) => Wake::Remembered(Err(locked(&error))),
            }
        });
    }

    pub(super) fn forget_network(&self, ssid: String) {
        let (vault, passphrases) = (Arc::clone(&self.parts.vault), self.passphrases());
        self.later(async move {
            let forgotten = match passphrases {
                Some(passphrases) => passphrases.forget(vault.as_ref(), &ssid).await,
                None => Ok(()),
            };
            Wake::Forgot(ssid, forgotten)
        });
    }

    /// Where the passphrases of the organisation in work are.
    pub(super) fn passphrases(&self) -> Option<Passphrases> {
        let office = self.office.as_ref()?;
        Some(Passphrases::of(office.organisation.profile()))
    }

    /// Which networks there are at the site in work, and whose passphrase is in the keyring. The list holds at once,
    /// so that no network of another site is offered meanwhile; what the keyring says comes after.
    pub(super) fn look_at_networks(&mut self) {
        self.network_looks += 1;
        let mut networks = self.networks_here();
        for network in &mut networks {
            let before = self.networks.iter().find(|known| known.ssid == network.ssid);
            network.remembered = before.is_some_and(|known| known.remembered);
        }
        self.networks.clone_from(&networks);
        let (vault, look) = (Arc::clone(&self.parts.vault), self.network_looks);
        let passphrases = self.passphrases();
        self.later(async move {
            for network in &mut networks {
                network.remembered = match &passphrases {
                    Some(passphrases) => {
                        matches!(passphrases.read(vault.as_ref(), &network.ssid).await, Ok(Some(_)))
                    }
                    None => false,
                };
            }
            Wake::Networks(look, networks)
        });
    }

    /// The profile's networks at the site in work, and those that the person added there.
    fn networks_here(&self) -> Vec<NetworkView> {
        let Some(office) = &self.office else {
            return Vec::new();
        };
        let (profile, site) = (office.organisation.profile(), self.site());
        let usual = profile.usual_network(site);
        let of_profile = profile.networks_of(site).map(|network| NetworkView {
            ssid: String::from(&network.ssid),
            hidden: network.hidden,
            open: network.open,
            remembered: false,
            proposed: usual == Some(&network.ssid),
            added: false,
        });
        let name = site.map(|site| &site.name);
        // Where the profile knows a network, it says at which sites, unless somebody added it at this very one.
        let added = self.kept.networks.iter().filter(|known| match &known.site {
            Some(added_at) => Some(added_at) == name,
            None => profile.network(&known.ssid).is_none(),
        });
        let added = added.map(|known| NetworkView {
            ssid: known.ssid.clone(),
            hidden: known.hidden,
            open: known.open,
            remembered: false,
            proposed: false,
            added: true,
        });
        // What comes later counts: what was added last, and before all what the profile says.
        let mut networks = BTreeMap::new();
        for network in added.chain(of_profile) {
            networks.insert(network.ssid.clone(), network);
        }
        networks.into_values().collect()
    }
}
