//! The real keyring, gnome-keyring, on a session bus of its own.
//!
//! Each test starts itself again below a private bus, so that no keyring of the person who runs it is touched.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use commission::secret::Token;
use engine::ports::{Vault, VaultEntry, VaultError};
use engine::vault::{KeyringVault, detect};

const INSIDE: &str = "FIELDKEY_TEST_INSIDE";
/// How the bus starts the keyring (D-Bus specification, "Message Bus Starting Services").
const KEYRING_SERVICE: &str = "\
[D-BUS Service]
Name=org.freedesktop.secrets
Exec=/bin/sh -c \"printf password | exec gnome-keyring-daemon --unlock --foreground --components=secrets\"
";

/// Whether this is the process below the private bus; if not, runs it and passes its verdict on.
fn inside(test: &str, around: impl FnOnce(&Path, &str) -> Command) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let home = tempfile::tempdir().unwrap();
    let program = env::current_exe().unwrap();
    let run = format!("exec '{}' --exact {test} --nocapture", program.display());
    let output = around(home.path(), &run)
        .env(INSIDE, "1")
        .env("HOME", home.path())
        .env("XDG_DATA_HOME", home.path())
        .env("XDG_RUNTIME_DIR", home.path())
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{said}\n{complained}");
    // A filter that matches nothing is a success too.
    assert!(said.contains("1 passed"), "{said}\n{complained}");
    false
}

fn with_gnome_keyring(home: &Path, run: &str) -> Command {
    for (program, package) in [
        ("dbus-run-session", "dbus-daemon"),
        ("gnome-keyring-daemon", "gnome-keyring"),
    ] {
        let there = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        assert!(
            there.is_ok(),
            "{program} is missing; install the package {package}"
        );
    }
    // The bus starts it at the first call, and anew after it has ended; unlocked each time, as nobody could be asked.
    let services = home.join("dbus-1/services");
    fs::create_dir_all(&services).unwrap();
    fs::write(services.join("org.freedesktop.secrets.service"), KEYRING_SERVICE).unwrap();
    let mut command = Command::new("dbus-run-session");
    command.args(["--", "sh", "-c", run]);
    command
}

fn without_bus(home: &Path, run: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", run]).env(
        "DBUS_SESSION_BUS_ADDRESS",
        format!("unix:path={}/nobody-listens", home.display()),
    );
    command
}

fn token_of(profile: &str) -> VaultEntry {
    VaultEntry::RefreshToken {
        profile: profile.to_owned(),
    }
}

#[tokio::test]
async fn a_keyring_keeps_overwrites_and_forgets() {
    if !inside("a_keyring_keeps_overwrites_and_forgets", with_gnome_keyring) {
        return;
    }
    let (vault, trouble) = detect().await;
    assert_eq!(trouble, None);
    let (entry, other) = (token_of("Acme"), token_of("Acme/Lighting"));
    assert_eq!(vault.read(&entry).await, Ok(None));
    for text in ["first", "second, and longer: ü"] {
        vault.write(&entry, &Token::new(text)).await.unwrap();
        // A second one, so that nothing can come from the memory of the first.
        assert_eq!(KeyringVault.read(&entry).await, Ok(Some(Token::new(text))));
    }
    assert_eq!(vault.read(&other).await, Ok(None));
    vault.forget(&entry).await.unwrap();
    assert_eq!(vault.read(&entry).await, Ok(None));
    assert_eq!(vault.forget(&entry).await, Ok(()), "forgetting twice is no error");
}

#[tokio::test]
async fn a_keyring_whose_service_was_started_anew_is_reached_again() {
    if !inside(
        "a_keyring_whose_service_was_started_anew_is_reached_again",
        with_gnome_keyring,
    ) {
        return;
    }
    let entry = token_of("Acme");
    for text in ["first", "second"] {
        KeyringVault.write(&entry, &Token::new(text)).await.unwrap();
        end_service().await;
        assert_eq!(KeyringVault.read(&entry).await, Ok(Some(Token::new(text))));
        end_service().await;
    }
}

#[tokio::test]
async fn a_keyring_that_stays_locked_is_named_so() {
    if !inside("a_keyring_that_stays_locked_is_named_so", with_gnome_keyring) {
        return;
    }
    let entry = token_of("Acme");
    KeyringVault.write(&entry, &Token::new("secret")).await.unwrap();
    lock().await;
    // There is no screen on which to ask for the password.
    assert_eq!(KeyringVault.read(&entry).await, Err(VaultError::Locked));
    assert_eq!(
        KeyringVault.write(&entry, &Token::new("other")).await,
        Err(VaultError::Locked)
    );
}

#[tokio::test]
async fn without_a_keyring_memory_serves_and_the_person_is_told() {
    if !inside(
        "without_a_keyring_memory_serves_and_the_person_is_told",
        without_bus,
    ) {
        return;
    }
    let (vault, trouble) = detect().await;
    assert!(matches!(trouble, Some(VaultError::Absent(_))), "{trouble:?}");
    let entry = token_of("Acme");
    vault.write(&entry, &Token::new("kept")).await.unwrap();
    assert_eq!(vault.read(&entry).await, Ok(Some(Token::new("kept"))));
}

/// Ends the keyring's service, and waits until the bus knows.
async fn end_service() {
    let bus = zbus::Connection::session().await.unwrap();
    let names = zbus::fdo::DBusProxy::new(&bus).await.unwrap();
    let service = zbus::names::BusName::try_from("org.freedesktop.secrets").unwrap();
    let process = names
        .get_connection_unix_process_id(service.clone())
        .await
        .unwrap();
    let killed = Command::new("kill")
        .args(["-KILL", &process.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    while names.name_has_owner(service.clone()).await.unwrap() {
        tokio::task::yield_now().await;
    }
}

/// Locks the default collection (Secret Service API, org.freedesktop.Secret.Service.Lock).
async fn lock() {
    let bus = zbus::Connection::session().await.unwrap();
    let collection = zbus::ObjectPath::try_from("/org/freedesktop/secrets/collection/login").unwrap();
    bus.call_method(
        Some("org.freedesktop.secrets"),
        "/org/freedesktop/secrets",
        Some("org.freedesktop.Secret.Service"),
        "Lock",
        &(vec![collection],),
    )
    .await
    .unwrap();
}
