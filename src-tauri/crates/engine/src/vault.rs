//! The OS keyring: Secret Service on Linux, Keychain on macOS, Credential Manager on Windows.
//!
//! One function here reads it and one writes it. Where a system has none, [`MemoryVault`] keeps what is needed until
//! the program ends, and the person is told. Not in scope: what is kept ([`VaultEntry`]).

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use commission::organisation::OrganisationId;
use commission::secret::{SecretBytes, Token};
use directories::ProjectDirs;
use keyring::Error;
use keyring_core::Entry;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::ports::{Hold, Vault, VaultEntry, VaultError};
use crate::settings::make_private_dir;

/// The program's name within the keyring.
const SERVICE: &str = "fieldkey";
/// How long a person may take to unlock the keyring when the system asks for it.
const UNLOCK: Duration = Duration::from_secs(120);
/// How long is waited for another process that holds an entry. It holds it as long as its work takes, which may include
/// a person who unlocks the keyring; who has waited in vain does without the entry, never without the hold.
const HELD: Duration = Duration::from_secs(60);
/// Pause between two looks whether it still does.
const LOOK: Duration = Duration::from_millis(25);

/// The keyring where there is one that works, else memory; in that case also why, to be told to the person.
pub async fn detect() -> (Arc<dyn Vault>, Option<VaultError>) {
    // What is not there is looked for like what is, so this finds out whether the keyring answers.
    let nothing = VaultEntry::SignIn {
        issuer: String::new(),
        client: String::new(),
    };
    match KeyringVault.read(&nothing).await {
        Ok(_) => (Arc::new(KeyringVault), None),
        Err(error) => (Arc::new(MemoryVault::default()), Some(error)),
    }
}

/// The OS keyring.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyringVault;

#[async_trait]
impl Vault for KeyringVault {
    async fn hold(&self, entry: &VaultEntry) -> Result<Hold, VaultError> {
        // The keyring is one for all of this person's processes, wherever each has its files.
        let held = match ProjectDirs::from("", "", SERVICE) {
            Some(dirs) => hold(dirs.runtime_dir().unwrap_or(dirs.data_local_dir()), entry, HELD).await,
            None => Err(TryLockError::Error(std::io::ErrorKind::NotFound.into())),
        };
        match held {
            Ok(file) => Ok(Hold::by(file)),
            Err(TryLockError::WouldBlock) => Err(VaultError::Busy),
            // Nobody can hold anything here, and nobody could sign in at all if that were demanded.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(%error, "another process may renew the sign-in at the same time");
                Ok(Hold::none())
            }
        }
    }

    async fn read(&self, entry: &VaultEntry) -> Result<Option<Token>, VaultError> {
        let account = account(entry);
        in_thread(move || read(&account)).await
    }

    async fn write(&self, entry: &VaultEntry, secret: &Token) -> Result<(), VaultError> {
        let (account, secret) = (account(entry), secret.clone());
        in_thread(move || write(&account, Some(&secret))).await
    }

    async fn forget(&self, entry: &VaultEntry) -> Result<(), VaultError> {
        let account = account(entry);
        in_thread(move || write(&account, None)).await
    }
}

/// Keeps secrets until the program ends.
#[derive(Debug, Default)]
pub struct MemoryVault {
    kept: Mutex<BTreeMap<VaultEntry, Token>>,
}

#[async_trait]
impl Vault for MemoryVault {
    async fn read(&self, entry: &VaultEntry) -> Result<Option<Token>, VaultError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.get(entry).cloned())
    }

    async fn write(&self, entry: &VaultEntry, secret: &Token) -> Result<(), VaultError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(entry.clone(), secret.clone());
        Ok(())
    }

    async fn forget(&self, entry: &VaultEntry) -> Result<(), VaultError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(entry);
        Ok(())
    }
}

/// Locks a file that stands for the entry; the lock ends with the file, and so with the process.
///
/// # Errors
/// [`TryLockError::WouldBlock`] where somebody else still has it after `patience`.
async fn hold(dir: &Path, entry: &VaultEntry, patience: Duration) -> Result<File, TryLockError> {
    make_private_dir(dir).map_err(TryLockError::Error)?;
    let name = hex::encode(Sha256::digest(account(entry)));
    let file = File::create(dir.join(format!("{name}.lock"))).map_err(TryLockError::Error)?;
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOOK).await,
            Err(error) => return Err(error),
        }
    }
}

/// The one function that reads the keyring.
fn read(account: &str) -> Result<Option<Token>, VaultError> {
    let secret = at_entry(account, Entry::get_secret).map(SecretBytes::new);
    match secret {
        Ok(secret) => match str::from_utf8(secret.reveal()) {
            Ok(text) => Ok(Some(Token::new(text))),
            Err(_) => Err(VaultError::Failed(format!(
                "the entry {account} of {SERVICE} is no text; remove it"
            ))),
        },
        Err(Error::NoEntry) => Ok(None),
        Err(error) => Err(classify(&error)),
    }
}

/// The one function that writes the keyring; without a secret the entry goes.
fn write(account: &str, secret: Option<&Token>) -> Result<(), VaultError> {
    let written = at_entry(account, |entry| match secret {
        Some(secret) => entry.set_secret(secret.reveal().as_bytes()),
        None => entry.delete_credential(),
    });
    match written {
        Ok(()) => Ok(()),
        Err(Error::NoEntry) if secret.is_none() => Ok(()),
        Err(error) => Err(classify(&error)),
    }
}

/// Does something with an entry; once more over a new connection where the keyring's service has gone meanwhile. It may
/// have been updated or have crashed, and the desktop starts it anew at the next call, while what was agreed with the
/// old one holds no more.
fn at_entry<T>(account: &str, work: impl Fn(&Entry) -> Result<T, Error>) -> Result<T, Error> {
    let attempt = || {
        // The first one decides for the whole process whether there is a keyring, unless it is reached anew.
        if keyring::Entry::store_status().is_err() && keyring_core::get_default_store().is_none() {
            return Err(Error::NoDefaultStore);
        }
        work(&Entry::new(SERVICE, account)?)
    };
    match attempt() {
        Err(error) if service_has_gone(&error) => {
            tracing::warn!(%error, "the keyring's service has gone; reaching it anew");
            reach_anew()?;
            attempt()
        }
        result => result,
    }
}

/// Words of the bus (D-Bus specification, "Message Bus Messages") and of the service, which does not know the session of
/// its predecessor (Secret Service API, "Errors").
fn service_has_gone(error: &Error) -> bool {
    let text = match (error, keyring::Entry::store_status()) {
        (Error::NoDefaultStore, Err(reason)) => reason.to_string(),
        _ => error.to_string(),
    };
    ["NoReply", "disconnected from message bus", "NoSession"]
        .iter()
        .any(|word| text.contains(word))
}

#[cfg(target_os = "linux")]
fn reach_anew() -> Result<(), Error> {
    keyring_core::set_default_store(zbus_secret_service_keyring_store::Store::new()?);
    Ok(())
}

/// Elsewhere the keyring is no service of its own.
#[cfg(not(target_os = "linux"))]
fn reach_anew() -> Result<(), Error> {
    Ok(())
}

/// What the entry is called in the keyring. `/` keeps the parts apart, so a part's own is written otherwise.
fn account(entry: &VaultEntry) -> String {
    let part = |text: &str| text.replace('%', "%25").replace('/', "%2F");
    match entry {
        VaultEntry::SignIn { issuer, client } => format!("issuer/{}/{}", part(issuer), part(client)),
        VaultEntry::Network { organisation, ssid } => {
            let OrganisationId {
                issuer,
                client,
                cloud,
            } = organisation;
            let parts = [issuer, client, cloud, ssid].map(|text| part(text));
            format!("wifi/{}", parts.join("/"))
        }
        VaultEntry::RefreshToken { profile } => format!("sign-in/{}", part(profile)),
        VaultEntry::NetworkPassphrase { profile, ssid } => {
            format!("network/{}/{}", part(profile), part(ssid))
        }
    }
}

fn classify(error: &Error) -> VaultError {
    // The first attempt to reach the keyring decides for the whole process; its reason is kept there.
    if let (Error::NoDefaultStore, Err(reason)) = (error, keyring::Entry::store_status()) {
        return VaultError::Absent(reason.to_string());
    }
    let text = error.to_string();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["ServiceUnknown", "NameHasNoOwner", "no secret service provider"]) {
        VaultError::Absent(text)
    } else if says(&["result not returned"]) {
        // Secret Service, 6: a keyring without a default collection has nowhere to write to.
        VaultError::Failed("it has no default keyring; make one in your keyring program".to_owned())
    } else if matches!(error, Error::NoStorageAccess(_)) || says(&["object locked", "IsLocked"]) {
        VaultError::Locked
    } else {
        VaultError::Failed(text)
    }
}

/// Runs a call that may wait for a person. A thread of its own rather than one of tokio's, because a runtime that ends
/// waits for those, and the person may have walked off.
async fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, VaultError> {
    let (answer, answered) = oneshot::channel();
    thread::Builder::new()
        .name("keyring".to_owned())
        .spawn(move || {
            // Nobody waits any more after the time-out.
            let _ = answer.send(work());
        })
        .map_err(|error| VaultError::Failed(error.to_string()))?;
    match timeout(UNLOCK, answered).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(VaultError::Failed("the keyring's library broke off".to_owned())),
        Err(_) => Err(VaultError::Locked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(profile: &str, ssid: &str) -> VaultEntry {
        VaultEntry::NetworkPassphrase {
            profile: profile.into(),
            ssid: ssid.into(),
        }
    }

    fn sign_in(issuer: &str, client: &str) -> VaultEntry {
        VaultEntry::SignIn {
            issuer: issuer.into(),
            client: client.into(),
        }
    }

    #[test]
    fn no_two_entries_share_an_account() {
        let entries = [
            passphrase("a/b", "c"),
            passphrase("a", "b/c"),
            passphrase("a%2Fb", "c"),
            VaultEntry::RefreshToken {
                profile: "a/b/c".into(),
            },
            sign_in("https://a/b", "c"),
            sign_in("https://a", "b/c"),
        ];
        let accounts: std::collections::BTreeSet<_> = entries.iter().map(account).collect();
        assert_eq!(accounts.len(), entries.len(), "{accounts:?}");
    }

    #[test]
    fn a_locked_keyring_is_told_apart_from_a_missing_one() {
        let said = |text: &str| Box::<dyn std::error::Error + Send + Sync>::from(text);
        for (error, class) in [
            (
                Error::NoStorageAccess(said("SS error: prompt dismissed")),
                VaultError::Locked,
            ),
            (
                Error::PlatformFailure(said("SS Error: object locked")),
                VaultError::Locked,
            ),
            (
                Error::PlatformFailure(said(
                    "zbus fdo error: org.freedesktop.DBus.Error.ServiceUnknown: x",
                )),
                VaultError::Absent(
                    "Platform failure: zbus fdo error: org.freedesktop.DBus.Error.ServiceUnknown: x".into(),
                ),
            ),
            (
                Error::NoStorageAccess(said("SS error: result not returned from SS API")),
                VaultError::Failed("it has no default keyring; make one in your keyring program".into()),
            ),
            (
                Error::BadEncoding(b"hunter22".to_vec()),
                VaultError::Failed("Password data is not valid UTF-8".into()),
            ),
        ] {
            assert_eq!(classify(&error), class);
        }
    }

    #[tokio::test]
    async fn an_entry_is_held_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let entry = |client: &str| sign_in("https://id.example", client);
        let first = hold(dir.path(), &entry("Acme"), HELD).await.unwrap();
        hold(dir.path(), &entry("Other"), HELD).await.unwrap();
        let mut second = Box::pin(async { hold(dir.path(), &entry("Acme"), HELD).await.unwrap() });
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        second.await;
    }

    #[tokio::test]
    async fn who_waits_in_vain_for_an_entry_goes_without_it_and_not_without_the_hold() {
        let dir = tempfile::tempdir().unwrap();
        let entry = sign_in("https://id.example", "Acme");
        let _first = hold(dir.path(), &entry, HELD).await.unwrap();
        let second = hold(dir.path(), &entry, Duration::ZERO).await;
        assert!(matches!(second, Err(TryLockError::WouldBlock)), "{second:?}");
    }

    #[tokio::test]
    async fn memory_keeps_overwrites_and_forgets() {
        let vault = MemoryVault::default();
        let entry = passphrase("Acme", "plant");
        assert_eq!(vault.read(&entry).await, Ok(None));
        for text in ["first", "second"] {
            vault.write(&entry, &Token::new(text)).await.unwrap();
            assert_eq!(vault.read(&entry).await, Ok(Some(Token::new(text))));
        }
        assert_eq!(vault.read(&passphrase("Acme", "other")).await, Ok(None));
        vault.forget(&entry).await.unwrap();
        vault.forget(&entry).await.unwrap();
        assert_eq!(vault.read(&entry).await, Ok(None));
    }
}
