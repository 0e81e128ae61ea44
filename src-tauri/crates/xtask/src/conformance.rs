//! Clients that nobody here wrote, against the sandbox: the AWS IoT Device SDK for Python.

use std::process::Command;

use crate::step::{Failed, root, run, target};
use crate::{build, needs, session};

/// Brings the clients into a virtual environment of their own and runs the tests that use them.
pub(crate) fn check() -> Result<(), Failed> {
    needs::for_conformance()?;
    let (home, program) = (session::home()?, build::fieldkey(false)?);
    let venv = target().join("conformance");
    let python = venv.join("bin/python");
    if !python.is_file() {
        run(
            "make a Python environment",
            Command::new("python3").args(["-m", "venv"]).arg(&venv),
        )?;
    }
    let folder = root().join("tests/conformance");
    run(
        "install the client libraries",
        Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ])
            .arg(folder.join("requirements.txt")),
    )?;
    let mut command = session::command(home.path(), &python);
    command
        .args([
            "-B",
            "-m",
            "unittest",
            "discover",
            "--verbose",
            "--start-directory",
        ])
        .arg(&folder)
        .env("FIELDKEY_PROGRAM", program);
    run("conformance", &mut command)
}
