//! The passphrases of an organisation's networks in the keyring. They belong to the organisation, whose devices join with
//! them, and not to a profile's name, which any file can have.

use commission::organisation::OrganisationId;
use commission::secret::{Passphrase, Token};

use crate::ports::{Vault, VaultEntry, VaultError};
use crate::settings::Profile;

/// Where the keyring has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passphrases {
    organisation: OrganisationId,
    /// The name under which an earlier version kept those of this very organisation, where there may be any.
    earlier: Option<String>,
}

impl Passphrases {
    /// Those of this profile's organisation.
    pub fn of(profile: &Profile) -> Self {
        Self {
            organisation: profile.organisation(),
            earlier: profile.inherits.then(|| profile.name.clone()),
        }
    }

    /// The entry of a network.
    pub fn entry(&self, ssid: &str) -> VaultEntry {
        VaultEntry::Network {
            organisation: self.organisation.clone(),
            ssid: ssid.to_owned(),
        }
    }

    /// A network's passphrase; what an earlier version kept is moved.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn read(&self, vault: &dyn Vault, ssid: &str) -> Result<Option<Passphrase>, VaultError> {
        let entry = self.entry(ssid);
        if let Some(kept) = vault.read(&entry).await? {
            return Ok(Some(Passphrase::new(kept.reveal())));
        }
        let Some(earlier) = self.earlier(ssid) else {
            return Ok(None);
        };
        let Some(kept) = vault.read(&earlier).await? else {
            // Somebody else may have moved it since.
            let moved = vault.read(&entry).await?;
            return Ok(moved.map(|kept| Passphrase::new(kept.reveal())));
        };
        vault.write(&entry, &kept).await?;
        if let Err(error) = vault.forget(&earlier).await {
            tracing::warn!(%error, "an entry that was moved is still there");
        }
        Ok(Some(Passphrase::new(kept.reveal())))
    }

    /// Keeps one.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn write(
        &self,
        vault: &dyn Vault,
        ssid: &str,
        passphrase: &Passphrase,
    ) -> Result<(), VaultError> {
        vault
            .write(&self.entry(ssid), &Token::new(passphrase.reveal()))
            .await?;
        self.forget_earlier(vault, ssid).await
    }

    /// Forgets one; none there is no error.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn forget(&self, vault: &dyn Vault, ssid: &str) -> Result<(), VaultError> {
        vault.forget(&self.entry(ssid)).await?;
        self.forget_earlier(vault, ssid).await
    }

    async fn forget_earlier(&self, vault: &dyn Vault, ssid: &str) -> Result<(), VaultError> {
        match self.earlier(ssid) {
            Some(earlier) => vault.forget(&earlier).await,
            None => Ok(()),
        }
    }

    fn earlier(&self, ssid: &str) -> Option<VaultEntry> {
        let profile = self.earlier.clone()?;
        Some(VaultEntry::NetworkPassphrase {
            profile,
            ssid: ssid.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::TestVault;

    fn profile(name: &str, broker: &str) -> Profile {
        let text = format!(
            "name = {name:?}\n[sign-in]\nissuer = \"https://login.example\"\nclient-id = \"fieldkey\"\n\
             [cloud]\nkind = \"broker\"\nurl = {broker:?}\n"
        );
        Profile::parse(&text).unwrap()
    }

    #[tokio::test]
    async fn a_profile_of_the_same_name_and_another_cloud_gets_no_passphrase() {
        let vault = TestVault::default();
        let plant = Passphrases::of(&profile("Acme", "https://claims.example/"));
        plant
            .write(&vault, "plant", &Passphrase::new("hunter22"))
            .await
            .unwrap();
        let read = |profile: &Profile| {
            let passphrases = Passphrases::of(profile);
            let vault = &vault;
            async move { passphrases.read(vault, "plant").await.unwrap() }
        };
        assert_eq!(read(&profile("Acme", "https://evil.example/")).await, None);
        assert!(
            read(&profile("Acme 2", "https://claims.example/"))
                .await
                .is_some()
        );
    }

    #[tokio::test]
    async fn what_an_earlier_version_kept_by_name_is_moved_for_the_profile_that_wrote_it_alone() {
        let vault = TestVault::default();
        let by_name = VaultEntry::NetworkPassphrase {
            profile: "Acme".into(),
            ssid: "plant".into(),
        };
        vault.write(&by_name, &Token::new("hunter22")).await.unwrap();
        let imported = profile("Acme", "https://evil.example/");
        assert_eq!(Passphrases::of(&imported).read(&vault, "plant").await, Ok(None));
        let mut wrote = profile("Acme", "https://claims.example/");
        wrote.inherits = true;
        let passphrases = Passphrases::of(&wrote);
        assert!(passphrases.read(&vault, "plant").await.unwrap().is_some());
        assert_eq!(vault.read(&by_name).await, Ok(None));
        assert!(passphrases.read(&vault, "plant").await.unwrap().is_some());
    }
}
