//! Enrolling: the device exchanges its claim. Watched from the device while the link lives, and from the cloud, which
//! alone decides.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::claim::{MIN_LIFE_TO_KEEP, Purpose};
use crate::evidence::{Evidence, Fact, Snapshot, Source, Thing};
use crate::fault::Fault;
use crate::time::Moment;

use super::context::{Context, Signal};
use super::crediting::{Crediting, Then};
use super::io::{Outcome, Stage};
use super::job::State;
use super::proving::Proven;
use super::status::{Said, Status, is_cured_by_fresh_claim, is_passing, refusal};
use super::switching_off::Off;
use super::undoing::Undoing;
use super::verifying::Verifying;

/// See the module.
#[derive(Debug)]
pub(super) struct Enrolling {
    status: Status,
    deadline: Moment,
    /// What the device gave as its trouble last, unless it has come further since.
    trouble: Option<Fault>,
    /// The cloud showed that a device that enrols itself has a new credential in place of those that it had.
    replaced: bool,
    /// The registration of such a device as it was looked at last.
    seen: Option<Thing>,
}

impl Enrolling {
    /// The device has joined, as it or the cloud says.
    pub(super) fn enter(cx: &mut Context, proven: Option<Proven>) -> State {
        cx.settle_by = None;
        cx.close_question();
        cx.enter(Stage::Enrolling);
        let deadline = cx.now + cx.plan.limits.enrol;
        Self::from(cx, proven, deadline, None)
    }

    /// The device cannot be asked any more; whether it has joined is for the cloud to say.
    pub(super) fn alone(cx: &mut Context) -> State {
        Self::left_alone(cx, None)
    }

    /// The device is not asked, since it works; whether it does so by this job is for the cloud to say. If not, this is
    /// why nothing more is done.
    pub(super) fn watch(cx: &mut Context, otherwise: Fault) -> State {
        if cx.watch.claim_id().is_none() {
            return Undoing::enter(cx, otherwise);
        }
        cx.unlink();
        Self::left_alone(cx, Some(otherwise))
    }

    fn left_alone(cx: &mut Context, trouble: Option<Fault>) -> State {
        let limits = &cx.plan.limits;
        let rest = cx.settle_by.unwrap_or(cx.now + limits.join + limits.enrol);
        cx.watch_claim();
        Self::from(cx, None, rest, trouble)
    }

    fn from(cx: &mut Context, proven: Option<Proven>, deadline: Moment, trouble: Option<Fault>) -> State {
        let status = Status::begin(cx, proven);
        if cx.plain
            && let Some(serial) = cx.serial().cloned()
        {
            cx.look_up_again(&serial);
        }
        Self {
            status,
            deadline,
            trouble,
            replaced: false,
            seen: None,
        }
        .advance(cx)
    }

    pub(super) fn on(mut self, cx: &mut Context, signal: Signal) -> State {
        let news = matches!(signal, Signal::News);
        let tick = matches!(signal, Signal::Tick);
        match self.status.on(cx, signal) {
            // One that enrols itself tries again by itself, and may be refused at first by design.
            Some(Said::Refused { code, message }) if cx.plain => self.trouble = Some(refusal(code, message)),
            Some(Said::Refused { code, message }) => {
                if is_cured_by_fresh_claim(&code) {
                    cx.discard_claim();
                } else if !is_passing(&code) {
                    return Undoing::enter(cx, refusal(code, message));
                }
            }
            Some(Said::Unreachable(reason)) => self.trouble = Some(Fault::CloudUnreachableFromDevice(reason)),
            Some(Said::Expired) => cx.discard_claim(),
            Some(Said::Further) => self.trouble = None,
            None => {}
        }
        if tick && cx.now >= self.deadline {
            return self.overdue(cx);
        }
        // Rule 1: with so little life left the device would not make it; a fresh one comes once the cloud says that
        // this one led to nothing.
        if self.status.is_live()
            && !cx.watch.reached
            && cx.purse.held().is_some_and(|held| !held.may_be_kept(cx.now))
        {
            cx.discard_claim();
        }
        if news {
            self.advance(cx)
        } else {
            State::Enrolling(self)
        }
    }

    pub(super) fn timeout(&self, cx: &Context) -> Option<Moment> {
        let aged = cx
            .purse
            .held()
            .filter(|_| self.status.is_live() && !cx.watch.reached)
            .map(|held| {
                let expires = held.claim.expires.since_start();
                Moment::new(expires.saturating_sub(MIN_LIFE_TO_KEEP) + Duration::from_millis(1))
            });
        [Some(self.deadline), aged, self.status.timeout(cx)]
            .into_iter()
            .flatten()
            .min()
    }

    fn advance(self, cx: &mut Context) -> State {
        if cx.joined {
            cx.enter(Stage::Enrolling);
        }
        if cx.plain {
            return self.advance_plain(cx);
        }
        if cx.watch.is_registered() {
            return Verifying::enter(cx, self.status);
        }
        if let Some((code, message)) = cx.watch.refused.take() {
            if is_cured_by_fresh_claim(&code) {
                cx.discard_claim();
            } else if !is_passing(&code) {
                return Undoing::enter(cx, refusal(code, message));
            }
        }
        if cx.watch.over {
            return self.renew(cx);
        }
        State::Enrolling(self)
    }

    /// The claim led to nothing: a device that is still linked gets a fresh one.
    fn renew(self, cx: &mut Context) -> State {
        let trouble = self.trouble.clone();
        cx.discard_claim();
        match self.status.into_proven() {
            Some(proven) if cx.link_up() => Crediting::enter(cx, proven, Then::Enrol),
            _ => Undoing::enter(cx, trouble.unwrap_or(Fault::ClaimExpired)),
        }
    }

    fn overdue(self, cx: &mut Context) -> State {
        let seen = self.seen.as_ref();
        let online = seen.is_some_and(|thing| is_back(cx.before.as_ref(), thing));
        let active = seen.map_or(0, |thing| thing.active().count());
        let unseen = (cx.plain && cx.joined).then_some(Fault::NotSeenOnline);
        let fault = if online && active > 1 {
            Fault::ActiveCredentials(active)
        } else {
            // A refusal is behind a device that the cloud has registered since.
            self.trouble
                .filter(|trouble| !(active > 0 && matches!(trouble, Fault::EnrolmentRefused { .. })))
                .or(unseen)
                .or_else(|| cx.watch.trouble())
                .unwrap_or(Fault::EnrolTimeout)
        };
        Undoing::enter(cx, fault)
    }

    /// A device that has a credential of its own is done once the cloud shows it online anew with that one, which for one
    /// that enrols itself may be new to the cloud.
    fn advance_plain(mut self, cx: &mut Context) -> State {
        let Some(serial) = cx.serial().cloned() else {
            return State::Enrolling(self);
        };
        let shown = match cx.known(&serial) {
            None => return State::Enrolling(self),
            Some(shown) => shown.ok().and_then(|shown| shown.thing),
        };
        self.seen = shown.clone().or(self.seen);
        // Rule 4: one that got a new credential on a service visit works with it, so the old ones go off.
        if cx.plan.purpose == Purpose::Service
            && let Some(thing) = &shown
            && !self.replaced
            && let Some(earlier) = replaced(cx.before.as_ref(), thing)
        {
            self.replaced = true;
            cx.off.thing = Some(thing.name.clone());
            cx.off.earlier = earlier;
        }
        // Nothing else goes off: what an earlier run noted as active may be what the device works with.
        if self.replaced {
            match cx.switch_off() {
                Off::All => {}
                Off::Waiting => return State::Enrolling(self),
                Off::Failed(fault) => return Undoing::enter(cx, fault),
            }
        }
        let back = shown.and_then(|thing| came_back(cx.before.as_ref(), &thing));
        let Some((thing, principal)) = back else {
            cx.look_up_again(&serial);
            return State::Enrolling(self);
        };
        let earlier = cx.before.as_ref().and_then(|before| before.thing.as_ref());
        let known = earlier.is_some_and(|thing| thing.principals.iter().any(|own| own.id == principal));
        let registered = (!known).then(|| Fact::Registered {
            thing: Some(thing.clone()),
            principal: Some(principal.clone()),
        });
        for fact in registered.into_iter().chain([
            Fact::SeenOnline {
                thing: Some(thing.clone()),
                principal: Some(principal.clone()),
            },
            Fact::OneActiveCredential {
                principal: principal.clone(),
            },
        ]) {
            cx.keep(Evidence {
                fact,
                source: Source::Cloud,
                at: None,
            });
        }
        let thing = Some(thing);
        cx.finish(Outcome::Done { thing, principal });
        State::Ending
    }
}

/// Whether the device is online by a connection that it made since.
fn is_back(before: Option<&Snapshot>, now: &Thing) -> bool {
    let earlier = before.and_then(|before| before.thing.as_ref());
    let anew = |since| earlier.is_none_or(|earlier| earlier.connected_at.is_none_or(|at| since > at));
    now.connected == Some(true) && now.connected_at.is_some_and(anew)
}

/// Name and credential of a device that connected since, with its only active credential.
fn came_back(before: Option<&Snapshot>, thing: &Thing) -> Option<(String, String)> {
    let mut active = thing.active();
    let only = active.next()?.id.clone();
    let fits = thing.online_by() == Some(only.as_str()) && active.next().is_none();
    (is_back(before, thing) && fits).then(|| (thing.name.clone(), only))
}

/// Credentials that were active before and still are, of a device that came back with one that was not there then.
fn replaced(before: Option<&Snapshot>, thing: &Thing) -> Option<Vec<String>> {
    let earlier = before.and_then(|before| before.thing.as_ref())?;
    let was_there = |id: &str| earlier.principals.iter().any(|own| own.id == id);
    let new = thing.online_by().filter(|id| !was_there(id))?;
    let works = is_back(before, thing) && thing.active().any(|own| own.id == new);
    let mut old = thing
        .active()
        .map(|own| own.id.clone())
        .filter(|id| was_there(id))
        .peekable();
    (works && old.peek().is_some()).then(|| old.collect())
}
