//! A site in small: devices, a cloud, a journal and a person with scripted faults, driven by a clock of its own. It
//! knows the truth, so that after every step it can check what the flow may and may not do.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard};

use uuid::Uuid;

use crate::claim::{ClaimId, Purpose};
use crate::device::{DialectKind, Firmware, Identity, IdentityFault};
use crate::dialect::{Client, Command, Report};
use crate::evidence::{Owner, Snapshot};
use crate::flow::*;
use crate::gatt::{GattOp, GattTable, LinkError, PeripheralId};
use crate::network::{Network, Ssid};
use crate::policy::{Least, Limits, Policy};
use crate::proven::ProvenIdentity;
use crate::secret::{Passphrase, Pop};
use crate::time::{Moment, UnixTime};

pub(super) use super::client::*;
pub(super) use super::cloud::*;
pub(super) use super::device::*;

pub(super) const POP: &str = "abcd1234";
pub(super) const PASSPHRASE: &str = "plant-pass";
/// The cloud's calendar at the start of the clock.
pub(super) const EPOCH: i64 = 1_700_000_000;

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn network(ssid: &str, passphrase: &str) -> Network {
    let ssid = Ssid::new(ssid).unwrap();
    Network::new(ssid, Some(Passphrase::new(passphrase)), false).unwrap()
}

pub(super) fn job_id(number: u128) -> JobId {
    JobId(Uuid::from_u128(number))
}

/// What goes wrong with one operation or call.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// The link ends before the device has it.
    LostBefore,
    /// The device has it, the answer is lost with the link.
    LostAfter,
    /// The stack says so, and the link stays.
    Error(LinkError),
    /// Nothing ever comes back.
    Silence,
}

#[derive(Default)]
pub(super) struct Person {
    /// Answers to come, each after so long.
    pub(super) answers: VecDeque<(Duration, Answer)>,
}

/// One job's part of the site.
pub(super) struct Post {
    pub(super) device: Device,
    pub(super) person: Person,
    pub(super) recorded: Vec<Step>,
    pub(super) recording: Option<Step>,
    pub(super) not_recorded_at: Option<usize>,
    pub(super) events: Vec<Event>,
    pub(super) outcome: Option<Outcome>,
    pub(super) begun: Vec<Kind>,
    pub(super) op_under_way: bool,
    pub(super) client: u64,
    /// The call that made the link.
    pub(super) linked_by: CallId,
    /// The look at a claim that was asked for last.
    pub(super) observing: CallId,
    /// The question that was asked last.
    pub(super) asked: QuestionId,
    pub(super) recording_call: CallId,
    pub(super) identity_checked: bool,
    pub(super) policy: Policy,
    pub(super) check: Result<(), IdentityFault>,
    pub(super) last_command: Option<Command>,
}

/// Something that comes to pass at its moment.
pub(super) enum Coming {
    Input(JobId, u64, Input),
    /// The device is asked; the answer depends on what it is then.
    Op(JobId, u64, CallId),
    LinkEnds(JobId, u64),
    Observe(JobId, CallId, ClaimId, u64, Moment),
    Cloud(JobId, CallId, Action),
}

pub(super) struct Site {
    pub(super) now: Moment,
    pub(super) batch: Batch,
    pub(super) posts: BTreeMap<JobId, Post>,
    pub(super) cloud: Cloud,
    pub(super) shared: BTreeMap<JobId, (Shared, Reports)>,
    pub(super) coming: BTreeMap<(Moment, u64), Coming>,
    pub(super) sequence: u64,
    pub(super) random: u64,
    pub(super) links: usize,
    pub(super) most_links: usize,
    /// A radio that makes one connection after another: when it is free. `None` makes all at once.
    pub(super) radio_free: Option<Moment>,
}

impl Site {
    pub(super) fn new(links: u8) -> Self {
        Self {
            now: Moment::new(secs(1000)),
            batch: Batch::new(links),
            posts: BTreeMap::new(),
            cloud: Cloud {
                life: secs(300),
                ..Cloud::default()
            },
            shared: BTreeMap::new(),
            coming: BTreeMap::new(),
            sequence: 0,
            random: 7,
            links: usize::from(links),
            most_links: 0,
            radio_free: None,
        }
    }

    /// A site with one device, its plan, and nothing wrong.
    pub(super) fn one() -> (Self, Plan, Device) {
        let device = Device::new(1);
        (Self::new(1), plan(1, &device), device)
    }

    pub(super) fn start(&mut self, plan: Plan, device: Device) {
        self.enter(plan, device, Job::new);
    }

    pub(super) fn enter(
        &mut self,
        plan: Plan,
        device: Device,
        make: impl FnOnce(Plan, Box<dyn Dialects>) -> Job,
    ) {
        let id = plan.job;
        self.cloud
            .snapshots
            .entry(device.serial.clone())
            .or_insert_with(|| Snapshot {
                known: Some(true),
                identity_key_sha256: Some(device.key),
                min_firmware: Some(Firmware("1.2".into())),
                owner: Owner::None,
                thing: None,
                self_enrolling: false,
            });
        let shared: Shared = Arc::default();
        let reports: Reports = Arc::default();
        let links = Arc::new(Mutex::new(0_u64));
        let (commands, answers) = (shared.clone(), reports.clone());
        let dialects = move |_: DialectKind, table: &GattTable| {
            assert!(table.characteristics.is_empty());
            let mut link = links.lock().unwrap();
            *link += 1;
            answers.lock().unwrap().clear();
            Ok(Box::new(ScriptedClient {
                shared: commands.clone(),
                reports: answers.clone(),
                link: *link,
                ops: VecDeque::new(),
                left: 0,
                busy: false,
                stands: true,
            }) as Box<dyn Client + Send>)
        };
        self.shared.insert(id, (shared, reports));
        let policy = plan.policy.clone();
        let post = Post {
            device,
            person: Person::default(),
            recorded: Vec::new(),
            recording: None,
            not_recorded_at: None,
            events: Vec::new(),
            outcome: None,
            begun: Vec::new(),
            op_under_way: false,
            client: 0,
            linked_by: CallId(0),
            observing: CallId(0),
            asked: QuestionId(0),
            recording_call: CallId(0),
            identity_checked: false,
            policy,
            check: Ok(()),
            last_command: None,
        };
        self.posts.insert(id, post);
        assert!(self.batch.add(make(plan, Box::new(dialects))));
        self.drain();
    }

    /// The program dies and is started again: what it knew is gone, what it wrote stays. A record on its way may
    /// have reached the disk or not.
    pub(super) fn crash(&mut self, last_record_is_on_disk: bool) {
        self.batch = Batch::new(u8::try_from(self.links).unwrap());
        let coming = core::mem::take(&mut self.coming);
        self.coming = coming
            .into_iter()
            .filter(|(_, coming)| matches!(coming, Coming::Cloud(_, _, action) if !matches!(action, Action::Observe { .. })))
            .collect();
        let jobs: Vec<JobId> = self.posts.keys().copied().collect();
        for job in jobs {
            self.end_link(job);
            let post = self.posts.get_mut(&job).unwrap();
            let last = post.recording.take().filter(|_| last_record_is_on_disk);
            post.recorded.extend(last);
        }
        // What was asked of the cloud arrives there, and its answers reach nobody.
        while let Some((_, coming)) = self.coming.pop_first() {
            self.pass(coming);
        }
        self.drain();
    }

    /// The job goes on in the next run of the program.
    pub(super) fn revive(&mut self, plan: Plan, make: impl FnOnce(Plan, Box<dyn Dialects>) -> Job) {
        let post = self.posts.remove(&plan.job).unwrap();
        let id = plan.job;
        self.enter(plan, post.device, make);
        let revived = self.posts.get_mut(&id).unwrap();
        revived.recorded = post.recorded;
        revived.person = post.person;
    }

    pub(super) fn post(&mut self) -> &mut Post {
        self.posts.values_mut().next().unwrap()
    }

    pub(super) fn check_fails(&mut self, fault: IdentityFault) {
        self.post().check = Err(fault);
    }

    /// Runs until all have ended.
    pub(super) fn run(&mut self) -> Outcome {
        self.run_while(|site| site.posts.values().any(|post| post.outcome.is_none()));
        self.settle_truth();
        self.posts.values().next().unwrap().outcome.clone().unwrap()
    }

    /// Runs until this no longer holds.
    pub(super) fn run_while(&mut self, mut go_on: impl FnMut(&Self) -> bool) {
        let mut steps = 0;
        let mut last = (self.now, 0);
        while go_on(self) {
            steps += 1;
            assert!(steps < 20_000, "no end after {steps} steps at {:?}", self.now);
            last = if last.0 == self.now {
                (last.0, last.1 + 1)
            } else {
                (self.now, 0)
            };
            assert!(last.1 < 2_000, "time stands still at {:?}", self.now);
            assert!(self.step(), "everything waits for ever: {:?}", self.states());
        }
    }

    pub(super) fn input(&mut self, job: JobId, input: Input) {
        let now = self.now;
        let mut random = self.random;
        self.batch
            .handle(job, input, now, &mut |bytes: &mut [u8]| noise(&mut random, bytes));
        self.random = random;
        self.drain();
    }

    /// The person answers the question that was asked last, open or not.
    pub(super) fn answer_now(&mut self, job: JobId, answer: Answer) {
        let asked = self.posts[&job].asked;
        self.input(job, Input::Answer(asked, answer));
    }

    /// The cloud answers the look at a claim that was asked for last.
    pub(super) fn show(&mut self, job: JobId, observation: crate::evidence::Observation) {
        let call = self.posts[&job].observing;
        self.input(job, Input::Ended(call, Ended::Observed(Ok(observation))));
    }

    /// The radio goes or comes back.
    pub(super) fn radio(&mut self, usable: bool) {
        let now = self.now;
        let mut random = self.random;
        self.batch
            .set_radio(usable, now, &mut |bytes: &mut [u8]| noise(&mut random, bytes));
        self.random = random;
        self.drain();
    }

    /// Time passes, with all that comes to pass in it.
    pub(super) fn pause(&mut self, span: Duration) {
        let end = self.now + span;
        let next = |site: &Self| {
            let coming = site.coming.first_key_value().map(|((at, _), _)| *at);
            [coming, site.batch.poll_timeout()].into_iter().flatten().min()
        };
        while next(self).is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// The laptop sleeps: time passes for everybody else.
    pub(super) fn sleep(&mut self, span: Duration) {
        self.now = self.now + span;
        self.batch.slept(span);
    }

    /// The link that was made last ends.
    pub(super) fn lose_link(&mut self, job: JobId) {
        let made_by = self.posts[&job].linked_by;
        self.input(job, Input::LinkLost(made_by));
    }

    fn states(&self) -> Vec<Option<Stage>> {
        self.batch.running().map(|job| Some(job.stage())).collect()
    }

    /// The next thing that comes to pass; false when nothing ever will.
    pub(super) fn step(&mut self) -> bool {
        let coming = self.coming.first_key_value().map(|((at, _), _)| *at);
        let timeout = self.batch.poll_timeout();
        match (coming, timeout) {
            (None, None) => return false,
            (Some(at), timeout) if timeout.is_none_or(|timeout| at <= timeout) => {
                self.now = self.now.max(at);
                let (_, coming) = self.coming.pop_first().unwrap();
                self.pass(coming);
            }
            (_, Some(at)) => {
                self.now = self.now.max(at);
                let now = self.now;
                let mut random = self.random;
                self.batch
                    .handle_timeout(now, &mut |bytes: &mut [u8]| noise(&mut random, bytes));
                self.random = random;
                self.drain();
                assert!(
                    self.batch.poll_timeout().is_none_or(|next| next > now),
                    "a time-out at {now:?} that stays: {:?}",
                    self.states()
                );
            }
            (Some(_), None) => {}
        }
        true
    }

    pub(super) fn after(&mut self, wait: Duration, coming: Coming) {
        self.sequence += 1;
        self.coming.insert((self.now + wait, self.sequence), coming);
    }

    pub(super) fn pass(&mut self, coming: Coming) {
        match coming {
            Coming::Input(job, client, input) => {
                let post = self.posts.get_mut(&job).unwrap();
                let about_link = matches!(input, Input::LinkLost(_) | Input::Ended(_, Ended::Gatt(_)));
                if about_link && client != post.client {
                    return;
                }
                match &input {
                    Input::Ended(_, Ended::Recorded) => {
                        let step = post.recording.take().unwrap();
                        post.recorded.push(step);
                    }
                    Input::Ended(call, Ended::Linked(_)) => {
                        post.linked_by = *call;
                        post.device.linked = true;
                        post.device.link += 1;
                        post.client = post.device.link;
                    }
                    Input::Ended(_, Ended::NotLinked(_) | Ended::Unlinked) | Input::LinkLost(_) => {
                        self.end_link(job);
                    }
                    Input::Ended(_, Ended::Gatt(_)) => post.op_under_way = false,
                    _ => {}
                }
                self.input(job, input);
            }
            Coming::Op(job, client, call) => self.operate(job, client, call),
            Coming::LinkEnds(job, client) => {
                let post = self.posts.get_mut(&job).unwrap();
                if client == post.client && post.device.linked {
                    let lost = Input::LinkLost(post.linked_by);
                    self.pass(Coming::Input(job, client, lost));
                }
            }
            Coming::Observe(job, call, claim, after, since) => self.observe(job, call, claim, after, since),
            Coming::Cloud(job, call, action) => self.answer_cloud(job, call, action),
        }
    }

    fn end_link(&mut self, job: JobId) {
        let (shared, reports) = self.shared.get(&job).unwrap();
        shared.lock().unwrap().clear();
        reports.lock().unwrap().clear();
        let post = self.posts.get_mut(&job).unwrap();
        post.device.linked = false;
        post.device.session = false;
        post.identity_checked = false;
        post.op_under_way = false;
        post.client = 0;
    }

    /// One GATT operation arrives at the device.
    fn operate(&mut self, job: JobId, client: u64, call: CallId) {
        let now = self.now;
        let (shared, reports) = self.shared.get(&job).cloned().unwrap();
        let post = self.posts.get_mut(&job).unwrap();
        if post.client != client {
            return;
        }
        let lost = Input::LinkLost(post.linked_by);
        let index = post.device.ops;
        post.device.ops += 1;
        let trouble = post.device.troubles.remove(&index);
        match trouble {
            Some(Trouble::LostBefore) => return self.pass(Coming::Input(job, client, lost)),
            Some(Trouble::Silence) => return,
            Some(Trouble::Error(error)) => {
                let failed = Input::Ended(call, Ended::Gatt(Err(error)));
                return self.pass(Coming::Input(job, client, failed));
            }
            Some(Trouble::LostAfter) | None => {}
        }
        let begun: Vec<(u64, Command)> = shared.lock().unwrap().drain(..).collect();
        if let Some((_, command)) = begun.into_iter().next_back() {
            post.last_command = Some(command);
            post.device
                .log
                .push((now, kind(post.last_command.as_ref().unwrap())));
        }
        // The last operation of a command carries it out.
        let command = post.last_command.clone().unwrap();
        let needed = match kind(&command) {
            Kind::SendClaim => 3,
            Kind::Open => 2,
            _ => 1,
        };
        post.begun.push(kind(&command));
        let done = post.begun.len() >= needed;
        if done {
            post.begun.clear();
            let report = post.device.respond(&command, now);
            self.reports(&reports).push_back(report);
        }
        let post = self.posts.get_mut(&job).unwrap();
        if matches!(trouble, Some(Trouble::LostAfter)) {
            self.reports(&reports).clear();
            self.enrol_device(job);
            return self.pass(Coming::Input(job, client, lost));
        }
        if let Some(at) = post.device.stop_at.take() {
            post.device.advertises = false;
            let wait = at.left(now);
            self.after(wait, Coming::LinkEnds(job, client));
        }
        self.enrol_device(job);
        let done = Input::Ended(call, Ended::Gatt(Ok(Vec::new())));
        self.pass(Coming::Input(job, client, done));
    }

    fn reports<'a>(&self, reports: &'a Reports) -> MutexGuard<'a, VecDeque<Report>> {
        reports.lock().unwrap()
    }

    /// Lets the devices live up to now and do in the cloud what they do.
    pub(super) fn live(&mut self) {
        let jobs: Vec<JobId> = self.posts.keys().copied().collect();
        for job in jobs {
            self.enrol_device(job);
        }
    }

    fn drain(&mut self) {
        while let Some((job, call, action)) = self.batch.poll_action() {
            self.check_commands(job);
            self.act(job, call, action);
        }
        let jobs: Vec<JobId> = self.posts.keys().copied().collect();
        for job in jobs {
            self.check_commands(job);
        }
        while let Some((job, event)) = self.batch.poll_event() {
            self.hear(job, event);
        }
        assert!(self.batch.links_in_use() <= self.links, "more links than allowed");
        self.most_links = self.most_links.max(self.batch.links_in_use());
    }

    fn hear(&mut self, job: JobId, event: Event) {
        let post = self.posts.get_mut(&job).unwrap();
        assert!(post.outcome.is_none(), "{event:?} after the end");
        let mut answer = None;
        match &event {
            Event::Question(id, _) => {
                post.asked = *id;
                answer = post.person.answers.pop_front();
            }
            Event::Finished(outcome) => {
                post.outcome = Some(outcome.clone());
                let written = post
                    .recorded
                    .iter()
                    .any(|step| matches!(step, Step::Finished { .. }));
                assert!(
                    written || post.not_recorded_at.is_some(),
                    "the end is not written"
                );
            }
            _ => {}
        }
        post.events.push(event);
        let asked = post.asked;
        if let Some((wait, answer)) = answer {
            self.after(wait, Coming::Input(job, 0, Input::Answer(asked, answer)));
        }
    }

    /// What was begun on the link, held against the rules before the device hears of it.
    fn check_commands(&mut self, job: JobId) {
        let (shared, _) = self.shared.get(&job).unwrap();
        let Some((_, command)) = shared.lock().unwrap().last().cloned() else {
            return;
        };
        let post = self.posts.get(&job).unwrap();
        let recorded = |of: &dyn Fn(&Step) -> bool| post.recorded.iter().any(of);
        let snapshot = self.cloud.snapshots.get(&post.device.serial);
        let self_enrolling = snapshot.is_some_and(|snapshot| snapshot.self_enrolling);
        match &command {
            Command::SendClaim { claim, .. } => {
                assert!(!self_enrolling, "a claim for a device that enrols itself");
                assert!(post.device.session, "a claim over a session that is not open");
                let policy = &post.policy;
                assert!(post.device.capabilities.encrypted || policy.allow_unencrypted);
                assert!(post.device.capabilities.pop || policy.allow_no_pop);
                assert!(post.identity_checked || !post.device.capabilities.identity);
                assert!(recorded(
                    &|step| matches!(step, Step::Claimed { claim: id, .. } if *id == claim.id)
                ));
                assert!(recorded(
                    &|step| matches!(step, Step::SendingClaim { claim: id } if *id == claim.id)
                ));
            }
            Command::SetNetwork(_) => {
                assert!(post.device.session);
                assert!(recorded(&|step| matches!(step, Step::WritingSettings { .. })));
            }
            Command::Apply => {
                assert!(recorded(&|step| matches!(step, Step::Applying)));
                let needs_none = self_enrolling || post.device.capabilities.claims.is_empty();
                assert!(post.device.claim.is_some() || needs_none);
            }
            Command::ResetNetwork => assert!(recorded(&|step| matches!(step, Step::Resetting))),
            _ => {}
        }
    }

    fn act(&mut self, job: JobId, call: CallId, action: Action) {
        let ended = |ended| Coming::Input(job, 0, Input::Ended(call, ended));
        let post = self.posts.get_mut(&job).unwrap();
        assert!(post.outcome.is_none(), "{action:?} after the end");
        let recorded = |of: &dyn Fn(&Step) -> bool| post.recorded.iter().any(of);
        let client = post.client;
        match action {
            Action::Record(step) => {
                assert!(post.recording.is_none(), "two records at once");
                let fails = post.not_recorded_at == Some(post.recorded.len());
                post.recording = Some(step);
                post.recording_call = call;
                let end = if fails {
                    Ended::NotRecorded("disk full".into())
                } else {
                    Ended::Recorded
                };
                self.after(ms(2), ended(end));
            }
            Action::Connect(_) => {
                assert!(recorded(&|step| matches!(
                    step,
                    Step::Started { .. } | Step::Linking
                )));
                post.begun.clear();
                let end = match post.device.failed_connects.pop_front() {
                    Some(error) => Ended::NotLinked(error),
                    None if !post.device.advertises => Ended::NotLinked(LinkError::OutOfReach),
                    None => Ended::Linked(GattTable::default()),
                };
                let takes = post.device.connect_takes;
                let wait = match &mut self.radio_free {
                    None => takes,
                    Some(free) => {
                        *free = (*free).max(self.now) + takes;
                        free.since(self.now)
                    }
                };
                self.after(wait, ended(end));
            }
            Action::Disconnect => {
                self.end_link(job);
                // What the radio was still to say about the link is never said.
                self.coming.retain(|_, coming| {
                    !matches!(coming, Coming::Input(of, _, Input::Ended(_, Ended::Linked(_) | Ended::NotLinked(_))) if *of == job)
                });
                self.after(ms(300), ended(Ended::Unlinked));
            }
            Action::Gatt(op) => {
                assert!(!post.op_under_way, "two operations at once");
                assert!(matches!(op, GattOp::Write(_, bytes) if !bytes.is_empty()));
                post.op_under_way = true;
                self.after(ms(40), Coming::Op(job, client, call));
            }
            Action::FindAnother { tried, .. } => {
                let another = post.device.twin.take();
                if let Some((id, pop)) = &another {
                    assert!(!tried.contains(id));
                    post.device.pop.clone_from(pop);
                }
                let found = another.map(|(peripheral, _)| Namesake {
                    peripheral,
                    wrong_pops: 0,
                });
                self.after(ms(100), ended(Ended::Another(found)));
            }
            Action::CheckIdentity(proof) => {
                let result = post.check.clone().map(|()| ProvenIdentity {
                    identity: Identity {
                        serial: proof.serial,
                        model: proof.model,
                        firmware: proof.firmware,
                        key_sha256: post.device.key,
                    },
                    keys: post.device.keys(),
                    vouched_by: None,
                });
                post.identity_checked = result.is_ok();
                self.after(ms(1), ended(Ended::IdentityChecked(result)));
            }
            Action::Issue(ref request) => {
                let key = request.idempotency;
                assert!(recorded(
                    &|step| matches!(step, Step::Claiming { idempotency, .. } if *idempotency == key)
                ));
                let proven = post.device.capabilities.identity.then(|| post.device.keys());
                assert_eq!(request.keys, proven, "a claim for other keys than were proven");
                self.call(job, call, Call::Issue, action);
            }
            Action::Retire(ref handle) => {
                assert!(recorded(
                    &|step| matches!(step, Step::Retiring { cleanup } if cleanup == handle)
                ));
                self.call(job, call, Call::Retire, action);
            }
            Action::Deactivate {
                ref thing,
                ref principal,
            } => {
                assert!(recorded(
                    &|step| matches!(step, Step::Deactivating { principal: id, .. } if id == principal)
                ));
                if recorded(
                    &|step| matches!(step, Step::Started { purpose, .. } if *purpose == Purpose::Service),
                ) {
                    let thing = self.cloud.things.get(thing).expect("no thing");
                    let seen = thing.connected_principal.as_ref();
                    assert!(
                        seen != Some(principal) && thing.active().any(|active| Some(&active.id) == seen),
                        "an old credential goes off before the new one works: {thing:?}"
                    );
                }
                self.call(job, call, Call::Deactivate, action);
            }
            Action::Release { ref thing, .. } => {
                assert!(recorded(&|step| matches!(step, Step::Releasing { .. })));
                let thing = self
                    .cloud
                    .things
                    .get(thing)
                    .expect("released before it was registered");
                assert_eq!(thing.active().count(), 1, "released with other credentials on");
                assert_eq!(thing.connected, Some(true), "released before it was seen online");
                self.call(job, call, Call::Release, action);
            }
            Action::Snapshot { .. } => self.call(job, call, Call::Snapshot, action),
            Action::Observe { .. } => {
                post.observing = call;
                self.call(job, call, Call::Observe, action);
            }
        }
    }

    /// Holds the outcomes against the truth, after everything has had time to come to light.
    fn settle_truth(&mut self) {
        self.live();
        for post in self.posts.values() {
            let outcome = post.outcome.as_ref().unwrap();
            let serial = &post.device.serial;
            let claims: Vec<&Issued> = self
                .cloud
                .issued
                .iter()
                .filter(|issued| issued.serial == *serial)
                .collect();
            let left = claims
                .iter()
                .filter(|issued| !issued.used && !issued.retired)
                .count();
            let used = claims.iter().filter(|issued| issued.used).count();
            match outcome {
                Outcome::Done { principal, .. } => {
                    let thing = self
                        .cloud
                        .things
                        .get(serial.as_str())
                        .expect("done without a thing");
                    let active: Vec<&str> = thing.active().map(|one| one.id.as_str()).collect();
                    assert_eq!(active, [principal.as_str()], "done with other credentials");
                    assert_eq!(thing.connected_principal.as_deref(), Some(principal.as_str()));
                    let clean = left == 0 || self.cloud.retire_failed;
                    assert!(clean, "done with claims left: {claims:?}");
                }
                Outcome::Failed { undone: true, .. } => {
                    assert_eq!((left, used), (0, 0), "called undone, and it is not: {claims:?}");
                }
                Outcome::Failed { undone: false, .. } | Outcome::Unknown { .. } => {}
            }
        }
    }
}

pub(super) fn unix(at: Moment) -> UnixTime {
    UnixTime(EPOCH + i64::try_from(at.since_start().as_secs()).unwrap())
}

pub(super) fn noise(random: &mut u64, bytes: &mut [u8]) {
    for byte in bytes {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = random.to_be_bytes()[0];
    }
}

pub(super) fn plan(number: u128, device: &Device) -> Plan {
    Plan {
        job: job_id(number),
        organisation: None,
        peripheral: PeripheralId(format!("radio-{number}")),
        name: format!("PROV_{number}"),
        dialect: DialectKind::Espressif,
        serial: Some(device.serial.clone()),
        pop: Some(Pop::new(POP)),
        wrong_pops: 0,
        least: Least::default(),
        username: None,
        network: Some(network("plant", PASSPHRASE)),
        site: None,
        purpose: Purpose::New,
        parameters: BTreeMap::new(),
        policy: Policy::default(),
        limits: Limits::default(),
    }
}

pub(super) fn done(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
}

pub(super) fn pop(text: &str) -> Answer {
    Answer::Pop {
        pop: Pop::new(text),
        username: None,
    }
}

pub(super) fn passphrase(text: &str) -> Answer {
    Answer::Passphrase(Passphrase::new(text))
}

pub(super) fn answer(site: &mut Site, wait: Duration, answer: Answer) {
    site.post().person.answers.push_back((wait, answer));
}

pub(super) fn questions(site: &mut Site) -> Vec<Question> {
    let asked = site.post().events.iter().filter_map(|event| match event {
        Event::Question(_, question) => Some(question.clone()),
        _ => None,
    });
    asked.collect()
}

pub(super) fn count(site: &mut Site, kind: Kind) -> usize {
    site.post()
        .device
        .kinds()
        .into_iter()
        .filter(|of| *of == kind)
        .count()
}

pub(super) fn count_of(site: &Site, kind: Kind) -> usize {
    site.posts
        .values()
        .flat_map(|post| post.device.kinds())
        .filter(|of| *of == kind)
        .count()
}
