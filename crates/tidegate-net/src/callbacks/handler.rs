//! [`Handler`]: the callbacks of a connection.
//!
//! In this order:
//!
//! ```text
//! on_connect?  { on_ready* on_data* on_end? }  beside  { (on_drain | on_written)* on_finish? }  on_close
//!                                    beside  { on_timeout* on_timer* on_hangup* }
//! ```
//! The two directions end independently: `on_data` may come after `on_finish`, and `on_drain` after
//! `on_end`. `on_close` comes exactly once, whatever happens, and last.
#![forbid(unsafe_code)]

use tidegate_loop::AsCx;

use crate::callbacks::contexts::SocketCx;
use crate::error::close::{Close, Reason};
use crate::peer_state::PeerState;

/// The callbacks of a connection. Every method has a default. [`On`](crate::On) is a handler made
/// of closures.
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
    /// The connection of a [`connect`](crate::Net::connect) is made, and the filters that it began
    /// with are ready. What was written before goes out after this. Not called for accepted
    /// connections.
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        let _ = s;
    }

    /// A filter that was set on the open connection is ready, and so are all others. What was
    /// received through it comes after this. See [`SocketCx::set_filter`].
    fn on_ready(&mut self, s: &mut SocketCx<'_>) {
        let _ = s;
    }

    /// Bytes came. They are borrowed: copy what you want to keep.
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        let _ = (s, chunk);
    }

    /// The queue is empty after one or more writes returned `Full`, also those of a pipe. Never
    /// called after `end`.
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        let _ = s;
    }

    /// A write with an id is over. `Ok`: the kernel has all of it, which does not mean that the
    /// peer has read it. `Err`: it never will, for the reason that `on_close` gets, too. Called
    /// exactly once for each accepted [`write_id`](SocketCx::write_id), in their order: after an
    /// `on_drain` that is due at the same time, and before `on_finish` and `on_close`.
    fn on_written(&mut self, s: &mut SocketCx<'_>, id: u64, result: Result<(), &Reason>) {
        let _ = (s, id, result);
    }

    /// The peer ended its side; every byte before that was delivered. You can still write here.
    /// Afterwards our side ends by itself, unless the option `allow_half_open` is set, or a pipe
    /// writes to the connection: then the pipe ends it.
    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        let _ = s;
    }

    /// The peer ended its side or is gone while reading is paused, so that no read can say so.
    /// [`PeerState::Ended`]: it sent its FIN; it may still want an answer. [`PeerState::Gone`]: the
    /// connection was reset, or the peer's Unix domain socket is closed; nobody will read what is
    /// written. Each comes at most once, and `Ended` only before `Gone`.
    ///
    /// Bytes may still wait before that end: after [`resume`](SocketCx::resume) they are delivered,
    /// and then come `on_end` and `on_close` as ever. By default nothing happens. Work that only
    /// this peer waits for can stop here: [`destroy`](SocketCx::destroy) the connection.
    ///
    /// If the server shuts down and our side has ended, a connection whose peer is `Gone` is closed
    /// after this call: nothing is left to wait for. A pipe that reads it goes on.
    ///
    /// It costs no system call. Where the poller reports each readiness once until it is read
    /// (poll(2), Windows), it may come only after `resume`, or not at all, if unread bytes were
    /// there before the end.
    fn on_hangup(&mut self, s: &mut SocketCx<'_>, peer: PeerState) {
        let _ = (s, peer);
    }

    /// Our side has ended: everything written is out, and so is our FIN. If the peer ended first,
    /// the descriptor is closed after this call, and that sends the FIN.
    fn on_finish(&mut self, s: &mut SocketCx<'_>) {
        let _ = s;
    }

    /// No byte moved during the idle timeout. The default closes the connection with
    /// [`Reason::TimedOut`]; a handler that overrides this decides itself. Called once, and again
    /// only after bytes have moved. A handler that only ends its side here leaves the connection
    /// open until the peer ends, too: set a
    /// [`linger_timeout`](crate::ListenOptions::linger_timeout), or call
    /// [`time_out`](SocketCx::time_out).
    fn on_timeout(&mut self, s: &mut SocketCx<'_>) {
        s.time_out();
    }

    /// A timer of the connection is due, which [`set_timer`](SocketCx::set_timer) started with
    /// this token.
    fn on_timer(&mut self, s: &mut SocketCx<'_>, token: u64) {
        let _ = (s, token);
    }

    /// Its server shuts down ([`ServerCx::shutdown`](crate::ServerCx::shutdown)): finish what is
    /// under way. The default ends our side after what is queued; if a pipe writes to the
    /// connection, the pipe ends it.
    fn on_shutdown(&mut self, s: &mut SocketCx<'_>) {
        s.shut_down();
    }

    /// The connection is closed, and its key finds nothing any more. If it ended with an error that
    /// no pipe gets, the default counts the error and logs it: the first of each kind, and then one
    /// at each power of two. If the program has no logger (of the `log` crate), the same lines go to
    /// standard error, so that a failed connect is seen although `run` returns `Ok`.
    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        close.unhandled(&mut s.cx());
    }
}
