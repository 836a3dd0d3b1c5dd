//! How a connection ended: [`Close`], which `on_close` gets, and the [`Reason`] in it.
#![forbid(unsafe_code)]

use std::fmt;
use std::hash::Hash;
use std::mem::discriminant;
use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_loop::Cx;
use tidegate_stream::StreamError;

use crate::error::fault::Timeout;
use crate::error::net_error::NetError;

/// Which queue was too long.
///
/// ```
/// assert_eq!(tidegate_net::Scope::Socket.to_string(), "write_limit");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// The queue of this connection: `write_limit`.
    Socket,
    /// The queues of all connections together: `buffered_limit`.
    Loop,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::Socket => "write_limit",
            Scope::Loop => "buffered_limit",
        })
    }
}

/// Why a connection is over.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// assert_eq!(tidegate_net::Reason::Ended.to_string(), "both sides ended");
/// assert!(!tidegate_net::Reason::Destroyed.is_error());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// Both sides ended: the peer's FIN was read, ours is out.
    Ended,
    /// [`destroy`](crate::SocketCx::destroy) was called.
    Destroyed,
    /// An operation failed: see its stage. A connection that was never made
    /// ends this way, too.
    Failed(Arc<NetError>),
    /// A producer ignored [`Flow::Full`](tidegate_stream::Flow) until a limit
    /// was reached, or a filter kept or answered too much.
    WriteLimit {
        /// Which limit.
        scope: Scope,
        /// Bytes of memory that were queued.
        queued: usize,
        /// The limit.
        limit: usize,
    },
    /// A deadline passed.
    TimedOut(Timeout, Arc<NetError>),
    /// The connection was an end of a pipe, and the pipe failed for this reason and closed both
    /// ends.
    Piped(StreamError),
    /// A callback of this connection panicked.
    Panicked,
}

impl Reason {
    /// Whether this is anything but an ordinary end.
    pub fn is_error(&self) -> bool {
        !matches!(self, Reason::Ended | Reason::Destroyed)
    }

    /// The error, if an operation failed.
    pub fn error(&self) -> Option<&NetError> {
        match self {
            Reason::Failed(e) | Reason::TimedOut(_, e) => Some(e),
            _ => None,
        }
    }

    /// What errors of one kind have in common, for the log.
    pub(crate) fn alike(&self) -> impl Hash + use<> {
        let limit = match self {
            Reason::WriteLimit { scope, .. } => Some(*scope),
            _ => None,
        };
        (discriminant(self), limit, self.error().map(NetError::alike))
    }

    /// What this means to a pipe: what a layer gives
    /// [`PipeKey::source_closed`](tidegate_stream::PipeKey::source_closed) and
    /// [`sink_closed`](tidegate_stream::PipeKey::sink_closed) for its own end.
    ///
    /// ```
    /// assert!(tidegate_net::Reason::Ended.result().is_ok());
    /// assert!(tidegate_net::Reason::Destroyed.result().is_err());
    /// ```
    pub fn result(&self) -> Result<(), StreamError> {
        Err(match self {
            Reason::Ended => return Ok(()),
            Reason::Destroyed => StreamError::Destroyed,
            Reason::Piped(e) => e.clone(),
            Reason::Failed(e) | Reason::TimedOut(_, e) => StreamError::Failed(e.clone()),
            Reason::WriteLimit { queued, limit, .. } => {
                StreamError::Limit { queued: *queued, limit: *limit }
            }
            Reason::Panicked => StreamError::Panicked,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Ended => f.write_str("both sides ended"),
            Reason::Destroyed => f.write_str("destroyed"),
            Reason::Failed(e) | Reason::TimedOut(_, e) => e.fmt(f),
            Reason::WriteLimit { scope, queued, limit } => {
                write!(f, "{queued} bytes were queued, {scope} is {limit}")
            }
            Reason::Piped(e) => write!(f, "its pipe broke: the other end {e}"),
            Reason::Panicked => f.write_str("a callback panicked"),
        }
    }
}

/// A [`Reason`] in 16 bytes: every connection has room for one.
pub(crate) enum Kept {
    Ended,
    Destroyed,
    Panicked,
    Failed(Arc<NetError>),
    TimedOut(Timeout, Arc<NetError>),
    Other(Box<Reason>),
}

impl From<Reason> for Kept {
    #[inline]
    fn from(reason: Reason) -> Kept {
        match reason {
            Reason::Ended => Kept::Ended,
            Reason::Destroyed => Kept::Destroyed,
            Reason::Panicked => Kept::Panicked,
            Reason::Failed(error) => Kept::Failed(error),
            Reason::TimedOut(which, error) => Kept::TimedOut(which, error),
            other => Kept::Other(Box::new(other)),
        }
    }
}

impl From<Kept> for Reason {
    #[inline]
    fn from(kept: Kept) -> Reason {
        match kept {
            Kept::Ended => Reason::Ended,
            Kept::Destroyed => Reason::Destroyed,
            Kept::Panicked => Reason::Panicked,
            Kept::Failed(error) => Reason::Failed(error),
            Kept::TimedOut(which, error) => Reason::TimedOut(which, error),
            Kept::Other(reason) => *reason,
        }
    }
}

impl Kept {
    /// As [`Reason::error`].
    pub(crate) fn error(&self) -> Option<&NetError> {
        match self {
            Kept::Failed(e) | Kept::TimedOut(_, e) => Some(e),
            Kept::Other(reason) => reason.error(),
            Kept::Ended | Kept::Destroyed | Kept::Panicked => None,
        }
    }

    /// As [`Reason::result`].
    pub(crate) fn result(&self) -> Result<(), StreamError> {
        match self {
            Kept::Ended => Reason::Ended.result(),
            Kept::Destroyed => Reason::Destroyed.result(),
            Kept::Panicked => Reason::Panicked.result(),
            Kept::Failed(error) => Reason::Failed(error.clone()).result(),
            Kept::TimedOut(which, error) => Reason::TimedOut(*which, error.clone()).result(),
            Kept::Other(reason) => reason.result(),
        }
    }
}

/// Whether the peer got a reset, which shows that this is no ordinary end.
///
/// ```
/// assert_eq!(tidegate_net::Reset::default(), tidegate_net::Reset::No);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reset {
    /// There was no reason to send one.
    #[default]
    No,
    /// It was sent: the peer's next read or write fails with `ECONNRESET`. If the peer had our FIN
    /// before, only its writes fail.
    Sent,
    /// A Unix domain socket cannot send one: the peer sees an ordinary end, and cannot tell that
    /// bytes are missing. (Linux: it sees `ECONNRESET` if we had not read all of its bytes; then
    /// this is `Sent`.) A protocol on such a socket needs its own mark of the end.
    Unsupported,
}

/// How a connection ended, and its totals. Each connection gets exactly one.
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::{Net, On};
/// let mut lp = Loop::new()?;
/// lp.connect("127.0.0.1:1", On::new().close(|_, close| {
///     eprintln!("{close}"); // connect to 127.0.0.1:1 failed after 0.1 ms: ... (ECONNREFUSED)
///     assert_eq!(close.reason.error().unwrap().code(), Some("ECONNREFUSED"));
/// }));
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Close {
    /// Why.
    pub reason: Reason,
    /// The peer, where it was known.
    pub peer: Option<SocketAddr>,
    /// Bytes that were accepted for writing and did not reach the kernel.
    pub unsent: usize,
    /// Bytes read in all.
    pub bytes_read: u64,
    /// Bytes the kernel took in all.
    pub bytes_written: u64,
    /// Whether a pipe that the connection is an end of gets this error, too.
    pub piped: bool,
    /// Whether the peer can see that the connection was cut off: by
    /// [`reset`](crate::SocketCx::reset), a limit, a panic, a pipe that broke, or a deadline or
    /// filter while bytes were queued or a pipe was not done.
    pub reset: Reset,
}

impl Close {
    /// What a handler does that has nothing to do.
    pub(crate) fn unhandled(&self, cx: &mut Cx<'_>) {
        if self.reason.is_error() && !self.piped {
            cx.driver().unhandled("tidegate::net", self.reason.alike(), format_args!("{self}"));
        }
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        if self.unsent > 0 {
            write!(f, " ({} bytes unsent)", self.unsent)?;
        }
        if self.reset == Reset::Unsupported {
            f.write_str("; the peer sees an ordinary end: a Unix domain socket has no reset")?;
        }
        Ok(())
    }
}
