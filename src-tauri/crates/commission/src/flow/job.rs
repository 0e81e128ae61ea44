//! One device's job behind its five verbs, and the table of its states.

use alloc::boxed::Box;
use core::mem;
use core::time::Duration;

use crate::fault::Fault;
use crate::gatt::GattTable;
use crate::secret::Entropy;
use crate::time::Moment;

use super::context::{Context, Signal};
use super::crediting::Crediting;
use super::enrolling::Enrolling;
use super::identifying::Identifying;
use super::io::{Action, CallId, Ended, Event, Input, JobId, Plan, Remains, Stage, Step};
use super::joining::Joining;
use super::link::Dialects;
use super::linking::Linking;
use super::networking::Networking;
use super::proving::Proving;
use super::recalling::{Recalling, take_over};
use super::releasing::Releasing;
use super::undoing::Undoing;
use super::verifying::Verifying;

/// Where a job is. A state holds only what is valid in it and is consumed when it is left.
#[derive(Debug)]
pub(super) enum State {
    /// The beginning is being written down.
    Starting(Start),
    Recalling(Recalling),
    Linking(Linking),
    Proving(Proving),
    Identifying(Identifying),
    Networking(Networking),
    Crediting(Crediting),
    Joining(Joining),
    Enrolling(Enrolling),
    Verifying(Verifying),
    Releasing(Releasing),
    Undoing(Undoing),
    /// The end is being written down, or is.
    Ending,
}

/// How a job begins.
#[derive(Debug)]
pub(super) enum Start {
    Anew,
    /// With what an earlier run left, going on where that makes sense.
    Resuming(Box<Remains>),
    /// With what an earlier run left, only to undo it.
    Undoing(Box<Remains>),
}

/// One device's commissioning as a machine: it decides, the caller does.
///
/// After each call take out all [`Job::poll_action`] and [`Job::poll_event`], and call [`Job::handle_timeout`] at
/// [`Job::poll_timeout`]. Actions are to be done in their order; a [`Action::Record`] is answered by
/// [`Ended::Recorded`] before anything that depends on it is given out.
pub struct Job {
    cx: Context,
    state: State,
}

impl Job {
    /// A job for a device that was found.
    pub fn new(plan: Plan, dialects: Box<dyn Dialects>) -> Self {
        Self::start(plan, dialects, Start::Anew)
    }

    /// A job that an earlier run of the program left: undoes what cannot be used any more, asks the cloud what cannot
    /// be known here, and goes on from there.
    pub fn resume(plan: Plan, remains: Remains, dialects: Box<dyn Dialects>) -> Self {
        Self::start(plan, dialects, Start::Resuming(Box::new(remains)))
    }

    /// A job that an earlier run of the program left, and that is only to be undone. Needs no device.
    pub fn undo(plan: Plan, remains: Remains) -> Self {
        let none = |_, _: &GattTable| Err(Fault::Cancelled(None));
        Self::start(plan, Box::new(none), Start::Undoing(Box::new(remains)))
    }

    /// Which job this is.
    pub fn id(&self) -> JobId {
        self.cx.plan.job
    }

    /// The stage that it is in.
    pub fn stage(&self) -> Stage {
        self.cx.stage
    }

    /// Whether [`Event::Finished`] was given, or is about to be polled.
    pub fn is_finished(&self) -> bool {
        self.cx.finished
    }

    /// Takes what happened outside.
    pub fn handle(&mut self, input: Input, now: Moment, entropy: &mut dyn Entropy) {
        self.cx.now = self.awake(now);
        if self.cx.finished {
            // Only the link still matters: a batch counts it until it is given back.
            if let Input::Ended(call, Ended::Unlinked) = input {
                self.cx.unlinked(call);
            }
            return;
        }
        self.take(input, entropy);
        self.settle(entropy);
    }

    /// Lets time pass; to be called at [`Job::poll_timeout`], harmless earlier.
    pub fn handle_timeout(&mut self, now: Moment, entropy: &mut dyn Entropy) {
        self.cx.now = self.awake(now);
        self.cx.lapse();
        self.settle(entropy);
    }

    /// The next thing to do, once.
    pub fn poll_action(&mut self) -> Option<(CallId, Action)> {
        self.cx.actions.pop_front()
    }

    /// The next thing that became known, once.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.cx.events.pop_front()
    }

    /// When [`Job::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.timeout().map(|at| at + self.cx.slept)
    }

    /// The radio can, or cannot, be used from now on. While it cannot, the job waits, and nothing counts as tried.
    pub fn set_radio(&mut self, usable: bool, now: Moment, entropy: &mut dyn Entropy) {
        self.cx.now = self.awake(now);
        if !self.cx.finished {
            self.cx.set_radio(usable);
            self.settle(entropy);
        }
    }

    /// So long a time, which the clock counted, was slept through. A claim dies in it; everything else waits.
    pub fn slept(&mut self, span: Duration) {
        self.cx.slept += span;
        self.cx.age_claim(span);
    }

    /// The job's own time, in which nobody sleeps.
    fn awake(&self, now: Moment) -> Moment {
        Moment::new(now.since_start().saturating_sub(self.cx.slept))
    }

    fn timeout(&self) -> Option<Moment> {
        let cx = &self.cx;
        if cx.finished {
            return cx.timeout();
        }
        let state = match &self.state {
            State::Linking(state) => state.timeout(),
            State::Identifying(state) => state.timeout(),
            State::Networking(_) => Networking::timeout(cx),
            State::Joining(state) => state.timeout(),
            State::Enrolling(state) => state.timeout(cx),
            State::Verifying(state) => state.timeout(cx),
            State::Undoing(state) => state.timeout(cx),
            State::Starting(_)
            | State::Recalling(_)
            | State::Proving(_)
            | State::Crediting(_)
            | State::Releasing(_)
            | State::Ending => None,
        };
        let settle_by = cx.settle_by.filter(|_| self.state.looks_back());
        [cx.timeout(), state, settle_by].into_iter().flatten().min()
    }

    /// From now on links are made only when a batch gives one.
    pub(super) fn join_batch(&mut self, radio: bool) {
        self.cx.set_radio(radio);
        self.cx.in_batch = true;
        self.cx.may_link = false;
    }

    /// Whether it waits for the batch to give it a link.
    pub(super) fn wants_link(&self) -> bool {
        !self.cx.finished && self.cx.wants_turn()
    }

    /// Whether it has a link, or one is being made or given back.
    pub(super) fn holds_link(&self) -> bool {
        self.cx.link.is_held()
    }

    /// Whether it was given a link that it has not asked the radio for yet.
    pub(super) fn is_granted(&self) -> bool {
        self.cx.in_batch && self.cx.may_link && !self.cx.finished
    }

    /// Whether all that it had to say was polled.
    pub(super) fn is_silent(&self) -> bool {
        self.cx.actions.is_empty() && self.cx.events.is_empty()
    }

    /// The batch gives it a link.
    pub(super) fn grant_link(&mut self, now: Moment, entropy: &mut dyn Entropy) {
        self.cx.now = self.awake(now);
        self.cx.may_link = true;
        self.settle(entropy);
    }

    fn start(plan: Plan, dialects: Box<dyn Dialects>, start: Start) -> Self {
        let started = Step::started(&plan);
        let mut cx = Context::new(plan, dialects);
        let call = cx.act_now(Action::Record(started));
        cx.recording = Some(call);
        Self {
            cx,
            state: State::Starting(start),
        }
    }

    fn take(&mut self, input: Input, entropy: &mut dyn Entropy) {
        let cx = &mut self.cx;
        match input {
            Input::Ended(call, ended) => self.ended(call, ended, entropy),
            Input::LinkLost(made_by) => cx.link_lost(made_by),
            Input::Answer(question, answer) => cx.answer(question, answer),
            Input::Cancel => {
                let asked = cx.asked();
                cx.signals.push_back(Signal::Stop(Fault::Cancelled(asked)));
            }
        }
    }

    fn ended(&mut self, call: CallId, ended: Ended, entropy: &mut dyn Entropy) {
        let cx = &mut self.cx;
        match ended {
            Ended::Recorded | Ended::NotRecorded(_) if cx.recording != Some(call) => {}
            Ended::Recorded => cx.recording = None,
            Ended::NotRecorded(words) => {
                // What an earlier run left is there all the same, and the end has to say so.
                self.state.take_over(cx);
                cx.journal_failed(words);
                self.state = State::Ending;
            }
            Ended::Linked(table) => cx.linked(call, &table),
            Ended::NotLinked(error) => cx.not_linked(call, error),
            Ended::Unlinked => cx.unlinked(call),
            Ended::Gatt(result) => cx.gatt(call, result, entropy),
            Ended::Another(found) => cx.another(call, found),
            Ended::IdentityChecked(result) => cx.signals.push_back(Signal::Checked(call, result)),
            // A claim's life is told by the clock that counts sleep.
            Ended::Issued(Ok(claim)) => {
                let claim = cx.awake_claim(claim);
                cx.cloud_answered(call, Ended::Issued(Ok(claim)));
            }
            Ended::Snapshot(_)
            | Ended::Issued(Err(_))
            | Ended::Observed(_)
            | Ended::Retired(_)
            | Ended::Deactivated(_)
            | Ended::ReleasedToSupport(_) => cx.cloud_answered(call, ended),
        }
    }

    /// Runs until everything waits for the outside.
    fn settle(&mut self, entropy: &mut dyn Entropy) {
        if let State::Starting(_) = self.state
            && self.cx.recording.is_none()
            && !self.cx.finished
        {
            self.step(Signal::Tick);
        }
        loop {
            while let Some(signal) = self.cx.signals.pop_front() {
                self.step(signal);
            }
            if !self.cx.pump(entropy) {
                break;
            }
        }
    }

    fn step(&mut self, signal: Signal) {
        let state = mem::replace(&mut self.state, State::Ending);
        self.state = state.on(&mut self.cx, signal);
    }
}

impl State {
    fn on(self, cx: &mut Context, signal: Signal) -> Self {
        match (&self, &signal) {
            (Self::Ending, Signal::Stop(_)) => return self,
            (Self::Undoing(_), Signal::Stop(_)) => {}
            // To undo the rest is all that a stop could ask for, and the device is done.
            (Self::Releasing(state), Signal::Stop(_)) if state.is_released() => return self,
            (Self::Starting(start), Signal::Stop(_)) if start.is_done() => return self,
            (Self::Recalling(state), Signal::Stop(fault)) => {
                let fault = fault.clone();
                state.assume_used(cx);
                return Undoing::enter(cx, fault);
            }
            (_, Signal::Stop(fault)) => {
                // Undone with it, lest this job's end passes for the end of what an earlier run left.
                self.take_over(cx);
                let fault = fault.clone();
                return Undoing::enter(cx, fault);
            }
            _ => {}
        }
        if self.looks_back() && cx.ever_applied {
            // News of a claim that is over led to nothing; a fresh one is on its way.
            let news = cx.watch.has_news() && !cx.watch.over;
            if news && !matches!(self, Self::Joining(_)) {
                return Enrolling::enter(cx, None);
            }
            if cx.settle_by.is_some_and(|by| cx.now >= by) && matches!(signal, Signal::Tick) {
                return Undoing::enter(cx, Fault::EnrolTimeout);
            }
        }
        match self {
            Self::Starting(start) if cx.recording.is_some() => Self::Starting(start),
            Self::Recalling(state) => state.on(cx, &signal),
            Self::Starting(start) => start.begin(cx),
            Self::Linking(state) => state.on(cx, signal),
            Self::Proving(state) => state.on(cx, signal),
            Self::Identifying(state) => state.on(cx, signal),
            Self::Networking(state) => state.on(cx, signal),
            Self::Crediting(state) => state.on(cx, signal),
            Self::Joining(state) => state.on(cx, signal),
            Self::Enrolling(state) => state.on(cx, signal),
            Self::Verifying(state) => state.on(cx, signal),
            Self::Releasing(state) => state.on(cx, &signal),
            Self::Undoing(state) => state.on(cx, &signal),
            Self::Ending => Self::Ending,
        }
    }

    /// Takes over what an earlier run left, where that has not been done yet.
    fn take_over(&self, cx: &mut Context) {
        if let Self::Starting(start) = self
            && let Some(remains) = start.remains()
        {
            take_over(cx, remains);
        }
    }

    /// Whether, after settings were applied, this is on the way to find out how they fared.
    fn looks_back(&self) -> bool {
        match self {
            Self::Linking(_)
            | Self::Proving(_)
            | Self::Identifying(_)
            | Self::Networking(_)
            | Self::Crediting(_)
            | Self::Joining(_) => true,
            Self::Starting(_)
            | Self::Recalling(_)
            | Self::Enrolling(_)
            | Self::Verifying(_)
            | Self::Releasing(_)
            | Self::Undoing(_)
            | Self::Ending => false,
        }
    }
}

impl Start {
    fn remains(&self) -> Option<&Remains> {
        match self {
            Self::Anew => None,
            Self::Resuming(remains) | Self::Undoing(remains) => Some(remains),
        }
    }

    fn begin(self, cx: &mut Context) -> State {
        match self {
            Self::Anew => Linking::begin(cx),
            Self::Resuming(remains) => Recalling::enter(cx, remains),
            Self::Undoing(remains) => {
                cx.only_undo = true;
                Recalling::enter(cx, remains)
            }
        }
    }

    /// Whether the device is done, and only claims that were replaced on the way are left.
    fn is_done(&self) -> bool {
        self.remains().is_some_and(|remains| remains.done.is_some())
    }
}
