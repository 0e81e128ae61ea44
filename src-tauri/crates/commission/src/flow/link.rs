//! The link of one job: wanted, coming up, up with a dialect's client on it, closing. At most one operation and one
//! command are under way, each with its own deadline.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::device::DialectKind;
use crate::dialect::{Client, Command, Report};
use crate::fault::Fault;
use crate::gatt::{GattTable, LinkError};
use crate::secret::Entropy;
use crate::time::Moment;

use super::context::{Context, Intent, Signal};
use super::io::{Action, Event};

/// Makes the client of a dialect for a device that has just been linked.
pub trait Dialects: Send {
    /// The client for this protocol over these characteristics.
    ///
    /// # Errors
    /// [`Fault::EndpointMissing`] and [`Fault::Protocol`] where the device does not offer what the protocol needs.
    fn client(&self, kind: DialectKind, table: &GattTable) -> Result<Box<dyn Client + Send>, Fault>;
}

impl<F> Dialects for F
where
    F: Fn(DialectKind, &GattTable) -> Result<Box<dyn Client + Send>, Fault> + Send,
{
    fn client(&self, kind: DialectKind, table: &GattTable) -> Result<Box<dyn Client + Send>, Fault> {
        self(kind, table)
    }
}

/// Where the link stands.
#[derive(Default)]
pub(super) enum Link {
    /// There is none, and none is wanted.
    #[default]
    None,
    /// Wanted; waits for the journal, and in a batch for its turn.
    Wanted,
    /// [`Action::Connect`] is given.
    Connecting {
        /// When to stop waiting.
        deadline: Moment,
    },
    /// Usable.
    Up(Up),
    /// [`Action::Disconnect`] is given.
    Closing {
        /// When to take the link for gone without hearing so.
        deadline: Moment,
        /// Whether the next link is wanted already.
        again: bool,
    },
}

/// A link in use.
pub(super) struct Up {
    client: Box<dyn Client + Send>,
    /// Deadline of the operation under way.
    op: Option<Moment>,
    /// Deadline of the command under way.
    command: Option<Moment>,
}

impl Link {
    /// Whether it takes one of the places that a batch has.
    pub(super) fn is_held(&self) -> bool {
        matches!(self, Self::Connecting { .. } | Self::Up(_) | Self::Closing { .. })
    }

    /// When something is overdue.
    pub(super) fn timeout(&self) -> Option<Moment> {
        match self {
            Self::None | Self::Wanted => None,
            Self::Connecting { deadline } | Self::Closing { deadline, .. } => Some(*deadline),
            Self::Up(up) => [up.op, up.command, up.client.poll_timeout()]
                .into_iter()
                .flatten()
                .min(),
        }
    }
}

impl Context {
    /// Asks for a link; it comes once the journal and the batch allow it.
    pub(super) fn want_link(&mut self) {
        match &mut self.link {
            Link::None => self.link = Link::Wanted,
            Link::Closing { again, .. } => *again = true,
            Link::Wanted | Link::Connecting { .. } | Link::Up(_) => {}
        }
    }

    /// Gives the link back, whatever is under way on it.
    pub(super) fn unlink(&mut self) {
        self.forget_commands();
        match &mut self.link {
            Link::None => {}
            Link::Wanted => self.link_gone(),
            Link::Closing { again, .. } => *again = false,
            Link::Connecting { .. } | Link::Up(_) => {
                self.actions
                    .retain(|action| !matches!(action, Action::Gatt(_) | Action::Connect(_)));
                self.actions.push_back(Action::Disconnect);
                self.link = Link::Closing {
                    deadline: self.now + self.plan.limits.link,
                    again: false,
                };
            }
        }
    }

    /// Whether a command can be given now.
    pub(super) fn link_up(&self) -> bool {
        matches!(&self.link, Link::Up(_))
    }

    /// Whether the link is up with nothing under way on it, so that a session can be opened.
    pub(super) fn link_idle(&self) -> bool {
        matches!(&self.link, Link::Up(up) if up.command.is_none() && up.op.is_none())
            && !self.intents.iter().any(Intent::is_for_device)
    }

    /// Whether the session on the link can take another command now.
    pub(super) fn link_free(&self) -> bool {
        self.link_idle() && self.session_stands()
    }

    /// Whether the session outlived what the device just reported.
    pub(super) fn session_stands(&self) -> bool {
        matches!(&self.link, Link::Up(up) if up.client.session_stands())
    }

    /// The next link may be made now; only a batch withholds this.
    pub(super) fn wants_turn(&self) -> bool {
        matches!(self.link, Link::Wanted) && !self.may_link
    }

    /// Connects, once nothing has to be written down before.
    pub(super) fn pump_link(&mut self) -> bool {
        let ready = self.may_link && !self.recording && self.intents.is_empty();
        if !(ready && matches!(self.link, Link::Wanted)) {
            return false;
        }
        self.link_tries = self.link_tries.saturating_add(1);
        self.look_up_label();
        self.actions
            .push_back(Action::Connect(self.plan.peripheral.clone()));
        // A radio makes one connection at a time and gives each its own time, so that this one may have to wait for all
        // others of the batch: a device that is gone must not use up the time of those that are here.
        let turns = if self.in_batch {
            u32::from(self.plan.policy.links.max(1))
        } else {
            1
        };
        self.link = Link::Connecting {
            deadline: self.now + self.plan.limits.link * turns,
        };
        true
    }

    /// Begins a command whose turn has come.
    pub(super) fn begin(&mut self, command: Command, entropy: &mut dyn Entropy) {
        let limits = &self.plan.limits;
        let deadline = match &command {
            // The dialect ends a scan by itself and keeps the session; this is for a dialect that does not.
            Command::Scan => self.now + limits.scan + limits.gatt,
            Command::SendClaim { claim, .. } => claim.expires,
            _ => self.now + limits.command,
        };
        if command == Command::Apply {
            self.applied = true;
            self.ever_applied = true;
        }
        if let Link::Up(up) = &mut self.link {
            up.command = Some(deadline);
            up.client.begin(command, self.now, entropy);
        }
    }

    /// Takes what the client wants to do and has to say.
    pub(super) fn pump_client(&mut self) -> bool {
        let Link::Up(up) = &mut self.link else {
            return false;
        };
        let mut moved = false;
        while let Some(report) = up.client.poll_report() {
            moved = true;
            if let Report::ClaimProgress { sent, total } = report {
                self.events.push_back(Event::ClaimProgress { sent, total });
            } else {
                up.command = None;
                self.signals.push_back(Signal::Report(report));
            }
        }
        if up.op.is_none()
            && let Some(op) = up.client.poll_gatt()
        {
            moved = true;
            up.op = Some(self.now + self.plan.limits.gatt);
            self.actions.push_back(Action::Gatt(op));
        }
        moved
    }

    /// [`super::Input::Linked`].
    pub(super) fn linked(&mut self, table: &GattTable) {
        if !matches!(self.link, Link::Connecting { .. }) {
            return;
        }
        match self.dialects.client(self.plan.dialect, table) {
            Ok(client) => {
                self.link = Link::Up(Up {
                    client,
                    op: None,
                    command: None,
                });
                self.signals.push_back(Signal::Linked);
            }
            Err(fault) => self.drop_link(fault),
        }
    }

    /// [`super::Input::NotLinked`].
    pub(super) fn not_linked(&mut self, error: LinkError) {
        if matches!(self.link, Link::Connecting { .. }) {
            self.link_gone();
            self.signals.push_back(Signal::Lost(Fault::Link(error)));
        }
    }

    /// [`super::Input::LinkLost`]. One that comes late, while the next link is being made, is about the one before.
    pub(super) fn link_lost(&mut self) {
        if self.link_up() {
            self.forget_commands();
            self.actions.retain(|action| !matches!(action, Action::Gatt(_)));
            self.link_gone();
            self.signals
                .push_back(Signal::Lost(Fault::Link(LinkError::NotConnected)));
        }
    }

    /// [`super::Input::Unlinked`].
    pub(super) fn unlinked(&mut self) {
        if let Link::Closing { again, .. } = self.link {
            self.link_gone();
            if again && !self.finished {
                self.link = Link::Wanted;
            }
        }
    }

    /// [`super::Input::Gatt`].
    pub(super) fn gatt(&mut self, result: Result<Vec<u8>, LinkError>, entropy: &mut dyn Entropy) {
        let Link::Up(up) = &mut self.link else {
            return;
        };
        if up.op.take().is_none() {
            return;
        }
        match result {
            Err(error) if ends_link(&error) => self.drop_link(Fault::Link(error)),
            result => up.client.handle(result, self.now, entropy),
        }
    }

    /// Ends what is overdue on the link.
    pub(super) fn lapse_link(&mut self) {
        let now = self.now;
        match &mut self.link {
            Link::Connecting { deadline } if now >= *deadline => {
                self.drop_link(Fault::Link(LinkError::Timeout));
            }
            Link::Closing { deadline, .. } if now >= *deadline => self.unlinked(),
            Link::Up(up) => {
                let overdue = |deadline: Option<Moment>| deadline.is_some_and(|at| now >= at);
                if overdue(up.op) || overdue(up.command) {
                    self.drop_link(Fault::Link(LinkError::Timeout));
                } else if overdue(up.client.poll_timeout()) {
                    up.client.handle_timeout(now);
                }
            }
            Link::None | Link::Wanted | Link::Connecting { .. } | Link::Closing { .. } => {}
        }
    }

    /// Gives up a link that is of no use any more, and says so to the stage.
    fn drop_link(&mut self, fault: Fault) {
        self.unlink();
        self.signals.push_back(Signal::Lost(fault));
    }

    fn link_gone(&mut self) {
        self.link = Link::None;
        self.may_link = !self.in_batch;
    }
}

/// Errors after which nothing more comes over this link.
fn ends_link(error: &LinkError) -> bool {
    matches!(
        error,
        LinkError::NotConnected
            | LinkError::Timeout
            | LinkError::OutOfReach
            | LinkError::AdapterOff
            | LinkError::NoAdapter
            | LinkError::NoService
    )
}
