//! What a history begins with: which devices there are, what the clouds know of them, and what people set out to do.

use commission::claim::Purpose;
use commission::policy::IdentityPolicy;

use crate::fate::Theme;
use crate::random::Random;

/// All that a history begins with.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The devices, each at its place.
    pub devices: Vec<DeviceSpec>,
    /// What people do, one after the other.
    pub orders: Vec<Order>,
    /// The clouds of the two organisations.
    pub clouds: [CloudSpec; 2],
    /// Whether devices must prove who they are.
    pub identity: IdentityPolicy,
    /// A claim is fetched early.
    pub prefetch: bool,
    /// The system tells programs when the adapter goes and comes.
    pub hears_of_radio: bool,
}

/// What a device is like.
#[derive(Clone, Debug)]
pub struct DeviceSpec {
    /// Number of its serial; clones share one.
    pub serial: u8,
    /// Number of its key.
    pub key: u8,
    /// Number of its advertised name; namesakes share one.
    pub name: u8,
    /// Number of its proof of possession.
    pub pop: u8,
    /// Its security scheme: 2 and 1 want the proof of possession, 0 encrypts nothing.
    pub scheme: u8,
    /// It can prove its identity.
    pub identity: bool,
    /// A maker's certificate stands behind its key.
    pub certified: bool,
    /// It takes claims.
    pub claims: bool,
    /// It enrols by itself.
    pub self_enrolling: bool,
    /// Wrong settings can be corrected in place.
    pub retry_in_place: bool,
    /// The link outlives the join.
    pub keep_link: bool,
    /// It tells how its enrolment stands.
    pub enrol_status: bool,
    /// It ends its service once it has said that it joined.
    pub auto_stop: bool,
    /// Its session with the claim has the registration's name and stays until its own session replaces it.
    pub claim_session_named: bool,
    /// In which cloud it has a credential already.
    pub enrolled_in: Option<usize>,
    /// What it does otherwise from a later link on.
    pub turns: Option<Turn>,
}

/// What a hostile device does otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It states this serial from its second link on.
    Serial(u8),
    /// It signs with this key from its second link on.
    Key(u8),
    /// It says from its second link on that it cannot sign.
    Mute,
    /// It offers this scheme from its second link on.
    Scheme(u8),
    /// It offers this scheme, less than its label says, from the first link on.
    Weak(u8),
    /// It runs old firmware from its second link on.
    Firmware,
}

/// What a cloud is like.
#[derive(Clone, Debug)]
pub struct CloudSpec {
    /// It refuses claims that must not be, by itself.
    pub strict: bool,
    /// It knows the keys of devices.
    pub knows_keys: bool,
    /// What it tells of connections.
    pub tells: Tells,
    /// Seconds that a claim lives.
    pub life: u64,
}

/// What a cloud tells of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tells {
    /// By which credential it is.
    Credential,
    /// Whether it is by one of the registration's own.
    Own,
    /// That a client of the registration's name is connected, since about when.
    Nothing,
}

/// Something that a person does.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// When.
    pub when: When,
    /// In which program.
    pub program: usize,
    /// What.
    pub what: What,
}

/// When a person does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once no job runs.
    Idle,
    /// So many milliseconds after the order before.
    After(u64),
}

/// What a person does.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Commissions a device.
    Commission {
        /// At this device.
        device: usize,
        /// With the label of this one.
        label: usize,
        /// Why.
        purpose: Purpose,
        /// The label names the serial.
        serial: bool,
        /// How the network is given.
        network: Given,
    },
    /// Takes up what earlier runs left.
    Resume,
    /// Undoes what earlier runs left.
    Undo,
    /// Takes up what a list showed that was read at the last order.
    ResumeStale,
    /// Undoes what a list showed that was read at the last order.
    UndoStale,
    /// Signs in to this organisation, as this person of it.
    SignIn(usize, u64),
    /// Puts a device into service again, by its button.
    Button(usize),
    /// Switches a device off and on, unless it works.
    Restart(usize),
}

/// How a network is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// As it is.
    Right,
    /// With a wrong passphrase.
    WrongPassphrase,
    /// One that is not there.
    Unseen,
    /// Not at all.
    Not,
}

impl Scene {
    /// These sound devices, two sound clouds, and nobody who does anything yet.
    pub fn of(devices: impl IntoIterator<Item = DeviceSpec>) -> Self {
        Self {
            devices: devices.into_iter().collect(),
            orders: Vec::new(),
            clouds: [CloudSpec::sound(), CloudSpec::sound()],
            identity: IdentityPolicy::WhenOffered,
            prefetch: true,
            hears_of_radio: true,
        }
    }

    /// One of all scenes, and what it is about.
    pub fn random(random: &mut Random) -> (Self, Theme) {
        let theme = match random.below(100) {
            0..40 => Theme::Any,
            40..55 => Theme::Hostile,
            55..67 => Theme::Retiring,
            67..77 => Theme::Namesakes,
            77..92 => Theme::Recovery,
            _ => Theme::Deaf,
        };
        let mut scene = Self::any(random);
        match theme {
            Theme::Hostile => {
                let device = &mut scene.devices[0];
                device.turns = device.turns.or_else(|| Some(turn(random, 0)));
                device.identity |= device.turns.is_some_and(Turn::is_of_identity);
                device.certified = false;
            }
            Theme::Retiring => {
                for cloud in &mut scene.clouds {
                    cloud.life = *random.one_of(&[95, 110, 130, 150]);
                }
                if let Some(Order {
                    what: What::Commission { network, .. },
                    ..
                }) = scene.orders.first_mut()
                {
                    *network = *random.one_of(&[Given::Not, Given::Unseen]);
                }
                scene.prefetch = true;
                scene.identity = IdentityPolicy::WhenOffered;
                scene.devices[0].claims = true;
            }
            Theme::Namesakes => {
                if scene.devices.len() < 2 {
                    scene.devices.push(DeviceSpec::random(random, 1));
                }
                scene.devices[1].name = scene.devices[0].name;
                for order in &mut scene.orders {
                    if let What::Commission { label, .. } = &mut order.what {
                        *label = random.below(2);
                    }
                }
            }
            Theme::Any | Theme::Recovery | Theme::Deaf => {}
        }
        (scene, theme)
    }

    fn any(random: &mut Random) -> Self {
        let kind = random.below(10);
        let mut devices = vec![DeviceSpec::random(random, 0)];
        if kind >= 5 {
            devices.push(DeviceSpec::random(random, 1));
        }
        if kind == 9 {
            devices.push(DeviceSpec::random(random, 2));
        }
        if devices.len() > 1 {
            if random.percent(50) {
                devices[1].name = devices[0].name;
            }
            if random.percent(25) {
                // A clone: what it says of itself is the other's, its key is its own.
                devices[1].serial = devices[0].serial;
                devices[1].pop = if random.percent(50) { devices[0].pop } else { 1 };
                devices[1].certified = false;
                devices[1].enrolled_in = None;
            }
        }
        let two = random.percent(30);
        let clouds = [CloudSpec::random(random), CloudSpec::random(random)];
        Self {
            orders: orders(random, &devices, two),
            devices,
            clouds,
            identity: *random.one_of(&[
                IdentityPolicy::WhenOffered,
                IdentityPolicy::WhenOffered,
                IdentityPolicy::Required,
                IdentityPolicy::Off,
            ]),
            prefetch: random.percent(70),
            hears_of_radio: random.percent(60),
        }
    }
}

impl DeviceSpec {
    /// A sound device that has not been anywhere.
    pub const fn sound(number: u8) -> Self {
        Self {
            serial: number,
            key: number,
            name: number,
            pop: number,
            scheme: 2,
            identity: true,
            certified: false,
            claims: true,
            self_enrolling: false,
            retry_in_place: true,
            keep_link: true,
            enrol_status: true,
            auto_stop: false,
            claim_session_named: false,
            enrolled_in: None,
            turns: None,
        }
    }

    fn random(random: &mut Random, number: u8) -> Self {
        let auto_stop = random.percent(40);
        let identity = random.percent(80);
        let certified = identity && random.percent(30);
        let self_enrolling = random.percent(5);
        let turns = random.percent(5).then(|| turn(random, number));
        Self {
            scheme: if random.percent(85) { 2 } else { 1 },
            identity,
            certified: certified && !matches!(turns, Some(Turn::Serial(_) | Turn::Key(_))),
            claims: random.percent(95),
            self_enrolling,
            retry_in_place: random.percent(75),
            keep_link: !auto_stop && random.percent(60),
            enrol_status: random.percent(60),
            auto_stop,
            claim_session_named: random.percent(20),
            enrolled_in: random.percent(40).then(|| random.below(8) / 7),
            turns,
            ..Self::sound(number)
        }
    }
}

impl CloudSpec {
    /// A sound cloud.
    pub const fn sound() -> Self {
        Self {
            strict: true,
            knows_keys: true,
            tells: Tells::Credential,
            life: 300,
        }
    }

    fn random(random: &mut Random) -> Self {
        Self {
            strict: random.percent(50),
            knows_keys: random.percent(70),
            tells: match random.below(20) {
                0 | 1 => Tells::Nothing,
                2..=6 => Tells::Own,
                _ => Tells::Credential,
            },
            life: *random.one_of(&[100, 150, 300, 300, 900]),
        }
    }
}

fn turn(random: &mut Random, number: u8) -> Turn {
    *random.one_of(&[
        Turn::Serial(100),
        Turn::Serial(1 - number.min(1)),
        Turn::Key(101),
        Turn::Mute,
        Turn::Scheme(1),
        Turn::Weak(1),
        Turn::Firmware,
    ])
}

impl Turn {
    const fn is_of_identity(self) -> bool {
        matches!(self, Self::Serial(_) | Self::Key(_) | Self::Mute | Self::Firmware)
    }
}

fn orders(random: &mut Random, devices: &[DeviceSpec], two: bool) -> Vec<Order> {
    let mut orders = Vec::new();
    let many = 1 + random.below(4);
    for number in 0..many {
        let program = if two { random.below(2) } else { 0 };
        let when = if number == 0 || random.percent(60) {
            When::Idle
        } else {
            When::After(*random.one_of(&[10, 500, 3_000, 10_000, 30_000, 120_000]))
        };
        let what = if number == 0 || random.percent(45) {
            let device = random.below(devices.len());
            let label = if random.percent(85) {
                device
            } else {
                random.below(devices.len())
            };
            let purpose = match (devices[device].enrolled_in, number) {
                (None, 0) if random.percent(90) => Purpose::New,
                _ => *random.one_of(&[Purpose::Service, Purpose::Transfer, Purpose::New]),
            };
            What::Commission {
                device,
                label,
                purpose,
                serial: random.percent(70),
                network: *random.one_of(&[
                    Given::Right,
                    Given::Right,
                    Given::Right,
                    Given::Right,
                    Given::WrongPassphrase,
                    Given::Unseen,
                    Given::Not,
                ]),
            }
        } else {
            match random.below(10) {
                0..=2 => What::Resume,
                3 | 4 => What::Undo,
                5 => What::ResumeStale,
                6 => What::UndoStale,
                7 | 8 => What::SignIn(random.below(2), random.between(0, 1)),
                _ => What::Button(random.below(devices.len())),
            }
        };
        orders.push(Order { when, program, what });
    }
    orders
}
