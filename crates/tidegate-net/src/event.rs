//! The events of connections, for the loop's observer.
//!
//! One connection's events, in order:
//!
//! ```text
//! client  LookupStart? LookedUp?  (AttemptStart AttemptFailed?)+  TryFailed*  Connected  ...  Closed
//! server                                                           Accepted  ...  Closed
//!
//! ...     FirstRead  FirstWritten  { Queued* Full Drain }*  { Pause Resume }*  End  Finish
//!         { FilterReady | FilterLeft | FilterRefused | Proxied }*  Timeout*  Reset?
//! ```
//! The last event is always `Closed`, `Rejected` or `Detached`. Only when a loop is dropped, its
//! connections get no last event.
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tidegate_loop::{LayerEvent, OneLine, Value};
use tidegate_stream::PipeKey;

use crate::endpoint::Endpoint;
use crate::error::close::Reason;
use crate::error::fault::Timeout;
use crate::error::net_error::{Attempt, NetError};
use crate::key::{ServerKey, SocketKey};
use crate::server_event::{self, ServerEvent, ServerInfo};
use crate::udp_event::{UdpEvent, UdpInfo};

/// An event of servers, connections and UDP sockets. It arrives as
/// [`Event::Layer`](tidegate_loop::Event::Layer); downcast it.
///
/// ```
/// use tidegate_loop::{Event, Moment, Observer};
/// use tidegate_net::{NetEvent, SocketEvent};
/// struct Connections(u64);
/// impl Observer for Connections {
///     fn event(&mut self, _: &Moment, event: &Event<'_>) {
///         if let Event::Layer(e) = event {
///             if let Some(NetEvent::Socket(_, SocketEvent::Accepted)) = e.as_any().downcast_ref() {
///                 self.0 += 1;
///             }
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NetEvent {
    /// Of a server.
    Server(ServerInfo, ServerEvent),
    /// Of a connection.
    Socket(ConnectionInfo, SocketEvent),
    /// Of a UDP socket.
    Udp(UdpInfo, UdpEvent),
}

/// Which connection an event is about.
///
/// ```
/// fn is_client(c: &tidegate_net::ConnectionInfo) -> bool { c.server.is_none() }
/// # let _ = is_client;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Its key; after the last event it finds nothing any more.
    pub key: SocketKey,
    /// The server that accepted it; none for a client's.
    pub server: Option<ServerKey>,
    /// Our address, once there is a connection. Only known if there was an observer when the
    /// connection was accepted or made.
    pub local: Option<SocketAddr>,
    /// The peer, once it is known; none on a Unix domain socket.
    pub remote: Option<SocketAddr>,
}

/// What happened to a connection.
///
/// ```
/// assert_eq!(tidegate_net::SocketEvent::Pause.name(), "pause");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SocketEvent {
    /// A name is looked up.
    LookupStart {
        /// The name.
        host: String,
    },
    /// It has addresses.
    LookedUp {
        /// Those that are to be tried, in this order.
        addresses: Vec<IpAddr>,
        /// How many more there are, beyond
        /// [`max_addresses`](crate::ConnectOptions::max_addresses).
        left_out: usize,
        /// Since the connection was asked for.
        took: Duration,
    },
    /// It has none: the connection is over.
    LookupFailed {
        /// In words.
        error: String,
        /// As `ENOTFOUND`.
        code: Option<&'static str>,
        /// Since the connection was asked for.
        took: Duration,
    },
    /// An address is tried.
    AttemptStart {
        /// Which.
        to: Endpoint,
    },
    /// An address failed; another may still do.
    AttemptFailed(Attempt),
    /// All of this try has failed; there will be another: see
    /// [`ConnectOptions::back_off`](crate::ConnectOptions::back_off).
    TryFailed {
        /// Why.
        error: Arc<NetError>,
        /// How many tries there were, this one included.
        tries: u32,
        /// When the next one begins: so long after this.
        after: Duration,
    },
    /// The connection is made.
    Connected {
        /// Since it was asked for.
        elapsed: Duration,
    },
    /// It was taken from the kernel's queue.
    Accepted,
    /// It was there already, and is ours now.
    Adopted,
    /// The callback did not take it: closed.
    Rejected,
    /// It was taken out, for another loop.
    Detached,
    /// The first bytes were read.
    FirstRead {
        /// How many came at once.
        bytes: usize,
    },
    /// The kernel took the first bytes.
    FirstWritten {
        /// How many at once.
        bytes: usize,
    },
    /// What waits in our queue has changed: the kernel did not take all of a write, or took
    /// some of what waited.
    Queued {
        /// Bytes that wait now.
        bytes: usize,
    },
    /// A write reached the high-water mark, or was made beyond it.
    Full {
        /// Bytes queued.
        queued: usize,
    },
    /// The queue is empty after it was full.
    Drain,
    /// A filter is ready.
    FilterReady {
        /// What it calls itself: [`Filter::describe`](crate::Filter::describe).
        filter: String,
    },
    /// A filter is done and left.
    FilterLeft {
        /// The same.
        filter: String,
    },
    /// A filter refused what came or was written. `Closed` has the error.
    FilterRefused {
        /// The same.
        filter: String,
    },
    /// A header said who the peer is: from now on the connection has that address.
    Proxied {
        /// Who sent the header; none on a Unix domain socket.
        transport: Option<SocketAddr>,
    },
    /// Reading is paused: the peer will have to wait.
    Pause,
    /// Reading goes on.
    Resume,
    /// What it reads goes into a pipe.
    PipedInto {
        /// Which.
        pipe: PipeKey,
    },
    /// What it writes comes from a pipe.
    PipedFrom {
        /// Which.
        pipe: PipeKey,
    },
    /// The peer's end (FIN) was read.
    End,
    /// Our end (FIN) is out.
    Finish,
    /// It was reset (RST).
    Reset {
        /// By the peer, or by us.
        by_peer: bool,
    },
    /// A deadline passed.
    TimedOut(Timeout),
    /// The connection is over.
    Closed {
        /// Why: an error has stage, code, endpoints and time.
        reason: Reason,
        /// Bytes that were accepted for writing and did not reach the kernel.
        unsent: usize,
        /// Bytes read in all.
        bytes_read: u64,
        /// Bytes the kernel took in all.
        bytes_written: u64,
        /// Since the call of `connect`, or since it was accepted.
        elapsed: Duration,
    },
}

impl SocketEvent {
    /// A short name that does not change.
    pub fn name(&self) -> &'static str {
        match self {
            SocketEvent::LookupStart { .. } => "lookup start",
            SocketEvent::LookedUp { .. } => "lookup",
            SocketEvent::LookupFailed { .. } => "lookup failed",
            SocketEvent::AttemptStart { .. } => "connect start",
            SocketEvent::AttemptFailed(_) => "attempt failed",
            SocketEvent::TryFailed { .. } => "try failed",
            SocketEvent::Connected { .. } => "connect",
            SocketEvent::Accepted => "accept",
            SocketEvent::Adopted => "adopt",
            SocketEvent::Rejected => "reject",
            SocketEvent::Detached => "detach",
            SocketEvent::FirstRead { .. } => "first read",
            SocketEvent::FirstWritten { .. } => "first write",
            SocketEvent::Queued { .. } => "queued",
            SocketEvent::Full { .. } => "full",
            SocketEvent::Drain => "drain",
            SocketEvent::FilterReady { .. } => "filter ready",
            SocketEvent::FilterLeft { .. } => "filter left",
            SocketEvent::FilterRefused { .. } => "filter refused",
            SocketEvent::Proxied { .. } => "proxied",
            SocketEvent::Pause => "pause",
            SocketEvent::Resume => "resume",
            SocketEvent::PipedInto { .. } => "piped into",
            SocketEvent::PipedFrom { .. } => "piped from",
            SocketEvent::End => "end",
            SocketEvent::Finish => "finish",
            SocketEvent::Reset { .. } => "reset",
            SocketEvent::TimedOut(_) => "timeout",
            SocketEvent::Closed { .. } => "close",
        }
    }

    /// Whether nothing more comes for this connection.
    pub fn is_last(&self) -> bool {
        matches!(self, SocketEvent::Closed { .. } | SocketEvent::Rejected | SocketEvent::Detached)
    }
}

impl LayerEvent for NetEvent {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn layer(&self) -> &'static str {
        "net"
    }

    fn name(&self) -> &'static str {
        match self {
            NetEvent::Server(_, event) => event.name(),
            NetEvent::Socket(_, event) => event.name(),
            NetEvent::Udp(_, event) => event.name(),
        }
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        match self {
            NetEvent::Server(of, event) => {
                of.fields(visit);
                event.fields(visit);
            }
            NetEvent::Socket(of, event) => {
                of.fields(visit);
                event.fields(visit);
            }
            NetEvent::Udp(of, event) => {
                of.fields(visit);
                event.fields(visit);
            }
        }
    }
}

impl ConnectionInfo {
    /// Shows its fields, for the event of a layer above: see
    /// [`LayerEvent::fields`](tidegate_loop::LayerEvent::fields).
    ///
    /// ```
    /// fn names(of: &tidegate_net::ConnectionInfo) -> Vec<&'static str> {
    ///     let mut names = Vec::new();
    ///     of.fields(&mut |name, _| names.push(name));
    ///     names
    /// }
    /// # let _ = names;
    /// ```
    pub fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        visit("conn", Value::Handle { kind: "socket", key: self.key.into() });
        if let Some(key) = self.server {
            visit("server", server_event::server(key));
        }
        if let Some(local) = self.local {
            visit("local", local.into());
        }
        if let Some(remote) = self.remote {
            visit("remote", remote.into());
        }
    }
}

impl SocketEvent {
    fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        match self {
            SocketEvent::LookupStart { host } => visit("host", host.as_str().into()),
            SocketEvent::LookedUp { addresses, left_out, took } => {
                let all: Vec<String> = addresses.iter().map(|a| a.to_string()).collect();
                visit("addresses", all.join(" ").as_str().into());
                if *left_out > 0 {
                    visit("left_out", Value::Text(left_out));
                }
                visit("took", (*took).into());
            }
            SocketEvent::LookupFailed { error, code, took } => {
                visit("error", error.as_str().into());
                if let Some(code) = *code {
                    visit("code", code.into());
                }
                visit("took", (*took).into());
            }
            SocketEvent::AttemptStart { to } => visit("to", Value::Text(to)),
            SocketEvent::AttemptFailed(attempt) => {
                visit("to", Value::Text(&attempt.remote));
                visit("stage", Value::Text(&attempt.stage));
                if let Some(code) = attempt.code() {
                    visit("code", code.into());
                }
                visit("error", Value::Text(&attempt.error));
                visit("took", attempt.elapsed.into());
            }
            SocketEvent::TryFailed { error, tries, after } => {
                place(error, visit);
                visit("tries", Value::Text(tries));
                visit("after", (*after).into());
            }
            SocketEvent::Connected { elapsed } => visit("elapsed", (*elapsed).into()),
            SocketEvent::FirstRead { bytes }
            | SocketEvent::FirstWritten { bytes }
            | SocketEvent::Queued { bytes } => visit("bytes", (*bytes).into()),
            SocketEvent::Full { queued } => visit("queued", (*queued).into()),
            SocketEvent::FilterReady { filter }
            | SocketEvent::FilterLeft { filter }
            | SocketEvent::FilterRefused { filter } => visit("filter", filter.as_str().into()),
            SocketEvent::Proxied { transport: Some(at) } => visit("transport", (*at).into()),
            SocketEvent::PipedInto { pipe } | SocketEvent::PipedFrom { pipe } => {
                visit("pipe", Value::Handle { kind: "pipe", key: (*pipe).into() });
            }
            SocketEvent::Reset { by_peer } => visit("by_peer", (*by_peer).into()),
            SocketEvent::TimedOut(which) => visit("which", Value::Text(which)),
            SocketEvent::Closed { reason, unsent, bytes_read, bytes_written, elapsed } => {
                visit("reason", short(reason).into());
                match reason.error() {
                    Some(e) => place(e, visit),
                    None if reason.is_error() => visit("error", Value::Text(reason)),
                    None => {}
                }
                visit("unsent", (*unsent).into());
                visit("bytes_read", (*bytes_read).into());
                visit("bytes_written", (*bytes_written).into());
                visit("elapsed", (*elapsed).into());
            }
            _ => {}
        }
    }
}

/// Where on the path it failed.
fn place(e: &NetError, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
    visit("stage", Value::Text(&e.stage()));
    match (e.code(), e.timeout()) {
        (Some(code), _) => visit("code", code.into()),
        (None, Some(_)) => visit("code", "ETIMEDOUT".into()),
        (None, None) => visit("code", Value::Text(&format_args!("{:?}", e.kind()))),
    }
    if let Some(deadline) = e.timeout() {
        visit("deadline", Value::Text(&deadline));
    }
    if let Some(name) = e.name() {
        visit("name", name.into());
    }
    visit("error", Value::Text(e));
}

fn short(reason: &Reason) -> &'static str {
    match reason {
        Reason::Ended => "ended",
        Reason::Destroyed => "destroyed",
        Reason::Failed(_) => "failed",
        Reason::WriteLimit { .. } => "write limit",
        Reason::TimedOut(..) => "timed out",
        Reason::Piped(_) => "piped",
        Reason::Panicked => "panicked",
    }
}

/// What happened, without the name of the connection.
impl fmt::Display for SocketEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketEvent::LookupStart { host } => write!(f, "looking up {}", OneLine(host)),
            SocketEvent::LookedUp { addresses, left_out, .. } => {
                write!(f, "found {addresses:?}")?;
                if *left_out > 0 { write!(f, " and {left_out} more") } else { Ok(()) }
            }
            SocketEvent::LookupFailed { error, .. } => {
                write!(f, "lookup failed: {}", OneLine(error))
            }
            SocketEvent::AttemptStart { to } => write!(f, "connecting to {to}"),
            SocketEvent::AttemptFailed(attempt) => write!(f, "attempt failed: {attempt}"),
            SocketEvent::TryFailed { error, after, .. } => {
                write!(f, "{error}; again in {after:.1?}")
            }
            SocketEvent::Connected { elapsed } => write!(f, "connected after {elapsed:.1?}"),
            SocketEvent::Accepted => f.write_str("accepted"),
            SocketEvent::FirstRead { bytes } => write!(f, "first bytes read: {bytes}"),
            SocketEvent::FirstWritten { bytes } => write!(f, "first bytes written: {bytes}"),
            SocketEvent::Queued { bytes } => write!(f, "{bytes} bytes wait"),
            SocketEvent::Full { queued } => write!(f, "full: {queued} bytes queued"),
            SocketEvent::Drain => f.write_str("drained"),
            SocketEvent::FilterReady { filter } => write!(f, "{} is ready", OneLine(filter)),
            SocketEvent::FilterLeft { filter } => write!(f, "{} left", OneLine(filter)),
            SocketEvent::FilterRefused { filter } => write!(f, "{} refused", OneLine(filter)),
            SocketEvent::Proxied { transport: Some(at) } => write!(f, "proxied by {at}"),
            SocketEvent::End => f.write_str("end of the peer"),
            SocketEvent::Finish => f.write_str("our end is out"),
            SocketEvent::Reset { by_peer: true } => f.write_str("reset by the peer"),
            SocketEvent::Reset { by_peer: false } => f.write_str("reset by us"),
            SocketEvent::TimedOut(which) => write!(f, "{which}"),
            SocketEvent::Closed { reason, unsent: 0, .. } => write!(f, "closed: {reason}"),
            SocketEvent::Closed { reason, unsent, .. } => {
                write!(f, "closed: {reason} ({unsent} bytes unsent)")
            }
            _ => f.write_str(self.name()),
        }
    }
}

impl fmt::Display for NetEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetEvent::Server(server, event) => write!(f, "{}: {event}", server.local),
            NetEvent::Socket(ConnectionInfo { remote: Some(remote), .. }, event) => {
                write!(f, "{remote}: {event}")
            }
            NetEvent::Socket(_, event) => event.fmt(f),
            NetEvent::Udp(UdpInfo { local: Some(local), .. }, event) => {
                write!(f, "udp {local}: {event}")
            }
            NetEvent::Udp(_, event) => event.fmt(f),
        }
    }
}
