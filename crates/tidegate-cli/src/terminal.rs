//! What is printed: results on standard output, everything else on standard error. Colours are for
//! a terminal alone, and never with `NO_COLOR` (<https://no-color.org>) or `TERM=dumb`.
//!
//! Nothing here knows what a subcommand does.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, IsTerminal, Write};

/// What a text is, and so its colour. Every colour has a word beside it: nothing is said by a
/// colour alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tone {
    Good,
    Bad,
    Faint,
    Strong,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        }
    }
}

/// A text in a colour, if there are colours.
pub(crate) struct Toned<T> {
    text: T,
    tone: Option<Tone>,
}

impl<T: fmt::Display> fmt::Display for Toned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tone {
            Some(tone) => write!(f, "\x1b[{}m{}\x1b[0m", tone.code(), self.text),
            None => self.text.fmt(f),
        }
    }
}

fn colours(is_terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    is_terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}

/// For a line on standard output.
pub(crate) fn toned<T: fmt::Display>(tone: Tone, text: T) -> Toned<T> {
    Toned { text, tone: colours(io::stdout().is_terminal()).then_some(tone) }
}

/// For a line on standard error.
pub(crate) fn toned_note<T: fmt::Display>(tone: Tone, text: T) -> Toned<T> {
    Toned { text, tone: colours(io::stderr().is_terminal()).then_some(tone) }
}

/// Prints a line of the result. When the reader has gone (`tidegate ... | head`) nobody wants the
/// rest, and the program ends.
pub(crate) fn say(line: impl fmt::Display) {
    let mut out = io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Prints a line beside the result: on standard error.
pub(crate) fn note(line: impl fmt::Display) {
    // There is nowhere else to say that this failed.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints why the program ends.
pub(crate) fn complain(why: impl fmt::Display) {
    note(format_args!("{} {why}", toned_note(Tone::Bad, "error:")));
}

/// Bytes of a peer, as they are.
pub(crate) fn pass_on(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}
