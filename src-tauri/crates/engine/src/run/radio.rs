//! Whether there is a radio to work with. Jobs rest while there is none, and for a moment after the machine slept, and go
//! on by themselves. What ran against a device meanwhile is not held against it.

use std::time::Duration;

use commission::fault::Fault;
use commission::flow::JobId;
use commission::gatt::LinkError;
use commission::time::Moment;
use tokio::sync::watch;

use super::{Driver, LISTEN_AGAIN};
use crate::failure::Failure;
use crate::ports::RadioState;

/// Pause between looks at the clock while something is under way.
const LOOK: Duration = Duration::from_secs(1);
/// A look that comes so much later: the machine slept, and its links are over.
const SLEPT: Duration = Duration::from_secs(5);
/// How long the stack has after sleep to tell which links those are.
const AWAKE: Duration = Duration::from_secs(3);
/// So many scans fail to start, one after the other, until a radio that never heard anything counts as one that cannot.
const STARTS: u32 = 5;

/// See the module.
pub(super) struct Reception {
    pub(super) state: watch::Receiver<RadioState>,
    rest: Option<Rest>,
    /// Whether it has heard or linked in this run. One that never did is no radio that will be back.
    worked: bool,
    /// Scans that failed to start, one after the other.
    failed: u32,
    /// When the clock was looked at last.
    looked: Moment,
}

/// Why jobs rest.
enum Rest {
    /// There is no radio.
    Off(LinkError),
    /// The machine slept; until then the stack finds itself.
    Slept(Moment),
}

impl Reception {
    pub(super) fn new(state: watch::Receiver<RadioState>, now: Moment) -> Self {
        Self {
            state,
            rest: None,
            worked: false,
            failed: 0,
            looked: now,
        }
    }

    /// Why there is no radio, where that is why jobs rest.
    pub(super) fn trouble(&self) -> Option<&LinkError> {
        match &self.rest {
            Some(Rest::Off(error)) => Some(error),
            Some(Rest::Slept(_)) | None => None,
        }
    }

    pub(super) fn rests(&self) -> bool {
        self.rest.is_some()
    }
}

impl Driver {
    /// Whether anything waits for the radio.
    pub(super) fn is_at_work(&self) -> bool {
        !self.finder.is_empty() || !self.twins.is_empty() || self.batch.running().next().is_some()
    }

    /// When to look at the clock and the radio again.
    pub(super) fn look_at(&self) -> Option<Moment> {
        let slept = match self.reception.rest {
            Some(Rest::Slept(until)) => Some(until),
            Some(Rest::Off(_)) | None => None,
        };
        self.is_at_work().then(|| {
            slept
                .unwrap_or(self.reception.looked + LOOK)
                .min(self.reception.looked + LOOK)
        })
    }

    /// Looks whether the machine slept and what the radio says of itself, before anything is made of what else it said.
    pub(super) fn look(&mut self) {
        let now = self.parts.clock.now();
        let looked = std::mem::replace(&mut self.reception.looked, now);
        if now.since(looked) >= LOOK + SLEPT && self.is_at_work() {
            self.slept(looked, now);
        }
        let trouble = self.reception.state.borrow_and_update().trouble.clone();
        if let Some(error) = trouble {
            self.rest(&error);
        } else if let Some(rest) = &self.reception.rest {
            let over = match rest {
                Rest::Off(_) => true,
                Rest::Slept(until) => *until <= now,
            };
            if over && self.view.listening {
                self.go_on(now);
            }
        }
        self.tend_hearing(now);
    }

    /// Counts the time in which devices can be heard.
    fn tend_hearing(&mut self, now: Moment) {
        let hears = self.reception.state.borrow().hears;
        let (listens, rests) = (self.view.listening, self.reception.rests());
        self.finder.set_hearing(listens && hears && !rests, now);
        self.twins.set_hearing(listens && hears && !rests, now);
        self.around.set_pausing(listens && !hears, now);
    }

    /// There is no radio any more, where there was one.
    pub(super) fn rest(&mut self, error: &LinkError) {
        if !error.is_of_radio() || !self.reception.worked {
            return;
        }
        if !self.reception.rests() {
            tracing::info!(%error, "jobs rest until there is a radio again");
            self.set_usable(false, self.parts.clock.now());
        }
        if self.reception.trouble().is_none() {
            // Whether it hears again shows in a scan that begins anew. Put off once only: the same trouble is seen at
            // each look until such a scan, and one put off each time would never come.
            self.stop_ears();
            self.listen_at = Some(self.parts.clock.now() + LISTEN_AGAIN);
        }
        self.reception.rest = Some(Rest::Off(error.clone()));
        self.show_listening(false, Some(Failure::from(&Fault::Link(error.clone()))));
    }

    /// The machine slept from then on.
    fn slept(&mut self, from: Moment, now: Moment) {
        tracing::info!("the machine slept");
        self.finder.set_hearing(false, from);
        self.twins.set_hearing(false, from);
        self.batch.slept(now.since(from));
        if !self.reception.rests() {
            self.set_usable(false, now);
            self.reception.rest = Some(Rest::Slept(now + AWAKE));
        }
        self.stop_ears();
        self.show_listening(false, None);
        self.listen_at = None;
    }

    fn go_on(&mut self, now: Moment) {
        if self.reception.rest.take().is_some() {
            tracing::info!("jobs go on");
            self.set_usable(true, now);
        }
    }

    /// The radio does something: it hears, or a link stands.
    pub(super) fn works(&mut self) {
        (self.reception.worked, self.reception.failed) = (true, 0);
    }

    /// The radio went deaf: orders wait for it, unless it never was there.
    pub(super) fn went_deaf(&mut self, trouble: Option<LinkError>) {
        self.ears = None;
        self.listen_at = Some(self.parts.clock.now() + LISTEN_AGAIN);
        let words = trouble
            .as_ref()
            .map(|error| Failure::from(&Fault::Link(error.clone())));
        self.show_listening(false, words.or_else(|| self.view.radio_trouble.clone()));
        let Some(error) = trouble else { return };
        self.rest(&error);
        self.reception.failed = self.reception.failed.saturating_add(1);
        let hopeless = error.is_of_radio() || error == LinkError::NoPermission;
        if !self.reception.worked && (hopeless || self.reception.failed >= STARTS) {
            let waiting: Vec<JobId> = self.orders.keys().copied().collect();
            for job in waiting {
                self.finder.remove(job);
                self.orders.remove(&job);
                self.show_not_begun(job, &Fault::Link(error.clone()), true);
            }
        }
    }

    fn set_usable(&mut self, usable: bool, at: Moment) {
        self.batch.set_radio(usable, at, self.parts.entropy.as_mut());
    }
}
