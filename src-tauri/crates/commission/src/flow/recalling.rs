//! Recalling: before anything is done about what an earlier run left, the cloud is asked how things stand. What a record
//! says was true when it was written; since then the device may have been commissioned by another job, or by nobody.

use alloc::boxed::Box;

use crate::claim::Purpose;
use crate::device::Serial;
use crate::evidence::Owner;
use crate::fault::Fault;
use crate::gatt::LinkError;
use crate::mending::{Kind, holds};

use super::context::{Context, Signal};
use super::enrolling::Enrolling;
use super::io::{Outcome, Remains, Stage};
use super::job::State;
use super::joining::Joining;
use super::linking::Linking;
use super::releasing::Releasing;
use super::status::Status;
use super::undoing::Undoing;
use super::verifying::Verifying;

/// See the module.
#[derive(Debug)]
pub(super) struct Recalling {
    remains: Box<Remains>,
    serial: Serial,
}

impl Recalling {
    /// Takes up what an earlier run left: to go on with it, or to undo it.
    pub(super) fn enter(cx: &mut Context, remains: Box<Remains>) -> State {
        let has_claim = take_over(cx, &remains);
        if let Some((thing, principal)) = &remains.done {
            cx.registered_before(thing.clone().unwrap_or_default());
            return Releasing::done_before(cx, principal.clone());
        }
        if (remains.superseded || remains.elsewhere) && holds(Kind::TruthFirst) {
            return Undoing::enter(cx, Fault::Superseded);
        }
        let unsettled = cx.applied || cx.off.is_unclear() || remains.may_be_used();
        let seen_done = remains.single.is_some() && took_wifi_alone(cx, &remains);
        match remains.serial.clone().or_else(|| cx.plan.serial.clone()) {
            Some(serial) if unsettled && !seen_done => {
                cx.look_afresh(&serial);
                Self { remains, serial }.advance(cx)
            }
            _ => go_on(cx, *remains, has_claim),
        }
    }

    /// Nobody can say whether the device used a claim that it was sent: the claim is watched until it is over.
    pub(super) fn assume_used(&self, cx: &mut Context) {
        if self.remains.may_be_used() {
            (cx.applied, cx.ever_applied) = (true, true);
        }
    }

    pub(super) fn on(self, cx: &mut Context, signal: &Signal) -> State {
        match signal {
            Signal::News => self.advance(cx),
            _ => State::Recalling(self),
        }
    }

    fn advance(self, cx: &mut Context) -> State {
        let shown = match cx.known(&self.serial) {
            None => return State::Recalling(self),
            Some(Err(fault)) => {
                self.assume_used(cx);
                return Undoing::enter(cx, fault);
            }
            Some(Ok(shown)) => shown,
        };
        cx.settle_switching_off(shown.thing.as_ref());
        cx.recall(&shown);
        let owner = shown.owner;
        if cx.applied && self.remains.before.is_none() {
            cx.before = Some(shown);
        }
        if owner == Owner::Other && cx.plan.purpose != Purpose::Transfer {
            return Undoing::enter(cx, Fault::OwnedByOther);
        }
        let has_claim = cx.watch.claim_id().is_some();
        go_on(cx, *self.remains, has_claim)
    }
}

/// Goes on from what is known now.
fn go_on(cx: &mut Context, remains: Remains, has_claim: bool) -> State {
    // It got the claim in a network, and works by that or by something else: the cloud says which.
    let used = remains.may_be_used() && (cx.works_otherwise || cx.watch.is_registered());
    if used {
        (cx.applied, cx.ever_applied) = (true, true);
    }
    if cx.only_undo {
        return Undoing::enter(cx, Fault::Cancelled(None));
    }
    if took_wifi_alone(cx, &remains) {
        return look_for(cx, remains);
    }
    match (remains.thing, cx.applied) {
        (Some(_), _) if has_claim => {
            let status = Status::begin(cx, None);
            Verifying::enter(cx, status)
        }
        (Some(_), _) => Undoing::enter(cx, Fault::NotSeenOnline),
        // It works, by this job's claim or by something else: the cloud says which, and the device is left alone.
        (None, true) if cx.works_otherwise || used => {
            cx.enter(Stage::Joining);
            Enrolling::watch(cx, Fault::AlreadyCommissioned)
        }
        (None, true) => {
            cx.enter(Stage::Joining);
            Joining::lost(cx, Fault::Link(LinkError::NotConnected))
        }
        (None, false) => {
            cx.retire_remains();
            cx.watch_nothing();
            Linking::begin(cx)
        }
    }
}

/// Takes over what an earlier run left; whether there is a claim to watch or to undo.
pub(super) fn take_over(cx: &mut Context, remains: &Remains) -> bool {
    cx.recovering = true;
    cx.left_before = !remains.is_empty();
    for cleanup in &remains.leftover {
        cx.retire(cleanup.clone());
    }
    cx.reclaim_remains(remains);
    cx.bound.clone_from(&remains.identity);
    cx.known_before = remains.saw_earlier.then(|| remains.earlier.clone());
    cx.off
        .recall(&remains.earlier, &remains.switching_off, &remains.off);
    cx.off.thing.clone_from(&remains.off_thing);
    cx.superseded = remains.superseded;
    cx.left_alone = remains.superseded || remains.elsewhere;
    cx.watch.overtaken = remains.overtaken;
    cx.applied = remains.applied || remains.thing.is_some();
    cx.ever_applied = cx.applied;
    match (&remains.claim, &remains.retired) {
        (Some((id, cleanup)), _) if cx.applied || remains.may_be_used() => {
            cx.watch_remains(id.clone(), Some(cleanup.clone()), remains.issued_at);
        }
        (Some((_, cleanup)), _) => {
            cx.retire(cleanup.clone());
            return true;
        }
        (None, Some((id, issued_at))) if cx.applied => cx.watch_remains(id.clone(), None, *issued_at),
        (None, _) => return false,
    }
    if let Some(thing) = &remains.thing {
        cx.registered_before(thing.clone());
    }
    true
}

/// Whether an earlier run gave the device Wi-Fi alone: settings were applied without a claim, to one that enrols itself, or
/// on a first visit to one that the cloud knew with a credential of its own. A device that takes claims would have been
/// refused for that.
fn took_wifi_alone(cx: &Context, remains: &Remains) -> bool {
    let before = remains.before.as_ref();
    let enrols_itself = before.is_some_and(|before| before.self_enrolling);
    let thing = before.and_then(|before| before.thing.as_ref());
    let had_its_own = thing.is_some_and(|thing| thing.active().next().is_some());
    let alone = enrols_itself || (cx.plan.purpose == Purpose::New && had_its_own);
    remains.applied && remains.is_claimless() && alone
}

/// Such a device is done once the cloud has seen it back, which the journal may say already.
fn look_for(cx: &mut Context, remains: Remains) -> State {
    cx.plain = true;
    cx.before = remains.before;
    cx.plan.serial = cx.plan.serial.take().or(remains.serial);
    if let Some((thing, principal)) = remains.single {
        let thing = Some(thing);
        cx.finish(Outcome::Done { thing, principal });
        return State::Ending;
    }
    cx.enter(Stage::Joining);
    Joining::lost(cx, Fault::Link(LinkError::NotConnected))
}
