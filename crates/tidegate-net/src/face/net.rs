//! [`Net`]: servers and clients, on whatever lends a [`Cx`](tidegate_loop::Cx).
#![forbid(unsafe_code)]

use std::io;

use tidegate_loop::{AsCx, Cx, KeyError, TableFull};

use crate::callbacks::contexts::{Incoming, ServerCx, SocketCx, UdpCx};
use crate::callbacks::handler::Handler;
use crate::callbacks::protocol::Protocol;
use crate::callbacks::server_handler::ServerHandler;
use crate::callbacks::udp_handler::UdpHandler;
use crate::callbacks::upper::Upper;
use crate::client::{adopt, connect};
use crate::error::listen::ListenError;
use crate::error::net_error::NetError;
use crate::face::metrics;
use crate::key::{ServerKey, SocketKey, UdpKey};
use crate::lookup::{self, Asker};
use crate::metrics::{NetMetrics, ServerMetrics, UdpMetrics};
use crate::options::adopt::AdoptOptions;
use crate::options::connect::ConnectOptions;
use crate::options::limits::NetLimits;
use crate::options::listen::ListenOptions;
use crate::options::udp::UdpOptions;
use crate::pool::lease::{Lease, PoolError, PoolKey, PoolMetrics, PoolWait};
use crate::pool::options::PoolOptions;
use crate::pool::{face as pool, serve};
use crate::server::accept;
use crate::state::layer::NET;
use crate::udp::{facts, open};

/// Servers and clients. Implemented for the loop, for `Cx`, and for the contexts of callbacks. The
/// prelude has it.
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::{Net, On};
/// let mut lp = Loop::new()?;
/// let server = lp.listen("127.0.0.1:0", |conn| conn.reject())?;
/// println!("listening on {}", lp.server(server).local_addr()?);
/// lp.server(server).close()?;
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Net: AsCx {
    /// Opens a server. `f` gets each connection, in the ready pass.
    ///
    /// Errors of the address, of bind and of listen come back from here. The
    /// server keeps the loop alive until [`ServerCx::close`].
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

    /// Makes a connection. You can write to the key at once: the bytes are queued. Then comes
    /// `on_connect`; or `on_close`, which gets every failure, also that of a text that is no
    /// address. No callback comes from inside this call.
    fn connect(&mut self, to: impl Into<ConnectOptions>, handler: impl Handler) -> SocketKey {
        connect::start(&mut self.cx(), to.into(), Box::new(handler))
    }

    /// Makes a connection for a layer: as [`connect`](Net::connect), with a table of functions in
    /// place of a handler, and a number of the layer's own. An error says that the loop's table is
    /// full, and no function of the protocol is called; every other failure comes by
    /// [`Protocol::close`].
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, Protocol};
    /// static NEWS: Protocol = Protocol::new("news").close(|_, _, data, close| {
    ///     assert_eq!((data, close.reason.error().unwrap().code()), (7, Some("ECONNREFUSED")));
    /// });
    /// let mut lp = Loop::new()?;
    /// lp.connect_as("127.0.0.1:1", &NEWS, 7)?;
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn connect_as(
        &mut self,
        to: impl Into<ConnectOptions>,
        protocol: &'static Protocol,
        data: u64,
    ) -> Result<SocketKey, TableFull> {
        connect::start_as(&mut self.cx(), to.into(), protocol, data)
    }

    /// A connection by its key. With the key of a closed connection, or of another loop, every
    /// method does nothing; [`SocketCx::state`] says which it is.
    fn socket(&mut self, key: SocketKey) -> SocketCx<'_> {
        SocketCx::new(self.cx(), key)
    }

    /// A server by its key. With the key of a closed server, or of another loop, every method
    /// returns an error that says which it is, or finds nothing.
    fn server(&mut self, key: ServerKey) -> ServerCx<'_> {
        ServerCx::new(self.cx(), key)
    }

    /// Takes over a connection that exists already: from another thread's loop (see
    /// [`Incoming::detach`]), or one that you made yourself. A stream turns into [`AdoptOptions`],
    /// which have the options of a connection; deadlines count from here.
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
        adopt::adopt(&mut self.cx(), stream.into(), Upper::User(Box::new(handler)))
    }

    /// Takes over a connection for a layer: as [`adopt`](Net::adopt), with a table of functions
    /// in place of a handler, and a number of the layer's own.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, Protocol};
    /// static DISCARD: Protocol = Protocol::new("discard");
    /// let there = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let stream = std::net::TcpStream::connect(there.local_addr()?)?;
    /// let mut lp = Loop::new()?;
    /// let key = lp.adopt_as(stream, &DISCARD, 0)?;
    /// assert!(lp.why_alive().iter().any(|h| h.to_string().contains("discard")));
    /// # lp.socket(key).destroy();
    /// # lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn adopt_as(
        &mut self,
        stream: impl Into<AdoptOptions>,
        protocol: &'static Protocol,
        data: u64,
    ) -> io::Result<SocketKey> {
        adopt::adopt(&mut self.cx(), stream.into(), Upper::Protocol(protocol, data))
    }

    /// Makes a pool: connections that are used again, within limits. `make` says how a connection
    /// with this name is made: an address, as a rule. The pool does not keep the loop alive, nor do
    /// its idle connections; those who wait do. [`Cx::close`](tidegate_loop::Cx::close) closes it.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// use tidegate_net::{ConnectOptions, Net, On, PoolOptions};
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |conn| {
    ///     conn.accept(On::new().data(|s, chunk| { let _ = s.write(chunk); }));
    /// })?;
    /// let backend = lp.server(server).local_addr()?.to_string();
    /// let pool = lp.pool(PoolOptions::new(), |name| ConnectOptions::new(name))?;
    /// lp.pool_take(pool, &backend, move |cx, lease| {
    ///     let lease = lease.unwrap();
    ///     let mut s = cx.socket(lease.socket());
    ///     s.set_handler(On::new().data(move |s, answer| {
    ///         assert_eq!(answer, b"tide");
    ///         s.pool_give(lease).unwrap(); // for the next
    ///         s.server(server).close().unwrap();
    ///         s.cx().close(pool).unwrap();
    ///     }));
    ///     let _ = s.write("tide");
    /// });
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn pool(
        &mut self,
        options: PoolOptions,
        make: impl Fn(&str) -> ConnectOptions + 'static,
    ) -> Result<PoolKey, TableFull> {
        pool::open(&mut self.cx(), options, make)
    }

    /// Asks a pool for a connection with this name. `done` gets a [`Lease`], or the error, in a later
    /// phase: never inside this call. It sets a handler on the connection, and gives the lease back
    /// when it is done. Those who ask for one name get connections in their order. If a connection
    /// cannot be made, one of those who wait fails with it, and the others get other attempts.
    fn pool_take(
        &mut self,
        pool: PoolKey,
        name: &str,
        done: impl FnOnce(&mut Cx<'_>, Result<Lease, PoolError>) + 'static,
    ) -> PoolWait {
        pool::take(&mut self.cx(), pool.0, name, Box::new(done))
    }

    /// Gives a connection back: the next user gets it. Its handler is dropped after the current
    /// callback. It must be between two uses: all answers have come, and nothing is left to write;
    /// one that is ending, or has bytes queued, is closed. An error: it was given back before, or is
    /// over. If you do not know its state, [`destroy`](SocketCx::destroy) it instead.
    fn pool_give(&mut self, lease: Lease) -> Result<(), KeyError> {
        serve::give(&mut self.cx(), lease)
    }

    /// Waits no more: `done` is dropped after the current callback. `false`: it was called before.
    fn pool_cancel(&mut self, wait: PoolWait) -> bool {
        pool::cancel(&mut self.cx(), wait)
    }

    /// What a pool has, and what it counted.
    fn pool_metrics(&mut self, pool: PoolKey) -> Result<PoolMetrics, KeyError> {
        pool::metrics(&mut self.cx(), pool.0)
    }

    /// Opens a UDP socket. `handler` gets each datagram, in the ready pass; closures do, too:
    /// [`OnDatagram`](crate::OnDatagram). The socket keeps the loop alive until it is closed.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// use tidegate_net::{Net, OnDatagram, UdpOptions};
    /// let mut lp = Loop::new()?;
    /// let echo = lp.udp("127.0.0.1:0", OnDatagram::new(|u, data, meta| {
    ///     let _ = u.send_to(data, meta.from);
    ///     u.end();
    /// }))?;
    /// let at = lp.datagrams(echo).local_addr()?;
    /// let client = lp.udp(UdpOptions::client(at), OnDatagram::new(|u, data, _| {
    ///     assert_eq!(data, b"tide");
    ///     u.destroy();
    /// }))?;
    /// let _ = lp.datagrams(client).send(b"tide");
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn udp(
        &mut self,
        at: impl Into<UdpOptions>,
        handler: impl UdpHandler,
    ) -> Result<UdpKey, NetError> {
        open::open(&mut self.cx(), at.into(), Box::new(handler))
    }

    /// A UDP socket by its key. With the key of a closed socket, or of another loop, every method
    /// does nothing, finds nothing, or returns an error.
    fn datagrams(&mut self, key: UdpKey) -> UdpCx<'_> {
        UdpCx::new(self.cx(), key)
    }

    /// The counters of every UDP socket of the loop, and what waits in the kernel for it: two system
    /// calls for each socket.
    fn udp_sockets(&mut self) -> Vec<UdpMetrics> {
        facts::sockets(&mut self.cx())
    }

    /// Looks a name up, for a handle of a layer: by the system's resolver, on the loop's threads.
    /// One lookup runs for all that ask for the same name meanwhile. An error: no thread can do it,
    /// or the feature `lookup` is off.
    fn lookup(&mut self, name: &str, asker: Asker) -> io::Result<()> {
        lookup::start(&mut self.cx(), name, asker)
    }

    /// The counters of every server of the loop.
    fn servers(&mut self) -> Vec<ServerMetrics> {
        metrics::servers(&mut self.cx())
    }

    /// The limits of the loop's servers and connections.
    fn net_limits(&mut self) -> NetLimits {
        self.cx().layer(&NET).0.shared.limits.clone()
    }

    /// The counters of all connections of the loop. It visits every open connection.
    fn net_metrics(&mut self) -> NetMetrics {
        metrics::net(&mut self.cx())
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
