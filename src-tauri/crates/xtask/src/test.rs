//! Everything that continuous integration runs, in the order in which a fault is cheapest to find.

use std::process::Command;

use crate::step::{Failed, cargo, root, run, say, target};
use crate::{build, conformance, demo, desktop, fuzz, needs, session, simulate, ui};

type Part = (&'static str, fn() -> Result<(), Failed>);

const PARTS: &[Part] = &[
    ("format", format),
    ("window", ui::check),
    ("lints", lints),
    ("docs", docs),
    ("dependencies", dependencies),
    ("contract", contract),
    ("simulate", simulate::check),
    ("tests", tests),
    ("browser", ui::browse),
    ("desktop", desktop::check),
    ("conformance", conformance::check),
    ("fuzz", fuzz::check),
    ("demo", demo::play),
];

/// Runs the named parts, or all.
pub(crate) fn check(only: &[String]) -> Result<(), Failed> {
    if let Some(name) = only
        .iter()
        .find(|name| !PARTS.iter().any(|(part, _)| part == name))
    {
        let known: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
        return Err(Failed(format!(
            "there is no part “{name}”; the parts are {}",
            known.join(", ")
        )));
    }
    needs::for_testing()?;
    for (name, part) in PARTS {
        if only.is_empty() || only.iter().any(|wanted| wanted == name) {
            say(&format!("== {name}"));
            part()?;
        }
    }
    if only.is_empty() {
        note_passed();
    }
    say("all of it passed");
    Ok(())
}

/// Writes the commit down that the whole of it passed on, in `target/passed`, where the tree holds nothing else.
fn note_passed() {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .current_dir(root())
            .args(arguments)
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let clean = git(&["status", "--porcelain"]).is_some_and(|changes| changes.is_empty());
    if let Some(commit) = git(&["rev-parse", "HEAD"]).filter(|_| clean)
        && let Err(error) = std::fs::write(target().join("passed"), format!("{commit}\n"))
    {
        say(&format!("the commit that passed could not be noted: {error}"));
    }
}

fn format() -> Result<(), Failed> {
    run(
        "cargo fmt",
        cargo().current_dir(root()).args(["fmt", "--all", "--check"]),
    )
}

fn lints() -> Result<(), Failed> {
    ui::build()?;
    run(
        "cargo clippy",
        cargo().current_dir(root()).args([
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
    )
}

fn docs() -> Result<(), Failed> {
    ui::build()?;
    run(
        "cargo doc",
        cargo()
            .current_dir(root())
            .env("RUSTDOCFLAGS", "-D warnings")
            .args(["doc", "--quiet", "--workspace", "--no-deps"]),
    )
}

/// Licences, sources and bans; advisories need a network that a build machine may not have.
fn dependencies() -> Result<(), Failed> {
    let tools = target().join("tools");
    let deny = tools.join("bin/cargo-deny");
    if !deny.is_file() {
        run(
            "install cargo-deny",
            cargo()
                .current_dir(root())
                .args([
                    "install",
                    "--quiet",
                    "--locked",
                    // It runs for seconds, and builds far longer when it is optimised.
                    "--debug",
                    "cargo-deny",
                    "--version",
                    "0.20.2",
                    "--root",
                ])
                .arg(&tools)
                .arg("--target-dir")
                .arg(tools.join("build")),
        )?;
    }
    run(
        "cargo deny",
        Command::new(deny).current_dir(root()).args([
            "--log-level",
            "error",
            "check",
            "licenses",
            "bans",
            "sources",
        ]),
    )
}

/// What the window is sent, in TypeScript, is what is committed.
fn contract() -> Result<(), Failed> {
    ui::build()?;
    // Of the whole workspace, so that dependencies are built once for all tests.
    let features = ["--workspace", "--features", "engine/ts"];
    run(
        "the window's contract",
        cargo()
            .current_dir(root())
            .args(["test", "--quiet"])
            .args(features)
            .args(["--lib", "--", "desk::contract"]),
    )
}

/// All tests of the workspace, in a private session, since some use the keyring; with the program that they start.
fn tests() -> Result<(), Failed> {
    ui::build()?;
    let program = build::fieldkey(false)?;
    let home = session::home()?;
    run(
        "build the tests",
        cargo()
            .current_dir(root())
            .args(["test", "--quiet", "--workspace", "--no-run"]),
    )?;
    let mut command = session::command(home.path(), cargo().get_program());
    command
        .current_dir(root())
        .args(["test", "--workspace"])
        .env("FIELDKEY_PROGRAM", program);
    run("cargo test", &mut command)
}
