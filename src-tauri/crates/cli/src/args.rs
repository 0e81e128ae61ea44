//! The command line: what can be asked for, in clap's terms. No secret is ever an argument, since arguments are
//! visible to every program on the computer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use commission::claim::Purpose;
use commission::device::Serial;
use commission::network::Ssid;

use crate::exit::Ended;
use engine::labels::check_name;

/// Brings IoT devices online: sign in, push Wi-Fi and a temporary credential over Bluetooth, watch them enrol.
#[derive(Debug, Parser)]
#[command(name = "fieldkey", version, about, after_help = EXITS)]
pub(crate) struct Arguments {
    /// Print one JSON object a line instead of words; fieldkey json prints the form.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Use this Bluetooth adapter, such as hci1.
    #[arg(long, global = true, value_name = "ADAPTER")]
    pub(crate) adapter: Option<String>,
    /// Use this organisation profile instead of the current one.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Log to standard error; twice for more. No log holds a secret.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXITS: &str = "\
Exit codes:
  0  done
  1  at least one device failed; nothing of it is left in the cloud, unless the journal says so
  2  the command line, a file or an answer given is wrong or missing
  3  at least one device's outcome is unknown: run fieldkey resume; for watch: not seen online in time
  4  nobody is signed in, or the sign-in failed
  5  Bluetooth cannot be used
  6  the cloud cannot be reached or refuses
  7  the profile, the keyring, the journal or the output cannot be used, or another fieldkey works on devices
  130  stopped with Ctrl-C";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The organisation's profile: import it once, look at it.
    #[command(subcommand)]
    Profile(Profile),
    /// Sign in through the browser, or with a code on another device.
    SignIn {
        /// Show a code to type on another device, for a computer without a browser.
        #[arg(long)]
        device_code: bool,
    },
    /// Revoke the sign-in and forget it.
    SignOut,
    /// Who is signed in, and until when.
    Whoami,
    /// Keep a network's passphrase in the system's keyring, or forget it.
    #[command(subcommand)]
    Network(Network),
    /// List devices nearby that can be commissioned.
    Scan {
        /// Listen for so many seconds.
        #[arg(long = "for", value_name = "SECONDS", default_value_t = 10, value_parser = number::<u16>(1, 3600))]
        seconds: u16,
    },
    /// Say what a device can do, without changing anything on it.
    Inspect {
        /// The device's advertised name; where several have it, the identifier that fieldkey scan shows.
        #[arg(value_parser = name)]
        device: String,
    },
    /// Let a device blink, to see which one it is.
    Identify {
        /// The device's advertised name; where several have it, the identifier that fieldkey scan shows.
        #[arg(value_parser = name)]
        device: String,
        /// Read the text of its label (QR code or proof of possession) from standard input instead of asking.
        #[arg(long)]
        label_stdin: bool,
    },
    /// Commission one device, or a batch from a file of labels.
    Commission(Commission),
    /// Finish or undo what a crash, a lost link or Ctrl-C left open.
    Resume(Resume),
    /// Watch a device in the cloud until it is seen online.
    Watch {
        /// The device's serial number.
        #[arg(value_parser = serial)]
        serial: Serial,
        /// Give up after so many seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = number::<u32>(1, 86_400))]
        timeout: u32,
        #[command(flatten)]
        given: Given,
    },
    /// Every job with its evidence.
    Journal {
        /// Only this job, with all its entries: its identifier, or the first 8 characters of it.
        #[arg(long, value_name = "JOB", value_parser = job)]
        job: Option<String>,
        /// Only jobs at this site.
        #[arg(long, value_name = "NAME", conflicts_with_all = ["job", "verify"])]
        site: Option<String>,
        /// Check that no entry was changed after it was written.
        #[arg(long, conflicts_with = "job")]
        verify: bool,
    },
    /// Check adapter, keyring, issuer, cloud and clock, with what to do about each.
    Doctor,
    /// For whoever sets an AWS account up.
    #[command(subcommand)]
    Aws(Aws),
    /// Simulated devices, radio and cloud on this computer, with real protocols between them.
    #[command(subcommand)]
    Sandbox(Sandbox),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print what the lines of --json hold, with all codes.
    Json,
    /// Print the manual: all commands with their options on one page.
    Man {
        /// Write a page for each command into this folder instead, for a system's manual (man1).
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Profile {
    /// Check a profile and make it the current one.
    Import {
        /// The TOML file. Where it is signed, its signature lies beside it: FILE.minisig.
        file: PathBuf,
        /// Take it though it changes where secrets go or what is allowed.
        #[arg(long)]
        replace: bool,
    },
    /// Show the current profile.
    Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Aws {
    /// Print what the account of the current profile has to be given: roles, template, device policy and hook.
    Policy {
        /// The account's number; known already where the profile names a role.
        #[arg(long, value_name = "NUMBER", value_parser = account)]
        account: Option<String>,
        /// Only this part, without a word besides, to be written to a file.
        #[arg(long, value_enum)]
        part: Option<Paper>,
    },
    /// Register many devices at once from the office, from a maker's list.
    #[command(subcommand)]
    Bulk(Bulk),
}

/// How people of the sandbox come to a claim.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Way {
    /// Through the organisation's broker.
    Broker,
    /// From the AWS account, with keys of its identity pool.
    Cognito,
    /// From the AWS account, with keys of a role.
    Sts,
    /// Not at all: at the office, which registers devices in bulk.
    Registrar,
}

/// What an account is given.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Paper {
    /// Whom the role of installers trusts.
    Trust,
    /// IAM policy of installers.
    Installer,
    /// IAM policy of support staff.
    Support,
    /// Whom the roles of support and of the registrar trust.
    NamedTrust,
    /// AWS IoT policy of devices.
    Device,
    /// AWS IoT policy of the claim that is in all devices' firmware.
    Claim,
    /// Body of the provisioning template.
    Template,
    /// Pre-provisioning hook, in Python.
    Hook,
    /// IAM policy of the hook.
    HookRole,
    /// IAM policy of the office's role for bulk registration.
    Registrar,
    /// Whom the role trusts that registers devices in bulk.
    RegistrationTrust,
    /// IAM policy of that role.
    Registration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bulk {
    /// Write the line file of a maker's list, from which AWS registers the devices.
    Lines {
        /// The maker's list, a CSV file with a heading: serial, and a column for each further parameter.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The template's body, JSON; without it each column is a parameter of its name.
        #[arg(long, value_name = "FILE")]
        template_body: Option<PathBuf>,
        /// The line file.
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
        /// Replace it where it is there.
        #[arg(long)]
        force: bool,
    },
    /// Look through a line file and tell all that is wrong with it.
    Check {
        /// The line file.
        file: PathBuf,
        /// The template's body, JSON.
        #[arg(long, value_name = "FILE")]
        template_body: PathBuf,
    },
    /// Start the registration of a line file that lies in S3; an account runs one at a time.
    Start {
        /// The bucket with the line file.
        #[arg(long)]
        bucket: String,
        /// The line file's name in the bucket.
        #[arg(long)]
        key: String,
        /// The role that AWS IoT takes to read the file and register its devices.
        #[arg(long, value_name = "ARN")]
        role_arn: String,
        /// The template's body, JSON.
        #[arg(long, value_name = "FILE")]
        template_body: PathBuf,
    },
    /// Follow a registration to its end, and show the devices that failed.
    Follow {
        /// Its identifier, as start shows it.
        #[arg(value_parser = task)]
        task: String,
        /// The line file that it works on, to name failed devices by serial number.
        #[arg(long, value_name = "FILE", requires = "template_body")]
        lines: Option<PathBuf>,
        /// The template's body, JSON, by which the line file is read.
        #[arg(long, value_name = "FILE", requires = "lines")]
        template_body: Option<PathBuf>,
    },
    /// Stop a registration; the devices that it registered stay.
    Stop {
        /// Its identifier, as start shows it.
        #[arg(value_parser = task)]
        task: String,
    },
}

fn task(text: &str) -> Result<String, &'static str> {
    let fits = |sign: char| sign.is_ascii_alphanumeric() || sign == '-';
    if (1..=40).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("this takes the identifier that fieldkey aws bulk start shows")
    }
}

fn account(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("an account's number has 12 digits".into())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Network {
    /// Ask for the passphrase (or read it from standard input) and keep it in the keyring.
    Remember {
        /// The network's name.
        #[arg(value_parser = ssid)]
        ssid: String,
    },
    /// Forget the passphrase.
    Forget {
        /// The network's name.
        #[arg(value_parser = ssid)]
        ssid: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// Say that this job, of which an older Fieldkey did not write down for whom it was begun, belongs to the profile's
    /// organisation; may be given several times.
    #[arg(long, value_name = "JOB")]
    pub(crate) adopt: Vec<String>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["device", "labels"]))]
pub(crate) struct Commission {
    /// The device's advertised name; its label is asked for.
    #[arg(value_parser = name)]
    pub(crate) device: Option<String>,
    /// A CSV or JSON file of labels: name, serial, pop, username, network, or the text of the QR code as label.
    #[arg(long, value_name = "FILE", conflicts_with = "serial")]
    pub(crate) labels: Option<PathBuf>,
    /// The site, one of the profile's; its default, or its only one, where absent.
    #[arg(long, value_name = "NAME")]
    pub(crate) site: Option<String>,
    /// The network to join; what the profile proposes at the site, or a question, where absent.
    #[arg(long, value_name = "SSID", value_parser = ssid)]
    pub(crate) network: Option<String>,
    /// The network of --network hides its name.
    #[arg(long, requires = "network")]
    pub(crate) hidden: bool,
    /// The device's serial number, where its label does not carry it.
    #[arg(long, value_parser = serial)]
    pub(crate) serial: Option<Serial>,
    /// Why it is commissioned.
    #[arg(long, value_enum, default_value_t = Why::New)]
    pub(crate) purpose: Why,
    /// Links at once, instead of the profile's number.
    #[arg(long, value_parser = number::<u8>(1, 16))]
    pub(crate) links: Option<u8>,
    #[command(flatten)]
    pub(crate) given: Given,
}

/// Values for the provisioning template's parameters.
#[derive(Args, Debug)]
pub(crate) struct Given {
    /// A value for one of the provisioning template's parameters; may be repeated.
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
}

impl Given {
    /// By their names.
    ///
    /// # Errors
    /// One that is there twice.
    pub(crate) fn by_name(&self) -> Result<BTreeMap<String, String>, Ended> {
        let mut values = BTreeMap::new();
        for (name, value) in &self.parameters {
            if values.insert(name.clone(), value.clone()).is_some() {
                return Err(Ended::usage(
                    format!("--parameter {name} is there twice"),
                    "Give each parameter once.",
                ));
            }
        }
        Ok(values)
    }
}

/// Why a device is commissioned.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Why {
    /// It has no identity yet.
    New,
    /// A service visit: the new identity first, then the old one off.
    Service,
    /// Another owner, or theft: the old identity off first.
    Transfer,
}

impl From<Why> for Purpose {
    fn from(why: Why) -> Self {
        match why {
            Why::New => Self::New,
            Why::Service => Self::Service,
            Why::Transfer => Self::Transfer,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sandbox {
    /// Start it and keep it running until Ctrl-C.
    Up {
        /// A built-in scenario (demo, fifty) or a scenario file.
        #[arg(long, default_value = "demo")]
        scenario: String,
        /// Where it keeps its state and writes the profile and the labels.
        #[arg(long, value_name = "FOLDER")]
        state: Option<PathBuf>,
        /// How many times faster than life the devices' own delays pass.
        #[arg(long, default_value_t = 1.0, value_parser = speed)]
        speed: f64,
    },
    /// What its registry shows: each thing with its credentials, claims, and what is left over.
    Status {
        /// Where it keeps its state.
        #[arg(long, value_name = "FOLDER")]
        state: Option<PathBuf>,
        /// Fail unless every device is enrolled with exactly one active credential, none of them a claim.
        #[arg(long)]
        check: bool,
    },
    /// Begin to work at it: import its profile, and keep its networks' passphrases in the keyring.
    MoveIn {
        /// How claims are come by: through the broker, or from the AWS account, with keys by Cognito or STS.
        #[arg(long, value_enum, default_value_t = Way::Broker)]
        by: Way,
        /// Where it keeps its state.
        #[arg(long, value_name = "FOLDER")]
        state: Option<PathBuf>,
    },
    /// Play the person at the browser: sign in at the sandbox's page, or type a device code there.
    Browse {
        /// Where it keeps its state.
        #[arg(long, value_name = "FOLDER")]
        state: Option<PathBuf>,
        /// As whom.
        #[arg(long, default_value = "anna")]
        user: String,
        /// The page's address; for a device code, the one that has the code in it (pageWithCode in JSON).
        #[arg(value_parser = page)]
        page: url::Url,
    },
}

fn serial(text: &str) -> Result<Serial, commission::device::SerialError> {
    Serial::new(text)
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

fn parameter(text: &str) -> Result<(String, String), &'static str> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or("a parameter is NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn ssid(text: &str) -> Result<String, commission::network::NetworkError> {
    Ssid::new(text).map(|_| text.to_owned())
}

fn job(text: &str) -> Result<String, &'static str> {
    let fits = |c: char| c.is_ascii_hexdigit() || c == '-';
    if (8..=36).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_lowercase())
    } else {
        Err("this takes the identifier that fieldkey journal shows, or its first 8 characters")
    }
}

fn page(text: &str) -> Result<url::Url, String> {
    text.parse().map_err(|error| {
        format!("this is no web address ({error}); write it as in https://127.0.0.1:8443/device")
    })
}

fn speed(text: &str) -> Result<f64, &'static str> {
    let speed = text.parse().ok();
    speed
        .filter(|speed: &f64| speed.is_finite() && *speed > 0.0)
        .ok_or("a speed is a number above 0; 1 is as in life")
}

/// Reads a number within limits.
fn number<T: TryFrom<u32> + 'static>(
    least: u32,
    most: u32,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync {
    move |text| {
        text.parse()
            .ok()
            .filter(|number| (least..=most).contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("this must be a whole number from {least} to {most}"))
    }
}

/// What a command line that clap refuses ends with.
pub(crate) fn refused(error: &clap::Error, words: &[String]) -> Ended {
    let help = format!("{} --help shows what can be asked for.", deepest(words));
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(" or ")),
        _ => None,
    };
    let meant = |kind| {
        context(kind)
            .map(|meant| format!("Did you mean {meant}? "))
            .unwrap_or_default()
    };
    match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Ended::usage("a command is missing", help)
        }
        ErrorKind::InvalidSubcommand => Ended::usage(
            format!(
                "there is no command {:?}",
                context(ContextKind::InvalidSubcommand).unwrap_or_default()
            ),
            meant(ContextKind::SuggestedSubcommand) + &help,
        ),
        ErrorKind::UnknownArgument => {
            // A word too many may be a secret that somebody meant to hand over so; it is not repeated.
            let what = match context(ContextKind::InvalidArg).filter(|name| name.starts_with('-')) {
                Some(name) => format!("there is no {name} here"),
                None => "there is an argument too many".to_owned(),
            };
            let now = format!(
                "{}No secret is ever an argument: labels and passphrases are asked for, or read from standard input. \
                 {help}",
                meant(ContextKind::SuggestedArg)
            );
            Ended::usage(what, now)
        }
        // What was handed over with it may be a secret, too.
        ErrorKind::TooManyValues => Ended::usage(
            format!(
                "{} takes no value",
                context(ContextKind::InvalidArg).unwrap_or_default()
            ),
            help,
        ),
        _ => {
            let rendered = error.render().to_string();
            let first = rendered.split("\n\n").next().unwrap_or_default();
            let lines: Vec<&str> = first.lines().map(str::trim).collect();
            let what = lines.join(" ");
            Ended::usage(what.strip_prefix("error: ").unwrap_or(&what), help)
        }
    }
}

/// The command that these words name, as far as they do.
fn deepest(words: &[String]) -> String {
    let mut command = Arguments::command();
    let mut path = vec![command.get_name().to_owned()];
    for word in words {
        if let Some(inner) = command.find_subcommand(word).cloned() {
            path.push(inner.get_name().to_owned());
            command = inner;
        }
    }
    path.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_argument_takes_a_secret() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                // What S3 calls a file's name; nobody is let in by it.
                if (command.get_name(), name) == ("start", "key") {
                    continue;
                }
                for secret in ["pass", "pop", "token", "key", "secret"] {
                    assert!(!name.contains(secret), "{} takes {name}", command.get_name());
                }
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }
}
