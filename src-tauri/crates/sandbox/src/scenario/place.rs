//! Where each field of a scenario file stands, so that whatever is wrong with it can be shown.

use std::ops::Range;

use commission::text::complaint;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

/// Why a text is no scenario, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}{}: {problem}", in_field(.field))]
pub struct ScenarioError {
    /// Line, from 1.
    pub line: usize,
    /// The field, such as `speed` or `device[2].mtu` (from 0); empty where no field is to blame.
    pub field: String,
    /// What is wrong, and what to write instead where that is not plain.
    pub problem: String,
}

fn in_field(field: &str) -> String {
    if field.is_empty() {
        String::new()
    } else {
        format!(", {field}")
    }
}

/// A scenario's text and its fields.
pub(super) struct Document<'t> {
    text: &'t str,
    places: Vec<Place>,
}

struct Place {
    path: String,
    key: Range<usize>,
    value: Range<usize>,
}

impl<'t> Document<'t> {
    /// Reads the text as `T`.
    pub(super) fn read<T: DeserializeOwned>(text: &'t str) -> Result<(Self, T), ScenarioError> {
        let mut document = Self {
            text,
            places: Vec::new(),
        };
        let root = DeTable::parse(text).map_err(|error| document.complaint(&error))?;
        collect("", root.get_ref(), &mut document.places);
        let value = toml::from_str(text).map_err(|error| document.complaint(&error))?;
        Ok((document, value))
    }

    /// Blames a field; one that is not there is blamed at the nearest that would hold it.
    pub(super) fn error(&self, field: &str, problem: impl Into<String>) -> ScenarioError {
        let mut holder = field;
        let offset = loop {
            if let Some(place) = self.places.iter().find(|place| place.path == holder) {
                break place.key.start;
            }
            match holder.rfind(['.', '[']).and_then(|end| holder.get(..end)) {
                Some(outer) => holder = outer,
                None => break 0,
            }
        };
        ScenarioError {
            line: self.line(offset),
            field: field.to_owned(),
            problem: problem.into(),
        }
    }

    /// What the parser or serde complains of, at the smallest field that covers its place.
    fn complaint(&self, error: &toml::de::Error) -> ScenarioError {
        let span = error.span().unwrap_or(0..0);
        let covers = |outer: &Range<usize>| outer.start <= span.start && span.end <= outer.end;
        let field = self
            .places
            .iter()
            .flat_map(|place| [(place, &place.key), (place, &place.value)])
            .filter(|(_, range)| !span.is_empty() && !range.is_empty() && covers(range))
            .min_by_key(|(_, range)| range.len())
            .map_or_else(String::new, |(place, _)| place.path.clone());
        ScenarioError {
            line: self.line(span.start),
            field,
            problem: complaint(error.message()),
        }
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or(self.text);
        before.matches('\n').count().saturating_add(1)
    }
}

fn collect(prefix: &str, table: &DeTable<'_>, places: &mut Vec<Place>) {
    for (key, value) in table {
        let path = if prefix.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{prefix}.{}", key.get_ref())
        };
        collect_value(path, key.span(), value.get_ref(), value.span(), places);
    }
}

fn collect_value(
    path: String,
    key: Range<usize>,
    value: &DeValue<'_>,
    span: Range<usize>,
    places: &mut Vec<Place>,
) {
    match value {
        DeValue::Table(table) => collect(&path, table, places),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_value(
                    format!("{path}[{index}]"),
                    item.span(),
                    item.get_ref(),
                    item.span(),
                    places,
                );
            }
        }
        _ => {}
    }
    places.push(Place {
        path,
        key,
        value: span,
    });
}
