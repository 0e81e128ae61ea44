//! What a person at a window can ask for: the only way down.

use std::collections::BTreeMap;

use commission::claim::Purpose;
use commission::flow::{JobId, QuestionId};
use commission::gatt::PeripheralId;
use serde::{Deserialize, Serialize};

use super::typed::Typed;
use super::view::LabelId;

/// A request; the answer, where there is one, is in the next [`super::View`].
#[derive(Debug, Deserialize)]
#[serde(
    tag = "do",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Request {
    /// Check an organisation profile, keep it and make it the current one. What would change where secrets go, or what is
    /// allowed, is asked about first, see [`super::View::replacing`].
    ImportProfile {
        /// The file's text.
        text: String,
        /// The text of the signature beside it, where there is one.
        #[serde(default)]
        #[cfg_attr(feature = "ts", ts(optional))]
        signature: Option<String>,
    },
    /// Answer whether an imported profile may change what [`super::View::replacing`] shows.
    Replace {
        /// Whether it may; if not, all stays as it is.
        sure: bool,
    },
    /// Make another profile the current one.
    ChooseProfile {
        /// Its name.
        name: String,
    },
    /// Sign in.
    SignIn {
        /// How.
        way: SignInWay,
    },
    /// Give up a sign-in that waits for the person.
    CancelSignIn,
    /// End the sign-in at the issuer and here, after every job has come to a named state.
    SignOut,
    /// Start simulated devices with a cloud of their own, and work there.
    TrySimulated,
    /// Work over this adapter, or over the first that is switched on.
    ChooseAdapter {
        /// As the view names it.
        adapter: Option<String>,
    },
    /// Listen for devices, or stop.
    Listen {
        /// Whether to listen.
        on: bool,
    },
    /// Take a label: scanned, pasted or typed.
    ReadLabel {
        /// Its text.
        text: Typed,
        /// The device that it is for, where the person says so; a typed proof of possession names none.
        device: Option<PeripheralId>,
    },
    /// Take a file of labels.
    ReadLabels {
        /// Its name, whose ending says what it is.
        file: String,
        /// Its text.
        text: Typed,
    },
    /// Forget one label, or all of them.
    ForgetLabels {
        /// The label; all where none.
        label: Option<LabelId>,
    },
    /// Commission devices.
    Commission {
        /// Which.
        devices: Vec<DeviceChoice>,
        /// Into which network.
        network: NetworkChoice,
        /// Why.
        purpose: Purpose,
        /// Values for the template's parameters, as typed.
        #[serde(default)]
        parameters: BTreeMap<String, String>,
    },
    /// Commission the device of a job that has ended again, into the same network.
    Retry {
        /// The job.
        job: JobId,
    },
    /// Answer a job's question.
    Answer {
        /// The job.
        job: JobId,
        /// Which of its questions, as the view names it: one that is over by then takes no answer.
        question: QuestionId,
        /// The answer.
        reply: Reply,
    },
    /// Stop a job; it ends in a named state.
    Cancel {
        /// The job.
        job: JobId,
    },
    /// Stop all jobs.
    CancelAll,
    /// Finish what an earlier run left: ask the cloud, go on where that makes sense.
    Resume {
        /// The job; all of them where none.
        job: Option<JobId>,
    },
    /// Undo what an earlier run left. Needs no device.
    Undo {
        /// The job; all of them where none.
        job: Option<JobId>,
    },
    /// Say that a job of an earlier run, of which nothing says whose it is, belongs to the present organisation.
    Adopt {
        /// The job.
        job: JobId,
    },
    /// Take jobs that have ended off the list; the journal keeps them.
    ClearEnded,
    /// Let a device blink. Its label must be known.
    Blink {
        /// Which.
        device: PeripheralId,
    },
    /// Keep a network's passphrase in the keyring.
    RememberNetwork {
        /// The network's name.
        ssid: String,
        /// Its passphrase.
        passphrase: Typed,
    },
    /// Forget a network's passphrase.
    ForgetNetwork {
        /// The network's name.
        ssid: String,
    },
    /// Change settings.
    Settings {
        /// All of them.
        settings: Settings,
    },
    /// Look at everything that work needs.
    Examine,
    /// Show what the journal has.
    ShowJournal {
        /// Which jobs.
        filter: JournalFilter,
    },
    /// Show everything that the journal has of one job.
    ShowJob {
        /// The job.
        job: JobId,
    },
    /// Check that the journal is untouched.
    VerifyJournal,
    /// Which job's whole story the view should carry.
    Focus {
        /// The job; none where none is open.
        job: Option<JobId>,
    },
    /// End the program: asked first where jobs are in work, unless the person is sure.
    Quit {
        /// Whether the person was asked already.
        sure: bool,
    },
    /// Do not end the program after all.
    Stay,
    /// The person has seen a notice.
    Dismiss {
        /// Its number.
        #[cfg_attr(feature = "ts", ts(type = "number"))]
        notice: u64,
    },
}

/// Two ways to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum SignInWay {
    /// In this computer's browser.
    Browser,
    /// With a code, in the browser of any device.
    Code,
}

/// Which device is meant.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum DeviceChoice {
    /// The one that the list shows.
    Nearby(PeripheralId),
    /// The one that advertises this name; it may not be heard yet.
    Named(String),
    /// The one of this label; it may not be heard yet.
    Labelled(LabelId),
}

/// Which network devices are brought into.
#[derive(Debug, Deserialize)]
#[serde(
    tag = "from",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum NetworkChoice {
    /// One whose passphrase is in the keyring, or that is open.
    Site {
        /// Its name.
        ssid: String,
    },
    /// One that the person types.
    Typed {
        /// Its name.
        ssid: String,
        /// Its passphrase; none where it is open.
        passphrase: Option<Typed>,
        /// Whether it hides its name.
        hidden: bool,
        /// Whether to keep the passphrase in the keyring.
        remember: bool,
    },
    /// Whichever the person picks from what each device sees.
    Device,
}

/// A person's answer to a job's question.
#[derive(Debug, Deserialize)]
#[serde(
    tag = "answer",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Reply {
    /// This label, or this proof of possession.
    Label {
        /// Its text.
        text: Typed,
    },
    /// This network, by the bytes of its name.
    Network {
        /// The name's bytes in hex, as the view gave them, or of a name that was typed.
        ssid_hex: String,
        /// Its passphrase; none where it is open.
        passphrase: Option<Typed>,
        /// Whether it hides its name.
        hidden: bool,
    },
    /// This passphrase for the same network.
    Passphrase {
        /// It.
        passphrase: Typed,
    },
    /// Go on as it is.
    GoOn,
    /// Give this device up, undoing what was made.
    Skip,
}

/// What a person may set; kept between runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Settings {
    /// Links at once, 1 to what the profile allows.
    pub links: Option<u8>,
    /// The adapter's id; the first that is switched on where none.
    pub adapter: Option<String>,
    /// The site, by its name; the profile's usual one where none, or where the profile has no such site.
    pub site: Option<String>,
    /// The window's language.
    pub language: Language,
    /// The window's colours.
    pub theme: Theme,
    /// Whether rows are compact.
    pub compact: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            links: None,
            adapter: None,
            site: None,
            language: Language::System,
            theme: Theme::System,
            compact: false,
        }
    }
}

/// The window's language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Language {
    /// As the system has it.
    System,
    /// English.
    En,
    /// German.
    De,
}

/// The window's colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Theme {
    /// As the system has it.
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// Which jobs of the journal are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct JournalFilter {
    /// Part of a device's name or serial.
    pub text: String,
    /// How it ended; all where none.
    pub outcome: Option<JournalOutcome>,
    /// Who did it: the subject at the issuer; everybody where none.
    pub person: Option<String>,
    /// At which site, by its name; everywhere where none.
    pub site: Option<String>,
    /// From this moment on, seconds since 1970-01-01 UTC.
    #[cfg_attr(feature = "ts", ts(type = "number | null"))]
    pub since: Option<i64>,
    /// Before this moment.
    #[cfg_attr(feature = "ts", ts(type = "number | null"))]
    pub until: Option<i64>,
}

/// How a job of the journal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum JournalOutcome {
    /// Released.
    Done,
    /// Without effect, or undone.
    Failed,
    /// Nobody knows.
    Unknown,
    /// It has no end yet.
    Open,
}
