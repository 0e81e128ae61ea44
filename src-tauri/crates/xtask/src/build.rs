//! Building the `fieldkey` program for the tasks that run it.

use std::path::PathBuf;

use crate::step::{Failed, cargo, root, run, target};

/// Builds `fieldkey` and says where it is.
pub(crate) fn fieldkey(release: bool) -> Result<PathBuf, Failed> {
    let mut command = cargo();
    command
        .current_dir(root())
        .args(["build", "--quiet", "--package", "cli", "--bin", "fieldkey"]);
    if release {
        command.arg("--release");
    }
    run("build fieldkey", &mut command)?;
    let program = target()
        .join(if release { "release" } else { "debug" })
        .join("fieldkey");
    // Some tasks start it from another folder.
    program
        .canonicalize()
        .map_err(|error| Failed::io("the fieldkey program", &error))
}
