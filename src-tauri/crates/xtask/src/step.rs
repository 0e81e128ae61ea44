//! Running commands, each under a heading and with its time, and stopping at the first that fails.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Why a task stopped.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failed(pub(crate) String);

impl Failed {
    /// With the words of an I/O error.
    pub(crate) fn io(doing: &str, error: &std::io::Error) -> Self {
        Self(format!("{doing}: {error}"))
    }
}

/// One line for the person at the terminal.
#[expect(clippy::print_stderr, reason = "this is the one place where a task speaks")]
pub(crate) fn say(line: &str) {
    eprintln!("xtask: {line}");
}

/// Runs a command to its end under a heading.
pub(crate) fn run(heading: &str, command: &mut Command) -> Result<(), Failed> {
    say(heading);
    let begun = Instant::now();
    let status = command.status().map_err(|error| {
        Failed(format!(
            "{} did not start: {error}",
            command.get_program().display()
        ))
    })?;
    if status.success() {
        say(&format!(
            "{heading}: done in {:.1} s",
            begun.elapsed().as_secs_f64()
        ));
        Ok(())
    } else {
        Err(Failed(format!("{heading} ({status})")))
    }
}

/// Runs a command to its end under a heading, and shows what it said only if it fails.
pub(crate) fn run_quietly(heading: &str, command: &mut Command) -> Result<(), Failed> {
    let begun = Instant::now();
    let out = command.output().map_err(|error| {
        Failed(format!(
            "{} did not start: {error}",
            command.get_program().display()
        ))
    })?;
    if out.status.success() {
        say(&format!(
            "{heading}: done in {:.1} s",
            begun.elapsed().as_secs_f64()
        ));
        return Ok(());
    }
    for text in [&out.stdout, &out.stderr] {
        say(&String::from_utf8_lossy(text));
    }
    Err(Failed(format!("{heading} ({})", out.status)))
}

/// The same cargo that runs this.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The top of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(3)
        .unwrap_or(Path::new("."))
        .to_owned()
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
