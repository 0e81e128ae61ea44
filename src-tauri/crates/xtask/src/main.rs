//! `cargo xtask`: the project's own commands. Needs nothing but Rust to build, so that it can bring the rest.

mod bench;
mod build;
mod bundle;
mod conformance;
mod demo;
mod desktop;
mod fuzz;
mod needs;
mod session;
mod simulate;
mod step;
mod test;
mod ui;

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
    /// Builds everything, starts the sandbox with five simulated devices, and opens the window on it; brings them
    /// online in the terminal where there is no display.
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
        /// The window alone: its start, memory and frames.
        #[arg(long)]
        window: bool,
    },
    /// Lives whole histories of a hostile world in memory, and says which rules they broke.
    Simulate(simulate::Histories),
    /// Makes installable packages: the window with the terminal program beside it.
    Bundle {
        /// Which kinds: deb, appimage; app, dmg on macOS; msi on Windows.
        #[arg(value_name = "KIND", default_values = ["deb", "appimage"])]
        kinds: Vec<String>,
    },
    /// Takes pictures of every screen of the window, at a display of its own.
    Pictures {
        /// Where they are written.
        #[arg(default_value = "target/pictures")]
        folder: std::path::PathBuf,
    },
    /// The demo's inner half; the outer one starts it in a private session.
    #[command(hide = true)]
    DemoInside {
        /// The program.
        fieldkey: std::path::PathBuf,
        /// The session's home.
        home: std::path::PathBuf,
        /// The program with the window, for a demo in the window.
        app: Option<std::path::PathBuf>,
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
        Task::Demo { headless: false } if session::has_display() => demo::show(),
        Task::Demo { headless: _ } => demo::play(),
        Task::Test { only } => test::check(&only),
        Task::Bench { json, window } => bench::measure(json.as_deref(), window),
        Task::Simulate(wanted) => simulate::live(&wanted),
        Task::Bundle { kinds } => bundle::make(&kinds),
        Task::Pictures { folder } => desktop::picture(&folder),
        Task::DemoInside { fieldkey, home, app } => demo::inside(&fieldkey, &home, app.as_deref()),
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
