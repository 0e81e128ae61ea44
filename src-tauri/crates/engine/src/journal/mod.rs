//! The durable record of every step, in SQLite: written before the step, never rewritten.
//!
//! One table, `entries`, in which each entry carries the hash of the one before; [`remains`] reads a job's entries
//! back into what is left to finish or undo. No secret ever gets here, because no [`Step`] can hold one.
//!
//! Several processes may use one journal at once. Not in scope: what to do about what remains; the flow decides.

mod adopting;
mod entries;
mod remains;

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use commission::flow::{JobId, Step};
use commission::ledger::Ledger;
use commission::time::UnixTime;
use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite_migration::{Error as MigrationError, M, MigrationDefinitionError, Migrations};

use crate::ports::{Journal, JournalEntry, JournalError};
use crate::settings::make_private_dir;
pub use adopting::{AdoptError, adopt};
use remains::Settled;
pub use remains::remains;

/// How long a writer waits for another process's: an append takes milliseconds, a backup program's lock some seconds.
const BUSY: Duration = Duration::from_secs(10);
/// The schema, one migration a version; a published one is never changed.
const SCHEMA: &[M<'_>] = &[M::up(entries::MIGRATION)];
const MIGRATIONS: Migrations<'_> = Migrations::from_slice(SCHEMA);

/// The journal in a file.
#[derive(Clone, Debug)]
pub struct SqliteJournal {
    connection: Arc<Mutex<Connection>>,
}

impl SqliteJournal {
    /// Opens the journal, making it where it is not there. Blocks for some file operations.
    ///
    /// # Errors
    /// [`JournalError::Storage`]; [`JournalError::Unreadable`] where a newer version of Fieldkey has changed the
    /// schema.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        if let Some(dir) = path.parent() {
            make_private_dir(dir).map_err(|error| storage_at(dir, &error))?;
        }
        // Switching to WAL and migrating do not wait for each other within SQLite, so one process does both at a time.
        let lock_path = path.with_extension("lock");
        let lock = private_file(&lock_path)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| storage_at(&lock_path, &error))?;
        // SQLite gives its side files the mode of the database.
        private_file(path).map_err(|error| storage_at(path, &error))?;
        let connection = connect(path)?;
        drop(lock);
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    async fn with<T, F>(&self, work: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, JournalError> + Send + 'static,
    {
        let connection = Arc::clone(&self.connection);
        tokio::task::spawn_blocking(move || {
            // A panic in between leaves at worst an open transaction, which its drop has rolled back.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection)
        })
        .await
        .map_err(|error| JournalError::Storage(error.to_string()))?
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn append(&self, job: JobId, person: &str, step: &Step) -> Result<(), JournalError> {
        let at = UnixTime(Timestamp::now().as_second());
        let (person, step) = (person.to_owned(), step.clone());
        self.with(move |connection| entries::append(connection, job, at, &person, &step))
            .await
    }

    async fn entries(&self, job: JobId) -> Result<Vec<JournalEntry>, JournalError> {
        self.with(move |connection| entries::of_job(connection, job))
            .await
    }

    async fn jobs(&self) -> Result<Vec<JournalEntry>, JournalError> {
        self.with(|connection| entries::first_of_jobs(connection)).await
    }

    async fn ends(&self) -> Result<Vec<JournalEntry>, JournalError> {
        self.with(|connection| entries::last_of_jobs(connection)).await
    }

    async fn shown(&self) -> Result<Vec<JournalEntry>, JournalError> {
        self.with(|connection| entries::shown_by_devices(connection))
            .await
    }

    async fn ledger(&self) -> Result<Ledger, JournalError> {
        self.with(|connection| {
            // One snapshot: another process may append meanwhile.
            let snapshot = connection
                .unchecked_transaction()
                .map_err(|error| storage(&error))?;
            // Only a job that asked for several claims can be done and leave one; most need not be read.
            let replaced = entries::jobs_of_several_claims(&snapshot)?;
            let mut open = Vec::new();
            for last in entries::last_of_jobs(&snapshot)? {
                if match Settled::from(&last.step) {
                    Settled::Yes => false,
                    Settled::No => true,
                    Settled::Done => replaced.contains(&last.job),
                } {
                    open.push(last.job);
                }
            }
            if open.is_empty() {
                return Ok(Ledger::default());
            }
            let entries = entries::for_ledger(&snapshot, &open)?;
            Ok(Ledger::of(
                entries.into_iter().map(|entry| (entry.job, entry.step)),
            ))
        })
        .await
    }

    async fn verify(&self) -> Result<u64, JournalError> {
        self.with(|connection| entries::verify(connection)).await
    }
}

fn connect(path: &Path) -> Result<Connection, JournalError> {
    let mut connection = Connection::open(path).map_err(|error| storage(&error))?;
    connection.busy_timeout(BUSY).map_err(|error| storage(&error))?;
    for (pragma, value) in [
        ("journal_mode", "WAL"),
        // An append returns only when the disk has it: this is a write-ahead record of effects outside.
        ("synchronous", "FULL"),
        ("foreign_keys", "ON"),
        // Without this, replacing a row would go past the triggers that forbid deletion.
        ("recursive_triggers", "ON"),
    ] {
        connection
            .pragma_update(None, pragma, value)
            .map_err(|error| storage(&error))?;
    }
    match MIGRATIONS.to_latest(&mut connection) {
        Ok(()) => Ok(connection),
        Err(MigrationError::MigrationDefinition(MigrationDefinitionError::DatabaseTooFarAhead)) => Err(
            JournalError::Unreadable(format!("install the newest Fieldkey to use {}", path.display())),
        ),
        Err(error) => Err(JournalError::Storage(error.to_string())),
    }
}

fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn storage(error: &rusqlite::Error) -> JournalError {
    JournalError::Storage(error.to_string())
}

fn storage_at(path: &Path, error: &std::io::Error) -> JournalError {
    JournalError::Storage(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use commission::claim::{ClaimId, CleanupHandle, Purpose};
    use commission::device::DialectKind;
    use commission::fault::FaultRecord;
    use commission::flow::{OutcomeRecord, Stage};
    use uuid::Uuid;

    fn open(dir: &tempfile::TempDir) -> SqliteJournal {
        SqliteJournal::open(&dir.path().join("data/journal.sqlite")).unwrap()
    }

    fn job(number: u128) -> JobId {
        JobId(Uuid::from_u128(number))
    }

    fn started() -> Step {
        begun(None)
    }

    fn begun(site: Option<&str>) -> Step {
        Step::Started {
            peripheral: commission::gatt::PeripheralId("hci0/dev_24_0A".into()),
            name: "PROV_1".into(),
            dialect: DialectKind::Espressif,
            serial: None,
            purpose: Purpose::New,
            site: site.map(str::to_owned),
            parameters: std::collections::BTreeMap::new(),
            organisation: None,
        }
    }

    fn finished(outcome: OutcomeRecord) -> Step {
        Step::Finished { outcome }
    }

    fn done() -> Step {
        finished(OutcomeRecord::Done {
            thing: None,
            principal: "p".into(),
        })
    }

    #[test]
    fn the_schema_is_sound() {
        MIGRATIONS.validate().unwrap();
    }

    #[tokio::test]
    async fn what_was_appended_is_there_after_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        let before = Timestamp::now().as_second();
        open(&dir).append(job(1), "ann", &started()).await.unwrap();
        let journal = open(&dir);
        journal.append(job(1), "ann", &Step::Linking).await.unwrap();
        journal.append(job(2), "bob", &started()).await.unwrap();

        let entries = journal.entries(job(1)).await.unwrap();
        let said: Vec<_> = entries
            .iter()
            .map(|entry| (entry.number, entry.person.as_str(), &entry.step))
            .collect();
        assert_eq!(said, [(1, "ann", &started()), (2, "ann", &Step::Linking)]);
        assert!(entries.iter().all(|entry| entry.at.0 >= before));
        assert_eq!(journal.verify().await, Ok(3));
        assert_eq!(journal.entries(job(9)).await, Ok(vec![]));
    }

    /// An entry as it was written before steps had a site, with its hash.
    const BEFORE_SITES: &str = r#"
        INSERT INTO entries VALUES (1, '00000000-0000-0000-0000-000000000001', 1760000000, 'ann',
            '{"step":"started","peripheral":"hci0/dev_24_0A","name":"PROV_1","dialect":"espressif","serial":null,"purpose":"new"}',
            zeroblob(32), x'5c4b3373be6e7195dc93db84cd57463c05da38c2049af11ed20b71f7a4b81ac1')"#;

    #[tokio::test]
    async fn a_journal_from_before_there_were_sites_is_untouched_and_goes_on_with_sites() {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(&dir);
        let old = Connection::open(dir.path().join("data/journal.sqlite")).unwrap();
        old.execute(BEFORE_SITES, []).unwrap();
        let at_a_site = begun(Some("Harbour 7"));
        journal.append(job(2), "ann", &at_a_site).await.unwrap();
        assert_eq!(journal.verify().await, Ok(2));
        let steps: Vec<Step> = journal
            .jobs()
            .await
            .unwrap()
            .into_iter()
            .map(|first| first.step)
            .collect();
        assert_eq!(steps, [at_a_site, started()]);
    }

    /// What another job did with a device counts for an open one, though that other one has an end.
    #[tokio::test]
    async fn what_settled_jobs_changed_is_known_to_the_ledger_as_if_all_entries_were_read() {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(&dir);
        let claiming = Step::Claiming {
            idempotency: Uuid::from_u128(7),
            serial: commission::device::Serial::new("SN-1").unwrap(),
        };
        let failed = finished(OutcomeRecord::Failed {
            stage: Stage::Joining,
            fault: FaultRecord {
                code: "x".into(),
                detail: String::new(),
            },
            undone: true,
        });
        let steps = [
            (1, started()),
            (1, claiming.clone()),
            (1, Step::Applying),
            (2, started()),
            (2, claiming),
            (2, Step::Applying),
            (2, Step::Resetting),
            (2, failed),
        ];
        for (number, step) in &steps {
            journal.append(job(*number), "ann", step).await.unwrap();
        }
        let whole = Ledger::of(steps.map(|(number, step)| (job(number), step)));
        let read = journal.ledger().await.unwrap();
        let remains = |ledger: &Ledger| {
            let open = ledger.open_job(job(1)).unwrap();
            (open.remains, open.superseded_by)
        };
        assert!(remains(&whole).0.overtaken);
        assert_eq!(remains(&read), remains(&whole));
    }

    #[tokio::test]
    async fn jobs_come_newest_first_and_unfinished_ones_oldest_first() {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(&dir);
        for number in 1..=5 {
            journal.append(job(number), "ann", &started()).await.unwrap();
        }
        let fault = || FaultRecord {
            code: "x".into(),
            detail: String::new(),
        };
        journal.append(job(1), "ann", &done()).await.unwrap();
        let unknown = finished(OutcomeRecord::Unknown {
            stage: Stage::Joining,
            fault: fault(),
        });
        journal.append(job(2), "ann", &unknown).await.unwrap();
        for (number, undone) in [(3, true), (4, false)] {
            let failed = finished(OutcomeRecord::Failed {
                stage: Stage::Crediting,
                fault: fault(),
                undone,
            });
            journal.append(job(number), "ann", &failed).await.unwrap();
        }

        let jobs: Vec<_> = journal.jobs().await.unwrap();
        let numbers: Vec<_> = jobs.iter().map(|entry| entry.job).collect();
        assert_eq!(numbers, [job(5), job(4), job(3), job(2), job(1)]);
        assert!(jobs.iter().all(|entry| entry.step == started()));
        assert_eq!(journal.unfinished().await, Ok(vec![job(2), job(4), job(5)]));

        journal.append(job(3), "ann", &Step::Linking).await.unwrap();
        assert_eq!(
            journal.unfinished().await,
            Ok(vec![job(2), job(3), job(4), job(5)]),
            "a job taken up again is open again"
        );
    }

    #[tokio::test]
    async fn a_done_job_is_open_as_long_as_a_claim_that_it_replaced_is_not_undone() {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(&dir);
        let cleanup = |number| CleanupHandle(format!("/v1/claims/{number}/retire"));
        let claimed = |number| Step::Claimed {
            idempotency: None,
            unwanted: false,
            claim: ClaimId(format!("clm_{number}")),
            cleanup: cleanup(number),
            issued_at: UnixTime(1000),
        };
        let retired = || Step::Retired { cleanup: cleanup(1) };
        for (number, steps) in [
            (1, vec![claimed(1), done()]),
            (2, vec![claimed(1), claimed(2), done()]),
            (3, vec![claimed(1), claimed(2), retired(), done()]),
        ] {
            for step in [vec![started()], steps].concat() {
                journal.append(job(number), "ann", &step).await.unwrap();
            }
        }
        assert_eq!(journal.unfinished().await, Ok(vec![job(2)]));

        for step in [started(), retired()] {
            journal.append(job(2), "ann", &step).await.unwrap();
        }
        assert_eq!(
            journal.unfinished().await,
            Ok(vec![job(2)]),
            "its end is to be written"
        );
        journal.append(job(2), "ann", &done()).await.unwrap();
        assert_eq!(journal.unfinished().await, Ok(vec![]));
    }

    #[tokio::test]
    async fn two_programs_append_at_once_without_a_gap_or_a_loss() {
        let dir = tempfile::tempdir().unwrap();
        let programs = [open(&dir), open(&dir), open(&dir)];
        let writers = programs.iter().enumerate().map(|(index, journal)| async move {
            for _ in 0..20 {
                journal
                    .append(job(index as u128), "ann", &Step::Linking)
                    .await
                    .unwrap();
            }
        });
        futures::future::join_all(writers).await;
        assert_eq!(programs[0].verify().await, Ok(60));
        assert_eq!(programs[0].entries(job(2)).await.unwrap().len(), 20);
    }

    #[tokio::test]
    async fn opening_a_new_journal_many_times_at_once_works() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.sqlite");
        let opened = (0..8).map(|_| {
            let path = path.clone();
            tokio::task::spawn_blocking(move || SqliteJournal::open(&path).map(|_| ()))
        });
        for result in futures::future::join_all(opened).await {
            assert_eq!(result.unwrap(), Ok(()));
        }
    }

    #[tokio::test]
    async fn an_entry_can_be_neither_changed_nor_removed_nor_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(&dir);
        journal.append(job(1), "ann", &started()).await.unwrap();
        journal.append(job(1), "ann", &Step::Linking).await.unwrap();
        let outsider = Connection::open(dir.path().join("data/journal.sqlite")).unwrap();
        for attempt in [
            "UPDATE entries SET person = 'eve' WHERE number = 1",
            "DELETE FROM entries WHERE number = 2",
            "INSERT OR REPLACE INTO entries SELECT 1, job, at, 'eve', step, previous_hash, hash FROM entries WHERE number = 1",
        ] {
            let error = outsider.execute(attempt, []).unwrap_err().to_string();
            assert!(error.contains("never rewritten"), "{attempt}: {error}");
        }
        assert_eq!(journal.verify().await, Ok(2));
    }

    #[tokio::test]
    async fn a_change_by_force_is_found_at_its_entry() {
        for (force, broken) in [
            ("UPDATE entries SET person = 'eve' WHERE number = 2", 2),
            (
                "UPDATE entries SET step = replace(step, 'linking', 'applying') WHERE number = 2",
                2,
            ),
            ("DELETE FROM entries WHERE number = 1", 2),
            ("DELETE FROM entries WHERE number = 3", 3),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let journal = open(&dir);
            journal.append(job(1), "ann", &started()).await.unwrap();
            journal.append(job(1), "ann", &Step::Linking).await.unwrap();
            journal.append(job(1), "ann", &done()).await.unwrap();
            let outsider = Connection::open(dir.path().join("data/journal.sqlite")).unwrap();
            outsider
                .execute_batch(&format!(
                    "DROP TRIGGER entries_never_changed; DROP TRIGGER entries_never_removed; {force}"
                ))
                .unwrap();
            assert_eq!(
                journal.verify().await,
                Err(JournalError::Broken(broken)),
                "{force}"
            );
        }
    }

    #[tokio::test]
    async fn a_newer_version_is_told_apart_from_a_broken_disk() {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(&dir);
        journal.append(job(1), "ann", &started()).await.unwrap();
        let path = dir.path().join("data/journal.sqlite");
        let newer = Connection::open(&path).unwrap();
        newer
            .execute(
                "INSERT INTO entries SELECT 2, 'j', 1, 'ann', '{\"step\":\"teleporting\"}', hash, hash FROM entries",
                [],
            )
            .unwrap();
        assert!(matches!(
            journal.unfinished().await,
            Err(JournalError::Unreadable(_))
        ));
        newer.pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(
            SqliteJournal::open(&path),
            Err(JournalError::Unreadable(_))
        ));

        std::fs::write(dir.path().join("noise"), [7; 4096]).unwrap();
        assert!(matches!(
            SqliteJournal::open(&dir.path().join("noise")),
            Err(JournalError::Storage(_))
        ));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_the_owner_can_read_the_journal() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let journal = open(&dir);
        journal.append(job(1), "ann", &started()).await.unwrap();
        for file in std::fs::read_dir(dir.path().join("data")).unwrap() {
            let file = file.unwrap();
            let mode = file.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", file.path());
        }
    }
}
