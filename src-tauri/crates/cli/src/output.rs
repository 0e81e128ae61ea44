//! What a command says: words for a person, or one JSON object a line.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;

use commission::text::is_trick;

use crate::exit::{Ended, Exit};

/// Where words and lines go; progress bars, where there are any, stay below them.
#[derive(Clone)]
pub(crate) struct Output {
    json: bool,
    bars: MultiProgress,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What was said while a question stands: it comes after the answer, so that nobody types into moving lines.
    held: Option<Vec<(Stream, String)>>,
    /// Why standard output took no more.
    broken: Option<io::Error>,
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Error,
}

/// The quiet around a question, until it is dropped.
pub(crate) struct Quiet<'a>(&'a Output);

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let held = self.0.state().held.take();
        self.0.bars.set_draw_target(ProgressDrawTarget::stderr());
        for (stream, line) in held.into_iter().flatten() {
            self.0.write(stream, &line);
        }
    }
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
            state: Arc::default(),
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
            self.write(Stream::Out, &harmless(words.as_ref()));
        }
    }

    /// Holds back all that is said meanwhile.
    pub(crate) fn quiet(&self) -> Quiet<'_> {
        self.state().held.get_or_insert_default();
        // Bars that come or go may fail to be wiped from a terminal that is gone.
        let _ = self.bars.clear();
        self.bars.set_draw_target(ProgressDrawTarget::hidden());
        Quiet(self)
    }

    /// Gives out a text that is made for other programs, as it is, or within a JSON line.
    pub(crate) fn text<T: Serialize>(&self, kind: &str, content: &T, text: &str) {
        if self.json {
            self.line(kind, content);
        } else {
            let done = io::stdout().write_all(text.as_bytes());
            self.note(done);
        }
    }

    /// How many columns there are for words; none where nobody looks at a terminal.
    pub(crate) fn columns(&self) -> Option<usize> {
        width(Stream::Out)
    }

    /// Why not everything that was said has arrived. A closed pipe (`fieldkey scan | head`) ends the output, not the
    /// work: devices must still be left in order, and nobody misses what nobody reads.
    pub(crate) fn arrived(&self) -> Result<(), Ended> {
        self.note(io::stdout().flush());
        match self.state().broken.take() {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(Ended::new(
                Exit::Local,
                "output",
                format!("what was said could not be written: {error}"),
                "Make room where the output goes, then ask again; what was done stays done.",
            )),
            _ => Ok(()),
        }
    }

    fn write(&self, stream: Stream, line: &str) {
        let mut state = self.state();
        if let Some(held) = &mut state.held {
            held.push((stream, line.to_owned()));
            return;
        }
        drop(state);
        let line = match width(stream).filter(|_| !self.json) {
            Some(width) => fitted(line, width),
            None => line.to_owned(),
        };
        match stream {
            Stream::Out => {
                let done = self.bars.suspend(|| writeln!(anstream::stdout(), "{line}"));
                self.note(done);
            }
            // Nowhere is left to say that this failed.
            Stream::Error => {
                let _ = self.bars.suspend(|| writeln!(anstream::stderr(), "{line}"));
            }
        }
    }

    fn note(&self, done: io::Result<()>) {
        if let Err(error) = done {
            self.state().broken.get_or_insert(error);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something as a JSON line; nothing in words.
    pub(crate) fn line<T: Serialize>(&self, kind: &str, content: &T) {
        if self.json {
            match serde_json::to_string(&Line { kind, content }) {
                Ok(line) => self.write(Stream::Out, &escaped(&line)),
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
            self.write(Stream::Error, &harmless(&format!("note: {words}")));
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
            self.write(Stream::Error, &harmless(&format!("error: {}", ended.what)));
            if !ended.now.is_empty() {
                self.write(Stream::Error, &harmless(&format!("  do now: {}", ended.now)));
            }
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

/// How wide the terminal is that this goes to, where it goes to one.
#[cfg(unix)]
fn width(stream: Stream) -> Option<usize> {
    let size = match stream {
        Stream::Out => rustix::termios::tcgetwinsize(io::stdout()),
        Stream::Error => rustix::termios::tcgetwinsize(io::stderr()),
    };
    size.ok()
        .map(|size| size.ws_col.into())
        .filter(|width| *width > 0)
}

#[cfg(not(unix))]
fn width(_: Stream) -> Option<usize> {
    None
}

/// Lines that are broken between words, so that the terminal breaks none within one. What goes on stands below where
/// the sentence began, which is after the last of the wide gaps that part columns.
fn fitted(text: &str, width: usize) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| fitted_line(line, width)).collect();
    lines.join("\n")
}

fn fitted_line(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let begin = line.trim_end().rfind("  ").map_or(0, |gap| {
        line.chars().count() - line.split_at(gap).1.trim_start().chars().count()
    });
    let indent = if begin * 2 <= width { begin } else { 2 };
    let (mut done, mut column) = (String::new(), 0);
    for word in line.split_inclusive(' ') {
        let length = word.trim_end_matches(' ').chars().count();
        if column + length > width && column > indent {
            done.truncate(done.trim_end_matches(' ').len());
            done.push('\n');
            done.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        }
        done.push_str(word);
        column += word.chars().count();
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_cannot_play_with_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\n  c\u{9b}1md\u{202e}"), "a[2Jb\n  c1md");
    }

    #[test]
    fn a_long_line_breaks_between_words_below_where_its_sentence_began() {
        assert_eq!(fitted("short", 20), "short");
        let line = "  1.00 s  PROV  The network refused it.";
        let expected = "  1.00 s  PROV  The network\n                refused it.";
        assert_eq!(fitted(line, 32), expected);
        let address = "x".repeat(30);
        assert_eq!(
            fitted(&address, 20),
            address,
            "an address stays whole, to be copied"
        );
    }

    #[test]
    fn a_line_of_json_holds_no_control_character_and_means_the_same() {
        let said = serde_json::json!({ "name": "a\u{1b}[2J\u{9b}1m\u{7f}\u{202e}ä" });
        let line = escaped(&said.to_string());
        assert!(!line.chars().any(is_trick), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), said);
    }
}
