//! Ctrl-C: the first is for the command, which may have devices in hand; the next one ends the program as it stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Who acts on Ctrl-C. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupts {
    /// The command acts on the next one itself.
    minded: Arc<AtomicBool>,
}

impl Interrupts {
    /// From now on the command acts on the next Ctrl-C itself.
    pub(crate) fn mind(&self) {
        self.minded.store(true, Ordering::Relaxed);
    }

    /// Resolves at the next Ctrl-C, which is the caller's to act on; never where it cannot be listened for.
    pub(crate) async fn next(&self) {
        self.mind();
        pressed().await;
    }

    /// Resolves at a Ctrl-C on which no command acts.
    pub(crate) async fn unminded(&self) {
        loop {
            pressed().await;
            if !self.minded.swap(false, Ordering::Relaxed) {
                return;
            }
        }
    }
}

async fn pressed() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The terminal as it was. A prompt for a secret switches the echo off, and a program that ends in its midst would
/// leave it off for the shell.
#[cfg(unix)]
pub(crate) struct Terminal(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Terminal {
    /// As it is now, where there is one.
    pub(crate) fn remember() -> Self {
        Self(rustix::termios::tcgetattr(std::io::stdin()).ok())
    }

    /// As it was.
    pub(crate) fn restore(&self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        if let Self(Some(before)) = self
            && let Err(error) = tcsetattr(std::io::stdin(), OptionalActions::Now, before)
        {
            tracing::debug!(%error, "the terminal stays as it is");
        }
    }
}

/// Consoles elsewhere give each program its own mode.
#[cfg(not(unix))]
pub(crate) struct Terminal;

#[cfg(not(unix))]
impl Terminal {
    /// Nothing to remember.
    pub(crate) fn remember() -> Self {
        Self
    }

    /// Nothing to do.
    pub(crate) fn restore(&self) {}
}
