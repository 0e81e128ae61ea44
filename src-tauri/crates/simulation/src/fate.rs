//! What goes wrong, and where. Every place in a history where something can go wrong asks its [`Fate`], which throws
//! dice or follows a script; what it gave can be played again, and shortened.

use std::collections::BTreeMap;

use crate::random::Random;

/// A place where something can go wrong. Each counts its visits from 1, over the whole history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The journal is written.
    Write(Entry),
    /// The cloud is called.
    Call(Call),
    /// A device is connected to.
    Connect,
    /// An operation of this command reaches the device.
    Command(Kind),
    /// A person is asked.
    Question,
    /// A proof of identity is checked.
    Check,
    /// The device does something by itself.
    Deed(Deed),
}

/// What a history is about, so that what is rare by chance alone is looked for as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Anything.
    Any,
    /// A device turns out to be another over a later link.
    Hostile,
    /// Claims grow old and are taken back, and the answers to that come late.
    Retiring,
    /// Devices share a name, and people hold the wrong label.
    Namesakes,
    /// Programs die and others take up what they left.
    Recovery,
    /// The laptop sleeps and the adapter goes.
    Deaf,
}

/// Entries of the journal without their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// The beginning.
    Started,
    /// A link, settings or the snapshot: nothing in a cloud changes.
    Other,
    /// A claim is asked for.
    Claiming,
    /// A claim came.
    Claimed,
    /// A claim is sent.
    SendingClaim,
    /// Settings are applied.
    Applying,
    /// Settings are reset.
    Resetting,
    /// A fact.
    Evidence,
    /// A credential is switched off.
    Deactivating,
    /// The device is released.
    Releasing,
    /// A claim is undone.
    Retiring,
    /// It is undone.
    Retired,
    /// The end.
    Finished,
}

/// Calls to a cloud without their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// What does it know of a device.
    Snapshot,
    /// A claim is asked for.
    Issue,
    /// How is the enrolment.
    Observe,
    /// A claim is undone.
    Retire,
    /// A credential is switched off.
    Deactivate,
    /// A device is released.
    Release,
}

/// Commands to a device without their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What can it do.
    Describe,
    /// Open the session.
    Open,
    /// Prove the identity.
    Identify,
    /// Look for networks.
    Scan,
    /// Take settings.
    SetNetwork,
    /// Take a claim.
    SendClaim,
    /// Wipe the claim.
    AbortClaim,
    /// Apply the settings.
    Apply,
    /// How is the join.
    JoinStatus,
    /// How is the enrolment.
    EnrolStatus,
    /// Forget the settings.
    ResetNetwork,
}

/// What a device does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// It joins its network.
    Join,
    /// It reaches the cloud with its claim.
    Reach,
    /// It registers.
    Register,
    /// It comes online with its credential.
    Online,
}

/// What goes wrong. Numbers are seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The program dies; what it was writing is on disk, or not.
    Crash(bool),
    /// The disk is full.
    DiskFull,
    /// The person stops the job.
    Cancel,
    /// The laptop sleeps.
    Sleep(u32),
    /// The adapter is off.
    AdapterOff(u32),

    /// The link ends before the device has it.
    LostBefore,
    /// The device has it; its answer is lost with the link.
    LostAfter,
    /// Nothing comes back.
    Silence,
    /// The stack refuses, and the link stays.
    Att,
    /// The device is out of reach.
    OutOfReach,
    /// The stack is busy.
    Busy,

    /// The cloud cannot be reached.
    NoRoute,
    /// The session has ended.
    SignedOut,
    /// Too many calls.
    Throttled(u32),
    /// It refuses for a reason of its own.
    Refused,
    /// The call never arrives, and nobody says so.
    Unheard,
    /// It is done; instead of the answer comes that the cloud cannot be reached.
    AnswerLost,
    /// It is done, and nothing ever comes back.
    Unanswered,
    /// It is done, and the answer cannot be read.
    Garbled,
    /// It is done, and the answer comes late.
    Late(u32),
    /// It is done late, and answered then.
    Slow(u32),
    /// The answer comes twice, the second time late.
    Doubled(u32),

    /// The person answers wrongly.
    Mistypes,
    /// The person gives the device up.
    Skips,
    /// Nobody answers.
    Nobody,
    /// The person takes long.
    Hesitates(u32),

    /// It does not go well.
    Fails,
    /// It takes longer.
    Delays(u32),
    /// The device stops there for good.
    Stops,
    /// The device restarts there.
    Reboots,
    /// Somebody switches the credential off in that moment.
    SwitchedOff,
}

impl Trouble {
    /// Its kind, however long it lasts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash(true) => "crash, written",
            Self::Crash(false) => "crash, not written",
            Self::DiskFull => "disk full",
            Self::Cancel => "cancel",
            Self::Sleep(_) => "sleep",
            Self::AdapterOff(_) => "adapter off",
            Self::LostBefore => "link lost before",
            Self::LostAfter => "link lost after",
            Self::Silence => "silence",
            Self::Att => "ATT error",
            Self::OutOfReach => "out of reach",
            Self::Busy => "busy",
            Self::NoRoute => "no route",
            Self::SignedOut => "signed out",
            Self::Throttled(_) => "throttled",
            Self::Refused => "refused",
            Self::Unheard => "unheard",
            Self::AnswerLost => "answer lost",
            Self::Unanswered => "unanswered",
            Self::Garbled => "garbled",
            Self::Late(_) => "late",
            Self::Slow(_) => "slow",
            Self::Doubled(_) => "doubled",
            Self::Mistypes => "mistyped",
            Self::Skips => "skipped",
            Self::Nobody => "nobody",
            Self::Hesitates(_) => "hesitation",
            Self::Fails => "fails",
            Self::Delays(_) => "delay",
            Self::Stops => "stops",
            Self::Reboots => "restart",
            Self::SwitchedOff => "switched off",
        }
    }
}

/// A trouble at its place, at the so-manieth visit.
pub type Mishap = (Place, u32, Trouble);

/// How rough a history is.
#[derive(Clone, Debug)]
struct Climate {
    /// Of ten thousand visits to places, how many go wrong.
    rate: u64,
    /// One place where more goes wrong.
    focus: Option<(Place, u64)>,
    /// Of a hundred troubles, how many are the program's or the person's, wherever they happen.
    acts: u64,
    /// With how much of it, of a hundred.
    theme: (Theme, u64),
}

/// Says what goes wrong.
#[derive(Debug)]
pub struct Fate {
    script: BTreeMap<(Place, u32), Trouble>,
    dice: Option<(Random, Climate)>,
    visits: BTreeMap<Place, u32>,
    fired: Vec<Mishap>,
}

impl Fate {
    /// Dice of this seed.
    pub fn dice(mut random: Random, theme: Theme) -> Self {
        let climate = Climate::new(&mut random, theme);
        Self {
            dice: Some((random, climate)),
            ..Self::script(&[])
        }
    }

    /// Exactly these, and nothing else.
    pub fn script(mishaps: &[Mishap]) -> Self {
        Self {
            script: mishaps
                .iter()
                .map(|(place, visit, trouble)| ((*place, *visit), *trouble))
                .collect(),
            dice: None,
            visits: BTreeMap::new(),
            fired: Vec::new(),
        }
    }

    /// Nothing goes wrong from here on.
    pub fn calm(&mut self) {
        self.dice = None;
        self.script.clear();
    }

    /// What has gone wrong.
    pub fn fired(&self) -> &[Mishap] {
        &self.fired
    }

    /// What goes wrong here, now.
    pub fn at(&mut self, place: Place) -> Option<Trouble> {
        let visit = self.visits.entry(place).or_default();
        *visit += 1;
        let visit = *visit;
        let trouble = match &mut self.dice {
            Some((random, climate)) => climate.throw(place, random),
            None => self.script.get(&(place, visit)).copied(),
        };
        self.fired.extend(trouble.map(|trouble| (place, visit, trouble)));
        trouble
    }
}

const PLACES: [Place; 24] = [
    Place::Write(Entry::Claiming),
    Place::Write(Entry::Claimed),
    Place::Write(Entry::SendingClaim),
    Place::Write(Entry::Applying),
    Place::Write(Entry::Resetting),
    Place::Write(Entry::Evidence),
    Place::Write(Entry::Deactivating),
    Place::Write(Entry::Retiring),
    Place::Write(Entry::Retired),
    Place::Write(Entry::Finished),
    Place::Call(Call::Snapshot),
    Place::Call(Call::Issue),
    Place::Call(Call::Observe),
    Place::Call(Call::Retire),
    Place::Call(Call::Deactivate),
    Place::Call(Call::Release),
    Place::Connect,
    Place::Command(Kind::SendClaim),
    Place::Command(Kind::Apply),
    Place::Command(Kind::JoinStatus),
    Place::Deed(Deed::Join),
    Place::Deed(Deed::Reach),
    Place::Deed(Deed::Register),
    Place::Deed(Deed::Online),
];

impl Climate {
    fn new(random: &mut Random, theme: Theme) -> Self {
        let rate = *random.one_of(&[0, 50, 100, 200, 400, 800, 2000]);
        let focus = random
            .percent(60)
            .then(|| (*random.one_of(&PLACES), *random.one_of(&[2000, 4000, 7000])));
        Self {
            rate,
            focus,
            acts: *random.one_of(&[10, 30, 50]),
            theme: (theme, *random.one_of(&[10, 25, 60])),
        }
    }

    fn throw(&self, place: Place, random: &mut Random) -> Option<Trouble> {
        let themed = random
            .percent(self.theme.1)
            .then(|| self.themed(place, random))
            .flatten();
        if themed.is_some() {
            return themed;
        }
        let rate = match self.focus {
            Some((focus, rate)) if focus == place => rate,
            _ => self.rate,
        };
        (random.next() % 10_000 < rate).then(|| self.pick(place, random))
    }

    /// What the theme wants here.
    fn themed(&self, place: Place, random: &mut Random) -> Option<Trouble> {
        match (self.theme.0, place) {
            (
                Theme::Hostile,
                Place::Command(Kind::Scan | Kind::SetNetwork | Kind::SendClaim | Kind::Apply),
            ) => Some(*random.one_of(&[Trouble::LostBefore, Trouble::LostAfter])),
            (Theme::Retiring, Place::Question) => Some(Trouble::Hesitates(seconds(random, 20, 110))),
            (Theme::Retiring, Place::Call(Call::Retire | Call::Deactivate)) => Some(match random.below(5) {
                0..=2 => Trouble::Late(seconds(random, 60, 80)),
                3 => Trouble::Unheard,
                _ => Trouble::Unanswered,
            }),
            (Theme::Retiring, Place::Write(Entry::SendingClaim) | Place::Command(Kind::SendClaim))
                if random.percent(40) =>
            {
                Some(Trouble::Cancel)
            }
            (Theme::Namesakes, Place::Command(Kind::Open)) => Some(Trouble::LostAfter),
            (Theme::Namesakes, Place::Check) => Some(Trouble::Late(seconds(random, 1, 70))),
            (Theme::Recovery, Place::Write(_)) if random.percent(15) => {
                Some(Trouble::Crash(random.percent(50)))
            }
            (Theme::Deaf, Place::Command(_)) if random.percent(15) => Some(if random.percent(50) {
                Trouble::AdapterOff(seconds(random, 1, 300))
            } else {
                Trouble::Sleep(*random.one_of(&[10, 60, 120, 600]))
            }),
            _ => None,
        }
    }

    fn pick(&self, place: Place, random: &mut Random) -> Trouble {
        let act = random.percent(self.acts) && !matches!(place, Place::Question | Place::Deed(_));
        if act || matches!(place, Place::Write(_)) {
            return match random.below(12) {
                0..=3 => Trouble::Crash(random.percent(50)),
                4..=7 => Trouble::Cancel,
                8 => Trouble::AdapterOff(seconds(random, 1, 120)),
                9 if matches!(place, Place::Write(_)) => Trouble::DiskFull,
                _ => Trouble::Sleep(*random.one_of(&[5, 40, 100, 200, 400, 1_800, 14_400])),
            };
        }
        match place {
            Place::Call(_) => match random.below(14) {
                0 => Trouble::NoRoute,
                1 => Trouble::SignedOut,
                2 => Trouble::Throttled(seconds(random, 1, 90)),
                3 => Trouble::Refused,
                4 => Trouble::Unheard,
                5 | 6 => Trouble::AnswerLost,
                7 => Trouble::Unanswered,
                8 => Trouble::Garbled,
                9 | 10 => Trouble::Late(seconds(random, 1, 150)),
                11 | 12 => Trouble::Slow(seconds(random, 1, 25)),
                _ => Trouble::Doubled(seconds(random, 1, 90)),
            },
            Place::Check => Trouble::Late(seconds(random, 1, 90)),
            Place::Connect => *random.one_of(&[Trouble::OutOfReach, Trouble::Busy, Trouble::Silence]),
            Place::Command(_) => *random.one_of(&[
                Trouble::LostBefore,
                Trouble::LostAfter,
                Trouble::Silence,
                Trouble::Att,
            ]),
            Place::Question => match random.below(4) {
                0 => Trouble::Mistypes,
                1 => Trouble::Skips,
                2 => Trouble::Nobody,
                _ => Trouble::Hesitates(seconds(random, 5, 250)),
            },
            Place::Deed(_) | Place::Write(_) => match random.below(6) {
                0 => Trouble::Fails,
                1 | 2 => Trouble::Delays(*random.one_of(&[3, 10, 30, 60, 100, 300])),
                3 => Trouble::Stops,
                4 => Trouble::Reboots,
                _ => Trouble::SwitchedOff,
            },
        }
    }
}

fn seconds(random: &mut Random, from: u64, to: u64) -> u32 {
    u32::try_from(random.between(from, to)).unwrap_or(1)
}
