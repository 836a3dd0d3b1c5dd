//! What this layer tells the loop's observer.
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use tidegate_loop::LayerEvent;

use crate::key::{ServerKey, SocketKey};
use crate::unix::Endpoint;

/// An event of servers and connections. It arrives as
/// [`Event::Layer`](tidegate_loop::Event::Layer); downcast it.
///
/// ```
/// use tidegate_loop::{Event, Moment, Observer};
/// use tidegate_net::NetEvent;
/// struct Connections(u64);
/// impl Observer for Connections {
///     fn event(&mut self, _: &Moment, event: &Event<'_>) {
///         if let Event::Layer(e) = event {
///             if let Some(NetEvent::Accepted { .. }) = e.as_any().downcast_ref() {
///                 self.0 += 1;
///             }
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetEvent {
    /// A server listens.
    Listening {
        /// Which.
        server: ServerKey,
        /// Where.
        local: Endpoint,
    },
    /// A connection was taken from the kernel's queue.
    Accepted {
        /// By which server.
        server: ServerKey,
        /// Its key.
        socket: SocketKey,
        /// The peer, if it has an address.
        remote: Option<SocketAddr>,
    },
    /// A server's turn in the ready pass is over.
    AcceptBatch {
        /// Which.
        server: ServerKey,
        /// Connections it accepted in this turn.
        accepted: u32,
        /// Why it stopped.
        stopped: BatchEnd,
    },
    /// A name is looked up.
    Lookup {
        /// For which connection.
        socket: SocketKey,
        /// The name.
        host: String,
    },
    /// It has addresses.
    LookedUp {
        /// For which connection.
        socket: SocketKey,
        /// In the order of the resolver.
        addresses: Vec<IpAddr>,
    },
    /// An address failed; another may still do.
    AttemptFailed {
        /// For which connection.
        socket: SocketKey,
        /// The address.
        remote: SocketAddr,
        /// In words.
        error: String,
    },
    /// An attempt to connect begins.
    ConnectStart {
        /// Its key.
        socket: SocketKey,
        /// To where.
        remote: SocketAddr,
    },
    /// It was made.
    Connected {
        /// Its key.
        socket: SocketKey,
        /// Our end.
        local: Option<SocketAddr>,
        /// The peer, if it has an address.
        remote: Option<SocketAddr>,
    },
    /// The first bytes were read from a connection.
    FirstByte {
        /// Its key.
        socket: SocketKey,
        /// The peer.
        remote: Option<SocketAddr>,
        /// How many came at once.
        bytes: usize,
    },
    /// A write reached the high-water mark.
    Full {
        /// Its key.
        socket: SocketKey,
        /// Bytes queued.
        queued: usize,
    },
    /// The queue is empty after it was full.
    Drain {
        /// Its key.
        socket: SocketKey,
    },
    /// The peer's end was read.
    End {
        /// Its key.
        socket: SocketKey,
        /// The peer.
        remote: Option<SocketAddr>,
    },
    /// Our end is out.
    Finish {
        /// Its key.
        socket: SocketKey,
        /// The peer.
        remote: Option<SocketAddr>,
    },
    /// A connection is over.
    Closed {
        /// Its key; it finds nothing any more.
        socket: SocketKey,
        /// The peer.
        remote: Option<SocketAddr>,
        /// In words.
        reason: String,
    },
}

/// Why a server's turn ended.
///
/// ```
/// assert_eq!(tidegate_net::BatchEnd::Budget.to_string(), "budget");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchEnd {
    /// The queue was empty: the kernel said `WouldBlock`.
    WouldBlock,
    /// The accept budget was spent: carried over to the next turn, which does
    /// not block.
    Budget,
    /// One was expected and one came; the level-triggered poller will say if
    /// there are more.
    Enough,
    /// No descriptor or memory left: held until a handle closes or a timer
    /// fires.
    Held,
    /// `max_connections` are open; the others wait.
    Full,
    /// The server was closed or paused by its callback.
    Closed,
}

impl fmt::Display for BatchEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BatchEnd::WouldBlock => "WouldBlock",
            BatchEnd::Budget => "budget",
            BatchEnd::Enough => "enough",
            BatchEnd::Held => "held",
            BatchEnd::Full => "full",
            BatchEnd::Closed => "closed",
        })
    }
}

impl LayerEvent for NetEvent {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A peer's address, or a dash.
struct Peer(Option<SocketAddr>);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(a) => a.fmt(f),
            None => f.write_str("-"),
        }
    }
}

impl fmt::Display for NetEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetEvent::Listening { local, .. } => write!(f, "listening on {local}"),
            NetEvent::Accepted { remote, .. } => write!(f, "accepted {}", Peer(*remote)),
            NetEvent::AcceptBatch { accepted, stopped, .. } => {
                write!(f, "accepted {accepted} in this turn, then {stopped}")
            }
            NetEvent::Lookup { host, .. } => write!(f, "looking up {host}"),
            NetEvent::LookedUp { addresses, .. } => write!(f, "found {addresses:?}"),
            NetEvent::AttemptFailed { error, .. } => write!(f, "attempt failed: {error}"),
            NetEvent::ConnectStart { remote, .. } => write!(f, "connecting to {remote}"),
            NetEvent::Connected { local: Some(local), remote, .. } => {
                write!(f, "connected to {} from {local}", Peer(*remote))
            }
            NetEvent::Connected { remote, .. } => write!(f, "connected to {}", Peer(*remote)),
            NetEvent::FirstByte { remote, bytes, .. } => {
                write!(f, "first bytes from {}: {bytes}", Peer(*remote))
            }
            NetEvent::Full { queued, .. } => write!(f, "full: {queued} bytes queued"),
            NetEvent::Drain { .. } => f.write_str("drained"),
            NetEvent::End { remote, .. } => write!(f, "end of {}", Peer(*remote)),
            NetEvent::Finish { remote, .. } => write!(f, "our end to {}", Peer(*remote)),
            NetEvent::Closed { remote, reason, .. } => {
                write!(f, "closed {}: {reason}", Peer(*remote))
            }
        }
    }
}
