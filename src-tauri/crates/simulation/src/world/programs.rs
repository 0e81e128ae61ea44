//! The programs: each runs jobs as the engine does, over the one journal.

use std::collections::BTreeMap;

use commission::claim::Purpose;
use commission::device::{DialectKind, Identity, Serial};
use commission::dialect::Client;
use commission::evidence::Fact;
use commission::fault::Fault;
use commission::flow::{
    Action, Batch, CallId, Ended, Event, Input, Job, JobId, Namesake, Outcome, OutcomeRecord, Plan, Remains,
    Step,
};
use commission::gatt::{GattTable, LinkError, PeripheralId};
use commission::mending::{Kind, holds};
use commission::organisation::OrganisationId;
use commission::policy::{Least, Limits, PlainDevices, Policy};
use commission::presence::Looks;
use commission::proven::{Der, ProvenIdentity, ProvenKeys};

use crate::adapter::{Ask, entry};
use crate::fate::{Place, Trouble};
use crate::rules::Rule;

use super::client::{Scripted, Shared};
use super::device::called;
use super::words::{told, words};
use super::{At, Coming, World, moment};

/// A program.
pub(super) struct Program {
    pub(super) up: bool,
    /// To which organisation its person is signed in.
    pub(super) organisation: usize,
    pub(super) person: u64,
    pub(super) batch: Batch,
    pub(super) posts: BTreeMap<JobId, Post>,
    /// Jobs of earlier runs whose device another job holds.
    pub(super) held_back: Vec<(JobId, bool)>,
    /// What looks at registrations showed, for clouds that do not say by what a device is connected.
    pub(super) looks: BTreeMap<(usize, Serial), Looks>,
    /// Wrong proofs of possession that this session knows to have told, by device.
    wrong_pops: BTreeMap<usize, u8>,
}

/// How a run of a job began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Anew,
    Resumed,
    Undone,
}

/// A run of a job.
pub(super) struct Post {
    pub(super) run: u64,
    pub(super) start: Start,
    pub(super) began: u64,
    /// Time that the laptop had lost by then.
    pub(super) lost_time: u64,
    pub(super) person: u64,
    /// The device that it is at.
    pub(super) device: usize,
    /// Whose label the person holds.
    pub(super) label: usize,
    pub(super) wire: Shared,
    /// The link that it has.
    pub(super) link: Option<(u64, CallId)>,
    /// The attempt to connect that it waits for.
    pub(super) attempt: u64,
    pub(super) recording: Option<Step>,
    pub(super) outcome: Option<Outcome>,
    /// When the cloud made the last answer that reached it.
    pub(super) told: u64,
    /// It has said in the journal how it ends.
    pub(super) decided: bool,
    /// Wrong proofs of possession by device.
    pub(super) wrong_pops: BTreeMap<usize, u8>,
    /// How often it has asked.
    pub(super) questions: u32,
}

/// A job as the journal keeps it.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) organisation: usize,
    pub(super) purpose: Purpose,
    pub(super) label: usize,
    /// Jobs are numbered as they begin.
    pub(super) number: u64,
    /// When it began first.
    pub(super) began: u64,
    pub(super) steps: Vec<Step>,
}

impl Kept {
    pub(super) fn remains(&self) -> Remains {
        Remains::of(&self.steps)
    }

    /// The credentials that it was ever done with.
    pub(super) fn done(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match step {
            Step::Finished {
                outcome: OutcomeRecord::Done { principal, .. },
            } => Some(principal.as_str()),
            _ => None,
        })
    }

    /// Its last word, if it has ended.
    pub(super) fn finished(&self) -> Option<&OutcomeRecord> {
        match self.steps.last() {
            Some(Step::Finished { outcome }) => Some(outcome),
            _ => None,
        }
    }
}

impl Program {
    pub(super) fn new() -> Self {
        Self {
            up: true,
            organisation: 0,
            person: 0,
            batch: Batch::new(2),
            posts: BTreeMap::new(),
            held_back: Vec::new(),
            looks: BTreeMap::new(),
            wrong_pops: BTreeMap::new(),
        }
    }
}

/// What the radio calls a device.
pub(super) fn peripheral(device: usize) -> PeripheralId {
    PeripheralId(format!("radio-{device}"))
}

/// The device that the radio calls so.
pub(super) fn of_peripheral(id: &PeripheralId) -> usize {
    id.0.rsplit('-')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// An organisation by its number.
pub(super) fn organisation(number: usize) -> OrganisationId {
    OrganisationId {
        issuer: format!("https://issuer-{number}.example"),
        client: "fieldkey".into(),
        cloud: format!("broker https://cloud-{number}.example"),
    }
}

/// A job's short name.
pub(super) fn job_name(job: JobId) -> String {
    format!("job {}", job.0.as_u128())
}

fn who(at: At) -> String {
    format!("program {}, {}", at.program + 1, job_name(at.job))
}

impl World {
    pub(super) fn post(&self, at: At) -> Option<&Post> {
        let post = self.programs[at.program].posts.get(&at.job)?;
        (post.run == at.run).then_some(post)
    }

    pub(super) fn post_mut(&mut self, at: At) -> Option<&mut Post> {
        let post = self.programs[at.program].posts.get_mut(&at.job)?;
        (post.run == at.run).then_some(post)
    }

    /// The plan of a job, as far as it is not of its label and its network.
    pub(super) fn plan(&self, program: usize, job: JobId, device: usize, purpose: Purpose) -> Plan {
        Plan {
            job,
            organisation: self.journal.get(&job).map(|kept| organisation(kept.organisation)),
            peripheral: peripheral(device),
            name: format!("PROV_{}", self.devices[device].spec.name),
            dialect: DialectKind::Espressif,
            serial: None,
            pop: None,
            wrong_pops: self.counted(program, device),
            least: Least::default(),
            username: None,
            network: None,
            site: None,
            purpose,
            parameters: BTreeMap::new(),
            policy: Policy {
                identity: self.scene.identity,
                plain_devices: PlainDevices::WifiOnly,
                prefetch_claim: self.scene.prefetch,
                ..Policy::default()
            },
            limits: Limits::default(),
        }
    }

    /// Wrong proofs of possession that a device was told in this session, as far as that is known.
    fn counted(&self, program: usize, device: usize) -> u8 {
        let counted = self.programs[program].wrong_pops.get(&device).copied();
        counted
            .filter(|_| holds(Kind::CountedByDevice))
            .unwrap_or_default()
    }

    /// Begins a run of a job.
    pub(super) fn begin(&mut self, program: usize, plan: Plan, label: usize, start: Start) {
        let job = plan.job;
        let wire = Shared::default();
        let shared = wire.clone();
        let dialects = Box::new(move |_: DialectKind, _: &GattTable| {
            Ok(Box::new(Scripted::new(&shared)) as Box<dyn Client + Send>)
        });
        let device = of_peripheral(&plan.peripheral);
        self.tell(
            || format!("program {}", program + 1),
            || {
                let how = match start {
                    Start::Anew => "begins",
                    Start::Resumed => "resumes",
                    Start::Undone => "undoes",
                };
                format!(
                    "{how} {} ({:?}) with {}",
                    job_name(job),
                    plan.purpose,
                    called(device)
                )
            },
        );
        let remains = self.remains(job);
        let made = match start {
            Start::Anew => Job::new(plan, dialects),
            Start::Resumed => Job::resume(plan, remains, dialects),
            Start::Undone => Job::undo(plan, remains),
        };
        let run = self.number();
        let (now, lost_time) = (self.now, self.lost_time);
        let program_now = &mut self.programs[program];
        if !program_now.batch.add(made) {
            return;
        }
        self.tally.jobs[usize::from(start != Start::Anew)] += 1;
        let post = Post {
            run,
            start,
            began: now,
            lost_time,
            person: program_now.person,
            device,
            label,
            wire,
            link: None,
            attempt: 0,
            recording: None,
            outcome: None,
            told: now,
            decided: false,
            wrong_pops: BTreeMap::new(),
            questions: 0,
        };
        program_now.posts.insert(job, post);
        self.drain(program);
    }

    /// A job hears something from outside.
    pub(super) fn hear(&mut self, at: At, link: Option<u64>, input: Input) {
        let Some(post) = self.post(at) else {
            // A link that came for nobody is given back.
            return;
        };
        match &input {
            Input::Ended(call, Ended::Linked(_)) => return self.linked(at, link, *call),
            Input::Ended(_, Ended::NotLinked(error)) => {
                if link != Some(post.attempt) {
                    return;
                }
                let words = format!("{error}");
                self.tell(|| who(at), || format!("cannot connect: {words}"));
            }
            Input::LinkLost(_) | Input::Ended(_, Ended::Gatt(_))
                if link != post.link.map(|(number, _)| number) =>
            {
                return;
            }
            Input::LinkLost(_) => {
                self.tell(|| who(at), || "loses the link".into());
                if let Some(post) = self.post_mut(at) {
                    post.link = None;
                }
            }
            _ => {}
        }
        self.feed(at, input);
    }

    pub(super) fn feed(&mut self, at: At, input: Input) {
        let now = moment(self.now);
        let Self { programs, random, .. } = self;
        programs[at.program]
            .batch
            .handle(at.job, input, now, &mut |bytes: &mut [u8]| random.fill(bytes));
        self.drain(at.program);
    }

    /// Time passes for a program.
    pub(super) fn lapse(&mut self, program: usize) {
        let now = moment(self.now);
        let Self { programs, random, .. } = self;
        let batch = &mut programs[program].batch;
        batch.handle_timeout(now, &mut |bytes: &mut [u8]| random.fill(bytes));
        self.drain(program);
        let stays = self.programs[program]
            .batch
            .poll_timeout()
            .is_some_and(|at| at <= now);
        self.rules.hold(Rule::EveryJobEnds, !stays, || {
            "a time-out stays when its time is over".into()
        });
    }

    /// Does what a program's jobs want, and hears what they say.
    pub(super) fn drain(&mut self, program: usize) {
        while let Some((job, call, action)) = self.programs[program].batch.poll_action() {
            if let Some(at) = self.at(program, job) {
                self.act(at, call, action);
            }
        }
        while let Some((job, event)) = self.programs[program].batch.poll_event() {
            if let Some(at) = self.at(program, job) {
                self.heard(at, event);
            }
        }
        self.check_wires(program);
    }

    fn at(&self, program: usize, job: JobId) -> Option<At> {
        let run = self.programs[program].posts.get(&job)?.run;
        Some(At { program, job, run })
    }

    fn heard(&mut self, at: At, event: Event) {
        match event {
            Event::Question(id, question) => self.asked(at, id, &question),
            Event::Finished(outcome) => self.finished(at, outcome),
            Event::Retrying { fault, .. } => {
                self.tell(|| who(at), || format!("tries again, since {fault}"));
            }
            Event::Evidence(evidence) => self.count_pops(at, &evidence.fact),
            Event::Stage(stage) => self.tell(|| who(at), || format!("is at {stage:?}")),
            _ => {}
        }
    }

    fn count_pops(&mut self, at: At, fact: &Fact) {
        let Some(device) = self.post(at).map(|post| post.device) else {
            return;
        };
        let counted = self.programs[at.program].wrong_pops.entry(device).or_default();
        match fact {
            Fact::PossessionRefused => *counted += 1,
            Fact::PossessionProven { .. } => *counted = 0,
            _ => {}
        }
    }

    fn act(&mut self, at: At, call: CallId, action: Action) {
        let over = self.post(at).is_none_or(|post| post.outcome.is_some());
        self.rules
            .hold(Rule::InOrder, !over, || format!("{action:?} after the end"));
        if let Some(ask) = Ask::of(&action) {
            return self.call(at, call, ask);
        }
        match action {
            Action::Record(step) => self.record(at, call, step),
            Action::Connect(id) => self.connect(at, call, &id),
            Action::Disconnect => {
                self.tell(|| who(at), || "gives the link back".into());
                self.part(at);
                let input = Input::Ended(call, Ended::Unlinked);
                self.after(300, Coming::Input(at, None, input));
            }
            Action::FindAnother { tried, .. } => {
                let found = self.another(at, &tried);
                self.tell(
                    || who(at),
                    || format!("looks for another device of the name: {found:?}"),
                );
                let found = found.map(|device| Namesake {
                    peripheral: peripheral(device),
                    wrong_pops: self.counted(at.program, device),
                });
                let input = Input::Ended(call, Ended::Another(found));
                self.after(500, Coming::Input(at, None, input));
            }
            Action::Gatt(_) => {
                if let Some((link, _)) = self.post(at).and_then(|post| post.link) {
                    self.after(40, Coming::Op(at, link, call));
                }
            }
            Action::CheckIdentity(proof) => {
                let certified = matches!(proof.key, commission::device::DeviceKey::Chain(_));
                let key = match &proof.key {
                    commission::device::DeviceKey::Spki(key) => key.clone(),
                    commission::device::DeviceKey::Chain(chain) => chain.first().cloned().unwrap_or_default(),
                };
                let mut print = [0; 32];
                print.iter_mut().zip(&key).for_each(|(to, from)| *to = *from);
                let proven = ProvenIdentity {
                    identity: Identity {
                        serial: proof.serial,
                        model: proof.model,
                        firmware: proof.firmware,
                        key_sha256: commission::device::Fingerprint(print),
                    },
                    keys: ProvenKeys {
                        spki: Der(key.clone()),
                        chain: if certified { vec![Der(key)] } else { Vec::new() },
                        endorsement_key: None,
                    },
                    vouched_by: certified.then(|| "the maker".into()),
                };
                let trouble = self.fate.at(Place::Check);
                let wait = match self.apart(at, trouble) {
                    Some(Trouble::Late(seconds)) => u64::from(seconds) * 1000,
                    _ => 1,
                };
                let input = Input::Ended(call, Ended::IdentityChecked(Ok(proven)));
                self.after(wait, Coming::Input(at, None, input));
            }
            _ => {}
        }
    }

    fn record(&mut self, at: At, call: CallId, step: Step) {
        let trouble = self.fate.at(Place::Write(entry(&step)));
        let full = self.apart(at, trouble) == Some(Trouble::DiskFull);
        self.tell(
            || who(at),
            || {
                format!(
                    "writes down {}{}",
                    words(&step),
                    if full { ", and the disk is full" } else { "" }
                )
            },
        );
        let Some(post) = self.post_mut(at) else {
            return;
        };
        post.decided |= matches!(step, Step::Finished { .. });
        let twice = post.recording.replace(step).is_some();
        self.rules
            .hold(Rule::InOrder, !twice, || "two records at once".into());
        self.after(2, Coming::Written(at, call, !full));
    }

    pub(super) fn written(&mut self, at: At, call: CallId, well: bool) {
        let Some(step) = self.post_mut(at).and_then(|post| post.recording.take()) else {
            return;
        };
        if !well {
            let input = Input::Ended(call, Ended::NotRecorded("the disk is full".into()));
            return self.feed(at, input);
        }
        self.check_step(at, &step);
        self.keep(at.job, step);
        self.feed(at, Input::Ended(call, Ended::Recorded));
    }

    fn keep(&mut self, job: JobId, step: Step) {
        if let Some(kept) = self.journal.get_mut(&job) {
            kept.steps.push(step.clone());
            self.log.push((job, step));
        }
    }

    fn connect(&mut self, at: At, call: CallId, id: &PeripheralId) {
        let attempt = self.number();
        let device = of_peripheral(id);
        if let Some(post) = self.post_mut(at) {
            post.attempt = attempt;
            post.device = device;
        }
        self.tell(|| who(at), || format!("connects to {}", called(device)));
        let trouble = self.fate.at(Place::Connect);
        let trouble = self.apart(at, trouble);
        let refused = |error| Input::Ended(call, Ended::NotLinked(error));
        let free = self.devices[device].advertises && self.devices[device].linked.is_none();
        let (wait, input) = match trouble {
            _ if self.now < self.deaf_until => (5, refused(LinkError::AdapterOff)),
            Some(Trouble::OutOfReach) => (5_000, refused(LinkError::OutOfReach)),
            Some(Trouble::Busy) => (200, refused(LinkError::InProgress)),
            Some(_) => return,
            None if !free => (5_000, refused(LinkError::OutOfReach)),
            None => (400, Input::Ended(call, Ended::Linked(GattTable::default()))),
        };
        self.after(wait, Coming::Input(at, Some(attempt), input));
    }

    fn another(&self, at: At, tried: &[PeripheralId]) -> Option<usize> {
        let own = self.post(at)?.device;
        let name = self.devices[own].spec.name;
        let taken: Vec<usize> = self.programs[at.program]
            .posts
            .values()
            .filter(|post| post.outcome.is_none())
            .map(|post| post.device)
            .collect();
        self.devices
            .iter()
            .filter(|device| device.spec.name == name && device.advertises && device.linked.is_none())
            .map(|device| device.number)
            .find(|number| !taken.contains(number) && !tried.contains(&peripheral(*number)))
    }

    /// The program dies.
    pub(super) fn crash(&mut self, program: usize, on_disk: bool) {
        if !self.programs[program].up {
            return;
        }
        self.tally.crashes += 1;
        self.tell(
            || format!("program {}", program + 1),
            || {
                format!(
                    "dies; what it was writing is {}on disk",
                    if on_disk { "" } else { "not " }
                )
            },
        );
        self.leave(program, on_disk);
        self.programs[program].up = false;
        self.after(3_000, Coming::Restart(program));
        self.remember_all();
    }

    /// Whatever a program had in memory is gone.
    pub(super) fn leave(&mut self, program: usize, on_disk: bool) {
        let jobs: Vec<JobId> = self.programs[program].posts.keys().copied().collect();
        for job in jobs {
            if let Some(at) = self.at(program, job) {
                self.part(at);
            }
            let post = self.programs[program].posts.remove(&job);
            if let Some(step) = post.and_then(|post| post.recording).filter(|_| on_disk) {
                self.keep(job, step);
            }
        }
        self.programs[program].batch = Batch::new(2);
        self.programs[program].held_back.clear();
        self.programs[program].looks.clear();
    }

    fn finished(&mut self, at: At, outcome: Outcome) {
        self.tell(|| who(at), || format!("ends: {}", told(&outcome)));
        self.part(at);
        self.tally.ends[match &outcome {
            Outcome::Done { .. } => 0,
            Outcome::Failed { undone: true, .. } => 1,
            Outcome::Failed { undone: false, .. } => 2,
            Outcome::Unknown { .. } => 3,
        }] += 1;
        self.check_end(at, &outcome);
        if let Some(post) = self.post_mut(at) {
            post.outcome = Some(outcome);
        }
        self.remember_all();
        self.take_up_held_back(at.program);
    }
}

/// What is behind a fault that says more.
pub(super) fn root(fault: &Fault) -> &Fault {
    match fault {
        Fault::SettingsKept(fault) | Fault::EarlierOff(fault) => root(fault),
        fault => fault,
    }
}
