//! [`Stage`]: the step of a connection or a server that failed.
//!
//! The error that carries it is in `net_error.rs`.
#![forbid(unsafe_code)]

use std::fmt;
use std::hash::Hash;

/// The step at which something failed.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// assert_eq!(tidegate_net::Stage::Connect.to_string(), "connect");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Stage {
    /// Turning a name or a text into addresses.
    Lookup,
    /// Binding to a local address.
    Bind,
    /// Opening a listening socket.
    Listen,
    /// Making a connection.
    Connect,
    /// Accepting a connection.
    Accept,
    /// Registering a socket with the poller.
    Register,
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Sending a datagram.
    Send,
    /// Receiving a datagram.
    Receive,
    /// A [`Filter`](crate::Filter) returned an error.
    Filter,
    /// The connection is made, and its filters did not get ready: a TLS handshake failed, or a
    /// deadline passed before.
    Handshake,
    /// TLS failed after the handshake: a bad record, or an alert of the peer.
    Tls,
    /// The peer ended the connection without the end that its protocol has: bytes may be missing.
    /// For TLS: a FIN without `close_notify`.
    Truncated,
    /// The bytes that came were no frame: see [`Framed`](crate::Framed).
    Decode,
    /// The connection was open, and a deadline passed.
    Open,
    /// Your code gave the error to [`destroy_with`](crate::SocketCx::destroy_with).
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
            Stage::Send => "send",
            Stage::Receive => "receive",
            Stage::Filter => "filter",
            Stage::Handshake => "handshake",
            Stage::Tls => "TLS",
            Stage::Truncated => "truncated",
            Stage::Decode => "decode",
            Stage::Open => "connection",
            Stage::Application => "application",
        })
    }
}
