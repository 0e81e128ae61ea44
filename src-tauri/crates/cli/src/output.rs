//! What a command says: words for a person, or one JSON object a line.

use std::io::Write;

use indicatif::MultiProgress;
use serde::Serialize;

use commission::text::is_trick;

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
            self.bars.suspend(|| write_line(&harmless(words.as_ref())));
        }
    }

    /// Says something as a JSON line; nothing in words.
    pub(crate) fn line<T: Serialize>(&self, kind: &str, content: &T) {
        if self.json {
            match serde_json::to_string(&Line { kind, content }) {
                Ok(line) => write_line(&escaped(&line)),
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
            self.bars
                .suspend(|| write_error(&harmless(&format!("note: {words}"))));
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
                write_error(&harmless(&format!("error: {}", ended.what)));
                if !ended.now.is_empty() {
                    write_error(&harmless(&format!("  do now: {}", ended.now)));
                }
            });
        }
    }
}

/// Words for a terminal, without what would play with it: much of what is said here was said by others first. This is
/// the last gate; that nobody's words begin a line of their own is seen to where they come in.
pub(crate) fn harmless(words: &str) -> String {
    words.chars().filter(|c| *c == '\n' || !is_trick(*c)).collect()
}

/// JSON says only of the first control characters that they are escaped, and terminals obey more. Outside of strings
/// there are none.
fn escaped(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        if is_trick(c) {
            // Not one of them is beyond the first plane.
            line.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            line.push(c);
        }
    }
    line
}

/// A closed pipe (`fieldkey scan | head`) ends the output, not the work: devices must still be left in order.
fn write_line(line: &str) {
    let _ = writeln!(anstream::stdout(), "{line}");
}

fn write_error(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_cannot_play_with_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\n  c\u{9b}1md\u{202e}"), "a[2Jb\n  c1md");
    }

    #[test]
    fn a_line_of_json_holds_no_control_character_and_means_the_same() {
        let said = serde_json::json!({ "name": "a\u{1b}[2J\u{9b}1m\u{7f}\u{202e}ä" });
        let line = escaped(&said.to_string());
        assert!(!line.chars().any(is_trick), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), said);
    }
}
