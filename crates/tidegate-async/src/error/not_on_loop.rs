//! [`NotOnLoop`]: a call that needs the loop was made where there is none.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;

use crate::sys::current::NoFrame;

/// A call that needs the loop was made where none is: outside of a task, on another thread, or in a
/// task of another loop.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_async::{NotOnLoop, with};
/// assert_eq!(with(|cx| cx.turn()), Err(NotOnLoop::Outside));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NotOnLoop {
    /// No loop polls a task on this thread.
    Outside,
    /// The loop is lent to an outer call of [`with`](crate::with).
    Lent,
    /// What is used belongs to another loop than the one that polls this task.
    Foreign,
    /// The loop was dropped.
    Gone,
}

impl fmt::Display for NotOnLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotOnLoop::Outside => "not in a task of a loop",
            NotOnLoop::Lent => "an outer call has borrowed the loop",
            NotOnLoop::Foreign => "it belongs to another loop than this task",
            NotOnLoop::Gone => "the loop was dropped",
        })
    }
}

impl std::error::Error for NotOnLoop {}

impl From<NotOnLoop> for io::Error {
    fn from(e: NotOnLoop) -> io::Error {
        io::Error::other(e)
    }
}

impl From<NoFrame> for NotOnLoop {
    fn from(e: NoFrame) -> NotOnLoop {
        match e {
            NoFrame::Outside => NotOnLoop::Outside,
            NoFrame::Lent => NotOnLoop::Lent,
        }
    }
}
