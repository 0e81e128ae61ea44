//! The table `entries`: append-only, each row carrying the hash of the row before.
//!
//! The chain shows a change by accident or by a clumsy hand. It is no signature: who can write the file and knows
//! this module can make a new chain.

use std::collections::BTreeSet;
use std::str::FromStr;

use commission::flow::{JobId, Step};
use commission::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::storage;
use crate::ports::{JournalEntry, JournalError};

/// Version 1 of the table. AUTOINCREMENT keeps the highest number ever given, which shows a tail cut off.
pub(super) const MIGRATION: &str = "
CREATE TABLE entries (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    job           TEXT NOT NULL,
    at            INTEGER NOT NULL,
    person        TEXT NOT NULL,
    step          TEXT NOT NULL CHECK (json_valid(step)),
    previous_hash BLOB NOT NULL CHECK (length(previous_hash) = 32),
    hash          BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX entries_of_job ON entries (job, number);
CREATE TRIGGER entries_only_appended BEFORE INSERT ON entries
    WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM entries)
    BEGIN SELECT raise(ABORT, 'the journal is never rewritten'); END;
CREATE TRIGGER entries_never_changed BEFORE UPDATE ON entries
    BEGIN SELECT raise(ABORT, 'the journal is never rewritten'); END;
CREATE TRIGGER entries_never_removed BEFORE DELETE ON entries
    BEGIN SELECT raise(ABORT, 'the journal is never rewritten'); END;
";

/// What stands before the first entry.
const BEGINNING: [u8; 32] = [0; 32];

/// Appends one entry; the disk has it when this returns.
pub(super) fn append(
    connection: &mut Connection,
    job: JobId,
    at: UnixTime,
    person: &str,
    step: &Step,
) -> Result<(), JournalError> {
    let step = serde_json::to_string(step).map_err(|error| JournalError::Storage(error.to_string()))?;
    let mut write = || {
        // IMMEDIATE: two writers must not both read the same last entry.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let last = transaction
            .query_row(
                "SELECT number, hash FROM entries ORDER BY number DESC LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let (number, previous_hash): (i64, [u8; 32]) = last.unwrap_or((0, BEGINNING));
        let row = StoredRow {
            number: number + 1,
            job: job.0.to_string(),
            at: at.0,
            person: person.to_owned(),
            step: step.clone(),
            previous_hash,
        };
        transaction.execute(
            "INSERT INTO entries (number, job, at, person, step, previous_hash, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![row.number, row.job, row.at, row.person, row.step, row.previous_hash, row.hash()],
        )?;
        transaction.commit()
    };
    write().map_err(|error| storage(&error))
}

/// All entries of a job, in order.
pub(super) fn of_job(connection: &Connection, job: JobId) -> Result<Vec<JournalEntry>, JournalError> {
    select(connection, "WHERE job = ? ORDER BY number", &[&job.0.to_string()])
}

/// The first entry of each job, newest job first.
pub(super) fn first_of_jobs(connection: &Connection) -> Result<Vec<JournalEntry>, JournalError> {
    let which = "WHERE number IN (SELECT min(number) FROM entries GROUP BY job) ORDER BY number DESC";
    select(connection, which, &[])
}

/// The last entry of each job, oldest job first.
pub(super) fn last_of_jobs(connection: &Connection) -> Result<Vec<JournalEntry>, JournalError> {
    let which = "JOIN (SELECT min(number) AS first, max(number) AS last FROM entries GROUP BY job)
                 ON number = last ORDER BY first";
    select(connection, which, &[])
}

/// The entries that say which device a job worked on and what it showed of itself, in order.
pub(super) fn shown_by_devices(connection: &Connection) -> Result<Vec<JournalEntry>, JournalError> {
    let which = "WHERE step ->> 'step' IN ('started', 'identified')
                 OR step ->> '$.evidence.fact' = 'possession-proven' ORDER BY number";
    select(connection, which, &[])
}

/// The jobs that asked for more than one claim, or have no word of the one that they asked for.
pub(super) fn jobs_of_several_claims(connection: &Connection) -> Result<BTreeSet<JobId>, JournalError> {
    let which =
        "WHERE number IN (SELECT min(number) FROM entries WHERE step ->> 'step' IN ('claiming', 'claimed')
                 GROUP BY job HAVING count(*) FILTER (WHERE step ->> 'step' = 'claimed') <> 1
                 OR count(*) FILTER (WHERE step ->> 'step' = 'claiming') > 1)";
    let first = select(connection, which, &[])?;
    Ok(first.into_iter().map(|entry| entry.job).collect())
}

/// All entries of these jobs; of all others what tells their device and their end, and, as far as it is later than the
/// beginning of the first of these, what they changed. In order.
pub(super) fn for_ledger(connection: &Connection, open: &[JobId]) -> Result<Vec<JournalEntry>, JournalError> {
    let open = serde_json::to_string(open).map_err(|error| JournalError::Storage(error.to_string()))?;
    let which = "WHERE job IN (SELECT value FROM json_each(?1))
                 OR (json_array_length(?1) > 0 AND step ->> 'step' IN ('started', 'identified', 'claiming', 'claimed', 'finished'))
                 OR (number > (SELECT min(number) FROM entries WHERE job IN (SELECT value FROM json_each(?1)))
                     AND (step ->> 'step' IN ('sending-claim', 'claim-committed', 'applying', 'resetting', 'deactivating',
                                              'releasing')
                          OR step ->> '$.evidence.fact' = 'registered'))
                 ORDER BY number";
    select(connection, which, &[&open])
}

/// Follows the chain from the beginning to the highest number ever given.
pub(super) fn verify(connection: &Connection) -> Result<u64, JournalError> {
    let follow = || {
        // One snapshot: another process may append meanwhile.
        let transaction = connection.unchecked_transaction()?;
        let given: Option<i64> = transaction
            .query_row(
                "SELECT seq FROM sqlite_sequence WHERE name = 'entries'",
                [],
                |row| row.get(0),
            )
            .optional()?;
        let mut statement = transaction.prepare(
            "SELECT number, job, at, person, step, previous_hash, hash FROM entries ORDER BY number",
        )?;
        let mut rows = statement.query([])?;
        let (mut count, mut previous) = (0, BEGINNING);
        while let Some(row) = rows.next()? {
            let stored = StoredRow::try_from(row)?;
            let hash: [u8; 32] = row.get(6)?;
            if stored.number != count + 1 || stored.previous_hash != previous || stored.hash() != hash {
                return Ok(Err(JournalError::Broken(stored.number)));
            }
            (count, previous) = (stored.number, hash);
        }
        if given.unwrap_or(0) > count {
            return Ok(Err(JournalError::Broken(count + 1)));
        }
        Ok(Ok(count.unsigned_abs()))
    };
    follow().map_err(|error: rusqlite::Error| storage(&error))?
}

/// A row without its own hash.
struct StoredRow {
    number: i64,
    job: String,
    at: i64,
    person: String,
    step: String,
    previous_hash: [u8; 32],
}

impl TryFrom<&Row<'_>> for StoredRow {
    type Error = rusqlite::Error;

    fn try_from(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            number: row.get(0)?,
            job: row.get(1)?,
            at: row.get(2)?,
            person: row.get(3)?,
            step: row.get(4)?,
            previous_hash: row.get(5)?,
        })
    }
}

impl StoredRow {
    /// SHA-256 over previous hash, number and time as 64 bits big-endian, then each text with its length before it,
    /// so that nothing can move from one field into the next.
    fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.previous_hash);
        hash.update(self.number.to_be_bytes());
        hash.update(self.at.to_be_bytes());
        for text in [&self.job, &self.person, &self.step] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }

    fn entry(self) -> Result<JournalEntry, JournalError> {
        let unreadable = |what: &dyn std::fmt::Display| {
            JournalError::Unreadable(format!("entry {} ({what})", self.number))
        };
        Ok(JournalEntry {
            number: self.number,
            job: JobId(Uuid::from_str(&self.job).map_err(|error| unreadable(&error))?),
            at: UnixTime(self.at),
            step: serde_json::from_str(&self.step).map_err(|error| unreadable(&error))?,
            person: self.person,
        })
    }
}

fn select(
    connection: &Connection,
    which: &str,
    parameters: &[&dyn rusqlite::ToSql],
) -> Result<Vec<JournalEntry>, JournalError> {
    let read = || {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT number, job, at, person, step, previous_hash FROM entries {which}"
        ))?;
        let rows = statement.query_map(parameters, |row| StoredRow::try_from(row))?;
        rows.collect::<Result<Vec<_>, _>>()
    };
    read()
        .map_err(|error| storage(&error))?
        .into_iter()
        .map(StoredRow::entry)
        .collect()
}
