//! [`Net`]: servers and clients, on whatever lends a [`Cx`].
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use tidegate_loop::{AsCx, KeyError};

use crate::connect;
use crate::error::ListenError;
use crate::handler::{Handler, OnConnection, ServerHandler};
use crate::incoming::Incoming;
use crate::key::{ServerKey, SocketKey};
use crate::listener::{self, ServerStats};
use crate::options::{ConnectOptions, ListenOptions};
use crate::socket_cx::SocketCx;

/// Servers and clients. Implemented for the loop, for `Cx`, and for the
/// contexts of callbacks; bring it in with the prelude.
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::{Net, On};
/// let mut lp = Loop::new()?;
/// let server = lp.listen("127.0.0.1:0", |conn| conn.reject())?;
/// println!("listening on {}", lp.local_addr(server)?);
/// lp.close_server(server)?;
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Net: AsCx {
    /// Opens a server. `f` gets each connection, in the ready pass.
    ///
    /// Errors of the address, of bind and of listen come back from here. The
    /// server keeps the loop alive until
    /// [`close_server`](Net::close_server).
    fn listen(
        &mut self,
        at: impl Into<ListenOptions>,
        f: impl FnMut(Incoming<'_>) + 'static,
    ) -> Result<ServerKey, ListenError> {
        listener::open(&mut self.as_cx(), at.into(), Box::new(OnConnection(f)))
    }

    /// Opens a server with all of its callbacks.
    fn serve(
        &mut self,
        at: impl Into<ListenOptions>,
        handler: impl ServerHandler,
    ) -> Result<ServerKey, ListenError> {
        listener::open(&mut self.as_cx(), at.into(), Box::new(handler))
    }

    /// Makes a connection. The key is there at once, and can be written to: the
    /// bytes queue. Then comes `on_connect`; or `on_close`, which gets every
    /// failure, also that of a text that is no address. Never a call from
    /// inside this one.
    fn connect(&mut self, to: impl Into<ConnectOptions>, handler: impl Handler) -> SocketKey {
        connect::start(&mut self.as_cx(), to.into(), Box::new(handler))
    }

    /// A connection by its key. On a stale or foreign key everything is a
    /// no-op; [`SocketCx::state`] says which.
    fn socket(&mut self, key: SocketKey) -> SocketCx<'_> {
        SocketCx::new(self.as_cx(), key)
    }

    /// Stops accepting, now; connections that the kernel holds for us are
    /// refused by it. Accepted ones live on, and after the last of them comes
    /// the server's `on_close`.
    fn close_server(&mut self, server: ServerKey) -> Result<(), KeyError> {
        listener::close(&mut self.as_cx(), server)
    }

    /// Where a server listens: the port that the system chose for 0.
    fn local_addr(&mut self, server: ServerKey) -> Result<SocketAddr, KeyError> {
        listener::local_addr(&mut self.as_cx(), server)
    }

    /// What a server has counted; also after `close_server`, until its
    /// `on_close`.
    fn server_stats(&mut self, server: ServerKey) -> Result<ServerStats, KeyError> {
        listener::stats(&mut self.as_cx(), server)
    }
}

impl<T: AsCx + ?Sized> Net for T {}
