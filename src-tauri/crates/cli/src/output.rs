//! What a command says: words for a person, or one JSON object a line.

use std::io::Write;

use indicatif::MultiProgress;
use serde::Serialize;

use crate::exit::Ended;

/// Where words and lines go; progress bars, where there are any, stay below them.
#[derive(Clone)]
pub(crate) struct Output {
    json: bool,
    bars: MultiProgress,
}

#[derive(Serialize)]
struct Line<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(flatten)]
    content: &'a T,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    code: &'a str,
    what: &'a str,
    now: &'a str,
    exit: u8,
}

impl Output {
    /// For words, or for JSON.
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            bars: MultiProgress::new(),
        }
    }

    /// Whether this is for a program.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// The bars, to add to.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Says something in words; nothing in JSON.
    pub(crate) fn say(&self, words: impl AsRef<str>) {
        if !self.json {
            self.bars.suspend(|| write_line(words.as_ref()));
        }
    }

    /// Says something as a JSON line; nothing in words.
    pub(crate) fn line<T: Serialize>(&self, kind: &str, content: &T) {
        if self.json {
            match serde_json::to_string(&Line { kind, content }) {
                Ok(line) => write_line(&line),
                Err(error) => tracing::error!(%error, kind, "a line could not be written as JSON"),
            }
        }
    }

    /// Says both, each in its form.
    pub(crate) fn both<T: Serialize>(&self, kind: &str, content: &T, words: impl AsRef<str>) {
        self.line(kind, content);
        self.say(words);
    }

    /// Something that the person should know but that stops nothing.
    pub(crate) fn warn(&self, code: &str, words: &str) {
        if self.json {
            self.line("warning", &serde_json::json!({ "code": code, "what": words }));
        } else {
            self.bars.suspend(|| write_error(&format!("note: {words}")));
        }
    }

    /// The end, if it is no success.
    pub(crate) fn ended(&self, ended: &Ended) {
        if ended.what.is_empty() {
            return;
        }
        if self.json {
            let Ended {
                code,
                what,
                now,
                exit,
            } = ended;
            self.line(
                "error",
                &ErrorLine {
                    code,
                    what,
                    now,
                    exit: *exit as u8,
                },
            );
        } else {
            self.bars.suspend(|| {
                write_error(&format!("error: {}", ended.what));
                if !ended.now.is_empty() {
                    write_error(&format!("  do now: {}", ended.now));
                }
            });
        }
    }
}

/// A closed pipe (`fieldkey scan | head`) ends the output, not the work: devices must still be left in order.
fn write_line(line: &str) {
    let _ = writeln!(anstream::stdout(), "{line}");
}

fn write_error(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}
