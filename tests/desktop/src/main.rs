//! Pictures and measurements of the built app at a display.
#![cfg_attr(
    target_os = "linux",
    expect(
        clippy::expect_used,
        clippy::panic,
        reason = "what cannot be pictured or measured ends with the reason, as a test does"
    )
)]

#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod pictures;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Pictures and measurements of the built app at a display.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Takes pictures of every screen in both themes.
    Pictures {
        /// Where they are written.
        folder: PathBuf,
    },
    /// Measures start, memory and frames.
    Measure {
        /// Also write the figures as JSON to this file.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
}

#[cfg(target_os = "linux")]
#[tokio::main]
async fn main() {
    match Arguments::parse().task {
        Task::Pictures { folder } => pictures::take(&folder).await,
        Task::Measure { json } => measure::measure(json.as_deref()).await,
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    let Arguments { task: _ } = Arguments::parse();
}
