//! How a command ends: a code for scripts and words for people.

use std::process::ExitCode;

use engine::failure::{Failure, Remedy};

/// Why a command did not do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// At least one device failed.
    DeviceFailed = 1,
    /// The command line or a file given is wrong.
    Usage = 2,
    /// At least one outcome is unknown.
    Unknown = 3,
    /// Nobody is signed in, or the sign-in failed.
    SignIn = 4,
    /// Bluetooth cannot be used.
    Bluetooth = 5,
    /// The cloud cannot be reached or refuses.
    Cloud = 6,
    /// Profile, keyring or journal cannot be used, or another process runs jobs with the same files.
    Local = 7,
    /// Stopped with Ctrl-C.
    Interrupted = 130,
    /// Told to end by the system (SIGTERM) after it had asked for a secret.
    #[cfg(unix)]
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command's end that is no success: code, what happened, and what to do now.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code.
    pub(crate) exit: Exit,
    /// The stable code, as in JSON.
    pub(crate) code: String,
    /// What happened.
    pub(crate) what: String,
    /// What to do now; empty where the first says it all.
    pub(crate) now: String,
}

impl Ended {
    /// With a code, what happened and what to do.
    pub(crate) fn new(exit: Exit, code: &str, what: impl std::fmt::Display, now: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.into(),
            what: what.to_string(),
            now: now.into(),
        }
    }

    /// For something given on the command line or in a file.
    pub(crate) fn usage(what: impl std::fmt::Display, now: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", what, now)
    }

    /// For what already has been said device by device.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self::new(exit, "", "", "")
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        let exit = match failure.remedy {
            Remedy::SignIn => Exit::SignIn,
            Remedy::FixBluetooth => Exit::Bluetooth,
            Remedy::AskOffice => Exit::Cloud,
            _ if failure.code.starts_with("cloud") => Exit::Cloud,
            _ => Exit::DeviceFailed,
        };
        Self {
            exit,
            code: failure.code,
            what: format!("{} {}", failure.what, failure.why),
            now: failure.now,
        }
    }
}

impl From<&commission::fault::Fault> for Ended {
    fn from(fault: &commission::fault::Fault) -> Self {
        Failure::from(fault).into()
    }
}

impl From<commission::gatt::LinkError> for Ended {
    fn from(error: commission::gatt::LinkError) -> Self {
        (&commission::fault::Fault::Link(error)).into()
    }
}

impl From<commission::fault::CloudError> for Ended {
    fn from(error: commission::fault::CloudError) -> Self {
        let mut ended = Self::from(Failure::from(&error));
        if ended.exit == Exit::DeviceFailed {
            ended.exit = Exit::Cloud;
        }
        ended
    }
}

impl From<engine::ports::JournalError> for Ended {
    fn from(error: engine::ports::JournalError) -> Self {
        Self::new(
            Exit::Local,
            "journal",
            error,
            "Check that the disk has room and that the journal's folder is yours to write.",
        )
    }
}

impl From<engine::ports::VaultError> for Ended {
    fn from(error: engine::ports::VaultError) -> Self {
        Self::new(
            Exit::Local,
            "keyring",
            error,
            "Unlock the keyring of your session, or start one (on Debian: gnome-keyring), then try again.",
        )
    }
}
