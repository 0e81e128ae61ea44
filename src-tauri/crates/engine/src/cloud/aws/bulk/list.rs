//! The files of a bulk registration: the maker's list that is read, and the line file that is written and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use commission::device::Serial;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use thiserror::Error;

use super::Problem;
use super::form::Form;

/// The largest file that is read, in bytes; a hundred thousand lines with signing requests.
const LONGEST_FILE: u64 = 256 << 20;

/// One device of a line file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its values by parameter.
    pub given: BTreeMap<String, String>,
    /// Its serial number, where a parameter is for that.
    pub serial: Option<String>,
    /// Its line, from 1.
    pub line: u64,
}

/// Why a file cannot be used as a file.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{} cannot be read: {why}", .file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// The system's words.
        why: io::Error,
    },
    /// It is larger than any list.
    #[error("{} is larger than {} MiB", .0.display(), LONGEST_FILE >> 20)]
    TooLarge(PathBuf),
    /// It is not UTF-8.
    #[error("{}, line {line}: this is not UTF-8", .file.display())]
    Encoding {
        /// Which file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// It is there already.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("{} cannot be written: {why}", .file.display())]
    Unwritable {
        /// Which file.
        file: PathBuf,
        /// The system's words.
        why: io::Error,
    },
}

/// Reads a whole file of text.
///
/// # Errors
/// [`FileError`].
pub fn read(file: &Path) -> Result<String, FileError> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|open| open.take(LONGEST_FILE + 1).read_to_end(&mut bytes))
        .map_err(|why| FileError::Unreadable {
            file: file.to_owned(),
            why,
        })?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LONGEST_FILE {
        return Err(FileError::TooLarge(file.to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let sound = error
            .as_bytes()
            .get(..error.utf8_error().valid_up_to())
            .unwrap_or_default();
        FileError::Encoding {
            file: file.to_owned(),
            line: sound.iter().filter(|byte| **byte == b'\n').count() + 1,
        }
    })
}

/// Writes a line file, whole or not at all; one that is there stays unless it is to be replaced.
///
/// # Errors
/// [`FileError::Exists`] and [`FileError::Unwritable`].
pub fn write(file: &Path, entries: &[Entry], replace: bool) -> Result<(), FileError> {
    let unwritable = |why| FileError::Unwritable {
        file: file.to_owned(),
        why,
    };
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
    for entry in entries {
        let line = serde_json::to_string(&entry.given).map_err(|error| unwritable(error.into()))?;
        writeln!(new, "{line}").map_err(unwritable)?;
    }
    new.as_file().sync_all().map_err(unwritable)?;
    let done = if replace {
        new.persist(file)
    } else {
        new.persist_noclobber(file)
    };
    done.map_err(|failed| match failed.error.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists(file.to_owned()),
        _ => unwritable(failed.error),
    })?;
    Ok(())
}

/// The devices of a maker's list (CSV with a heading); without a template each column is a parameter of its name.
///
/// # Errors
/// All that is wrong, in the order of lines.
pub fn from_makers_list(text: &str, form: Option<&Form>) -> Result<Vec<Entry>, Vec<Problem>> {
    let text = text.trim_start_matches('\u{feff}');
    let first = text.lines().next().unwrap_or_default();
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .delimiter(if first.contains(';') { b';' } else { b',' })
        .from_reader(text.as_bytes());
    let heading = reader.headers().map_err(|error| vec![no_csv(&error)])?.clone();
    let without_template = form.is_none();
    let by_columns;
    let form = match form {
        Some(form) => form,
        None => {
            by_columns = Form::of_columns(heading.iter());
            &by_columns
        }
    };
    let columns = columns(&heading, form, without_template)?;
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    let mut lines = Lines::new(text);
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                problems.push(no_csv(&error));
                break;
            }
        };
        let line = lines.of(record.position().map_or(0, csv::Position::byte));
        if record.len() != columns.len() {
            problems.push(Problem {
                line,
                field: None,
                why: format!(
                    "this row has {} fields, the heading has {}; a field with a comma in it stands in quotes",
                    record.len(),
                    columns.len()
                ),
            });
            continue;
        }
        let given = columns
            .iter()
            .zip(record.iter())
            // What is empty was not given, so that the template's default holds.
            .filter(|(_, value)| !value.is_empty())
            .map(|(column, value)| (column.clone(), value.to_owned()));
        entries.push(entry(given.collect(), line, form));
    }
    settle(entries, problems, form)
}

/// The devices of a line file.
///
/// # Errors
/// All that is wrong, in the order of lines.
pub fn look_through(text: &str, form: &Form) -> Result<Vec<Entry>, Vec<Problem>> {
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    for (line, text) in (1..).zip(text.lines()) {
        match object(text) {
            Ok(given) => entries.push(entry(given, line, form)),
            Err((field, why)) => problems.push(Problem { line, field, why }),
        }
    }
    settle(entries, problems, form)
}

/// The values of one line, in which no parameter stands twice.
fn object(text: &str) -> Result<BTreeMap<String, String>, (Option<String>, String)> {
    if text.trim().is_empty() {
        return Err((None, "this line is empty; take it out".into()));
    }
    let Members(members) = serde_json::from_str(text).map_err(|error| {
        let why = if error.is_data() {
            "this is no JSON object; each line is one device's".to_owned()
        } else {
            format!("this is no JSON (column {})", error.column().max(1))
        };
        (None, why)
    })?;
    let mut given = BTreeMap::new();
    for (name, value) in members {
        let Value::String(text) = value else {
            return Err((Some(name), "this must be a text in quotes".to_owned()));
        };
        if given.contains_key(&name) {
            return Err((Some(name), "this stands twice; take one out".to_owned()));
        }
        given.insert(name, text);
    }
    Ok(given)
}

/// The members of an object as they stand, also those that stand twice: of these JSON parsers keep one without a word.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Each)
    }
}

/// Whether a column holds what only the person before a device needs.
fn is_secret(column: &str) -> bool {
    const SECRETS: [&str; 15] = [
        "psk",
        "wifikey",
        "presharedkey",
        "sak",
        "accesscode",
        "unlockcode",
        "pop",
        "proofofpossession",
        "label",
        "qr",
        "qrcode",
        "passphrase",
        "password",
        "pin",
        "secret",
    ];
    let plain: String = column
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|sign| sign.to_ascii_lowercase())
        .collect();
    let within = [
        "passphrase",
        "password",
        "passcode",
        "proofofpossession",
        "privatekey",
        "secret",
        "wifipsk",
        "wpapsk",
        "pairingcode",
        "setupcode",
        "devicepin",
    ];
    SECRETS.contains(&plain.as_str()) || within.iter().any(|word| plain.contains(word))
}

/// Which line a byte is in. The reader's own count leaves out lines that are empty, and takes CRLF for two.
struct Lines<'t> {
    text: &'t [u8],
    seen: usize,
    line: u64,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text: text.as_bytes(),
            seen: 0,
            line: 1,
        }
    }

    /// The line of the record that begins at this byte or after the ends of lines there; never before an earlier one.
    fn of(&mut self, at: u64) -> u64 {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        while let Some(byte) = self.text.get(self.seen)
            && (self.seen < at || matches!(byte, b'\r' | b'\n'))
        {
            self.line += u64::from(*byte == b'\n');
            self.seen += 1;
        }
        self.line
    }
}

fn no_csv(error: &csv::Error) -> Problem {
    Problem {
        line: error.position().map_or(1, csv::Position::line),
        field: None,
        why: "this is no CSV; save the list as CSV in UTF-8".into(),
    }
}

/// The parameter that each column is for.
fn columns(
    heading: &csv::StringRecord,
    form: &Form,
    without_template: bool,
) -> Result<Vec<String>, Vec<Problem>> {
    let (mut columns, mut problems): (Vec<String>, _) = (Vec::new(), Vec::new());
    let mut wrong = |column: &str, why: String| {
        problems.push(Problem {
            line: 1,
            field: (!column.is_empty()).then(|| column.to_owned()),
            why,
        });
    };
    for column in heading {
        match form.parameter(column) {
            _ if column.is_empty() => {
                wrong(column, "a column has no name; give it one or take it out".into())
            }
            _ if without_template && is_secret(column) => wrong(
                column,
                "this would go to S3, and is for labels alone; take the column out, or give the template with \
                 --template-body"
                    .into(),
            ),
            None => wrong(
                column,
                format!(
                    "the template has no such parameter; it has {}; rename the column or take it out",
                    form.names()
                ),
            ),
            Some(name) if columns.iter().any(|earlier| earlier == name) => {
                wrong(column, format!("two columns are for {name}; take one out"));
            }
            Some(name) => columns.push(name.to_owned()),
        }
    }
    match form.serial() {
        // Such a template names things by something else.
        None if !without_template => {}
        None => wrong(
            "",
            "no parameter is for the serial number; call one serial".into(),
        ),
        Some(serial) if !columns.iter().any(|column| column == serial) => {
            wrong(
                "",
                format!("there is no column for {serial}; add a column serial"),
            );
        }
        Some(_) => {}
    }
    if problems.is_empty() {
        Ok(columns)
    } else {
        Err(problems)
    }
}

fn entry(given: BTreeMap<String, String>, line: u64, form: &Form) -> Entry {
    let serial = form.serial().and_then(|name| given.get(name)).cloned();
    Entry { given, serial, line }
}

/// Looks at all entries, each by itself and beside the others.
fn settle(entries: Vec<Entry>, mut problems: Vec<Problem>, form: &Form) -> Result<Vec<Entry>, Vec<Problem>> {
    let (mut serials, mut things) = (BTreeMap::new(), BTreeMap::new());
    for entry in &entries {
        let mut wrong = |field: Option<String>, why: String| {
            problems.push(Problem {
                line: entry.line,
                field,
                why,
            });
        };
        for (field, why) in form.faults(&entry.given) {
            wrong(field, why);
        }
        if let Some(serial) = &entry.serial {
            let field = form.serial().map(str::to_owned);
            if let Err(error) = Serial::new(serial.as_str()) {
                wrong(field, error.to_string());
            } else if let Some(earlier) = serials.insert(serial.clone(), entry.line) {
                wrong(
                    field,
                    format!("{serial} stands in line {earlier} already; remove one"),
                );
                continue;
            }
        }
        if let Some(thing) = form.thing_name(&entry.given)
            && let Some(earlier) = things.insert(thing.clone(), entry.line)
        {
            wrong(
                None,
                format!("the thing {thing} is that of line {earlier} already; remove one"),
            );
        }
    }
    if entries.is_empty() && problems.is_empty() {
        problems.push(Problem {
            line: 1,
            field: None,
            why: "there is no device here; each has a line".into(),
        });
    }
    // In the order in which a person goes through the file, each said once.
    problems.sort_by_key(|problem| problem.line);
    let mut said = BTreeSet::new();
    problems.retain(|problem| said.insert(problem.to_string()));
    if problems.is_empty() {
        Ok(entries)
    } else {
        Err(problems)
    }
}

#[cfg(test)]
mod tests;
