//! What a person, or a program for them, can ask the engine for: the only way down.

use std::collections::BTreeMap;

use commission::claim::Purpose;
use commission::device::Serial;
use commission::dialect::Strength;
use commission::fault::Fault;
use commission::flow::{Answer, JobId, QuestionId};
use commission::gatt::PeripheralId;
use commission::label::Label;
use commission::network::Network;
use commission::secret::Pop;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::system::EntropyError;

/// Which device is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one that the list shows.
    Peripheral(PeripheralId),
    /// The one that advertises this name; it may not be heard yet. Where several do, the PoP tells which.
    Name(String),
}

/// One device to commission.
#[derive(Clone, Debug)]
pub struct Order {
    /// Which.
    pub target: Target,
    /// Its serial, where the label says it.
    pub serial: Option<Serial>,
    /// Its PoP, where known; else the person is asked.
    pub pop: Option<Pop>,
    /// Espressif Security 2 user name, where the label says it.
    pub username: Option<String>,
    /// How strongly its session is protected, where the label says so: a device that offers less is another one.
    pub strength: Option<Strength>,
    /// The network, where chosen; else the person is asked.
    pub network: Option<Network>,
    /// The site that it is commissioned at, where one is named; goes to the journal.
    pub site: Option<String>,
    /// Why it is commissioned.
    pub purpose: Purpose,
    /// Values for the template's parameters, by name.
    pub parameters: BTreeMap<String, String>,
}

/// A device to let blink.
#[derive(Debug)]
pub struct Blink {
    /// Which, as the list shows it.
    pub peripheral: PeripheralId,
    /// Its label, without which most devices do nothing.
    pub label: Option<Label>,
    /// Told how it went; whoever has dropped the other end does not want to know.
    pub reply: oneshot::Sender<Result<(), BlinkError>>,
}

/// Why a device did not blink.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum BlinkError {
    /// A job has its one link.
    #[error("a job works on this device, which has one link only")]
    InWork,
    /// As the device or the radio said.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// There are no random numbers for a session.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// A request.
#[derive(Debug)]
pub enum Request {
    /// Listen for devices; answered by the view's list.
    Listen,
    /// Stop listening, as soon as no job needs to find its device.
    StopListening,
    /// Commission a device, under an id that the caller makes.
    Commission(JobId, Box<Order>),
    /// Let a device blink that no job works on.
    Blink(Box<Blink>),
    /// Finish what an earlier run left: settle with the cloud, undo, or both.
    Resume(JobId),
    /// Only undo what an earlier run left. Needs no device.
    Undo(JobId),
    /// Answer this question of a job.
    Answer(JobId, QuestionId, Answer),
    /// Stop a job; it ends in a named state.
    Cancel(JobId),
    /// Stop all jobs.
    CancelAll,
}
