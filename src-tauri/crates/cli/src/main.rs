//! `fieldkey`: the engine in a terminal, in plain words or JSON lines.

mod args;
mod commands;
mod exit;
mod follow;
mod interrupt;
mod labels;
mod nobody;
mod output;
mod person;
mod progress;
mod setup;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::{Arguments, Command};
use crate::exit::{Ended, Exit};
use crate::interrupt::{Interrupts, Terminal};
use crate::output::Output;
use crate::setup::Base;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr(arguments.verbose);
    let out = Output::new(arguments.json);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            out.ended(&Ended::new(
                Exit::Local,
                "runtime",
                error,
                "Close some programs and try again.",
            ));
            return Exit::Local.into();
        }
    };
    let (interrupts, terminal) = (Interrupts::default(), Terminal::remember());
    let done = runtime.block_on(async {
        tokio::select! {
            biased;
            done = run(arguments, interrupts.clone()) => done,
            () = interrupts.unminded() => Err(Ended::silent(Exit::Interrupted)),
        }
    });
    // A prompt that still waits for a line must neither keep the program alive nor leave the echo off.
    runtime.shutdown_background();
    terminal.restore();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(ended) => {
            out.ended(&ended);
            ended.exit.into()
        }
    }
}

async fn run(arguments: Arguments, interrupts: Interrupts) -> Result<(), Ended> {
    let base = Base::new(&arguments, interrupts)?;
    match &arguments.command {
        Command::Completions { shell } => {
            // Into memory first: the generator takes a closed pipe for its own fault.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "fieldkey", &mut script);
            let _ = std::io::Write::write_all(&mut std::io::stdout(), &script);
            Ok(())
        }
        Command::Man => clap_mangen::Man::new(Arguments::command())
            .render(&mut std::io::stdout())
            .map_err(|error| Ended::new(Exit::Local, "output", error, "")),
        Command::Profile(wanted) => commands::profile::run(&base, wanted),
        Command::Scan { seconds } => commands::scan::run(&base, *seconds).await,
        Command::Inspect { device } => commands::device::inspect(&base, device).await,
        Command::Identify { device, label_stdin } => {
            commands::device::identify(&base, device, *label_stdin).await
        }
        Command::Journal { job, verify } => commands::journal::run(&base, *job, *verify).await,
        Command::Sandbox(wanted) => commands::sandbox::run(&base, wanted).await,
        Command::Doctor => commands::doctor::run(&base).await,
        Command::SignIn { device_code } => commands::sign_in::run(&base.with_profile()?, *device_code).await,
        Command::SignOut => commands::sign_in::out(&base.with_profile()?).await,
        Command::Whoami => commands::sign_in::whoami(&base.with_profile()?).await,
        Command::Network(wanted) => commands::network::run(&base.with_profile()?, wanted).await,
        Command::Commission(wanted) => commands::commission::run(&base.with_profile()?, wanted).await,
        Command::Resume => commands::resume::run(&base.with_profile()?).await,
        Command::Watch { serial, timeout } => {
            commands::watch::run(&base.with_profile()?, serial, *timeout).await
        }
    }
}

/// Logs go to standard error, so that standard output stays what was asked for.
fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => "off",
        1 => "engine=info,cli=info",
        _ => "engine=debug,sandbox=debug,commission=debug,cli=debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("FIELDKEY_LOG").unwrap_or_else(|_| level.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
