//! `cargo xtask`: the project's own commands. Needs nothing but Rust to build, so that it can bring the rest.

mod bench;
mod build;
mod conformance;
mod demo;
mod fuzz;
mod needs;
mod session;
mod step;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::step::{Failed, say};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds everything, starts the sandbox, and brings five simulated devices online.
    Demo {
        /// Keep to the terminal even where there is a display.
        #[arg(long)]
        headless: bool,
    },
    /// Everything that continuous integration runs.
    Test {
        /// Only these parts, by the names that a whole run prints.
        #[arg(long, value_name = "PART")]
        only: Vec<String>,
    },
    /// Measures commissioning against its physical floor, in release builds.
    Bench {
        /// Also write the figures as JSON to this file.
        #[arg(long, value_name = "FILE")]
        json: Option<std::path::PathBuf>,
    },
    /// The demo's inner half; the outer one starts it in a private session.
    #[command(hide = true)]
    DemoInside {
        /// The program.
        fieldkey: std::path::PathBuf,
        /// The session's home.
        home: std::path::PathBuf,
    },
    /// Runs a command in a private D-Bus session with an unlocked keyring of its own.
    InSession {
        /// The command with its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        // The window joins the demo later; until then both forms are the terminal journey.
        Task::Demo { headless: _ } => demo::play(),
        Task::Test { only } => test::check(&only),
        Task::Bench { json } => bench::measure(json.as_deref()),
        Task::DemoInside { fieldkey, home } => demo::inside(&fieldkey, &home),
        Task::InSession { command } => session::enter(&command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(why)) => {
            say(&format!("failed: {why}"));
            ExitCode::FAILURE
        }
    }
}
