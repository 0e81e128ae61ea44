//! A file of labels for a batch: CSV with a heading line, or JSON. Every fault names its place and what to do.

use std::collections::BTreeMap;
use std::path::Path;

use commission::device::Serial;
use commission::dialect::Strength;
use commission::label::{Label, MAX_NAME};
use commission::network::Ssid;
use commission::secret::Pop;
use commission::text::is_trick;
use serde_json::Value;

/// The columns that there are.
const COLUMNS: [&str; 6] = ["name", "serial", "pop", "username", "network", "label"];

/// One device of a batch.
#[derive(Debug)]
pub struct Row {
    /// Its advertised name.
    pub name: String,
    /// Its serial, where known.
    pub serial: Option<Serial>,
    /// Its PoP, where known.
    pub pop: Option<Pop>,
    /// Its Security 2 user name, where it is not the usual one.
    pub username: Option<String>,
    /// The security scheme, where its label states one.
    pub security: Option<u8>,
    /// Its network, where it differs from the batch's.
    pub network: Option<String>,
}

impl Row {
    /// How strongly its session is protected, where its label says so.
    pub fn strength(&self) -> Option<Strength> {
        let label = Label {
            pop: self.pop.clone(),
            security: self.security,
            ..Label::default()
        };
        label.strength()
    }
}

/// What is wrong with a file of labels. Holds no value of a field that might be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// It cannot be read.
    #[error("{file} cannot be read: {why}")]
    Unreadable {
        /// Which file.
        file: String,
        /// The system's words.
        why: String,
    },
    /// It is neither CSV nor JSON, by its ending.
    #[error("{0} is neither .csv nor .json")]
    Kind(String),
    /// It is not UTF-8.
    #[error("{file}, line {line}: this is not UTF-8")]
    Encoding {
        /// Which file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// Something in it is wrong.
    #[error("{file}, {place}: {why}")]
    Wrong {
        /// Which file.
        file: String,
        /// Where: a line, or a row of a list, with the field.
        place: String,
        /// Why.
        why: String,
    },
    /// Nothing in it.
    #[error("{0} has no rows; each device needs one")]
    Empty(String),
}

impl LabelsError {
    /// What to do now.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "Check the file's name and that you may read it; nothing was started.",
            Self::Kind(_) => "Save it as CSV or JSON, with that ending; nothing was started.",
            Self::Encoding { .. } => "Save the file as CSV in UTF-8; nothing was started.",
            Self::Wrong { .. } | Self::Empty(_) => "Correct the file and try again; nothing was started.",
        }
    }
}

/// The fields of a row by column. They may hold a PoP, so they are neither printed nor kept.
type Fields = BTreeMap<&'static str, String>;

/// What is wrong, and with which field; empty where it is with the row as a whole.
struct Fault(&'static str, String);

/// Reads a file of labels.
pub fn read(path: &Path) -> Result<Vec<Row>, LabelsError> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| LabelsError::Unreadable {
        file: file.clone(),
        why: error.to_string(),
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let sound = bytes.get(..error.valid_up_to()).unwrap_or_default();
        LabelsError::Encoding {
            file: file.clone(),
            line: sound.iter().filter(|byte| **byte == b'\n').count() + 1,
        }
    })?;
    parse(&file, text)
}

/// Parses a file of labels; its name's ending says what it is.
pub fn parse(file: &str, text: &str) -> Result<Vec<Row>, LabelsError> {
    // A byte order mark is what spreadsheets put before UTF-8.
    let text = text.trim_start_matches('\u{feff}');
    let ending = Path::new(file)
        .extension()
        .map(|ending| ending.to_string_lossy().to_lowercase());
    let wrong = |place: String, why: String| LabelsError::Wrong {
        file: file.into(),
        place,
        why,
    };
    let raw = match ending.as_deref() {
        Some("csv") => csv_rows(text),
        Some("json") => json_rows(text),
        _ => return Err(LabelsError::Kind(file.into())),
    };
    let raw = raw.map_err(|(place, why)| wrong(place, why))?;
    if raw.is_empty() {
        return Err(LabelsError::Empty(file.into()));
    }
    let mut rows: Vec<(String, Row)> = Vec::with_capacity(raw.len());
    for (place, fields) in raw {
        let row = check(fields)
            .and_then(|row| twice(&row, &rows).map_or(Ok(row), Err))
            .map_err(|Fault(field, why)| {
                let field = if field.is_empty() {
                    String::new()
                } else {
                    format!(", {field}")
                };
                wrong(format!("{place}{field}"), why)
            })?;
        rows.push((place, row));
    }
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// Where and why.
type Misplaced = (String, String);

/// Rows of CSV, each with its line.
fn csv_rows(text: &str) -> Result<Vec<(String, Fields)>, Misplaced> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .delimiter(if text.lines().next().unwrap_or_default().contains(';') {
            b';'
        } else {
            b','
        })
        .from_reader(text.as_bytes());
    let unread = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        (format!("line {line}"), "this is no CSV".to_owned())
    };
    let heading = heading(reader.headers().map_err(unread)?)?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(unread)?;
        let place = format!("line {}", record.position().map_or(0, csv::Position::line));
        if record.len() != heading.len() {
            let fields = if record.len() == 1 { "field" } else { "fields" };
            let why = format!(
                "this row has {} {fields}, the heading has {}; a field with a comma in it stands in quotes",
                record.len(),
                heading.len()
            );
            return Err((place, why));
        }
        let fields = heading.iter().copied().zip(record.iter().map(str::to_owned));
        rows.push((place, fields.collect()));
    }
    Ok(rows)
}

/// The columns that a heading names. Where it names none it is no heading, but perhaps a row, and is not repeated.
fn heading(heading: &csv::StringRecord) -> Result<Vec<&'static str>, Misplaced> {
    let first = |why: String| ("line 1".to_owned(), why);
    let columns = COLUMNS.join(", ");
    let known = |word: &str| {
        COLUMNS
            .into_iter()
            .find(|column| word.eq_ignore_ascii_case(column))
    };
    if heading.is_empty() {
        return Ok(Vec::new());
    }
    if !heading.iter().any(|word| known(word).is_some()) {
        return Err(first(format!(
            "this is no heading; it names the columns, from {columns}, with commas or semicolons between them"
        )));
    }
    let mut named: Vec<&'static str> = Vec::new();
    for word in heading {
        let Some(column) = known(word) else {
            return Err(first(format!(
                "there is no column {word:?}; the columns are {columns}"
            )));
        };
        if named.contains(&column) {
            return Err(first(format!(
                "the column {column:?} stands here twice; take one out"
            )));
        }
        named.push(column);
    }
    Ok(named)
}

/// Rows of a list of objects, each with its number.
fn json_rows(text: &str) -> Result<Vec<(String, Fields)>, Misplaced> {
    let columns = COLUMNS.join(", ");
    // Text that was cut within quotes ends in a line break that nobody meant.
    let objects: Vec<BTreeMap<String, Value>> = serde_json::from_str(text.trim_end()).map_err(|error| {
        // The place and kind, without the text around it, which may hold a PoP.
        let why = match error.classify() {
            serde_json::error::Category::Eof => "this ends too early".to_owned(),
            serde_json::error::Category::Syntax => "this is no JSON".to_owned(),
            _ => format!("this is not a list of objects with {columns}"),
        };
        (
            format!("line {}, column {}", error.line(), error.column().max(1)),
            why,
        )
    })?;
    let mut rows = Vec::with_capacity(objects.len());
    for (index, object) in objects.into_iter().enumerate() {
        let place = format!("row {}", index + 1);
        let mut fields = Fields::new();
        for (key, value) in object {
            let Some(column) = COLUMNS.into_iter().find(|column| *column == key) else {
                return Err((place, format!("there is no {key:?}; there are {columns}")));
            };
            match value {
                Value::Null => {}
                Value::String(text) => drop(fields.insert(column, text)),
                _ => {
                    return Err((
                        format!("{place}, {column}"),
                        "this must be a text in quotes".to_owned(),
                    ));
                }
            }
        }
        rows.push((place, fields));
    }
    Ok(rows)
}

fn check(mut fields: Fields) -> Result<Row, Fault> {
    let mut given = |column: &str| fields.remove(column).filter(|text| !text.is_empty());
    let label = match given("label") {
        Some(text) => Label::parse(&text).map_err(|error| Fault("label", error.to_string()))?,
        None => Label::default(),
    };
    let security = label.security;
    let name = match (given("name"), label.name) {
        (Some(name), Some(of)) if name != of => {
            return Err(Fault(
                "label",
                format!("this is the label of {of:?}, not of {name:?}"),
            ));
        }
        (name, of) => name.or(of).ok_or_else(|| {
            let why = "the device's advertised name is missing, such as PROV_3CD3D8";
            Fault("name", why.to_owned())
        })?,
    };
    check_name(&name).map_err(|why| Fault("name", why))?;
    let serial = match given("serial") {
        Some(text) => Some(Serial::new(text).map_err(|error| Fault("serial", error.to_string()))?),
        None => label.serial,
    };
    let network = given("network");
    if let Some(name) = &network {
        Ssid::new(name.as_str()).map_err(|error| Fault("network", error.to_string()))?;
    }
    Ok(Row {
        name,
        serial,
        security,
        pop: given("pop").map(Pop::new).or(label.pop),
        username: given("username").or(label.username),
        network,
    })
}

/// Why no device can have this name.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(format!(
            "a device's name has 1 to {MAX_NAME} bytes, this has {}",
            name.len()
        ));
    }
    match name.chars().find(|c| is_trick(*c)) {
        Some(c) => Err(format!(
            "a device's name has no control characters, this has {c:?}"
        )),
        None => Ok(()),
    }
}

/// Whether a row is of a device that an earlier row is of.
fn twice(row: &Row, earlier: &[(String, Row)]) -> Option<Fault> {
    if let Some(serial) = &row.serial {
        let (place, _) = earlier
            .iter()
            .find(|(_, row)| row.serial.as_ref() == Some(serial))?;
        return Some(Fault(
            "serial",
            format!("{serial} stands in {place} already; remove one"),
        ));
    }
    let same = |other: &Row| other.serial.is_none() && other.name == row.name && other.pop == row.pop;
    let (place, _) = earlier.iter().find(|(_, row)| same(row))?;
    Some(Fault(
        "",
        format!("this is the same as {place}; remove one, or give each its serial"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(file: &str, text: &str) -> String {
        parse(file, text).map(|rows| rows.len()).unwrap_err().to_string()
    }

    #[test]
    fn csv_json_and_qr_text_give_the_same_rows() {
        let csv = parse("l.csv", "name,serial,pop\nPROV_1,SN-1,abcd1234\n").unwrap();
        let semicolons = parse("l.csv", "\u{feff}name;serial;pop\r\nPROV_1; SN-1 ;abcd1234\r\n").unwrap();
        let json = parse(
            "l.json",
            r#"[{"name":"PROV_1","serial":"SN-1","pop":"abcd1234"}]"#,
        )
        .unwrap();
        let qr = "label,serial\n\"{\"\"ver\"\":\"\"v1\"\",\"\"name\"\":\"\"PROV_1\"\",\"\"pop\"\":\"\"abcd1234\"\",\
            \"\"transport\"\":\"\"ble\"\"}\",SN-1\n";
        let qr = parse("l.csv", qr).unwrap();
        for rows in [csv, semicolons, json, qr] {
            assert_eq!(rows.len(), 1);
            assert_eq!(rows[0].name, "PROV_1");
            assert_eq!(rows[0].serial.as_ref().map(Serial::as_str), Some("SN-1"));
            assert_eq!(rows[0].pop, Some(Pop::new("abcd1234")));
        }
    }

    #[test]
    fn every_fault_names_its_place_and_what_to_do() {
        for (file, text, says) in [
            ("l.txt", "", "neither .csv nor .json"),
            ("l.csv", "", "no rows"),
            ("l.csv", "name,serial\n", "no rows"),
            (
                "l.csv",
                "name,colour\nPROV_1,red\n",
                "line 1: there is no column \"colour\"",
            ),
            ("l.csv", "secret,PROV_1\n", "line 1: this is no heading"),
            (
                "l.csv",
                "name,serial\nPROV_1\n",
                "line 2: this row has 1 field, the heading has 2",
            ),
            (
                "l.csv",
                "name,serial\n,SN-1\n",
                "line 2, name: the device's advertised name",
            ),
            (
                "l.csv",
                "name,serial\nPROV_1,SN 1\n",
                "line 2, serial: a serial number",
            ),
            (
                "l.csv",
                "name,serial\nA,SN-1\nB,SN-1\n",
                "line 3, serial: SN-1 stands in line 2",
            ),
            ("l.json", "{}", "not a list"),
            ("l.json", "[{", "ends too early"),
            ("l.json", "[{\"pop\":secret}]", "this is no JSON"),
            ("l.json", "[{\"name\":7}]", "row 1, name: this must be a text"),
        ] {
            let message = fault(file, text);
            assert!(message.contains(says), "{message:?} does not say {says:?}");
            assert!(
                !message.contains("secret"),
                "{message:?} shows what may be a secret"
            );
        }
    }
}
