//! The whole journey against the sandbox, at the window or, as an installer would do it there, in a terminal.
//!
//! At the window the person plays. In the terminal, five simulated devices are commissioned at once; one is given a
//! mistyped Wi-Fi passphrase, which is corrected on the same link when its question comes, and one loses its link on
//! the way. That ends well only if every device is enrolled and the sandbox's registry shows exactly one active
//! certificate for each.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::step::{Failed, run, say};
use crate::{build, needs, session, ui};

/// Brings what is missing, builds, and goes into a private session to play the journey.
pub(crate) fn play() -> Result<(), Failed> {
    needs::for_running()?;
    let fieldkey = build::fieldkey(false)?;
    let home = session::home()?;
    let myself = std::env::current_exe().map_err(|error| Failed::io("this program", &error))?;
    let mut command = session::command(home.path(), myself);
    command
        .arg("demo-inside")
        .arg(&fieldkey)
        .arg(home.path())
        .stdin(Stdio::null());
    run("demo", &mut command)
}

/// The same up to the session, and opens the window in it.
pub(crate) fn show() -> Result<(), Failed> {
    needs::for_testing()?;
    ui::build()?;
    let (fieldkey, app) = (build::fieldkey(false)?, build::app(false)?);
    let home = session::home()?;
    let myself = std::env::current_exe().map_err(|error| Failed::io("this program", &error))?;
    let mut command = session::at_display(home.path(), myself);
    command
        .arg("demo-inside")
        .args([fieldkey.as_path(), home.path(), app.as_path()])
        .stdin(Stdio::null());
    run("demo", &mut command)
}

/// The journey itself, inside the private session.
pub(crate) fn inside(fieldkey: &Path, home: &Path, app: Option<&Path>) -> Result<(), Failed> {
    let stage = Stage {
        fieldkey: fieldkey.to_owned(),
        home: home.to_owned(),
        bus: None,
    };
    let sandbox = Sandbox::start(&stage)?;
    let stage = Stage {
        bus: Some(sandbox.bus.clone()),
        ..stage
    };
    let state = &sandbox.state;
    if let Some(app) = app {
        stage.tell(&["sandbox", "move-in", "--state", &text(state)], "")?;
        stage.open_window(app, state)?;
        stage.tell(&["sandbox", "status", "--state", &text(state)], "")?;
        return sandbox.stop();
    }

    stage.tell(&["profile", "import", &text(&state.join("profile.toml"))], "")?;
    stage.tell(&["sign-in"], "")?;
    stage.tell(&["whoami"], "")?;
    stage.tell(&["doctor"], "")?;
    stage.tell(&["network", "remember", "plant-iot"], "green-valve-42\n")?;
    stage.tell(&["network", "remember", "plant-office"], "blue-kettle-mistyped\n")?;
    let labels = text(&label_one_for(state, "plant-office")?);
    say(
        "One device is refused for a mistyped passphrase; when it asks, the right one is given on standard input.",
    );
    // The question for the refused passphrase is answered from standard input, as a person would type it.
    stage.tell(&["commission", "--labels", &labels], "blue-kettle-77\n")?;
    stage.tell(&["sandbox", "status", "--state", &text(state), "--check"], "")?;
    sandbox.stop()
}

/// The sandbox's labels, with the second device meant for another network than the rest.
fn label_one_for(state: &Path, network: &str) -> Result<PathBuf, Failed> {
    let unusable = |why: String| Failed(format!("the sandbox's labels: {why}"));
    let labels = std::fs::read(state.join("labels.json")).map_err(|error| unusable(error.to_string()))?;
    let mut rows: Vec<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_slice(&labels).map_err(|error| unusable(error.to_string()))?;
    rows.get_mut(1)
        .ok_or_else(|| unusable("too few".into()))?
        .insert("network".into(), network.into());
    let (file, words) = (
        state.join("labels-of-the-day.json"),
        serde_json::json!(rows).to_string(),
    );
    std::fs::write(&file, words).map_err(|error| unusable(error.to_string()))?;
    Ok(file)
}

/// What every command of the journey runs with.
struct Stage {
    fieldkey: PathBuf,
    home: PathBuf,
    bus: Option<String>,
}

impl Stage {
    /// Opens the window and waits until the person closes it.
    fn open_window(&self, app: &Path, state: &Path) -> Result<(), Failed> {
        say("the window opens with five labels read; close it to end the demo");
        let words = ["--sign-in", "--labels", &text(&state.join("labels.csv"))];
        run("the window", &mut self.program(app, &words))
    }

    fn command(&self, words: &[&str]) -> Command {
        self.program(&self.fieldkey, words)
    }

    fn program(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .env("FIELDKEY_HOME", self.home.join("fieldkey"));
        // The person at the browser is played by the sandbox, which fills in the sign-in page over HTTPS.
        command.env("BROWSER", self.home.join("browser"));
        if let Some(bus) = &self.bus {
            command.env("DBUS_SYSTEM_BUS_ADDRESS", bus);
        }
        command
    }

    fn tell(&self, words: &[&str], input: &str) -> Result<(), Failed> {
        let heading = format!("fieldkey {}", words.join(" "));
        say(&format!("$ {heading}"));
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|error| Failed::io(&heading, &error))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that reads nothing may have ended already; its exit code tells what matters.
            let _ = stdin.write_all(input.as_bytes());
        }
        let status = child.wait().map_err(|error| Failed::io(&heading, &error))?;
        if status.success() {
            Ok(())
        } else {
            Err(Failed(format!("{heading} ({status})")))
        }
    }
}

/// The sandbox as a process of its own; stopped when dropped.
struct Sandbox {
    process: Child,
    state: PathBuf,
    bus: String,
}

impl Sandbox {
    fn start(stage: &Stage) -> Result<Self, Failed> {
        let state = stage.home.join("sandbox");
        say("$ fieldkey sandbox up --scenario demo");
        let mut process = stage
            .command(&[
                "--json",
                "sandbox",
                "up",
                "--scenario",
                "demo",
                "--state",
                &text(&state),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Failed::io("the sandbox", &error))?;
        let bus = process.stdout.take().map(|out| ready(BufReader::new(out)));
        let sandbox = |bus| Self { process, state, bus };
        match bus {
            Some(Ok(bus)) => {
                let sandbox = sandbox(bus);
                write_browser(stage, &sandbox.state)?;
                Ok(sandbox)
            }
            Some(Err(error)) => {
                drop(sandbox(String::new()));
                Err(error)
            }
            None => Err(Failed("the sandbox has no output".into())),
        }
    }

    fn stop(mut self) -> Result<(), Failed> {
        interrupt(&self.process);
        let status = self
            .process
            .wait()
            .map_err(|error| Failed::io("the sandbox", &error))?;
        if status.success() {
            Ok(())
        } else {
            Err(Failed(format!("the sandbox did not end well ({status})")))
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            interrupt(&self.process);
            let _ = self.process.wait();
        }
    }
}

/// Waits for the line that says that all parts are up; the address of its bus.
fn ready(lines: impl BufRead) -> Result<String, Failed> {
    for line in lines.lines() {
        let line = line.map_err(|error| Failed::io("the sandbox", &error))?;
        let value: serde_json::Value = serde_json::from_str(&line)
            .map_err(|error| Failed(format!("the sandbox said something else than JSON: {error}")))?;
        if value.get("type").and_then(|kind| kind.as_str()) == Some("ready") {
            let bus = value.get("busAddress").and_then(|bus| bus.as_str());
            return bus
                .map(str::to_owned)
                .ok_or_else(|| Failed("the sandbox names no bus".into()));
        }
    }
    Err(Failed("the sandbox ended before it was ready".into()))
}

/// Asks a process to end, as Ctrl-C does.
fn interrupt(process: &Child) {
    let _ = Command::new("kill")
        .args(["-INT", &process.id().to_string()])
        .status();
}

/// A program in the browser's place, for `$BROWSER`: takes the page's address and signs in as the demo's installer.
fn write_browser(stage: &Stage, state: &Path) -> Result<(), Failed> {
    use std::os::unix::fs::PermissionsExt;
    let script = format!(
        "#!/bin/sh\nexec '{}' sandbox browse --state '{}' --user anna \"$1\"\n",
        text(&stage.fieldkey),
        text(state)
    );
    let path = stage.home.join("browser");
    std::fs::write(&path, script).map_err(|error| Failed::io("the browser script", &error))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))
        .map_err(|error| Failed::io("the browser script", &error))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
