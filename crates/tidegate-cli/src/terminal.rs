//! What is printed: results on standard output, everything else on standard error. Colours are for
//! a terminal alone, and never with `NO_COLOR` (<https://no-color.org>) or `TERM=dumb`.
//!
//! The reader of standard output may go away (`tidegate ... | head -1`). Then the rest is not
//! printed, and that is no failure: `connect` ends, as `nc` does; all others do what was asked. An
//! output that fails otherwise, as a disk that is full, is a failure at the end.
//!
//! Nothing here knows what a subcommand does.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

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

/// The first error of standard output. Nothing is printed after it.
static ERROR: OnceLock<io::Error> = OnceLock::new();

fn print(write: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) -> bool {
    let mut out = io::stdout().lock();
    if ERROR.get().is_none() {
        if let Err(e) = write(&mut out).and_then(|()| out.flush()) {
            // Another thread cannot have set it: the output is locked.
            let _ = ERROR.set(e);
        }
    }
    ERROR.get().is_none()
}

/// Why something could not be printed, if somebody still wants it.
pub(crate) fn output_error() -> Option<&'static io::Error> {
    ERROR.get().filter(|e| e.kind() != io::ErrorKind::BrokenPipe)
}

/// Prints a line of the result, if somebody still reads it.
pub(crate) fn say(line: impl fmt::Display) {
    print(|out| writeln!(out, "{line}"));
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

/// Prints bytes as they are. `false`: nobody reads them, now or later.
pub(crate) fn pass_on(bytes: &[u8]) -> bool {
    print(|out| out.write_all(bytes))
}
