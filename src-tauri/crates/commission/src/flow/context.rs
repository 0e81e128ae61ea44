//! What all stages of one job share: the order in which things are written down and done, the open question, and
//! the facts that outlive a stage. It moves things along; what comes next is for the stages to say.
//!
//! Intentions stand in one queue. A record stops the queue until it is on disk, so that nothing behind it happens
//! before; notes (records with no effect behind them) go out in the gaps, always before the next such record.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use crate::device::{Fingerprint, Identity, IdentityFault, Serial};
use crate::dialect::{Capabilities, Command, Report};
use crate::evidence::{Evidence, Fact, Snapshot, Source};
use crate::fault::Fault;
use crate::gatt::PeripheralId;
use crate::network::Network;
use crate::proven::{ProvenIdentity, ProvenKeys};
use crate::secret::{Entropy, Pop};
use crate::time::Moment;

use super::cloud::{Lookup, Releasing, Retiring, SwitchOff};
use super::io::{Action, Answer, Event, Outcome, OutcomeRecord, Plan, Question, Stage, Step};
use super::link::{Dialects, Link};
use super::purse::Purse;
use super::watch::Watch;

/// What a stage hears.
#[derive(Debug)]
pub(super) enum Signal {
    /// The link is up.
    Linked,
    /// There is no link any more, or it did not come about.
    Lost(Fault),
    /// A command ended.
    Report(Report),
    /// Another device of the same name is there, or none.
    Another(Option<PeripheralId>),
    /// The proof of identity is checked.
    Checked(Result<ProvenIdentity, IdentityFault>),
    /// A person answered the question, fittingly.
    Answer(Answer),
    /// Something came from the cloud; it stands in the context.
    News,
    /// Time went on.
    Tick,
    /// The claim got too old while it waited for its turn.
    Stale,
    /// The job must end for this reason.
    Stop(Fault),
}

/// Something to be done when its turn comes.
#[derive(Debug)]
pub(super) enum Intent {
    /// Write down, and wait for it.
    Record(Step),
    /// Have the caller do it.
    Act(Action),
    /// Tell the device.
    Command(Command),
    /// Challenge the device.
    Challenge,
    /// Send the claim in the purse, if it still lives long enough.
    SendClaim,
    /// End.
    Finish(Outcome),
}

impl Intent {
    /// Whether it needs the link.
    pub(super) fn is_for_device(&self) -> bool {
        matches!(self, Self::Command(_) | Self::Challenge | Self::SendClaim)
    }
}

/// See the module.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each of which a stage asks by its name"
)]
pub(super) struct Context {
    pub(super) plan: Plan,
    pub(super) dialects: Box<dyn Dialects>,
    /// The time of the call under way.
    pub(super) now: Moment,
    pub(super) stage: Stage,
    pub(super) intents: VecDeque<Intent>,
    notes: VecDeque<Step>,
    /// A record is on its way to the disk.
    pub(super) recording: bool,
    pub(super) actions: VecDeque<Action>,
    pub(super) events: VecDeque<Event>,
    pub(super) signals: VecDeque<Signal>,
    pub(super) finished: bool,

    pub(super) link: Link,
    /// A batch gives out the links.
    pub(super) in_batch: bool,
    pub(super) may_link: bool,
    /// Attempts to link since a person or an applied setting last made a new start.
    pub(super) link_tries: u8,

    pub(super) question: Option<(Question, Moment)>,
    pub(super) capabilities: Capabilities,
    /// Devices of the same name that turned out to be others.
    pub(super) tried: Vec<PeripheralId>,
    /// The PoP to use, as the plan or a person said.
    pub(super) pop: Option<Pop>,
    pub(super) wrong_pops: u8,
    pub(super) identity: Option<Identity>,
    /// The key that the device has proved over any link of the job, those of earlier runs included.
    pub(super) proven_key: Option<Fingerprint>,
    /// The keys by which it proved that.
    pub(super) keys: Option<ProvenKeys>,
    /// Answers to come about proofs of a session that has ended.
    pub(super) stale_checks: u8,
    /// The device takes no claim, and the policy gives it Wi-Fi only.
    pub(super) plain: bool,
    /// What the cloud knew when the device was accepted.
    pub(super) before: Option<Snapshot>,
    pub(super) network: Option<Network>,
    /// Nothing speaks against the network any more, or a person said to go on.
    pub(super) network_settled: bool,
    /// The device holds settings that it must forget first.
    pub(super) needs_reset: bool,
    /// It was found out whether the device still holds settings of an earlier job.
    pub(super) looked: bool,
    /// A scan that the device's stack refused was tried again over a fresh link.
    pub(super) scan_relinked: bool,
    /// The device holds settings of an earlier job and does not forget them.
    pub(super) held: bool,
    /// Refused settings were reset by ourselves once, without asking anybody.
    pub(super) reset_tried: bool,
    /// Settings were, or may have been, applied, and the device has not forgotten them since.
    pub(super) applied: bool,
    /// Settings were, or may have been, applied at some time: whatever the device says of itself, the cloud has the
    /// last word on how that ended.
    pub(super) ever_applied: bool,
    /// The device said that it has an address.
    pub(super) joined: bool,
    /// When to settle what a link lost after apply has left open.
    pub(super) settle_by: Option<Moment>,

    pub(super) lookup: Lookup,
    pub(super) purse: Purse,
    pub(super) claims_asked: u8,
    pub(super) retiring: Retiring,
    pub(super) watch: Watch,
    pub(super) off: SwitchOff,
    pub(super) releasing: Releasing,
}

impl Context {
    pub(super) fn new(plan: Plan, dialects: Box<dyn Dialects>) -> Self {
        Self {
            pop: plan.pop.clone().filter(|pop| !pop.is_empty()),
            network: plan.network.clone(),
            plan,
            dialects,
            now: Moment::default(),
            stage: Stage::Found,
            intents: VecDeque::new(),
            notes: VecDeque::new(),
            recording: false,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            signals: VecDeque::new(),
            finished: false,
            link: Link::None,
            in_batch: false,
            may_link: true,
            link_tries: 0,
            question: None,
            capabilities: Capabilities::default(),
            tried: Vec::new(),
            wrong_pops: 0,
            identity: None,
            proven_key: None,
            keys: None,
            stale_checks: 0,
            plain: false,
            before: None,
            network_settled: false,
            needs_reset: false,
            looked: false,
            scan_relinked: false,
            held: false,
            reset_tried: false,
            applied: false,
            ever_applied: false,
            joined: false,
            settle_by: None,
            lookup: Lookup::default(),
            purse: Purse::default(),
            claims_asked: 0,
            retiring: Retiring::default(),
            watch: Watch::default(),
            off: SwitchOff::default(),
            releasing: Releasing::default(),
        }
    }

    /// A stage begins. Going through the first ones again to find out how a join went is no new beginning of them.
    pub(super) fn enter(&mut self, stage: Stage) {
        let looking_back = self.applied && stage < Stage::Joining;
        if stage != self.stage && !looking_back {
            self.stage = stage;
            self.events.push_back(Event::Stage(stage));
        }
    }

    /// Writes down before everything that is asked for after this.
    pub(super) fn record(&mut self, step: Step) {
        self.flush_notes();
        self.intents.push_back(Intent::Record(step));
    }

    /// Writes down when there is a gap.
    pub(super) fn note(&mut self, step: Step) {
        self.notes.push_back(step);
    }

    /// Tells a fact to the view.
    pub(super) fn tell(&mut self, fact: Fact, source: Source) {
        let evidence = Evidence {
            fact,
            source,
            at: None,
        };
        self.events.push_back(Event::Evidence(evidence));
    }

    /// Tells what the device just said, to the view and the journal.
    pub(super) fn keep_word(&mut self, fact: Fact) {
        self.keep(Evidence {
            fact,
            source: Source::Device,
            at: None,
        });
    }

    /// Tells a fact to the view and the journal.
    pub(super) fn keep(&mut self, evidence: Evidence) {
        self.note(Step::Evidence {
            evidence: evidence.clone(),
        });
        self.events.push_back(Event::Evidence(evidence));
    }

    /// Has the caller do something, after all that has to be written down before.
    pub(super) fn act(&mut self, action: Action) {
        self.intents.push_back(Intent::Act(action));
    }

    /// Tells the device something, after all that has to be written down before.
    pub(super) fn command(&mut self, command: Command) {
        self.intents.push_back(Intent::Command(command));
    }

    /// Asks the person.
    pub(super) fn ask(&mut self, question: Question) {
        let deadline = self.now + self.plan.limits.question;
        self.events.push_back(Event::Question(question.clone()));
        self.question = Some((question, deadline));
    }

    /// Takes an answer if it fits the open question.
    pub(super) fn answer(&mut self, answer: Answer) {
        let Some((question, _)) = &self.question else {
            return;
        };
        let fits = match (&answer, question) {
            (Answer::Pop { pop, .. }, Question::Pop { .. }) => !pop.is_empty(),
            (Answer::Network(_), Question::Pop { .. }) => false,
            (Answer::Network(_) | Answer::Skip | Answer::Nobody, _)
            | (Answer::Passphrase(_), Question::Passphrase { .. })
            | (Answer::GoOn, Question::NetworkDoubt(_)) => true,
            _ => false,
        };
        if !fits {
            return;
        }
        let asked = self.asked();
        self.close_question();
        self.link_tries = 0;
        self.signals.push_back(match answer {
            Answer::Skip => Signal::Stop(Fault::Cancelled(asked)),
            Answer::Nobody => Signal::Stop(Fault::Unanswered(asked)),
            answer => Signal::Answer(answer),
        });
    }

    /// Why the open question was asked.
    pub(super) fn asked(&self) -> Option<Box<Fault>> {
        let (question, _) = self.question.as_ref()?;
        question.fault().cloned().map(Box::new)
    }

    /// The question no longer stands.
    pub(super) fn close_question(&mut self) {
        if self.question.take().is_some() {
            self.events.push_back(Event::QuestionOver);
        }
    }

    /// The serial that is known for now: the proven one before that of the label.
    pub(super) fn serial(&self) -> Option<&Serial> {
        self.identity
            .as_ref()
            .map(|identity| &identity.serial)
            .or(self.plan.serial.as_ref())
    }

    /// Forgets what was to be told to the device.
    pub(super) fn forget_commands(&mut self) {
        self.intents.retain(|intent| !intent.is_for_device());
    }

    /// Forgets all that has not been begun and would only make new things.
    pub(super) fn withdraw(&mut self) {
        self.forget_commands();
        self.withdraw_claim();
        self.off.withdraw(&mut self.intents);
        self.releasing.withdraw(&mut self.intents);
    }

    /// Asks for another device of the same name, since this one seems to be the wrong one.
    pub(super) fn find_another(&mut self) {
        let mut tried = self.tried.clone();
        tried.push(self.plan.peripheral.clone());
        self.act(Action::FindAnother {
            name: self.plan.name.clone(),
            tried,
        });
    }

    /// Turns to another device of the same name: what is known of the first says nothing about it.
    pub(super) fn turn_to(&mut self, other: PeripheralId, why: Fault) {
        let first = core::mem::replace(&mut self.plan.peripheral, other);
        self.tried.push(first);
        self.capabilities = Capabilities::default();
        self.looked = false;
        self.link_tries = 0;
        self.unlink();
        self.record(Step::started(&self.plan));
        let attempt = u8::try_from(self.tried.len() + 1).unwrap_or(u8::MAX);
        self.events.push_back(Event::Retrying { fault: why, attempt });
    }

    /// Ends the job: the journal first, then the person.
    pub(super) fn finish(&mut self, outcome: Outcome) {
        self.unlink();
        self.close_question();
        self.record(Step::Finished {
            outcome: OutcomeRecord::from(&outcome),
        });
        self.intents.push_back(Intent::Finish(outcome));
    }

    /// The journal is broken, so nothing may be done any more: ends with what is known.
    pub(super) fn journal_failed(&mut self, words: String) {
        let decided = self.intents.iter().find_map(|intent| match intent {
            Intent::Finish(outcome) => Some(outcome.clone()),
            _ => None,
        });
        self.withdraw();
        self.unlink();
        self.close_question();
        let (stage, fault) = (self.stage, Fault::Journal(words));
        let outcome = decided.unwrap_or(if self.ever_applied {
            Outcome::Unknown { stage, fault }
        } else {
            let undone = self.nothing_left();
            Outcome::Failed { stage, fault, undone }
        });
        self.end(outcome);
    }

    /// Whether nothing of ours is left in the cloud, as far as is known.
    pub(super) fn nothing_left(&self) -> bool {
        matches!(self.purse, Purse::Empty | Purse::Wanted | Purse::Refused(_)) && self.retiring.is_clean()
    }

    /// Moves one thing along; false when everything waits for the outside.
    pub(super) fn pump(&mut self, entropy: &mut dyn Entropy) -> bool {
        if self.finished {
            return false;
        }
        if !self.recording
            && let Some(intent) = self.intents.pop_front()
        {
            self.execute(intent, entropy);
            return true;
        }
        if self.pump_client() || self.pump_cloud(entropy) {
            return true;
        }
        if !self.recording
            && self.intents.is_empty()
            && let Some(step) = self.notes.pop_front()
        {
            self.write(step);
            return true;
        }
        self.pump_link()
    }

    fn execute(&mut self, intent: Intent, entropy: &mut dyn Entropy) {
        match intent {
            Intent::Record(step) => self.write(step),
            Intent::Act(action) => self.actions.push_back(action),
            Intent::Command(command) => self.begin(command, entropy),
            Intent::Challenge => {
                let mut challenge = [0; 32];
                entropy.fill(&mut challenge);
                self.begin(Command::Identify { challenge }, entropy);
            }
            Intent::SendClaim => match self.claim_to_send() {
                Some(command) => self.begin(command, entropy),
                None => self.signals.push_back(Signal::Stale),
            },
            Intent::Finish(outcome) => self.end(outcome),
        }
    }

    fn write(&mut self, step: Step) {
        self.recording = true;
        self.actions.push_back(Action::Record(step));
    }

    fn flush_notes(&mut self) {
        self.intents.extend(self.notes.drain(..).map(Intent::Record));
    }

    fn end(&mut self, outcome: Outcome) {
        self.finished = true;
        self.intents.clear();
        self.notes.clear();
        self.signals.clear();
        self.purse = Purse::Empty;
        self.forget_secrets();
        self.events.push_back(Event::Finished(outcome));
    }

    fn forget_secrets(&mut self) {
        self.pop = None;
        self.network = None;
        self.plan.pop = None;
        self.plan.network = None;
    }

    /// All moments at which something of the context becomes overdue.
    pub(super) fn timeout(&self) -> Option<Moment> {
        let limits = &self.plan.limits;
        if self.finished {
            return self.link.timeout();
        }
        let question = self.question.as_ref().map(|(_, deadline)| *deadline);
        [
            self.link.timeout(),
            question,
            self.lookup.timeout(limits),
            self.purse.timeout(limits),
            self.retiring.timeout(limits),
            self.watch.timeout(limits),
            self.off.timeout(limits),
            self.releasing.timeout(limits),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Ends what is overdue.
    pub(super) fn lapse(&mut self) {
        self.lapse_link();
        if self.finished {
            return;
        }
        if self
            .question
            .as_ref()
            .is_some_and(|(_, deadline)| self.now >= *deadline)
        {
            let asked = self.asked();
            self.close_question();
            self.signals.push_back(Signal::Stop(Fault::Unanswered(asked)));
        }
        self.lapse_cloud();
        self.signals.push_back(Signal::Tick);
    }

    /// Networks that the device sees, for a person.
    pub(super) fn tell_networks(&mut self, seen: &[crate::network::SeenNetwork]) {
        self.events.push_back(Event::Networks(Vec::from(seen)));
    }
}
