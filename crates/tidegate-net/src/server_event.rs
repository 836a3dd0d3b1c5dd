//! The events of servers, for the loop's observer: which server, what happened, and why a batch of
//! accepts ended. A connection's events are in `event.rs`.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::SocketAddr;

use tidegate_loop::{OneLine, Value};

use crate::endpoint::Endpoint;
use crate::key::ServerKey;

/// Which server an event is about.
///
/// ```
/// fn line(s: &tidegate_net::ServerInfo) -> String { format!("{:?} on {}", s.key, s.local) }
/// # let _ = line;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Its key.
    pub key: ServerKey,
    /// Where it listens.
    pub local: Endpoint,
}

/// What happened to a server.
///
/// ```
/// assert_eq!(tidegate_net::ServerEvent::Listening.name(), "listening");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerEvent {
    /// It listens.
    Listening,
    /// Its turn in the ready pass is over.
    AcceptBatch {
        /// Connections it accepted in this turn.
        accepted: u32,
        /// Why it stopped; [`BatchEnd::Budget`] means that it goes on in the next turn.
        stopped: BatchEnd,
    },
    /// There was no room for connections.
    Overload(Overload),
    /// `max_connections` are open; the next connections wait in the kernel's queue.
    Full {
        /// How many are open.
        connections: usize,
    },
    /// The block list forbids this peer: closed at once.
    Blocked {
        /// Who.
        peer: Option<SocketAddr>,
    },
    /// A limit for each peer forbids this connection: closed at once.
    Limited {
        /// Whose.
        peer: SocketAddr,
        /// Which limit.
        limit: PeerLimit,
    },
    /// Accepting failed.
    AcceptFailed {
        /// In words.
        error: String,
        /// The system's name of it.
        code: Option<&'static str>,
    },
    /// `ServerCx::pause` was called.
    Paused,
    /// It accepts again, after it was paused, held or full.
    Resumed,
    /// It accepts no more; its connections live on.
    Closing,
    /// It was closed, and its last connection is over.
    Closed,
}

impl ServerEvent {
    /// A short name that does not change.
    pub fn name(&self) -> &'static str {
        match self {
            ServerEvent::Listening => "listening",
            ServerEvent::AcceptBatch { .. } => "accept batch",
            ServerEvent::Overload(Overload::MaxConnections { .. }) => "dropped",
            ServerEvent::Overload(Overload::Shed { .. }) => "shed",
            ServerEvent::Overload(Overload::Held) => "held",
            ServerEvent::Full { .. } => "full",
            ServerEvent::Blocked { .. } => "blocked",
            ServerEvent::Limited { .. } => "limited",
            ServerEvent::AcceptFailed { .. } => "accept failed",
            ServerEvent::Paused => "paused",
            ServerEvent::Resumed => "resumed",
            ServerEvent::Closing => "closing",
            ServerEvent::Closed => "closed",
        }
    }
}

impl ServerInfo {
    pub(crate) fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        visit("server", server(self.key));
        visit("local", Value::Text(&self.local));
    }
}

impl ServerEvent {
    pub(crate) fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        match self {
            ServerEvent::AcceptBatch { accepted, stopped } => {
                visit("accepted", (*accepted).into());
                visit("stopped", Value::Text(stopped));
            }
            ServerEvent::Overload(Overload::MaxConnections { peer, dropped }) => {
                remote(*peer, visit);
                visit("dropped", (*dropped).into());
            }
            ServerEvent::Overload(Overload::Shed { connections }) => {
                visit("connections", (*connections).into());
            }
            ServerEvent::Full { connections } => visit("connections", (*connections).into()),
            ServerEvent::Blocked { peer } => remote(*peer, visit),
            ServerEvent::Limited { peer, limit } => {
                remote(Some(*peer), visit);
                visit("limit", Value::Text(limit));
            }
            ServerEvent::AcceptFailed { error, code } => {
                visit("error", error.as_str().into());
                if let Some(code) = *code {
                    visit("code", code.into());
                }
            }
            _ => {}
        }
    }
}

pub(crate) fn server(key: ServerKey) -> Value<'static> {
    Value::Handle { kind: "server", key: key.into() }
}

fn remote(peer: Option<SocketAddr>, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
    if let Some(peer) = peer {
        visit("remote", peer.into());
    }
}

/// Why a server's turn ended.
///
/// ```
/// assert_eq!(tidegate_net::BatchEnd::Budget.to_string(), "budget");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchEnd {
    /// The queue was empty: accept returned `WouldBlock`.
    WouldBlock,
    /// The accept budget was spent: carried over to the next turn, which does
    /// not block.
    Budget,
    /// As many came as were expected; the level-triggered poller reports it if there are more.
    Enough,
    /// No descriptor or memory is left: the server waits until a connection closes or a timer
    /// fires.
    Held,
    /// `max_connections` are open; the others wait.
    Full,
    /// The server was closed or paused by its callback.
    Closed,
}

impl BatchEnd {
    /// Its name, which does not change. `Display` writes it.
    ///
    /// ```
    /// assert_eq!(tidegate_net::BatchEnd::Held.name(), "held");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            BatchEnd::WouldBlock => "WouldBlock",
            BatchEnd::Budget => "budget",
            BatchEnd::Enough => "enough",
            BatchEnd::Held => "held",
            BatchEnd::Full => "full",
            BatchEnd::Closed => "closed",
        }
    }
}

impl fmt::Display for BatchEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What happened, without the name of the server.
impl fmt::Display for ServerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerEvent::AcceptBatch { accepted, stopped } => {
                write!(f, "accepted {accepted} in this turn, then {stopped}")
            }
            ServerEvent::Overload(overload) => overload.fmt(f),
            ServerEvent::Full { connections } => {
                write!(f, "full: {connections} connections are open, others wait")
            }
            ServerEvent::Blocked { peer: Some(peer) } => write!(f, "blocked {peer}"),
            ServerEvent::Limited { peer, limit } => write!(f, "refused {peer}: {limit}"),
            ServerEvent::AcceptFailed { error, .. } => {
                write!(f, "accept failed: {}", OneLine(error))
            }
            _ => f.write_str(self.name()),
        }
    }
}

/// Which limit for each peer a connection met.
///
/// ```
/// assert_eq!(tidegate_net::PeerLimit::Connections.to_string(), "too many connections");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PeerLimit {
    /// [`ListenOptions::max_per_peer`](crate::ListenOptions::max_per_peer).
    Connections,
    /// [`ListenOptions::accept_rate`](crate::ListenOptions::accept_rate).
    Rate,
}

impl fmt::Display for PeerLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PeerLimit::Connections => "too many connections",
            PeerLimit::Rate => "it comes too often",
        })
    }
}

/// Why there was no room.
///
/// ```
/// let text = tidegate_net::Overload::Shed { connections: 3 }.to_string();
/// assert!(text.starts_with("3 connections were closed"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Overload {
    /// `max_connections` are open: this one was closed.
    MaxConnections {
        /// Who, if it has an address.
        peer: Option<SocketAddr>,
        /// How many so far.
        dropped: u64,
    },
    /// No descriptor is left: connections that waited were closed.
    Shed {
        /// How many in this turn.
        connections: u32,
    },
    /// No descriptor or memory is left: the server stops accepting, and connections wait.
    Held,
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Overload::MaxConnections { peer, dropped } => {
                match peer {
                    Some(peer) => peer.fmt(f)?,
                    None => f.write_str("a connection")?,
                }
                write!(f, " was closed: max_connections are open ({dropped} dropped so far)")
            }
            Overload::Shed { connections } => write!(
                f,
                "{connections} connections were closed: no descriptor is left; raise the limit of open files"
            ),
            Overload::Held => f.write_str(
                "connections wait: no descriptor or memory is left; raise the limit of open files",
            ),
        }
    }
}
