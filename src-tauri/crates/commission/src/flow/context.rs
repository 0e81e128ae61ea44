//! What all stages of one job share: the order in which things are written down and done, the open question, and
//! the facts that outlive a stage. It moves things along; what comes next is for the stages to say.
//!
//! Intentions stand in one queue. A record stops the queue until it is on disk, so that nothing behind it happens
//! before; notes (records with no effect behind them) go out in the gaps, always before the next such record.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::claim::CleanupHandle;
use crate::device::{Identity, IdentityFault, Serial};
use crate::dialect::{Capabilities, Command, Report};
use crate::evidence::{Evidence, Fact, Snapshot, Source};
use crate::fault::Fault;
use crate::gatt::PeripheralId;
use crate::mending::{Kind, holds};
use crate::network::Network;
use crate::policy::Least;
use crate::proven::{ProvenIdentity, ProvenKeys};
use crate::secret::{Entropy, Pop};
use crate::time::Moment;
use uuid::Uuid;

use super::cloud::{Lookup, Releasing};
use super::io::{
    Action, Answer, CallId, Event, Namesake, Outcome, OutcomeRecord, Plan, Question, QuestionId, Stage, Step,
};
use super::link::{Dialects, Link, Radio};
use super::purse::Purse;
use super::reclaiming::Reclaiming;
use super::retiring::Retiring;
use super::switching_off::SwitchOff;
use super::watch::Watch;

/// Wrong PoPs after which a device is not tried by itself any more with the label of another: firmware that counts stops
/// at five, and its own person still needs some.
const MOST_ON_NAMESAKE: u8 = 2;

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
    Another(Option<Namesake>),
    /// The proof of identity is checked.
    Checked(CallId, Result<ProvenIdentity, IdentityFault>),
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
    Act(CallId, Action),
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

/// A change outside that was asked for and whose answer has not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// A claim may have been issued under this key.
    Issue(Uuid),
    /// A claim may have been undone.
    Retire(CleanupHandle),
    /// This credential may be off.
    Deactivate(String),
    /// The device may have been released.
    Release,
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
    /// The record on its way to the disk.
    pub(super) recording: Option<CallId>,
    pub(super) actions: VecDeque<(CallId, Action)>,
    calls: u32,
    questions: u32,
    /// Changes outside whose answer has not come, however late it is: it is still about what was asked for.
    pub(super) pending: BTreeMap<CallId, Effect>,
    pub(super) events: VecDeque<Event>,
    pub(super) signals: VecDeque<Signal>,
    pub(super) finished: bool,

    pub(super) link: Link,
    pub(super) radio: Radio,
    /// A batch gives out the links.
    pub(super) in_batch: bool,
    pub(super) may_link: bool,
    /// Attempts to link since a person or an applied setting last made a new start.
    pub(super) link_tries: u8,

    pub(super) question: Option<(QuestionId, Question, Moment)>,
    pub(super) capabilities: Capabilities,
    /// Devices of the same name that turned out to be others.
    pub(super) tried: Vec<PeripheralId>,
    /// The search for another device of the same name that is under way.
    pub(super) searching: Option<(CallId, Moment)>,
    /// The PoP to use, as the plan or a person said.
    pub(super) pop: Option<Pop>,
    /// Wrong PoPs of this job: rounds over all devices of the name.
    pub(super) wrong_pops: u8,
    /// Wrong PoPs that the present device was sent, by this job and by earlier ones.
    pub(super) refusals: u8,
    /// PoPs that this job sent the present device and that were not proven: refused, or never answered.
    pub(super) unproven: u8,
    /// The same of the other devices of the name.
    sent: BTreeMap<PeripheralId, u8>,
    /// What is known of the device's protection: what was offered once is demanded from then on.
    pub(super) least: Least,
    pub(super) identity: Option<Identity>,
    /// What the device has proved over any link of the job, those of earlier runs included.
    pub(super) bound: Option<Identity>,
    /// The keys by which it proved that.
    pub(super) keys: Option<ProvenKeys>,
    /// The maker that vouches for them.
    pub(super) vouched_by: Option<String>,
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
    /// The device said over this link that it is in no network.
    pub(super) stranded: bool,
    /// An earlier run left something.
    pub(super) left_before: bool,
    /// This job was taken up again after a restart.
    pub(super) recovering: bool,
    /// Credentials that the device had when the job began; none where nobody looked then.
    pub(super) known_before: Option<Vec<String>>,
    /// Time that was slept through: deadlines do not run in it.
    pub(super) slept: Duration,
    /// Since it began, the device has come to a credential that it does not know.
    pub(super) works_otherwise: bool,
    /// A later job of the same device is done.
    pub(super) superseded: bool,
    /// A later job gave the device what it works with now.
    pub(super) left_alone: bool,
    /// Nobody wants more than that the job is undone.
    pub(super) only_undo: bool,
    /// When to settle what a link lost after apply has left open.
    pub(super) settle_by: Option<Moment>,

    pub(super) lookup: Lookup,
    pub(super) purse: Purse,
    pub(super) claims_asked: u8,
    pub(super) retiring: Retiring,
    pub(super) reclaiming: Reclaiming,
    pub(super) watch: Watch,
    pub(super) off: SwitchOff,
    pub(super) releasing: Releasing,
}

impl Context {
    pub(super) fn new(plan: Plan, dialects: Box<dyn Dialects>) -> Self {
        Self {
            pop: plan.pop.clone().filter(|pop| !pop.is_empty()),
            network: plan.network.clone(),
            refusals: plan.wrong_pops,
            least: plan.least,
            plan,
            dialects,
            now: Moment::default(),
            stage: Stage::Found,
            intents: VecDeque::new(),
            notes: VecDeque::new(),
            recording: None,
            actions: VecDeque::new(),
            calls: 0,
            questions: 0,
            pending: BTreeMap::new(),
            events: VecDeque::new(),
            signals: VecDeque::new(),
            finished: false,
            link: Link::None,
            radio: Radio::default(),
            in_batch: false,
            may_link: true,
            link_tries: 0,
            question: None,
            capabilities: Capabilities::default(),
            tried: Vec::new(),
            searching: None,
            unproven: 0,
            sent: BTreeMap::new(),
            wrong_pops: 0,
            identity: None,
            bound: None,
            keys: None,
            vouched_by: None,
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
            stranded: false,
            left_before: false,
            recovering: false,
            known_before: None,
            slept: Duration::ZERO,
            works_otherwise: false,
            superseded: false,
            left_alone: false,
            only_undo: false,
            settle_by: None,
            lookup: Lookup::default(),
            purse: Purse::default(),
            claims_asked: 0,
            retiring: Retiring::default(),
            reclaiming: Reclaiming::default(),
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
    pub(super) fn act(&mut self, action: Action) -> CallId {
        let call = self.name_call();
        self.intents.push_back(Intent::Act(call, action));
        call
    }

    /// Has the caller do something at once.
    pub(super) fn act_now(&mut self, action: Action) -> CallId {
        let call = self.name_call();
        self.actions.push_back((call, action));
        call
    }

    /// Has the caller change something outside. Until it is answered, it may have been done.
    pub(super) fn effect(&mut self, action: Action, effect: Effect) -> CallId {
        let call = self.act(action);
        self.pending.insert(call, effect);
        call
    }

    /// Takes something back that the caller was not told yet; whether it was so, and is known not to have been done.
    pub(super) fn take_back(&mut self, call: CallId) -> bool {
        let before = self.intents.len();
        self.intents
            .retain(|intent| !matches!(intent, Intent::Act(of, _) if *of == call));
        let taken_back = self.intents.len() != before;
        if taken_back {
            self.pending.remove(&call);
        }
        taken_back
    }

    fn name_call(&mut self) -> CallId {
        self.calls = self.calls.wrapping_add(1);
        CallId(self.calls)
    }

    /// Tells the device something, after all that has to be written down before.
    pub(super) fn command(&mut self, command: Command) {
        self.intents.push_back(Intent::Command(command));
    }

    /// Asks the person.
    pub(super) fn ask(&mut self, question: Question) {
        let deadline = self.now + self.plan.limits.question;
        self.questions = self.questions.wrapping_add(1);
        let id = QuestionId(self.questions);
        self.events.push_back(Event::Question(id, question.clone()));
        self.question = Some((id, question, deadline));
    }

    /// Takes an answer if it is one to the open question, and fits.
    pub(super) fn answer(&mut self, asked: QuestionId, answer: Answer) {
        let Some((id, question, _)) = &self.question else {
            return;
        };
        if *id != asked {
            return;
        }
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
        // What the cloud showed before somebody thought may be over.
        self.lookup.stale();
        self.link_tries = 0;
        self.signals.push_back(match answer {
            Answer::Skip => Signal::Stop(Fault::Cancelled(asked)),
            Answer::Nobody => Signal::Stop(Fault::Unanswered(asked)),
            answer => Signal::Answer(answer),
        });
    }

    /// Why the open question was asked.
    pub(super) fn asked(&self) -> Option<Box<Fault>> {
        let (_, question, _) = self.question.as_ref()?;
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
        let proven = self.identity.as_ref().or(self.bound.as_ref());
        proven
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
        self.withdraw_switching_off();
        self.withdraw_release();
    }

    /// Asks for another device of the same name, since this one seems to be the wrong one.
    pub(super) fn find_another(&mut self) {
        let mut tried = self.tried.clone();
        tried.push(self.plan.peripheral.clone());
        let call = self.act(Action::FindAnother {
            name: self.plan.name.clone(),
            tried,
        });
        self.searching = Some((call, self.now + self.plan.limits.radio));
    }

    /// How the search for another device of the same name ended. One that was sent wrong PoPs already is passed over: it
    /// is another device's label that would lock it.
    pub(super) fn another(&mut self, call: CallId, found: Option<Namesake>) {
        if self.searching.is_none_or(|(asked, _)| asked != call) {
            return;
        }
        self.searching = None;
        match found {
            Some(namesake) if namesake.wrong_pops >= MOST_ON_NAMESAKE => {
                self.tried.push(namesake.peripheral);
                self.find_another();
            }
            found => self.signals.push_back(Signal::Another(found)),
        }
    }

    /// Turns to another device of the same name: what is known of the first says nothing about it.
    pub(super) fn turn_to(&mut self, other: Namesake, why: Fault) {
        let first = core::mem::replace(&mut self.plan.peripheral, other.peripheral);
        self.sent.insert(first.clone(), self.unproven);
        self.tried.push(first);
        self.refusals = other.wrong_pops;
        self.unproven = self.sent.get(&self.plan.peripheral).copied().unwrap_or(0);
        self.least = self.plan.least;
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
            // What an earlier run left is as it was.
            let undone = self.nothing_left() && !self.off.any_off() && !self.left_before;
            Outcome::Failed { stage, fault, undone }
        });
        self.end(outcome);
    }

    /// Whether the device may be made to forget its network. What works is never taken off it by a job that was taken up
    /// again: the cloud shows it with a credential that came since, and it has not said itself that it is in no network.
    pub(super) fn may_reset(&self) -> bool {
        self.stranded || !self.works_otherwise
    }

    /// Takes what the cloud shows when the job is taken up again: whether the device has an active credential that was not
    /// there when the job began.
    pub(super) fn recall(&mut self, shown: &Snapshot) {
        let thing = shown.thing.as_ref();
        // Where nobody looked, and no other job did anything with the device, what it has is what it had.
        let now = || {
            thing
                .iter()
                .flat_map(|thing| thing.active())
                .map(|own| own.id.clone())
        };
        if self.known_before.is_none() && !self.watch.overtaken {
            self.known_before = Some(now().collect());
        }
        let known = self.known_before.clone().unwrap_or_default();
        self.works_otherwise = holds(Kind::TruthFirst)
            && self.recovering
            && thing.is_some_and(|thing| thing.active().any(|own| !known.contains(&own.id)));
    }

    /// Whether the credential that this job's claim led to may be active.
    pub(super) fn registered_is_active(&self) -> bool {
        let principal = self.watch.principal(&self.off.earlier);
        self.watch.is_registered() && principal.is_none_or(|own| self.watch.may_be_active(&own))
    }

    /// Whether nothing of ours is left in the cloud, as far as is known.
    pub(super) fn nothing_left(&self) -> bool {
        matches!(self.purse, Purse::Empty | Purse::Wanted | Purse::Refused(_))
            && self.retiring.is_clean()
            && self.reclaiming.is_clean()
            && !self.off.is_unclear()
    }

    /// Moves one thing along; false when everything waits for the outside.
    pub(super) fn pump(&mut self, entropy: &mut dyn Entropy) -> bool {
        if self.finished {
            return false;
        }
        if self.recording.is_none()
            && let Some(intent) = self.intents.pop_front()
        {
            self.execute(intent, entropy);
            return true;
        }
        if self.pump_client() || self.pump_cloud(entropy) {
            return true;
        }
        if self.recording.is_none()
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
            Intent::Act(call, action) => self.actions.push_back((call, action)),
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
        let call = self.act_now(Action::Record(step));
        self.recording = Some(call);
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
        let question = self.question.as_ref().map(|(_, _, deadline)| *deadline);
        [
            self.link.timeout(),
            self.radio_timeout(),
            self.searching.map(|(_, end)| end),
            question,
            self.lookup.timeout(limits),
            self.purse.timeout(limits),
            self.retiring.timeout(limits),
            self.reclaiming.timeout(limits),
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
            .is_some_and(|(_, _, deadline)| self.now >= *deadline)
        {
            let asked = self.asked();
            self.close_question();
            self.signals.push_back(Signal::Stop(Fault::Unanswered(asked)));
        }
        // A radio that is gone finds nobody, however long it is waited for.
        if let Some((call, end)) = self.searching
            && self.now >= end
        {
            self.another(call, None);
        }
        self.lapse_cloud();
        self.signals.push_back(Signal::Tick);
    }

    /// Networks that the device sees, for a person.
    pub(super) fn tell_networks(&mut self, seen: &[crate::network::SeenNetwork]) {
        self.events.push_back(Event::Networks(Vec::from(seen)));
    }
}
