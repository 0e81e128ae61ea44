//! What an earlier run left, read from a job's entries; how steps are read is the flow's own business.

use commission::flow::{OutcomeRecord, Remains, Step};

use crate::ports::JournalEntry;

/// What is left of a job, given its entries in order.
pub fn remains(entries: &[JournalEntry]) -> Remains {
    Remains::of(entries.iter().map(|entry| &entry.step))
}

/// Whether a job with this last step has nothing left: done, or failed with all effects undone. Unknown is no end, nor
/// is a failure that left something in the cloud.
pub(super) fn settles(step: &Step) -> bool {
    matches!(
        step,
        Step::Finished {
            outcome: OutcomeRecord::Done { .. } | OutcomeRecord::Failed { undone: true, .. }
        }
    )
}
