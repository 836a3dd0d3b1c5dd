//! A text of unknown origin, on one line.
#![forbid(unsafe_code)]

use std::fmt::{self, Write};

/// Shows a value on one line, whatever its text contains. For texts from a peer, a file or another
/// library: a name, an address, the text of an error.
///
/// It escapes, as Rust does (`\n`, `\u{1b}`): control characters, which break lines and control
/// terminals; the line and paragraph separators of Unicode; and its Bidi_Control characters, which
/// reorder the text around them. Everything else, backslashes too, stays as it is, so a text that
/// was escaped already does not change.
///
/// All texts of this project's errors, events and log lines are shown this way.
///
/// ```
/// use tidegate_loop::OneLine;
/// assert_eq!(OneLine("bad\nline\u{1b}[2J").to_string(), r"bad\nline\u{1b}[2J");
/// assert_eq!(OneLine("größer \"als\" C:\\").to_string(), "größer \"als\" C:\\");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct OneLine<T>(pub T);

impl<T: fmt::Display> fmt::Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaped(f), "{}", self.0)
    }
}

struct Escaped<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(acts) {
            let (plain, from) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut chars = from.chars();
            if let Some(c) = chars.next() {
                write!(self.0, "{}", c.escape_debug())?;
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Whether the character does something to the line that it stands in.
fn acts(c: char) -> bool {
    let separator = matches!(c, '\u{2028}' | '\u{2029}');
    // All that have Unicode's property Bidi_Control.
    let bidi = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    c.is_control() || separator || bidi
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_acts_is_escaped_and_what_is_shown_stays() {
        let given = "a\tb\r\nc\0\u{7f}\u{85}\u{9b}2J\u{2028}\u{2029}\u{202e}\u{2066}\u{200f}";
        let shown = OneLine(given).to_string();
        assert_eq!(
            shown,
            r"a\tb\r\nc\0\u{7f}\u{85}\u{9b}2J\u{2028}\u{2029}\u{202e}\u{2066}\u{200f}"
        );
        let harmless = "ЁЖ 潮 👩\u{200d}🚀 e\u{301} '\"\\";
        assert_eq!(OneLine(harmless).to_string(), harmless);
    }

    proptest! {
        #[test]
        fn nothing_that_acts_is_left_and_a_second_time_changes_nothing(text: String) {
            let once = OneLine(&text).to_string();
            prop_assert!(!once.contains(acts));
            prop_assert_eq!(OneLine(&once).to_string(), once);
        }
    }
}
