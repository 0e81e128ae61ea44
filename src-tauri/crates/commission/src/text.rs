//! Text from outside, made fit to be shown: a device's name, a server's words. What somebody else wrote must not be
//! able to move a terminal's cursor, to begin a line of its own, or to make a line read in another order.
//!
//! Not in scope: names that are compared or sent; those keep their own types and checks.

use alloc::string::String;

/// One line of at most so many characters: white space of every kind is a blank, and what [`is_trick`] is left out.
pub fn shown(text: &str, longest: usize) -> String {
    let spaced = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    let mut fit = spaced.filter(|c| !is_trick(*c));
    let mut line: String = fit.by_ref().take(longest).collect();
    if fit.next().is_some() {
        line.push('…');
    }
    line
}

/// Whether a character does something to the text around it rather than stand in it: control characters (of both
/// blocks, since terminals obey both), and marks that turn the order round (Unicode Standard Annex 9).
pub fn is_trick(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// What a reader of files complains of, in plain words and without the text that it found in the wrong place, since a
/// secret may stand in a wrong place too.
pub fn complaint(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once(", expected ") else {
        return message.into();
    };
    let found = match found.split_once(": ") {
        Some((kind, found)) if kind.starts_with("invalid ") => {
            let word = match found {
                _ if found.starts_with("string ") => "a text",
                _ if found.starts_with("integer ") || found.starts_with("floating point ") => "a number",
                _ if found.starts_with("boolean ") => "true or false",
                "map" => "a table",
                "sequence" => "a list",
                other => other,
            };
            alloc::format!("{kind}: {word}")
        }
        _ if found.starts_with("unknown variant ") => "this is none of its values".into(),
        _ => found.into(),
    };
    let expected = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" | "u32" | "u64" | "usize" => "a whole number from 0 on",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text in quotes",
        "a sequence" => "a list",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    };
    alloc::format!("{found}, expected {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_in_plain_words_and_repeats_no_text() {
        for (message, plain) in [
            ("missing field `name`", "missing field `name`"),
            (
                "invalid type: string \"hunter22\", expected a boolean",
                "invalid type: a text, expected true or false",
            ),
            (
                "invalid type: string \"a, expected b\", expected u8",
                "invalid type: a text, expected a whole number from 0 to 255",
            ),
            (
                "invalid type: map, expected a sequence",
                "invalid type: a table, expected a list",
            ),
            (
                "invalid type: integer `12345678`, expected a string",
                "invalid type: a number, expected a text in quotes",
            ),
            (
                "unknown variant `hunter22`, expected `required` or `off`",
                "this is none of its values, expected `required` or `off`",
            ),
            (
                "unknown field `a`, expected `b` or `c`",
                "unknown field `a`, expected `b` or `c`",
            ),
        ] {
            assert_eq!(complaint(message), plain, "{message}");
        }
    }

    #[test]
    fn nothing_that_is_shown_can_play_with_a_terminal() {
        assert_eq!(shown("a\u{1b}[31mred\n\tb\u{202e}c", 99), "a[31mred  bc");
        assert_eq!(shown("\u{9b}2Jx\u{7f}", 99), "2Jx");
        assert_eq!(shown("", 99), "");
    }

    #[test]
    fn what_was_cut_shows_it() {
        assert_eq!(shown("ääää", 4), "ääää");
        assert_eq!(shown("ääääx", 4), "ääää…");
    }
}
