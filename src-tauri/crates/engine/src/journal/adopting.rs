//! A person says whose a job is that began before jobs had an organisation; written down, so that it is asked once.

use commission::flow::{JobId, Step};
use commission::ledger::Whose;
use commission::organisation::OrganisationId;
use thiserror::Error;

use crate::ports::{Journal, JournalError};
use crate::settings::Work;

/// Why it could not be written down.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AdoptError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// No such job is open.
    #[error("the job is not open any more")]
    NotOpen,
    /// The journal says whose it is.
    #[error("the job belongs to another organisation: {0}")]
    Other(OrganisationId),
}

/// Writes down that a job belongs to this organisation, which this person has said. One that does already is left as it
/// is. Whoever asks holds the right to run jobs, so that nobody takes the job up meanwhile.
///
/// # Errors
/// [`AdoptError`].
pub async fn adopt(
    _: &Work,
    journal: &dyn Journal,
    job: JobId,
    organisation: &OrganisationId,
    person: &str,
) -> Result<(), AdoptError> {
    let ledger = journal.ledger().await?;
    let open = ledger.open_job(job).ok_or(AdoptError::NotOpen)?;
    match open.record.whose(Some(organisation)) {
        Whose::Own => Ok(()),
        Whose::Other(other) => Err(AdoptError::Other(other.clone())),
        Whose::Unknown => {
            let organisation = organisation.clone();
            journal.append(job, person, &Step::Adopted { organisation }).await?;
            Ok(())
        }
    }
}
