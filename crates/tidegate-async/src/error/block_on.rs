//! [`BlockOnError`]: why `block_on` has no result.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;

use tidegate_loop::HandleInfo;

/// Why [`block_on`](crate::BlockOn::block_on) returns without a result.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_async::{BlockOn, BlockOnError, oneshot};
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// let (_sender, receiver) = oneshot::<u32>();
/// let stalled = lp.block_on(receiver).unwrap_err();
/// assert!(matches!(stalled, BlockOnError::Stalled { .. }));
/// assert_eq!(stalled.to_string(), "nothing can wake the future: 0 handles are left, and none has work");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum BlockOnError {
    /// Nothing can wake the future any more: no handle keeps the loop alive but tasks that wait as
    /// well, and nobody else has a waker.
    Stalled {
        /// What keeps the loop alive: tasks.
        alive: Vec<HandleInfo>,
    },
    /// [`Cx::stop`](tidegate_loop::Cx::stop) was called before the future was ready. Its loop can
    /// run again.
    Stopped,
    /// The poller failed, or the loop's table is full.
    Io(io::Error),
}

impl fmt::Display for BlockOnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockOnError::Stalled { alive } => {
                let n = alive.len();
                write!(f, "nothing can wake the future: {n} handles are left, and none has work")?;
                match alive.first() {
                    Some(first) => write!(f, "; the first: {first}"),
                    None => Ok(()),
                }
            }
            BlockOnError::Stopped => f.write_str("the loop was stopped"),
            BlockOnError::Io(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for BlockOnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BlockOnError::Io(e) => Some(e),
            _ => None,
        }
    }
}

impl From<io::Error> for BlockOnError {
    fn from(e: io::Error) -> BlockOnError {
        BlockOnError::Io(e)
    }
}

impl From<BlockOnError> for io::Error {
    fn from(e: BlockOnError) -> io::Error {
        match e {
            BlockOnError::Io(e) => e,
            other => io::Error::other(other),
        }
    }
}
