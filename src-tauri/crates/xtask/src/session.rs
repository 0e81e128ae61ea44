//! A private D-Bus session with an unlocked keyring of its own, in a home of its own: the person's own keyring and
//! settings are never touched, and nothing is left behind.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::step::Failed;

/// How the session's bus starts the keyring (D-Bus specification, "Message Bus Starting Services"): at the first call, and
/// anew should it have crashed, which gnome-keyring may when many programs come and go; unlocked with a throw-away
/// password, since nobody could be asked. It ends with the bus.
const KEYRING_SERVICE: &str = "\
[D-BUS Service]
Name=org.freedesktop.secrets
Exec=/bin/sh -c \"printf throwaway | exec gnome-keyring-daemon --unlock --foreground --components=secrets\"
";

/// The command, to be run in a private session with `home` as its home.
pub(crate) fn command(home: &Path, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("dbus-run-session");
    command.arg("--").arg(program);
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

/// The same at the person's own display.
pub(crate) fn at_display(home: &Path, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = command(home, program);
    if let Some(display) = std::env::var_os("DISPLAY") {
        command.env("DISPLAY", display);
    }
    if let Some(display) = std::env::var_os("WAYLAND_DISPLAY") {
        // A relative name is looked for in the runtime folder, which is the session's own.
        let folder = std::env::var_os("XDG_RUNTIME_DIR").unwrap_or_default();
        command.env("WAYLAND_DISPLAY", Path::new(&folder).join(display));
    }
    command
}

/// Whether the person sits at a display.
pub(crate) fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// A fresh home for a private session; removed when dropped.
pub(crate) fn home() -> Result<tempfile::TempDir, Failed> {
    let home = tempfile::Builder::new()
        .prefix("fieldkey-")
        .tempdir()
        .map_err(|error| Failed::io("a folder for the private session", &error))?;
    let fill = || {
        for folder in ["data/keyrings", "config", "state", "cache", "dbus-1/services"] {
            std::fs::create_dir_all(home.path().join(folder))?;
        }
        // Below the runtime folder, where the bus looks first.
        let file = home
            .path()
            .join("dbus-1/services/org.freedesktop.secrets.service");
        std::fs::write(file, KEYRING_SERVICE)
    };
    fill().map_err(|error| Failed::io("a folder for the private session", &error))?;
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
