//! What the desk needs of a desktop: simulated devices at one click.
//!
//! The sandbox is another program with another Bluetooth bus, which a running program cannot move to. So a second
//! program like this one is started on the sandbox's bus, with files of its own, and this one makes room for it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use engine::ports::{Shell, ShellError};
use engine::settings::{HOME_VARIABLE, Home};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long a sandbox may take until it is ready.
const READY: Duration = Duration::from_secs(30);

/// This desktop.
pub(crate) struct Desktop {
    folder: PathBuf,
}

impl Desktop {
    pub(crate) fn new(home: &Home) -> Self {
        Self {
            folder: home.data.join("simulated"),
        }
    }
}

#[async_trait]
impl Shell for Desktop {
    async fn try_simulated(&self) -> Result<(), ShellError> {
        let program = beside_this("fieldkey")?;
        let state = self.folder.join("sandbox");
        let mut sandbox = start(&program, &state)?;
        let bus = ready(&mut sandbox).await?;
        let browser = self.browser(&program, &state)?;
        self.move_in(&program, &state).await;
        let window = std::env::current_exe().map_err(|error| ShellError(error.to_string()))?;
        let mut window = Command::new(window)
            .arg("--import")
            .arg(state.join("profile.toml"))
            .arg("--labels")
            .arg(state.join("labels.csv"))
            .arg("--sign-in")
            .env("DBUS_SYSTEM_BUS_ADDRESS", bus)
            .env("BROWSER", browser)
            .env(HOME_VARIABLE, self.home())
            .spawn()
            .map_err(|error| ShellError(format!("the window did not open: {error}")))?;
        // The sandbox ends with the window that was opened on it.
        tokio::spawn(async move {
            let _ = window.wait().await;
            drop(sandbox);
        });
        Ok(())
    }
}

impl Desktop {
    /// Files of its own, so that no real job meets a simulated one.
    fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Keeps the passphrases of the simulated networks, so that nothing has to be typed for a first try. Where there
    /// is no keyring, the window asks for them.
    async fn move_in(&self, program: &Path, state: &Path) {
        let moved = Command::new(program)
            .args(["sandbox", "move-in", "--state"])
            .arg(state)
            .env(HOME_VARIABLE, self.home())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .await;
        if !moved.as_ref().is_ok_and(std::process::ExitStatus::success) {
            tracing::warn!(
                ?moved,
                "the simulated networks' passphrases are not in the keyring"
            );
        }
    }

    /// A program that does as a browser and signs the simulated person in.
    fn browser(&self, program: &Path, state: &Path) -> Result<PathBuf, ShellError> {
        let file = self.folder.join("browser");
        let script = format!(
            "#!/bin/sh\nexec '{}' sandbox browse --state '{}' \"$1\"\n",
            program.display(),
            state.display()
        );
        let write = || -> std::io::Result<()> {
            std::fs::write(&file, script)?;
            #[cfg(unix)]
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
            Ok(())
        };
        write().map_err(|error| ShellError(format!("{}: {error}", file.display())))?;
        Ok(file)
    }
}

/// The program of this name that was installed with this one.
fn beside_this(name: &str) -> Result<PathBuf, ShellError> {
    let here = std::env::current_exe().map_err(|error| ShellError(error.to_string()))?;
    let program = here.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if program.is_file() {
        Ok(program)
    } else {
        Err(ShellError(format!(
            "the simulated devices come with the program {}, which is not there",
            program.display()
        )))
    }
}

fn start(program: &Path, state: &Path) -> Result<Child, ShellError> {
    let words = ["--json", "sandbox", "up", "--scenario", "demo", "--state"];
    std::fs::create_dir_all(state).map_err(|error| ShellError(format!("{}: {error}", state.display())))?;
    Command::new(program)
        .args(words)
        .arg(state)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| ShellError(format!("the simulated devices did not start: {error}")))
}

/// The bus that the sandbox's devices are on, once they are.
async fn ready(sandbox: &mut Child) -> Result<String, ShellError> {
    let broken = |why: String| ShellError(format!("the simulated devices did not start: {why}"));
    let output = sandbox
        .stdout
        .take()
        .ok_or_else(|| broken("they say nothing".into()))?;
    let mut lines = BufReader::new(output).lines();
    let line = timeout(READY, lines.next_line())
        .await
        .map_err(|_| broken("they take too long".into()))?
        .map_err(|error| broken(error.to_string()))?
        .ok_or_else(|| broken("they ended at once".into()))?;
    // Whoever ends reading ends the sandbox's writing, so somebody goes on.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let line: serde_json::Value = serde_json::from_str(&line).map_err(|error| broken(error.to_string()))?;
    let member = |name: &str| line.get(name).and_then(serde_json::Value::as_str);
    match (member("busAddress"), member("what")) {
        (Some(bus), _) => Ok(bus.to_owned()),
        (None, what) => Err(broken(what.unwrap_or("no bus").to_owned())),
    }
}
