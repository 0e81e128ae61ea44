//! A private D-Bus session with an unlocked keyring of its own, in a home of its own: the person's own keyring and
//! settings are never touched, and nothing is left behind.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::step::Failed;

/// What runs inside: the keyring is unlocked with a throw-away password, then the command takes the shell's place.
/// The daemon belongs to the session's bus and ends with it.
const INSIDE: &str =
    r#"printf throwaway | gnome-keyring-daemon --unlock --components=secrets >/dev/null && exec "$@""#;

/// The command, to be run in a private session with `home` as its home.
pub(crate) fn command(home: &Path, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("dbus-run-session");
    command.args(["--", "sh", "-c", INSIDE, "sh"]).arg(program);
    command
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("XDG_STATE_HOME", home.join("state"))
        .env("XDG_CACHE_HOME", home.join("cache"))
        .env("XDG_RUNTIME_DIR", home)
        .env("GNOME_KEYRING_CONTROL", "")
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY");
    command
}

/// A fresh home for a private session; removed when dropped.
pub(crate) fn home() -> Result<tempfile::TempDir, Failed> {
    let home = tempfile::Builder::new()
        .prefix("fieldkey-")
        .tempdir()
        .map_err(|error| Failed::io("a folder for the private session", &error))?;
    for folder in ["data/keyrings", "config", "state", "cache"] {
        std::fs::create_dir_all(home.path().join(folder))
            .map_err(|error| Failed::io("a folder for the private session", &error))?;
    }
    Ok(home)
}

/// Runs a command in a private session, for a person who wants to look around.
pub(crate) fn enter(words: &[String]) -> Result<(), Failed> {
    crate::needs::for_running()?;
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| Failed("no command given".into()))?;
    let home = home()?;
    let status = command(home.path(), program)
        .args(arguments)
        .stdin(Stdio::inherit())
        .status()
        .map_err(|error| Failed::io("dbus-run-session", &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failed(format!("{program} ({status})")))
    }
}
