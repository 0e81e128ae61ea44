//! A private message bus: a `dbus-daemon` of our own, on a socket that only this user can reach.

use std::io;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Whoever is on this bus may do everything. No rule admits users, and so only the one that started it gets in.
/// Limits are far above what a hundred devices need.
const POLICY: &str = r#"<policy context="default">
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
  </policy>
  <limit name="max_match_rules_per_connection">100000</limit>
  <limit name="max_replies_per_connection">50000</limit>"#;

/// Why there is no bus.
#[derive(Debug, Error)]
pub enum BusError {
    /// The program is not installed.
    #[error(
        "dbus-daemon is not installed, and the simulated Bluetooth service needs it: install the Debian package \"dbus\" (sudo apt install dbus)"
    )]
    NotInstalled,
    /// The program, or the directory for its socket, could not be set up.
    #[error("dbus-daemon could not be started: {0}")]
    Start(#[from] io::Error),
    /// The program ended at once.
    #[error("dbus-daemon ended before it gave an address; started by hand with the same rights it says why")]
    NoAddress,
}

/// A running bus. It ends when this is dropped.
pub(super) struct PrivateBus {
    daemon: Child,
    address: String,
    _directory: TempDir,
}

impl PrivateBus {
    /// Starts a bus and waits until it takes connections: at `socket`, or in a private directory of its own.
    pub(super) async fn start(socket: Option<&Path>) -> Result<Self, BusError> {
        Self::start_program("dbus-daemon", socket).await
    }

    async fn start_program(program: &str, socket: Option<&Path>) -> Result<Self, BusError> {
        let directory = private_directory()?;
        let socket = socket.map_or_else(|| directory.path().join("bus"), Path::to_owned);
        let config = directory.path().join("bus.conf");
        tokio::fs::write(&config, config_text(&socket)).await?;
        let mut daemon = Command::new(program)
            .arg("--config-file")
            .arg(config)
            .args(["--nofork", "--nopidfile", "--print-address"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| {
                if e.kind() == io::ErrorKind::NotFound {
                    BusError::NotInstalled
                } else {
                    e.into()
                }
            })?;
        let out = daemon.stdout.take().ok_or(BusError::NoAddress)?;
        let address = BufReader::new(out)
            .lines()
            .next_line()
            .await?
            .ok_or(BusError::NoAddress)?;
        Ok(Self {
            daemon,
            address,
            _directory: directory,
        })
    }

    /// Where it listens, as D-Bus writes it.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Ends it and waits until it is gone.
    pub(super) async fn stop(mut self) {
        if let Err(error) = self.daemon.kill().await {
            tracing::debug!(%error, "the private bus had ended already");
        }
    }
}

/// A fresh directory for this user alone.
fn private_directory() -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.prefix("fieldkey-bus-").tempdir()
}

fn config_text(socket: &Path) -> String {
    format!(
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN\" \
         \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig>\n  \
         <listen>unix:path={}</listen>\n  <auth>EXTERNAL</auth>\n  {POLICY}\n</busconfig>\n",
        escape(&socket.to_string_lossy())
    )
}

/// A path as D-Bus addresses want it: `%` and the hex of each byte that is not plainly allowed.
fn escape(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_/.\\*".contains(&b);
    path.bytes()
        .map(|b| {
            if plain(b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02x}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_bus_program_names_the_package() {
        let error = PrivateBus::start_program("dbus-daemon-that-nobody-has", None)
            .await
            .err()
            .unwrap();
        assert!(matches!(error, BusError::NotInstalled));
        assert!(error.to_string().contains("sudo apt install dbus"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_says_nothing_is_an_error() {
        assert!(matches!(
            PrivateBus::start_program("true", None).await.err(),
            Some(BusError::NoAddress)
        ));
    }

    #[test]
    fn odd_characters_in_the_path_are_escaped() {
        assert_eq!(escape("/tmp/a b,c=d/bus"), "/tmp/a%20b%2cc%3dd/bus");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_this_user_reaches_the_socket() {
        use std::os::unix::fs::PermissionsExt;
        let bus = PrivateBus::start(None).await.unwrap();
        let mode = std::fs::metadata(bus._directory.path())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(bus.address().starts_with("unix:path="), "{}", bus.address());
        bus.stop().await;
    }
}
