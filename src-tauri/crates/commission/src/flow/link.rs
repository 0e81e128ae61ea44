//! The link of one job: wanted, coming up, up with a dialect's client on it, closing. At most one operation and one
//! command are under way, each with its own deadline.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::device::DialectKind;
use crate::dialect::{Client, Command, Report};
use crate::fault::Fault;
use crate::gatt::{GattOp, GattTable, LinkError};
use crate::secret::Entropy;
use crate::time::Moment;

use super::context::{Context, Intent, Signal};
use super::io::{Action, CallId, Event};

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
        /// Which.
        call: CallId,
        /// When to stop waiting.
        deadline: Moment,
    },
    /// Usable.
    Up(Up),
    /// [`Action::Disconnect`] is given.
    Closing {
        /// Which.
        call: CallId,
        /// When to take the link for gone without hearing so.
        deadline: Moment,
        /// Whether the next link is wanted already.
        again: bool,
    },
}

/// The operation under way.
struct Op {
    call: CallId,
    deadline: Moment,
    /// It reads a descriptor, which some stacks never answer on a link that is sound.
    of_descriptor: bool,
}

/// Whether the radio can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Radio {
    #[default]
    Usable,
    /// It is off, gone or asleep: nothing that needs it is tried, nor counted as tried.
    Gone {
        /// Since when a link was wanted all the same.
        since: Option<Moment>,
        /// When to try all the same, where only a failed attempt says that it is gone.
        again: Option<Moment>,
    },
}

/// A link in use.
pub(super) struct Up {
    /// The [`Action::Connect`] that made it.
    call: CallId,
    client: Box<dyn Client + Send>,
    op: Option<Op>,
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
            Self::Connecting { deadline, .. } | Self::Closing { deadline, .. } => Some(*deadline),
            Self::Up(up) => [
                up.op.as_ref().map(|op| op.deadline),
                up.command,
                up.client.poll_timeout(),
            ]
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
                    .retain(|(_, action)| !matches!(action, Action::Gatt(_) | Action::Connect(_)));
                let call = self.act_now(Action::Disconnect);
                self.stranded = false;
                self.link = Link::Closing {
                    call,
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
        let now = self.now;
        let usable = match &mut self.radio {
            Radio::Usable => true,
            Radio::Gone { since, again } => {
                if matches!(self.link, Link::Wanted) {
                    since.get_or_insert(now);
                }
                again.is_some_and(|at| now >= at)
            }
        };
        let ready = usable && self.may_link && self.recording.is_none() && self.intents.is_empty();
        if !(ready && matches!(self.link, Link::Wanted)) {
            return false;
        }
        self.link_tries = self.link_tries.saturating_add(1);
        self.look_up_label();
        if let Radio::Gone { again, .. } = &mut self.radio {
            *again = again.map(|_| now + self.plan.limits.settle);
        }
        let call = self.act_now(Action::Connect(self.plan.peripheral.clone()));
        // A radio makes one connection at a time and gives each its own time, so that this one may have to wait for all
        // others of the batch: a device that is gone must not use up the time of those that are here.
        let turns = if self.in_batch {
            u32::from(self.plan.policy.links.max(1))
        } else {
            1
        };
        self.link = Link::Connecting {
            call,
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
            let deadline = self.now + self.plan.limits.gatt;
            let of_descriptor = matches!(op, GattOp::ReadDescriptor(..));
            let call = self.act_now(Action::Gatt(op));
            if let Link::Up(up) = &mut self.link {
                up.op = Some(Op {
                    call,
                    deadline,
                    of_descriptor,
                });
            }
        }
        moved
    }

    /// [`super::Ended::Linked`].
    pub(super) fn linked(&mut self, made_by: CallId, table: &GattTable) {
        if !matches!(self.link, Link::Connecting { call, .. } if call == made_by) {
            return;
        }
        self.radio = Radio::Usable;
        match self.dialects.client(self.plan.dialect, table) {
            Ok(client) => {
                self.link = Link::Up(Up {
                    call: made_by,
                    client,
                    op: None,
                    command: None,
                });
                self.signals.push_back(Signal::Linked);
            }
            Err(fault) => self.drop_link(fault),
        }
    }

    /// [`super::Ended::NotLinked`]. Where the radio is gone that says nothing of the device: it is tried again once the
    /// radio is back.
    pub(super) fn not_linked(&mut self, attempt: CallId, error: LinkError) {
        if !matches!(self.link, Link::Connecting { call, .. } if call == attempt) {
            return;
        }
        self.link_gone();
        if error.is_of_radio() {
            self.radio_failed();
            self.link_tries = self.link_tries.saturating_sub(1);
            self.link = Link::Wanted;
        } else {
            self.radio = Radio::Usable;
            self.signals.push_back(Signal::Lost(Fault::Link(error)));
        }
    }

    /// [`super::Input::LinkLost`].
    pub(super) fn link_lost(&mut self, made_by: CallId) {
        if matches!(&self.link, Link::Up(up) if up.call == made_by) {
            self.forget_commands();
            self.actions
                .retain(|(_, action)| !matches!(action, Action::Gatt(_)));
            self.stranded = false;
            self.link_gone();
            self.signals
                .push_back(Signal::Lost(Fault::Link(LinkError::NotConnected)));
        }
    }

    /// [`super::Ended::Unlinked`].
    pub(super) fn unlinked(&mut self, asked: CallId) {
        if let Link::Closing { call, again, .. } = self.link
            && call == asked
        {
            self.link_gone();
            if again && !self.finished {
                self.link = Link::Wanted;
            }
        }
    }

    /// [`super::Ended::Gatt`].
    pub(super) fn gatt(
        &mut self,
        asked: CallId,
        result: Result<Vec<u8>, LinkError>,
        entropy: &mut dyn Entropy,
    ) {
        let Link::Up(up) = &mut self.link else {
            return;
        };
        let Some(op) = up.op.take_if(|op| op.call == asked) else {
            return;
        };
        match result {
            Err(LinkError::Timeout) if op.of_descriptor => {
                up.client.handle(Err(LinkError::Timeout), self.now, entropy);
            }
            Err(error) if error.is_of_radio() => {
                self.unproven = self.unproven.saturating_sub(1);
                self.radio_failed();
                self.link_tries = self.link_tries.saturating_sub(1);
                self.drop_link(Fault::Link(error));
            }
            Err(error) if ends_link(&error) => self.drop_link(Fault::Link(error)),
            result => up.client.handle(result, self.now, entropy),
        }
    }

    /// The radio can, or cannot, be used from now on. What was tried before it went counts no more.
    pub(super) fn set_radio(&mut self, usable: bool) {
        match (self.radio, usable) {
            (Radio::Usable, true) => {}
            (Radio::Usable, false) => {
                let (since, again) = (None, None);
                self.radio = Radio::Gone { since, again };
            }
            (Radio::Gone { since, .. }, false) => self.radio = Radio::Gone { since, again: None },
            (Radio::Gone { .. }, true) => {
                self.radio = Radio::Usable;
                self.link_tries = 0;
            }
        }
    }

    /// An attempt says that the radio is gone; whoever knows better says so by [`Context::set_radio`].
    fn radio_failed(&mut self) {
        let next = Some(self.now + self.plan.limits.settle);
        match &mut self.radio {
            Radio::Usable => {
                let (since, again) = (None, next);
                self.radio = Radio::Gone { since, again };
            }
            Radio::Gone { again, .. } => *again = again.and(next),
        }
    }

    /// When to look again for a radio that is gone and wanted.
    pub(super) fn radio_timeout(&self) -> Option<Moment> {
        match (&self.link, self.radio) {
            (Link::Wanted, Radio::Gone { since, again }) => {
                let end = since.map(|since| since + self.plan.limits.radio);
                // What stands before it wakes the job by itself.
                let ready = self.may_link && self.recording.is_none() && self.intents.is_empty();
                [again.filter(|_| ready), end].into_iter().flatten().min()
            }
            _ => None,
        }
    }

    /// Ends what is overdue on the link.
    pub(super) fn lapse_link(&mut self) {
        let now = self.now;
        match &mut self.link {
            Link::Wanted => {
                if let Radio::Gone {
                    since: Some(since), ..
                } = self.radio
                    && now >= since + self.plan.limits.radio
                {
                    self.link_gone();
                    self.link_tries = self.plan.limits.link_attempts;
                    self.signals
                        .push_back(Signal::Lost(Fault::Link(LinkError::AdapterOff)));
                }
            }
            Link::Connecting { deadline, .. } if now >= *deadline => {
                self.drop_link(Fault::Link(LinkError::Timeout));
            }
            Link::Closing { deadline, call, .. } if now >= *deadline => {
                let call = *call;
                self.unlinked(call);
            }
            Link::Up(up) => {
                let overdue = |deadline: Option<Moment>| deadline.is_some_and(|at| now >= at);
                if overdue(up.op.as_ref().map(|op| op.deadline)) || overdue(up.command) {
                    self.drop_link(Fault::Link(LinkError::Timeout));
                } else if overdue(up.client.poll_timeout()) {
                    up.client.handle_timeout(now);
                }
            }
            Link::None | Link::Connecting { .. } | Link::Closing { .. } => {}
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
        LinkError::NotConnected | LinkError::Timeout | LinkError::OutOfReach
    )
}
