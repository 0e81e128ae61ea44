//! The window's own half, in TypeScript: brought, checked, built.
//!
//! The program with the window carries what is built here, so this comes before anything that builds the whole
//! workspace.

use std::path::PathBuf;
use std::process::Command;

use crate::step::{Failed, root, run};
use crate::{build, needs, session};

/// The accessibility checker, as a script for any page.
pub(crate) fn axe() -> PathBuf {
    folder().join("node_modules/axe-core/axe.min.js")
}

fn folder() -> PathBuf {
    root().join("ui")
}

fn npm(words: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(folder()).args(words);
    command
}

/// Brings the packages where they are missing or other ones, and builds what the window loads.
pub(crate) fn build() -> Result<(), Failed> {
    bring()?;
    run(
        "build the window's pages",
        &mut npm(&["run", "--silent", "build"]),
    )
}

/// Types, style, tests.
pub(crate) fn check() -> Result<(), Failed> {
    bring()?;
    for script in ["check", "lint", "test"] {
        run(
            &format!("npm run {script}"),
            &mut npm(&["run", "--silent", script]),
        )?;
    }
    build()
}

/// Whole journeys in a browser, through a door to the real desk.
pub(crate) fn browse() -> Result<(), Failed> {
    needs::for_browsing()?;
    bring()?;
    run(
        "build the pages for the bridge",
        &mut npm(&[
            "run",
            "--silent",
            "build",
            "--",
            "--mode",
            "bridge",
            "--outDir",
            "dist-bridge",
        ]),
    )?;
    let (home, program, bridge) = (session::home()?, build::fieldkey(false)?, build::bridge()?);
    let mut command = session::command(home.path(), "npx");
    command
        .current_dir(folder())
        .args(["playwright", "test"])
        .env("FIELDKEY_PROGRAM", program)
        .env("FIELDKEY_BRIDGE", bridge);
    run("journeys in a browser", &mut command)
}

/// Frames of the built pages in a browser, under fifty scripted devices.
pub(crate) fn measure() -> Result<(), Failed> {
    needs::for_browsing()?;
    bring()?;
    run("measure the pages", &mut npm(&["run", "--silent", "bench"]))
}

/// The lock file says exactly which packages; a copy of it tells which are there.
fn bring() -> Result<(), Failed> {
    let unreadable = |error: std::io::Error| Failed::io("ui/package-lock.json", &error);
    let lock = std::fs::read(folder().join("package-lock.json")).map_err(unreadable)?;
    let there = folder().join("node_modules/.locked");
    if std::fs::read(&there).is_ok_and(|brought| brought == lock) {
        return Ok(());
    }
    run(
        "bring the window's packages",
        &mut npm(&["ci", "--no-audit", "--no-fund", "--loglevel", "error"]),
    )?;
    std::fs::write(there, lock).map_err(unreadable)
}
