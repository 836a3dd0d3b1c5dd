//! [`JoinError`]: why a task has no result.
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tidegate_loop::OneLine;

use crate::error::not_on_loop::NotOnLoop;

/// Why a task has no result.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_async::{Async, BlockOn, JoinError};
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// let never = lp.spawn(std::future::pending::<()>());
/// never.cancel();
/// assert_eq!(lp.block_on(never)?, Err(JoinError::Cancelled));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// It was cancelled, or its handle was closed.
    Cancelled,
    /// It panicked.
    Panicked {
        /// The panic's message, if it was a text.
        message: String,
    },
    /// The loop's table was full when it was spawned. It never ran.
    Refused,
    /// Its result was taken by an earlier poll.
    Taken,
    /// It is asked for where its loop is not.
    NotOnLoop(NotOnLoop),
}

impl JoinError {
    /// The payload ends here, and may do so with another panic.
    pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
    }
}

/// Drops a value of a user's. The panic of its destructor, if there is one.
pub(crate) fn drop_caught<T>(value: T) -> Result<(), Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(|| drop(value)))
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Cancelled => f.write_str("the task was cancelled"),
            JoinError::Panicked { message } => {
                write!(f, "the task panicked: {}", OneLine(message))
            }
            JoinError::Refused => f.write_str("the task was not spawned: the loop is full"),
            JoinError::Taken => f.write_str("the task's result was taken before"),
            JoinError::NotOnLoop(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for io::Error {
    fn from(e: JoinError) -> io::Error {
        io::Error::other(e)
    }
}
