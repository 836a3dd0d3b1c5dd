//! [`BlockingError`]: why a job has no result.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;

use tidegate_loop::WorkError;

use crate::error::not_on_loop::NotOnLoop;

/// Why [`blocking`](crate::blocking) has no result.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_async::{BlockOn, BlockingError, blocking};
/// use tidegate_loop::{Loop, WorkError};
/// let mut lp = Loop::new()?;
/// let failed = lp.block_on(blocking(|| panic!("no tide")))?;
/// let Err(BlockingError::Work(WorkError::Panicked { message })) = failed else { panic!() };
/// assert_eq!(message, "no tide");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum BlockingError {
    /// The job panicked, or was cancelled.
    Work(WorkError),
    /// No thread could take it: too many jobs wait, or none could be started. It did not run.
    Refused(io::Error),
    /// It was asked for where there is no loop.
    NotOnLoop(NotOnLoop),
}

impl fmt::Display for BlockingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockingError::Work(e) => e.fmt(f),
            BlockingError::Refused(e) => e.fmt(f),
            BlockingError::NotOnLoop(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for BlockingError {}

impl From<NotOnLoop> for BlockingError {
    fn from(e: NotOnLoop) -> BlockingError {
        BlockingError::NotOnLoop(e)
    }
}

impl From<BlockingError> for io::Error {
    fn from(e: BlockingError) -> io::Error {
        match e {
            BlockingError::Refused(e) => e,
            other => io::Error::other(other),
        }
    }
}
