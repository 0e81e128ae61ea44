//! The built app at a display of its own: tested, pictured, measured, as `tests/desktop` says.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::step::{Failed, cargo, root, run};
use crate::{build, needs, session, ui};

/// Whole days at the window.
pub(crate) fn check() -> Result<(), Failed> {
    let place = Place::ready(false)?;
    let mut command = place.command(cargo().get_program());
    command
        .current_dir(root())
        .args(["test", "--workspace", "--test", "window", "--"])
        .args(["--ignored", "--test-threads", "1"]);
    run("days at the window", &mut command)
}

/// Pictures of every screen in both themes, into this folder.
pub(crate) fn picture(folder: &Path) -> Result<(), Failed> {
    let place = Place::ready(false)?;
    let folder =
        std::path::absolute(folder).map_err(|error| Failed::io("the folder for pictures", &error))?;
    let mut command = place.command(build::driver()?);
    command.arg("pictures").arg(folder);
    run("take pictures", &mut command)
}

/// Start, memory and frames.
pub(crate) fn measure(json: Option<&Path>) -> Result<(), Failed> {
    let place = Place::ready(true)?;
    let mut command = place.command(build::driver()?);
    command.arg("measure");
    if let Some(file) = json {
        command.arg("--json").arg(file);
    }
    run("measure the window", &mut command)?;
    ui::measure()
}

/// A private session with a display and all programs.
struct Place {
    home: TempDir,
    display: Display,
    app: std::path::PathBuf,
    fieldkey: std::path::PathBuf,
}

impl Place {
    fn ready(release: bool) -> Result<Self, Failed> {
        needs::for_driving()?;
        ui::build()?;
        Ok(Self {
            app: build::app(release)?,
            fieldkey: build::fieldkey(release)?,
            home: session::home()?,
            display: Display::open()?,
        })
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = session::command(self.home.path(), program);
        command
            .env("DISPLAY", &self.display.name)
            .env("FIELDKEY_APP", &self.app)
            .env("FIELDKEY_PROGRAM", &self.fieldkey)
            .env("FIELDKEY_AXE", ui::axe());
        command
    }
}

/// An X server that shows nothing to anybody; ends when dropped.
struct Display {
    process: Child,
    name: String,
}

impl Display {
    fn open() -> Result<Self, Failed> {
        let broken = |error: std::io::Error| Failed::io("Xvfb", &error);
        let mut process = Command::new("Xvfb")
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                "1280x800x24",
                "-nolisten",
                "tcp",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(broken)?;
        let mut number = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut number).map_err(broken)?;
        }
        let display = Self {
            name: format!(":{}", number.trim()),
            process,
        };
        if number.trim().is_empty() {
            return Err(Failed("Xvfb has no display to give".into()));
        }
        Ok(display)
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
