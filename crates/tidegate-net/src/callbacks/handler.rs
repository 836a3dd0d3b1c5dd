//! [`Handler`]: the callbacks of a connection.
//!
//! In this order:
//!
//! ```text
//! on_connect?  { on_ready* on_data* on_end? }  beside  { (on_drain | on_written)* on_finish? }  on_close
//!                                    beside  { on_timeout* }
//! ```
//! The two directions end each for itself: `on_data` may come after `on_finish`, and
//! `on_drain` after `on_end`. `on_close` comes exactly once, whatever happens, and last.
#![forbid(unsafe_code)]

use tidegate_loop::AsCx;

use crate::callbacks::contexts::SocketCx;
use crate::error::close::{Close, Reason};

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
    /// A connection that we asked for is made, and the filters that it began with are ready. What
    /// was written before goes out after this. Not called for accepted connections.
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        let _ = s;
    }

    /// A filter that was set on the open connection is ready, and so are all others. What was
    /// received through it comes after this. See [`SocketCx::set_filter`].
    fn on_ready(&mut self, s: &mut SocketCx<'_>) {
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
    /// [`Reason::TimedOut`]; a handler that overrides this decides. Once, until bytes move again.
    fn on_timeout(&mut self, s: &mut SocketCx<'_>) {
        s.time_out();
    }

    /// Its server shuts down ([`ServerCx::shutdown`](crate::ServerCx::shutdown)): finish what is
    /// under way. The default ends our side after what is queued; if a pipe writes to the
    /// connection, the pipe ends it.
    fn on_shutdown(&mut self, s: &mut SocketCx<'_>) {
        s.shut_down();
    }

    /// The connection is over; the descriptor is closed and the key finds
    /// nothing any more. The default counts an error, unless a pipe was told,
    /// and logs the first of each kind and then one at each power of two.
    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        close.unhandled(&mut s.cx());
    }
}
