//! Dialects: the BLE provisioning protocols that devices speak, as machines over bytes.
//!
//! A dialect takes a [`Command`], asks for GATT operations one at a time, and ends with one [`Report`]. It says what
//! it can do ([`Capabilities`]); the flow and the window ask the capabilities, never the dialect's name.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::claim::{Claim, ClaimForm};
use crate::device::{DialectKind, IdentityProof, Sighting};
use crate::fault::Fault;
use crate::gatt::{GattOp, GattTable, LinkError};
use crate::network::{Network, SeenNetwork, Ssid};
use crate::policy::Limits;
use crate::secret::{Entropy, Pop};
use crate::time::{Moment, UnixTime};

pub mod espressif;

/// The dialect of an advertisement; `None` where it offers no provisioning that we know.
pub fn recognise(sighting: &Sighting) -> Option<DialectKind> {
    espressif::advert::recognise(sighting).map(|_| DialectKind::Espressif)
}

/// A dialect's client half for a device that was just linked and discovered.
pub fn client(kind: DialectKind, table: &GattTable, limits: &Limits) -> Box<dyn Client + Send> {
    match kind {
        DialectKind::Espressif => Box::new(espressif::client::Espressif::new(table, limits)),
    }
}

/// How strongly a session is protected, weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strength {
    /// Not at all, or nothing is known.
    #[default]
    Nothing,
    /// Against listeners; whoever answers gets what is sent.
    Encryption,
    /// By a PoP that whoever answers can try to guess afterwards, without the device.
    GuessablePop,
    /// By a PoP that cannot be guessed so, over a cipher that reuses nonces.
    ReusedNonces,
    /// By a PoP that cannot be guessed so, over a sound cipher.
    Full,
}

impl Strength {
    /// For a person, as what a device offers.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Nothing => "no encryption",
            Self::Encryption => "encryption without a proof of possession",
            Self::GuessablePop => "a proof of possession that can be guessed afterwards (security 1)",
            Self::ReusedNonces => "security 2 with reused nonces (patch 0)",
            Self::Full => "security 2",
        }
    }
}

/// How a session was protected that an earlier job opened, by the words of [`Report::Opened`] that its journal has. Words
/// of another version are no knowledge.
pub fn strength_of(kind: DialectKind, scheme: &str) -> Strength {
    match kind {
        DialectKind::Espressif => espressif::strength_of(scheme),
    }
}

/// What a device can do, as far as it has said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// How the session will be protected.
    pub strength: Strength,
    /// The session will be encrypted.
    pub encrypted: bool,
    /// The session is protected by a PoP.
    pub pop: bool,
    /// The session reuses nonces (Espressif Security 2, patch 0).
    pub nonce_reuse: bool,
    /// It can list the networks that it sees.
    pub network_scan: bool,
    /// Wrong settings can be corrected on the same link.
    pub retry_in_place: bool,
    /// The link outlives the join, and the device can leave the network that it joined.
    pub keep_link: bool,
    /// The forms of claim it takes, best first; empty where it takes none.
    pub claims: Vec<ClaimForm>,
    /// It can prove its identity.
    pub identity: bool,
    /// It reports enrolment while the link lives.
    pub enrol_status: bool,
    /// It can blink.
    pub blink: bool,
    /// One line for a person and the log, such as `Espressif v1.1, security 2 patch 1`.
    pub summary: String,
}

/// What a dialect can be told to do. At most one is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a link has one command at a time, so nothing is gained by keeping the claim apart"
)]
pub enum Command {
    /// Map the endpoints and ask what the device can do. First of all; needs no session.
    Describe,
    /// Open the session with this PoP (none where the device wants none).
    Open {
        /// The PoP.
        pop: Option<Pop>,
        /// User name of Espressif Security 2; the usual one where absent.
        username: Option<String>,
        /// Wrong PoPs that the device was sent before: some close the link at each, and count on.
        refusals: u8,
    },
    /// Prove identity over this challenge.
    Identify {
        /// 32 random bytes.
        challenge: [u8; 32],
    },
    /// Show which device this is.
    Blink,
    /// List the networks that the device sees.
    Scan,
    /// Take the settings, without applying them.
    SetNetwork(Network),
    /// Take the claim: begin, all chunks, commit. Continues where a broken transfer of the same claim stopped.
    SendClaim {
        /// The claim.
        claim: Claim,
        /// Calendar time by the cloud's clock, for devices that have none.
        now: UnixTime,
    },
    /// Wipe a claim that was sent.
    AbortClaim,
    /// Apply the settings.
    Apply,
    /// How is the join?
    JoinStatus,
    /// How is the enrolment?
    EnrolStatus,
    /// Forget applied settings so that others can be set, on the same link. Refused with
    /// [`Fault::SettingsRefused`] where the device cannot, or where firmware of some age has nothing to forget.
    ResetNetwork,
}

/// How a join stands. "Joining" also stands before anything was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Join {
    /// Under way; attempts that the firmware still grants itself, where it says so.
    Joining {
        /// Attempts left.
        attempts_left: Option<u32>,
    },
    /// Joined, with an address.
    Joined {
        /// IPv4 address as text.
        address: String,
        /// The network that it says it is in.
        network: Option<Ssid>,
    },
    /// The access point refused the device.
    Refused,
    /// The network was not found.
    NotFound,
    /// Not connected, without a reason.
    Disconnected,
}

/// How the device says its enrolment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrol {
    /// Not begun.
    Waiting,
    /// Connecting to the cloud with the claim.
    Connecting,
    /// Connected with the claim.
    CloudReached,
    /// Permanent credential received or signed.
    IdentityIssued {
        /// The cloud's name for it.
        principal: String,
    },
    /// Registered.
    Registered {
        /// Its name in the cloud, where the template gives one.
        thing: Option<String>,
        /// The permanent credential.
        principal: String,
    },
    /// Online under the permanent identity.
    Online {
        /// Its name in the cloud, where the template gives one.
        thing: Option<String>,
        /// The permanent credential.
        principal: String,
    },
    /// Refused by the cloud; a fresh claim may help or not, the code tells.
    Refused {
        /// The cloud's code as the device received it.
        code: String,
        /// The cloud's words as the device received them.
        message: String,
    },
    /// The endpoint could not be reached: name, TLS or connection.
    Unreachable {
        /// The device's own words.
        reason: String,
    },
    /// The claim died before it was used.
    ClaimExpired,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// [`Command::Describe`] is done.
    Described(Capabilities),
    /// [`Command::Open`] is done: both sides proved the PoP. Capabilities may have been corrected on the way.
    Opened {
        /// Such as `security 2 patch 1`.
        scheme: String,
        /// The capabilities as they now stand.
        capabilities: Capabilities,
    },
    /// [`Command::Identify`] is done; nothing is verified yet.
    Identified(IdentityProof),
    /// [`Command::Blink`] is done.
    Blinked,
    /// [`Command::Scan`] is done; strongest first, one row a name.
    Networks(Vec<SeenNetwork>),
    /// [`Command::SetNetwork`] is done.
    NetworkSet,
    /// [`Command::SendClaim`] is under way; not the end.
    ClaimProgress {
        /// Bytes that the device has.
        sent: u32,
        /// Bytes in all.
        total: u32,
    },
    /// [`Command::SendClaim`] is done: the device checked and stored all of it.
    ClaimCommitted,
    /// [`Command::AbortClaim`] is done.
    ClaimAborted,
    /// [`Command::Apply`] is done.
    Applied,
    /// [`Command::JoinStatus`] is done.
    Join(Join),
    /// [`Command::EnrolStatus`] is done.
    Enrol(Enrol),
    /// [`Command::ResetNetwork`] is done.
    NetworkReset,
    /// The command failed. Whether the session still stands is for [`Client::session_stands`] to say.
    Failed(Fault),
}

/// A dialect's client half: our side of one link.
pub trait Client {
    /// Begins a command; a command under way is the caller's mistake and yields [`Fault::Protocol`].
    fn begin(&mut self, command: Command, now: Moment, entropy: &mut dyn Entropy);
    /// Takes the result of the operation that [`Client::poll_gatt`] gave last.
    fn handle(&mut self, result: Result<Vec<u8>, LinkError>, now: Moment, entropy: &mut dyn Entropy);
    /// Lets time pass; does something only at [`Client::poll_timeout`].
    fn handle_timeout(&mut self, now: Moment);
    /// The next GATT operation to do, once.
    fn poll_gatt(&mut self) -> Option<GattOp>;
    /// The next report, once.
    fn poll_report(&mut self) -> Option<Report>;
    /// When [`Client::handle_timeout`] wants to be called.
    fn poll_timeout(&self) -> Option<Moment>;
    /// Whether another command can follow on this session.
    fn session_stands(&self) -> bool;
}
