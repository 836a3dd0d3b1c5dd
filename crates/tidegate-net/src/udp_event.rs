//! The events of UDP sockets, for the loop's observer: by batch, not by datagram. Those of
//! connections are in `event.rs`.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::SocketAddr;

use tidegate_loop::{OneLine, Value};

use crate::datagram::{Group, UdpReason};
use crate::key::UdpKey;

/// Which UDP socket an event is about.
///
/// ```
/// fn line(u: &tidegate_net::UdpInfo) -> String { format!("{:?} on {:?}", u.key, u.local) }
/// # let _ = line;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UdpInfo {
    /// Its key.
    pub key: UdpKey,
    /// Its address; not after it was closed.
    pub local: Option<SocketAddr>,
}

/// What happened to a UDP socket.
///
/// ```
/// assert_eq!(tidegate_net::UdpEvent::Bound.name(), "bound");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum UdpEvent {
    /// It is open.
    Bound,
    /// It exchanges datagrams with this peer alone.
    Connected {
        /// Who.
        peer: SocketAddr,
    },
    /// It receives from everybody again.
    Disconnected,
    /// Its turn in the ready pass is over.
    Received {
        /// Datagrams that were delivered in this turn.
        datagrams: u32,
        /// Their bytes.
        bytes: usize,
        /// Why it stopped.
        stopped: ReceiveEnd,
    },
    /// The kernel took datagrams.
    Sent {
        /// How many.
        datagrams: u32,
        /// By so many system calls.
        calls: u32,
        /// Of them, runs that left in one piece.
        runs: u32,
    },
    /// The kernel has no room: what is queued waits.
    Stalled {
        /// Bytes queued.
        queued: usize,
    },
    /// A send reached the high-water mark.
    Full {
        /// Bytes queued.
        queued: usize,
    },
    /// The queue is empty after it was full.
    Drain,
    /// The queue was at its limit: datagrams were dropped.
    Dropped {
        /// How many.
        datagrams: usize,
        /// Those that waited longest, or the new one.
        oldest: bool,
    },
    /// A datagram could not be sent.
    SendFailed {
        /// Where it was to go.
        to: Option<SocketAddr>,
        /// In words.
        error: String,
        /// The system's name of it.
        code: Option<&'static str>,
    },
    /// The network said something about a datagram that was sent before.
    TransportError {
        /// In words.
        error: String,
        /// The system's name of it.
        code: Option<&'static str>,
    },
    /// It is a member of this group.
    Joined(Group),
    /// It is not any more.
    Left(Group),
    /// Nothing is received until it is resumed.
    Pause,
    /// Receiving goes on.
    Resume,
    /// The socket is over.
    Closed {
        /// Why.
        reason: UdpReason,
        /// Datagrams that were accepted for sending and did not reach the kernel.
        unsent: usize,
    },
}

/// Why receiving stopped.
///
/// ```
/// assert_eq!(tidegate_net::ReceiveEnd::Budget.to_string(), "budget");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ReceiveEnd {
    /// The kernel has no more.
    Empty,
    /// As many came as were expected; the poller says if there are more.
    Enough,
    /// The budget is spent: carried over to the next turn, which does not block.
    Budget,
    /// The socket was paused or closed by its callback.
    Stopped,
}

impl fmt::Display for ReceiveEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReceiveEnd::Empty => "empty",
            ReceiveEnd::Enough => "enough",
            ReceiveEnd::Budget => "budget",
            ReceiveEnd::Stopped => "stopped",
        })
    }
}

impl UdpEvent {
    /// A short name that does not change.
    pub fn name(&self) -> &'static str {
        match self {
            UdpEvent::Bound => "bound",
            UdpEvent::Connected { .. } => "connected",
            UdpEvent::Disconnected => "disconnected",
            UdpEvent::Received { .. } => "received",
            UdpEvent::Sent { .. } => "sent",
            UdpEvent::Stalled { .. } => "stalled",
            UdpEvent::Full { .. } => "full",
            UdpEvent::Drain => "drain",
            UdpEvent::Dropped { .. } => "dropped",
            UdpEvent::SendFailed { .. } => "send failed",
            UdpEvent::TransportError { .. } => "transport error",
            UdpEvent::Joined(_) => "joined",
            UdpEvent::Left(_) => "left",
            UdpEvent::Pause => "pause",
            UdpEvent::Resume => "resume",
            UdpEvent::Closed { .. } => "close",
        }
    }

    pub(crate) fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        match self {
            UdpEvent::Connected { peer } => visit("remote", (*peer).into()),
            UdpEvent::Received { datagrams, bytes, stopped } => {
                visit("datagrams", (*datagrams).into());
                visit("bytes", (*bytes).into());
                visit("stopped", Value::Text(stopped));
            }
            UdpEvent::Sent { datagrams, calls, runs } => {
                visit("datagrams", (*datagrams).into());
                visit("calls", (*calls).into());
                visit("runs", (*runs).into());
            }
            UdpEvent::Stalled { queued } | UdpEvent::Full { queued } => {
                visit("queued", (*queued).into());
            }
            UdpEvent::Dropped { datagrams, oldest } => {
                visit("datagrams", (*datagrams).into());
                visit("oldest", (*oldest).into());
            }
            UdpEvent::SendFailed { to, error, code } => {
                if let Some(to) = *to {
                    visit("remote", to.into());
                }
                failure(error, *code, visit);
            }
            UdpEvent::TransportError { error, code } => failure(error, *code, visit),
            UdpEvent::Joined(group) | UdpEvent::Left(group) => visit("group", Value::Text(group)),
            UdpEvent::Closed { reason, unsent } => {
                visit("reason", Value::Text(reason));
                visit("unsent", (*unsent).into());
            }
            _ => {}
        }
    }
}

fn failure(error: &str, code: Option<&str>, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
    visit("error", error.into());
    if let Some(code) = code {
        visit("code", code.into());
    }
}

impl UdpInfo {
    pub(crate) fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        visit("udp", Value::Handle { kind: "udp", key: self.key.into() });
        if let Some(local) = self.local {
            visit("local", local.into());
        }
    }
}

/// What happened, without the name of the socket.
impl fmt::Display for UdpEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UdpEvent::Received { datagrams, stopped, .. } => {
                write!(f, "received {datagrams} datagrams in this turn, then {stopped}")
            }
            UdpEvent::Sent { datagrams, calls, .. } => {
                write!(f, "sent {datagrams} datagrams by {calls} system calls")
            }
            UdpEvent::SendFailed { error, .. } => write!(f, "send failed: {}", OneLine(error)),
            UdpEvent::TransportError { error, .. } => {
                write!(f, "transport error: {}", OneLine(error))
            }
            UdpEvent::Closed { reason, .. } => write!(f, "close: {reason}"),
            _ => f.write_str(self.name()),
        }
    }
}
