//! A site in small: devices, a cloud, a journal and a person with scripted faults, driven by a clock of its own. It
//! knows the truth, so that after every step it can check what the flow may and may not do.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard};

use uuid::Uuid;

use crate::claim::{
    Claim, ClaimForm, ClaimId, ClaimKind, CleanupHandle, Endpoint, MIN_LIFE_TO_SEND, Purpose, Scope,
};
use crate::device::{
    DeviceKey, DialectKind, Fingerprint, Firmware, Identity, IdentityFault, IdentityProof, Serial,
    SignatureScheme,
};
use crate::dialect::{Capabilities, Client, Command, Enrol, Join, Report};
use crate::evidence::{
    Evidence, Fact, Observation, Owner, Principal, PrincipalStatus, Snapshot, Source, Thing,
};
use crate::fault::{CloudError, Fault};
use crate::flow::*;
use crate::gatt::{CharacteristicId, GattOp, GattTable, LinkError, PeripheralId};
use crate::network::{Auth, Network, SeenNetwork, Ssid};
use crate::policy::{Limits, Policy};
use crate::secret::{Entropy, Passphrase, Pop, PrivateKeyPem};
use crate::time::{Moment, UnixTime};

pub(super) const POP: &str = "abcd1234";
pub(super) const PASSPHRASE: &str = "plant-pass";
/// The cloud's calendar at the start of the clock.
const EPOCH: i64 = 1_700_000_000;

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

/// Commands without their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Describe,
    Open,
    Identify,
    Scan,
    SetNetwork,
    SendClaim,
    AbortClaim,
    Apply,
    JoinStatus,
    EnrolStatus,
    ResetNetwork,
}

pub(super) fn kind(command: &Command) -> Kind {
    match command {
        Command::Describe => Kind::Describe,
        Command::Open { .. } => Kind::Open,
        Command::Identify { .. } => Kind::Identify,
        Command::Blink | Command::Scan => Kind::Scan,
        Command::SetNetwork(_) => Kind::SetNetwork,
        Command::SendClaim { .. } => Kind::SendClaim,
        Command::AbortClaim => Kind::AbortClaim,
        Command::Apply => Kind::Apply,
        Command::JoinStatus => Kind::JoinStatus,
        Command::EnrolStatus => Kind::EnrolStatus,
        Command::ResetNetwork => Kind::ResetNetwork,
    }
}

/// Calls to the cloud without their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    Snapshot,
    Issue,
    Observe,
    Retire,
    Deactivate,
    Release,
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

#[derive(Clone, Debug)]
pub(super) enum CloudTrouble {
    /// Nothing was done.
    Error(CloudError),
    /// It was done, and the answer is lost.
    LostAnswer,
    /// It was done, and the answer cannot be read.
    GarbledAnswer,
    /// Nothing ever comes back.
    Silence,
}

/// Where the device's Wi-Fi stands.
#[derive(Clone, Debug, PartialEq)]
enum Wifi {
    Ready,
    Connecting(Moment),
    Failed(Join),
}

/// How the device behaves once it has joined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Enrolling {
    Works,
    Refused,
    Never,
    /// Registers, and is never seen.
    Unseen,
    /// Does nothing with the claims before this one.
    FromClaim(usize),
}

/// A device as it is, whatever the flow believes.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) serial: Serial,
    pub(super) key: Fingerprint,
    pub(super) firmware: Firmware,
    pub(super) capabilities: Capabilities,
    pub(super) pop: String,
    pub(super) locked: bool,
    pub(super) seen: VecDeque<Vec<SeenNetwork>>,
    pub(super) ssid: String,
    pub(super) passphrase: String,
    pub(super) no_dhcp: bool,
    pub(super) enrolling: Enrolling,
    pub(super) auto_stop: bool,
    /// It can be connected to.
    pub(super) advertises: bool,
    /// What happens at which GATT operation, counted over all links.
    pub(super) troubles: BTreeMap<usize, Trouble>,
    /// What the next command of a kind comes to instead.
    pub(super) instead: Vec<(Kind, Report)>,
    pub(super) failed_connects: VecDeque<LinkError>,
    /// How long it takes to connect, or to give that up.
    pub(super) connect_takes: Duration,
    wifi: Wifi,
    settings: Option<Network>,
    claim: Option<Claim>,
    session: bool,
    link: u64,
    linked: bool,
    ops: usize,
    joined_at: Option<Moment>,
    enrol: Enrol,
    /// Its wire is cut off once it has shown that it joined.
    stop_at: Option<Moment>,
    pub(super) log: Vec<(Moment, Kind)>,
}

impl Device {
    pub(super) fn new(number: u64) -> Self {
        let row = |ssid: &str, rssi| SeenNetwork {
            ssid: Ssid::new(ssid).unwrap(),
            rssi,
            channel: 6,
            auth: Auth::Wpa2Psk,
        };
        Self {
            serial: Serial::new(format!("FK-{number:04}")).unwrap(),
            key: Fingerprint([u8::try_from(number % 250).unwrap(); 32]),
            firmware: Firmware("1.4.0".into()),
            capabilities: Capabilities {
                encrypted: true,
                pop: true,
                nonce_reuse: false,
                network_scan: true,
                retry_in_place: true,
                claims: vec![ClaimForm::Certificate],
                identity: true,
                enrol_status: true,
                blink: true,
                summary: "a device".into(),
            },
            pop: POP.into(),
            locked: false,
            seen: VecDeque::from([vec![row("plant", -50), row("office", -85)]]),
            ssid: "plant".into(),
            passphrase: PASSPHRASE.into(),
            no_dhcp: false,
            enrolling: Enrolling::Works,
            auto_stop: false,
            advertises: true,
            troubles: BTreeMap::new(),
            instead: Vec::new(),
            failed_connects: VecDeque::new(),
            connect_takes: ms(400),
            wifi: Wifi::Ready,
            settings: None,
            claim: None,
            session: false,
            link: 0,
            linked: false,
            ops: 0,
            joined_at: None,
            enrol: Enrol::Waiting,
            stop_at: None,
            log: Vec::new(),
        }
    }

    /// How often it was linked.
    pub(super) fn links(&self) -> u64 {
        self.link
    }

    pub(super) fn kinds(&self) -> Vec<Kind> {
        self.log.iter().map(|(_, kind)| *kind).collect()
    }

    /// Operations so far, over all links.
    pub(super) fn ops(&self) -> usize {
        self.ops
    }

    fn joins(&self) -> bool {
        self.settings.as_ref().is_some_and(|network| {
            network.ssid.as_bytes() == self.ssid.as_bytes()
                && network
                    .passphrase
                    .as_ref()
                    .is_some_and(|text| text.reveal() == self.passphrase)
        })
    }

    /// Its own course up to this moment.
    fn live(&mut self, now: Moment) {
        if let Wifi::Connecting(since) = self.wifi
            && self.joined_at.is_none()
            && now >= since + secs(4)
            && !self.no_dhcp
        {
            if self.joins() {
                self.joined_at = Some(since + secs(4));
            } else {
                let known = self
                    .settings
                    .as_ref()
                    .is_some_and(|network| network.ssid.as_bytes() == self.ssid.as_bytes());
                self.wifi = Wifi::Failed(if known { Join::Refused } else { Join::NotFound });
            }
        }
    }

    fn respond(&mut self, command: &Command, now: Moment) -> Report {
        self.live(now);
        let refused = |status| Report::Failed(Fault::SettingsRefused(status));
        if let Some(at) = self.instead.iter().position(|(of, _)| *of == kind(command)) {
            return self.instead.remove(at).1;
        }
        match command {
            Command::Describe => Report::Described(self.capabilities.clone()),
            Command::Open { .. } if self.locked => Report::Failed(Fault::LockedOut),
            Command::Open { pop, .. } => {
                let given = pop.as_ref().map(|pop| pop.reveal().to_string());
                if self.capabilities.pop && given.as_deref() != Some(self.pop.as_str()) {
                    return Report::Failed(Fault::WrongPop);
                }
                self.session = true;
                Report::Opened {
                    scheme: "security 2 patch 1".into(),
                    capabilities: self.capabilities.clone(),
                }
            }
            _ if !self.session => Report::Failed(Fault::Protocol("no session".into())),
            Command::Identify { challenge } => Report::Identified(IdentityProof {
                serial: self.serial.clone(),
                model: "pump".into(),
                firmware: self.firmware.clone(),
                key: DeviceKey::Spki(self.key.0.to_vec()),
                scheme: SignatureScheme::Ed25519,
                message: challenge.to_vec(),
                signature: vec![1],
            }),
            Command::Blink => Report::Blinked,
            Command::Scan => {
                let next = if self.seen.len() > 1 {
                    self.seen.pop_front()
                } else {
                    self.seen.front().cloned()
                };
                Report::Networks(next.unwrap_or_default())
            }
            Command::SetNetwork(network) => {
                self.settings = Some(network.clone());
                Report::NetworkSet
            }
            Command::SendClaim { claim, .. } => {
                self.claim = Some(claim.clone());
                Report::ClaimCommitted
            }
            Command::AbortClaim => {
                self.claim = None;
                Report::ClaimAborted
            }
            Command::Apply if self.wifi == Wifi::Ready && self.settings.is_some() => {
                self.wifi = Wifi::Connecting(now);
                Report::Applied
            }
            Command::Apply => refused(5),
            Command::JoinStatus => Report::Join(match &self.wifi {
                Wifi::Failed(join) => join.clone(),
                _ if self.joined_at.is_some() => {
                    if self.auto_stop {
                        self.stop_at.get_or_insert(now + secs(1));
                    }
                    Join::Joined {
                        address: "10.0.0.7".into(),
                    }
                }
                _ => Join::Joining { attempts_left: None },
            }),
            Command::EnrolStatus => Report::Enrol(self.enrol.clone()),
            Command::ResetNetwork => match self.wifi {
                Wifi::Connecting(_) => refused(5),
                Wifi::Ready | Wifi::Failed(_) => {
                    self.wifi = Wifi::Ready;
                    self.settings = None;
                    Report::NetworkReset
                }
            },
        }
    }
}

/// A claim as the cloud knows it.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) claim: Claim,
    serial: Serial,
    key: Uuid,
    pub(super) retired: bool,
    pub(super) used: bool,
    reached: bool,
    pub(super) events: Vec<Evidence>,
}

impl Issued {
    fn is_over(&self, now: Moment) -> bool {
        !self.used && (self.retired || now >= self.claim.expires)
    }
}

/// The cloud as it is.
#[derive(Debug, Default)]
pub(super) struct Cloud {
    pub(super) life: Duration,
    pub(super) snapshots: BTreeMap<Serial, Snapshot>,
    pub(super) issued: Vec<Issued>,
    pub(super) things: BTreeMap<String, Thing>,
    pub(super) released: BTreeSet<String>,
    pub(super) troubles: Vec<(Call, CloudTrouble)>,
    /// Refused for good from here on, such as when the network of the laptop is gone.
    pub(super) down: BTreeSet<Call>,
    pub(super) latency: BTreeMap<Call, Duration>,
    pub(super) calls: Vec<(Moment, Call)>,
    /// Somebody else gives every new thing a second credential.
    pub(super) stray: bool,
    /// A request to undo a claim failed.
    retire_failed: bool,
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
    recording: Option<Step>,
    pub(super) not_recorded_at: Option<usize>,
    pub(super) events: Vec<Event>,
    pub(super) outcome: Option<Outcome>,
    begun: Vec<Kind>,
    op_under_way: bool,
    client: u64,
    identity_checked: bool,
    policy: Policy,
    check: Result<(), IdentityFault>,
    last_command: Option<Command>,
}

/// What the clients of one job and the site share.
type Shared = Arc<Mutex<Vec<(u64, Command)>>>;

type Reports = Arc<Mutex<VecDeque<Report>>>;

/// Says what was begun on which link, and asks for operations; the site answers in its place.
struct ScriptedClient {
    shared: Shared,
    reports: Reports,
    link: u64,
    ops: VecDeque<GattOp>,
    left: usize,
    busy: bool,
    stands: bool,
}

fn characteristic() -> CharacteristicId {
    CharacteristicId {
        service: Uuid::from_u128(1),
        characteristic: Uuid::from_u128(2),
    }
}

impl Client for ScriptedClient {
    fn begin(&mut self, command: Command, now: Moment, _: &mut dyn Entropy) {
        if let Command::SendClaim { claim, .. } = &command {
            assert!(
                claim.expires.left(now) >= MIN_LIFE_TO_SEND,
                "a claim too old to be sent"
            );
        }
        assert!(!self.busy, "a command while another is under way: {command:?}");
        let opens = matches!(kind(&command), Kind::Describe | Kind::Open);
        assert!(self.stands || opens, "a command without a session: {command:?}");
        self.busy = true;
        self.left = match kind(&command) {
            Kind::SendClaim => 3,
            Kind::Open => 2,
            _ => 1,
        };
        self.shared.lock().unwrap().push((self.link, command));
        self.ops.push_back(GattOp::Write(characteristic(), vec![1]));
    }

    fn handle(&mut self, result: Result<Vec<u8>, LinkError>, _: Moment, _: &mut dyn Entropy) {
        let mut reports = self.reports.lock().unwrap();
        match result {
            Ok(_) => {
                self.left -= 1;
                if self.left > 0 {
                    self.ops.push_back(GattOp::Write(characteristic(), vec![1]));
                }
            }
            Err(error) => {
                self.stands = false;
                self.busy = false;
                reports.push_back(Report::Failed(Fault::Link(error)));
            }
        }
    }

    fn handle_timeout(&mut self, _: Moment) {}

    fn poll_gatt(&mut self) -> Option<GattOp> {
        self.ops.pop_front()
    }

    fn poll_report(&mut self) -> Option<Report> {
        let report = self.reports.lock().unwrap().pop_front();
        if let Some(report) = &report {
            self.busy = false;
            match report {
                Report::Opened { .. } => self.stands = true,
                Report::Failed(Fault::WrongPop) => self.stands = false,
                _ => {}
            }
        }
        report
    }

    fn poll_timeout(&self) -> Option<Moment> {
        None
    }

    fn session_stands(&self) -> bool {
        self.stands
    }
}

/// Something that comes to pass at its moment.
enum Coming {
    Input(JobId, u64, Input),
    /// The device is asked; the answer depends on what it is then.
    Op(JobId, u64),
    LinkEnds(JobId, u64),
    Observe(JobId, ClaimId, u64, Moment),
    Cloud(JobId, Action),
}

pub(super) struct Site {
    pub(super) now: Moment,
    pub(super) batch: Batch,
    pub(super) posts: BTreeMap<JobId, Post>,
    pub(super) cloud: Cloud,
    shared: BTreeMap<JobId, (Shared, Reports)>,
    coming: BTreeMap<(Moment, u64), Coming>,
    sequence: u64,
    random: u64,
    links: usize,
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
                known: true,
                identity_key_sha256: Some(device.key),
                min_firmware: Some(Firmware("1.2".into())),
                owner: Owner::None,
                thing: None,
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
            .filter(|(_, coming)| matches!(coming, Coming::Cloud(_, action) if !matches!(action, Action::Observe { .. })))
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

    fn after(&mut self, wait: Duration, coming: Coming) {
        self.sequence += 1;
        self.coming.insert((self.now + wait, self.sequence), coming);
    }

    fn pass(&mut self, coming: Coming) {
        match coming {
            Coming::Input(job, client, input) => {
                let post = self.posts.get_mut(&job).unwrap();
                let about_link = matches!(input, Input::LinkLost | Input::Gatt(_));
                if about_link && client != post.client {
                    return;
                }
                match &input {
                    Input::Recorded => {
                        let step = post.recording.take().unwrap();
                        post.recorded.push(step);
                    }
                    Input::Linked(_) => {
                        post.device.linked = true;
                        post.device.link += 1;
                        post.client = post.device.link;
                    }
                    Input::NotLinked(_) | Input::Unlinked | Input::LinkLost => self.end_link(job),
                    Input::Gatt(_) => post.op_under_way = false,
                    _ => {}
                }
                self.input(job, input);
            }
            Coming::Op(job, client) => self.operate(job, client),
            Coming::LinkEnds(job, client) => {
                let post = self.posts.get_mut(&job).unwrap();
                if client == post.client && post.device.linked {
                    self.pass(Coming::Input(job, client, Input::LinkLost));
                }
            }
            Coming::Observe(job, claim, after, since) => self.observe(job, claim, after, since),
            Coming::Cloud(job, action) => self.answer_cloud(job, action),
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
    fn operate(&mut self, job: JobId, client: u64) {
        let now = self.now;
        let (shared, reports) = self.shared.get(&job).cloned().unwrap();
        let post = self.posts.get_mut(&job).unwrap();
        if post.client != client {
            return;
        }
        let index = post.device.ops;
        post.device.ops += 1;
        let trouble = post.device.troubles.remove(&index);
        match trouble {
            Some(Trouble::LostBefore) => return self.pass(Coming::Input(job, client, Input::LinkLost)),
            Some(Trouble::Silence) => return,
            Some(Trouble::Error(error)) => {
                return self.pass(Coming::Input(job, client, Input::Gatt(Err(error))));
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
            return self.pass(Coming::Input(job, client, Input::LinkLost));
        }
        if let Some(at) = post.device.stop_at.take() {
            post.device.advertises = false;
            let wait = at.left(now);
            self.after(wait, Coming::LinkEnds(job, client));
        }
        self.enrol_device(job);
        self.pass(Coming::Input(job, client, Input::Gatt(Ok(Vec::new()))));
    }

    fn reports<'a>(&self, reports: &'a Reports) -> MutexGuard<'a, VecDeque<Report>> {
        reports.lock().unwrap()
    }

    /// Lets the devices live up to now and do in the cloud what they do.
    fn live(&mut self) {
        let jobs: Vec<JobId> = self.posts.keys().copied().collect();
        for job in jobs {
            self.enrol_device(job);
        }
    }

    fn enrol_device(&mut self, job: JobId) {
        let now = self.now;
        let post = self.posts.get_mut(&job).unwrap();
        let device = &mut post.device;
        device.live(now);
        let (Some(joined_at), Some(claim)) = (device.joined_at, device.claim.clone()) else {
            return;
        };
        let Some(issued) = self
            .cloud
            .issued
            .iter_mut()
            .find(|issued| issued.claim.id == claim.id)
        else {
            return;
        };
        let at = |wait| joined_at.max(claim.issued) + wait;
        let alive_at = |moment: Moment, retired: bool| !retired && moment < claim.expires;
        let told = |fact, moment| Evidence {
            fact,
            source: Source::Cloud,
            at: Some(unix(moment)),
        };
        let lazy = matches!(device.enrolling, Enrolling::FromClaim(first)
            if claim.id < ClaimId(format!("clm_{first}")));
        if lazy
            || device.enrolling == Enrolling::Never
            || !alive_at(at(secs(2)), issued.retired) && !issued.used
        {
            return;
        }
        if now >= at(secs(2)) && !issued.reached {
            issued.reached = true;
            device.enrol = Enrol::CloudReached;
            issued.events.push(told(Fact::CloudReached, at(secs(2))));
            if device.enrolling == Enrolling::Refused {
                issued.events.push(told(
                    Fact::EnrolmentRefused {
                        code: "AccessDenied".into(),
                        message: "the hook says no".into(),
                    },
                    at(secs(2)),
                ));
            }
        }
        if device.enrolling == Enrolling::Refused {
            return;
        }
        let principal = format!("p-{}", claim.id.0);
        let name = device.serial.as_str().to_string();
        if now >= at(secs(3)) && !issued.used && alive_at(at(secs(3)), issued.retired) {
            issued.used = true;
            if self.cloud.stray {
                let thing = self
                    .cloud
                    .things
                    .entry(name.clone())
                    .or_insert_with(|| bare(&name));
                thing.principals.push(Principal {
                    id: "stray".into(),
                    status: PrincipalStatus::Active,
                });
            }
            device.enrol = Enrol::Registered {
                thing: Some(name.clone()),
                principal: principal.clone(),
            };
            issued.events.push(told(
                Fact::Registered {
                    thing: Some(name.clone()),
                    principal: Some(principal.clone()),
                },
                at(secs(3)),
            ));
            let thing = self
                .cloud
                .things
                .entry(name.clone())
                .or_insert_with(|| bare(&name));
            thing.version += 1;
            thing.principals.push(Principal {
                id: principal.clone(),
                status: PrincipalStatus::Active,
            });
        }
        let online_at = at(secs(4));
        let seen = issued
            .events
            .iter()
            .any(|evidence| matches!(evidence.fact, Fact::SeenOnline { .. }));
        if now >= online_at && issued.used && !seen && device.enrolling != Enrolling::Unseen {
            issued.events.push(told(
                Fact::SeenOnline {
                    thing: Some(name.clone()),
                    principal: Some(principal.clone()),
                },
                online_at,
            ));
            if let Some(thing) = self.cloud.things.get_mut(&name) {
                thing.connected = Some(true);
                thing.connected_at = Some(unix(online_at));
                thing.connected_principal = Some(principal.clone());
            }
            device.enrol = Enrol::Online {
                thing: Some(name),
                principal,
            };
        }
    }

    fn drain(&mut self) {
        while let Some((job, action)) = self.batch.poll_action() {
            self.check_commands(job);
            self.act(job, action);
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
            Event::Question(_) => answer = post.person.answers.pop_front(),
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
        if let Some((wait, answer)) = answer {
            self.after(wait, Coming::Input(job, 0, Input::Answer(answer)));
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
        match &command {
            Command::SendClaim { claim, .. } => {
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
                assert!(post.device.claim.is_some() || post.device.capabilities.claims.is_empty());
            }
            Command::ResetNetwork => assert!(recorded(&|step| matches!(step, Step::Resetting))),
            _ => {}
        }
    }

    fn act(&mut self, job: JobId, action: Action) {
        let post = self.posts.get_mut(&job).unwrap();
        assert!(post.outcome.is_none(), "{action:?} after the end");
        let recorded = |of: &dyn Fn(&Step) -> bool| post.recorded.iter().any(of);
        let client = post.client;
        match action {
            Action::Record(step) => {
                assert!(post.recording.is_none(), "two records at once");
                let fails = post.not_recorded_at == Some(post.recorded.len());
                post.recording = Some(step);
                let input = if fails {
                    Input::NotRecorded("disk full".into())
                } else {
                    Input::Recorded
                };
                self.after(ms(2), Coming::Input(job, 0, input));
            }
            Action::Connect(_) => {
                assert!(recorded(&|step| matches!(
                    step,
                    Step::Started { .. } | Step::Linking
                )));
                post.begun.clear();
                let input = match post.device.failed_connects.pop_front() {
                    Some(error) => Input::NotLinked(error),
                    None if !post.device.advertises => Input::NotLinked(LinkError::OutOfReach),
                    None => Input::Linked(GattTable::default()),
                };
                let takes = post.device.connect_takes;
                let wait = match &mut self.radio_free {
                    None => takes,
                    Some(free) => {
                        *free = (*free).max(self.now) + takes;
                        free.since(self.now)
                    }
                };
                self.after(wait, Coming::Input(job, 0, input));
            }
            Action::Disconnect => {
                self.end_link(job);
                // What the radio was still to say about the link is never said.
                self.coming.retain(|_, coming| {
                    !matches!(coming, Coming::Input(of, _, Input::Linked(_) | Input::NotLinked(_)) if *of == job)
                });
                self.after(ms(300), Coming::Input(job, 0, Input::Unlinked));
            }
            Action::Gatt(op) => {
                assert!(!post.op_under_way, "two operations at once");
                assert!(matches!(op, GattOp::Write(_, bytes) if !bytes.is_empty()));
                post.op_under_way = true;
                self.after(ms(40), Coming::Op(job, client));
            }
            Action::CheckIdentity(proof) => {
                let result = post.check.clone().map(|()| Identity {
                    serial: proof.serial,
                    model: proof.model,
                    firmware: proof.firmware,
                    key_sha256: post.device.key,
                });
                post.identity_checked = result.is_ok();
                self.after(ms(1), Coming::Input(job, 0, Input::IdentityChecked(result)));
            }
            Action::Issue(ref request) => {
                let key = request.idempotency;
                assert!(recorded(
                    &|step| matches!(step, Step::Claiming { idempotency, .. } if *idempotency == key)
                ));
                self.call(job, Call::Issue, action);
            }
            Action::Retire(ref handle) => {
                assert!(recorded(
                    &|step| matches!(step, Step::Retiring { cleanup } if cleanup == handle)
                ));
                self.call(job, Call::Retire, action);
            }
            Action::Deactivate { ref principal, .. } => {
                assert!(recorded(
                    &|step| matches!(step, Step::Deactivating { principal: id, .. } if id == principal)
                ));
                self.call(job, Call::Deactivate, action);
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
                self.call(job, Call::Release, action);
            }
            Action::Snapshot(_) => self.call(job, Call::Snapshot, action),
            Action::Observe { .. } => self.call(job, Call::Observe, action),
        }
    }

    fn call(&mut self, job: JobId, call: Call, action: Action) {
        self.cloud.calls.push((self.now, call));
        let wait = self.cloud.latency.get(&call).copied().unwrap_or(ms(80));
        self.after(wait, Coming::Cloud(job, action));
    }

    fn answer_cloud(&mut self, job: JobId, action: Action) {
        self.live();
        let call = match &action {
            Action::Snapshot(_) => Call::Snapshot,
            Action::Issue(_) => Call::Issue,
            Action::Retire(_) => Call::Retire,
            Action::Deactivate { .. } => Call::Deactivate,
            Action::Release { .. } => Call::Release,
            _ => Call::Observe,
        };
        let trouble = self
            .cloud
            .troubles
            .iter()
            .position(|(of, _)| *of == call)
            .map(|at| self.cloud.troubles.remove(at).1);
        let trouble = if self.cloud.down.contains(&call) {
            Some(CloudTrouble::Error(CloudError::Unreachable("no route".into())))
        } else {
            trouble
        };
        self.cloud.retire_failed |= call == Call::Retire && trouble.is_some();
        let failure = match trouble {
            None => None,
            Some(CloudTrouble::Silence) => return,
            Some(CloudTrouble::Error(error)) => Some((error, false)),
            Some(CloudTrouble::LostAnswer) => Some((CloudError::Unreachable("reset".into()), true)),
            Some(CloudTrouble::GarbledAnswer) => Some((CloudError::Nonsense("no JSON".into()), true)),
        };
        if let Some((error, false)) = &failure {
            let input = failed(call, error.clone());
            return self.pass(Coming::Input(job, 0, input));
        }
        let input = match action {
            Action::Snapshot(serial) => {
                let snapshot = self.cloud.snapshots.get(&serial).cloned();
                let mut snapshot = snapshot.unwrap_or(Snapshot {
                    known: false,
                    identity_key_sha256: None,
                    min_firmware: None,
                    owner: Owner::None,
                    thing: None,
                });
                if let Some(thing) = self.cloud.things.get(serial.as_str()) {
                    snapshot.thing = Some(thing.clone());
                }
                Input::Snapshot(Ok(snapshot))
            }
            Action::Issue(request) => Input::Issued(Ok(self.issue(&request))),
            Action::Retire(handle) => {
                for issued in &mut self.cloud.issued {
                    if issued.claim.cleanup == handle {
                        issued.retired = true;
                    }
                }
                self.wake_observers();
                Input::Retired(Ok(()))
            }
            Action::Deactivate { thing, principal } => {
                let thing = self.cloud.things.get_mut(&thing).unwrap();
                for credential in &mut thing.principals {
                    if credential.id == principal {
                        credential.status = PrincipalStatus::Inactive;
                    }
                }
                Input::Deactivated(Ok(thing.clone()))
            }
            Action::Release { thing, .. } => {
                self.cloud.released.insert(thing);
                Input::ReleasedToSupport(Ok(()))
            }
            Action::Observe { claim, after } => {
                let now = self.now;
                return self.observe(job, claim, after, now);
            }
            _ => return,
        };
        match failure {
            Some((error, _)) => self.pass(Coming::Input(job, 0, failed(call, error))),
            None => self.pass(Coming::Input(job, 0, input)),
        }
    }

    fn issue(&mut self, request: &crate::claim::ClaimRequest) -> Claim {
        let now = self.now;
        let known = self
            .cloud
            .issued
            .iter()
            .find(|issued| issued.key == request.idempotency && !issued.used && !issued.is_over(now));
        if let Some(issued) = known {
            return issued.claim.clone();
        }
        let number = self.cloud.issued.len() + 1;
        let claim = Claim {
            id: ClaimId(format!("clm_{number}")),
            kind: ClaimKind::Certificate {
                chain_pem: "chain".into(),
                key: PrivateKeyPem::new("key"),
            },
            endpoint: Endpoint {
                host: "iot.example".into(),
                port: 8883,
            },
            ca_pem: "ca".into(),
            scope: Scope {
                template: "t".into(),
                parameters: BTreeMap::new(),
            },
            issued: now,
            expires: now + self.cloud.life,
            issued_at: unix(now),
            cleanup: CleanupHandle(format!("/v1/claims/clm_{number}/retire")),
        };
        self.cloud.issued.push(Issued {
            claim: claim.clone(),
            serial: request.serial.clone(),
            key: request.idempotency,
            retired: false,
            used: false,
            reached: false,
            events: Vec::new(),
        });
        claim
    }

    fn wake_observers(&mut self) {
        let now = self.now;
        let held: Vec<(Moment, u64)> = self
            .coming
            .iter()
            .filter(|(_, coming)| matches!(coming, Coming::Observe(..)))
            .map(|(at, _)| *at)
            .collect();
        for at in held {
            let coming = self.coming.remove(&at).unwrap();
            self.coming.insert((now, at.1), coming);
        }
    }

    /// A long look: answered with news, on a change of state, or after twenty seconds.
    fn observe(&mut self, job: JobId, claim: ClaimId, after: u64, since: Moment) {
        self.live();
        let now = self.now;
        let Some(issued) = self.cloud.issued.iter().find(|issued| issued.claim.id == claim) else {
            let gone = CloudError::Refused {
                code: "claim-not-found".into(),
                message: String::new(),
            };
            return self.pass(Coming::Input(job, 0, Input::Observed(Err(gone))));
        };
        let skipped = usize::try_from(after).unwrap();
        let evidence: Vec<Evidence> = issued.events.iter().skip(skipped).cloned().collect();
        let over = issued.is_over(now);
        if evidence.is_empty() && !over && now.since(since) < secs(20) {
            return self.after(ms(250), Coming::Observe(job, claim, after, since));
        }
        let observation = Observation {
            next: u64::try_from(issued.events.len()).unwrap(),
            evidence,
            claim_over: over,
            thing: self.cloud.things.get(issued.serial.as_str()).cloned(),
        };
        self.pass(Coming::Input(job, 0, Input::Observed(Ok(observation))));
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

fn bare(name: &str) -> Thing {
    Thing {
        name: name.into(),
        version: 0,
        principals: Vec::new(),
        connected: Some(false),
        connected_at: None,
        connected_principal: None,
    }
}

fn failed(call: Call, error: CloudError) -> Input {
    match call {
        Call::Snapshot => Input::Snapshot(Err(error)),
        Call::Issue => Input::Issued(Err(error)),
        Call::Observe => Input::Observed(Err(error)),
        Call::Retire => Input::Retired(Err(error)),
        Call::Deactivate => Input::Deactivated(Err(error)),
        Call::Release => Input::ReleasedToSupport(Err(error)),
    }
}

fn unix(at: Moment) -> UnixTime {
    UnixTime(EPOCH + i64::try_from(at.since_start().as_secs()).unwrap())
}

fn noise(random: &mut u64, bytes: &mut [u8]) {
    for byte in bytes {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = random.to_be_bytes()[0];
    }
}

pub(super) fn plan(number: u128, device: &Device) -> Plan {
    Plan {
        job: job_id(number),
        peripheral: PeripheralId(format!("radio-{number}")),
        name: format!("PROV_{number}"),
        dialect: DialectKind::Espressif,
        serial: Some(device.serial.clone()),
        pop: Some(Pop::new(POP)),
        username: None,
        network: Some(network("plant", PASSPHRASE)),
        purpose: Purpose::New,
        policy: Policy::default(),
        limits: Limits::default(),
    }
}
