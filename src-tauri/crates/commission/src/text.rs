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

#[cfg(test)]
mod tests {
    use super::*;

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
