//! Measuring, in a release build, inside a private session.

use std::path::Path;

use crate::step::{Failed, cargo, root, run};
use crate::{build, desktop, needs, session};

/// Runs the benchmarks, or the window's alone; they print tables, and write JSON where asked.
pub(crate) fn measure(json: Option<&Path>, window: bool) -> Result<(), Failed> {
    if !window {
        commissioning(json)?;
    }
    desktop::measure(json.map(|file| file.with_extension("window.json")).as_deref())
}

fn commissioning(json: Option<&Path>) -> Result<(), Failed> {
    needs::for_running()?;
    let program = build::fieldkey(true)?;
    // Of the whole workspace, so that dependencies are built once for the program and for the benchmark.
    let bench = ["bench", "--quiet", "--workspace", "--bench", "commissioning"];
    run(
        "build the benchmark",
        cargo().current_dir(root()).args(bench).arg("--no-run"),
    )?;
    let home = session::home()?;
    let mut command = session::command(home.path(), cargo().get_program());
    command
        .current_dir(root())
        .args(bench)
        .arg("--")
        .env("FIELDKEY_PROGRAM", program);
    if let Some(file) = json {
        let file =
            std::path::absolute(file).map_err(|error| Failed::io("the file for the figures", &error))?;
        command.arg("--json").arg(file);
    }
    run("measure", &mut command)
}
