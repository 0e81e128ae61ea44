//! What goes into the flow and what comes out of it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::claim::{Claim, ClaimId, ClaimRequest, CleanupHandle, Purpose};
use crate::device::{DialectKind, Identity, IdentityFault, IdentityProof, Serial};
use crate::dialect::Capabilities;
use crate::evidence::{Evidence, Observation, Snapshot, Thing};
use crate::fault::{CloudError, Fault, FaultRecord};
use crate::gatt::{GattOp, GattTable, LinkError, PeripheralId};
use crate::network::{Network, SeenNetwork};
use crate::organisation::OrganisationId;
use crate::policy::{Least, Limits, Policy};
use crate::proven::{ProvenIdentity, ProvenKeys};
use crate::secret::{Passphrase, Pop};
use crate::time::UnixTime;

/// One device's commissioning, from start to end, across restarts of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(type = "string"))]
pub struct JobId(pub Uuid);

/// Names one thing that the flow asked to be done outside, so that its answer says which one it answers. Each is given
/// once in one run of a job, and later ones are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u32);

/// Names one question to a person, so that a late answer is not taken for the answer to the next one. Each is given once
/// in one run of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct QuestionId(pub u32);

/// The stages of design.md, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Stage {
    /// Recognised from its advertisement.
    Found,
    /// Connecting and mapping endpoints.
    Linking,
    /// Securing the session with the PoP.
    Proving,
    /// Checking who the device is.
    Identifying,
    /// Scanning, choosing and writing the network.
    Networking,
    /// Issuing and sending the claim.
    Crediting,
    /// Applying; the device joins.
    Joining,
    /// The device exchanges the claim.
    Enrolling,
    /// The permanent identity is seen online, exactly one credential is active.
    Verifying,
    /// Released to support and the OTA service.
    Released,
}

/// What was decided before the start.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The job.
    pub job: JobId,
    /// The authority that the job belongs to. Only under it may what the job made be judged or undone.
    pub organisation: Option<OrganisationId>,
    /// Which device, as the radio calls it.
    pub peripheral: PeripheralId,
    /// Its advertised name, for people and the journal.
    pub name: String,
    /// The protocol it speaks.
    pub dialect: DialectKind,
    /// Its serial, where the label says it.
    pub serial: Option<Serial>,
    /// Its PoP, where known.
    pub pop: Option<Pop>,
    /// Wrong PoPs that this peripheral was sent before this job, by any job of the session: devices count them.
    pub wrong_pops: u8,
    /// What is known of the device's protection from its label and from earlier jobs: the least that is taken from it.
    pub least: Least,
    /// Espressif Security 2 user name, where the label says it.
    pub username: Option<String>,
    /// The network, where chosen; else the person is asked with the list of what the device sees.
    pub network: Option<Network>,
    /// The site that it is commissioned at, where one is named; for the journal alone.
    pub site: Option<String>,
    /// Why it is commissioned.
    pub purpose: Purpose,
    /// Values for the cloud's template that whoever commissions gave, by the parameter's name. They belong to the job: what
    /// is given for other devices meanwhile changes nothing here.
    pub parameters: BTreeMap<String, String>,
    /// What the organisation allows.
    pub policy: Policy,
    /// How long things may take.
    pub limits: Limits,
}

/// What an earlier run of the program left, read from the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Claims were asked for under these keys, and nothing says what came of it.
    pub asked: Vec<Uuid>,
    /// For which device they were asked: asking again must say the same.
    pub serial: Option<Serial>,
    /// What the device proved to be: over each later link it must be the same.
    pub identity: Option<Identity>,
    /// The key by which it proved that, and what else it proved to hold.
    pub keys: Option<ProvenKeys>,
    /// The claim that came last and was not undone; used or not is for the cloud to say where `applied` stands.
    pub claim: Option<(ClaimId, CleanupHandle)>,
    /// It was sent to the device, or some of it: one that is in a network uses it at once.
    pub sent: bool,
    /// The claim that came last, where it was undone, and when it was issued: a device that was quicker has used it all
    /// the same, which only the cloud can say.
    pub retired: Option<(ClaimId, Option<UnixTime>)>,
    /// Earlier claims that were replaced and are not known to be undone.
    pub leftover: Vec<CleanupHandle>,
    /// Settings were, or may have been, applied: only the cloud knows how it ended.
    pub applied: bool,
    /// The cloud registered the device, and it is not released.
    pub thing: Option<String>,
    /// What the cloud showed before the visit.
    pub before: Option<Snapshot>,
    /// Credentials that were active before the visit and must be off at the end; as the run that began the job saw them,
    /// since what a later one sees may be of another job.
    pub earlier: Vec<String>,
    /// Whether the run that began the job saw that at all.
    pub saw_earlier: bool,
    /// The device that the job began with, and whether it was taken up again since.
    pub begun: Option<(PeripheralId, bool)>,
    /// Those of them of which it was asked to switch them off; whether they are only the cloud can say.
    pub switching_off: Vec<String>,
    /// Those of them that are off by this job.
    pub off: Vec<String>,
    /// Under which name the cloud has those credentials.
    pub off_thing: Option<String>,
    /// The thing with the one credential that the cloud showed to be its only active one.
    pub single: Option<(String, String)>,
    /// When the claim was issued, by the cloud's clock.
    pub issued_at: Option<UnixTime>,
    /// A later job of the same device is done, so that only this one's claims are still to be undone. Said by
    /// [`crate::ledger`], never by the steps of the job itself.
    pub superseded: bool,
    /// A later job of the same device changed it since, perhaps for another organisation, and did not take that back: the
    /// device is left to that job, and what is in this one's cloud stays to be settled.
    pub elsewhere: bool,
    /// A later job of the same device changed something, so that what was seen of the device before says nothing of now.
    pub overtaken: bool,
    /// The job is done, under this name and with this credential: all that is left are claims that it replaced.
    pub done: Option<(Option<String>, String)>,
}

/// What happened outside.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all that happens is the end of something, so that a box would only be one more allocation"
)]
pub enum Input {
    /// What was asked for under this name ended.
    Ended(CallId, Ended),
    /// The link that this [`Action::Connect`] made ended by itself.
    LinkLost(CallId),
    /// A person answered this [`Question`].
    Answer(QuestionId, Answer),
    /// A person stops this job.
    Cancel,
}

/// How an [`Action`] ended.
#[derive(Debug)]
pub enum Ended {
    /// [`Action::Record`] is on disk.
    Recorded,
    /// [`Action::Record`] failed.
    NotRecorded(String),
    /// [`Action::Connect`] succeeded: linked and discovered.
    Linked(GattTable),
    /// [`Action::Connect`] failed.
    NotLinked(LinkError),
    /// [`Action::Disconnect`] is done (the caller need not wait for the stack).
    Unlinked,
    /// [`Action::Gatt`] ended.
    Gatt(Result<Vec<u8>, LinkError>),
    /// [`Action::FindAnother`] ended; none where no other is around that may still be tried.
    Another(Option<Namesake>),
    /// [`Action::CheckIdentity`] ended.
    IdentityChecked(Result<ProvenIdentity, IdentityFault>),
    /// [`Action::Snapshot`] ended.
    Snapshot(Result<Snapshot, CloudError>),
    /// [`Action::Issue`] ended.
    Issued(Result<Claim, CloudError>),
    /// [`Action::Observe`] ended.
    Observed(Result<Observation, CloudError>),
    /// [`Action::Retire`] ended.
    Retired(Result<(), CloudError>),
    /// [`Action::Deactivate`] ended.
    Deactivated(Result<Thing, CloudError>),
    /// [`Action::Release`] ended.
    ReleasedToSupport(Result<(), CloudError>),
}

/// Another device that advertises the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namesake {
    /// As the radio calls it.
    pub peripheral: PeripheralId,
    /// Wrong PoPs that it was sent already, by any job of the session.
    pub wrong_pops: u8,
}

/// What to do outside. Actions of one job are done in the order given; how each ended comes back as [`Input::Ended`] under
/// the name that it was given with. Cloud actions may run while a GATT operation is under way.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Write this down before anything that follows.
    Record(Step),
    /// Connect, discover, and say what the device offers.
    Connect(PeripheralId),
    /// Give the link back.
    Disconnect,
    /// Look for a device that shares this name and that nobody works on. Two devices may share a name, and only PoP
    /// and serial tell them apart.
    FindAnother {
        /// The advertised name.
        name: String,
        /// Devices that were tried already, the present one last.
        tried: Vec<PeripheralId>,
    },
    /// One GATT operation.
    Gatt(GattOp),
    /// Check a proof of identity: signature, certificate chain, dates.
    CheckIdentity(IdentityProof),
    /// Ask the cloud what it knows of the device.
    Snapshot {
        /// Which.
        serial: Serial,
        /// Values for the cloud's template, which may decide under which name it knows the device.
        parameters: BTreeMap<String, String>,
    },
    /// Ask for a claim.
    Issue(ClaimRequest),
    /// Look at the enrolment; may take up to twenty seconds, since the cloud answers when there is news.
    Observe {
        /// Of which claim.
        claim: ClaimId,
        /// After which evidence.
        after: u64,
    },
    /// Undo a claim and whatever is half-made by it.
    Retire(CleanupHandle),
    /// Switch an earlier credential off.
    Deactivate {
        /// Of which thing.
        thing: String,
        /// Which credential.
        principal: String,
    },
    /// Release the device to support and the OTA service.
    Release {
        /// Which.
        thing: String,
        /// By which claim it came.
        claim: ClaimId,
    },
}

/// What became known, for the view and the journal.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A stage begins.
    Stage(Stage),
    /// A fact with its source.
    Evidence(Evidence),
    /// What the device can do.
    Capabilities(Capabilities),
    /// The networks that the device sees.
    Networks(Vec<SeenNetwork>),
    /// The claim that the device is to get, or has; its life runs.
    Claim {
        /// Its name.
        id: ClaimId,
        /// When it dies.
        expires: crate::time::Moment,
    },
    /// Bytes of the claim that the device has.
    ClaimProgress {
        /// So many.
        sent: u32,
        /// Of so many.
        total: u32,
    },
    /// A person is needed; the link is kept while they think.
    Question(QuestionId, Question),
    /// The question no longer stands.
    QuestionOver,
    /// Something is tried again by itself.
    Retrying {
        /// What was wrong.
        fault: Fault,
        /// Which attempt begins; the first was 1.
        attempt: u8,
    },
    /// The end.
    Finished(Outcome),
}

/// What a person is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// The PoP, first or again; how many tries the device is thought to grant still.
    Pop {
        /// Why again, if again.
        fault: Fault,
        /// Tries left.
        tries_left: u8,
    },
    /// Which network, out of what the device sees.
    Network {
        /// What it sees.
        seen: Vec<SeenNetwork>,
    },
    /// The network is weak or not seen at the device: go on, or choose another.
    NetworkDoubt(Fault),
    /// The passphrase, first or again.
    Passphrase {
        /// Why: what the device said or saw, or what is wrong with the last answer.
        fault: Fault,
        /// For which network.
        network: String,
    },
}

impl Question {
    /// Why it is asked, where that is more than that something has to be chosen.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Pop { fault, .. } | Self::NetworkDoubt(fault) | Self::Passphrase { fault, .. } => {
                Some(fault)
            }
            Self::Network { .. } => None,
        }
    }
}

/// What a person answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// This PoP.
    Pop {
        /// It.
        pop: Pop,
        /// The Security 2 user name that stands with it on the label; none where it was typed alone.
        username: Option<String>,
    },
    /// This network.
    Network(Network),
    /// This passphrase for the same network.
    Passphrase(Passphrase),
    /// Go on as it is.
    GoOn,
    /// Give this device up, undoing what was made.
    Skip,
    /// There is nobody to answer: give this device up as if the question's time were over.
    Nobody,
}

/// How a job ended: done, failed, or unknown, and nothing else (rule 2 of the design).
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Released, with its name and its one credential.
    Done {
        /// Its name in the cloud, where the template gives one.
        thing: Option<String>,
        /// Its permanent credential.
        principal: String,
    },
    /// Ended without effect on the device or with all effects undone; `undone` says whether undoing worked.
    Failed {
        /// Where.
        stage: Stage,
        /// Why.
        fault: Fault,
        /// Whether nothing of ours is left in the cloud.
        undone: bool,
    },
    /// Nobody knows yet: the settings were applied and neither device nor cloud has said how it ended.
    Unknown {
        /// Where.
        stage: Stage,
        /// What was missing.
        fault: Fault,
    },
}

/// An entry of the journal: written before the effect where it has one outside. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Step {
    /// The job begins; or turns to another device of the same name.
    Started {
        /// The authority that it belongs to. Entries of before jobs belonged to one lack it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        organisation: Option<OrganisationId>,
        /// As the radio calls the device.
        peripheral: PeripheralId,
        /// Advertised name.
        name: String,
        /// Dialect.
        dialect: DialectKind,
        /// Serial, where the label says it.
        serial: Option<Serial>,
        /// Why.
        purpose: Purpose,
        /// The site, where one is named. Entries of before there were sites lack it.
        #[serde(default)]
        site: Option<String>,
        /// Values for the cloud's template, where a person gave some.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        parameters: BTreeMap<String, String>,
    },
    /// A person said whose a job is that began before jobs belonged to an authority.
    Adopted {
        /// Whose.
        organisation: OrganisationId,
    },
    /// The device is about to be linked.
    Linking,
    /// The device proved who it is.
    Identified {
        /// What it proved.
        identity: Identity,
        /// By which keys; a claim that is asked for again is asked for with the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keys: Option<ProvenKeys>,
    },
    /// What the cloud knew before anything was done.
    Snapshot {
        /// All of it.
        snapshot: Snapshot,
    },
    /// Wi-Fi settings are about to be written.
    WritingSettings {
        /// The network's name.
        ssid: String,
    },
    /// A claim is about to be asked for.
    Claiming {
        /// The key under which asking again yields the same claim.
        idempotency: Uuid,
        /// For which device.
        serial: Serial,
    },
    /// No claim lives under this key, as the cloud said, or since it was never asked for.
    Unclaimed {
        /// The key.
        idempotency: Uuid,
    },
    /// A claim came.
    Claimed {
        /// The key under which it was asked for. Entries of before lack it: it was the last one then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency: Option<Uuid>,
        /// Its name.
        claim: ClaimId,
        /// How to undo it.
        cleanup: CleanupHandle,
        /// When it was issued, by the cloud's clock.
        issued_at: UnixTime,
        /// It was asked for only to be undone, and no device gets it.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        unwanted: bool,
    },
    /// The claim is about to be sent to the device.
    SendingClaim {
        /// Its name.
        claim: ClaimId,
    },
    /// The device has all of it.
    ClaimCommitted {
        /// Its name.
        claim: ClaimId,
    },
    /// The settings are about to be applied. From here a lost link means unknown.
    Applying,
    /// Settings that the device was given are about to be reset on it.
    Resetting,
    /// A fact from outside.
    Evidence {
        /// All of it.
        evidence: Evidence,
    },
    /// An earlier credential is seen off, after that was asked for.
    Deactivated {
        /// Which credential.
        principal: String,
    },
    /// An earlier credential is about to be switched off.
    Deactivating {
        /// Of which thing.
        thing: String,
        /// Which credential.
        principal: String,
    },
    /// The device is about to be released.
    Releasing {
        /// Which thing.
        thing: String,
    },
    /// A claim is about to be undone.
    Retiring {
        /// How.
        cleanup: CleanupHandle,
    },
    /// It is undone.
    Retired {
        /// How.
        cleanup: CleanupHandle,
    },
    /// The end.
    Finished {
        /// How.
        outcome: OutcomeRecord,
    },
}

impl Step {
    /// The beginning of this plan.
    pub(super) fn started(plan: &Plan) -> Self {
        Self::Started {
            organisation: plan.organisation.clone(),
            peripheral: plan.peripheral.clone(),
            name: plan.name.clone(),
            dialect: plan.dialect,
            serial: plan.serial.clone(),
            purpose: plan.purpose,
            site: plan.site.clone(),
            parameters: plan.parameters.clone(),
        }
    }
}

/// An [`Outcome`] as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum OutcomeRecord {
    /// See [`Outcome::Done`].
    Done {
        /// Name in the cloud.
        thing: Option<String>,
        /// Permanent credential.
        principal: String,
    },
    /// See [`Outcome::Failed`].
    Failed {
        /// Where.
        stage: Stage,
        /// Why.
        fault: FaultRecord,
        /// Whether nothing of ours is left in the cloud.
        undone: bool,
    },
    /// See [`Outcome::Unknown`].
    Unknown {
        /// Where.
        stage: Stage,
        /// What was missing.
        fault: FaultRecord,
    },
}

impl From<&Outcome> for OutcomeRecord {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Done { thing, principal } => Self::Done {
                thing: thing.clone(),
                principal: principal.clone(),
            },
            Outcome::Failed { stage, fault, undone } => Self::Failed {
                stage: *stage,
                fault: fault.into(),
                undone: *undone,
            },
            Outcome::Unknown { stage, fault } => Self::Unknown {
                stage: *stage,
                fault: fault.into(),
            },
        }
    }
}
