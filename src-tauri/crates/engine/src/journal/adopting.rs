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
            journal
                .append(job, person, &Step::Adopted { organisation })
                .await?;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use commission::ledger::Open;
    use rusqlite::Connection;
    use uuid::Uuid;

    use super::*;
    use crate::fixtures::{organisation, work};
    use crate::journal::SqliteJournal;

    /// Written by Fieldkey before jobs had an organisation. 1 was killed after it was applied, 2 is done, 3 was killed
    /// like 1 and its device done by 4, 5 is undone, 6 was killed before anything was asked for.
    const OLD: &str = include_str!("before_organisations.sql");

    fn job(number: u128) -> JobId {
        JobId(Uuid::from_u128(number))
    }

    fn old(dir: &tempfile::TempDir) -> SqliteJournal {
        let path = dir.path().join("journal.sqlite");
        Connection::open(&path).unwrap().execute_batch(OLD).unwrap();
        SqliteJournal::open(&path).unwrap()
    }

    #[tokio::test]
    async fn a_journal_of_before_jobs_had_an_organisation_opens_and_its_open_jobs_are_to_be_asked_about() {
        let dir = tempfile::tempdir().unwrap();
        let journal = old(&dir);
        assert_eq!(journal.verify().await, Ok(55));
        let ledger = journal.ledger().await.unwrap();
        let harbour = organisation("harbour");
        let said = |open: Open<'_>| {
            assert_eq!(open.record.whose(Some(&harbour)), Whose::Unknown);
            (open.record.job, open.superseded_by)
        };
        let open: Vec<_> = ledger.open().map(said).collect();
        assert_eq!(open, [(job(1), None), (job(3), Some(job(4))), (job(6), None)]);
    }

    #[tokio::test]
    async fn whose_an_old_job_is_is_asked_once_and_the_chain_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let journal = old(&dir);
        let (work, harbour) = (work(), organisation("harbour"));
        let before = journal.verify().await.unwrap();
        for _ in 0..2 {
            let said = adopt(&work, &journal, job(1), &harbour, "bob").await;
            assert_eq!(said, Ok(()));
        }
        for settled in [job(2), job(5), job(9)] {
            let said = adopt(&work, &journal, settled, &harbour, "bob").await;
            assert_eq!(said, Err(AdoptError::NotOpen));
        }
        assert_eq!(journal.verify().await, Ok(before + 1));
        let ledger = journal.ledger().await.unwrap();
        let whose = |number| ledger.open_job(job(number)).unwrap().record.organisation();
        assert_eq!((whose(1), whose(3)), (Some(&harbour), None));
        let last = journal.entries(job(1)).await.unwrap().pop().unwrap();
        assert_eq!(
            (last.person.as_str(), last.step),
            (
                "bob",
                Step::Adopted {
                    organisation: harbour.clone()
                }
            )
        );
    }
}
