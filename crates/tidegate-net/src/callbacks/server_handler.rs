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
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Close, Filter, FilterError, Incoming, Passed};
    /// use tidegate_net::{ListenOptions, Net, On, ServerCx, ServerHandler};
    ///
    /// /// Lets in connections that begin with `tide`, and keeps the rest of their bytes.
    /// struct Password;
    /// impl Filter for Password {
    ///     fn start(&mut self, _: &mut Passed) -> Result<(), FilterError> {
    ///         Ok(()) // not ready yet
    ///     }
    ///     fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
    ///         let rest = wire.strip_prefix(b"tide").ok_or("a wrong password")?;
    ///         out.up.extend_from_slice(rest);
    ///         out.ready();
    ///         out.leave();
    ///         Ok(())
    ///     }
    ///     fn outbound(&mut self, user: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
    ///         Ok(user.len())
    ///     }
    /// }
    ///
    /// struct Guarded;
    /// impl ServerHandler for Guarded {
    ///     fn on_connection(&mut self, conn: Incoming<'_>) {
    ///         conn.accept(On::new());
    ///     }
    ///     fn on_refused(&mut self, server: &mut ServerCx<'_>, close: Close) {
    ///         assert!(close.to_string().contains("a wrong password"), "{close}");
    ///         server.close().unwrap(); // one is enough
    ///     }
    /// }
    ///
    /// let mut lp = Loop::new()?;
    /// let options = ListenOptions::new("127.0.0.1:0").filter(|| Password);
    /// let server = lp.serve(options, Guarded)?;
    /// let at = lp.server(server).local_addr()?;
    /// lp.connect(at, On::new().connect(|s| { let _ = s.write("ebb"); }).close(|_, _| {}));
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
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
