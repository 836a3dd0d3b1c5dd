//! How the program ends: its exit codes, and the failures that lead to them.
#![forbid(unsafe_code)]

use std::fmt;
use std::process::ExitCode;

/// The table for `--help`. A test compares it with [`Exit`].
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    it did what was asked
  1    it failed: no connection, a port that is taken, a file that cannot be read
  2    bad arguments
  3    `doctor` has found something
  130  it was ended by Ctrl-C before it was done";

/// How a subcommand ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// It did what was asked.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The arguments cannot be right.
    BadArguments = 2,
    /// `doctor` has found something.
    Found = 3,
    /// Ctrl-C ended it before it was done.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a subcommand could not do what was asked: a text for people, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    exit: Exit,
}

impl Failure {
    /// It failed.
    pub(crate) fn new(text: impl fmt::Display) -> Failure {
        Failure { text: text.to_string(), exit: Exit::Failed }
    }

    /// An argument that cannot be right.
    pub(crate) fn bad_argument(text: impl fmt::Display) -> Failure {
        Failure { text: text.to_string(), exit: Exit::BadArguments }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Every error of the library and of the system is a failure. (So a failure is no `Error` itself.)
impl<E: std::error::Error> From<E> for Failure {
    fn from(e: E) -> Failure {
        Failure::new(e)
    }
}

/// What subcommands return.
pub(crate) type Outcome = Result<Exit, Failure>;
