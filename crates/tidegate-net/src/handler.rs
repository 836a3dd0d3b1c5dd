//! The callbacks: [`Handler`] for a connection, [`ServerHandler`] for a server.
//!
//! One connection's callbacks, in order:
//!
//! ```text
//! on_connect?  { on_data* on_end? }  beside  { (on_drain | on_written)* on_finish? }  on_close
//!                                    beside  { on_timeout* }
//! ```
//! The two directions end each for itself: `on_data` may come after `on_finish`, and
//! `on_drain` after `on_end`. `on_close` comes exactly once, whatever happens, and last.
#![forbid(unsafe_code)]

use std::fmt;
use std::mem::discriminant;
use std::net::SocketAddr;

use tidegate_loop::Cx;

use crate::error::{Close, NetError, Reason};
use crate::incoming::Incoming;
use crate::key::ServerKey;
use crate::socket_cx::SocketCx;

/// What a connection calls. Every method has a default; closures do as well,
/// see [`On`](crate::On).
///
/// ```
/// use tidegate_net::{Flow, Handler, SocketCx};
/// struct Echo;
/// impl Handler for Echo {
///     fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
///         if s.write(chunk) == Flow::Full {
///             s.pause();
///         }
///     }
///     fn on_drain(&mut self, s: &mut SocketCx<'_>) {
///         s.resume();
///     }
/// }
/// ```
pub trait Handler: 'static {
    /// A connection that we asked for is made. What was written before goes out
    /// after this. Not called for accepted connections.
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        let _ = s;
    }

    /// Bytes came. They are lent: what is to be kept must be copied.
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        let _ = (s, chunk);
    }

    /// The queue is empty after one or more writes returned `Full`, be they a pipe's. Never
    /// after `end`.
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        let _ = s;
    }

    /// A write with an id is over: the kernel has all of it (which does not mean that the
    /// peer read it), or never will, for the reason that `on_close` then gets. Exactly once
    /// for each [`write_id`](SocketCx::write_id) that was accepted, in their order; after
    /// the `on_drain` that the same write brought, before `on_finish` and `on_close`.
    fn on_written(&mut self, s: &mut SocketCx<'_>, id: u64, result: Result<(), &Reason>) {
        let _ = (s, id, result);
    }

    /// The peer ended its side; every byte before was delivered. Writing is
    /// still possible here. Afterwards our side ends by itself, unless the
    /// option `allow_half_open` is set, or a pipe writes to it, which ends it in its time.
    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        let _ = s;
    }

    /// Our side has ended: everything written is out, and so is our FIN. If the peer ended
    /// first, closing the descriptor sends the FIN, and that follows when this returns.
    fn on_finish(&mut self, s: &mut SocketCx<'_>) {
        let _ = s;
    }

    /// No byte moved for as long as the idle timeout says. The default closes with
    /// [`Reason::TimedOut`]; whoever overrides this decides. Once, until bytes move again.
    fn on_timeout(&mut self, s: &mut SocketCx<'_>) {
        s.time_out();
    }

    /// Its server shuts down ([`Net::shutdown`](crate::Net::shutdown)): finish what is
    /// under way. The default ends our side after what is queued; if a pipe writes to the
    /// connection, the pipe ends it.
    fn on_shutdown(&mut self, s: &mut SocketCx<'_>) {
        s.shut_down();
    }

    /// The connection is over; the descriptor is closed and the key finds
    /// nothing any more. The default counts an error, unless a pipe was told,
    /// and logs the first of each kind and then one at each power of two.
    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        close.unhandled(s);
    }
}

/// What a server calls.
///
/// ```
/// use tidegate_net::{Incoming, On, ServerHandler};
/// struct Count(u64);
/// impl ServerHandler for Count {
///     fn on_connection(&mut self, conn: Incoming<'_>) {
///         self.0 += 1;
///         conn.accept(On::new());
///     }
/// }
/// ```
pub trait ServerHandler: 'static {
    /// A connection waits. Not accepted here means rejected.
    fn on_connection(&mut self, conn: Incoming<'_>);

    /// Accepting failed in a way that is neither the peer's going away nor a
    /// lack of descriptors. The server goes on. The default counts and logs it as that of
    /// [`Handler::on_close`].
    fn on_error(&mut self, cx: &mut Cx<'_>, server: ServerKey, error: NetError) {
        let alike = (server, error.alike());
        cx.driver().unhandled("tidegate::net", alike, format_args!("{error}"));
    }

    /// There was no room for connections. They are counted, too. The default logs it: the
    /// first time, and then at each power of two.
    fn on_overload(&mut self, cx: &mut Cx<'_>, server: ServerKey, overload: Overload) {
        let new = match overload {
            Overload::Shed { connections } => u64::from(connections),
            Overload::MaxConnections { .. } | Overload::Held => 1,
        };
        let alike = (server, discriminant(&overload));
        cx.driver().warn("tidegate::net", alike, new, format_args!("{overload}"));
    }

    /// The server was closed and its last connection is over.
    fn on_close(&mut self, cx: &mut Cx<'_>, server: ServerKey) {
        let _ = (cx, server);
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
    /// No descriptor or memory is left: accepting rests, connections wait.
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

/// `listen`'s closure is a server handler like any other.
pub(crate) struct OnConnection<F>(pub(crate) F);

impl<F: FnMut(Incoming<'_>) + 'static> ServerHandler for OnConnection<F> {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        (self.0)(conn);
    }
}
