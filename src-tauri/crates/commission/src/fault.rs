//! Every way in which commissioning one device can go wrong, as exact reasons with stable codes.
//!
//! The sentences for people are not here: `engine::failure` maps each fault to what happened, why that is likely and
//! what to do now. The code is what logs, JSON output and the window's words are keyed by.

use alloc::boxed::Box;
use alloc::string::String;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::gatt::LinkError;

/// One exact reason.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    // found, linking
    /// The device is no longer heard.
    #[error("the device is not advertising")]
    NotAdvertising,
    /// The radio, the link or a GATT operation failed before the settings were applied.
    #[error("{0}")]
    Link(LinkError),
    /// An endpoint that `proto-ver` or the dialect promises is not there: stale cache or broken firmware.
    #[error("the device does not offer the endpoint {0}")]
    EndpointMissing(String),
    /// The device does not speak this dialect as it should.
    #[error("the device's answer makes no sense: {0}")]
    Protocol(String),

    // proving
    /// No PoP is known and the device wants one.
    #[error("the device's proof of possession is needed")]
    PopNeeded,
    /// The device refused the PoP.
    #[error("the proof of possession is wrong")]
    WrongPop,
    /// The device no longer takes any PoP.
    #[error("the device is locked after too many wrong proofs of possession")]
    LockedOut,
    /// The session is not encrypted and the policy does not allow that.
    #[error("the device offers no encryption")]
    Unencrypted,
    /// The session is not protected by a PoP and the policy does not allow that.
    #[error("the device asks for no proof of possession")]
    Unproven,
    /// The session reuses nonces and the policy does not allow that.
    #[error("the device's firmware reuses nonces")]
    NonceReuse,
    /// The device offers less protection than is known of it.
    #[error("the device offers {offered}, and is known for {known}")]
    Downgraded {
        /// What its label or an earlier job knows.
        known: &'static str,
        /// What it offers now.
        offered: &'static str,
    },
    /// The device proved nothing: it does not hold the secret itself.
    #[error("the device does not know its own proof of possession")]
    FalseDevice,
    /// A scheme that this version does not speak.
    #[error("the device wants security scheme {0}")]
    UnsupportedScheme(u32),

    // identifying
    /// The policy wants a proof of identity and the device cannot give one.
    #[error("the device cannot prove its identity")]
    IdentityMissing,
    /// The proof does not hold.
    #[error("the device's proof of identity does not hold: {0}")]
    IdentityForged(String),
    /// Its key holds, and neither the cloud nor a maker says whose it is.
    #[error("nobody vouches for the key that the device proved")]
    IdentityUnvouched,
    /// No maker that the profile names stands behind its certificate.
    #[error("no maker that the organisation profile names vouches for the device")]
    MakerUnknown,
    /// The proof could not be checked, which says nothing of the device.
    #[error("the device's proof of identity could not be checked: {0}")]
    IdentityUnchecked(String),
    /// The proof cannot be judged by this laptop's calendar, which is wrong.
    #[error("this laptop's date is wrong, so that the device's certificate cannot be judged")]
    LaptopDate,
    /// The maker's import does not list it.
    #[error("the device {0} is not in the maker's list")]
    UnknownDevice(String),
    /// Its key is another than the maker registered.
    #[error("the device {0} has another key than its maker registered")]
    CloneSuspected(String),
    /// The label and the device disagree about who it is.
    #[error("the label says {label}, the device says {device}")]
    LabelMismatch {
        /// Serial on the label.
        label: String,
        /// Serial the device proved.
        device: String,
    },
    /// It belongs to someone else.
    #[error("the device belongs to another owner")]
    OwnedByOther,
    /// It is registered already and this is no service visit.
    #[error("the device is commissioned already")]
    AlreadyCommissioned,
    /// It enrols by itself, so that nothing here can see to it that an earlier credential is off first.
    #[error("the device enrols by itself and cannot be moved to another owner from here")]
    EnrolsItself,
    /// Its firmware is too old.
    #[error("firmware {found} is older than {needed}")]
    FirmwareTooOld {
        /// What it runs.
        found: String,
        /// What the policy needs.
        needed: String,
    },
    /// No serial is known: neither a label nor an identity gave one.
    #[error("the device's serial number is not known")]
    SerialNeeded,

    // networking
    /// The device does not see the network.
    #[error("the device does not see the network {0}")]
    NetworkNotSeen(String),
    /// The device sees the network too weakly.
    #[error("the device sees the network {ssid} with {rssi} dBm only")]
    NetworkWeak {
        /// Name.
        ssid: String,
        /// Signal at the device, dBm.
        rssi: i16,
    },
    /// The device sees the network as one that wants a name and a password of its own for everybody (IEEE 802.1X).
    #[error("the network {0} is an enterprise network, which the device cannot join")]
    NetworkEnterprise(String),
    /// The device sees the network as open, and a passphrase is known for it: it may be another one of the name.
    #[error("the network {0} is open where the device is, and a passphrase is known for it")]
    NetworkOpen(String),
    /// The device's scan did not end.
    #[error("the device's network scan did not end")]
    ScanTimeout,
    /// The device refused the settings.
    #[error("the device refused the Wi-Fi settings (status {0})")]
    SettingsRefused(u32),
    /// The device holds settings of an earlier attempt and does not give them up.
    #[error("the device holds Wi-Fi settings of an earlier attempt")]
    SettingsHeld,
    /// The device cannot be corrected in place.
    #[error("this firmware must be switched off and on before it takes new Wi-Fi settings")]
    PowerCycleNeeded,

    // crediting
    /// The device takes no claim of ours.
    #[error("the device cannot take a claim")]
    CredentialsUnsupported,
    /// The cloud gave no claim.
    #[error("the cloud refused a claim ({code}): {message}")]
    ClaimRefused {
        /// The cloud's code.
        code: String,
        /// The cloud's words.
        message: String,
    },
    /// Fresh claims kept dying before the device had them.
    #[error("the claim expired before the device had it")]
    ClaimExpired,
    /// The claim does not fit.
    #[error("the claim has {need} bytes, the device takes {has}")]
    BufferTooSmall {
        /// The claim's size in bytes.
        need: u32,
        /// What the device takes.
        has: u32,
    },
    /// The device found the claim damaged or unfit.
    #[error("the device refused the claim: {0}")]
    ClaimRejected(String),

    // joining
    /// The access point refused the device, most likely for its passphrase.
    #[error("the network refused the device")]
    PassphraseRefused,
    /// The device sees the network as a protected one, and no passphrase is known.
    #[error("the network {0} is protected and no passphrase is known")]
    PassphraseNeeded(String),
    /// What was given cannot be a passphrase, so nothing was sent.
    #[error("a Wi-Fi passphrase has 8 to 63 characters")]
    PassphraseInvalid,
    /// The device could not find the network when it joined.
    #[error("the device did not find the network")]
    NetworkNotFound,
    /// Joined or trying, but no address in time.
    #[error("the device got no address in time")]
    JoinTimeout,

    // enrolling, verifying, released
    /// The cloud refused the device's enrolment.
    #[error("enrolment was refused ({code}): {message}")]
    EnrolmentRefused {
        /// The cloud's code.
        code: String,
        /// The cloud's words.
        message: String,
    },
    /// The device says that it could not reach the cloud.
    #[error("the device could not reach the cloud: {0}")]
    CloudUnreachableFromDevice(String),
    /// No sign of enrolment in time.
    #[error("the device did not enrol in time")]
    EnrolTimeout,
    /// Registered, but not seen online in time.
    #[error("the device is registered but was not seen online yet")]
    NotSeenOnline,
    /// One credential is active, and it is not the one that the device was given.
    #[error("the device's new credential is not active")]
    CredentialOff,
    /// More or fewer than one credential is active.
    #[error("the device has {0} active credentials instead of one")]
    ActiveCredentials(usize),
    /// The cloud did not release it.
    #[error("the cloud did not release the device ({code}): {message}")]
    ReleaseRefused {
        /// The cloud's code.
        code: String,
        /// The cloud's words.
        message: String,
    },

    // anywhere
    /// The person is no longer signed in.
    #[error("nobody is signed in")]
    SignedOut,
    /// The job belongs to another organisation, named by its cloud and issuer.
    #[error("the job belongs to another organisation: {0}")]
    OtherOrganisation(String),
    /// The job is of before jobs had an organisation, and nobody has said whose it is.
    #[error("nothing says to which organisation the job belongs")]
    OrganisationUnknown,
    /// A later job of the same device is done and settles this one.
    #[error("a later visit has commissioned the device")]
    Superseded,
    /// The cloud cannot be reached.
    #[error("the cloud cannot be reached: {0}")]
    CloudUnreachable(String),
    /// The cloud answered with an error.
    #[error("the cloud answered {code}: {message}")]
    Cloud {
        /// Its code.
        code: String,
        /// Its words.
        message: String,
    },
    /// A person stopped it; why it had asked, where a question stood open.
    #[error("stopped by a person{}", asked(.0.as_deref()))]
    Cancelled(Option<Box<Fault>>),
    /// A question stayed unanswered; why it was asked.
    #[error("nobody answered in time{}", asked(.0.as_deref()))]
    Unanswered(Option<Box<Fault>>),
    /// It ended for this reason, and what it gave the device for Wi-Fi could not be taken back.
    #[error("{0}; the device keeps the Wi-Fi settings")]
    SettingsKept(Box<Fault>),
    /// It ended for this reason after the device's earlier identity had been switched off, so that the device has none.
    #[error("{0}; the device's earlier identity is off, and it stays offline until it is commissioned")]
    EarlierOff(Box<Fault>),
    /// The device has nothing to show itself by.
    #[error("the device cannot blink on demand")]
    BlinkUnsupported,
    /// The journal could not be written, so nothing may be done.
    #[error("the journal cannot be written: {0}")]
    Journal(String),
}

impl Fault {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAdvertising => "not-advertising",
            Self::Link(error) => link_code(error),
            Self::EndpointMissing(_) => "endpoint-missing",
            Self::Protocol(_) => "protocol",
            Self::PopNeeded => "pop-needed",
            Self::WrongPop => "wrong-pop",
            Self::LockedOut => "locked-out",
            Self::Unencrypted => "unencrypted",
            Self::Unproven => "unproven",
            Self::NonceReuse => "nonce-reuse",
            Self::Downgraded { .. } => "downgraded",
            Self::FalseDevice => "false-device",
            Self::UnsupportedScheme(_) => "unsupported-scheme",
            Self::IdentityMissing => "identity-missing",
            Self::IdentityForged(_) => "identity-forged",
            Self::IdentityUnvouched => "identity-unvouched",
            Self::MakerUnknown => "maker-unknown",
            Self::IdentityUnchecked(_) => "identity-unchecked",
            Self::LaptopDate => "laptop-date",
            Self::UnknownDevice(_) => "unknown-device",
            Self::CloneSuspected(_) => "clone-suspected",
            Self::LabelMismatch { .. } => "label-mismatch",
            Self::OwnedByOther => "owned-by-other",
            Self::AlreadyCommissioned => "already-commissioned",
            Self::EnrolsItself => "enrols-itself",
            Self::FirmwareTooOld { .. } => "firmware-too-old",
            Self::SerialNeeded => "serial-needed",
            Self::NetworkNotSeen(_) => "network-not-seen",
            Self::NetworkWeak { .. } => "network-weak",
            Self::NetworkEnterprise(_) => "network-enterprise",
            Self::NetworkOpen(_) => "network-open",
            Self::ScanTimeout => "scan-timeout",
            Self::SettingsRefused(_) => "settings-refused",
            Self::SettingsHeld => "settings-held",
            Self::PowerCycleNeeded => "power-cycle-needed",
            Self::CredentialsUnsupported => "credentials-unsupported",
            Self::ClaimRefused { .. } => "claim-refused",
            Self::ClaimExpired => "claim-expired",
            Self::BufferTooSmall { .. } => "buffer-too-small",
            Self::ClaimRejected(_) => "claim-rejected",
            Self::PassphraseRefused => "passphrase-refused",
            Self::PassphraseNeeded(_) => "passphrase-needed",
            Self::PassphraseInvalid => "passphrase-invalid",
            Self::NetworkNotFound => "network-not-found",
            Self::JoinTimeout => "join-timeout",
            Self::EnrolmentRefused { .. } => "enrolment-refused",
            Self::CloudUnreachableFromDevice(_) => "cloud-unreachable-from-device",
            Self::EnrolTimeout => "enrol-timeout",
            Self::NotSeenOnline => "not-seen-online",
            Self::CredentialOff => "credential-off",
            Self::ActiveCredentials(_) => "active-credentials",
            Self::ReleaseRefused { .. } => "release-refused",
            Self::SignedOut => "signed-out",
            Self::OtherOrganisation(_) => "other-organisation",
            Self::OrganisationUnknown => "organisation-unknown",
            Self::Superseded => "superseded",
            Self::CloudUnreachable(_) => "cloud-unreachable",
            Self::Cloud { .. } => "cloud-error",
            Self::Cancelled(_) => "cancelled",
            Self::Unanswered(_) => "unanswered",
            // What went wrong stays what it is; that settings are left is said beside it.
            Self::SettingsKept(fault) => fault.code(),
            // A device that worked before is dead now: that outweighs why it was not given a new identity.
            Self::EarlierOff(_) => "earlier-identity-off",
            Self::BlinkUnsupported => "cannot-blink",
            Self::Journal(_) => "journal",
        }
    }
}

fn asked(open: Option<&Fault>) -> String {
    open.map(|fault| alloc::format!(" after it had asked, since {fault}"))
        .unwrap_or_default()
}

fn link_code(error: &LinkError) -> &'static str {
    match error {
        LinkError::NotConnected => "link-lost",
        LinkError::Att(_) => "device-refused",
        LinkError::NotPermitted | LinkError::InvalidLength | LinkError::NotSupported => "firmware-mismatch",
        LinkError::NotPaired => "pairing-needed",
        LinkError::InProgress => "device-busy",
        LinkError::Timeout => "no-answer",
        LinkError::OutOfReach => "out-of-reach",
        LinkError::AdapterOff => "adapter-off",
        LinkError::NoAdapter => "no-adapter",
        LinkError::NoService => "no-bluetooth-service",
        LinkError::NoPermission => "no-bluetooth-permission",
        LinkError::Missing => "stale-cache",
        LinkError::Other(_) => "bluetooth",
    }
}

/// What a cloud call can end with, other than well.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CloudError {
    /// The session has ended and cannot be renewed: sign in again.
    #[error("nobody is signed in")]
    SignedOut,
    /// No connection, no TLS, no answer in time.
    #[error("the cloud cannot be reached: {0}")]
    Unreachable(String),
    /// Come back later; seconds where the cloud says how many.
    #[error("the cloud asks to slow down")]
    Throttled {
        /// Seconds to wait, where stated.
        retry_after: Option<u32>,
    },
    /// The cloud understood and refused.
    #[error("the cloud refused ({code}): {message}")]
    Refused {
        /// Its stable code.
        code: String,
        /// Its words.
        message: String,
    },
    /// The answer cannot be understood.
    #[error("the cloud's answer makes no sense: {0}")]
    Nonsense(String),
}

impl CloudError {
    /// Whether the call may have done what it was for all the same.
    pub fn is_unclear(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Nonsense(_))
    }

    /// Whether the same call may go through later without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Throttled { .. })
    }
}

/// A fault as it is stored and shown: its code and its technical words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct FaultRecord {
    /// The stable code.
    pub code: String,
    /// The technical words, free of secrets.
    pub detail: String,
}

impl From<&Fault> for FaultRecord {
    fn from(fault: &Fault) -> Self {
        Self {
            code: fault.code().into(),
            detail: alloc::format!("{fault}"),
        }
    }
}
