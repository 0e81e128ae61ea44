//! The world: devices, two clouds, people, two programs over one journal, and the time that passes for all of them.
//!
//! It is written from the rules and the protocols, not from what the flow believes, and it alone says what is true.

mod air;
mod calls;
mod checks;
mod client;
mod cloud;
mod deeds;
mod device;
mod ends;
mod people;
mod programs;
mod words;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use commission::flow::{CallId, Input, JobId, Step};
use commission::mending::{Kind, holds};
use commission::time::{Moment, UnixTime};

use crate::adapter::Reply;
use crate::fate::{Deed, Fate, Trouble};
use crate::random::Random;
use crate::rules::{Rule, Rules};
use crate::scene::{Order, Scene, What, When};
use crate::story::Story;

use self::calls::Request;
use self::cloud::Cloud;
use self::device::{Device, Wifi};
use self::programs::{Kept, Program};

/// Steps after which a history is taken to have no end.
const MOST_STEPS: u64 = 30_000;
/// How long a job may run, in milliseconds, sleep and deafness of the laptop not counted.
const LONGEST_JOB: u64 = 3 * 3_600_000;
/// How often, once nothing goes wrong any more, what is left is taken up.
const ROUNDS: u32 = 3;

/// What is counted in a history.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Things that came to pass.
    pub steps: u64,
    /// Programs that died.
    pub crashes: u64,
    /// Answers of clouds that did not arrive as they were.
    pub lost_answers: u64,
    /// Times that the laptop slept.
    pub sleeps: u64,
    /// Links that ended by themselves.
    pub lost_links: u64,
    /// Jobs that began anew, and those that were taken up.
    pub jobs: [u64; 2],
    /// Ends: done, failed and undone, failed otherwise, unknown.
    pub ends: [u64; 4],
}

impl Tally {
    /// Adds what was counted in another history.
    pub fn join(&mut self, other: &Self) {
        self.steps += other.steps;
        self.crashes += other.crashes;
        self.lost_answers += other.lost_answers;
        self.sleeps += other.sleeps;
        self.lost_links += other.lost_links;
        for (all, own) in self.jobs.iter_mut().zip(other.jobs) {
            *all += own;
        }
        for (all, own) in self.ends.iter_mut().zip(other.ends) {
            *all += own;
        }
    }
}

/// Something that comes to pass at its moment.
enum Coming {
    /// A program hears something; of a link, only while that stands.
    Input(At, Option<u64>, Input),
    /// A program's journal entry is written, or is not.
    Written(At, CallId, bool),
    /// An operation reaches the device.
    Op(At, u64, CallId),
    /// A link ends by itself.
    LinkEnds(usize, u64),
    /// A call reaches its cloud.
    Execute(Request),
    /// A call that waits for news has waited long enough.
    Waited(u64),
    /// A cloud's answer arrives, made at that time.
    Answer(At, CallId, Answered, u64),
    /// A device does something by itself; whether fate was asked.
    Deed(usize, u64, Deed, bool),
    /// A person does what is next.
    Order,
    /// A program that died is started again.
    Restart(usize),
    /// The laptop wakes, after so long.
    Wake(u64),
    /// The adapter may be back.
    Adapter,
}

/// A run of a job in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    program: usize,
    job: JobId,
    run: u64,
}

/// An answer on its way.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a handful of them is on its way at a time"
)]
enum Answered {
    Reply(Reply),
    /// A claim, whose life is counted from when it arrives.
    Claim(usize, usize),
}

/// See the module.
pub struct World {
    now: u64,
    queue: BTreeMap<(u64, u64), Coming>,
    sequence: u64,
    random: Random,
    scene: Scene,
    fate: Fate,
    rules: Rules,
    tally: Tally,
    story: Story,
    programs: Vec<Program>,
    journal: BTreeMap<JobId, Kept>,
    /// All entries in their order.
    log: Vec<(JobId, Step)>,
    clouds: Vec<Cloud>,
    devices: Vec<Device>,
    /// Who switched a credential off.
    switched_off: BTreeMap<String, JobId>,
    /// Calls that wait for news.
    waiting: BTreeMap<u64, (Request, u64)>,
    asleep_until: u64,
    deaf_until: u64,
    /// All time that the laptop slept or was deaf.
    lost_time: u64,
    agenda: VecDeque<Order>,
    order_is_coming: bool,
    ordered_at: u64,
    rounds: u32,
    /// What a list of open jobs showed at the last order.
    stale: Vec<JobId>,
    acts: Vec<(At, Trouble)>,
    numbers: u64,
}

/// A moment of the programs' clock, which counts sleep.
const fn moment(at: u64) -> Moment {
    Moment::new(Duration::from_millis(at))
}

/// Calendar time.
const fn unix(at: u64) -> UnixTime {
    cloud::calendar(moment(at))
}

impl World {
    /// The world of this scene, in which that goes wrong.
    pub fn new(scene: Scene, fate: Fate, rules: Rules, story: Story) -> Self {
        let clouds = vec![
            Cloud::new(0, scene.clouds[0].clone()),
            Cloud::new(1, scene.clouds[1].clone()),
        ];
        let devices = scene
            .devices
            .iter()
            .enumerate()
            .map(|(number, spec)| Device::new(number, spec.clone()))
            .collect();
        let mut world = Self {
            now: 1_000_000,
            queue: BTreeMap::new(),
            sequence: 0,
            random: Random::new(7),
            fate,
            rules,
            tally: Tally::default(),
            story,
            programs: vec![Program::new(), Program::new()],
            journal: BTreeMap::new(),
            log: Vec::new(),
            clouds,
            devices,
            switched_off: BTreeMap::new(),
            waiting: BTreeMap::new(),
            asleep_until: 0,
            deaf_until: 0,
            lost_time: 0,
            agenda: scene.orders.iter().cloned().collect(),
            order_is_coming: false,
            ordered_at: 1_000_000,
            rounds: 0,
            stale: Vec::new(),
            acts: Vec::new(),
            numbers: 0,
            scene,
        };
        world.furnish();
        world
    }

    /// Registers the devices where they are known, and brings those online that have a credential already.
    fn furnish(&mut self) {
        for index in 0..self.devices.len() {
            let spec = self.devices[index].spec.clone();
            let serial = device::serial(spec.serial);
            let key = commission::device::Fingerprint([spec.key; 32]);
            for cloud in &mut self.clouds {
                // The first of several that state one serial is the real one.
                cloud.known.entry(serial.clone()).or_insert(key);
                if spec.self_enrolling {
                    cloud.self_enrolling.insert(serial.clone());
                }
            }
            let Some(home) = spec.enrolled_in else {
                continue;
            };
            let away = &mut self.clouds[1 - home];
            away.foreign.insert(serial.clone());
            let cloud = &mut self.clouds[home];
            let credential = cloud.enrol(&serial, None, self.now - 900_000);
            cloud.connect(&serial, Some(&credential), self.now - 900_000);
            if spec.keep_link {
                self.devices[index].wifi = Wifi::Joined;
                self.devices[index].settings = device::network(device::SSID, device::PASSPHRASE);
            } else {
                cloud.hang_up(&credential);
            }
            self.devices[index].credential = Some((home, credential));
            self.note_truth();
        }
    }

    /// Lives until everything has come to its end, or a rule is broken.
    pub fn live(&mut self) {
        while self.rules.broken().is_none() && self.step() {}
        if self.rules.broken().is_none() {
            self.remember_all();
            self.check_leftovers();
        }
    }

    /// What went wrong.
    pub const fn fate(&self) -> &Fate {
        &self.fate
    }

    /// How the rules fared.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What was counted.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What was told.
    pub const fn story(&self) -> &Story {
        &self.story
    }

    fn after(&mut self, wait: u64, coming: Coming) {
        self.sequence += 1;
        self.queue.insert((self.now + wait, self.sequence), coming);
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn tell(&mut self, who: impl FnOnce() -> String, what: impl FnOnce() -> String) {
        self.story.tell(self.now - 1_000_000, who, what);
    }

    /// The next thing that comes to pass; false at the end of the history.
    fn step(&mut self) -> bool {
        self.tally.steps += 1;
        if self.tally.steps > MOST_STEPS {
            let running = self.running();
            self.rules.hold(Rule::EveryJobEnds, false, || {
                format!("after {MOST_STEPS} steps these jobs still run: {running:?}")
            });
            return false;
        }
        self.make_plans();
        let coming = self.queue.first_key_value().map(|((at, _), _)| *at);
        let timeout = self.programs.iter().enumerate().filter_map(|(number, program)| {
            let at = program.batch.poll_timeout()?.since_start();
            let at = u64::try_from(at.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
            Some((at.max(self.asleep_until), number))
        });
        match (coming, timeout.min()) {
            (None, None) => {
                let running = self.running();
                self.rules.hold(Rule::EveryJobEnds, running.is_empty(), || {
                    format!("nothing will ever happen, and these jobs wait for it: {running:?}")
                });
                return false;
            }
            (Some(at), timeout) if timeout.is_none_or(|(timeout, _)| at <= timeout) => {
                self.now = self.now.max(at);
                if let Some((_, coming)) = self.queue.pop_first() {
                    self.pass(coming);
                }
            }
            (_, Some((at, program))) => {
                self.now = self.now.max(at);
                self.lapse(program);
            }
            (Some(_), None) => {}
        }
        self.act_up();
        true
    }

    /// Whatever is for the laptop waits while it sleeps.
    fn pass(&mut self, coming: Coming) {
        let of_laptop = matches!(
            coming,
            Coming::Input(..) | Coming::Written(..) | Coming::Op(..) | Coming::Answer(..) | Coming::Order
        );
        if of_laptop && self.now < self.asleep_until {
            let wait = self.asleep_until - self.now;
            return self.after(wait, coming);
        }
        match coming {
            Coming::Wake(millis) => self.wake(millis),
            Coming::Adapter => self.radio(),
            Coming::Input(at, link, input) => self.hear(at, link, input),
            Coming::Written(at, call, well) => self.written(at, call, well),
            Coming::Op(at, link, call) => self.operate(at, link, call),
            Coming::LinkEnds(device, link) => self.link_ends(device, link),
            Coming::Execute(request) => self.execute(request),
            Coming::Waited(number) => {
                if let Some((request, _)) = self.waiting.remove(&number) {
                    self.answer_observer(&request, true);
                }
            }
            Coming::Answer(at, name, answered, told) => self.answered(at, name, answered, told),
            Coming::Deed(device, epoch, deed, asked) => {
                if self.devices[device].epoch == epoch {
                    self.deed(device, deed, asked);
                }
            }
            Coming::Order => self.order(),
            Coming::Restart(program) => {
                self.tell(
                    || "the person".into(),
                    || format!("starts program {} again", program + 1),
                );
                self.programs[program].up = true;
            }
        }
    }

    /// Jobs that have not ended.
    fn running(&self) -> Vec<JobId> {
        let posts = self.programs.iter().flat_map(|program| &program.posts);
        posts
            .filter(|(_, post)| post.outcome.is_none())
            .map(|(job, _)| *job)
            .collect()
    }

    fn is_idle(&self) -> bool {
        self.programs.iter().all(|program| {
            program.up
                && program.held_back.is_empty()
                && program.posts.values().all(|post| post.outcome.is_some())
        })
    }

    /// Puts the next order on its way, and once there is none, has what is left taken up in a world without trouble.
    fn make_plans(&mut self) {
        if self.order_is_coming {
            return;
        }
        let idle = self.is_idle();
        if self.agenda.is_empty() && idle && self.rounds < ROUNDS {
            self.calm_down();
        }
        let Some(next) = self.agenda.front() else {
            return;
        };
        let wait = match next.when {
            When::Idle if !idle => return,
            When::Idle => 1_000,
            When::After(millis) => (self.ordered_at + millis).saturating_sub(self.now),
        };
        self.order_is_coming = true;
        self.after(wait, Coming::Order);
    }

    /// Nothing goes wrong any more, and what is left is taken up.
    fn calm_down(&mut self) {
        self.rounds += 1;
        self.fate.calm();
        let order = |wait, what| Order {
            when: if wait > 0 { When::After(wait) } else { When::Idle },
            program: 0,
            what,
        };
        for device in 0..self.devices.len() {
            self.agenda.push_back(order(0, What::Restart(device)));
        }
        // In the last rounds claims are dead by then.
        let wait = u64::from(self.rounds - 1) * 1_200_000 + 1;
        for organisation in 0..2 {
            self.agenda.push_back(order(0, What::SignIn(organisation, 0)));
            self.agenda.push_back(order(wait, What::Resume));
        }
    }

    /// What is the program's or the person's, wherever it happened.
    fn act_up(&mut self) {
        while let Some((at, trouble)) = self.acts.pop() {
            match trouble {
                Trouble::Crash(on_disk) => self.crash(at.program, on_disk),
                Trouble::Cancel => {
                    let ends = self.post(at).is_some_and(|post| post.outcome.is_none());
                    if ends {
                        self.tell(|| "the person".into(), || "stops the job".into());
                        self.feed(at, Input::Cancel);
                    }
                }
                Trouble::Sleep(seconds) => self.sleep(seconds),
                Trouble::AdapterOff(seconds) => {
                    self.tell(|| "the adapter".into(), || format!("is off for {seconds} s"));
                    self.deaf_until = self.deaf_until.max(self.now + u64::from(seconds) * 1000);
                    self.lost_time += u64::from(seconds) * 1000;
                    for device in 0..self.devices.len() {
                        self.cut(device, 0);
                    }
                    self.radio();
                    self.after(u64::from(seconds) * 1000, Coming::Adapter);
                }
                _ => {}
            }
        }
    }

    fn sleep(&mut self, seconds: u32) {
        self.tell(|| "the laptop".into(), || format!("sleeps for {seconds} s"));
        self.tally.sleeps += 1;
        let millis = u64::from(seconds) * 1000;
        self.asleep_until = self.asleep_until.max(self.now + millis);
        self.lost_time += millis;
        self.after(millis, Coming::Wake(millis));
        if seconds > 6 {
            for device in 0..self.devices.len() {
                self.cut(device, 6_000);
            }
        }
    }

    /// Programs see that the clock went on while they did not.
    fn wake(&mut self, millis: u64) {
        for program in 0..self.programs.len() {
            if self.programs[program].up && holds(Kind::DeafTime) {
                self.programs[program].batch.slept(Duration::from_millis(millis));
            }
        }
    }

    /// Programs see whether the adapter is there, where the system says so.
    fn radio(&mut self) {
        let usable = self.now >= self.deaf_until;
        for program in 0..self.programs.len() {
            if self.programs[program].up && self.scene.hears_of_radio && holds(Kind::DeafTime) {
                let now = moment(self.now);
                let Self { programs, random, .. } = self;
                let batch = &mut programs[program].batch;
                batch.set_radio(usable, now, &mut |bytes: &mut [u8]| random.fill(bytes));
                self.drain(program);
            }
        }
    }

    /// The link to a device ends by itself after so long.
    fn cut(&mut self, device: usize, wait: u64) {
        if let Some(linked) = self.devices[device].linked {
            self.after(wait, Coming::LinkEnds(device, linked.number));
        }
    }

    /// Has a trouble of the program or the person come to pass after this step; what is left of it here.
    fn apart(&mut self, at: At, trouble: Option<Trouble>) -> Option<Trouble> {
        match trouble {
            Some(Trouble::Crash(_) | Trouble::Cancel | Trouble::Sleep(_) | Trouble::AdapterOff(_)) => {
                self.acts.extend(trouble.map(|trouble| (at, trouble)));
                None
            }
            other => other,
        }
    }
}
