//! Ctrl-C: the first is for the command, which may have devices in hand; the next one ends the program as it stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, watch};

#[cfg(unix)]
use crate::exit::Exit;

/// Who acts on Ctrl-C. Clones are the same. One ear hears them all and says at once whose each is, since two that
/// hear on their own may both take one, or neither.
#[derive(Clone, Debug)]
pub(crate) struct Interrupts {
    /// The command acts on the next one itself.
    minded: Arc<AtomicBool>,
    /// How many the command has had to act on.
    taken: Arc<watch::Sender<usize>>,
    /// One came on which no command acts.
    leave: Arc<Notify>,
}

impl Interrupts {
    /// Listens, as long as the runtime stands.
    pub(crate) fn listen() -> Self {
        let interrupts = Self::default();
        tokio::spawn(hear(interrupts.clone()));
        interrupts
    }

    /// From now on the command acts on the next Ctrl-C itself, as long as this is held.
    pub(crate) fn mind(&self) -> Minding {
        self.minded.store(true, Ordering::SeqCst);
        self.watch(true)
    }

    /// The same where no other part of the command does; where one does, this hears with it.
    pub(crate) fn mind_too(&self) -> Minding {
        let first = !self.minded.swap(true, Ordering::SeqCst);
        self.watch(first)
    }

    /// Resolves at the next Ctrl-C, which is the caller's to act on; never where it cannot be listened for.
    pub(crate) async fn next(&self) {
        self.mind().pressed().await;
    }

    /// Whether the command has been told to stop.
    pub(crate) fn came(&self) -> bool {
        *self.taken.borrow() > 0
    }

    /// Resolves at a Ctrl-C on which no command acts.
    pub(crate) async fn unminded(&self) {
        self.leave.notified().await;
    }

    fn watch(&self, own: bool) -> Minding {
        Minding {
            own: own.then(|| Arc::clone(&self.minded)),
            taken: self.taken.subscribe(),
        }
    }

    fn pressed(&self) {
        if self.minded.swap(false, Ordering::SeqCst) {
            self.taken.send_modify(|taken| *taken += 1);
        } else {
            self.leave.notify_one();
        }
    }
}

impl Default for Interrupts {
    /// Deaf, until somebody listens.
    fn default() -> Self {
        Self {
            minded: Arc::default(),
            taken: Arc::new(watch::Sender::new(0)),
            leave: Arc::default(),
        }
    }
}

/// A command's word that it acts on the next Ctrl-C.
pub(crate) struct Minding {
    own: Option<Arc<AtomicBool>>,
    taken: watch::Receiver<usize>,
}

impl Minding {
    /// Resolves when it came, once for each.
    pub(crate) async fn pressed(&mut self) {
        if self.taken.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.own = None;
    }
}

impl Drop for Minding {
    fn drop(&mut self) {
        if let Some(minded) = &self.own {
            minded.store(false, Ordering::SeqCst);
        }
    }
}

#[cfg(unix)]
async fn hear(interrupts: Interrupts) {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::interrupt()) {
        Ok(mut presses) => {
            while presses.recv().await.is_some() {
                interrupts.pressed();
            }
        }
        Err(error) => tracing::warn!(%error, "Ctrl-C cannot be listened for"),
    }
}

#[cfg(not(unix))]
async fn hear(interrupts: Interrupts) {
    while tokio::signal::ctrl_c().await.is_ok() {
        interrupts.pressed();
    }
}

/// The terminal as it was. What is typed after a prompt for a secret may be the secret again, so the echo stays off from
/// the first such prompt until the program has ended, which then drops what nobody read instead of handing it to the
/// shell.
#[cfg(unix)]
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    before: Option<rustix::termios::Termios>,
    hushed: Arc<AtomicBool>,
    /// Somebody minds the order to end, which would leave a hushed terminal so.
    told: Arc<AtomicBool>,
}

#[cfg(unix)]
impl Terminal {
    /// As it is now, where there is one.
    pub(crate) fn remember() -> Self {
        Self {
            before: rustix::termios::tcgetattr(std::io::stdin()).ok(),
            hushed: Arc::default(),
            told: Arc::default(),
        }
    }

    /// Without echo from now on.
    pub(crate) fn hush(&self) {
        if !self.told.swap(true, Ordering::SeqCst) {
            tokio::spawn(end_when_told(self.clone()));
        }
        self.hushed.store(true, Ordering::SeqCst);
        self.echo(false);
    }

    /// With echo while this runs, for a line that is no secret.
    pub(crate) fn aloud<T>(&self, line: impl FnOnce() -> T) -> T {
        let hushed = self.hushed.load(Ordering::SeqCst);
        if hushed {
            self.echo(true);
        }
        let line = line();
        if hushed && self.hushed.load(Ordering::SeqCst) {
            self.echo(false);
        }
        line
    }

    /// As it was.
    pub(crate) fn restore(&self) {
        use rustix::termios::OptionalActions;
        // A prompt that still waits for its line finds that nothing is hushed any more.
        let unread = if self.hushed.swap(false, Ordering::SeqCst) {
            OptionalActions::Flush
        } else {
            OptionalActions::Now
        };
        if let Some(before) = &self.before {
            set(before, unread);
        }
    }

    fn echo(&self, on: bool) {
        use rustix::termios::{LocalModes, OptionalActions};
        if let Some(before) = &self.before {
            let mut now = before.clone();
            now.local_modes.set(LocalModes::ECHO, on);
            set(&now, OptionalActions::Now);
        }
    }
}

/// Ends the program as it stands when it is told to, as the signal itself does, with the terminal as it was. Not by way of
/// the command, which may be waiting for an output that nobody reads.
#[cfg(unix)]
async fn end_when_told(terminal: Terminal) {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut orders) => {
            if orders.recv().await.is_some() {
                terminal.restore();
                std::process::exit(Exit::Terminated as i32);
            }
        }
        Err(error) => tracing::warn!(%error, "the order to end cannot be listened for"),
    }
}

#[cfg(unix)]
fn set(modes: &rustix::termios::Termios, when: rustix::termios::OptionalActions) {
    if let Err(error) = rustix::termios::tcsetattr(std::io::stdin(), when, modes) {
        tracing::debug!(%error, "the terminal stays as it is");
    }
}

/// Consoles elsewhere give each program its own mode.
#[cfg(not(unix))]
#[derive(Clone, Debug)]
pub(crate) struct Terminal;

#[cfg(not(unix))]
impl Terminal {
    /// Nothing to remember.
    pub(crate) fn remember() -> Self {
        Self
    }

    /// Nothing to do.
    pub(crate) fn hush(&self) {}

    /// Nothing to do.
    pub(crate) fn aloud<T>(&self, line: impl FnOnce() -> T) -> T {
        line()
    }

    /// Nothing to do.
    pub(crate) fn restore(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_press_is_either_the_commands_or_the_programs() {
        let interrupts = Interrupts::default();
        let mut minding = interrupts.mind();
        let mut hearing = interrupts.mind_too();
        interrupts.pressed();
        minding.pressed().await;
        hearing.pressed().await;
        drop((minding, hearing));
        assert!(interrupts.came());
        interrupts.pressed();
        interrupts.unminded().await;
    }

    #[tokio::test]
    async fn a_press_after_the_command_has_stopped_minding_is_the_programs() {
        let interrupts = Interrupts::default();
        drop(interrupts.mind());
        interrupts.pressed();
        interrupts.unminded().await;
        assert!(!interrupts.came());
    }
}
