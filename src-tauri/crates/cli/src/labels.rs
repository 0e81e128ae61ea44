//! A file of labels for a batch: CSV with a heading line, or JSON. Every fault names its row and what to do.

use std::path::Path;

use commission::device::Serial;
use commission::label::Label;
use commission::secret::Pop;
use serde::Deserialize;

/// One device of a batch.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its advertised name.
    pub(crate) name: String,
    /// Its serial, where known.
    pub(crate) serial: Option<Serial>,
    /// Its PoP, where known.
    pub(crate) pop: Option<Pop>,
    /// Its Security 2 user name, where it is not the usual one.
    pub(crate) username: Option<String>,
    /// Its network, where it differs from the batch's.
    pub(crate) network: Option<String>,
}

/// What is wrong with a file of labels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LabelsError {
    /// It cannot be read.
    #[error("{file} cannot be read: {why}")]
    Unreadable {
        /// Which file.
        file: String,
        /// The system's words.
        why: String,
    },
    /// It is neither CSV nor JSON, by its ending.
    #[error("{0} is neither .csv nor .json: rename it by what it holds")]
    Kind(String),
    /// The CSV or JSON itself is broken.
    #[error("{file}: {why}")]
    Broken {
        /// Which file.
        file: String,
        /// Where and why.
        why: String,
    },
    /// A row is wrong.
    #[error("{file}, row {row}: {why}")]
    Row {
        /// Which file.
        file: String,
        /// The row, from 1, without the heading.
        row: usize,
        /// Why, and what to do.
        why: String,
    },
    /// Nothing in it.
    #[error("{0} has no rows: each device needs one")]
    Empty(String),
}

/// A row as it stands in the file. Its fields may hold a PoP, so it is neither printed nor kept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    serial: Option<String>,
    #[serde(default)]
    pop: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    network: Option<String>,
    /// The text of the QR code, instead of name and PoP.
    #[serde(default)]
    label: Option<String>,
}

/// Reads a file of labels.
pub(crate) fn read(path: &Path) -> Result<Vec<Row>, LabelsError> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| LabelsError::Unreadable {
        file: file.clone(),
        why: error.to_string(),
    })?;
    parse(&file, &text)
}

/// Parses a file of labels; its name's ending says what it is.
pub(crate) fn parse(file: &str, text: &str) -> Result<Vec<Row>, LabelsError> {
    // A byte order mark is what spreadsheets put before UTF-8.
    let text = text.trim_start_matches('\u{feff}');
    let ending = Path::new(file)
        .extension()
        .map(|ending| ending.to_string_lossy().to_lowercase());
    let raw: Vec<Raw> = match ending.as_deref() {
        Some("csv") => csv_rows(file, text)?,
        Some("json") => serde_json::from_str(text).map_err(|error| LabelsError::Broken {
            file: file.into(),
            why: explain_json(&error),
        })?,
        _ => return Err(LabelsError::Kind(file.into())),
    };
    if raw.is_empty() {
        return Err(LabelsError::Empty(file.into()));
    }
    let mut rows: Vec<Row> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let wrong = |why: String| LabelsError::Row {
            file: file.into(),
            row: index + 1,
            why,
        };
        let row = check(raw).map_err(wrong)?;
        if let Some(serial) = &row.serial
            && let Some(first) = rows
                .iter()
                .position(|earlier| earlier.serial.as_ref() == Some(serial))
        {
            return Err(wrong(format!(
                "serial {serial} stands in row {} already: remove one",
                first + 1
            )));
        }
        rows.push(row);
    }
    Ok(rows)
}

fn csv_rows(file: &str, text: &str) -> Result<Vec<Raw>, LabelsError> {
    let broken = |error: csv::Error| {
        let place = error
            .position()
            .map(|at| format!("line {}: ", at.line()))
            .unwrap_or_default();
        LabelsError::Broken {
            file: file.into(),
            why: format!("{place}{}", explain_csv(&error)),
        }
    };
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .delimiter(if first_line(text).contains(';') {
            b';'
        } else {
            b','
        })
        .from_reader(text.as_bytes());
    reader
        .deserialize()
        .collect::<Result<Vec<Raw>, _>>()
        .map_err(broken)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn explain_csv(error: &csv::Error) -> String {
    const COLUMNS: &str = "the columns are name, serial, pop, username, network, label";
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!("this line has {len} fields, the heading has {expected_len}")
        }
        csv::ErrorKind::Deserialize { err, .. } => format!("{}; {COLUMNS}", err.kind()),
        csv::ErrorKind::Utf8 { .. } => "this is not UTF-8: save the file as CSV UTF-8".into(),
        _ => "this is no CSV".into(),
    }
}

/// The place and kind, without the text around it, which may hold a PoP.
fn explain_json(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "ends too early",
        serde_json::error::Category::Syntax => "is no JSON here",
        _ => "is not a list of objects with name, serial, pop, username, network or label",
    };
    format!("line {}, column {}: {what}", error.line(), error.column())
}

fn check(raw: Raw) -> Result<Row, String> {
    let given = |field: Option<String>| field.filter(|text| !text.is_empty());
    let label = match given(raw.label) {
        Some(text) => Some(Label::parse(&text).map_err(|error| error.to_string())?),
        None => None,
    };
    let name = given(raw.name).or_else(|| label.as_ref().and_then(|label| label.name.clone()));
    let serial = match given(raw.serial) {
        Some(text) => Some(Serial::new(text).map_err(|error| error.to_string())?),
        None => label.as_ref().and_then(|label| label.serial.clone()),
    };
    Ok(Row {
        name: name.ok_or("no name: the device's advertised name is needed, such as PROV_3CD3D8")?,
        serial,
        pop: given(raw.pop)
            .map(Pop::new)
            .or_else(|| label.as_ref().and_then(|label| label.pop.clone())),
        username: given(raw.username).or_else(|| label.and_then(|label| label.username)),
        network: given(raw.network),
    })
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
            ("l.csv", "name,colour\nPROV_1,red\n", "the columns are name"),
            (
                "l.csv",
                "name,serial\nPROV_1\n",
                "has 1 fields, the heading has 2",
            ),
            ("l.csv", "name,serial\n,SN-1\n", "row 1: no name"),
            ("l.csv", "name,serial\nPROV_1,SN 1\n", "row 1: a serial number"),
            (
                "l.csv",
                "name,serial\nA,SN-1\nB,SN-1\n",
                "row 2: serial SN-1 stands in row 1",
            ),
            ("l.json", "{}", "not a list"),
            ("l.json", "[{", "ends too early"),
            ("l.json", "[{\"pop\":secret}]", "is no JSON here"),
            ("l.json", "[{\"name\":7}]", "not a list"),
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
