//! All that a person may see, made for showing: the only way up. Holds no secret.
//!
//! Times are milliseconds on the engine's monotonic clock, so that a door can count on without asking.

use commission::claim::Purpose;
use commission::device::DialectKind;
use commission::evidence::{Evidence, Source};
use commission::flow::{JobId, OutcomeRecord, Question, QuestionId, Stage};
use commission::gatt::PeripheralId;
use commission::network::SeenNetwork;
use serde::Serialize;

use crate::failure::Failure;

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// Whether the radio listens.
    pub listening: bool,
    /// Why it does not, though it should.
    pub radio_trouble: Option<Failure>,
    /// Whether jobs rest until that is over; they go on by themselves.
    pub paused: bool,
    /// Devices around, in a stable order.
    pub nearby: Vec<NearbyView>,
    /// Jobs, in the order they were asked for.
    pub jobs: Vec<JobView>,
}

/// A device around.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NearbyView {
    /// What the radio calls it.
    pub peripheral: PeripheralId,
    /// Its name, once heard.
    pub name: Option<String>,
    /// Its protocol.
    pub dialect: DialectKind,
    /// Median signal, dBm.
    pub signal: i16,
    /// When it was heard last.
    pub heard_ms: u64,
    /// Silent for so long that it may be gone.
    pub fading: bool,
}

/// Where a job is needed, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum JobState {
    /// For its device to be heard, or for a free link.
    Waiting,
    /// In work.
    Working,
    /// A person is needed.
    Attention,
    /// Released.
    Done,
    /// Ended without effect, or undone.
    Failed,
    /// Nobody knows yet; resume asks the cloud again.
    Unknown,
}

/// A stage with its times.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct StageView {
    /// Which.
    pub stage: Stage,
    /// When it began.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub began_ms: u64,
    /// When the next one began, or the job ended.
    #[cfg_attr(feature = "ts", ts(type = "number | null"))]
    pub ended_ms: Option<u64>,
}

/// One of the four proofs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ProofView {
    /// Who said so.
    pub source: Source,
    /// When it was learnt.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub at_ms: u64,
}

/// The four separate proofs that a device works; "credentials sent" is none of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ProofsView {
    /// It joined Wi-Fi.
    pub wifi_joined: Option<ProofView>,
    /// It reached the cloud with the claim.
    pub cloud_reached: Option<ProofView>,
    /// Its permanent identity is accepted.
    pub identity_accepted: Option<ProofView>,
    /// It was seen online under it.
    pub seen_online: Option<ProofView>,
}

/// The claim's life.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ClaimView {
    /// The cloud's name for it.
    pub id: String,
    /// When it dies.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub expires_ms: u64,
    /// Bytes that the device has.
    pub sent: u32,
    /// Bytes in all; zero before sending.
    pub total: u32,
}

/// A network that the device sees.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct SeenNetworkView {
    /// Its name as text; names that are no text show escapes.
    pub ssid: String,
    /// Its name's bytes in hex, to choose it by.
    pub ssid_hex: String,
    /// Signal at the device, dBm.
    pub rssi: i16,
    /// Channel.
    pub channel: u32,
    /// Whether it has no protection.
    pub open: bool,
}

impl From<&SeenNetwork> for SeenNetworkView {
    fn from(seen: &SeenNetwork) -> Self {
        Self {
            ssid: String::from(&seen.ssid),
            ssid_hex: hex::encode(seen.ssid.as_bytes()),
            rssi: seen.rssi,
            channel: seen.channel,
            open: seen.auth == commission::network::Auth::Open,
        }
    }
}

/// What a person is asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "ask", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum QuestionView {
    /// The PoP.
    Pop {
        /// Why.
        failure: Failure,
        /// Tries left.
        tries_left: u8,
    },
    /// Which network.
    Network {
        /// What the device sees.
        seen: Vec<SeenNetworkView>,
    },
    /// Whether to go on with a weak or unseen network.
    NetworkDoubt {
        /// The doubt.
        failure: Failure,
    },
    /// The passphrase, again.
    Passphrase {
        /// What the device said.
        failure: Failure,
        /// Of which network.
        network: String,
    },
}

impl From<&Question> for QuestionView {
    fn from(question: &Question) -> Self {
        match question {
            Question::Pop { fault, tries_left } => Self::Pop {
                failure: fault.into(),
                tries_left: *tries_left,
            },
            Question::Network { seen } => Self::Network {
                seen: seen.iter().map(Into::into).collect(),
            },
            Question::NetworkDoubt(fault) => Self::NetworkDoubt {
                failure: fault.into(),
            },
            Question::Passphrase { fault, network } => Self::Passphrase {
                failure: fault.into(),
                network: network.clone(),
            },
        }
    }
}

/// Something that happened to a job, in order; a door prints what it has not printed yet.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Happening {
    /// When.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum What {
    /// A stage began.
    Stage {
        /// Which.
        stage: Stage,
    },
    /// Evidence came.
    Evidence {
        /// All of it.
        evidence: Evidence,
    },
    /// What the device can do.
    Capabilities {
        /// One line.
        summary: String,
    },
    /// A person was asked.
    Asked {
        /// Its name, which an answer to it says.
        asked: QuestionId,
        /// What.
        question: QuestionView,
    },
    /// Something is tried again.
    Retrying {
        /// What was wrong.
        failure: Failure,
        /// Which attempt begins.
        attempt: u8,
    },
    /// The end.
    Finished {
        /// How.
        outcome: OutcomeRecord,
        /// In a person's words, unless done.
        failure: Option<Failure>,
    },
}

/// One device's commissioning.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct JobView {
    /// The job.
    pub id: JobId,
    /// The device's name.
    pub name: String,
    /// Its serial, once known.
    pub serial: Option<String>,
    /// Its model, once it has proved its identity.
    pub model: Option<String>,
    /// Its firmware's version, as it said with that.
    pub firmware: Option<String>,
    /// The scheme of its session, such as `security 2 patch 1`, once the proof of possession is accepted.
    pub scheme: Option<String>,
    /// What the radio calls it, once it is heard.
    pub peripheral: Option<PeripheralId>,
    /// The site that it is commissioned at, where one is named.
    pub site: Option<String>,
    /// The network that it is brought into, once chosen, for people: a name that is no text shows escapes.
    pub network: Option<String>,
    /// Why it is commissioned; none while the journal is read for it.
    pub purpose: Option<Purpose>,
    /// Where the job is needed.
    pub state: JobState,
    /// Stages so far, with times.
    pub stages: Vec<StageView>,
    /// The four proofs.
    pub proofs: ProofsView,
    /// The claim under way.
    pub claim: Option<ClaimView>,
    /// The networks that the device saw last.
    pub networks: Vec<SeenNetworkView>,
    /// The open question.
    pub question: Option<QuestionView>,
    /// Its name, which an answer to it says.
    pub asked: Option<QuestionId>,
    /// How it ended, in a person's words, unless done.
    pub failure: Option<Failure>,
    /// How it ended.
    pub outcome: Option<OutcomeRecord>,
    /// Its name in the cloud.
    pub thing: Option<String>,
    /// Its permanent credential.
    pub principal: Option<String>,
    /// All that happened.
    pub happenings: Vec<Happening>,
}

impl JobView {
    /// A job that has only been asked for.
    pub fn new(id: JobId, name: String, serial: Option<String>) -> Self {
        Self {
            id,
            name,
            serial,
            model: None,
            firmware: None,
            scheme: None,
            peripheral: None,
            site: None,
            network: None,
            purpose: None,
            state: JobState::Waiting,
            stages: Vec::new(),
            proofs: ProofsView::default(),
            claim: None,
            networks: Vec::new(),
            question: None,
            asked: None,
            failure: None,
            outcome: None,
            thing: None,
            principal: None,
            happenings: Vec::new(),
        }
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.outcome.is_some()
    }
}
