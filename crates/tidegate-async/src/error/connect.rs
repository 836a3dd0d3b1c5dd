//! [`ConnectError`]: why a connection was not made.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, ErrorKind};

use tidegate_loop::TableFull;
use tidegate_net::{NetError, Reason};

use crate::error::not_on_loop::NotOnLoop;

/// Why [`connect`](crate::connect) has no connection.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_async::{BlockOn, connect};
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// let refused = lp.block_on(connect("127.0.0.1:1"))?.unwrap_err();
/// assert_eq!(refused.error().unwrap().code(), Some("ECONNREFUSED"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// It failed, at every address that was tried, or a deadline passed.
    Closed(Reason),
    /// The loop's table is full.
    TableFull,
    /// It was asked for where there is no loop.
    NotOnLoop(NotOnLoop),
}

impl ConnectError {
    /// The error of the network, if there is one: its stage, its code, the attempts.
    pub fn error(&self) -> Option<&NetError> {
        match self {
            ConnectError::Closed(reason) => reason.error(),
            _ => None,
        }
    }

    /// The kind of the [`io::Error`] that this turns into.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ConnectError::Closed(reason) => kind_of(reason),
            ConnectError::TableFull => ErrorKind::OutOfMemory,
            ConnectError::NotOnLoop(_) => ErrorKind::Other,
        }
    }
}

/// The kind of the error that a connection ended with.
pub(crate) fn kind_of(reason: &Reason) -> ErrorKind {
    match reason {
        Reason::Ended => ErrorKind::UnexpectedEof,
        Reason::Destroyed => ErrorKind::ConnectionAborted,
        other => other.error().map_or(ErrorKind::Other, NetError::kind),
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Closed(reason) => reason.fmt(f),
            ConnectError::TableFull => TableFull.fmt(f),
            ConnectError::NotOnLoop(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error().map(|e| e as _)
    }
}

impl From<NotOnLoop> for ConnectError {
    fn from(e: NotOnLoop) -> ConnectError {
        ConnectError::NotOnLoop(e)
    }
}

impl From<ConnectError> for io::Error {
    fn from(e: ConnectError) -> io::Error {
        io::Error::new(e.kind(), e)
    }
}
