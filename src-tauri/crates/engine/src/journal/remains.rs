//! What an earlier run left, read from a job's entries; how steps are read is the flow's own business.

use commission::flow::{OutcomeRecord, Remains, Step};

use crate::ports::JournalEntry;

/// What is left of a job, given its entries in order.
pub fn remains(entries: &[JournalEntry]) -> Remains {
    Remains::of(entries.iter().map(|entry| &entry.step))
}

/// Whether a job with this last step has nothing left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// Failed with all effects undone.
    Yes,
    /// Done. A claim that it replaced may be left, which the steps before say.
    Done,
    /// Unknown is no end, nor is a failure that left something in the cloud.
    No,
}

impl From<&Step> for Settled {
    fn from(last: &Step) -> Self {
        match last {
            Step::Finished { outcome } => match outcome {
                OutcomeRecord::Done { .. } => Self::Done,
                OutcomeRecord::Failed { undone: true, .. } => Self::Yes,
                OutcomeRecord::Failed { undone: false, .. } | OutcomeRecord::Unknown { .. } => Self::No,
            },
            _ => Self::No,
        }
    }
}
