//! What goes through the air: links, and commands that reach devices.

use commission::dialect::{Command, Report};
use commission::flow::{CallId, Ended, Input};
use commission::gatt::{GattTable, LinkError};

use crate::fate::{Deed, Kind, Place, Trouble};

use super::client::kind;
use super::device::{Linked, Wifi, called};
use super::programs::job_name;
use super::{At, Coming, World};

impl World {
    /// A connection came about.
    pub(super) fn linked(&mut self, at: At, attempt: Option<u64>, call: CallId) {
        let Some(post) = self.post(at).filter(|post| Some(post.attempt) == attempt) else {
            return;
        };
        let index = post.device;
        let deaf = self.now < self.deaf_until;
        let number = self.number();
        let device = &mut self.devices[index];
        if deaf || !device.advertises || device.linked.is_some() {
            return self.feed(at, Input::Ended(call, Ended::NotLinked(LinkError::OutOfReach)));
        }
        device.linked = Some(Linked {
            program: at.program,
            number,
        });
        device.links += 1;
        device.session = false;
        if let Some(post) = self.post_mut(at) {
            post.link = Some((number, call));
            post.attempt = 0;
        }
        self.feed(at, Input::Ended(call, Ended::Linked(GattTable::default())));
    }

    /// A job gives its link back, or stops connecting.
    pub(super) fn part(&mut self, at: At) {
        let Some(post) = self.post_mut(at) else {
            return;
        };
        post.attempt = 0;
        let link = post.link.take().map(|(number, _)| number);
        for device in &mut self.devices {
            if device.linked.is_some_and(|linked| Some(linked.number) == link) {
                device.linked = None;
                device.session = false;
            }
        }
    }

    /// A link ends by itself.
    pub(super) fn link_ends(&mut self, device: usize, link: u64) {
        let Some(linked) = self.devices[device].linked.filter(|linked| linked.number == link) else {
            return;
        };
        self.devices[device].linked = None;
        self.devices[device].session = false;
        self.tally.lost_links += 1;
        let holder = self.programs[linked.program]
            .posts
            .iter()
            .find(|(_, post)| post.link.is_some_and(|(number, _)| number == link))
            .and_then(|(job, post)| {
                let at = At {
                    program: linked.program,
                    job: *job,
                    run: post.run,
                };
                Some((at, post.link?.1))
            });
        if let Some((at, call)) = holder {
            self.after(1, Coming::Input(at, Some(link), Input::LinkLost(call)));
        }
    }

    /// An operation reaches its device.
    pub(super) fn operate(&mut self, at: At, link: u64, call: CallId) {
        let Some(post) = self
            .post(at)
            .filter(|post| post.link.is_some_and(|(number, _)| number == link))
        else {
            return;
        };
        let (index, wire) = (post.device, post.wire.clone());
        if self.devices[index]
            .linked
            .is_none_or(|linked| linked.number != link)
        {
            return;
        }
        let Some(command) = wire.lock().command.clone() else {
            return;
        };
        let of = kind(&command);
        let trouble = self.fate.at(Place::Command(of));
        let trouble = self.apart(at, trouble);
        match trouble {
            Some(Trouble::LostBefore) => {
                self.tell(
                    || "the link".into(),
                    || format!("ends before the device has {of:?}"),
                );
                return self.link_ends(index, link);
            }
            Some(Trouble::Silence) => return,
            Some(Trouble::Att) => {
                self.tell(
                    || "the stack".into(),
                    || format!("refuses {of:?} with ATT error 0x0e"),
                );
                let input = Input::Ended(call, Ended::Gatt(Err(LinkError::Att(0x0e))));
                return self.after(20, Coming::Input(at, Some(link), input));
            }
            _ => {}
        }
        let left = {
            let mut wire = wire.lock();
            wire.left = wire.left.saturating_sub(1);
            wire.left
        };
        self.check_command(at, index, &command);
        if left == 0 {
            let report = self.carry_out(at, index, &command);
            let mut wire = wire.lock();
            wire.command = None;
            wire.coming = Some(report);
        }
        if trouble == Some(Trouble::LostAfter) {
            self.tell(
                || "the link".into(),
                || format!("ends as the device has done {of:?}"),
            );
            return self.link_ends(index, link);
        }
        let input = Input::Ended(call, Ended::Gatt(Ok(Vec::new())));
        self.after(10, Coming::Input(at, Some(link), input));
    }

    /// A device carries a command out, and what follows from that.
    fn carry_out(&mut self, at: At, index: usize, command: &Command) -> Report {
        self.check_carried_out(at, index, command);
        let was_joined = self.devices[index].wifi == Wifi::Joined;
        let report = self.devices[index].respond(command);
        if !matches!(command, Command::JoinStatus | Command::EnrolStatus) {
            self.tell(
                || called(index),
                || {
                    format!(
                        "does {:?} for {}: {}",
                        kind(command),
                        job_name(at.job),
                        words(&report)
                    )
                },
            );
        } else {
            self.tell(|| called(index), || format!("says {}", words(&report)));
        }
        match (command, &report) {
            (Command::Apply, Report::Applied) => {
                self.devices[index].epoch += 1;
                self.expect(index, Deed::Join, 4_000);
            }
            (Command::SendClaim { .. }, Report::ClaimCommitted) if was_joined => {
                self.expect(index, Deed::Reach, 2_000);
            }
            (Command::ResetNetwork, Report::NetworkReset) => self.go_offline(index),
            (Command::Open { .. }, Report::Failed(_)) => self.check_wrong_pop(at, index),
            (Command::JoinStatus, _) if self.devices[index].leaving => {
                self.devices[index].leaving = false;
                self.devices[index].advertises = false;
                self.cut(index, 1_000);
            }
            _ => {}
        }
        report
    }

    /// What the clients of a program did that must not be.
    pub(super) fn check_wires(&mut self, program: usize) {
        use crate::rules::Rule;
        let Self { programs, rules, .. } = self;
        for post in programs[program].posts.values() {
            let mut wire = post.wire.lock();
            if let Some(misuse) = wire.misuse.take() {
                rules.hold(Rule::InOrder, false, || misuse.into());
            }
            let (short, all) = core::mem::take(&mut wire.short_claims);
            for claim in 0..all {
                rules.hold(Rule::ClaimLives, claim >= short, || {
                    "a claim is sent with less than 90 s of life".into()
                });
            }
        }
    }
}

fn words(report: &Report) -> String {
    match report {
        Report::Described(capabilities) => capabilities.summary.clone(),
        Report::Opened { scheme, .. } => format!("opened with {scheme}"),
        Report::Identified(proof) => format!("I am {}", proof.serial),
        Report::Networks(seen) => format!("{} networks", seen.len()),
        Report::Failed(fault) => format!("failed, {fault}"),
        Report::Join(join) => format!("{join:?}"),
        Report::Enrol(enrol) => format!("{enrol:?}"),
        other => format!("{other:?}"),
    }
}

/// Whether a kind of command carries what is secret.
pub(super) const fn carries_secret(kind: Kind) -> bool {
    matches!(kind, Kind::SetNetwork | Kind::SendClaim)
}
