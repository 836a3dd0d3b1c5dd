//! [`Net`]: servers and clients, on whatever lends a [`Cx`](tidegate_loop::Cx).
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tidegate_loop::{AsCx, KeyError};

use crate::callbacks::contexts::{Incoming, SocketCx};
use crate::callbacks::handler::Handler;
use crate::callbacks::server_handler::ServerHandler;
use crate::client::{adopt, connect};
use crate::endpoint::Endpoint;
use crate::error::listen::ListenError;
use crate::face::metrics;
use crate::gauge::AcceptGauge;
use crate::key::{ServerKey, SocketKey};
use crate::metrics::{NetMetrics, ServerMetrics, ServerStats};
use crate::options::adopt::AdoptOptions;
use crate::options::connect::ConnectOptions;
use crate::options::listen::{AtLimit, ListenOptions};
use crate::server::{accept, control};
use crate::sys::AcceptQueue;

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
        accept::open(&mut self.cx(), at.into(), Box::new(OnConnection(f)))
    }

    /// Opens a server with all of its callbacks.
    fn serve(
        &mut self,
        at: impl Into<ListenOptions>,
        handler: impl ServerHandler,
    ) -> Result<ServerKey, ListenError> {
        accept::open(&mut self.cx(), at.into(), Box::new(handler))
    }

    /// Makes a connection. The key is there at once, and can be written to: the
    /// bytes queue. Then comes `on_connect`; or `on_close`, which gets every
    /// failure, also that of a text that is no address. Never a call from
    /// inside this one.
    fn connect(&mut self, to: impl Into<ConnectOptions>, handler: impl Handler) -> SocketKey {
        connect::start(&mut self.cx(), to.into(), Box::new(handler))
    }

    /// A connection by its key. On a stale or foreign key everything is a
    /// no-op; [`SocketCx::state`] says which.
    fn socket(&mut self, key: SocketKey) -> SocketCx<'_> {
        SocketCx::new(self.cx(), key)
    }

    /// Stops accepting, now; connections that the kernel holds for us are
    /// refused by it. Accepted ones live on, and after the last of them comes
    /// the server's `on_close`.
    fn close_server(&mut self, server: ServerKey) -> Result<(), KeyError> {
        control::close(&mut self.cx(), server)
    }

    /// Stops accepting for now. Connections wait in the kernel's queue, up to the backlog.
    fn pause_accept(&mut self, server: ServerKey) -> Result<(), KeyError> {
        control::pause(&mut self.cx(), server)
    }

    /// Goes on accepting.
    fn resume_accept(&mut self, server: ServerKey) -> Result<(), KeyError> {
        control::unpause(&mut self.cx(), server)
    }

    /// Connections of a server that may be open at once from now on, and what happens to the
    /// next: as the option [`max_connections`](ListenOptions::max_connections), for a server that
    /// is open. `None`: no limit. A higher limit lets those in that wait; a lower one closes
    /// nobody, and lets the next in when enough are over.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{AtLimit, ListenOptions, Net};
    /// let mut lp = Loop::new()?;
    /// let options = ListenOptions::new("127.0.0.1:0").max_connections(100, AtLimit::Hold);
    /// let server = lp.listen(options, |conn| conn.reject())?;
    /// lp.set_max_connections(server, 1_000, AtLimit::Hold)?;
    /// lp.set_max_connections(server, None, AtLimit::Drop)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn set_max_connections(
        &mut self,
        server: ServerKey,
        connections: impl Into<Option<usize>>,
        beyond: AtLimit,
    ) -> Result<(), KeyError> {
        control::set_max_connections(&mut self.cx(), server, connections.into(), beyond)
    }

    /// Closes a server in good order: it stops accepting, each connection's
    /// [`on_shutdown`](Handler::on_shutdown) is called, which by default ends it after what
    /// is queued, and after `grace` those that are left are closed
    /// ([`Timeout::Lifetime`](crate::Timeout::Lifetime)). Then comes the server's `on_close`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, On};
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |mut conn| {
    ///     let server = conn.server();
    ///     conn.accept(On::new());
    /// })?;
    /// let at = lp.local_addr(server)?;
    /// lp.connect(at, On::new().connect(move |s| {
    ///     s.timer(Duration::from_millis(1), move |cx, _| {
    ///         cx.shutdown(server, Duration::from_secs(5)).unwrap();
    ///     });
    /// }));
    /// lp.run()?; // nothing is left
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn shutdown(&mut self, server: ServerKey, grace: Duration) -> Result<(), KeyError> {
        control::shutdown(&mut self.cx(), server, grace)
    }

    /// The connections of a server that are open now. Looks at every connection of the loop.
    fn connections(&mut self, server: ServerKey) -> Vec<SocketKey> {
        control::connections(&mut self.cx(), server)
    }

    /// Takes over a connection that is there already: from another thread's loop (see
    /// [`Incoming::detach`]), or made in a way of your own. A stream turns into
    /// [`AdoptOptions`], which have the options of a connection; deadlines count from here.
    ///
    /// Errors: `NotConnected` if it has no peer; `InvalidInput` if it is no stream socket, or an
    /// option does not apply to it.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, On};
    /// let there = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let stream = std::net::TcpStream::connect(there.local_addr()?)?;
    /// let mut lp = Loop::new()?;
    /// let key = lp.adopt(stream, On::new())?;
    /// lp.socket(key).destroy();
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn adopt(
        &mut self,
        stream: impl Into<AdoptOptions>,
        handler: impl Handler,
    ) -> io::Result<SocketKey> {
        adopt::adopt(&mut self.cx(), stream.into(), Box::new(handler))
    }

    /// Where a server listens: the port that the system chose for 0. `Unsupported` for one on
    /// a path: see [`endpoint`](Net::endpoint).
    fn local_addr(&mut self, server: ServerKey) -> io::Result<SocketAddr> {
        match control::endpoint(&mut self.cx(), server)? {
            Endpoint::Ip(addr) => Ok(addr),
            Endpoint::Path(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Where a server listens: an address, or a path.
    fn endpoint(&mut self, server: ServerKey) -> Result<Endpoint, KeyError> {
        control::endpoint(&mut self.cx(), server)
    }

    /// What a server has counted; also after `close_server`, until its
    /// `on_close`.
    fn server_stats(&mut self, server: ServerKey) -> Result<ServerStats, KeyError> {
        control::stats(&mut self.cx(), server)
    }

    /// What every server of the loop has counted.
    fn servers(&mut self) -> Vec<ServerMetrics> {
        metrics::servers(&mut self.cx())
    }

    /// What all connections of the loop have counted. Looks at every one that is open.
    fn net_metrics(&mut self) -> NetMetrics {
        metrics::net(&mut self.cx())
    }

    /// How many connections wait in the kernel for a server, and how many may. One system
    /// call. For a second thread: [`accept_gauge`](Net::accept_gauge).
    ///
    /// ```
    /// use std::net::TcpStream;
    /// use tidegate_loop::Loop;
    /// use tidegate_net::Net;
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |conn| conn.reject())?;
    /// let client = TcpStream::connect(lp.local_addr(server)?)?; // its peer is the kernel alone
    /// if let Some(depth) = lp.accept_queue(server)?.depth {
    ///     assert_eq!(depth, 1);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn accept_queue(&mut self, server: ServerKey) -> Result<AcceptQueue, KeyError> {
        control::accept_queue(&mut self.cx(), server)
    }

    /// [`accept_queue`](Net::accept_queue) for another thread: it may ask while this one is
    /// inside a callback. An error if the server is closed, or if there is no descriptor left:
    /// all gauges of a server share one more.
    fn accept_gauge(&mut self, server: ServerKey) -> io::Result<AcceptGauge> {
        control::accept_gauge(&mut self.cx(), server)
    }
}

impl<T: AsCx + ?Sized> Net for T {}

/// `listen`'s closure is a server handler like any other.
pub(crate) struct OnConnection<F>(pub(crate) F);

impl<F: FnMut(Incoming<'_>) + 'static> ServerHandler for OnConnection<F> {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        (self.0)(conn);
    }
}
