//! [`Stage`]: in which step of a connection's or a server's life something failed.
//!
//! The error that carries it is in `net_error.rs`.
#![forbid(unsafe_code)]

use std::fmt;
use std::hash::Hash;

/// The step at which something failed.
///
/// ```
/// assert_eq!(tidegate_net::Stage::Connect.to_string(), "connect");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Stage {
    /// A name or an address was to be understood.
    Lookup,
    /// An address was to be taken.
    Bind,
    /// A listening socket was to be opened.
    Listen,
    /// A connection was to be made.
    Connect,
    /// A connection was to be taken from the queue.
    Accept,
    /// The poller was to watch a socket.
    Register,
    /// Bytes were to be read.
    Read,
    /// Bytes were to be written.
    Write,
    /// A filter on the wire refused the bytes.
    Filter,
    /// The bytes that came were no frame: see [`Framed`](crate::Framed).
    Decode,
    /// The connection was open; a deadline passed.
    Open,
    /// The user's own code gave the error to
    /// [`destroy_with`](crate::SocketCx::destroy_with).
    Application,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Stage::Lookup => "lookup",
            Stage::Bind => "bind",
            Stage::Listen => "listen",
            Stage::Connect => "connect",
            Stage::Accept => "accept",
            Stage::Register => "register",
            Stage::Read => "read",
            Stage::Write => "write",
            Stage::Filter => "filter",
            Stage::Decode => "decode",
            Stage::Open => "connection",
            Stage::Application => "application",
        })
    }
}
