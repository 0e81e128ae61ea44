//! What must be true in every history. Each rule is checked against the world, never against what the flow believes,
//! and counts how often it was put to the test.

/// A rule, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Rule {
    /// A device called done works with exactly one active credential, the named one.
    DoneIsDone,
    /// What was called undone is undone, and what was active before is as it was.
    UndoneIsUndone,
    /// What is live in a cloud stands in the journal of a job that runs or is open.
    NothingIsForgotten,
    /// A service visit switches nothing off that a device works with.
    ServiceKeepsOneWorking,
    /// On a change of owner nothing old is active when a claim is asked for, and nothing when it is done.
    OldBeforeNew,
    /// A claim is asked for only for a device whose identity the policy accepted, and for what it proved first.
    ClaimForTheAccepted,
    /// A claim goes only to the device that it was asked for.
    ClaimToTheAccepted,
    /// Passphrase and claim go only over a session whose proof of possession is proven.
    SecretsToTheProven,
    /// Nothing that helps to guess the proof of possession goes to a device that offers less than its label says.
    NoDowngrade,
    /// No device is told wrong proofs of possession so often that it locks.
    NoLockOut,
    /// A claim is sent with life enough.
    ClaimLives,
    /// Recovery never takes a working device off its network.
    RecoveryKeepsTheNetwork,
    /// Recovery touches nothing that a later job brought to its end.
    DoneStaysDone,
    /// A job's calls go to the organisation that it belongs to.
    OwnOrganisation,
    /// A job's calls and entries are made by the person who began this run of it.
    OwnPerson,
    /// What the journal says that was done in a cloud was done there.
    JournalIsTrue,
    /// Every job ends, in bounded time and steps.
    EveryJobEnds,
    /// Once nothing goes wrong any more, a job whose claims are all dead and led to nothing is settled when it is taken up.
    LeftoversEnd,
    /// An adapter that is off for a while ends no job.
    DeafnessEndsNothing,
    /// Actions and commands come in their order, and none after the end.
    InOrder,
}

/// All rules.
pub const RULES: [Rule; 20] = [
    Rule::DoneIsDone,
    Rule::UndoneIsUndone,
    Rule::NothingIsForgotten,
    Rule::ServiceKeepsOneWorking,
    Rule::OldBeforeNew,
    Rule::ClaimForTheAccepted,
    Rule::ClaimToTheAccepted,
    Rule::SecretsToTheProven,
    Rule::NoDowngrade,
    Rule::NoLockOut,
    Rule::ClaimLives,
    Rule::RecoveryKeepsTheNetwork,
    Rule::DoneStaysDone,
    Rule::OwnOrganisation,
    Rule::OwnPerson,
    Rule::JournalIsTrue,
    Rule::EveryJobEnds,
    Rule::LeftoversEnd,
    Rule::DeafnessEndsNothing,
    Rule::InOrder,
];

/// How a rule was broken.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Which.
    pub rule: Rule,
    /// How.
    pub how: String,
}

/// The rules of one history.
#[derive(Debug, Default)]
pub struct Rules {
    checked: [u64; RULES.len()],
    broken: Vec<Broken>,
    ignored: Vec<Rule>,
}

impl Rules {
    /// All but these, which are counted and never broken.
    pub fn without(ignored: &[Rule]) -> Self {
        Self {
            ignored: ignored.to_vec(),
            ..Self::default()
        }
    }

    /// Holds a rule against the world.
    pub fn hold(&mut self, rule: Rule, holds: bool, how: impl FnOnce() -> String) {
        self.checked[rule as usize] += 1;
        if !holds && !self.ignored.contains(&rule) {
            self.broken.push(Broken { rule, how: how() });
        }
    }

    /// The first that was broken.
    pub fn broken(&self) -> Option<&Broken> {
        self.broken.first()
    }

    /// How often each was put to the test, in the order of [`RULES`].
    pub const fn checked(&self) -> &[u64; RULES.len()] {
        &self.checked
    }
}
