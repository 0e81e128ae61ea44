//! The command line: what can be asked for, in clap's terms. No secret is ever an argument, since arguments are
//! visible to every program on the computer.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use commission::claim::Purpose;
use commission::device::Serial;

/// Brings IoT devices online: sign in, push Wi-Fi and a temporary credential over Bluetooth, watch them enrol.
#[derive(Debug, Parser)]
#[command(name = "fieldkey", version, about, after_help = EXITS)]
pub(crate) struct Arguments {
    /// Print one JSON object a line instead of words (the form is in JSON.md).
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
  1  at least one device failed; nothing of it is left behind, unless the journal says so
  2  the command line or a file given is wrong
  3  at least one device's outcome is unknown: run fieldkey resume
  4  nobody is signed in, or the sign-in failed
  5  Bluetooth cannot be used
  6  the cloud cannot be reached or refuses
  7  the profile, the keyring or the journal cannot be used, or another fieldkey works on devices
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
        #[arg(long = "for", value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=3600))]
        seconds: u16,
    },
    /// Say what a device can do, without changing anything on it.
    Inspect {
        /// The device's advertised name.
        device: String,
    },
    /// Let a device blink, to see which one it is.
    Identify {
        /// The device's advertised name.
        device: String,
        /// Read the text of its label (QR code or proof of possession) from standard input instead of asking.
        #[arg(long)]
        label_stdin: bool,
    },
    /// Commission one device, or a batch from a file of labels.
    Commission(Commission),
    /// Finish or undo what a crash, a lost link or Ctrl-C left open.
    Resume,
    /// Watch a device in the cloud until it is seen online.
    Watch {
        /// The device's serial number.
        #[arg(value_parser = serial)]
        serial: Serial,
        /// Give up after so many seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=86_400))]
        timeout: u32,
    },
    /// Every job with its evidence.
    Journal {
        /// Only this job, with all its entries.
        #[arg(long, value_name = "JOB")]
        job: Option<uuid::Uuid>,
        /// Check that no entry was changed after it was written.
        #[arg(long, conflicts_with = "job")]
        verify: bool,
    },
    /// Check adapter, keyring, issuer, cloud and clock, with what to do about each.
    Doctor,
    /// Simulated devices, radio and cloud on this computer, with real protocols between them.
    #[command(subcommand)]
    Sandbox(Sandbox),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Profile {
    /// Check a profile and make it the current one.
    Import {
        /// The TOML file.
        file: PathBuf,
    },
    /// Show the current profile.
    Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Network {
    /// Ask for the passphrase (or read it from standard input) and keep it in the keyring.
    Remember {
        /// The network's name.
        ssid: String,
    },
    /// Forget the passphrase.
    Forget {
        /// The network's name.
        ssid: String,
    },
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["device", "labels"]))]
pub(crate) struct Commission {
    /// The device's advertised name; its label is asked for.
    pub(crate) device: Option<String>,
    /// A CSV or JSON file of labels: name, serial, pop, username, network, or the text of the QR code as label.
    #[arg(long, value_name = "FILE", conflicts_with = "serial")]
    pub(crate) labels: Option<PathBuf>,
    /// The network to join; the profile's default, or a question, where absent.
    #[arg(long, value_name = "SSID")]
    pub(crate) network: Option<String>,
    /// The network hides its name.
    #[arg(long, requires = "network")]
    pub(crate) hidden: bool,
    /// The device's serial number, where its label does not carry it.
    #[arg(long, value_parser = serial)]
    pub(crate) serial: Option<Serial>,
    /// Why it is commissioned.
    #[arg(long, value_enum, default_value_t = Why::New)]
    pub(crate) purpose: Why,
    /// Links at once, instead of the profile's number.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) links: Option<u8>,
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
        #[arg(long, default_value_t = 1.0)]
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
    /// Play the person at the browser: sign in at the sandbox's page, or type a device code there.
    Browse {
        /// Where it keeps its state.
        #[arg(long, value_name = "FOLDER")]
        state: Option<PathBuf>,
        /// As whom.
        #[arg(long, default_value = "anna")]
        user: String,
        /// The page's address.
        page: url::Url,
    },
}

fn serial(text: &str) -> Result<Serial, commission::device::SerialError> {
    Serial::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_argument_takes_a_secret() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                for secret in ["pass", "pop", "token", "key", "secret"] {
                    assert!(!name.contains(secret), "{} takes {name}", command.get_name());
                }
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }
}
