//! What the keyring holds of a sign-in: the refresh token, whose it is, and where its tokens may go.

use std::sync::Arc;

use commission::secret::Token;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Person, SignInSettings};
use crate::ports::{Hold, Vault, VaultEntry, VaultError};

/// A sign-in as it outlives the program.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) refresh: Token,
    /// Who signed in. A renewal need not say it again (OpenID Connect Core 1.0, 12.2); unknown where an earlier version
    /// wrote the entry.
    pub(super) holder: Option<Holder>,
    /// The origins that the person signed in for, see [`SignInSettings::origin`].
    origins: Vec<String>,
}

/// Whose sign-in it is. No more than that: some systems keep 2560 bytes an entry, and issuers' tokens are long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    pub(super) subject: String,
    name: String,
}

/// The entry's text. It has the token in plain, so it lives in wiped memory only.
#[derive(Serialize)]
struct Written<'s> {
    refresh: &'s str,
    holder: &'s Option<Holder>,
    origins: &'s [String],
}

#[derive(Deserialize)]
struct Read {
    refresh: String,
    holder: Option<Holder>,
    origins: Vec<String>,
}

impl Holder {
    pub(super) fn of(person: &Person) -> Self {
        Self {
            subject: person.subject.clone(),
            name: person.name.clone(),
        }
    }

    /// The person, as far as the keyring knows them.
    pub(super) fn person(&self) -> Person {
        Person {
            subject: self.subject.clone(),
            name: self.name.clone(),
            email: None,
            roles: Vec::new(),
        }
    }
}

impl Stored {
    /// A sign-in for this origin.
    pub(super) fn new(refresh: Token, holder: Holder, origin: String) -> Self {
        Self {
            refresh,
            holder: Some(holder),
            origins: vec![origin],
        }
    }

    /// The same, for all origins that `earlier` was for as well, where that is the same person's.
    pub(super) fn after(mut self, earlier: Option<Self>) -> Self {
        let subject = |stored: &Self| stored.holder.as_ref().map(|holder| holder.subject.clone());
        let same = earlier.filter(|earlier| subject(earlier) == subject(&self));
        for origin in same.into_iter().flat_map(|same| same.origins) {
            if !self.origins.contains(&origin) {
                self.origins.push(origin);
            }
        }
        self
    }

    pub(super) fn is_for(&self, origin: &str) -> bool {
        self.origins.iter().any(|known| known == origin)
    }

    pub(super) fn is_of(&self, subject: &str) -> bool {
        self.holder
            .as_ref()
            .is_none_or(|holder| holder.subject == subject)
    }

    pub(super) fn text(&self) -> Result<Token, VaultError> {
        let written = Written {
            refresh: self.refresh.reveal(),
            holder: &self.holder,
            origins: &self.origins,
        };
        // Room for all of it, so that no part is left behind by a buffer that moved.
        let room = self.refresh.reveal().len() * 2 + 1024;
        let mut text = Zeroizing::new(Vec::with_capacity(room));
        serde_json::to_writer(&mut *text, &written).map_err(|error| VaultError::Failed(error.to_string()))?;
        let text = str::from_utf8(&text).map_err(|error| VaultError::Failed(error.to_string()))?;
        Ok(Token::new(text))
    }

    pub(super) fn read(text: &Token) -> Result<Self, VaultError> {
        let read: Read = serde_json::from_str(text.reveal())
            // Never with what stood there.
            .map_err(|_| {
                VaultError::Failed("the entry of the sign-in makes no sense; sign in again".into())
            })?;
        Ok(Self {
            refresh: Token::new(Zeroizing::new(read.refresh).as_str()),
            holder: read.holder,
            origins: read.origins,
        })
    }
}

/// The entries of one sign-in.
pub(super) struct Entries {
    vault: Arc<dyn Vault>,
    own: VaultEntry,
    /// Where an earlier version kept it, by the profile's name.
    earlier: Option<VaultEntry>,
    origin: String,
}

impl Entries {
    pub(super) fn of(settings: &SignInSettings, vault: Arc<dyn Vault>) -> Self {
        let by_name = |profile: &String| VaultEntry::RefreshToken {
            profile: profile.clone(),
        };
        Self {
            vault,
            own: VaultEntry::SignIn {
                issuer: settings.issuer.clone(),
                client: settings.client_id.clone(),
            },
            earlier: settings.earlier.as_ref().map(by_name),
            origin: settings.origin.clone(),
        }
    }

    pub(super) fn own(&self) -> VaultEntry {
        self.own.clone()
    }

    pub(super) async fn hold(&self) -> Result<Hold, VaultError> {
        self.vault.hold(&self.own).await
    }

    pub(super) async fn read(&self) -> Result<Option<Stored>, VaultError> {
        if let Some(text) = self.vault.read(&self.own).await? {
            return Stored::read(&text).map(Some);
        }
        let Some(earlier) = &self.earlier else {
            return Ok(None);
        };
        let token = self.vault.read(earlier).await?;
        Ok(token.map(|refresh| Stored {
            refresh,
            holder: None,
            origins: vec![self.origin.clone()],
        }))
    }

    pub(super) async fn write(&self, stored: &Stored) -> Result<(), VaultError> {
        self.vault.write(&self.own, &stored.text()?).await?;
        self.forget_earlier().await
    }

    pub(super) async fn forget(&self) -> Result<(), VaultError> {
        self.vault.forget(&self.own).await?;
        self.forget_earlier().await
    }

    async fn forget_earlier(&self) -> Result<(), VaultError> {
        match &self.earlier {
            Some(earlier) => self.vault.forget(earlier).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_nothing_else_is() {
        let holder = Holder {
            subject: "anna".into(),
            name: "Anna \"A\" Ä".into(),
        };
        let stored = Stored::new(Token::new("r\"0\\"), holder.clone(), "o1".into());
        let read = Stored::read(&stored.text().unwrap()).unwrap();
        assert_eq!(
            (read.refresh.clone(), read.holder.clone()),
            (Token::new("r\"0\\"), Some(holder))
        );
        assert!(read.is_for("o1") && !read.is_for("o2"));
        assert!(read.is_of("anna") && !read.is_of("ben"));
        let refused = Stored::read(&Token::new("r0-plain")).err().unwrap();
        assert!(!refused.to_string().contains("r0-plain"), "{refused}");
    }

    #[test]
    fn what_one_person_agreed_to_is_not_the_next_ones() {
        let of = |subject: &str, origin: &str| {
            let holder = Holder {
                subject: subject.into(),
                name: subject.into(),
            };
            Stored::new(Token::new("r"), holder, origin.into())
        };
        assert!(of("anna", "o2").after(Some(of("anna", "o1"))).is_for("o1"));
        assert!(!of("ben", "o2").after(Some(of("anna", "o1"))).is_for("o1"));
    }
}
