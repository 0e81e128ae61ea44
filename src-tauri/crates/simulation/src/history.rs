//! A history: a scene and what goes wrong in it; how it is lived, searched for, and shortened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::fate::{Fate, Mishap, Place, Trouble};
use crate::random::Random;
use crate::rules::{Broken, RULES, Rule, Rules};
use crate::scene::{CloudSpec, DeviceSpec, Given, Order, Scene, What, When};
use crate::story::Story;
use crate::world::{Tally, World};

/// A history that can be lived again.
#[derive(Clone, Debug)]
pub struct History {
    /// What it begins with.
    pub scene: Scene,
    /// What goes wrong.
    pub mishaps: Vec<Mishap>,
}

/// What came of a history.
#[derive(Debug)]
pub struct Lived {
    /// What went wrong.
    pub mishaps: Vec<Mishap>,
    /// The rule that was broken.
    pub broken: Option<Broken>,
    /// How often each rule was put to the test.
    pub checked: [u64; RULES.len()],
    /// What was counted.
    pub tally: Tally,
    /// How it went, where it was told.
    pub story: String,
}

fn live(scene: Scene, fate: Fate, ignored: &[Rule], story: Story) -> Lived {
    let mut world = World::new(scene, fate, Rules::without(ignored), story);
    world.live();
    Lived {
        mishaps: world.fate().fired().to_vec(),
        broken: world.rules().broken().cloned(),
        checked: *world.rules().checked(),
        tally: *world.tally(),
        story: world.story().text().into(),
    }
}

impl History {
    /// A calm history of these devices.
    pub fn of(devices: impl IntoIterator<Item = DeviceSpec>) -> Self {
        Self {
            scene: Scene::of(devices),
            mishaps: Vec::new(),
        }
    }

    /// Then, once no job runs, somebody does this in the first program.
    #[must_use]
    pub fn then(self, what: What) -> Self {
        self.order(0, When::Idle, what)
    }

    /// So many milliseconds after the order before, somebody does this in that program.
    #[must_use]
    pub fn meanwhile(self, program: usize, millis: u64, what: What) -> Self {
        self.order(program, When::After(millis), what)
    }

    /// At this place, at the so-manieth visit, that goes wrong.
    #[must_use]
    pub fn but(mut self, place: Place, visit: u32, trouble: Trouble) -> Self {
        self.mishaps.push((place, visit, trouble));
        self
    }

    fn order(mut self, program: usize, when: When, what: What) -> Self {
        self.scene.orders.push(Order { when, program, what });
        self
    }

    /// Lives it.
    ///
    /// # Errors
    /// The rule that it breaks, and the story that leads there.
    pub fn breaks_no_rule(&self) -> Result<Lived, String> {
        let lived = self.tell(&[]);
        match &lived.broken {
            Some(Broken { rule, how }) => Err(format!("{}\n{rule:?}: {how}", lived.story)),
            None => Ok(lived),
        }
    }

    /// The scene of a seed, and the dice that decide what goes wrong in it.
    fn begin(seed: u64) -> (Scene, Fate) {
        let mut random = Random::new(seed);
        let (scene, theme) = Scene::random(&mut random);
        (scene, Fate::dice(random, theme))
    }

    /// Lives the history of a seed.
    pub fn of_seed(seed: u64, ignored: &[Rule]) -> Lived {
        let (scene, fate) = Self::begin(seed);
        live(scene, fate, ignored, Story::default())
    }

    /// What a seed's history begins with, and what goes wrong in it.
    pub fn recorded(seed: u64, ignored: &[Rule]) -> (Self, Lived) {
        let (scene, fate) = Self::begin(seed);
        let lived = live(scene.clone(), fate, ignored, Story::default());
        let mishaps = lived.mishaps.clone();
        (Self { scene, mishaps }, lived)
    }

    /// Lives it.
    pub fn live(&self, ignored: &[Rule]) -> Lived {
        live(
            self.scene.clone(),
            Fate::script(&self.mishaps),
            ignored,
            Story::default(),
        )
    }

    /// Lives and tells it.
    pub fn tell(&self, ignored: &[Rule]) -> Lived {
        live(
            self.scene.clone(),
            Fate::script(&self.mishaps),
            ignored,
            Story::kept(),
        )
    }
}

/// The shortest history that breaks the same rule, as far as leaving one thing out after the other leads to it.
pub fn shorten(history: &History, rule: Rule, ignored: &[Rule]) -> History {
    let breaks = |history: &History| {
        history
            .live(ignored)
            .broken
            .is_some_and(|broken| broken.rule == rule)
    };
    let mut best = history.clone();
    loop {
        let mut shorter = false;
        for candidate in simpler(&best) {
            if breaks(&candidate) {
                best = candidate;
                shorter = true;
                break;
            }
        }
        if !shorter {
            return best;
        }
    }
}

/// Everything that is a little less than this history.
fn simpler(history: &History) -> Vec<History> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut History)| {
        let mut next = history.clone();
        change(&mut next);
        if format!("{next:?}") != format!("{history:?}") {
            all.push(next);
        }
    };
    let many = history.mishaps.len();
    if many > 3 {
        add(&|next| next.mishaps.truncate(many / 2));
        add(&|next| _ = next.mishaps.drain(..many / 2));
    }
    for index in 0..many {
        add(&|next| _ = next.mishaps.remove(index));
    }
    for index in 0..history.scene.orders.len() {
        add(&|next| _ = next.scene.orders.remove(index));
        add(&|next| next.scene.orders[index].program = 0);
        add(&|next| next.scene.orders[index].when = When::Idle);
        add(&|next| {
            if let What::Commission { network, .. } = &mut next.scene.orders[index].what {
                *network = Given::Right;
            }
        });
        add(&|next| {
            if let What::Commission { device, label, .. } = &mut next.scene.orders[index].what {
                *label = *device;
            }
        });
    }
    let devices = history.scene.devices.len();
    let used = |device: usize| {
        history.scene.orders.iter().any(|order| match &order.what {
            What::Commission {
                device: own, label, ..
            } => *own == device || *label == device,
            What::Button(own) => *own == device,
            _ => false,
        })
    };
    if devices > 1 && !used(devices - 1) {
        add(&|next| _ = next.scene.devices.pop());
    }
    for index in 0..devices {
        let number = u8::try_from(index).unwrap_or_default();
        add(&|next| next.scene.devices[index].turns = None);
        add(&|next| next.scene.devices[index].enrolled_in = None);
        add(&|next| next.scene.devices[index].self_enrolling = false);
        add(&|next| next.scene.devices[index].claims = true);
        add(&|next| next.scene.devices[index].certified = false);
        add(&|next| next.scene.devices[index].identity = true);
        add(&|next| next.scene.devices[index].auto_stop = false);
        add(&|next| next.scene.devices[index].keep_link = true);
        add(&|next| next.scene.devices[index].retry_in_place = true);
        add(&|next| next.scene.devices[index].enrol_status = false);
        add(&|next| next.scene.devices[index].claim_session_named = false);
        add(&|next| next.scene.devices[index].scheme = 2);
        add(&|next| next.scene.devices[index].name = number);
        add(&|next| next.scene.devices[index].serial = number);
        add(&|next| next.scene.devices[index].pop = number);
    }
    for cloud in 0..2 {
        add(&|next| next.scene.clouds[cloud] = CloudSpec::sound());
    }
    add(&|next| next.scene.prefetch = true);
    add(&|next| next.scene.identity = commission::policy::IdentityPolicy::WhenOffered);
    all
}

/// What a search came to.
#[derive(Debug, Default)]
pub struct Search {
    /// Histories that were lived.
    pub histories: u64,
    /// How often each rule was put to the test.
    pub checked: [u64; RULES.len()],
    /// What was counted, over all.
    pub tally: Tally,
    /// Things that went wrong, by place and kind.
    pub mishaps: BTreeMap<(Place, &'static str), u64>,
    /// Seeds that broke a rule, with the rule.
    pub broken: Vec<(u64, Broken)>,
}

/// Lives the histories of so many seeds, on so many threads; stops soon after so many are broken.
pub fn search(from: u64, histories: u64, threads: usize, stop_after: usize, ignored: &[Rule]) -> Search {
    let next = AtomicU64::new(0);
    let found = Mutex::new(Search::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let mut own = Search::default();
                loop {
                    let begin = next.fetch_add(64, Ordering::Relaxed);
                    if begin >= histories {
                        break;
                    }
                    for offset in begin..(begin + 64).min(histories) {
                        let seed = from.wrapping_add(offset);
                        let lived = History::of_seed(seed, ignored);
                        own.add(seed, lived);
                    }
                    if own.broken.len() >= stop_after {
                        next.store(histories, Ordering::Relaxed);
                    }
                }
                found.lock().unwrap_or_else(PoisonError::into_inner).join(own);
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.broken.sort_by_key(|(seed, _)| *seed);
    found
}

impl Search {
    fn add(&mut self, seed: u64, lived: Lived) {
        self.histories += 1;
        for (all, own) in self.checked.iter_mut().zip(lived.checked) {
            *all += own;
        }
        self.tally.join(&lived.tally);
        for (place, _, trouble) in lived.mishaps {
            *self.mishaps.entry((place, trouble.name())).or_default() += 1;
        }
        self.broken.extend(lived.broken.map(|broken| (seed, broken)));
    }

    fn join(&mut self, other: Self) {
        self.histories += other.histories;
        for (all, own) in self.checked.iter_mut().zip(other.checked) {
            *all += own;
        }
        self.tally.join(&other.tally);
        for (mishap, many) in other.mishaps {
            *self.mishaps.entry(mishap).or_default() += many;
        }
        self.broken.extend(other.broken);
    }
}
