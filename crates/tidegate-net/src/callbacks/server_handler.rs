//! [`ServerHandler`]: the callbacks of a server.
#![forbid(unsafe_code)]

use std::mem::discriminant;

use crate::callbacks::contexts::{Incoming, ServerCx};
use crate::error::close::Close;
use crate::error::net_error::NetError;
use crate::server_event::Overload;

/// The callbacks of a server.
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
    /// A connection waits, and its filters are ready. If you do not accept it here, it is rejected.
    fn on_connection(&mut self, conn: Incoming<'_>);

    /// Accepting failed, but not because the peer closed or descriptors ran out. The server goes
    /// on. The default counts and logs the error, as that of
    /// [`Handler::on_close`](crate::Handler::on_close).
    fn on_error(&mut self, server: &mut ServerCx<'_>, error: NetError) {
        let alike = (server.key(), error.alike());
        server.cx.driver().unhandled("tidegate::net", alike, format_args!("{error}"));
    }

    /// A connection ended before its filters were ready: its peer, a deadline, or a filter
    /// ended it. `on_connection` was not called for it. [`ServerStats`](crate::ServerStats) counts
    /// it. The default logs an error: the first of each kind, and then at each power of two.
    fn on_refused(&mut self, server: &mut ServerCx<'_>, close: Close) {
        if close.reason.is_error() {
            let alike = (server.key(), close.reason.alike());
            server.cx.driver().warn("tidegate::net", alike, 1, format_args!("refused: {close}"));
        }
    }

    /// There was no room for connections. [`ServerStats`](crate::ServerStats) counts them. The
    /// default logs this: the first time, and then at each power of two.
    fn on_overload(&mut self, server: &mut ServerCx<'_>, overload: Overload) {
        let new = match overload {
            Overload::Shed { connections } => u64::from(connections),
            Overload::MaxConnections { .. } | Overload::Held => 1,
        };
        let alike = (server.key(), discriminant(&overload));
        server.cx.driver().warn("tidegate::net", alike, new, format_args!("{overload}"));
    }

    /// The server was closed and its last connection is over. Its key finds nothing any more.
    fn on_close(&mut self, server: &mut ServerCx<'_>) {
        let _ = server;
    }
}
