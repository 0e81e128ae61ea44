//! Every decoder, fed by libFuzzer for a fixed number of inputs.

use crate::step::{Failed, cargo, root, run, run_quietly, target};

/// Inputs for each target: enough to find a careless index in seconds, few enough for every run.
const RUNS: u32 = 200_000;
/// The longest input, in bytes; nothing on the wire is longer than a claim bundle of a few kilobytes.
const LONGEST: u32 = 4096;

/// What libFuzzer needs to see which way an input took (the flags that cargo-fuzz passes, without a sanitizer, so
/// that a stable compiler takes them).
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cdebug-assertions -Ccodegen-units=1";

/// Builds all targets and runs each.
pub(crate) fn check() -> Result<(), Failed> {
    let folder = root().join("tests/fuzz");
    let built = target().join("fuzz");
    let mut command = cargo();
    command
        .current_dir(&folder)
        .args(["build", "--quiet", "--release", "--bins", "--target", &host()?])
        .env("CARGO_TARGET_DIR", &built)
        .env("RUSTFLAGS", COVERAGE);
    run("build the fuzz targets", &mut command)?;
    for name in targets(&folder)? {
        let program = built.join(host()?).join("release").join(&name);
        let work = tempfile::tempdir().map_err(|error| Failed::io("a folder for fuzzing", &error))?;
        let mut command = std::process::Command::new(program);
        command
            .current_dir(work.path())
            .arg(format!("-runs={RUNS}"))
            .arg(format!("-max_len={LONGEST}"))
            .args(["-seed=1", "-timeout=10", "-verbosity=0", "-print_final_stats=0"]);
        let seeds = folder.join("seeds").join(&name);
        if seeds.is_dir() {
            command.arg(work.path()).arg(seeds);
        }
        run_quietly(&format!("fuzz {name}"), &mut command)?;
    }
    Ok(())
}

/// The compiler's own platform, named so that build scripts are not instrumented.
fn host() -> Result<String, Failed> {
    let out = std::process::Command::new("rustc")
        .arg("-vV")
        .output()
        .map_err(|error| Failed::io("rustc -vV", &error))?;
    String::from_utf8_lossy(&out.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .ok_or_else(|| Failed("rustc does not name its host".into()))
}

fn targets(folder: &std::path::Path) -> Result<Vec<String>, Failed> {
    let listed =
        std::fs::read_dir(folder.join("targets")).map_err(|error| Failed::io("the fuzz targets", &error))?;
    let mut names: Vec<String> = listed
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    if names.is_empty() {
        Err(Failed("there are no fuzz targets".into()))
    } else {
        Ok(names)
    }
}
