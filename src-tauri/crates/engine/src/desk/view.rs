//! All that a person at a window may see: the only way up. Holds no secret, and derives for the window what is more
//! than presentation, so that the window need not.
//!
//! Times named `…_ms` are milliseconds on the engine's monotonic clock, of which `now_ms` tells the present; `at` is
//! seconds since 1970-01-01 UTC.

use std::collections::BTreeMap;

use commission::device::DialectKind;
use commission::flow::JobId;
use commission::gatt::PeripheralId;
use serde::{Deserialize, Serialize};

use super::request::{JournalFilter, JournalOutcome, Settings};
use crate::doctor::Finding;
use crate::failure::Failure;
use crate::ports::{FormField, OwnWay};
use crate::settings::Change;
use crate::view::JobView;

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct View {
    /// The present on the engine's clock.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub now_ms: u64,
    /// The present on this computer's calendar clock.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub now: i64,
    /// Profiles that are imported, by name.
    pub profiles: Vec<String>,
    /// The current one.
    pub profile: Option<ProfileView>,
    /// An imported profile that waits for the person's word, since it changes where secrets go or what is allowed.
    pub replacing: Option<ReplacingView>,
    /// Who works here.
    pub sign_in: SignInView,
    /// What the signed-in person may do.
    pub rights: RightsView,
    /// Bluetooth.
    pub bluetooth: BluetoothView,
    /// The organisation's cloud.
    pub cloud: CloudView,
    /// Devices around, by name and then by what the radio calls them: a steady order, which a window may rearrange.
    pub nearby: Vec<DeviceView>,
    /// Labels that were read and not used yet.
    pub labels: Vec<LabelView>,
    /// Jobs of this run, in the order they were asked for. Only the focused one has its happenings.
    pub jobs: Vec<JobView>,
    /// How the jobs of this run stand, all together.
    pub progress: ProgressView,
    /// Jobs that an earlier run left without an end.
    pub unfinished: Vec<UnfinishedView>,
    /// The profile's sites.
    pub sites: Vec<SiteView>,
    /// The site in work, by its name; none where the profile has none, or several and nobody chose.
    pub site: Option<String>,
    /// Networks of the site in work; all of them where there is none.
    pub networks: Vec<NetworkView>,
    /// What was found when everything was last looked at.
    pub examination: Option<ExaminationView>,
    /// What the journal has, once asked for.
    pub journal: Option<JournalView>,
    /// One job of the journal, once asked for.
    pub story: Option<StoryView>,
    /// What the person set.
    pub settings: Settings,
    /// What the person should know, newest last.
    pub notices: Vec<NoticeView>,
    /// Whether jobs are in work, which an end of the program would stop.
    pub busy: bool,
    /// Whether the program is about to end.
    pub quit: QuitView,
}

/// Whether the program is about to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum QuitView {
    /// It is not.
    #[default]
    No,
    /// Somebody wants it to, and jobs are in work: the person is asked.
    Asked,
    /// Jobs are brought to a named state, then it ends.
    Ending,
}

/// An imported profile that would change something that a person has to know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ReplacingView {
    /// The organisation's name.
    pub name: String,
    /// What would change.
    pub changes: Vec<Change>,
}

/// The current organisation profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ProfileView {
    /// The organisation's name.
    pub name: String,
    /// Where people sign in.
    pub issuer: String,
    /// Where devices enrol.
    pub cloud: String,
    /// The most links at once.
    pub links: u8,
    /// What it allows beyond the strict side, each by its key in the profile.
    pub relaxed: Vec<String>,
}

/// Who works here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum SignInView {
    /// There is no profile to sign in for.
    NoProfile,
    /// An earlier sign-in is being taken up.
    Restoring,
    /// Nobody is signed in.
    SignedOut {
        /// Why the last one failed or ended, where it did.
        failure: Option<Failure>,
    },
    /// The browser shows the issuer's page.
    Browser {
        /// The address, where the browser did not open by itself.
        page: Option<String>,
    },
    /// A code waits to be entered on any device.
    Code {
        /// The code.
        code: String,
        /// The address to enter it at.
        page: String,
        /// The address with the code in it.
        page_with_code: Option<String>,
        /// When it dies.
        #[cfg_attr(feature = "ts", ts(type = "number"))]
        expires_ms: u64,
    },
    /// The person is signed in.
    SignedIn {
        /// Who.
        person: PersonView,
    },
    /// Jobs are brought to a named state, then the sign-in ends.
    Leaving,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct PersonView {
    /// The issuer's name for the person.
    pub subject: String,
    /// A name for people.
    pub name: String,
    /// Where the issuer tells it.
    pub email: Option<String>,
    /// Roles, as the cloud has them, or as the issuer says.
    pub roles: Vec<String>,
    /// When the sign-in is renewed, or ends where it cannot be.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub expires_ms: u64,
    /// Whether it is renewed by itself.
    pub renewed: bool,
    /// Whether it outlives the program.
    pub kept: bool,
}

/// What the person may do; where not, why not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct RightsView {
    /// Commission devices.
    pub commission: RightView,
    /// Move devices to another owner.
    pub transfer: RightView,
}

/// Whether something may be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum RightView {
    /// It may.
    Granted,
    /// Nobody is signed in.
    #[default]
    SignedOut,
    /// The cloud has not said yet.
    Unknown,
    /// The person's role lacks it.
    Lacking,
    /// The cloud's provisioning template is switched off.
    TemplateOff,
    /// Devices enrol by themselves there, so that it cannot be done from here.
    NotFromHere,
}

/// Bluetooth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct BluetoothView {
    /// Whether it listens right now.
    pub listening: bool,
    /// Why it does not, though it should.
    pub trouble: Option<Failure>,
    /// Whether jobs rest until that is over; they go on by themselves.
    pub paused: bool,
    /// The adapters of this computer.
    pub adapters: Vec<AdapterView>,
}

/// An adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct AdapterView {
    /// What to choose it by.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// Whether it is switched on.
    pub powered: bool,
}

/// The organisation's cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct CloudView {
    /// Which, such as `aws-iot`, once it has said so.
    pub name: Option<String>,
    /// The provisioning template.
    pub template: Option<String>,
    /// How long a claim lives, in seconds.
    pub claim_seconds: Option<u32>,
    /// How far this computer's clock is ahead of the cloud's, in seconds.
    #[cfg_attr(feature = "ts", ts(type = "number | null"))]
    pub clock_ahead: Option<i64>,
    /// How many things about it the office should know; the look at everything tells them.
    pub remarks: u32,
    /// The template's parameters that whoever commissions may give.
    pub form: Vec<FormField>,
    /// What this person gave for them last.
    pub given: BTreeMap<String, String>,
    /// How devices come to their identity, where they do so by themselves.
    pub way: Option<OwnWay>,
    /// Why it cannot be used.
    pub failure: Option<Failure>,
}

/// A device around.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct DeviceView {
    /// What the radio calls it.
    pub peripheral: PeripheralId,
    /// Its name, once heard.
    pub name: Option<String>,
    /// Its protocol.
    pub dialect: DialectKind,
    /// Median signal, dBm.
    pub signal: i16,
    /// When it was heard last.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub heard_ms: u64,
    /// Silent for so long that it may be gone.
    pub fading: bool,
    /// What is known of its label.
    pub label: LabelState,
    /// The job that works on it.
    pub job: Option<JobId>,
    /// When the journal last has it done, by what the radio calls it or by the serial that it proved.
    #[cfg_attr(feature = "ts", ts(type = "number | null"))]
    pub done_at: Option<i64>,
    /// Another device around has the same name: only the label tells them apart.
    pub namesake: bool,
    /// Its model, where the journal has met it; nothing on the air says it.
    pub model: Option<String>,
    /// Its firmware's version, from there too.
    pub firmware: Option<String>,
    /// The scheme of its encryption, such as `security 2 patch 1`: from there, or else as its label says.
    pub scheme: Option<String>,
    /// Its label says that it does not encrypt, and the journal does not know better.
    pub unencrypted: bool,
}

/// What is known of a device's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum LabelState {
    /// None was read.
    Missing,
    /// One was read that names it.
    Matched,
    /// A proof of possession was typed for it.
    Typed,
}

/// One of the labels that were read; names may stand on several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(type = "number"))]
pub struct LabelId(pub u64);

/// A label that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct LabelView {
    /// What to choose it by.
    pub id: LabelId,
    /// The name that the device advertises.
    pub name: String,
    /// Its serial.
    pub serial: Option<String>,
    /// Whether it has a proof of possession.
    pub pop: bool,
    /// Its network, where the file of labels names one.
    pub network: Option<String>,
    /// Whether a device of this name is heard. Where several have it, which of them the label is of is not known yet.
    pub in_range: bool,
    /// Its device, where that is known.
    pub device: Option<PeripheralId>,
    /// The job that uses it.
    pub job: Option<JobId>,
    /// Another label has a name that differs only in letters that look alike.
    pub look_alike: Option<String>,
    /// When it was read.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub read_ms: u64,
}

/// How all jobs of this run stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ProgressView {
    /// All.
    pub all: u32,
    /// Waiting for their device or a link.
    pub waiting: u32,
    /// In work.
    pub working: u32,
    /// Those that need a person.
    pub attention: u32,
    /// Done.
    pub done: u32,
    /// Failed.
    pub failed: u32,
    /// Unknown.
    pub unknown: u32,
    /// About how long the rest takes, in milliseconds, once that can be told.
    #[cfg_attr(feature = "ts", ts(type = "number | null"))]
    pub left_ms: Option<u64>,
}

/// A job that an earlier run left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct UnfinishedView {
    /// The job.
    pub job: JobId,
    /// The device's name.
    pub name: String,
    /// Its serial.
    pub serial: Option<String>,
    /// When it began.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub at: i64,
    /// Whether the device may have its settings, so that only the cloud knows how it ended.
    pub applied: bool,
    /// Whether the device is done, and only a claim that it did not use is left.
    pub done: bool,
    /// Whether a later visit commissioned the device, so that only this job's claim is left.
    pub superseded: bool,
    /// Whose it is: nobody else may take it up.
    pub whose: WhoseView,
}

/// Whose a job is, for the organisation in work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "of", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum WhoseView {
    /// Its own.
    Own,
    /// Another one's, whose profile has to be chosen first.
    Other {
        /// The name of that profile, where it is imported.
        profile: Option<String>,
        /// The issuer that its people sign in at.
        issuer: String,
    },
    /// It was begun before that was written down: the person has to say.
    Unknown,
}

/// A site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct SiteView {
    /// Its name.
    pub name: String,
    /// The profile's networks that it has, by name.
    pub networks: Vec<String>,
}

/// A network of the site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct NetworkView {
    /// Its name.
    pub ssid: String,
    /// Whether it hides its name.
    pub hidden: bool,
    /// Whether it is open, so that no passphrase is needed.
    pub open: bool,
    /// Whether its passphrase is in the keyring.
    pub remembered: bool,
    /// Whether the profile proposes it.
    pub proposed: bool,
    /// Whether a person added it, so that it can be forgotten; the profile's own networks stay.
    pub added: bool,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ExaminationView {
    /// Whether it is under way.
    pub running: bool,
    /// When it ended.
    #[cfg_attr(feature = "ts", ts(type = "number | null"))]
    pub at: Option<i64>,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// What the journal has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct JournalView {
    /// Which jobs were asked for.
    pub filter: JournalFilter,
    /// Those jobs, newest first; at most five hundred.
    pub jobs: Vec<JournalJobView>,
    /// How many there are in all.
    pub all: u32,
    /// Everybody who has jobs in it, by their subject at the issuer.
    pub people: Vec<String>,
    /// Every site that has jobs in it, by name.
    pub sites: Vec<String>,
    /// Entries that were checked, and why the check failed, once asked for.
    pub verified: Option<VerifiedView>,
}

/// How the check of the journal went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct VerifiedView {
    /// Entries that follow from each other.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub entries: u64,
    /// What is wrong.
    pub failure: Option<String>,
}

/// A job of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct JournalJobView {
    /// The job.
    pub job: JobId,
    /// The device's name.
    pub name: String,
    /// Its serial.
    pub serial: Option<String>,
    /// Who did it.
    pub person: String,
    /// The site that it was begun at, where one was named.
    pub site: Option<String>,
    /// When it began.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub at: i64,
    /// How it stands.
    pub outcome: JournalOutcome,
    /// Why, by the fault's stable code, unless done.
    pub code: Option<String>,
    /// Its name in the cloud.
    pub thing: Option<String>,
}

/// Everything that the journal has of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct StoryView {
    /// The job.
    pub job: JobId,
    /// The device's name.
    pub name: String,
    /// Its entries, in order.
    pub lines: Vec<StoryLine>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct StoryLine {
    /// Its number.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub number: i64,
    /// When.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub at: i64,
    /// Which step, by its stable code.
    pub step: String,
    /// What it names: a network, a claim, a credential, a fact; none where the step says all.
    pub detail: Option<String>,
    /// Whose word it is, for evidence.
    pub source: Option<commission::evidence::Source>,
}

/// Something that the person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct NoticeView {
    /// Its number, to dismiss it by.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub number: u64,
    /// Its stable code.
    pub code: String,
    /// Whether something did not work, or is only worth knowing.
    pub failed: bool,
    /// What happened.
    pub what: String,
    /// What to do now.
    pub now: String,
}
