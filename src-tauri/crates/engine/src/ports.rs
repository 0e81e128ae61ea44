//! What the engine needs of the world, as traits, so that a test or another system can stand behind each.
//!
//! The real ones are in `ble`, `cloud`, `vault`, `journal` and `system`; tests and the sandbox bring their own.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use commission::claim::{Claim, ClaimId, ClaimRequest, CleanupHandle, Endpoint};
use commission::device::{Serial, Sighting};
use commission::evidence::{Observation, Snapshot, Thing};
use commission::fault::CloudError;
use commission::flow::{JobId, Step};
use commission::gatt::{GattOp, GattTable, LinkError, PeripheralId};
use commission::ledger::Ledger;
use commission::organisation::OrganisationId;
use commission::rights::May;
use commission::secret::Token;
use commission::time::{Moment, UnixTime};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use url::Url;

/// A Bluetooth adapter of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Adapter {
    /// What the system calls it, such as `hci0`; what a person writes to choose it.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// Whether it is switched on.
    pub powered: bool,
}

/// What the radio is able to at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RadioState {
    /// Whether a scan that somebody asked for hears: it pauses while the radio connects.
    pub hears: bool,
    /// Why there are neither scans nor links, where the system has said so: [`LinkError::AdapterOff`],
    /// [`LinkError::NoAdapter`] or [`LinkError::NoService`].
    pub trouble: Option<LinkError>,
}

impl Default for RadioState {
    fn default() -> Self {
        Self {
            hears: true,
            trouble: None,
        }
    }
}

/// Bluetooth LE, as a central.
#[async_trait]
pub trait Radio: Send + Sync {
    /// What it is able to, told anew each time that changes. A radio that says nothing hears whenever it scans.
    fn state(&self) -> watch::Receiver<RadioState> {
        watch::Sender::new(RadioState::default()).subscribe()
    }

    /// The adapters of this machine.
    ///
    /// # Errors
    /// [`LinkError::NoService`] and [`LinkError::NoPermission`] where the system's Bluetooth cannot be asked.
    async fn adapters(&self) -> Result<Vec<Adapter>, LinkError>;

    /// Listens actively (names are in the scan response) until the receiver is dropped.
    ///
    /// # Errors
    /// [`LinkError::NoAdapter`], [`LinkError::AdapterOff`] and those of [`Radio::adapters`].
    async fn scan(&self) -> Result<mpsc::Receiver<Sighting>, LinkError>;

    /// Connects and discovers. Stops a scan under way first, and goes on with it later.
    ///
    /// # Errors
    /// [`LinkError`]; after [`LinkError::Timeout`] the attempt has been cancelled.
    async fn connect(&self, peripheral: &PeripheralId, timeout: Duration)
    -> Result<Box<dyn Link>, LinkError>;

    /// Waits until every attempt to connect that nobody waits for any more is broken off.
    async fn settle(&self) {}
}

/// One connection to one device.
#[async_trait]
pub trait Link: Send + Sync {
    /// What the device offers.
    fn table(&self) -> &GattTable;

    /// One operation; the answer is empty for a write.
    ///
    /// # Errors
    /// [`LinkError`] as the stack or the device gave it.
    async fn perform(&self, op: &GattOp) -> Result<Vec<u8>, LinkError>;

    /// Resolves once the link has ended by itself.
    fn lost(&self) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Gives the link back: returns once the stack has taken the order, which it carries out even if this program ends
    /// first.
    async fn disconnect(&self);

    /// Resolves once a link that was given back is over, or the stack has had more than its time. BlueZ takes two
    /// seconds for it, so nothing should wait for this on the critical path.
    fn over(&self) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// Who the cloud takes the signed-in person for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloudPerson {
    /// The subject at the issuer.
    pub subject: String,
    /// A name for people.
    pub name: String,
    /// Roles, such as `installer` and `support`.
    pub roles: Vec<String>,
}

/// A parameter that the provisioning template wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateParameter {
    /// Its name.
    pub name: String,
    /// Whether it must be given.
    pub required: bool,
    /// Its value when it is not given.
    #[serde(default)]
    pub default: Option<String>,
}

/// A field of the form that a template makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct FormField {
    /// The parameter.
    pub name: String,
    /// Whether work cannot begin without a value.
    pub required: bool,
    /// The value that it has where nobody gives one: the profile's, else the template's own.
    pub usual: Option<String>,
    /// What a value has to be.
    pub rule: FieldRule,
    /// The same as a regular expression for the whole value, in the syntax of HTML's `pattern`.
    pub pattern: String,
}

/// What the value of a parameter has to be, by what the template makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum FieldRule {
    /// Anything in one line of at most 800 characters.
    Line,
    /// It becomes an attribute of the thing, or a part of one (AWS IoT API reference, AttributePayload).
    Attribute,
    /// It becomes a part of the thing's name (AWS IoT API reference, ThingName).
    Name,
}

/// Why the values that a person gave for the template's parameters are of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// This cloud asks nobody for parameters.
    #[error("this cloud takes no parameters from whoever commissions")]
    NoForm,
    /// The template has no such parameter.
    #[error("the template has no parameter {0}")]
    Unknown(String),
    /// Parameters without a value of their own that nobody gave one.
    #[error("the template wants a value for {}", .0.join(", "))]
    Missing(Vec<String>),
    /// A value that AWS would not take.
    #[error("{name} cannot be {value:?}: {why}")]
    Unfit {
        /// The parameter.
        name: String,
        /// What was given.
        value: String,
        /// What a value has to be.
        why: &'static str,
    },
    /// The template could not be read.
    #[error(transparent)]
    Cloud(#[from] CloudError),
}

impl FillError {
    /// Code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoForm => "parameters-not-taken",
            Self::Unknown(_) => "parameter-unknown",
            Self::Missing(_) => "parameter-missing",
            Self::Unfit { .. } => "parameter-unfit",
            Self::Cloud(_) => "cloud",
        }
    }
}

/// How a device comes to its identity by itself, with no claim from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum OwnWay {
    /// With the claim in its firmware.
    SharedClaim,
    /// It is registered when it connects first.
    FirstConnection,
    /// It was registered before it left its maker.
    Beforehand,
}

impl OwnWay {
    /// One sentence for a person.
    pub fn says(self) -> &'static str {
        match self {
            Self::SharedClaim => {
                "Devices register themselves with the claim in their firmware; they get Wi-Fi alone and are watched \
                 until they are online."
            }
            Self::FirstConnection => {
                "Devices are registered when they first connect, which AWS refuses by design; they connect again by \
                 themselves. They get Wi-Fi alone and are watched until they are online."
            }
            Self::Beforehand => {
                "Devices were registered before they left their maker; they get Wi-Fi alone and are watched until \
                 they are online."
            }
        }
    }
}

/// The provisioning template that claims are for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// Whether it is switched on; where off, every enrolment would be refused.
    pub enabled: bool,
    /// Its parameters.
    #[serde(default)]
    pub parameters: Vec<TemplateParameter>,
}

/// What the cloud says before any work is begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preflight {
    /// Which cloud, such as `aws-iot`.
    pub cloud: String,
    /// Who it takes us for.
    pub person: CloudPerson,
    /// What we may do: `claim`, `observe`, `retire`, `release`, `transfer`.
    pub rights: Vec<String>,
    /// The template.
    pub template: Template,
    /// Where devices will go.
    pub endpoint: Endpoint,
    /// How long a claim lives.
    pub claim_life: Duration,
    /// The cloud's time.
    pub server_time: UnixTime,
    /// How far this machine's calendar clock is ahead of the cloud's, in seconds; negative where behind, none where the
    /// cloud does not say what time it is.
    pub clock_ahead: Option<i64>,
    /// The template's parameters that whoever commissions may give, with the values that are in force.
    pub form: Vec<FormField>,
    /// How devices come to their identity, where they do so by themselves.
    pub way: Option<OwnWay>,
    /// What is unwise about how the cloud is set up, for a person; none where nothing is.
    pub remarks: Vec<String>,
}

impl Preflight {
    /// Whether the person may commission devices.
    pub fn may_commission(&self) -> May {
        May::commission(&self.rights, self.template.enabled)
    }

    /// Whether the person may move devices to another owner.
    pub fn may_transfer(&self) -> May {
        match self.way {
            Some(_) => May::NotFromHere,
            None => May::transfer(&self.rights, self.template.enabled),
        }
    }
}

/// The cloud that devices enrol in, as a trusted user sees it.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// Checks sign-in, rights, template and clock.
    ///
    /// # Errors
    /// [`CloudError`].
    async fn preflight(&self) -> Result<Preflight, CloudError>;

    /// How far this machine's calendar clock is ahead of the cloud's, in seconds, as its last answer showed; none where
    /// none has.
    fn clock_ahead(&self) -> Option<i64> {
        None
    }

    /// Looks closer than [`Cloud::preflight`] at what this person may do, and says what is missing, one sentence each.
    /// Changes nothing. A cloud whose preflight tells all has nothing to add.
    ///
    /// # Errors
    /// [`CloudError`].
    async fn examine(&self) -> Result<Vec<String>, CloudError> {
        Ok(Vec::new())
    }

    /// Whether claims could be asked for with these values for the template's parameters; those that are not among
    /// them have the values that they have without anybody.
    ///
    /// # Errors
    /// [`FillError`].
    async fn check_parameters(&self, values: &BTreeMap<String, String>) -> Result<(), FillError> {
        if values.is_empty() {
            Ok(())
        } else {
            Err(FillError::NoForm)
        }
    }

    /// What it knows of a device. Values for the template's parameters may decide under which name it knows it.
    ///
    /// # Errors
    /// [`CloudError`]; an unlisted device is no error but a snapshot that says so.
    async fn snapshot(
        &self,
        serial: &Serial,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Snapshot, CloudError>;

    /// Issues a claim; repeating the request yields the same claim.
    ///
    /// # Errors
    /// [`CloudError`].
    async fn issue(&self, request: &ClaimRequest) -> Result<Claim, CloudError>;

    /// Looks at an enrolment; answers at once when there is news, else within twenty seconds.
    ///
    /// # Errors
    /// [`CloudError`].
    async fn observe(&self, claim: &ClaimId, after: u64) -> Result<Observation, CloudError>;

    /// Undoes a claim and what is half-made by it; idempotent.
    ///
    /// # Errors
    /// [`CloudError`].
    async fn retire(&self, cleanup: &CleanupHandle) -> Result<(), CloudError>;

    /// Switches an earlier credential off and shows what is left; idempotent.
    ///
    /// # Errors
    /// [`CloudError`].
    async fn deactivate(&self, thing: &str, principal: &str) -> Result<Thing, CloudError>;

    /// Releases a device to support and the OTA service; idempotent.
    ///
    /// # Errors
    /// [`CloudError`].
    async fn release(&self, thing: &str, claim: &ClaimId) -> Result<(), CloudError>;
}

/// What is kept in the OS keyring.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VaultEntry {
    /// The sign-in at an issuer: the refresh token, whose it is and where its tokens may go.
    SignIn {
        /// The issuer.
        issuer: String,
        /// What the issuer calls this program.
        client: String,
    },
    /// The passphrase of a network of an organisation.
    Network {
        /// The organisation.
        organisation: OrganisationId,
        /// The network's name.
        ssid: String,
    },
    /// As earlier versions kept a refresh token: by a profile's name, which any file can have. Only read, moved and
    /// forgotten.
    RefreshToken {
        /// The profile's name.
        profile: String,
    },
    /// As earlier versions kept the passphrase of a network. Only read, moved and forgotten.
    NetworkPassphrase {
        /// The profile's name.
        profile: String,
        /// The network's name.
        ssid: String,
    },
}

/// Why the keyring did not serve.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VaultError {
    /// There is no keyring on this system or session.
    #[error("there is no keyring: {0}")]
    Absent(String),
    /// It is locked and was not unlocked.
    #[error("the keyring is locked")]
    Locked,
    /// Another process of this person works with the entry and did not finish in time.
    #[error(
        "another Fieldkey is busy with the sign-in and does not finish; end it, or wait until it has ended"
    )]
    Busy,
    /// Anything else, as the system put it.
    #[error("the keyring failed: {0}")]
    Failed(String),
}

/// That nobody else replaces an entry of the keyring; ends when it is dropped.
pub struct Hold(
    #[expect(dead_code, reason = "it is there to be dropped")] Option<Box<dyn Any + Send + Sync>>,
);

impl Hold {
    /// Kept up by this.
    pub fn by(guard: impl Any + Send + Sync) -> Self {
        Self(Some(Box::new(guard)))
    }

    /// Where nobody else can reach the entry, or where they cannot be kept away.
    pub fn none() -> Self {
        Self(None)
    }
}

/// The OS keyring.
#[async_trait]
pub trait Vault: Send + Sync {
    /// Keeps other processes of this person from replacing the entry. Who is about to use up a secret that works only
    /// once, and to write the next one, takes this before reading it and drops it once the next one is kept.
    ///
    /// # Errors
    /// [`VaultError::Busy`] where another process has it and does not let go; the secret must not be used then.
    async fn hold(&self, _: &VaultEntry) -> Result<Hold, VaultError> {
        Ok(Hold::none())
    }

    /// Reads an entry; `None` where there is none.
    ///
    /// # Errors
    /// [`VaultError`].
    async fn read(&self, entry: &VaultEntry) -> Result<Option<Token>, VaultError>;

    /// Writes an entry.
    ///
    /// # Errors
    /// [`VaultError`].
    async fn write(&self, entry: &VaultEntry, secret: &Token) -> Result<(), VaultError>;

    /// Forgets an entry; none there is no error.
    ///
    /// # Errors
    /// [`VaultError`].
    async fn forget(&self, entry: &VaultEntry) -> Result<(), VaultError>;
}

/// Why the journal did not serve.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JournalError {
    /// The disk or the database.
    #[error("the journal cannot be used: {0}")]
    Storage(String),
    /// An entry was changed or removed after it was written.
    #[error("the journal was changed: entry {0} does not follow from the one before")]
    Broken(i64),
    /// An entry was written by a newer version.
    #[error("the journal was written by a newer version of Fieldkey: {0}")]
    Unreadable(String),
}

/// An entry of the journal as it stands on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalEntry {
    /// Its number, rising by one.
    pub number: i64,
    /// Of which job.
    pub job: JobId,
    /// When it was written, by this machine's calendar clock.
    pub at: UnixTime,
    /// Who was signed in: the subject at the issuer.
    pub person: String,
    /// What it says.
    #[serde(flatten)]
    pub step: Step,
}

/// The durable record of every step, in order, never rewritten.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends an entry; once this returns, it survives a crash.
    ///
    /// # Errors
    /// [`JournalError`].
    async fn append(&self, job: JobId, person: &str, step: &Step) -> Result<(), JournalError>;

    /// All entries of a job, in order.
    ///
    /// # Errors
    /// [`JournalError`].
    async fn entries(&self, job: JobId) -> Result<Vec<JournalEntry>, JournalError>;

    /// All jobs, newest first, each by its first entry.
    ///
    /// # Errors
    /// [`JournalError`].
    async fn jobs(&self) -> Result<Vec<JournalEntry>, JournalError>;

    /// All jobs, oldest first, each by its last entry.
    ///
    /// # Errors
    /// [`JournalError`].
    async fn ends(&self) -> Result<Vec<JournalEntry>, JournalError>;

    /// Which devices all jobs worked on and what those showed of themselves, oldest first: that a job began or turned to
    /// another device, that possession was proved, and who the device is.
    ///
    /// # Errors
    /// [`JournalError`].
    async fn shown(&self) -> Result<Vec<JournalEntry>, JournalError>;

    /// Jobs that have no end yet, or one that left something, oldest first.
    ///
    /// # Errors
    /// [`JournalError`].
    async fn unfinished(&self) -> Result<Vec<JobId>, JournalError> {
        let ledger = self.ledger().await?;
        Ok(ledger.open().map(|open| open.record.job).collect())
    }

    /// What all jobs together say; of jobs that are settled, at least what those that are not have to be held against.
    ///
    /// # Errors
    /// [`JournalError`].
    async fn ledger(&self) -> Result<Ledger, JournalError> {
        let mut entries = Vec::new();
        for first in self.jobs().await? {
            entries.extend(self.entries(first.job).await?);
        }
        entries.sort_by_key(|entry| entry.number);
        let steps = entries.into_iter().map(|entry| (entry.job, entry.step));
        Ok(Ledger::of(steps))
    }

    /// Checks that nothing was changed; the number of entries.
    ///
    /// # Errors
    /// [`JournalError::Broken`] names the first entry that does not follow.
    async fn verify(&self) -> Result<u64, JournalError>;
}

/// Time and randomness of this machine.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The monotonic clock.
    fn now(&self) -> Moment;
    /// The calendar, for people and the journal, never for a deadline.
    fn unix(&self) -> UnixTime;
    /// Waits.
    async fn sleep_until(&self, moment: Moment);
}

/// Why the system's browser did not open.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the browser could not be opened: {0}")]
pub struct BrowserError(pub String);

/// Why the desktop did not do as it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ShellError(pub String);

/// The desktop around a window.
#[async_trait]
pub trait Shell: Send + Sync {
    /// Starts simulated devices with a cloud of their own, and a program that works there, in place of this one.
    ///
    /// # Errors
    /// [`ShellError`] says what is missing; this program goes on then.
    async fn try_simulated(&self) -> Result<(), ShellError>;
}

/// The system's browser.
pub trait Browser: Send + Sync {
    /// Opens a page.
    ///
    /// # Errors
    /// [`BrowserError`]; the caller then shows the address instead.
    fn open(&self, page: &Url) -> Result<(), BrowserError>;
}
