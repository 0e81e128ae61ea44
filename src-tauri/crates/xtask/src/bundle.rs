//! Installable packages of the window, with the terminal program beside it, as `src-tauri/BUNDLE.md` says.

use std::path::PathBuf;
use std::process::Command;

use crate::step::{Failed, root, run};
use crate::{build, needs, ui};

/// Tauri's own command, of the version that its configuration is written for.
const TOOL: &str = "@tauri-apps/cli@2.12.5";

/// Makes packages of these kinds for this computer's system.
pub(crate) fn make(kinds: &[String]) -> Result<(), Failed> {
    needs::for_testing()?;
    ui::build()?;
    let program = build::fieldkey(true)?;
    let beside = beside()?;
    if let Some(folder) = beside.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Failed::io("the folder for packages", &error))?;
    }
    std::fs::copy(program, &beside).map_err(|error| Failed::io("the program for the package", &error))?;
    let mut command = Command::new("npm");
    command
        .current_dir(root().join("src-tauri"))
        .args(["exec", "--yes", "--package", TOOL, "--", "tauri", "build"])
        .args(["--config", "bundle.conf.json", "--bundles", &kinds.join(",")]);
    run("make packages", &mut command)
}

/// Where Tauri looks for a program that goes along: it wants the system's name behind it.
fn beside() -> Result<PathBuf, Failed> {
    let about = Command::new("rustc")
        .arg("-vV")
        .output()
        .map_err(|error| Failed::io("rustc", &error))?;
    let about = String::from_utf8_lossy(&about.stdout).into_owned();
    let system = about
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .ok_or_else(|| Failed("rustc names no system".into()))?;
    Ok(root()
        .join("target/bundle")
        .join(format!("fieldkey-{system}{}", std::env::consts::EXE_SUFFIX)))
}
