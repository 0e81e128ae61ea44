//! What jobs write down and how they end, in words for the story.

use commission::flow::{Outcome, Step};

use super::device::called;
use super::programs::of_peripheral;

/// An outcome in words.
pub(super) fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done { principal, .. } => format!("done, with {principal}"),
        Outcome::Failed { stage, fault, undone } => {
            let undone = if *undone { "undone" } else { "not all is undone" };
            format!("failed at {stage:?}, {undone}: {fault}")
        }
        Outcome::Unknown { stage, fault } => format!("unknown at {stage:?}: {fault}"),
    }
}

/// An entry in words.
pub(super) fn words(step: &Step) -> String {
    match step {
        Step::Started { peripheral, .. } => {
            format!("that it starts with {}", called(of_peripheral(peripheral)))
        }
        Step::Identified { identity, .. } => format!("that {} proved itself", identity.serial),
        Step::Snapshot { .. } => "what the cloud knew".into(),
        Step::Claiming { serial, .. } => format!("that it asks for a claim for {serial}"),
        Step::Adopted { organisation } => format!("that it is {organisation}'s"),
        Step::Unclaimed { .. } => "that no claim lives under the key".into(),
        Step::Claimed { claim, .. } => format!("that {} came", claim.0),
        Step::SendingClaim { claim } => format!("that it sends {}", claim.0),
        Step::ClaimCommitted { claim } => format!("that the device has {}", claim.0),
        Step::Applying => "that it applies the settings".into(),
        Step::Resetting => "that it resets the settings".into(),
        Step::Evidence { evidence } => format!("{:?}, from the {:?}", evidence.fact, evidence.source),
        Step::Deactivated { principal } => format!("that {principal} is off"),
        Step::Deactivating { principal, .. } => format!("that it switches {principal} off"),
        Step::Releasing { thing } => format!("that it releases {thing}"),
        Step::Retiring { cleanup } => format!("that it will {}", cleanup.0),
        Step::Retired { cleanup } => format!("that it did {}", cleanup.0),
        Step::Finished { .. } => "the end".into(),
        Step::Linking => "that it links".into(),
        Step::WritingSettings { ssid } => format!("that it writes the settings of {ssid}"),
    }
}
