//! Building the `fieldkey` program for the tasks that run it.

use std::path::PathBuf;

use crate::step::{Failed, cargo, root, run, target};

/// Builds `fieldkey` and says where it is.
pub(crate) fn fieldkey(release: bool) -> Result<PathBuf, Failed> {
    program("fieldkey", release)
}

/// Builds the program with the window, whose pages must be built already, and says where it is.
pub(crate) fn app(release: bool) -> Result<PathBuf, Failed> {
    program("fieldkey-app", release)
}

/// Builds what drives the window, and says where it is.
pub(crate) fn driver() -> Result<PathBuf, Failed> {
    program("desktop", false)
}

/// Builds the door to the desk for the window's tests, and says where it is.
pub(crate) fn bridge() -> Result<PathBuf, Failed> {
    program("bridge", false)
}

fn program(name: &str, release: bool) -> Result<PathBuf, Failed> {
    let mut command = cargo();
    command
        .current_dir(root())
        // Of the whole workspace, so that dependencies are built once for the program and for the tests.
        .args(["build", "--quiet", "--workspace", "--bin", name]);
    if release {
        command.arg("--release");
    }
    run(&format!("build {name}"), &mut command)?;
    let program = target()
        .join(if release { "release" } else { "debug" })
        .join(name);
    // Some tasks start it from another folder.
    program
        .canonicalize()
        .map_err(|error| Failed::io(&format!("the program {name}"), &error))
}
