//! `fieldkey`: the engine in a terminal, in plain words or JSON lines.

mod args;
mod commands;
mod exit;
mod follow;
mod interrupt;
mod output;
mod passphrases;
mod person;
mod progress;
mod setup;
mod words;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use tracing_subscriber::EnvFilter;

use crate::args::{Arguments, Command};
use crate::exit::{Ended, Exit};
use crate::interrupt::{Interrupts, Terminal};
use crate::output::Output;
use crate::setup::Base;

/// What the lines of `--json` hold.
const JSON_FORM: &str = include_str!("../JSON.md");
/// Environment variable that says what to log, in place of `--verbose`.
const LOG_VARIABLE: &str = "FIELDKEY_LOG";

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refused(&error),
    };
    let out = Output::new(arguments.json);
    log_to_stderr(&out, arguments.verbose);
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
    let terminal = Terminal::remember();
    let done = runtime.block_on(async {
        let interrupts = Interrupts::listen();
        tokio::select! {
            biased;
            done = run(arguments, &out, interrupts.clone(), terminal.clone()) => done,
            () = interrupts.unminded() => Err(Ended::silent(Exit::Interrupted)),
        }
    });
    // A prompt that still waits for a line must neither keep the program alive nor leave the echo off.
    runtime.shutdown_background();
    let code = ended(&out, done);
    terminal.restore();
    code
}

/// Says how it ended. What was done but could not be said is no success either.
fn ended(out: &Output, done: Result<(), Ended>) -> ExitCode {
    match done.and_then(|()| out.arrived()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ended) => {
            out.ended(&ended);
            ended.exit.into()
        }
    }
}

/// Ends for a command line that is none, in the form that it asks for as far as it can be read.
fn refused(error: &clap::Error) -> ExitCode {
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let json = words.iter().any(|word| word == "--json");
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked || (!json && error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        error.exit();
    }
    ended(&Output::new(json), Err(args::refused(error, &words)))
}

async fn run(
    arguments: Arguments,
    out: &Output,
    interrupts: Interrupts,
    terminal: Terminal,
) -> Result<(), Ended> {
    let base = Base::new(&arguments, out.clone(), interrupts, terminal)?;
    match &arguments.command {
        Command::Completions { shell } => {
            // Into memory first: the generator takes a closed pipe for its own fault.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "fieldkey", &mut script);
            let text = String::from_utf8_lossy(&script);
            let line = serde_json::json!({ "shell": shell.to_string(), "script": text });
            base.out.text("completions", &line, &text);
            Ok(())
        }
        Command::Json => {
            base.out
                .text("json-form", &serde_json::json!({ "text": JSON_FORM }), JSON_FORM);
            Ok(())
        }
        Command::Man { out } => commands::man::run(&base, out.as_deref()),
        Command::Profile(wanted) => commands::profile::run(&base, wanted).await,
        Command::Scan { seconds } => commands::scan::run(&base, *seconds).await,
        Command::Inspect { device } => commands::device::inspect(&base, device).await,
        Command::Identify { device, label_stdin } => {
            commands::device::identify(&base, device, *label_stdin).await
        }
        Command::Journal { job, site, verify } => {
            commands::journal::run(&base, job.as_deref(), site.as_deref(), *verify).await
        }
        Command::Aws(wanted) => commands::aws::run(&base, wanted).await,
        Command::Sandbox(wanted) => commands::sandbox::run(&base, wanted).await,
        Command::Doctor => commands::doctor::run(&base).await,
        Command::SignIn { device_code } => commands::sign_in::run(&base.with_profile()?, *device_code).await,
        Command::SignOut => commands::sign_in::out(&base.with_profile()?).await,
        Command::Whoami => commands::sign_in::whoami(&base.with_profile()?).await,
        Command::Network(wanted) => commands::network::run(&base.with_profile()?, wanted).await,
        Command::Commission(wanted) => commands::commission::run(&base.with_profile()?, wanted).await,
        Command::Resume(wanted) => commands::resume::run(&base.with_profile()?, wanted).await,
        Command::Watch {
            serial,
            timeout,
            given,
        } => commands::watch::run(&base.with_profile()?, serial, *timeout, given).await,
    }
}

/// Logs go to standard error, so that standard output stays what was asked for.
fn log_to_stderr(out: &Output, verbose: u8) {
    let level = match verbose {
        0 => "off",
        1 => "engine=info,cli=info",
        _ => "engine=debug,sandbox=debug,commission=debug,cli=debug",
    };
    let filter = match std::env::var_os(LOG_VARIABLE).filter(|wanted| !wanted.is_empty()) {
        None => level.into(),
        Some(wanted) => EnvFilter::try_new(wanted.to_string_lossy()).unwrap_or_else(|error| {
            let words = format!(
                "{LOG_VARIABLE} is not understood ({error}) and was left out; write as in engine=debug"
            );
            out.warn("log", &words);
            level.into()
        }),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}
